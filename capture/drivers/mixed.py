"""Pictures out of multipart/x-mixed-replace as cameras really send it. Pure.

The boundary is not needed, and just as well: headers announce `--x` where the stream says `x`, or
the other way round, or nothing. A part is what stands before an empty line; its picture is as long
as Content-Length says, or ends where the JPEG ends.
"""

from __future__ import annotations

import re

MAX_PICTURE_BYTES = 2 * 1024 * 1024
MAX_BETWEEN_BYTES = 64 * 1024  # the head of a part, and what may stand around it

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"^content-length\s*:\s*([0-9]{1,9})\s*$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type\s*:\s*([^\s;]+)", re.IGNORECASE | re.MULTILINE)
_SOS = 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


class TooLarge(ValueError):
    """A picture above MAX_PICTURE_BYTES."""


class Mixed:
    """`feed` it the body; ValueError when no picture is to be found in it any more."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length: int | None = None  # of the part being read; None: to the end of its JPEG
        self._is_in_part = False
        self._is_picture = True
        self._scanned = 0  # where the search for the end goes on

    def feed(self, data: bytes) -> list[bytes]:
        """Every picture that these bytes made whole."""
        self._buffer += data
        pictures: list[bytes] = []
        while self._step(pictures):
            pass
        return pictures

    def _step(self, pictures: list[bytes]) -> bool:
        """False: more bytes are needed."""
        if not self._is_in_part:
            return self._begin_part()
        end = self._length if self._length is not None else self._end_of_jpeg()
        if end is None or len(self._buffer) < end:
            if len(self._buffer) > MAX_PICTURE_BYTES:
                raise TooLarge
            return False
        if self._is_picture:
            pictures.append(bytes(self._buffer[:end]))
        del self._buffer[:end]
        self._is_in_part, self._scanned = False, 0
        return True

    def _begin_part(self) -> bool:
        bare = self._buffer.startswith(_SOI)  # pictures one after the other, without heads
        match = None if bare else _HEAD_END.search(self._buffer, self._scanned)
        if match is None and not bare:
            if len(self._buffer) > MAX_BETWEEN_BYTES:
                raise ValueError("no picture follows")
            self._scanned = max(0, len(self._buffer) - 3)
            return False
        head = bytes(self._buffer[: match.start()]) if match else b""
        if match and not head.strip():  # the line break that ends the part before
            del self._buffer[: match.end()]
            self._scanned = 0
            return True
        length, kind = _LENGTH.search(head), _TYPE.search(head)
        self._length = int(length[1]) if length and int(length[1]) else None
        if self._length is not None and self._length > MAX_PICTURE_BYTES:
            raise TooLarge
        self._is_picture = kind is None or kind[1].lower().startswith((b"image/", b"application/"))
        if match:
            del self._buffer[: match.end()]
        self._scanned = 0
        # Text without a length ends at the next head, where it is taken for more of that one.
        self._is_in_part = self._is_picture or self._length is not None
        return True

    def _end_of_jpeg(self) -> int | None:
        """Length of the JPEG at the start of the buffer; None where it has no end yet."""
        if not self._scanned:
            start = _entropy_start(self._buffer)
            if start is None:
                return None
            self._scanned = start
        end = self._buffer.find(_EOI, self._scanned)
        if end < 0:
            self._scanned = max(self._scanned, len(self._buffer) - 1)
            return None
        return end + 2


def _entropy_start(data: bytearray) -> int | None:
    """Behind the head of a JPEG (T.81 B.1.1): a thumbnail in it has an end marker of its own.

    None while it is not whole. Raises ValueError for something else.
    """
    if not data.startswith(_SOI[: len(data)]):
        raise ValueError("a part is no JPEG")
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("a picture's head is damaged")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == _SOS:
                return at if at <= len(data) else None
    return None
