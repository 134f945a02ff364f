"""Fragmented MP4 as hour files and live view hold it (ISO/IEC 14496-12), written and read back.

An hour file is one init segment (ftyp + moov) and then fragments, each of them::

    uuid   which frames of which spool segment these are (Roost's own, `Mark`)
    prft   wall clock of the first picture shown (§8.16.5), exact to the millisecond
    moof   a traf of pictures and perhaps one of sound
    mdat

Times are milliseconds (timescale 1000). Sample durations are our own arrival times, not an
encoder's. Decode times are the presentation times in their order, so media time begins with the
first picture shown and pictures that are shown before their turn have a negative offset (trun
version 1); that needs neither an edit list nor a delay.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from recordings.media import nal
from recordings.media.boxes import (
    AUDIO_TRACK,
    VIDEO_TRACK,
    Run,
    Sample,
    audio_entry,
    box,
    entries,
    full,
    moov,
    read_entry,
    trak,
    video_entry,
)
from recordings.media.matroska import Audio, Track
from recordings.media.progressive import plain_file

__all__ = [
    "AUDIO_TRACK", "VIDEO_TRACK", "FragmentHead", "Init", "Mark", "Run", "Sample", "StoredRun",
    "find_mark", "fragment", "init_segment", "is_full_range", "moof_mdat", "places", "plain_file", "read_fragment",
    "read_init", "read_mark", "read_track",
]  # fmt: skip

_MARK_UUID = UUID("5d0b0f0e-7c5a-4f0c-9d53-526f6f737431").bytes
_MARK = struct.Struct(">I4s16sIQQIII")
_PRFT = struct.Struct(">I4sIIIIQ")
_PRFT_FLAGS = 24  # version 1 is added above; 24: the clock time at which the frame was captured
_NTP_EPOCH_S = 2_208_988_800
_SYNC_SAMPLE = 0x02000000
_DELTA_SAMPLE = 0x01010000
_TFHD_FLAGS = 0x020020  # default base is moof, default sample flags

MARK_BYTES = _MARK.size
PREFIX_BYTES = _MARK.size + _PRFT.size  # what stands before a moof
MAX_MOOF_BYTES = 1 << 24  # a million samples: a bound for reading, far above any GOP

# Version and flags of trun (§8.8.8). The first two are all that pictures in their order need, 8
# bytes each; the last one says for each sample whether it is a key and when it is shown.
_TRUN_SOUND = 0x00000301  # data offset; a duration and a size each
_TRUN_PLAIN = 0x00000305  # and the first sample's flags
_TRUN_FULL = 0x01000F01  # data offset; duration, size, flags and signed offset each
_COLUMNS = {_TRUN_SOUND: 2, _TRUN_PLAIN: 2, _TRUN_FULL: 4}
_MFHD = struct.Struct(">I4sII")
_TRAF = struct.Struct(">I4sI4sIIII4sIQ")  # traf, tfhd with track and flags, tfdt
_TRUN = struct.Struct(">I4sIII")


class Mark(NamedTuple):
    """Where a fragment's frames come from. Start and size name the spool segment for good (the size
    tells apart two passes through the same millisecond of a stepped clock); frames are counted
    within it, half-open. The segment is wholly in the file once `end_frame == frames`.
    """

    segment_ms: int
    segment_bytes: int
    first_frame: int
    end_frame: int
    frames: int


class Init(NamedTuple):
    size_bytes: int
    codecs: str
    width: int
    height: int


class StoredRun(NamedTuple):
    """One traf as it was read: columns, one value a sample. `offset_bytes` is where the first
    sample lies, counted from the fragment's first byte.
    """

    track_id: int
    media_ms: int
    offset_bytes: int
    durations_ms: Sequence[int]
    sizes_bytes: Sequence[int]
    keys: Sequence[bool]
    offsets_ms: Sequence[int]

    @property
    def end_ms(self) -> int:
        return self.media_ms + sum(self.durations_ms)


class FragmentHead(NamedTuple):
    """What a fragment says about itself; `size_bytes` counts uuid to mdat, `samples` pictures."""

    size_bytes: int
    wall_ms: int
    media_ms: int
    duration_ms: int
    samples: int
    mark: Mark
    runs: tuple[StoredRun, ...]


FTYP = box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6iso5mp41avc1")


def init_segment(track: Track, *, is_full_range: bool = False) -> bytes:
    """ftyp + moov for H.264 or H.265 and perhaps AAC. Raises ValueError for anything else.

    `is_full_range`: the pictures were JPEGs (BT.601, full range). The bytes depend on nothing else,
    so the same parameters give the same init segment in every run.
    """
    tables = (
        full(b"stts", 0, bytes(4)),
        full(b"stsc", 0, bytes(4)),
        full(b"stsz", 0, bytes(8)),
        full(b"stco", 0, bytes(4)),
    )
    entry = video_entry(track, is_full_range=is_full_range)
    traks = [trak(VIDEO_TRACK, entry, tables, size=(track.width, track.height))]
    if track.audio is not None:
        traks.append(trak(AUDIO_TRACK, audio_entry(track.audio), tables))
    defaults = (
        full(b"trex", 0, struct.pack(">IIIII", number, 1, 0, 0, 0))
        for number in range(1, len(traks) + 1)
    )
    return FTYP + moov(traks, box(b"mvex", *defaults))


def fragment(
    *,
    sequence: int,
    media_ms: int,
    wall_ms: int,
    samples: Sequence[Sample],
    payload: Sequence[bytes],
    mark: Mark,
    sound: Run | None = None,
) -> bytes:
    """One whole fragment of pictures, with the sound that belongs to them. `sequence` counts
    fragments of the file from 1.
    """
    head = _MARK.pack(_MARK.size, b"uuid", _MARK_UUID, 0, *mark)
    seconds, rest_ms = divmod(wall_ms, 1000)
    fraction = ((rest_ms << 32) + 500) // 1000
    prft = _PRFT.pack(
        _PRFT.size, b"prft", 1 << 24 | _PRFT_FLAGS, VIDEO_TRACK,
        seconds + _NTP_EPOCH_S & 0xFFFFFFFF, fraction, media_ms,
    )  # fmt: skip
    pictures = Run(VIDEO_TRACK, media_ms, samples, payload)
    runs = (pictures,) if sound is None else (pictures, sound)
    return b"".join((head, prft, *_moof_mdat(sequence, runs)))


def moof_mdat(sequence: int, runs: Sequence[Run]) -> bytes:
    """One moof with a traf a run, and one mdat with their payloads in the same order."""
    return b"".join(_moof_mdat(sequence, runs))


def _moof_mdat(sequence: int, runs: Sequence[Run]) -> Iterator[bytes]:
    """Pieces, so that payloads are copied once."""
    shapes = [_shape(run) for run in runs]
    moof_bytes = (
        8
        + _MFHD.size
        + sum(_traf_bytes(shape, len(run.samples)) for shape, run in zip(shapes, runs, strict=True))
    )
    yield struct.pack(">I4s", moof_bytes, b"moof")
    yield _MFHD.pack(_MFHD.size, b"mfhd", 0, sequence)
    at = moof_bytes + 8  # in mdat, from the start of moof
    for shape, run in zip(shapes, runs, strict=True):
        yield _traf(shape, run, at)
        at += sum(sample.size_bytes for sample in run.samples)
    yield struct.pack(">I4s", at - moof_bytes, b"mdat")
    for run in runs:
        yield from run.payload


def _shape(run: Run) -> int:
    """The smallest kind of trun that can say it."""
    if run.track_id == AUDIO_TRACK:
        return _TRUN_SOUND
    is_plain = not any(sample.offset_ms for sample in run.samples) and not any(
        sample.is_key for sample in run.samples[1:]
    )
    return _TRUN_PLAIN if is_plain else _TRUN_FULL


def _traf_bytes(shape: int, samples: int) -> int:
    return _TRAF.size + _TRUN.size + 4 * (shape == _TRUN_PLAIN) + 4 * _COLUMNS[shape] * samples


def _traf(shape: int, run: Run, data_offset: int) -> bytes:
    count = len(run.samples)
    default = _SYNC_SAMPLE if shape == _TRUN_SOUND else _DELTA_SAMPLE
    size = _traf_bytes(shape, count)
    head = _TRAF.pack(
        size, b"traf", 20, b"tfhd", _TFHD_FLAGS, run.track_id, default,
        20, b"tfdt", 1 << 24, run.media_ms,
    )  # fmt: skip
    trun = _TRUN.pack(size - _TRAF.size, b"trun", shape, count, data_offset)
    if shape == _TRUN_FULL:
        return (
            head
            + trun
            + struct.pack(
                ">" + "IIIi" * count,
                *(
                    value
                    for sample in run.samples
                    for value in (
                        sample.duration_ms,
                        sample.size_bytes,
                        _SYNC_SAMPLE if sample.is_key else _DELTA_SAMPLE,
                        sample.offset_ms,
                    )
                ),
            )
        )
    first = b""
    if shape == _TRUN_PLAIN:
        is_key = bool(run.samples) and run.samples[0].is_key
        first = struct.pack(">I", _SYNC_SAMPLE if is_key else _DELTA_SAMPLE)
    values = (value for sample in run.samples for value in sample[:2])
    return head + trun + first + struct.pack(f">{2 * count}I", *values)


def read_init(data: bytes) -> Init | None:
    """From the first bytes of a file; None while ftyp + moov are not whole.

    Raises ValueError for anything this recorder did not write.
    """
    size_bytes = _init_bytes(data)
    if size_bytes is None:
        return None
    track = read_track(data)
    codecs = nal.codec_string(track.codec, track.config)
    if track.audio is not None:
        codecs += "," + nal.audio_codec_string(track.audio.config)
    return Init(size_bytes, codecs, track.width, track.height)


def read_track(data: bytes) -> Track:
    """What an init segment (and whatever follows it) describes. Raises ValueError."""
    size_bytes = _init_bytes(data)
    if size_bytes is None:
        raise ValueError("its head is not whole")
    track: Track | None = None
    audio: Audio | None = None
    try:
        for name, start, end in entries(data, len(FTYP) + 8, size_bytes):
            match read_entry(data, name, start, end):
                case Track() as found:
                    track = found
                case Audio() as found:
                    audio = found
    except struct.error as error:
        raise ValueError("its head is damaged") from error
    if track is None:
        raise ValueError("its video is neither H.264 nor H.265")
    return track._replace(audio=audio)


def is_full_range(data: bytes) -> bool:
    """Whether an init segment says that its pictures were JPEGs."""
    return b"colrnclx" in data


def _init_bytes(data: bytes) -> int | None:
    """Length of ftyp + moov, None while they are not whole."""
    if data[: len(FTYP)] != FTYP[: len(data)]:
        raise ValueError("it does not begin like an hour file")
    at = len(FTYP)
    if len(data) < at + 8:
        return None
    size, name = struct.unpack_from(">I4s", data, at)
    if name != b"moov":
        raise ValueError("its second box is not moov")
    return at + size if len(data) >= at + size else None


def read_mark(data: bytes) -> Mark | None:
    """From the first MARK_BYTES of a fragment; None where no fragment begins."""
    if len(data) < _MARK.size:
        return None
    size, name, uuid, version, *mark = _MARK.unpack_from(data)
    if (size, name, uuid, version) != (_MARK.size, b"uuid", _MARK_UUID, 0):
        return None
    return Mark(*mark)


def read_fragment(
    read: Callable[[int, int], bytes], at: int, file_bytes: int
) -> FragmentHead | None:
    """The fragment at byte `at`; None where no whole fragment of ours stands.

    `read(offset, length)` returns the file's bytes, fewer only at its end. mdat is not read.
    """
    data = read(at, PREFIX_BYTES + 8)
    mark = read_mark(data)
    if mark is None or len(data) < PREFIX_BYTES + 8:
        return None
    size, name, _, track, seconds, fraction, media_ms = _PRFT.unpack_from(data, _MARK.size)
    moof_bytes, moof = struct.unpack_from(">I4s", data, PREFIX_BYTES)
    if (size, name, moof, track) != (_PRFT.size, b"prft", b"moof", VIDEO_TRACK):
        return None
    if moof_bytes > MAX_MOOF_BYTES:
        return None
    rest = read(at + PREFIX_BYTES, moof_bytes + 8)
    if len(rest) < moof_bytes + 8:
        return None
    runs = _read_runs(rest, moof_bytes)
    mdat_bytes, mdat = struct.unpack_from(">I4s", rest, moof_bytes)
    size_bytes = PREFIX_BYTES + moof_bytes + mdat_bytes
    held = sum(sum(run.sizes_bytes) for run in runs)
    if not runs or mdat != b"mdat" or mdat_bytes != 8 + held or at + size_bytes > file_bytes:
        return None
    pictures = runs[0]
    wall_ms = (seconds - _NTP_EPOCH_S) % (1 << 32) * 1000 + (fraction * 1000 + (1 << 31) >> 32)
    duration_ms, count = sum(pictures.durations_ms), len(pictures.sizes_bytes)
    return FragmentHead(size_bytes, wall_ms, media_ms, duration_ms, count, mark, tuple(runs))


def _read_runs(moof: bytes, moof_bytes: int) -> list[StoredRun]:
    """Pictures first, then perhaps sound; [] for a moof that is not as `_moof_mdat` writes it."""
    runs: list[StoredRun] = []
    at, data_offset = 8 + _MFHD.size, moof_bytes + 8
    while at < moof_bytes:
        run, size = _read_traf(moof, at, moof_bytes, data_offset)
        if run is None or run.track_id != (VIDEO_TRACK, AUDIO_TRACK)[bool(runs)]:
            return []
        runs.append(run)
        at += size
        data_offset += sum(run.sizes_bytes)
        if len(runs) == 2:
            break
    return runs if at == moof_bytes else []


def _read_traf(
    moof: bytes, at: int, moof_bytes: int, data_offset: int
) -> tuple[StoredRun | None, int]:
    """(the run, bytes of its traf)."""
    if moof_bytes < at + _TRAF.size + _TRUN.size:
        return None, 0
    size, traf, _, tfhd, _, track_id, _, _, tfdt, _, media_ms = _TRAF.unpack_from(moof, at)
    trun_bytes, trun, shape, count, offset = _TRUN.unpack_from(moof, at + _TRAF.size)
    columns = _COLUMNS.get(shape)
    if (traf, tfhd, tfdt, trun) != (b"traf", b"tfhd", b"tfdt", b"trun") or columns is None:
        return None, 0
    if not count or size != _traf_bytes(shape, count) or trun_bytes != size - _TRAF.size:
        return None, 0
    if at + size > moof_bytes or offset != data_offset:
        return None, 0
    values = struct.unpack_from(
        f">{columns * count}I" if columns == 2 else ">" + "IIIi" * count,
        moof,
        at + size - 4 * columns * count,
    )
    keys: list[bool]
    if shape == _TRUN_FULL:
        keys, offsets = [flags == _SYNC_SAMPLE for flags in values[2::4]], values[3::4]
    else:
        keys, offsets = [shape == _TRUN_SOUND] * count, (0,) * count
        first = struct.unpack_from(">I", moof, at + _TRAF.size + _TRUN.size)[0]
        keys[0] = shape == _TRUN_SOUND or first == _SYNC_SAMPLE
    run = StoredRun(
        track_id, media_ms, PREFIX_BYTES + offset,
        values[0::columns], values[1::columns], keys, offsets,
    )  # fmt: skip
    return run, size


def places(run: StoredRun) -> Iterator[int]:
    """Where each sample begins, in bytes from the fragment's first."""
    return accumulate(run.sizes_bytes[:-1], initial=run.offset_bytes)


def find_mark(data: bytes) -> int:
    """Where in `data` a fragment may begin, -1 if nowhere: to tell a torn tail from damage."""
    at = data.find(b"uuid" + _MARK_UUID)
    return at - 4 if at >= 4 else -1
