"""From a run of segments to fragments: what is fed to the encoder, and what goes into the file.

Pictures come from the encoder (JPEG) or from the segments as they are (H.264, H.265); sound always
comes as it is. Everything else is decided here: sample durations are the differences of the times
of arrival, and every fragment lies within one segment and says which of its frames it holds.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby, pairwise
from statistics import median_low

from recordings import hourfile
from recordings.encoder import Encoded
from recordings.exceptions import BadSegmentError, EncodeError
from recordings.hourfile import Addition, HourFile
from recordings.media import aac, matroska, mp4, timing
from recordings.media.index import Entry
from recordings.media.matroska import Place
from recordings.segments import GAP_MS, Frame, SegmentFile, read_frames

KEYFRAME_MS = 2_000
LAST_FRAME_MS = 1_000  # of a segment with a single frame and nothing behind it
GROUP_MS = 2_000  # short GOPs that are copied share a fragment of at most this


@dataclass(frozen=True, slots=True)
class Piece:
    """One closed segment, or the rest of one, that is still to be packaged.

    `places` are its own frames, sound included: what a later segment repeats is not among them.
    """

    segment: SegmentFile
    track: matroska.Track
    places: Sequence[Place]
    first_frame: int
    last_ms: int  # wall time of its last picture
    follows_ms: int | None  # start of the segment that goes on without a gap

    def read(self) -> Iterator[tuple[int, Frame]]:
        """(number in the segment, frame) of what is to be packaged, in file order."""
        numbers = range(self.first_frame, len(self.places))
        yield from zip(numbers, read_frames(self.segment, self.first_frame), strict=False)


@dataclass(frozen=True, slots=True)
class Unit:
    """One frame on its way into a file, with its place in the run. Its bytes are `payload`, or lie
    in the segment until its fragment is made.
    """

    wall_ms: int
    piece: int
    number: int
    is_key: bool = True
    payload: bytes = b""
    size_bytes: int = 0
    offset_bytes: int = 0


@dataclass(slots=True)
class Group:
    """What becomes one fragment: pictures from a key on, in decode order, and their sound."""

    pictures: list[Unit]
    sound: list[Unit] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # how many pictures each of its GOPs has

    @property
    def piece(self) -> int:
        return self.pictures[0].piece


def first_wall_ms(piece: Piece) -> int:
    if not piece.first_frame:
        return piece.segment.start_ms
    walls = (frame.wall_ms for _, frame in piece.read() if not frame.is_audio)
    return next(walls, piece.segment.start_ms)


def feed(
    run: Sequence[Piece], base_ms: int, pictures: list[Unit], sound: list[Unit]
) -> Iterator[tuple[int, bytes]]:
    """The run's JPEGs for the encoder; every one fed is noted in `pictures`, without its bytes."""
    for position, piece in enumerate(run):
        for number, frame in piece.read():
            if frame.is_audio:
                size_bytes = len(frame.payload)
                sound.append(Unit(frame.wall_ms, position, number, True, frame.payload, size_bytes))
            else:
                pictures.append(Unit(frame.wall_ms, position, number))
                yield frame.wall_ms - base_ms, frame.payload


def key_times(run: Sequence[Piece], base_ms: int) -> list[int]:
    """A keyframe at every segment's start, so that no fragment lies in two, and each 2 s within."""
    times: list[int] = []
    for piece in run:
        start_ms = max(piece.segment.start_ms, base_ms)
        # None in a segment's last second: a fragment of a few frames is not worth its head.
        end_ms = max(start_ms + 1, (piece.follows_ms or piece.last_ms + 1) - KEYFRAME_MS // 2)
        times += [at - base_ms for at in range(start_ms, end_ms, KEYFRAME_MS)]
    return times


def check(encoded: Encoded, pictures: Sequence[Unit], base_ms: int) -> None:
    """Every packet is one fed frame, in order, and every segment begins with a keyframe."""
    places = {picture.wall_ms - base_ms: picture.piece for picture in pictures}
    times = [packet.time_ms for packet in encoded.packets]
    if not places.keys() >= set(times) or any(a >= b for a, b in pairwise(times)):
        raise EncodeError("FFmpeg changed the times of frames.")
    before = -1
    for packet in encoded.packets:
        if places[packet.time_ms] != before and not packet.is_key:
            raise EncodeError("FFmpeg did not begin a segment with a keyframe.")
        before = places[packet.time_ms]


def encoded_groups(
    encoded: Encoded, pictures: Sequence[Unit], sound: Sequence[Unit]
) -> list[Group]:
    """One a keyframe. Pictures that the encoder could not decode are left out."""
    base_ms = pictures[0].wall_ms
    by_time = {picture.wall_ms - base_ms: picture for picture in pictures}
    groups: list[Group] = []
    for packet in encoded.packets:
        fed = by_time[packet.time_ms]
        picture = replace(
            fed, is_key=packet.is_key, payload=packet.payload, size_bytes=len(packet.payload)
        )
        if picture.is_key:
            groups.append(Group([]))
        groups[-1].pictures.append(picture)
    for group in groups:
        group.sizes.append(len(group.pictures))
    _share_out(groups, sound)
    return groups


def _share_out(groups: Sequence[Group], sound: Sequence[Unit]) -> None:
    """Sound goes with the pictures it stands behind, or with the first ones of its segment."""
    firsts = [(group.piece, group.pictures[0].number) for group in groups]
    for unit in sound:
        at = bisect_right(firsts, (unit.piece, unit.number)) - 1
        if at < 0 or groups[at].piece != unit.piece:
            at += 1
        if at < len(groups) and groups[at].piece == unit.piece:
            groups[at].sound.append(unit)


def copied_groups(run: Sequence[Piece]) -> list[Group]:
    """Whole GOPs, short ones together; [] where there is no key picture.

    Pictures before a segment's first key cannot be decoded and are left out.
    """
    groups: list[Group] = []
    for position, piece in enumerate(run):
        gops: list[Group] = []
        early: list[Unit] = []  # sound before the first key
        for number in range(piece.first_frame, len(piece.places)):
            time_ms, size_bytes, offset_bytes, is_key, is_audio = piece.places[number]
            wall_ms = piece.segment.start_ms + time_ms
            unit = Unit(wall_ms, position, number, is_key, b"", size_bytes, offset_bytes)
            if is_audio:
                (gops[-1].sound if gops else early).append(unit)
            elif is_key:
                gops.append(Group([unit], early))
                early = []
            elif gops:
                gops[-1].pictures.append(unit)
        groups += _joined(gops, piece.follows_ms or piece.last_ms)
    return groups


def _joined(gops: Sequence[Group], end_ms: int) -> list[Group]:
    """Neighbours of one segment that last at most GROUP_MS together become one."""
    joined: list[Group] = []
    ends = [gop.pictures[0].wall_ms for gop in gops[1:]]
    for gop, gop_end_ms in zip(gops, [*ends, end_ms], strict=False):
        gop.sizes.append(len(gop.pictures))
        if joined and 0 <= gop_end_ms - joined[-1].pictures[0].wall_ms <= GROUP_MS:
            joined[-1].pictures += gop.pictures
            joined[-1].sound += gop.sound
            joined[-1].sizes += gop.sizes
        else:
            joined.append(gop)
    return joined


def fragments(
    run: Sequence[Piece],
    groups: Sequence[Group],
    before: HourFile | None,
    audio: matroska.Audio | None = None,
) -> Iterator[Addition]:
    """Fragments to follow `before` (None: a new file); one a group, made when it is asked for.

    `audio`: of the file. Raises BadSegmentError where a segment's bytes cannot be read.
    """
    times = _picture_times(groups)
    walls = [wall_ms for decoded, _ in times for wall_ms in decoded]
    ends = iter([*walls[1:], end_ms(run[-1], walls)])
    durations = [[next(ends) - wall_ms for wall_ms in decoded] for decoded, _ in times]
    media = list(accumulate(map(sum, durations), initial=before.duration_ms if before else 0))
    sounds: Sequence[_Sound | None] = [None] * len(groups)
    if audio is not None:
        sounds = _sounds(audio, groups, [decoded[0] for decoded, _ in times], media, before)
    sequence = before.fragments if before else 0
    next_frame = [piece.first_frame for piece in run]
    for number, group in enumerate(groups):
        piece = run[group.piece]
        after = groups[number + 1] if number + 1 < len(groups) else None
        is_last_of_piece = after is None or after.piece != group.piece
        frames = len(piece.places)
        end_frame = frames if is_last_of_piece or after is None else after.pictures[0].number
        decoded, offsets = times[number]
        mark = mp4.Mark(
            piece.segment.start_ms,
            piece.segment.size_bytes,
            next_frame[group.piece],
            end_frame,
            frames,
        )
        next_frame[group.piece] = end_frame
        data = mp4.fragment(
            sequence=sequence + number + 1,
            media_ms=media[number],
            wall_ms=decoded[0],
            samples=[
                mp4.Sample(duration_ms, unit.size_bytes, unit.is_key, offset_ms)
                for unit, duration_ms, offset_ms in zip(
                    group.pictures, durations[number], offsets, strict=True
                )
            ],
            payload=_bytes_of(piece, group.pictures),
            mark=mark,
            sound=_sound_run(sounds[number], run),
        )
        entry = Entry(len(data), decoded[0], media[number + 1] - media[number])
        yield Addition(data, entry, len(group.pictures))


def _bytes_of(piece: Piece, units: Sequence[Unit]) -> list[bytes]:
    """Raises BadSegmentError where they cannot be read."""
    if all(unit.payload for unit in units):
        return [unit.payload for unit in units]
    try:
        with piece.segment.path.open("rb", buffering=0) as file:
            found = [
                unit.payload or os.pread(file.fileno(), unit.size_bytes, unit.offset_bytes)
                for unit in units
            ]
    except OSError as error:
        raise BadSegmentError(f"it cannot be read: {error.strerror or error}") from error
    if any(len(data) != unit.size_bytes for data, unit in zip(found, units, strict=True)):
        raise BadSegmentError("it was cut short while it was read")
    return found


def _picture_times(groups: Sequence[Group]) -> list[tuple[list[int], list[int]]]:
    """Per group (decode times, offsets), wall clock, rising strictly over the whole run."""
    after_ms = min(unit.wall_ms for unit in groups[0].pictures) - 1
    times: list[tuple[list[int], list[int]]] = []
    for group in groups:
        decoded: list[int] = []
        offsets: list[int] = []
        for size in group.sizes:
            gop = group.pictures[len(decoded) : len(decoded) + size]
            gop_times, gop_offsets = timing.shown([unit.wall_ms for unit in gop], after_ms)
            decoded += gop_times
            offsets += gop_offsets
            after_ms = gop_times[-1]
        times.append((decoded, offsets))
    return times


@dataclass(slots=True)
class _Sound:
    """The sound of one fragment; a unit without `size_bytes` is silence."""

    units: list[Unit]
    laid: list[timing.Laid]


def _sounds(
    audio: matroska.Audio,
    groups: Sequence[Group],
    walls: Sequence[int],
    media: Sequence[int],
    before: HourFile | None,
) -> list[_Sound | None]:
    """The sound of each group. `walls`: of its first picture; `media`: where it begins, and ends."""
    units = [(at, unit) for at, group in enumerate(groups) for unit in group.sound]
    silent = aac.silence(audio.config, audio.channels)
    silence = Unit(0, 0, 0, True, silent, len(silent))
    ended_ms = hourfile.sound_end_ms(before) if before is not None else None
    laid = timing.lay_sound(
        [
            timing.Wanted(media[at] + unit.wall_ms - walls[at], media[at], media[at + 1])
            for at, unit in units
        ],
        unit_ms=aac.unit_ms(audio.config),
        from_ms=media[0] if ended_ms is None else ended_ms,
        until_ms=media[-1],
        has_silence=bool(silent),
    )
    shares = [_Sound([], []) for _ in groups]
    at = 0
    for one in laid:
        if one.number is not None:
            at = max(at, units[one.number][0])
        while one.number is None and at + 1 < len(groups) and media[at + 1] <= one.at_ms:
            at += 1
        shares[at].units.append(silence if one.number is None else units[one.number][1])
        shares[at].laid.append(one)
    return [share if share.units else None for share in shares]


def _sound_run(sound: _Sound | None, run: Sequence[Piece]) -> mp4.Run | None:
    """Its units may lie in several segments: a late one goes with the pictures of its time."""
    if sound is None:
        return None
    payload: list[bytes] = []
    for position, units in groupby(sound.units, key=lambda unit: unit.piece):
        payload += _bytes_of(run[position], list(units))
    samples = [
        mp4.Sample(one.duration_ms, unit.size_bytes, True)
        for one, unit in zip(sound.laid, sound.units, strict=True)
    ]
    return mp4.Run(mp4.AUDIO_TRACK, sound.laid[0].at_ms, samples, payload)


def end_ms(last: Piece, walls: Sequence[int]) -> int:
    """When the last picture ends: where the next segment begins, else after the usual interval."""
    if last.follows_ms is not None:
        return max(last.follows_ms, walls[-1] + 1)
    usual = [after - before for before, after in pairwise(walls)]
    return walls[-1] + min(max(1, median_low(usual) if usual else LAST_FRAME_MS), GAP_MS)
