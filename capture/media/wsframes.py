"""WebSocket frames cut out of a byte stream (RFC 6455 §5.2), for a server's side.

Written for cameras that drip: bytes are gathered until a whole frame is there and are
unmasked once, instead of being sliced, copied and unmasked for every 1,436-byte chunk.
"""

from __future__ import annotations

from typing import NamedTuple

try:  # the compiled routine of the websockets package; the other one is 30 times slower
    from websockets.speedups import apply_mask

    IS_NATIVE = True
except ImportError:
    from websockets.utils import apply_mask

    IS_NATIVE = False

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR, TOO_BIG = 1002, 1009
_NO_MASK = b"\x00\x00\x00\x00"  # what the ESP32 library sends: nothing to undo
_DATA = frozenset((CONTINUATION, TEXT, BINARY))
_CONTROL = frozenset((CLOSE, PING, PONG))
_MAX_FRAGMENTS = 4096  # 2 MB in the ESP-IDF client's 1 KB fragments, with room


class FrameError(Exception):
    """The stream cannot be followed any further; `code` is the close code to answer with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """A whole unmasked data message, or one control frame with its header as it came."""

    opcode: int
    payload: bytes

    @property
    def is_control(self) -> bool:
        return self.opcode >= CLOSE


def server_header(opcode: int, length: int) -> bytes:
    """Of a whole, unmasked frame with `length` bytes of payload."""
    first = bytes((0x80 | opcode,))
    if length < 126:
        return first + bytes((length,))
    if length < 65536:
        return first + b"\x7e" + length.to_bytes(2, "big")
    return first + b"\x7f" + length.to_bytes(8, "big")


class FrameReader:
    """`feed` bytes, then take messages with `next_message` until it returns None."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._needed = 2  # bytes before another look can be worth it
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._opcode = CONTINUATION  # of the fragmented message under way

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer) + self._parts_bytes

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> Message | None:
        """None: more bytes are needed. Raises FrameError; the reader is of no use after that."""
        while len(self._buffer) >= self._needed:
            header = self._read_header()
            if header is None:
                return None
            opcode, is_final, start, length = header
            end = start + length
            if len(self._buffer) < end:
                self._needed = end
                return None
            if opcode in _CONTROL:
                message: Message | None = Message(opcode, bytes(self._buffer[:end]))
            else:
                message = self._join(opcode, is_final, self._payload(start, end))
            del self._buffer[:end]
            self._needed = 2
            if message is not None:
                return message
        return None

    def _read_header(self) -> tuple[int, bool, int, int] | None:
        """(opcode, is final, offset of the payload, its length); None while it is incomplete."""
        buffer = self._buffer
        opcode, length, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 6
        self._check_first_bytes(buffer[0], buffer[1], opcode, length)
        if length == 126:
            start = 8
        elif length == 127:
            start = 14
        if len(buffer) < start:
            self._needed = start
            return None
        if length >= 126:
            length = int.from_bytes(buffer[2 : start - 4], "big")
        if opcode in _DATA and length + self._parts_bytes > self._max:
            raise FrameError(TOO_BIG, f"a message may have {self._max} bytes")
        return opcode, buffer[0] >= 0x80, start, length

    def _check_first_bytes(self, first: int, second: int, opcode: int, length: int) -> None:
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "no extension was agreed on")
        if not second & 0x80:
            raise FrameError(PROTOCOL_ERROR, "a client's frames are masked")
        if opcode in _CONTROL:
            if length > 125 or not first & 0x80:
                raise FrameError(PROTOCOL_ERROR, "a control frame is short and whole")
        elif opcode not in _DATA:
            raise FrameError(PROTOCOL_ERROR, "unknown opcode")
        elif (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise FrameError(PROTOCOL_ERROR, "fragments are out of order")

    def _payload(self, start: int, end: int) -> bytes:
        mask = self._buffer[start - 4 : start]
        with memoryview(self._buffer) as view, view[start:end] as masked:
            return bytes(masked) if mask == _NO_MASK else apply_mask(masked, bytes(mask))

    def _join(self, opcode: int, is_final: bool, payload: bytes) -> Message | None:
        if opcode != CONTINUATION and is_final:
            return Message(opcode, payload)
        if opcode != CONTINUATION:
            self._opcode = opcode
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if len(self._parts) > _MAX_FRAGMENTS:
            raise FrameError(TOO_BIG, f"a message may have {_MAX_FRAGMENTS} fragments")
        if not is_final:
            return None
        message = Message(self._opcode, b"".join(self._parts))
        self._parts, self._parts_bytes, self._opcode = [], 0, CONTINUATION
        return message
