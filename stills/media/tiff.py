"""TIFF 6.0 directories, read from files that nobody vouches for, and written.

Every offset and count is checked against the file before it is followed, so what a file claims
costs no more memory than `MAX_VALUE_BYTES` at a time, and no loop is walked twice.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
SUB_IFDS = 330
MAX_DIRECTORIES = 16  # a camera's raw file has two to six
MAX_ENTRIES = 512
MAX_VALUE_BYTES = 1 << 20  # the strips of a picture with 100,000 rows fit
_MAGIC = 42
_LAYOUTS = {
    BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", 6: "b", UNDEFINED: "B", 8: "h",
    9: "i", SRATIONAL: "ii", 11: "f", 12: "d", 13: "I",
}  # fmt: skip

Number = int | float


class TiffError(ValueError):
    """The bytes are not what a TIFF file has there."""


class Entry(NamedTuple):
    """`values`: whole numbers; of a rational its numerator and denominator one after the other."""

    tag: int
    type: int
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Directory:
    """One picture's description. Values are read when they are asked for."""

    file: BinaryIO
    size_bytes: int  # of the file
    order: str  # "<" or ">", as struct has it
    entries: Mapping[int, tuple[int, int, int]]  # by tag: type, count, where the values are

    def numbers(self, tag: int) -> tuple[Number, ...]:
        """Rationals as their quotient; () where the tag is missing. Raises TiffError, OSError."""
        if tag not in self.entries:
            return ()
        kind, count, offset = self.entries[tag]
        layout = _LAYOUTS.get(kind)
        if layout is None:
            raise TiffError(f"Tag {tag} has the unknown type {kind}.")
        size = struct.calcsize("=" + layout) * count
        if size > MAX_VALUE_BYTES:
            raise TiffError(f"Tag {tag} claims {size} bytes.")
        data = self.bytes_at(offset, size)
        found = struct.unpack(f"{self.order}{layout * count}", data)
        if not all(map(math.isfinite, found)):
            raise TiffError(f"Tag {tag} has no number.")
        if kind not in (RATIONAL, SRATIONAL):
            return found
        if 0 in found[1::2]:
            raise TiffError(f"Tag {tag} divides by zero.")
        return tuple(a / b for a, b in zip(found[::2], found[1::2], strict=True))

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Raises TiffError where the file has none there, OSError."""
        return read_at(self.file, offset, size, self.size_bytes)

    def number(self, tag: int, default: int = 0) -> int:
        """The first value, as a whole number."""
        found = self.numbers(tag)
        return int(found[0]) if found else default


def directories(file: BinaryIO) -> list[Directory]:
    """All of them: the main chain and those below, as far as the file makes sense.

    Raises TiffError where it is no TIFF at all, and OSError.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    head = read_at(file, 0, 8, size_bytes)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or struct.unpack(order + "H", head[2:4])[0] != _MAGIC:
        raise TiffError("That is no TIFF file.")
    waiting = [struct.unpack(order + "I", head[4:])[0]]
    seen: set[int] = set()
    found: list[Directory] = []
    while waiting and len(found) < MAX_DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        try:
            directory, following = _directory(file, offset, size_bytes, order)
            below = [int(number) for number in directory.numbers(SUB_IFDS)]
        except TiffError:
            if not found:
                raise
            continue
        found.append(directory)
        waiting += [*below[:MAX_DIRECTORIES], following]
    return found


def read_at(file: BinaryIO, offset: int, size: int, file_bytes: int) -> bytes:
    """Exactly `size` bytes. Raises TiffError where the file of `file_bytes` has none there."""
    if offset < 0 or size < 0 or offset + size > file_bytes:
        raise TiffError(f"{size} bytes at {offset} are not in a file of {file_bytes}.")
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise TiffError("The file became shorter while it was read.")
    return data


def encode(entries: Iterable[Entry], at: int) -> bytes:
    """A little-endian directory that stands at `at`, its longer values after it; no chain."""
    ordered = sorted(entries)
    body = struct.pack("<H", len(ordered))
    beyond = b""
    values_at = at + 2 + 12 * len(ordered) + 4
    for tag, kind, values in ordered:
        layout = _LAYOUTS[kind]
        count = len(values) // len(layout)
        data = struct.pack(f"<{layout * count}", *values)
        if len(data) > 4:
            place = struct.pack("<I", values_at + len(beyond))
            beyond += data + b"\0" * (len(data) % 2)  # values begin at even addresses
        else:
            place = data.ljust(4, b"\0")
        body += struct.pack("<HHI", tag, kind, count) + place
    return body + bytes(4) + beyond


def _directory(file: BinaryIO, offset: int, size_bytes: int, order: str) -> tuple[Directory, int]:
    """And where the next one of its chain is, 0 at its end."""
    (count,) = struct.unpack(order + "H", read_at(file, offset, 2, size_bytes))
    if not 0 < count <= MAX_ENTRIES:
        raise TiffError(f"A directory of {count} entries.")
    data = read_at(file, offset + 2, 12 * count + 4, size_bytes)
    entries = {}
    for number in range(count):
        tag, kind, values = struct.unpack_from(order + "HHI", data, 12 * number)
        size = struct.calcsize("=" + _LAYOUTS.get(kind, "")) * values
        place = offset + 2 + 12 * number + 8
        if size > 4:
            (place,) = struct.unpack_from(order + "I", data, 12 * number + 8)
        entries[tag] = (kind, values, place)
    (following,) = struct.unpack_from(order + "I", data, 12 * count)
    return Directory(file, size_bytes, order, entries), following
