"""Where a camera has no video, and why: holes in what is kept, explained by what happened to it.

A hole is a silence of more than GAP_MS, as the timeline draws it; what is in the spool counts as
kept. Its cause is what a camera's events say around its beginning, else the state the camera was
in. A source that is tried again and again says several things during one hole: the last counts.
Of a camera that was just gone its next boot may tell why, and the signal it had last.

Whatever span is asked for, a hole is looked at whole: one over midnight is told alike on both days.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from itertools import chain, pairwise
from operator import itemgetter
from typing import NamedTuple

from django.conf import settings
from django.db.models import F

from devices.models import Device, DeviceEvent, Presence, inactive_after
from devices.services import RECORDER_GONE, RECORDER_STOPPED
from recordings.exceptions import BadSegmentError
from recordings.models import Deletion, Recording
from recordings.segments import GAP_MS, SegmentFile, list_segments, read_extent
from recordings.timeline import Span, coverage, from_ms, to_ms

MAX_SPAN_MS = 7 * 24 * 3600 * 1000
# An event is written up to 10 s after the last picture, by clocks that may differ a little.
_AROUND_MS = 15_000
# A picture is written a tenth of a second after it came; one a second is the slowest usual stream.
_WRITTEN_MS = 2_000
# When a recorder was killed is known to the minute only (devices.reports.mark_disconnected).
_RECORDER_BEFORE_MS = 90_000
# A reset that ended the video shows in a boot that follows at once: joining the Wi-Fi comes later.
_BOOT_MS = 60_000
WEAK_SIGNAL_DBM = -80  # below it an ESP32 loses more than it gets through

Kind = DeviceEvent.Kind
_STATES = (Kind.CONNECTED, Kind.DISCONNECTED, Kind.ASLEEP)
_KINDS = (*_STATES, Kind.BOOTED, Kind.STALLED, Kind.PAUSED, Kind.ERROR, Kind.LIMIT)


class Cause(StrEnum):
    ASLEEP = "asleep"
    MISSING = "missing"
    OFFLINE = "offline"
    WEAK_SIGNAL = "weak_signal"
    POWER = "power"
    BROWNOUT = "brownout"
    CRASH = "crash"
    WATCHDOG = "watchdog"
    RESTARTED = "restarted"
    STALLED = "stalled"
    REFUSED = "refused"
    PAUSED = "paused"
    RECORDER = "recorder"
    DISK = "disk"
    DELETED = "deleted"
    UNKNOWN = "unknown"


class Gap(NamedTuple):
    """`[start_ms, end_ms)` without video; `sentence` has no full stop, other text may follow.

    It is the part of a silence that lies in the span asked for and has this cause; the silence
    itself is `[began_ms, ended_ms)`, None while it lasts.
    """

    start_ms: int
    end_ms: int
    cause: str
    sentence: str
    began_ms: int
    ended_ms: int | None


class _Event(NamedTuple):
    at_ms: int
    kind: str
    detail: str
    rssi_dbm: int | None


class _Why(NamedTuple):
    """`weight`: 3 explains a hole that begins with it, 2 in words of its own, 1 in general."""

    weight: int
    cause: Cause
    sentence: str


_UNKNOWN = _Why(0, Cause.UNKNOWN, "No video, and nothing says why")
_NO_PICTURE = _Why(1, Cause.STALLED, "Connected, but sent no picture")
_ASLEEP = _Why(3, Cause.ASLEEP, "Asleep")
# Kinds of events whose own words play no part.
_WORDLESS: dict[str, _Why] = {
    Kind.ASLEEP: _ASLEEP,
    Kind.STALLED: _NO_PICTURE,
    Kind.CONNECTED: _NO_PICTURE,
}
# What cameras say of why they booted: the cause, what happened, and what may have been the case
# when the boot came long after the video ended.
_RESETS: dict[str, tuple[Cause, str, str]] = {
    "power_on": (Cause.POWER, "It lost its power", "it had been without power"),
    "brownout": (
        Cause.BROWNOUT,
        "Its supply voltage fell too low, which restarted it",
        "a supply voltage that fell too low had restarted it",
    ),
    "panic": (Cause.CRASH, "Its firmware crashed and restarted", "its firmware had crashed"),
    "watchdog": (Cause.WATCHDOG, "Its firmware hung and was restarted", "its firmware had hung"),
    "software": (Cause.RESTARTED, "It restarted itself", "it had restarted itself"),
    "simulator": (Cause.OFFLINE, "Its simulator was stopped", "its simulator had been stopped"),
}
_WAKES = ("motion", "timer")
# Only that nothing came is known: a boot explains these.
_VAGUE = (Cause.OFFLINE, Cause.STALLED, Cause.UNKNOWN, Cause.WEAK_SIGNAL)


def gaps(device_pk: int, start_ms: int, end_ms: int) -> list[Gap]:
    """Oldest first, within `[start_ms, end_ms)` and up to now. Raises Device.DoesNotExist."""
    fields = ("mac", "created_at", "presence", "last_seen_at")
    device = Device.objects.only(*fields).get(pk=device_pk)
    now_ms = time.time_ns() // 1_000_000
    end_ms = min(end_ms, now_ms)
    first_ms, last_ms = _widened(device_pk, start_ms, end_ms, now_ms)
    spans = coverage([device_pk], first_ms, last_ms)[device_pk]
    spans = _merged([*spans, *_spool_spans(device, first_ms, last_ms)])
    # What was before the camera was added is no gap; footage that is older than its row is.
    added_ms = min([to_ms(device.created_at), *(start for start, _ in spans[:1])])
    holes = _holes(spans, max(first_ms, added_ms), last_ms)
    holes_here = [(a, b) for a, b in holes if a < end_ms and b > start_ms]
    if not holes_here:
        return []
    deleted = _deleted_spans(device_pk, holes_here[0][0], holes_here[-1][1])
    events = _events(device_pk, holes_here[0][0], holes_here[-1][1])
    missing_ms = _missing_since_ms(device)
    found: list[Gap] = []
    for hole in holes_here:
        for silence in _holes(deleted, *hole):
            found.extend(_told(silence, _why(silence, events), missing_ms, now_ms))
        gone = ((max(start, hole[0]), min(end, hole[1])) for start, end in deleted)
        was_deleted = _Why(1, Cause.DELETED, "The video was deleted")
        for span in gone:
            if span[1] - span[0] > GAP_MS:
                found.extend(_told(span, was_deleted, None, now_ms))
    return sorted(_clipped(found, start_ms, end_ms), key=itemgetter(0))


# --- what there is -------------------------------------------------------------------------------


def _widened(device_pk: int, start_ms: int, end_ms: int, now_ms: int) -> Span:
    """From the beginning of the file before the span to that of the one after it, or to now."""
    rows = Recording.objects.kept().filter(device=device_pk)
    started = rows.values_list("started_at", flat=True)
    before = started.filter(started_at__lt=from_ms(start_ms)).order_by("-started_at").first()
    after = started.filter(started_at__gte=from_ms(end_ms)).order_by("started_at").first()
    return to_ms(before) if before else 0, to_ms(after) if after else now_ms


def _spool_spans(device: Device, start_ms: int, end_ms: int) -> Iterator[Span]:
    segments = list_segments(settings.SPOOL_DIR / device.directory)
    usual_ms = 1000 * settings.NVR_SEGMENT_SECONDS + GAP_MS
    following: Iterator[SegmentFile | None] = chain(segments[1:], (None,))
    for segment, after in zip(segments, following, strict=False):  # the last has none
        if segment.start_ms >= end_ms:
            return
        try:
            # A spool that waits for a worker has thousands: only the ends before a hole are read.
            # A short segment is no sign of one that followed at once: a camera may have slept.
            if after is not None and _is_followed(segment, after, usual_ms):
                reaches_ms = after.start_ms
            else:
                reaches_ms = segment.start_ms + read_extent(segment.path).last_ms
        except (BadSegmentError, FileNotFoundError):
            continue
        if reaches_ms >= start_ms:
            yield segment.start_ms, reaches_ms


def _is_followed(segment: SegmentFile, after: SegmentFile, usual_ms: int) -> bool:
    """Without reading it: it was written to until the next one began. Raises FileNotFoundError."""
    if after.start_ms - segment.start_ms > usual_ms:
        return False
    written_ms = segment.path.stat().st_mtime_ns // 1_000_000
    return after.start_ms - written_ms <= _WRITTEN_MS


def _deleted_spans(device_pk: int, start_ms: int, end_ms: int) -> list[Span]:
    rows = Deletion.objects.filter(
        device=device_pk, started_at__lt=from_ms(end_ms), ended_at__gt=from_ms(start_ms)
    )
    times = rows.values_list("started_at", "ended_at")
    return _merged([(to_ms(started), to_ms(ended)) for started, ended in times])


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] <= GAP_MS:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _holes(spans: Sequence[Span], start_ms: int, end_ms: int) -> Iterator[Span]:
    """Between `spans`, which are in order."""
    edges = [(start_ms, start_ms), *spans, (end_ms, end_ms)]
    for (_, before), (after, _) in pairwise(edges):
        start, end = max(before, start_ms), min(after, end_ms)
        if end - start > GAP_MS:
            yield start, end


# --- why not -------------------------------------------------------------------------------------


def _events(device_pk: int, start_ms: int, end_ms: int) -> list[_Event]:
    """In order; before them the one that says in which state the camera was at `start_ms`."""
    rows = DeviceEvent.objects.filter(device=device_pk)
    first = from_ms(max(0, start_ms - _RECORDER_BEFORE_MS))
    states = rows.filter(kind__in=_STATES, at__lt=first).order_by("-at", "-pk")
    during = rows.filter(kind__in=_KINDS, at__gte=first, at__lt=from_ms(end_ms))
    fields = ("at", "kind", "detail", "rssi_dbm")
    found = [
        *states.values_list(*fields)[:1],
        *during.order_by(F("at").asc(), "pk").values_list(*fields),
    ]
    return [_Event(to_ms(at), *rest) for at, *rest in found]


def _missing_since_ms(device: Device) -> int | None:
    """Of a camera that sleeps: from when on that is no longer expected. None: it is not asleep."""
    if device.presence != Presence.ASLEEP:
        return None
    return to_ms(device.last_seen_at + inactive_after())


def _told(silence: Span, why: _Why, missing_ms: int | None, now_ms: int) -> Iterator[Gap]:
    start, end = silence
    whole = (start, end if end < now_ms else None)
    if why.cause != Cause.ASLEEP or missing_ms is None or end <= missing_ms:
        yield Gap(start, end, why.cause.value, why.sentence, *whole)
        return
    if start < missing_ms:
        yield Gap(start, missing_ms, why.cause.value, why.sentence, *whole)
    hours = inactive_after() // timedelta(hours=1)
    sentence = f"Missing: it went to sleep and was not heard of for {hours} h"
    yield Gap(max(start, missing_ms), end, Cause.MISSING.value, sentence, *whole)


def _clipped(found: Iterable[Gap], start_ms: int, end_ms: int) -> Iterator[Gap]:
    for gap in found:
        start, end = max(gap.start_ms, start_ms), min(gap.end_ms, end_ms)
        if start < end:
            yield gap._replace(start_ms=start, end_ms=end)


def _why(hole: Span, events: Sequence[_Event]) -> _Why:
    start, end = hole
    state = _UNKNOWN
    worded: list[_Why] = []
    general: list[tuple[bool, _Why]] = []
    for event in events:
        why = _explained(event)
        is_at_start = start - _AROUND_MS <= event.at_ms <= start + _AROUND_MS
        if why.weight == 3 and (is_at_start or _is_end_of_recorder(event, why, start)):
            return why
        if event.at_ms <= start + _AROUND_MS and event.kind in _STATES:
            state = why
        if start - _AROUND_MS <= event.at_ms < end:
            if why.weight == 2:
                worded.append(why)
            elif why.weight == 1 and event.kind != Kind.CONNECTED:
                general.append((event.kind == Kind.STALLED, why))
    if worded:
        return worded[-1]
    # A camera that hangs up was silent first, so a connection that ended says more.
    general.sort(key=itemgetter(0))
    plain = general[0][1] if general else state
    return _by_boot(hole, events, plain) if plain.cause in _VAGUE else plain


def _by_boot(hole: Span, events: Sequence[_Event], plain: _Why) -> _Why:
    """`plain`, unless the next boot of the camera says more."""
    start, end = hole
    boots = (event for event in events if event.kind == Kind.BOOTED)
    boot = next((event for event in boots if start - _AROUND_MS <= event.at_ms < end), None)
    if boot is None:
        return plain
    if boot.detail in _WAKES:  # only who slept is woken; what it said before got lost
        return _Why(1, Cause.ASLEEP, "Asleep, though it could not say so")
    if boot.detail not in _RESETS:
        return plain
    cause, what, later = _RESETS[boot.detail]
    if boot.at_ms <= start + _BOOT_MS:
        return _Why(1, cause, what)
    if plain.cause == Cause.WEAK_SIGNAL:
        return plain  # known of the moment it went, which the boot is not
    return _Why(1, cause, f"{plain.sentence}; when it came back {later}")


def _is_end_of_recorder(event: _Event, why: _Why, start_ms: int) -> bool:
    return why.cause == Cause.RECORDER and 0 <= start_ms - event.at_ms <= _RECORDER_BEFORE_MS


def _explained(event: _Event) -> _Why:
    detail = event.detail.strip().rstrip(".")
    match event.kind:
        case Kind.DISCONNECTED:
            why = _disconnected(detail, is_sentence=event.detail.rstrip().endswith("."))
            return _with_signal(why, event)
        case Kind.PAUSED:
            return _Why(2, Cause.PAUSED, detail)
        case Kind.LIMIT if detail.startswith("Disconnected"):
            return _Why(2, Cause.REFUSED, detail)
        case Kind.ERROR:
            return _failed(detail)
    return _with_signal(_WORDLESS.get(event.kind, _UNKNOWN), event)


def _with_signal(why: _Why, event: _Event) -> _Why:
    """That the camera was hardly to be heard before it fell silent is why."""
    rssi = event.rssi_dbm
    if why.cause not in _VAGUE or why.weight != 1 or rssi is None or rssi > WEAK_SIGNAL_DBM:
        return why
    return why._replace(
        cause=Cause.WEAK_SIGNAL, sentence=f"{why.sentence}: its Wi-Fi signal was weak, {rssi} dBm"
    )


def _failed(detail: str) -> _Why:
    """Only what ends a recording: a frame that was dropped is weather."""
    if "key picture" in detail:
        return _Why(2, Cause.STALLED, detail)
    if detail.startswith("Not recording"):
        return _Why(3, Cause.DISK if "disk" in detail else Cause.UNKNOWN, detail)
    return _UNKNOWN


def _disconnected(detail: str, *, is_sentence: bool) -> _Why:
    if detail in (RECORDER_STOPPED, RECORDER_GONE):
        return _Why(3, Cause.RECORDER, "The recorder was not running")
    # A source's sentence may begin with its host: "192.168.1.20 is there, but ...".
    if not (is_sentence or detail[:1].isupper()):  # why a connection ended, in two words of ours
        said = f" ({detail})" if detail and detail != "the connection ended" else ""
        return _Why(1, Cause.OFFLINE, f"Not connected{said}")
    # What a source says of itself. Its code is not in the event, but whoever is not let in is
    # always told so in these words (capture.drivers.words).
    words = ("password", "logged in", "does not let")
    is_refused = any(word in detail for word in words)
    return _Why(2, Cause.REFUSED if is_refused else Cause.OFFLINE, detail)
