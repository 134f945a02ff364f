"""Which frames of a segment are its own, where their sender began again after a restart.

A capture agent keeps what was not acknowledged and repeats it from the last key picture at or
before; so after a restart of the web process the end of an older segment stands in a newer one of
the same run again. Of two segments that hold the same frames the one that reaches further keeps
them, and the other one ends before them. Names and order of making play no part: a clock step may
have turned them round, and a second crash may have left the newer segment the shorter one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from recordings.exceptions import BadSegmentError
from recordings.media.matroska import Origin
from recordings.segments import PART_SUFFIX, SegmentFile, read_origin, read_places

TOLERANCE_US = 2_000  # times in a segment are cut to milliseconds
# A sender hears at most half a second later what is safe; what lies further behind the end of
# its run is never sent again.
SETTLED_US = 5_000_000
HOLD_SECONDS = 45.0  # an agent keeps 30 s for a recorder that is away
# How far off in the list a repeat is looked for. It is the next one, unless the clock was stepped
# during the restart itself; a step beyond so many segments would leave up to one GOP twice.
_NEAR = 64
# Starts of the same run before a segment's own that are looked at: so many restarts in its time.
_NEAREST_BEFORE = 8


class _Take(NamedTuple):
    """A segment in its sender's clock, microseconds."""

    start_ms: int
    first_us: int
    end_us: int  # the greatest time in it, of pictures and sound
    frames: int
    keys: tuple[tuple[int, int], ...]  # (number, time) of the key pictures

    def first_key_from(self, at_us: int) -> int | None:
        """Number of the first key picture that is not earlier."""
        return next(
            (number for number, key_us in self.keys if key_us >= at_us - TOLERANCE_US), None
        )

    def frames_from(self, at_us: int) -> int:
        number = self.first_key_from(at_us)
        return 0 if number is None else self.frames - number


def own_frames(segment: SegmentFile, segments: Sequence[SegmentFile]) -> int | None:
    """How many of its frames, from the first on, are its own; None: all of them.

    `segments`: all of its device, in the order of `list_segments`, `segment` among them. 0 where
    another one holds everything. Each frame is own to exactly one segment.
    """
    origin = _origin_of(segment)
    take = _take_of(segment, origin)
    if origin is None or take is None:
        return None
    starts = [
        other.first_us
        for other in _others(segment, origin, segments)
        if other.first_us <= take.end_us + TOLERANCE_US and _reaches_further(other, take)
    ]
    return take.first_key_from(min(starts)) if starts else None


def is_settled(segment: SegmentFile, segments: Sequence[SegmentFile]) -> bool:
    """Whether what `own_frames` says of this segment will stay so; False while it is written."""
    origin = _origin_of(segment)
    if segment.is_open:
        return False
    take = _take_of(segment, origin)
    if origin is None or take is None:
        return True
    try:
        age = time.time() - segment.path.stat().st_mtime
    except FileNotFoundError:
        return True
    if not 0 <= age < HOLD_SECONDS:  # below 0 the clock was set back: its age is not known
        return True
    goes_on = (other.end_us for other in _others(segment, origin, segments))
    return any(end_us >= take.end_us + SETTLED_US for end_us in goes_on)


def _reaches_further(other: _Take, take: _Take) -> bool:
    """Never true both ways. Equal ends: who has more frames of what both hold, then the name."""
    if abs(other.end_us - take.end_us) > TOLERANCE_US:
        return other.end_us > take.end_us
    common_us = max(other.first_us, take.first_us)
    theirs, own = other.frames_from(common_us), take.frames_from(common_us)
    return (theirs, other.start_ms) > (own, take.start_ms)


def _others(
    segment: SegmentFile, origin: Origin, segments: Sequence[SegmentFile]
) -> Iterator[_Take]:
    """Those of the same run that may hold frames of `segment`, and those that go on from it."""
    at = next((n for n, one in enumerate(segments) if one.start_ms == segment.start_ms), 0)
    same: list[tuple[int, SegmentFile, Origin]] = []
    for other in segments[max(0, at - _NEAR) : at + _NEAR + 1]:
        found = _origin_of(other) if other.start_ms != segment.start_ms else None
        if found is not None and found.run == origin.run:
            same.append((found.first_us, other, found))
    same.sort(key=lambda entry: entry[0])
    starts = sorted({entry[0] for entry in same if entry[0] < origin.first_us})[-_NEAREST_BEFORE:]
    before = [entry for entry in same if entry[0] in starts]
    take = _take_of(segment, origin)
    end_us = take.end_us if take else 0
    after = [entry for entry in same if entry[0] >= origin.first_us]
    # What begins behind the end matters only as the proof that the run goes on: the last one.
    inside = [entry for entry in after if entry[0] <= end_us + TOLERANCE_US]
    for _, other, found in (*before, *inside, *after[len(inside) :][-1:]):
        if (other_take := _take_of(other, found)) is not None:
            yield other_take


def _origin_of(segment: SegmentFile) -> Origin | None:
    try:
        return _read_origin(str(_final(segment)))
    except (BadSegmentError, FileNotFoundError):  # not remembered: its head may be on its way
        return None


def _take_of(segment: SegmentFile, origin: Origin | None) -> _Take | None:
    """None for a segment without an origin, or one that is gone or holds nothing."""
    if origin is None:
        return None
    final = str(_final(segment))
    try:
        return _read_take(final, segment.size_bytes, segment.start_ms, origin.first_us)
    except (BadSegmentError, FileNotFoundError):
        return None


def _final(segment: SegmentFile) -> Path:
    return segment.path.with_suffix("") if segment.is_open else segment.path


def _existing(final: str) -> Path:
    """It may have got its final name since it was listed."""
    path = Path(final)
    return path if path.exists() else path.with_name(path.name + PART_SUFFIX)


@lru_cache(maxsize=4096)  # a head never changes
def _read_origin(final: str) -> Origin | None:
    return read_origin(_existing(final))


@lru_cache(maxsize=512)  # by its size, which changes with every frame
def _read_take(final: str, size_bytes: int, start_ms: int, first_us: int) -> _Take | None:
    del size_bytes
    places = read_places(_existing(final))
    if not places:
        return None
    keys = tuple(
        (number, first_us + 1000 * place.time_ms)
        for number, place in enumerate(places)
        if place.is_key and not place.is_audio
    )
    end_us = first_us + 1000 * max(place.time_ms for place in places)
    return _Take(start_ms, first_us, end_us, len(places), keys)
