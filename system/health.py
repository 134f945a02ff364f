"""`/health`, `/stats` and `/ca.pem`: what the older clients and a monitor ask (docs/design/devices.md)."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from datetime import UTC, datetime

import psutil
from django.conf import settings
from django.db.models import Max, Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from devices import livestate
from devices.contract import device_endpoint, instant_endpoint, open_endpoint, reply, with_headers
from devices.models import Presence
from devices.services import Identity
from recordings.models import Recording

API_VERSION = "1.0.0"  # of the Pi Camera Server's API, not of this program
_STARTED = time.monotonic()


@instant_endpoint("GET")
def health(request: HttpRequest) -> HttpResponse:
    """Answers without the database: a broken disk must not make the supervisor restart us."""
    del request
    return reply(
        {
            "status": "healthy",
            "timestamp": _iso(timezone.now()),
            "uptime": round(time.monotonic() - _STARTED, 3),
            "version": API_VERSION,
        }
    )


@device_endpoint("GET")
def stats(request: HttpRequest, identity: Identity) -> HttpResponse:
    """The shape of the Pi Camera Server, told about the asking camera only.

    There every device's key showed all devices' ids; a key is good for its own camera here.
    """
    del request
    live = livestate.read().get(identity.device_pk)
    presence = live.presence if live else ""
    is_recording = live is not None and live.is_recording
    kept = Recording.objects.kept().filter(device=identity.device_pk)
    sums = kept.aggregate(
        oldest=Min("started_at"), newest=Max("started_at"), size_bytes=Sum("size_bytes")
    )
    return reply(
        {
            "devices": {
                "total": 1,
                "online": int(presence == Presence.ONLINE),
                "streaming": int(presence == Presence.STREAMING),
                "asleep": int(presence == Presence.ASLEEP),
            },
            "recordings": {
                "activeRecordings": int(is_recording),
                "devices": [identity.mac] if is_recording else [],
                "totalRecordingTime": 0,
            },
            "cleanup": {
                "totalRecordings": kept.count(),
                "oldestRecording": _iso(sums["oldest"]) if sums["oldest"] else None,
                "newestRecording": _iso(sums["newest"]) if sums["newest"] else None,
                "totalSizeBytes": sums["size_bytes"] or 0,
                "deviceCount": 1,
            },
            "server": {
                "uptime": round(time.monotonic() - _STARTED, 3),
                "memory": _memory(),
                "timestamp": _iso(timezone.now()),
            },
        }
    )


@open_endpoint("GET")
def authority(request: HttpRequest) -> HttpResponse:
    """What a camera or a browser has to trust; public by nature."""
    del request
    try:
        pem = (settings.PKI_DIR / "ca.pem").read_bytes()
    except FileNotFoundError:
        return with_headers(HttpResponse(status=404))
    response = HttpResponse(pem, content_type="application/x-pem-file")
    response["Content-Disposition"] = 'attachment; filename="roost-ca.pem"'
    response["ETag"] = f'"{hashlib.sha256(pem).hexdigest()[:32]}"'
    return with_headers(response)


def _memory() -> dict[str, int]:
    """Node's names; where Python has no such thing, the nearest figure it has."""
    resident = psutil.Process(os.getpid()).memory_info().rss
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "rss": resident,
        "heapTotal": max(highest, resident),
        "heapUsed": resident,
        "external": 0,
        "arrayBuffers": 0,
    }


def _iso(at: datetime) -> str:
    """2026-11-20T13:05:07.123Z, as JavaScript writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
