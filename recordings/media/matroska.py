"""The little Matroska a spool segment needs: one head, then one cluster a frame.

A cluster of its own for every frame costs 31 bytes and buys three things: a frame is complete in
the file the moment it is written (nothing waits for an index, a trailer or a cluster's end), a
crash can tear only the very last frame, and finding where the whole frames end needs no parser of
the pictures. The Segment element has no size ("unknown size", RFC 9559 §5), as in a live stream,
so the file only ever grows. FFmpeg, VLC and PyAV read it as any other Matroska file.

Blocks stand in decode order and carry presentation times, as Matroska wants it; sound is track 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

CODEC_IDS = {"mjpeg": "V_MJPEG", "h264": "V_MPEG4/ISO/AVC", "hevc": "V_MPEGH/ISO/HEVC"}
AUDIO_CODEC_IDS = {"aac": "A_AAC"}
VIDEO_TRACK, AUDIO_TRACK = 1, 2

_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067
_INFO = 0x1549A966
_TRACKS = 0x1654AE6B
_CLUSTER = 0x1F43B675
_TRACK_ENTRY, _VIDEO, _AUDIO = 0xAE, 0xE0, 0xE1
_TRACK_NUMBER, _CODEC_ID, _CODEC_PRIVATE = 0xD7, 0x86, 0x63A2
_WIDTH, _HEIGHT, _RATE, _CHANNELS = 0xB0, 0xBA, 0xB5, 0x9F
_SEGMENT_UUID = 0x73A4
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_SIZE_8 = 1 << 56  # the length marker of an 8-byte EBML size
_KEYFRAME = 0x80

# Cluster id and size, Timestamp (E7, 4 bytes), SimpleBlock (A3) size, track, relative time, flags.
_BLOCK = struct.Struct(">IQHIBQBhB")
BLOCK_HEADER_BYTES = _BLOCK.size
_TIMESTAMP_HEAD = 0xE784
_SIMPLE_BLOCK = 0xA3
_BLOCK_FIELDS_BYTES = 4  # track, relative time, flags
_CLUSTER_FIELDS_BYTES = 6 + 9 + _BLOCK_FIELDS_BYTES

_FIRST_READ_BYTES = 1024
MAX_CONFIG_BYTES = 16 * 1024  # an hvcC of a camera has about 100
MAX_HEAD_BYTES = _FIRST_READ_BYTES + 2 * MAX_CONFIG_BYTES
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
MIN_TIME_MS = -0x8000  # what a block may lie before the segment's first picture
_EPOCH_2001_MS = 978_307_200_000


class Audio(NamedTuple):
    """Sound beside the picture; `config` is the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2)."""

    codec: str
    rate_hz: int
    channels: int
    config: bytes


class Track(NamedTuple):
    """What the head says: FFmpeg's codec name, the size in pixels, the avcC or hvcC record, sound."""

    codec: str
    width: int
    height: int
    config: bytes = b""
    audio: Audio | None = None


class Origin(NamedTuple):
    """Where a pulled camera's packets come from: the sender's run, and the capture time of the
    segment's first picture in the sender's monotonic clock, microseconds. Both unsigned 64 bit.
    """

    run: int
    first_us: int


class Head(NamedTuple):
    """`origin` is None for a camera that dials in itself."""

    track: Track
    origin: Origin | None


class Block(NamedTuple):
    """One picture or one access unit of sound; `time_ms` counts from the segment's first picture.

    It is below 0 for sound and for leading pictures that are shown before that one.
    """

    time_ms: int
    payload: bytes
    is_key: bool = True
    is_audio: bool = False


class Place(NamedTuple):
    """A block without its bytes: where they lie in the file."""

    time_ms: int
    size_bytes: int
    offset_bytes: int
    is_key: bool
    is_audio: bool


class Extent(NamedTuple):
    """The whole frames of a segment, sound included: how many, the greatest time of a picture,
    bytes up to their end.
    """

    frames: int
    last_ms: int
    end_bytes: int


def _size(length: int) -> bytes:
    return (length | 1 << 28).to_bytes(4, "big") if length >= 0x7F else bytes((0x80 | length,))


def _element(element_id: int, payload: bytes) -> bytes:
    name = element_id.to_bytes((element_id.bit_length() + 7) // 8, "big")
    return name + _size(len(payload)) + payload


def _number(element_id: int, value: int) -> bytes:
    return _element(element_id, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def head(track: Track, wall_ms: int, origin: Origin | None = None) -> bytes:
    """EBML head, Segment, Info and Tracks. `wall_ms`: epoch ms of the first frame (DateUTC).

    Raises ValueError for a config that no head can hold.
    """
    date_ns = (wall_ms - _EPOCH_2001_MS) * 1_000_000
    ebml = (
        _number(0x4286, 1)  # EBMLVersion
        + _number(0x42F7, 1)  # EBMLReadVersion
        + _number(0x42F2, 4)  # EBMLMaxIDLength
        + _number(0x42F3, 8)  # EBMLMaxSizeLength
        + _element(0x4282, b"matroska")  # DocType
        + _number(0x4287, 4)  # DocTypeVersion
        + _number(0x4285, 2)  # DocTypeReadVersion
    )
    info = (
        _number(0x2AD7B1, 1_000_000)  # TimestampScale: milliseconds
        + _element(0x4461, date_ns.to_bytes(8, "big", signed=True))  # DateUTC
        + _element(0x4D80, b"Roost")  # MuxingApp
        + _element(0x5741, b"Roost")  # WritingApp
    )
    if origin is not None:
        info += _element(_SEGMENT_UUID, struct.pack(">QQ", *origin))
    entries = _element(_TRACK_ENTRY, _video_entry(track))
    if track.audio is not None:
        entries += _element(_TRACK_ENTRY, _audio_entry(track.audio))
    return (
        _element(_EBML, ebml)
        + _SEGMENT.to_bytes(4, "big")
        + _UNKNOWN_SIZE
        + _element(_INFO, info)
        + _element(_TRACKS, entries)
    )


def _video_entry(track: Track) -> bytes:
    video = _number(_WIDTH, track.width) + _number(_HEIGHT, track.height)
    return (
        _number(_TRACK_NUMBER, VIDEO_TRACK)
        + _number(0x73C5, VIDEO_TRACK)  # TrackUID
        + _number(0x83, 1)  # TrackType: video
        + _number(0x9C, 0)  # FlagLacing
        + _element(_CODEC_ID, CODEC_IDS[track.codec].encode())
        + _private(track.config)
        + _element(_VIDEO, video)
    )


def _audio_entry(audio: Audio) -> bytes:
    rate = _element(_RATE, struct.pack(">d", audio.rate_hz))
    return (
        _number(_TRACK_NUMBER, AUDIO_TRACK)
        + _number(0x73C5, AUDIO_TRACK)  # TrackUID
        + _number(0x83, 2)  # TrackType: audio
        + _number(0x9C, 0)  # FlagLacing
        + _element(_CODEC_ID, AUDIO_CODEC_IDS[audio.codec].encode())
        + _private(audio.config)
        + _element(_AUDIO, rate + _number(_CHANNELS, audio.channels))
    )


def _private(config: bytes) -> bytes:
    if len(config) > MAX_CONFIG_BYTES:
        raise ValueError(f"a codec configuration of {len(config)} bytes is none")
    return _element(_CODEC_PRIVATE, config) if config else b""


def block_header(
    time_ms: int, payload_bytes: int, *, is_key: bool = True, track: int = VIDEO_TRACK
) -> bytes:
    """What stands before one frame's payload; `time_ms` from MIN_TIME_MS up to u32 (49 days)."""
    relative = min(0, time_ms)  # a cluster's own time cannot be negative
    return _BLOCK.pack(
        _CLUSTER,
        _SIZE_8 | (_CLUSTER_FIELDS_BYTES + payload_bytes),
        _TIMESTAMP_HEAD,
        time_ms - relative,
        _SIMPLE_BLOCK,
        _SIZE_8 | (_BLOCK_FIELDS_BYTES + payload_bytes),
        0x80 | track,
        relative,
        _KEYFRAME if is_key else 0,
    )


def _parse_block(header: bytes, end_bytes: int) -> Place | None:
    """None where no whole block header stands. `end_bytes`: where in the file the header ends."""
    if len(header) < BLOCK_HEADER_BYTES:
        return None
    cluster, cluster_size, stamp, time_ms, simple, size, track, relative, flags = _BLOCK.unpack(
        header
    )
    payload_bytes: int = (size & (_SIZE_8 - 1)) - _BLOCK_FIELDS_BYTES
    is_ours = (
        (cluster, stamp, simple) == (_CLUSTER, _TIMESTAMP_HEAD, _SIMPLE_BLOCK)
        and (relative == 0 or (time_ms == 0 and relative < 0))
        and cluster_size == _SIZE_8 | (_CLUSTER_FIELDS_BYTES + payload_bytes)
        and 0 < payload_bytes <= MAX_PAYLOAD_BYTES
        and track & 0x80
    )
    if not is_ours:
        return None
    is_audio = track & 0x7F == AUDIO_TRACK
    return Place(time_ms + relative, payload_bytes, end_bytes, bool(flags & _KEYFRAME), is_audio)


def read_head(file: BinaryIO) -> Head:
    """Leaves `file` at the first cluster. Raises ValueError where no segment of ours begins."""
    data = file.read(_FIRST_READ_BYTES)
    top: dict[int, tuple[int, int]] = {}  # id -> where its payload begins and ends
    at = 0
    while _TRACKS not in top:  # the last thing in our heads; clusters follow at once
        element_id, size, body = _element_at(data, at)
        if element_id == _SEGMENT:
            at = body
            continue
        at = body + size
        if at > MAX_HEAD_BYTES:
            raise ValueError("the head of the segment is longer than any of ours")
        if at > len(data):
            data += file.read(at + 16 - len(data))  # and the id and size of what follows
        if at > len(data):
            raise ValueError("the head of the segment is not whole")
        top[element_id] = (body, at)
    file.seek(at)
    info = _values(data, *top.get(_INFO, (0, 0)))
    uuid = info.get(_SEGMENT_UUID)
    origin = Origin(*struct.unpack(">QQ", uuid)) if uuid and len(uuid) == 16 else None
    return Head(_read_track(data, *top[_TRACKS]), origin)


def _read_track(data: bytes, at: int, end: int) -> Track:
    entries: dict[int, dict[int, bytes]] = {}
    while at < end:
        element_id, size, body = _element_at(data, at)
        at = body + size
        if element_id == _TRACK_ENTRY:
            values = _values(data, body, min(at, end))
            entries[_to_int(values.get(_TRACK_NUMBER, b""))] = values
    names = {value.encode(): name for name, value in CODEC_IDS.items()}
    try:
        values = entries[VIDEO_TRACK]
        codec = names[values[_CODEC_ID]]
        width, height = _to_int(values[_WIDTH]), _to_int(values[_HEIGHT])
    except KeyError as error:
        raise ValueError("the segment has no video track that this recorder wrote") from error
    audio = _read_audio(entries[AUDIO_TRACK]) if AUDIO_TRACK in entries else None
    return Track(codec, width, height, values.get(_CODEC_PRIVATE, b""), audio)


def _read_audio(values: dict[int, bytes]) -> Audio:
    names = {value.encode(): name for name, value in AUDIO_CODEC_IDS.items()}
    try:
        codec, channels = names[values[_CODEC_ID]], _to_int(values[_CHANNELS])
        (rate,) = struct.unpack(">d", values[_RATE])
        return Audio(codec, round(rate), channels, values.get(_CODEC_PRIVATE, b""))
    except (KeyError, struct.error, OverflowError, ValueError) as error:
        raise ValueError(
            "the segment has a sound track that this recorder did not write"
        ) from error


def _values(data: bytes, at: int, end: int) -> dict[int, bytes]:
    """The payloads in a master element, the masters in it opened. Raises ValueError."""
    values: dict[int, bytes] = {}
    while at < end:
        element_id, size, body = _element_at(data, at)
        if element_id in (_VIDEO, _AUDIO):
            at = body
            continue
        if body + size > end:
            raise ValueError("the head of the segment is torn")
        values[element_id] = data[body : body + size]
        at = body + size
    return values


def _to_int(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _element_at(data: bytes, at: int) -> tuple[int, int, int]:
    """(id, payload size, where the payload begins); an unknown size is the largest number."""
    if at >= len(data) or not data[at]:
        raise ValueError("this is not Matroska, or its head is torn")
    id_bytes = 9 - data[at].bit_length()
    size_at = at + id_bytes
    if id_bytes > 4 or size_at >= len(data) or not data[size_at]:
        raise ValueError("this is not Matroska, or its head is torn")
    size_bytes = 9 - data[size_at].bit_length()
    if size_at + size_bytes > len(data):
        raise ValueError("the head of the segment is torn")
    element_id = int.from_bytes(data[at:size_at], "big")
    size = int.from_bytes(data[size_at : size_at + size_bytes], "big")
    return element_id, size & ((1 << 7 * size_bytes) - 1), size_at + size_bytes


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """Every whole frame from where `file` stands; ends quietly at a torn tail."""
    while True:
        place = _parse_block(file.read(BLOCK_HEADER_BYTES), 0)
        if place is None:
            return
        payload = file.read(place.size_bytes)
        if len(payload) < place.size_bytes:
            return
        yield Block(place.time_ms, payload, place.is_key, place.is_audio)


def places(file: BinaryIO, file_bytes: int) -> Iterator[Place]:
    """Like `read_blocks` without reading the pictures; `file_bytes` is the file's length."""
    at = file.tell()
    while True:
        at += BLOCK_HEADER_BYTES
        place = _parse_block(file.read(BLOCK_HEADER_BYTES), at)
        if place is None or at + place.size_bytes > file_bytes:
            return
        yield place
        at += place.size_bytes
        file.seek(at)


def extent(file: BinaryIO, file_bytes: int) -> Extent:
    """From where `file` stands, which is the first cluster."""
    frames, last_ms, end_bytes = 0, 0, file.tell()
    for place in places(file, file_bytes):
        frames += 1
        end_bytes = place.offset_bytes + place.size_bytes
        if not place.is_audio and place.time_ms > last_ms:
            last_ms = place.time_ms
    return Extent(frames, last_ms, end_bytes)
