"""Matroska as FFmpeg writes it into a pipe, taken apart while it comes (RFC 9559, RFC 8794).

What a camera sends live by FFmpeg, and what an encoder gives back. Only what such a stream needs:
the tracks, then every block the moment it is whole. Segment and Cluster may have a known or an
unknown size; neither matters to somebody who never goes back.
Everything is bounded, and nonsense raises ValueError.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAX_BLOCK_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 1024 * 1024  # Info and Tracks each; the parameter sets of a camera have 100 bytes
MAX_TRACKS = 16

_EBML = 0x1A45DFA3
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_INFO, _TIMESTAMP_SCALE = 0x1549A966, 0x2AD7B1
_TRACKS, _TRACK_ENTRY = 0x1654AE6B, 0xAE
_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP = 0xE7, 0xA3, 0xA0
_BLOCK, _REFERENCE_BLOCK = 0xA1, 0xFB
_ENTERED = frozenset((_SEGMENT, _CLUSTER))  # their children are taken as they come
_TAKEN = {  # read when they are whole: the most bytes each may have
    _INFO: MAX_HEAD_BYTES,
    _TRACKS: MAX_HEAD_BYTES,
    _TIMESTAMP: 8,
    _SIMPLE_BLOCK: MAX_BLOCK_BYTES,
    _BLOCK_GROUP: MAX_BLOCK_BYTES,
}
_NUMBER, _TYPE, _CODEC_ID, _CODEC_PRIVATE, _ENCODINGS = 0xD7, 0x83, 0x86, 0x63A2, 0x6D80
_CODEC_DELAY = 0x56AA
_VIDEO, _WIDTH, _HEIGHT = 0xE0, 0xB0, 0xBA
_AUDIO, _RATE, _CHANNELS = 0xE1, 0xB5, 0x9F
_KEYFRAME, _LACING = 0x80, 0x06
_TYPE_VIDEO, _TYPE_AUDIO = 1, 2
_MOST_BUFFERED = MAX_BLOCK_BYTES + 64


class LiveTrack(NamedTuple):
    """One track. `private`: avcC, hvcC, AudioSpecificConfig …, empty where the codec has none."""

    number: int
    codec_id: str  # as V_MPEG4/ISO/AVC
    private: bytes = b""
    is_audio: bool = False
    width: int = 0
    height: int = 0
    rate_hz: int = 0
    channels: int = 0
    delay_us: int = 0  # what the encoder put before the first sample; taken off already


class LiveBlock(NamedTuple):
    """One packet; `time_us` is its presentation time in the stream's own clock."""

    track: int
    time_us: int
    payload: bytes
    is_key: bool


Found = list[LiveTrack] | LiveBlock


class LiveMatroska:
    """`feed` it what the pipe gives. After a ValueError the stream is lost: it has no way back."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes still to come of an element that nobody reads
        self._scale_ns = 1_000_000
        self._cluster_ticks = 0
        self._delays: dict[int, int] = {}
        self._has_begun = False

    def feed(self, data: bytes) -> list[Found]:
        """What became whole by these bytes: the tracks as one list, blocks one by one."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer += data
        found: list[Found] = []
        at = 0
        while (after := self._element(at, found)) is not None:
            at = after
        if at:
            del self._buffer[:at]
        if len(self._buffer) > _MOST_BUFFERED:
            raise ValueError("an element of the stream is far too long")
        return found

    def _element(self, at: int, found: list[Found]) -> int | None:
        """Where the next one begins; None when this one is not whole yet."""
        head = _head(self._buffer, at)
        if head is None:
            return None
        element_id, size, body = head
        if not self._has_begun:
            if element_id != _EBML:
                raise ValueError("this is not Matroska")
            self._has_begun = True
        if element_id in _ENTERED:
            return body
        if size is None:
            raise ValueError(f"element {element_id:x} has no size")
        most = _TAKEN.get(element_id)
        if most is None:
            self._skip = max(0, body + size - len(self._buffer))
            return min(body + size, len(self._buffer))
        if size > most:
            raise ValueError(f"element {element_id:x} has {size} bytes")
        end = body + size
        if end > len(self._buffer):
            return None
        self._take(element_id, body, end, found)
        return end

    def _take(self, element_id: int, body: int, end: int, found: list[Found]) -> None:
        buffer = self._buffer
        if element_id == _SIMPLE_BLOCK:
            found.append(self._block(body, end, is_key=None))
        elif element_id == _TIMESTAMP:
            self._cluster_ticks = int.from_bytes(buffer[body:end], "big")
        elif element_id == _BLOCK_GROUP:
            self._group(body, end, found)
        elif element_id == _TRACKS:
            tracks = _tracks(bytes(buffer[body:end]))
            self._delays = {track.number: track.delay_us for track in tracks}
            found.append(tracks)
        else:
            scale = _children(bytes(buffer[body:end])).get(_TIMESTAMP_SCALE)
            self._scale_ns = _number(scale) if scale else 1_000_000
            if not 0 < self._scale_ns <= 1_000_000_000:
                raise ValueError(f"the time scale is {self._scale_ns} ns")

    def _group(self, at: int, end: int, found: list[Found]) -> None:
        """A block that refers to another is no key picture (RFC 9559 §5.1.3.5.5)."""
        block: tuple[int, int] | None = None
        is_key = True
        while at < end:
            element_id, body, after = _child(self._buffer, at, end)
            if element_id == _BLOCK:
                block = body, after
            elif element_id == _REFERENCE_BLOCK:
                is_key = False
            at = after
        if block is not None:
            found.append(self._block(*block, is_key=is_key))

    def _block(self, at: int, end: int, *, is_key: bool | None) -> LiveBlock:
        """`is_key` None: the block's own flag says it (SimpleBlock)."""
        buffer = self._buffer
        if end - at < 4:
            raise ValueError("a block is too short for its own head")
        first = buffer[at]
        if first & 0x80:
            track, at = first & 0x7F, at + 1
        else:
            track, at = _vint(buffer, at, end)
        if at + 3 > end:
            raise ValueError("a block is too short for its own head")
        flags = buffer[at + 2]
        if flags & _LACING:
            raise ValueError("several packets share a block, which live streams do not do")
        relative = int.from_bytes(buffer[at : at + 2], "big", signed=True)
        time_us = (self._cluster_ticks + relative) * self._scale_ns // 1000
        time_us -= self._delays.get(track, 0)  # RFC 9559 §5.1.4.1.25
        with memoryview(buffer) as view:
            payload = bytes(view[at + 3 : end])
        return LiveBlock(
            track, time_us, payload, bool(flags & _KEYFRAME) if is_key is None else is_key
        )


def _head(buffer: bytearray | bytes, at: int) -> tuple[int, int | None, int] | None:
    """(id, payload size or None for unknown, where the payload begins); None: not whole yet."""
    length = len(buffer)
    if at >= length:
        return None
    id_bytes = 9 - buffer[at].bit_length()
    if id_bytes > 4:
        raise ValueError("this is not Matroska")
    size_at = at + id_bytes
    if size_at >= length:
        return None
    size_bytes = 9 - buffer[size_at].bit_length()
    if size_bytes > 8:
        raise ValueError("an element's size has more than 8 bytes")
    body = size_at + size_bytes
    if body > length:
        return None
    mask = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(buffer[size_at:body], "big") & mask
    return int.from_bytes(buffer[at:size_at], "big"), None if size == mask else size, body


def _vint(buffer: bytearray, at: int, end: int) -> tuple[int, int]:
    """(a track number, what follows it)."""
    size = 9 - buffer[at].bit_length()
    if size > 8 or at + size > end:
        raise ValueError("a block's track is not a number")
    return int.from_bytes(buffer[at : at + size], "big") & ((1 << 7 * size) - 1), at + size


def _child(data: bytearray | bytes, at: int, end: int) -> tuple[int, int, int]:
    """(id, where the payload begins, where it ends) of an element that lies whole before `end`."""
    head = _head(data, at)
    if head is None or head[1] is None or head[2] + head[1] > end:
        raise ValueError("an element is longer than the one it lies in")
    return head[0], head[2], head[2] + head[1]


def _children(data: bytes) -> dict[int, bytes]:
    """The last of each kind."""
    found = {}
    at = 0
    while at < len(data):
        element_id, body, at = _child(data, at, len(data))
        found[element_id] = data[body:at]
    return found


def _tracks(data: bytes) -> list[LiveTrack]:
    """Video and sound; other tracks are left out."""
    found = []
    at = 0
    while at < len(data):
        element_id, body, at = _child(data, at, len(data))
        if element_id == _TRACK_ENTRY and (track := _track(_children(data[body:at]))):
            found.append(track)
            if len(found) > MAX_TRACKS:
                raise ValueError("the stream has too many tracks")
    return found


def _track(fields: dict[int, bytes]) -> LiveTrack | None:
    kind = _number(fields.get(_TYPE, b""))
    if kind not in (_TYPE_VIDEO, _TYPE_AUDIO):
        return None
    if _ENCODINGS in fields:
        raise ValueError("the track is compressed or encrypted")
    video, audio = _children(fields.get(_VIDEO, b"")), _children(fields.get(_AUDIO, b""))
    return LiveTrack(
        number=_number(fields.get(_NUMBER, b"")),
        codec_id=fields.get(_CODEC_ID, b"").rstrip(b"\0").decode("ascii", "replace"),
        private=fields.get(_CODEC_PRIVATE, b""),
        is_audio=kind == _TYPE_AUDIO,
        width=_number(video.get(_WIDTH, b"")),
        height=_number(video.get(_HEIGHT, b"")),
        rate_hz=_rate(audio.get(_RATE, b"")),
        channels=_number(audio.get(_CHANNELS, b"\1")) if audio else 0,
        delay_us=_number(fields.get(_CODEC_DELAY, b"")) // 1000,
    )


def _number(data: bytes) -> int:
    if len(data) > 8:
        raise ValueError("a number has more than 8 bytes")
    return int.from_bytes(data, "big")


def _rate(data: bytes) -> int:
    """SamplingFrequency is a float of 4 or 8 bytes; 0 where there is none."""
    if not data:
        return 0
    if len(data) not in (4, 8):
        raise ValueError("a sampling rate is no float")
    value: float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
    if not 0 < value < 1_000_000:
        raise ValueError("a sampling rate is out of range")
    return round(value)
