"""Coverage spans and the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device
from recordings.media import index
from recordings.models import Recording
from recordings.timeline import coverage, seconds_per_day, spans_of, to_ms
from tests.factories import make_device, make_recording
from tests.recordings.hourfiles import make_indexed_hours

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def blob(*fragments: tuple[int, int]) -> bytes:
    """From (start, duration) in ms."""
    return index.encode([index.Entry(1000, wall, duration) for wall, duration in fragments], 0)


def whole_day() -> tuple[int, int]:
    start = to_ms(datetime(2026, 11, 20, tzinfo=UTC))
    return start, start + DAY_MS


@pytest.mark.parametrize("gap_ms", [0, 100, 5_000])
def test_a_short_silence_does_not_split(gap_ms: int) -> None:
    fragments = blob((0, 2000), (2000, 2000), (4000 + gap_ms, 2000))
    assert list(spans_of(fragments)) == [(0, 6000 + gap_ms)]


def test_a_silence_over_five_seconds_splits() -> None:
    device = make_device()
    fragments = blob((0, 2000), (7001, 2000), (9001, 2000))
    make_recording(
        device, started_at=NOON, seconds=11.001, duration_ms=6000, fragment_index=fragments
    )
    noon = to_ms(NOON)
    spans = coverage([device.pk], *whole_day())[device.pk]
    assert spans == [(noon, noon + 2000), (noon + 7001, noon + 11_001)]


def test_every_silence_of_a_long_index_is_found() -> None:
    """Against a plain loop over the fragments."""
    fragments, wall = [], 0
    for number in range(1000):
        fragments.append((wall, 2000))
        wall += 2000 + (6000 if number % 37 == 5 else 300 if number % 11 == 0 else 0)
    expected: list[tuple[int, int]] = []
    for start, duration in fragments:
        if expected and start - expected[-1][1] <= 5000:
            expected[-1] = (expected[-1][0], start + duration)
        else:
            expected.append((start, start + duration))
    device = make_device()
    make_recording(
        device,
        started_at=NOON,
        seconds=wall / 1000,
        duration_ms=2_000_000,
        fragment_index=blob(*fragments),
    )
    noon = to_ms(NOON)
    spans = coverage([device.pk], noon, noon + DAY_MS)[device.pk]
    assert spans == [(noon + a, noon + b) for a, b in expected]
    assert len(spans) == 28


def test_hours_that_touch_are_one_span() -> None:
    device = make_device()
    make_indexed_hours(device, NOON, 3)
    noon = to_ms(NOON)
    assert coverage([device.pk], *whole_day())[device.pk] == [(noon, noon + 3 * HOUR_MS)]


def test_spans_are_clipped_to_what_was_asked() -> None:
    device = make_device()
    make_indexed_hours(device, NOON, 1)
    noon = to_ms(NOON)
    span = (noon + 1000, noon + 60_000)
    assert coverage([device.pk], *span)[device.pk] == [span]


def test_a_device_without_video_has_no_spans() -> None:
    device = make_device()
    assert coverage([device.pk], *whole_day()) == {device.pk: []}


def test_what_is_being_deleted_is_not_covered() -> None:
    device = make_device()
    make_recording(device, started_at=NOON, seconds=3600, deleting_since=NOON)
    assert coverage([device.pk], *whole_day())[device.pk] == []


@pytest.mark.parametrize("gaps", [0, 20])
def test_a_day_of_ten_cameras_needs_three_queries_at_most(gaps: int) -> None:
    devices = [make_device() for _ in range(10)]
    for device in devices:
        make_indexed_hours(device, datetime(2026, 11, 20, tzinfo=UTC), 24, gaps=gaps)
    with CaptureQueriesContext(connection) as queries:
        covered = coverage([device.pk for device in devices], *whole_day())
    assert len(queries) <= 3
    assert {len(spans) for spans in covered.values()} == {24 * gaps + 1}


def local_hours(device: Device, day: date, zone: ZoneInfo) -> None:
    """A full file for every local hour of the day, as the packager would date them."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    end = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=1)
    number = 0
    while start < end.astimezone(UTC):
        local = start.astimezone(zone)
        Recording.objects.create(
            device=device,
            path=f"{device.directory}/{local:%Y-%m-%d}/{local:%H}-{number}.mp4",
            date=local.date(),
            hour=local.hour,
            started_at=start,
            ended_at=start + timedelta(hours=1),
            size_bytes=1,
            duration_ms=3_600_000,
            init_bytes=1,
            width=1,
            height=1,
        )
        start += timedelta(hours=1)
        number += 1


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 11, 20), 24)],
)
def test_the_calendar_counts_the_true_hours_of_a_day(day: date, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    device = make_device()
    with override_settings(TIME_ZONE="Europe/Berlin"), timezone.override(zone):
        local_hours(device, day, zone)
        first = day.replace(day=1)
        days = seconds_per_day(device.pk, first, first + timedelta(days=31))
    assert days == {day: hours * 3600}


def test_the_calendar_leaves_out_other_months_and_cameras() -> None:
    device, other = make_device(), make_device()
    make_recording(device, started_at=NOON, seconds=90)
    make_recording(device, started_at=NOON - timedelta(days=40), seconds=90)
    make_recording(other, started_at=NOON, seconds=90)
    days = seconds_per_day(device.pk, date(2026, 11, 1), date(2026, 12, 1))
    assert days == {timezone.localtime(NOON).date(): 90}
