"""The boxes that every MP4 of ours is made of (ISO/IEC 14496-12, -14, -15): tracks and their codecs.

Times are milliseconds (timescale 1000) in every track. Used by hour files and live view
(`recordings.media.mp4`) and by clips (`recordings.media.progressive`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from recordings.media.matroska import Audio, Track

TIMESCALE = 1000
VIDEO_TRACK = 1
AUDIO_TRACK = 2
VISUAL_ENTRY_BYTES = 86  # §12.1.3, before its own boxes
AUDIO_ENTRY_BYTES = 36  # §12.2.3

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_ENTRIES = {"h264": (b"avc1", b"avcC"), "hevc": (b"hvc1", b"hvcC")}
_EPOCH_1904_S = 2_082_844_800
# ISO/IEC 14496-1 §7.2.6: tags of what is nested in esds.
_ES, _DECODER_CONFIG, _DECODER_SPECIFIC, _SYNC_LAYER = 3, 4, 5, 6
_MPEG4_AUDIO, _AUDIO_STREAM = 0x40, 0x15
# The rates that do not fit 16.16 bits, by their index in AudioSpecificConfig (14496-3 §1.6.3.4).
_HIGH_RATES_HZ = {0: 96_000, 1: 88_200}


class Sample(NamedTuple):
    """`offset_ms`: presentation minus decode time."""

    duration_ms: int
    size_bytes: int
    is_key: bool = False
    offset_ms: int = 0


class Run(NamedTuple):
    """Samples of one track that follow each other, in decode order; `payload` holds their bytes."""

    track_id: int
    media_ms: int
    samples: Sequence[Sample]
    payload: Sequence[bytes]


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name: bytes, flags: int, *parts: bytes, version: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def video_entry(track: Track, *, is_full_range: bool) -> bytes:
    """avc1 or hvc1 with parameter sets in avcC or hvcC. Raises ValueError for another codec.

    `is_full_range`: says BT.601 in full range, for what was made of JPEGs. A camera's own stream
    says itself what its colours are (VUI), so nothing is said besides.
    """
    if track.codec not in _ENTRIES or not track.config:
        raise ValueError(f"MP4 needs H.264 or H.265 with its parameter sets, not {track.codec!r}")
    name, config = _ENTRIES[track.codec]
    size = struct.pack(
        ">6xH16xHHIIIH32xHh", 1, track.width, track.height, 0x480000, 0x480000, 0, 1, 24, -1
    )
    colours = box(b"colr", b"nclx", struct.pack(">HHHB", 2, 2, 6, 0x80)) if is_full_range else b""
    return box(name, size, box(config, track.config), colours)


def audio_entry(audio: Audio) -> bytes:
    """mp4a with AudioSpecificConfig in esds."""
    rate = audio.rate_hz << 16 if audio.rate_hz < 1 << 16 else 0
    decoder = (
        struct.pack(">BB3xII", _MPEG4_AUDIO, _AUDIO_STREAM, 0, 0)  # buffer and bit rates: unknown
        + _descriptor(_DECODER_SPECIFIC, audio.config)
    )
    stream = (
        struct.pack(">HB", AUDIO_TRACK, 0)
        + _descriptor(_DECODER_CONFIG, decoder)
        + _descriptor(_SYNC_LAYER, b"\x02")
    )
    return box(
        b"mp4a",
        struct.pack(">6xH8xHHHHI", 1, audio.channels, 16, 0, 0, rate),
        full(b"esds", 0, _descriptor(_ES, stream)),
    )


def _descriptor(tag: int, body: bytes) -> bytes:
    if len(body) >= 0x80:
        raise ValueError("an AudioSpecificConfig this long is none")
    return bytes((tag, len(body))) + body


def trak(
    track_id: int,
    entry: bytes,
    tables: Sequence[bytes],
    *,
    size: tuple[int, int] = (0, 0),
    duration_ms: int = 0,
    media_ms: int = 0,
    created_s: int = 0,
    edits: bytes = b"",
) -> bytes:
    """One track; `tables` are the boxes of stbl after stsd, `size` is (0, 0) for sound,
    `created_s` an epoch time (0: not said), `edits` a whole edts or nothing; `duration_ms` counts
    what the edits make of the `media_ms` there are.
    """
    is_sound = track_id == AUDIO_TRACK
    since_1904 = created_s + _EPOCH_1904_S & 0xFFFFFFFF if created_s else 0
    times = struct.pack(">II", since_1904, since_1904)
    handler, header = (
        (b"soun", full(b"smhd", 0, bytes(4))) if is_sound else (b"vide", full(b"vmhd", 1, bytes(8)))
    )
    places = box(b"dinf", full(b"dref", 0, struct.pack(">I", 1), full(b"url ", 1)))
    stbl = box(b"stbl", full(b"stsd", 0, struct.pack(">I", 1), entry), *tables)
    tkhd = struct.pack(">II4xI8xHHHH", track_id, 0, 0, 0, 0, 0, 0)
    tkhd = times + struct.pack(
        ">IIIIIHHHH", track_id, 0, duration_ms, 0, 0, 0, 0, 0x100 if is_sound else 0, 0
    )
    width, height = size
    mdhd = times + struct.pack(">IIHH", TIMESCALE, media_ms, 0x55C4, 0)  # language: und
    return box(
        b"trak",
        full(b"tkhd", 3, tkhd, _MATRIX, struct.pack(">II", width << 16, height << 16)),
        edits,
        box(
            b"mdia",
            full(b"mdhd", 0, mdhd),
            full(b"hdlr", 0, struct.pack(">I4s12x", 0, handler), b"Roost\0"),
            box(b"minf", header, places, stbl),
        ),
    )


def moov(traks: Sequence[bytes], *rest: bytes, duration_ms: int = 0, created_s: int = 0) -> bytes:
    """`rest` follows the tracks (mvex). Tracks are numbered from 1."""
    since_1904 = created_s + _EPOCH_1904_S & 0xFFFFFFFF if created_s else 0
    head = struct.pack(">IIIIIH10x", since_1904, since_1904, TIMESCALE, duration_ms, 0x10000, 0x100)
    next_track = struct.pack(">I", len(traks) + 1)
    return box(b"moov", full(b"mvhd", 0, head, _MATRIX, bytes(24), next_track), *traks, *rest)


def children(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its body begins, where it ends) of the boxes in `data[start:end]`.

    Raises ValueError where one does not fit.
    """
    while start < end:
        if end - start < 8:
            raise ValueError("a box is torn")
        size, name = struct.unpack_from(">I4s", data, start)
        if not 8 <= size <= end - start:
            raise ValueError(f"the box {name!r} does not fit")
        yield name, start + 8, start + size
        start += size


def entries(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The sample entry of each track of the moov whose body this is; as `children`."""
    for name, body, stop in children(data, start, end):
        if name in (b"trak", b"mdia", b"minf", b"stbl"):
            yield from entries(data, body, stop)
        elif name == b"stsd":
            yield from children(data, body + 8, stop)


def read_entry(data: bytes, name: bytes, start: int, end: int) -> Track | Audio | None:
    """What a sample entry describes; None for a codec that is not ours.

    Raises ValueError where it is not as `video_entry` and `audio_entry` write it.
    """
    if name == b"mp4a":
        return _read_audio(data, start, end)
    for codec, (entry, config) in _ENTRIES.items():
        if name == entry:
            width, height = struct.unpack_from(">HH", data, start + 24)
            inner = children(data, start + VISUAL_ENTRY_BYTES - 8, end)
            found = (data[body:stop] for kind, body, stop in inner if kind == config)
            if sets := next(found, b""):
                return Track(codec, width, height, sets)
            raise ValueError("its video has no parameter sets")
    return None


def _read_audio(data: bytes, start: int, end: int) -> Audio:
    channels, rate = struct.unpack_from(">H6xI", data, start + 16)
    for name, body, stop in children(data, start + AUDIO_ENTRY_BYTES - 8, end):
        if name == b"esds":
            # ES header 2 + 3, DecoderConfig header 2 + 13, then the tag and length of what we want.
            at = body + 4 + 2 + 3 + 2 + 13
            if stop < at + 2 or data[at] != _DECODER_SPECIFIC or stop < at + 2 + data[at + 1]:
                break
            config = data[at + 2 : at + 2 + data[at + 1]]
            if not config:
                break
            high = _HIGH_RATES_HZ.get(int.from_bytes(config[:2].ljust(2), "big") >> 7 & 15, 0)
            return Audio("aac", rate >> 16 or high, channels, config)
    raise ValueError("its sound has no AudioSpecificConfig")
