"""Byte-range HLS over hour files (RFC 8216, fragmented MP4).

An hour file is served as it lies on disk: the playlist names its init segment (ftyp+moov) with
EXT-X-MAP and groups of whole fragments with EXT-X-BYTERANGE. Media time runs on over gaps inside a
file, so a gap needs a new EXT-X-PROGRAM-DATE-TIME only; another file starts again at media time 0,
perhaps with other parameters, so it needs EXT-X-DISCONTINUITY and its own EXT-X-MAP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import NamedTuple

from recordings.media import index

# A group is closed by the fragment that brings it to 5 s: 6 s with the packager's 2 s fragments.
# That needs no look at what follows, so an open hour's groups never change once they are listed
# (an EVENT playlist may only be appended to, §6.2.1).
GROUP_MS = 5_000
# Enough for the packager's own fragments. A camera's GOP may be longer, up to a minute; the target is
# then doubled until it fits, because a playlist may not change it between reloads (§6.2.1) and the
# next GOP may be a little longer than those listed.
TARGET_SECONDS = 8
# Wall time may stray this far from media time before a new date is written.
DRIFT_MS = 250
# FFmpeg 9.0 joins neighbouring ranges of one address to one request and then plays only the first
# of them (from any server); every second segment has this behind its address, which means nothing.
OTHER_ADDRESS = "?2"
VERSION = 7  # §7: 6 for EXT-X-MAP in a media playlist; Apple's players want 7 for fragmented MP4


@dataclass(frozen=True, slots=True)
class HourFile:
    """`is_open`: the packager may still append to it."""

    uri: str
    started_ms: int
    init_bytes: int
    fragment_index: bytes | memoryview
    is_open: bool = False


class Group(NamedTuple):
    """Neighbouring fragments played as one segment; `wall_ms` (epoch) only where time jumped."""

    offset_bytes: int
    size_bytes: int
    duration_ms: int
    wall_ms: int | None


def render(files: Iterable[HourFile], *, start_ms: int, end_ms: int, is_growing: bool) -> str:
    """The playlist of `[start_ms, end_ms)`, or "" where the files hold no video of that span.

    The first segment begins at the fragment, so at the keyframe, that covers `start_ms`. A growing
    playlist ends without EXT-X-ENDLIST and is asked for again by the player.
    """
    lines: list[str] = []
    longest_ms = 0
    for file in files:
        addresses = cycle((file.uri, file.uri + OTHER_ADDRESS))
        is_first = True
        for offset, size, duration, wall_ms in groups(file, start_ms, end_ms):
            if is_first:
                is_first = False
                if lines:
                    lines.append("#EXT-X-DISCONTINUITY")
                lines.append(f'#EXT-X-MAP:URI="{file.uri}",BYTERANGE="{file.init_bytes}@0"')
            if wall_ms is not None:
                lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_iso(wall_ms)}")
            longest_ms = max(longest_ms, duration)
            lines.append(f"#EXTINF:{duration / 1000:.3f},")
            lines.append(f"#EXT-X-BYTERANGE:{size}@{offset}")
            lines.append(next(addresses))
    if not lines:
        return ""
    head = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{_target_seconds(longest_ms)}",
        f"#EXT-X-PLAYLIST-TYPE:{'EVENT' if is_growing else 'VOD'}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-INDEPENDENT-SEGMENTS",  # each fragment begins with a key picture
    ]
    tail = [] if is_growing else ["#EXT-X-ENDLIST"]
    return "\n".join([*head, *lines, *tail, ""])


def groups(file: HourFile, start_ms: int, end_ms: int) -> Iterator[Group]:
    """The last, unfinished group of an open file is left out until it is full."""
    sizes, walls, durations = index.columns(file.fragment_index)
    start, end = start_ms - file.started_ms, end_ms - file.started_ms
    first = max(0, index.position(walls, start))
    if first < len(walls) and walls[first] + durations[first] <= start:
        first += 1
    last = bisect_left(walls, end)
    offset = file.init_bytes + sum(sizes[:first])
    size = duration = 0
    date: int | None = None
    expected = -DRIFT_MS - 1  # so that the first group gets a date
    for fragment_size, wall, fragment_duration in zip(
        sizes[first:last], walls[first:last], durations[first:last], strict=True
    ):
        if not -DRIFT_MS <= wall - expected <= DRIFT_MS:
            if size:
                yield Group(offset, size, duration, date)
                offset += size
                size = duration = 0
            date = file.started_ms + wall
            expected = wall
        size += fragment_size
        duration += fragment_duration
        # Media time, not `wall`: small strays add up and must become a new date in the end.
        expected += fragment_duration
        if duration >= GROUP_MS:
            yield Group(offset, size, duration, date)
            offset += size
            size = duration = 0
            date = None
    if size and not (file.is_open and last == len(walls)):
        yield Group(offset, size, duration, date)


def _target_seconds(longest_ms: int) -> int:
    """§4.3.3.1: every EXTINF, rounded, is at most this."""
    target = TARGET_SECONDS
    while target < (longest_ms + 500) // 1000:
        target *= 2
    return target


def _iso(wall_ms: int) -> str:
    at = datetime.fromtimestamp(wall_ms / 1000, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"
