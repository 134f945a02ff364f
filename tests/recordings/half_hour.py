"""A camera with ten minutes of video, ten without and ten with: what tests of gaps look into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from devices.models import Device
from recordings.media import index
from recordings.timeline import to_ms
from tests.factories import make_device, make_recording

NOON = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)
NOON_MS = to_ms(NOON)
MINUTE = 60_000


def recorded_camera() -> Device:
    """Recorded from 12:00 to 12:10 and from 12:20 to 12:30."""
    device = make_device()
    Device.objects.filter(pk=device.pk).update(created_at=NOON - timedelta(days=1))
    fragments = [(0, 10 * MINUTE), (20 * MINUTE, 10 * MINUTE)]
    blob = index.encode([index.Entry(1000, at, length) for at, length in fragments], 0)
    make_recording(
        device, started_at=NOON, seconds=1800, duration_ms=20 * MINUTE, fragment_index=blob
    )
    return device
