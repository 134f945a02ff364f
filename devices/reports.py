"""What cameras report of themselves, and what is measured of them, written in batches.

Part of `devices.services`, which is what other apps import.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from devices import livestate
from devices.models import CONNECTED, Device, DeviceEvent, DeviceKey, Presence, TelemetrySample
from devices.peers import peer_text

_DETAIL_LENGTH = 300
_HOUR = timedelta(hours=1)
MAX_REGISTRATIONS_AN_HOUR = 20  # of one camera; a boot loop is plain by then
# A quartz is off by some seconds a day, and a heartbeat may come late; what booted a season ago
# explains nothing any more.
_SAME_BOOT_MS = 20_000
_LONGEST_UPTIME_MS = 90 * 24 * 3600 * 1000
# What `disconnected` says where it was not the camera's doing; recordings.gaps knows these words.
RECORDER_STOPPED = "the recorder stopped"
RECORDER_GONE = "the recorder was not running"


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """`address`, `key_pk` and `is_new_connection` when a connection began; times are epoch
    milliseconds."""

    device_pk: int
    presence: str
    at_ms: int
    last_seen_ms: int
    address: str | None = None
    is_new_connection: bool = False
    key_pk: int | None = None


@dataclass(frozen=True, slots=True)
class TelemetryReport:
    """What a camera said (`None` where it did not) and what was measured of it, for one minute."""

    device_pk: int
    at_ms: int
    uptime_ms: int | None = None
    free_heap_bytes: int | None = None
    boot_count: int | None = None
    rssi_dbm: int | None = None
    drops: int | None = None
    temperature_c: float | None = None
    battery_mv: int | None = None
    received_fps: float = 0.0
    received_bytes_per_second: float = 0.0
    dropped_frames: int = 0


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What a camera says it is, once a connection; empty where it does not say.

    `uptime_ms` at `at_ms` tells when it booted, for `reset_reason`.
    """

    device_pk: int
    at_ms: int
    uptime_ms: int | None = None
    reset_reason: str = ""
    firmware: str = ""
    board: str = ""
    update_key: str = ""


def record_presence(changes: Iterable[PresenceChange]) -> None:
    """In the given order, in one transaction. Devices deleted meanwhile are skipped.

    A sleeping camera that hangs up is still asleep, so `offline` does not follow `asleep`; and
    what is reported late does not set `last_seen_at` back. Events are recorded by the caller.
    """
    changes = list(changes)
    with transaction.atomic():
        wanted = {change.device_pk for change in changes}
        devices = {row.pk: row for row in Device.objects.select_for_update().filter(pk__in=wanted)}
        for change in changes:
            if change.device_pk in devices:
                _apply(devices[change.device_pk], change)
        fields = ("presence", "presence_since", "last_seen_at", "last_address", "connection_count")
        Device.objects.bulk_update(devices.values(), fields)
        used = {change.key_pk for change in changes if change.key_pk is not None}
        if used:  # a key that was used is never pruned
            DeviceKey.objects.filter(pk__in=used).update(last_used_at=timezone.now())


def _apply(device: Device, change: PresenceChange) -> None:
    presence = Presence(change.presence)
    woke = device.presence == Presence.ASLEEP and presence == Presence.OFFLINE
    if presence != device.presence and not woke:
        device.presence = presence
        device.presence_since = _moment(change.at_ms)
    device.last_seen_at = max(device.last_seen_at, _moment(change.last_seen_ms))
    if change.is_new_connection:
        device.connection_count += 1
        device.last_address = peer_text(change.address)


def mark_disconnected() -> None:
    """At the start of the web process: who was connected when it died is not any more.

    When it died nobody wrote down; the newest sign of life is the best answer. What it published
    is 2 s old at most but may be gone after a reboot; telemetry is a minute old.
    """
    published = livestate.last_published()
    with transaction.atomic():
        connected = Device.objects.filter(presence__in=CONNECTED)
        newest = connected.annotate(sampled_at=Max("telemetry__at")).order_by()
        sampled = dict(newest.values_list("pk", "sampled_at"))
        devices = list(connected.select_for_update())
        now = timezone.now()
        for device in devices:
            signs = (device.last_seen_at, sampled.get(device.pk), published.get(device.pk))
            # A clock that was set back since then must not put it into the future.
            device.presence_since = min(max(sign for sign in signs if sign is not None), now)
            device.presence = Presence.OFFLINE
        Device.objects.bulk_update(devices, ("presence", "presence_since"))
        DeviceEvent.objects.bulk_create(
            DeviceEvent(
                device=device,
                at=device.presence_since,
                kind=DeviceEvent.Kind.DISCONNECTED,
                detail=RECORDER_GONE,
            )
            for device in devices
        )


def record_telemetry(reports: Iterable[TelemetryReport]) -> None:
    """At most one a minute and device is asked for (the caller thins). Deleted devices: skipped."""
    reports = list(reports)
    with transaction.atomic():
        wanted = {report.device_pk for report in reports}
        known = set(Device.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        TelemetrySample.objects.bulk_create(
            TelemetrySample(
                device_id=report.device_pk,
                at=_moment(report.at_ms),
                uptime_ms=_sane(report.uptime_ms, 0, 2**63 - 1),
                free_heap_bytes=_sane(report.free_heap_bytes, 0, 2**63 - 1),
                boot_count=_sane(report.boot_count, 0, 2**63 - 1),
                rssi_dbm=_sane(report.rssi_dbm, -200, 50),
                drops=_sane(report.drops, 0, 2**63 - 1),
                temperature_c=report.temperature_c,
                battery_mv=_sane(report.battery_mv, 0, 100_000),
                received_fps=report.received_fps,
                received_bytes_per_second=report.received_bytes_per_second,
                dropped_frames=min(report.dropped_frames, 2**31 - 1),
            )
            for report in reports
            if report.device_pk in known
        )


def record_facts(facts: Iterable[CameraFacts]) -> None:
    """On the device, and its boot as an event at the moment it booted. Deleted devices: skipped."""
    for camera in facts:
        said = {
            "firmware_version": camera.firmware[:32],
            "firmware_board": camera.board[:32],
            "update_key": camera.update_key[:16],
            "last_reset_reason": camera.reset_reason[:40],
        }
        # Most connections say what the one before said: those cost a read.
        rows = Device.objects.filter(pk=camera.device_pk)
        if rows.exclude(**said).exists():
            rows.update(**said)
        _record_boot(camera)


def _record_boot(camera: CameraFacts) -> None:
    """A camera that only reconnects, or a recorder that was restarted, hears of the same boot."""
    uptime_ms = camera.uptime_ms
    if not camera.reset_reason or uptime_ms is None or uptime_ms > _LONGEST_UPTIME_MS:
        return
    at_ms = camera.at_ms - uptime_ms
    around = (_moment(at_ms - _SAME_BOOT_MS), _moment(at_ms + _SAME_BOOT_MS))
    known = DeviceEvent.objects.filter(device=camera.device_pk, at__range=around)
    kind = DeviceEvent.Kind.BOOTED
    if not known.filter(kind=kind, detail=camera.reset_reason).exists():
        record_event(device_pk=camera.device_pk, kind=kind, detail=camera.reset_reason, at_ms=at_ms)


def _sane(value: object, low: int, high: int) -> int | None:
    """A number that a camera sent, if it is one that the column holds: it sends what it likes."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and low <= value <= high else None  # type: ignore[operator, return-value]


def record_event(
    *,
    device_pk: int,
    kind: str,
    detail: str = "",
    at_ms: int | None = None,
    rssi_dbm: int | None = None,
) -> None:
    """For the timeline and the camera page; a device that is gone is not an error."""
    if Device.objects.filter(pk=device_pk).exists():
        at = timezone.now() if at_ms is None else _moment(at_ms)
        text = detail[:_DETAIL_LENGTH]
        DeviceEvent.objects.create(
            device_id=device_pk, kind=kind, detail=text, at=at, rssi_dbm=_sane(rssi_dbm, -200, 50)
        )


def record_registration(*, device_pk: int, address: str | None, is_pending: bool) -> None:
    """Only the first few of an hour: who knows a MAC needs no key to ask, and could fill the disk."""
    now = timezone.now()
    kind = DeviceEvent.Kind.REGISTERED
    rows = DeviceEvent.objects.filter(device=device_pk, at__range=(now - _HOUR, now), kind=kind)
    known = rows[:MAX_REGISTRATIONS_AN_HOUR].count()
    if known == MAX_REGISTRATIONS_AN_HOUR:
        return
    words = [f"from {address}"] if address else []
    if is_pending:
        words.append("waits for approval")
    if known == MAX_REGISTRATIONS_AN_HOUR - 1:
        words.append("more of this hour are not listed")
    record_event(device_pk=device_pk, kind=kind, detail=", ".join(words))


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
