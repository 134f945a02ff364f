"""The fragment index of one hour file: 12 bytes a fragment, so an hour is about 20 KB in its row.

Little-endian, in file order::

    u32 size_bytes    of the whole fragment: Roost's uuid box + prft + moof + mdat
    u32 wall_ms       of its first frame, counted from the row's `started_at`
    u32 duration_ms   media time; equals wall time, because a fragment never spans a gap

The first fragment begins at byte `Recording.init_bytes` and at media time 0; offsets and media
times of the others are running sums, so they are not stored. `wall_ms` only ever rises inside one
file: a clock that goes back opens a new file. That is what makes `bisect` right here.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

ENTRY_BYTES = 12


class Entry(NamedTuple):
    """One fragment as it is stored, but with an absolute wall time (epoch ms)."""

    size_bytes: int
    wall_ms: int
    duration_ms: int


class Fragment(NamedTuple):
    """One fragment with its place: bytes in the file, media ms in the file, epoch ms."""

    offset_bytes: int
    size_bytes: int
    media_ms: int
    wall_ms: int
    duration_ms: int


class Columns(NamedTuple):
    """An index as three columns, for code that walks whole days (no object per fragment)."""

    size_bytes: Sequence[int]
    wall_ms: Sequence[int]
    duration_ms: Sequence[int]


def encode(entries: Iterable[Entry], started_ms: int) -> bytes:
    """`started_ms`: the row's `started_at`. Raises OverflowError for an entry before it."""
    numbers = array("I")
    for entry in entries:
        numbers.extend((entry.size_bytes, entry.wall_ms - started_ms, entry.duration_ms))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def columns(blob: bytes | memoryview) -> Columns:
    """`wall_ms` is relative to the row's `started_at` here. Raises ValueError for a torn index."""
    if len(blob) % ENTRY_BYTES:
        raise ValueError(f"a fragment index of {len(blob)} bytes is not whole entries")
    numbers = array("I")
    numbers.frombytes(blob)
    if sys.byteorder == "big":
        numbers.byteswap()
    return Columns(numbers[0::3], numbers[1::3], numbers[2::3])


def decode(blob: bytes | memoryview, *, started_ms: int, init_bytes: int) -> list[Fragment]:
    """Every fragment with its byte offset, media time and absolute wall time."""
    sizes, walls, durations = columns(blob)
    offsets = accumulate(sizes, initial=init_bytes)
    media = accumulate(durations, initial=0)
    return [
        Fragment(offset, size, start, started_ms + wall, duration)
        for offset, size, start, wall, duration in zip(
            offsets, sizes, media, walls, durations, strict=False
        )
    ]


def last_entry(blob: bytes | memoryview, started_ms: int) -> Entry | None:
    """The newest fragment without decoding the others."""
    if not blob:
        return None
    sizes, walls, durations = columns(blob[-ENTRY_BYTES:])
    return Entry(sizes[0], started_ms + walls[0], durations[0])


def position(walls: Sequence[int], wall_ms: int) -> int:
    """Index of the fragment that covers or most nearly precedes `wall_ms`; -1 before the first.

    `walls` and `wall_ms` must have the same origin (both absolute or both relative).
    """
    return bisect_right(walls, wall_ms) - 1
