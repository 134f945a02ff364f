"""From footage to the samples of one clip: what is copied, what is encoded, and when each is shown.

Pure arithmetic on the lists that `recordings.footage` gives; nothing here reads a picture.

Footage that came as JPEG is cut exactly: where the packager has encoded it, the GOP in which the
window begins is encoded again from the first picture in the window on. Footage of a camera that
encodes itself is copied from the key picture at or before the start.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from recordings.footage import Shot, Stretch
from recordings.media import aac, mp4, timing
from recordings.media.matroska import Audio
from recordings.segments import GAP_MS

# What one FFmpeg child encodes: half a second of work or less, of which starting it is a tenth.
CHUNK_SHOTS = 100
# The same for big pictures; also what lies together in the file at most.
CHUNK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Pictures of one stretch, in decode order: copied, or given to the encoder.

    Of what is encoded only pictures at or after `from_ms` are kept; those before it are there to be
    decoded.
    """

    stretch: Stretch
    pictures: Sequence[Shot]
    is_encoded: bool
    from_ms: int


def plan(stretches: Sequence[Stretch], start_ms: int, end_ms: int) -> list[Piece]:
    """Pieces for `[start_ms, end_ms)`, as much as possible copied; [] where there is nothing."""
    pieces: list[Piece] = []
    for stretch in stretches:
        pictures = [shot for shot in stretch.shots if not shot.is_audio]
        cut = _exact if stretch.was_jpeg else _from_key
        pieces += (piece for piece in cut(stretch, pictures, start_ms, end_ms) if piece.pictures)
    return pieces


def encode_all(stretches: Sequence[Stretch], start_ms: int, end_ms: int) -> list[Piece]:
    """The same with every picture encoded, for footage whose parameters differ."""
    pieces: list[Piece] = []
    for stretch in stretches:
        pictures = [shot for shot in stretch.shots if not shot.is_audio]
        wanted = [n for n, shot in enumerate(pictures) if start_ms <= shot.wall_ms < end_ms]
        if wanted:
            first = _key_before(pictures, wanted[0])
            pieces.append(Piece(stretch, pictures[first : wanted[-1] + 1], True, start_ms))
    return pieces


def _exact(stretch: Stretch, pictures: list[Shot], start_ms: int, end_ms: int) -> Iterator[Piece]:
    """Of pictures that came as JPEG: no reordering, so the window is a slice."""
    wanted = [n for n, shot in enumerate(pictures) if start_ms <= shot.wall_ms < end_ms]
    if not wanted:
        return
    first, end = wanted[0], wanted[-1] + 1
    if stretch.track.codec == "mjpeg":
        yield Piece(stretch, pictures[first:end], True, start_ms)
        return
    if not pictures[first].is_key:
        key = _key_before(pictures, first)
        after = next((n for n in range(first, end) if pictures[n].is_key), end)
        yield Piece(stretch, pictures[key:after], True, start_ms)
        first = after
    yield Piece(stretch, pictures[first:end], False, start_ms)


def _from_key(
    stretch: Stretch, pictures: list[Shot], start_ms: int, end_ms: int
) -> Iterator[Piece]:
    """Of a camera's own H.264 or H.265: as footage gives it, from the key picture at or before the
    start, to the last picture in decode order that is shown before the end.
    """
    del end_ms
    first = next((shot for shot in pictures if shot.is_key), None)
    if first is not None:
        # A picture that is shown before the key it comes after needs one that is not in the clip.
        kept = [shot for shot in pictures if shot.wall_ms >= first.wall_ms]
        yield Piece(stretch, kept, False, start_ms)


def _key_before(pictures: Sequence[Shot], number: int) -> int:
    """The number of the key picture at or before that one; the first one where there is none."""
    return next((n for n in range(number, -1, -1) if pictures[n].is_key), 0)


def chunks(piece: Piece) -> Iterator[Sequence[Shot]]:
    """What one FFmpeg child gets of a piece: begins with a key picture, and is bounded where the
    camera's GOPs are.
    """
    start, size_bytes = 0, 0
    for number, shot in enumerate(piece.pictures):
        is_full = number - start >= CHUNK_SHOTS or size_bytes >= CHUNK_BYTES
        if is_full and shot.is_key:
            yield piece.pictures[start:number]
            start, size_bytes = number, 0
        size_bytes += shot.size_bytes
    yield piece.pictures[start:]


class Picture(NamedTuple):
    """One picture of the clip in decode order; `piece` and `offset_bytes` say where its bytes are:
    in the piece's stretch (`shot`), or in the file of encoded ones.
    """

    wall_ms: int
    size_bytes: int
    is_key: bool
    duration_ms: int
    piece: int
    shot: Shot | None
    offset_bytes: int = 0


class Sound(NamedTuple):
    """One access unit as it is laid; `shot` None is silence."""

    at_ms: int
    duration_ms: int
    piece: int
    shot: Shot | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The clip's samples. Media time runs on over gaps, as it does in recordings."""

    pictures: Sequence[Picture]
    decode_ms: Sequence[int]  # media time, strictly rising
    offsets_ms: Sequence[int]
    durations_ms: Sequence[int]
    start_ms: int  # wall time of the first picture shown
    end_ms: int  # when the last one ends
    spans: Sequence[tuple[int, int]]  # wall time that is covered, gaps left out

    @property
    def duration_ms(self) -> int:
        return sum(self.durations_ms)


def lay_pictures(pictures: Sequence[Picture], end_ms: int | None) -> Timeline:
    """`pictures` is not empty. The last one ends at `end_ms` at the latest (None: when it ends)."""
    walls = sorted(picture.wall_ms for picture in pictures)
    last = max(pictures, key=lambda picture: picture.wall_ms)
    usual = {picture.wall_ms: picture.duration_ms for picture in pictures}
    lasting = [
        after - before if after - before <= GAP_MS else min(max(1, usual[before]), GAP_MS)
        for before, after in pairwise(walls)
    ]
    rest_ms = max(1, min(last.duration_ms or 1, GAP_MS))
    if end_ms is not None:
        rest_ms = max(1, min(rest_ms, end_ms - last.wall_ms))
    lasting.append(rest_ms)
    media = list(accumulate(lasting[:-1], initial=0))
    at = dict(zip(walls, media, strict=True))
    shown_ms = [at[picture.wall_ms] for picture in pictures]
    decode_ms, offsets_ms = timing.shown(shown_ms, -1)
    total_ms = max(decode_ms[-1] + 1, media[-1] + rest_ms)
    spans: list[tuple[int, int]] = []
    for wall_ms, length_ms in zip(walls, lasting, strict=True):
        if spans and wall_ms <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], wall_ms + length_ms))
        else:
            spans.append((wall_ms, wall_ms + length_ms))
    return Timeline(
        pictures=pictures,
        decode_ms=decode_ms,
        offsets_ms=offsets_ms,
        durations_ms=[b - a for a, b in pairwise([*decode_ms, total_ms])],
        start_ms=walls[0],
        end_ms=walls[-1] + rest_ms,
        spans=spans,
    )


def lay_sound(pieces: Sequence[Piece], shown: Timeline, audio: Audio) -> list[Sound]:
    """The sound of the pieces beside their pictures, holes filled with silence where that is known.

    Only sound coded as `audio` says: a clip has one track of it.
    """
    starts = [start for start, _ in shown.spans]
    lengths = [end - start for start, end in shown.spans]
    media = list(accumulate(lengths, initial=0))
    wanted: list[timing.Wanted] = []
    units: list[tuple[int, Shot]] = []
    for number, piece in enumerate(pieces):
        if piece.stretch.track.audio != audio or (
            number and pieces[number - 1].stretch is piece.stretch
        ):
            continue  # the pieces of a stretch share its sound
        for shot in piece.stretch.shots:
            span = bisect_right(starts, shot.wall_ms) - 1
            if not shot.is_audio or span < 0 or shot.wall_ms >= shown.spans[span][1]:
                continue
            at_ms = media[span] + shot.wall_ms - starts[span]
            wanted.append(timing.Wanted(at_ms, media[span], media[span + 1]))
            units.append((number, shot))
    if not wanted:
        return []
    laid = timing.lay_sound(
        wanted,
        unit_ms=aac.unit_ms(audio.config),
        from_ms=0,
        until_ms=shown.duration_ms,
        has_silence=bool(aac.silence(audio.config, audio.channels)),
    )
    return [
        Sound(
            unit.at_ms,
            unit.duration_ms,
            *(units[unit.number] if unit.number is not None else (0, None)),
        )
        for unit in laid
    ]


class Chunk(NamedTuple):
    """Samples that lie together in the file, all of one track and of one source."""

    run: mp4.Run
    piece: int
    shots: Sequence[Shot | None]  # of copied ones and of sound
    offset_bytes: int  # in the file of encoded pictures
    is_encoded: bool


def interleave(shown: Timeline, sounds: Sequence[Sound], silence: bytes) -> list[Chunk]:
    """Chunks of pictures in decode order, after each the sound that begins before it ends."""
    made: list[Chunk] = []
    heard = 0
    for first, end in _groups(shown.pictures):
        made.append(_of_pictures(shown, first, end))
        until_ms = shown.decode_ms[end] if end < len(shown.pictures) else None
        stop = heard
        while stop < len(sounds) and (until_ms is None or sounds[stop].at_ms < until_ms):
            stop += 1
        if stop > heard:
            made += _of_sound(sounds[heard:stop], silence)
            heard = stop
    return made


def _groups(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of pictures of one source: a second or two each, what a player reads at once."""
    start, size_bytes = 0, 0
    for number, picture in enumerate(pictures):
        before = pictures[number - 1]
        is_other = number and (
            picture.piece != before.piece or (picture.shot is None) != (before.shot is None)
        )
        is_far = (
            picture.shot is None
            and number
            and (picture.offset_bytes != before.offset_bytes + before.size_bytes)
        )
        is_long = picture.is_key and picture.wall_ms - pictures[start].wall_ms >= 1_000
        if number and (is_other or is_far or is_long or size_bytes >= CHUNK_BYTES):
            yield start, number
            start, size_bytes = number, 0
        size_bytes += picture.size_bytes
    yield start, len(pictures)


def _of_pictures(shown: Timeline, first: int, end: int) -> Chunk:
    group = shown.pictures[first:end]
    samples = [
        mp4.Sample(
            shown.durations_ms[number],
            shown.pictures[number].size_bytes,
            shown.pictures[number].is_key,
            shown.offsets_ms[number],
        )
        for number in range(first, end)
    ]
    run = mp4.Run(mp4.VIDEO_TRACK, shown.decode_ms[first], samples, ())
    is_encoded = group[0].shot is None
    return Chunk(
        run, group[0].piece, [shot.shot for shot in group], group[0].offset_bytes, is_encoded
    )


def _of_sound(sounds: Sequence[Sound], silence: bytes) -> Iterator[Chunk]:
    """One chunk a source."""
    start = 0
    for number in range(1, len(sounds) + 1):
        if number < len(sounds) and sounds[number].piece == sounds[start].piece:
            continue
        group = sounds[start:number]
        samples = [
            mp4.Sample(
                sound.duration_ms, sound.shot.size_bytes if sound.shot else len(silence), True
            )
            for sound in group
        ]
        run = mp4.Run(mp4.AUDIO_TRACK, group[0].at_ms, samples, ())
        yield Chunk(run, group[0].piece, [sound.shot for sound in group], 0, False)
        start = number


def missing_ms(shown: Timeline, start_ms: int, end_ms: int) -> tuple[int, tuple[int, int] | None]:
    """(how much of `[start_ms, end_ms)` no picture covers, the longest such hole).

    Holes of the length of a usual frame are none: a camera need not have a picture at the very
    edge of the window.
    """
    edges = [start_ms, *(edge for span in shown.spans for edge in span), end_ms]
    holes = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    usual_ms = sorted(shown.durations_ms)[len(shown.durations_ms) // 2]
    holes = [(a, b) for a, b in holes if b - a > max(1_000, 2 * usual_ms)]
    longest = max(holes, key=lambda hole: hole[1] - hole[0], default=None)
    return sum(b - a for a, b in holes), longest
