"""What the system page and a monitor want to know, gathered from where each fact is kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.conf import settings
from django.db.models import Max, Min, Sum

from devices import livestate
from devices.livestate import LiveDevice
from devices.models import Device
from recordings import policy
from recordings.models import Deletion, Recording
from system import addresses, errorlog, supervision
from system.exceptions import SupervisorUnavailable

DELETIONS_SHOWN = 20
ERRORS_SHOWN = 50
ERRORS_FOR = timedelta(hours=1)
RATE_OVER = timedelta(days=3)  # bytes a day are taken from the last days: settings change


class CameraStatus(TypedDict):
    id: int
    name: str
    is_recording: bool
    recordings_bytes: int
    bytes_per_day: int | None
    days_stored: float
    days_that_fit: float | None


def gather(*, devices: Sequence[Device], is_trusted: bool, now: datetime) -> dict[str, Any]:
    """Of the given cameras only. Processes and errors name what is inside the machine, so they
    are told to whom `is_trusted` says; others see empty lists."""
    live = livestate.read()
    disk = disk_figures()
    cameras = camera_figures(devices, live, disk, now)
    since_ms = int((now - ERRORS_FOR).timestamp() * 1000)
    processes = process_list() if is_trusted else []
    return {
        "version": settings.VERSION,
        "now_ms": int(now.timestamp() * 1000),
        "is_recording": any(camera["is_recording"] for camera in cameras),
        "sentence": sentence(cameras, live, processes),
        "addresses": own_urls(),
        "certificate": certificate_facts(now),
        "disk": disk,
        "cameras": cameras,
        "processes": processes,
        "deletions": deletions(devices),
        "errors": errorlog.recent(settings.ERROR_FILE, since_ms=since_ms, limit=ERRORS_SHOWN)
        if is_trusted
        else [],
    }


def sentence(  # noqa: PLR0911  one answer a line
    cameras: Sequence[CameraStatus],
    live: dict[int, LiveDevice],
    processes: Sequence[dict[str, Any]],
) -> str:
    """Is it recording? "Yes" is only said of cameras whose bytes have reached the disk."""
    if not cameras:
        return "Nothing to record yet: no camera has been added."
    recording = [camera for camera in cameras if camera["is_recording"]]
    connected = [camera for camera in cameras if camera["id"] in live]
    failing = [live[camera["id"]] for camera in connected if not camera["is_recording"]]
    told = [facts.error for facts in failing if facts.error]
    if told:
        return f"Video is being lost: {told[0]}"
    if not connected:
        return "Not recording: no camera is connected."
    if not recording:
        return "Not recording: no connected camera sends pictures."
    if any(entry["name"] == "worker" and entry["state"] != "running" for entry in processes):
        return "Recording, but hour files wait: the worker is not running."
    if len(recording) == len(cameras):
        return "Recording every camera." if len(cameras) > 1 else "Recording."
    return f"Recording {len(recording)} of {len(cameras)} cameras; the others send no pictures."


# --- cameras and disk ---------------------------------------------------------------------------


def camera_figures(
    devices: Sequence[Device], live: dict[int, LiveDevice], disk: dict[str, int], now: datetime
) -> list[CameraStatus]:
    """Two queries for any number of cameras."""
    kept = Recording.objects.kept().filter(device__in=[device.pk for device in devices])
    totals = {
        row["device"]: row
        for row in kept.order_by()
        .values("device")
        .annotate(total_bytes=Sum("size_bytes"), first=Min("started_at"), last=Max("ended_at"))
    }
    lately = {
        row["device"]: row
        for row in kept.filter(ended_at__gt=now - RATE_OVER)
        .order_by()
        .values("device")
        .annotate(total_bytes=Sum("size_bytes"), first=Min("started_at"))
    }
    rates = {pk: _bytes_per_day(row, now) for pk, row in lately.items()}
    growth = sum(rate for rate in rates.values() if rate)
    room = max(0, disk["free_bytes"] - disk["min_free_bytes"])
    kept_bytes = sum(row["total_bytes"] for row in totals.values())
    limit = policy.current().max_bytes
    if limit:
        room = min(room, max(0, limit - kept_bytes))
    # All cameras share the disk, so the same span fits for each: what is kept plus what is free.
    fits = (room + kept_bytes) / growth if growth else None
    return [
        CameraStatus(
            id=device.pk,
            name=device.name,
            is_recording=device.pk in live and live[device.pk].is_recording,
            recordings_bytes=totals[device.pk]["total_bytes"] if device.pk in totals else 0,
            bytes_per_day=rates.get(device.pk),
            days_stored=_days(totals.get(device.pk)),
            days_that_fit=round(fits, 1) if fits is not None and rates.get(device.pk) else None,
        )
        for device in devices
    ]


def _bytes_per_day(row: Mapping[str, Any], now: datetime) -> int | None:
    """`None` in a camera's first ten minutes: a rate from less would only startle."""
    span = min(RATE_OVER, now - row["first"])
    if span < timedelta(minutes=10):
        return None
    return int(row["total_bytes"] / (span / timedelta(days=1)))


def _days(row: Mapping[str, Any] | None) -> float:
    return round((row["last"] - row["first"]) / timedelta(days=1), 2) if row else 0.0


def disk_figures() -> dict[str, int]:
    usage = shutil.disk_usage(settings.DATA_DIR)
    total = Recording.objects.aggregate(total=Sum("size_bytes"))["total"] or 0
    return {
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        "recordings_bytes": total,
        "spool_bytes": _directory_bytes(settings.SPOOL_DIR),
        "min_free_bytes": policy.current().min_free_bytes,
    }


def _directory_bytes(directory: Path) -> int:
    """The spool is shallow and small: a minute or two of segments a camera."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # packaged meanwhile
            continue
    return total


def deletions(devices: Sequence[Device]) -> list[dict[str, Any]]:
    rows = Deletion.objects.filter(device__in=[device.pk for device in devices])[:DELETIONS_SHOWN]
    return [
        {
            "at": row.at,
            "device": row.device_id,
            "path": row.path,
            "size_bytes": row.size_bytes,
            "reason": row.reason,
            "detail": row.detail,
        }
        for row in rows
    ]


# --- the machine --------------------------------------------------------------------------------


def process_list() -> list[dict[str, Any]]:
    """Empty where the parts run without the supervisor, as systemd units or containers."""
    try:
        answer = supervision.ask(settings.SUPERVISOR_SOCKET, {"do": "status"})
    except SupervisorUnavailable:
        return []
    processes: list[dict[str, Any]] = answer.get("processes", [])
    return processes


def own_urls() -> list[str]:
    hosts = addresses.lan_addresses() if settings.NVR.bind == "0.0.0.0" else [settings.NVR.bind]  # noqa: S104
    return [f"https://{host}:{settings.NVR.port}" for host in hosts or ["127.0.0.1"]]


def certificate_facts(now: datetime) -> dict[str, Any] | None:
    try:
        pem = (settings.PKI_DIR / "server.pem").read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError):
        return None
    ends = certificate.not_valid_after_utc
    return {
        "not_after": ends,
        "days_left": (ends - now).days,
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    }


def set_simulated_cameras(count: int) -> dict[str, int]:
    """Raises SupervisorUnavailable."""
    supervision.ask(settings.SUPERVISOR_SOCKET, {"do": "simulate", "count": count})
    return simulated_cameras()


def simulated_cameras() -> dict[str, int]:
    """`running` counts those whose process lives. Raises SupervisorUnavailable."""
    answer = supervision.ask(settings.SUPERVISOR_SOCKET, {"do": "simulated"})
    return {"count": answer["count"], "running": answer["running"]}
