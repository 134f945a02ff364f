"""What a person waits for on the timeline, with a month of ten cameras in the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.core.management import call_command
from django.utils import timezone

from bench.table import Row, percentile
from devices.models import Device
from recordings import playback, timeline
from recordings.media import index
from recordings.models import Recording

CAMERAS, DAYS = 10, 30
FRAGMENT_MS = 2_000
ROUNDS = 40


def run() -> list[Row]:
    """Uses the benchmark's own empty database (bench.__main__ points the settings there)."""
    call_command("migrate", verbosity=0)
    devices = _month()
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)
    start, end = timeline.to_ms(day), timeline.to_ms(day + timedelta(days=1))
    span = _p95(lambda: timeline.coverage(devices, start, end))
    now = datetime.now(UTC)
    playlist = _p95(
        lambda: playback.playlist(devices[0], start, end, now=now, uri_of=lambda pk: f"/{pk}")
    )
    stored = f"{CAMERAS * DAYS * 24} hour files, each with a gap"
    return [
        Row(
            "timeline: a day of 10 cameras, 30 days stored, p95",
            "<= 50 ms",
            f"{span:.1f} ms",
            stored,
        ),
        Row(
            "playlist: a day of one camera, p95",
            "<= 50 ms",
            f"{playlist:.1f} ms",
            "43,200 fragments",
        ),
    ]


def _p95(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return percentile(times, 0.95)


def _month() -> list[int]:
    """Rows as the packager writes them: 1,800 fragments an hour, ten minutes of it missing."""
    Recording.objects.all().delete()
    Device.objects.all().delete()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    devices = [
        Device.objects.create(mac=f"AA:00:00:00:00:{n:02X}", name=f"Camera {n}", position=n)
        for n in range(CAMERAS)
    ]
    for device in devices:
        rows = []
        for hour in range(DAYS * 24):
            start = today - timedelta(days=DAYS) + timedelta(hours=hour)
            rows.append(_hour(device, start))
        Recording.objects.bulk_create(rows, batch_size=100)
    return [device.pk for device in devices]


def _hour(device: Device, start: datetime) -> Recording:
    origin = timeline.to_ms(start)
    local = timezone.localtime(start)
    walls = [at for at in range(0, 3_600_000, FRAGMENT_MS) if not 1_200_000 <= at < 1_800_000]
    entries = [index.Entry(12_000, origin + at, FRAGMENT_MS) for at in walls]
    return Recording(
        device=device,
        path=f"{device.directory}/{start:%Y-%m-%d}/{start:%H}.mp4",
        date=local.date(),
        hour=local.hour,
        started_at=start,
        ended_at=start + timedelta(hours=1),
        size_bytes=700 + 12_000 * len(entries),
        duration_ms=FRAGMENT_MS * len(entries),
        frame_count=20 * len(entries),
        init_bytes=700,
        codecs="avc1.42c01f",
        width=800,
        height=600,
        fragment_index=index.encode(entries, origin),
    )
