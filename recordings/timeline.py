"""When there is video: coverage spans for the scrubber, seconds a day for the calendar.

Only what can be played counts. The spool's newest seconds, not packaged yet, are safe on disk but
not in an hour file, so they appear here when the packager has appended them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter

from django.db.models import Sum

from recordings.media import index
from recordings.models import Recording

MAX_SPAN_MS = 31 * 24 * 3600 * 1000
GAP_MS = 5_000  # the spool ends a segment after this silence; shorter ones are no gap to a person
_BATCH = 500  # indexes of 20 KB at once: 10 MB

Span = tuple[int, int]  # epoch ms, half-open


def coverage(device_pks: Iterable[int], start_ms: int, end_ms: int) -> dict[int, list[Span]]:
    """Spans with video per device, in order, clipped to `[start_ms, end_ms)`.

    Silences up to GAP_MS do not split a span. Every device asked for is in the answer. Two queries
    for a day of twenty cameras, one more for every further 500 files that have gaps.
    """
    rows = list(
        Recording.objects.kept()
        .filter(device__in=device_pks)
        .overlapping(from_ms(start_ms), from_ms(end_ms))
        .order_by("device_id", "started_at", "pk")
        .values_list("device_id", "pk", "started_at", "ended_at", "duration_ms")
    )
    # A file whose media time fills its wall time has no gap, and its index need not be read.
    gappy = [
        pk
        for _, pk, started, ended, duration in rows
        if to_ms(ended) - to_ms(started) - duration > GAP_MS
    ]
    inside: dict[int, list[Span]] = {}
    for at in range(0, len(gappy), _BATCH):
        batch = gappy[at : at + _BATCH]
        blobs = Recording.objects.filter(pk__in=batch).values_list("pk", "fragment_index")
        inside.update((pk, list(spans_of(blob))) for pk, blob in blobs)
    covered: dict[int, list[Span]] = {pk: [] for pk in device_pks}
    for device_pk, own in groupby(rows, key=itemgetter(0)):
        spans: list[Span] = []
        for _, pk, started, ended, _ in own:
            origin = to_ms(started)
            whole = [(0, to_ms(ended) - origin)]
            spans.extend((origin + a, origin + b) for a, b in inside.get(pk, whole))
        covered[device_pk] = list(_clipped(_merged(sorted(spans)), start_ms, end_ms))
    return covered


def spans_of(blob: bytes | memoryview) -> Iterator[Span]:
    """Covered spans of one file, in ms after its `started_at`."""
    _, walls, durations = index.columns(blob)
    if not walls:
        return
    start = end = walls[0]
    # The plainest loop is also the fastest tried: 0.06 us a fragment, half of a map of operators.
    for wall, duration in zip(walls, durations, strict=True):
        if wall - end > GAP_MS:
            yield start, end
            start = wall
        end = wall + duration
    yield start, end


def seconds_per_day(device_pk: int, first: date, end: date) -> dict[date, int]:
    """Seconds of video by local day in `[first, end)`; days without any are left out.

    Rows carry the local date of their hour, so a day of 23 or 25 hours needs no arithmetic here.
    """
    rows = (
        Recording.objects.kept()
        .filter(device=device_pk, date__gte=first, date__lt=end)
        .values_list("date")
        .annotate(total_ms=Sum("duration_ms"))
        .order_by("date")
    )
    return {day: total_ms // 1000 for day, total_ms in rows}


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def from_ms(epoch_ms: int) -> datetime:
    """Raises ValueError or OverflowError beyond the years 1-9999."""
    return datetime.fromtimestamp(epoch_ms / 1000, tz=UTC)


def _merged(spans: Sequence[Span]) -> Iterator[Span]:
    """`spans` in order of their start."""
    current: Span | None = None
    for start, end in spans:
        if current is None:
            current = (start, end)
        elif start - current[1] <= GAP_MS:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def _clipped(spans: Iterable[Span], start_ms: int, end_ms: int) -> Iterator[Span]:
    for start, end in spans:
        if start < end_ms and end > start_ms:
            yield max(start, start_ms), min(end, end_ms)
