"""The head of a clip: progressive MP4 whose tables stand before the pictures ("faststart").

Everything about the file is known before its first picture is copied, so a clip is written in one
pass: this head, then the samples' bytes in their order. Callers know it as `mp4.plain_file`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

from recordings.media.boxes import (
    AUDIO_TRACK,
    VIDEO_TRACK,
    Run,
    Sample,
    audio_entry,
    box,
    full,
    moov,
    trak,
    video_entry,
)
from recordings.media.matroska import Track

FTYP = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
_MAX_SMALL_BOX = (1 << 32) - 1


def plain_file(
    track: Track, runs: Sequence[Run], *, wall_ms: int, is_full_range: bool = False
) -> bytes:
    """ftyp, moov and the header of mdat, which the samples' bytes follow in the order of `runs`.

    Each run is one chunk of the file; its `payload` is not read. A track's samples follow each other
    without a hole, whatever `media_ms` says, but for that of its first run, which is when the track
    begins. `wall_ms`: epoch time of the first picture, the file's creation time. `is_full_range` as
    for `mp4.init_segment`. Raises ValueError for a codec that MP4 cannot hold, or without a picture.
    """
    entries = [(VIDEO_TRACK, video_entry(track, is_full_range=is_full_range))]
    if track.audio is not None and any(run.track_id == AUDIO_TRACK for run in runs):
        entries.append((AUDIO_TRACK, audio_entry(track.audio)))
    if not any(run.samples for run in runs if run.track_id == VIDEO_TRACK):
        raise ValueError("a file without a picture is no clip")
    sizes = [sum(sample.size_bytes for sample in run.samples) for run in runs]
    places = list(accumulate(sizes, initial=0))
    payload_bytes = places.pop()
    own = [
        (
            number,
            entry,
            [run for run in runs if run.track_id == number],
            [place for place, run in zip(places, runs, strict=True) if run.track_id == number],
        )
        for number, entry in entries
    ]
    tables = [_tables(chunks) for _, _, chunks, _ in own]
    lengths = [_length_ms(chunks) for _, _, chunks, _ in own]

    def head(base_bytes: int) -> bytes:
        traks = [
            trak(
                number,
                entry,
                [*tables[at], _places(firsts, base_bytes)],
                size=(track.width, track.height) if number == VIDEO_TRACK else (0, 0),
                duration_ms=chunks[0].media_ms + lengths[at],
                media_ms=lengths[at],
                created_s=wall_ms // 1000,
                edits=_edits(chunks, lengths[at]),
            )
            for at, (number, entry, chunks, firsts) in enumerate(own)
        ]
        longest_ms = max(
            chunks[0].media_ms + length
            for (_, _, chunks, _), length in zip(own, lengths, strict=True)
        )
        body = moov(traks, duration_ms=longest_ms, created_s=wall_ms // 1000)
        return FTYP + body + _mdat(payload_bytes)

    return head(len(head(0)))  # places have a fixed size, so the second head is as long


def _samples(chunks: Sequence[Run]) -> list[Sample]:
    return [sample for run in chunks for sample in run.samples]


def _length_ms(chunks: Sequence[Run]) -> int:
    return sum(sample.duration_ms for sample in _samples(chunks))


def _tables(chunks: Sequence[Run]) -> list[bytes]:
    """stts, ctts, stss, stsz and stsc, as far as the track needs them (§8.6, §8.7)."""
    samples = _samples(chunks)
    tables = [full(b"stts", 0, _counted(sample.duration_ms for sample in samples))]
    if any(sample.offset_ms for sample in samples):
        shift_ms = _shift_ms(chunks)
        tables.append(full(b"ctts", 0, _counted(one.offset_ms + shift_ms for one in samples)))
    keys = [number for number, sample in enumerate(samples, start=1) if sample.is_key]
    if chunks[0].track_id == VIDEO_TRACK and len(keys) < len(samples):
        tables.append(full(b"stss", 0, struct.pack(">I", len(keys)), _u32(keys)))
    sizes = _u32([sample.size_bytes for sample in samples])
    tables.append(full(b"stsz", 0, struct.pack(">II", 0, len(samples)), sizes))
    tables.append(full(b"stsc", 0, _chunk_sizes(chunks)))
    return tables


def _shift_ms(chunks: Sequence[Run]) -> int:
    """What makes every offset positive: more players know that than signed ones."""
    return max(0, -min(sample.offset_ms for sample in _samples(chunks)))


def _edits(chunks: Sequence[Run], length_ms: int) -> bytes:
    """An edit list (§8.6.6) where the track begins late or its offsets were shifted."""
    shift_ms, delay_ms = _shift_ms(chunks), chunks[0].media_ms
    if not shift_ms and not delay_ms:
        return b""
    rows = [struct.pack(">IiI", length_ms, shift_ms, 0x10000)]
    if delay_ms:
        rows.insert(0, struct.pack(">IiI", delay_ms, -1, 0x10000))
    return box(b"edts", full(b"elst", 0, struct.pack(">I", len(rows)), *rows))


def _counted(values: Iterable[int]) -> bytes:
    """How many pairs follow, then (how often, value) of each."""
    pairs = [(len(list(same)), value) for value, same in groupby(values)]
    return struct.pack(">I", len(pairs)) + _u32([number for pair in pairs for number in pair])


def _chunk_sizes(chunks: Sequence[Run]) -> bytes:
    """From which chunk on there are how many samples in each (§8.7.4)."""
    rows: list[int] = []
    before = 0
    for number, run in enumerate(chunks, start=1):
        if len(run.samples) != before:
            before = len(run.samples)
            rows += (number, before, 1)
    return struct.pack(">I", len(rows) // 3) + _u32(rows)


def _places(firsts: Sequence[int], base_bytes: int) -> bytes:
    offsets = (base_bytes + first for first in firsts)
    return full(b"co64", 0, struct.pack(f">I{len(firsts)}Q", len(firsts), *offsets))


def _u32(values: Sequence[int]) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _mdat(payload_bytes: int) -> bytes:
    if payload_bytes + 8 <= _MAX_SMALL_BOX:
        return struct.pack(">I4s", payload_bytes + 8, b"mdat")
    return struct.pack(">I4sQ", 1, b"mdat", payload_bytes + 16)
