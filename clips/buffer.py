"""Which camera the clip buffer's clients mean, and how much of it is buffered."""

from __future__ import annotations

import contextlib

from django.conf import settings

from clips import policy
from devices import livestate
from devices.models import Device, DeviceQuerySet
from recordings.exceptions import BadSegmentError
from recordings.segments import list_segments, read_extent
from recordings.timeline import coverage

# The older system kept one minute, whatever was asked of it.
BUFFER_MS = 60_000


def camera_of(devices: DeviceQuerySet) -> Device | None:
    """Of these: the one chosen in the settings, else the first pulled camera, else the first."""
    chosen = devices.filter(pk=policy.current().legacy_camera or 0).first()
    pulled = devices.exclude(source=None).order_by("source__pk")
    return chosen or pulled.first() or devices.order_by("position", "pk").first()


def is_buffering(device: Device | None) -> bool:
    """Whether a clip that is asked for now would hold this moment."""
    live = livestate.read().get(device.pk) if device is not None else None
    return live is not None and live.is_recording


def buffered_seconds(device: Device, now_ms: int) -> int:
    """How much of the last minute is on disk, 0 to 60."""
    start_ms = now_ms - BUFFER_MS
    spans = list(coverage([device.pk], start_ms, now_ms)[device.pk])
    for segment in list_segments(settings.SPOOL_DIR / device.directory):
        with contextlib.suppress(BadSegmentError, FileNotFoundError):
            end_ms = segment.start_ms + read_extent(segment.path).last_ms
            spans.append((max(start_ms, segment.start_ms), min(now_ms, end_ms)))
    covered_ms, reached_ms = 0, start_ms
    for begin, end in sorted(spans):
        covered_ms += max(0, end - max(begin, reached_ms))
        reached_ms = max(reached_ms, end)
    return covered_ms // 1000
