"""Cuts one clip: footage in, `<uuid>.mp4` out. The long work behind `clips.tasks.cut_clip`.

Pictures that have to be encoded go into a file of their own first, because the head of a progressive
MP4 names every sample's size. Then head and samples are written in one pass, so memory holds sample
tables and one chunk, however long the clip is. The row is the last thing that changes: whatever
kills the worker before leaves `.part` files, or files that the next attempt writes again.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils import timezone

from clips import assembly, catalog, coder, files, wording
from clips.assembly import Chunk, Picture, Piece, Timeline
from clips.exceptions import CutError, NoFootageError, NoRoomError
from clips.models import Clip, State
from devices.models import Device
from recordings import encoder, footage, gaps, stills
from recordings.exceptions import EncodeError, RecordingError
from recordings.footage import Shot, Stretch
from recordings.media import aac, mp4, nal
from recordings.media.matroska import Track

log = logging.getLogger(__name__)

ENCODED = ".enc"
TRIES = 3  # the packager may move footage from the spool into an hour file while it is being read
# Recording comes first: below this the disk is nearly full, and a clip would take the last of it.
RESERVE_BYTES = 256 * 1024**2
THUMBNAIL_WIDTH = 640
_NO_TRACK = Track("h264", 0, 0)
_WORDS = ("name", "note", "is_locked")  # what a person may change while the clip is cut


@dataclass(frozen=True, slots=True)
class Made:
    """What was written, how it can be described, and from what."""

    track: Track
    shown: Timeline
    size_bytes: int
    stretches: Sequence[Stretch]


def cut(clip: Clip) -> None:
    """Makes the clip ready. The caller holds its lock, and its state is CUTTING.

    Raises NoFootageError, NoRoomError, CutError and OSError with nothing left on disk; WrongStateError
    where it was deleted meanwhile.
    """
    device = clip.device
    if device is None:
        raise NoFootageError("The camera was removed before this clip was cut.")
    files.directory()
    files.remove_parts(clip.pk)
    try:
        side = files.path_of(clip.pk, ENCODED + files.PART)
        part = files.path_of(clip.pk, ".mp4" + files.PART)
        made = write_video(device, clip.start_ms, clip.end_ms, into=part, side=side)
        thumbnail = _thumbnail(clip, made, side)
        files.publish(clip.pk, ".mp4")
        if thumbnail:
            files.path_of(clip.pk, ".jpg.part").write_bytes(thumbnail)
            files.publish(clip.pk, ".jpg")
        files.remove_parts(clip.pk)
        _finish(clip, device, made, has_thumbnail=bool(thumbnail))
    finally:
        with contextlib.suppress(OSError):
            files.remove_parts(clip.pk)


def write_video(device: Device, start_ms: int, end_ms: int, *, into: Path, side: Path) -> Made:
    """What there is of a camera in `[start_ms, end_ms)`, as one plain MP4; again where footage moved
    meanwhile. `side`: where pictures that must be encoded are put in between.

    Raises NoFootageError, NoRoomError, CutError and OSError. Both files are the caller's to sync, and
    to remove where they are not wanted.
    """
    for is_last in (False,) * (TRIES - 1) + (True,):
        stretches = footage.collect(device, start_ms, end_ms)
        try:
            made = _Cut(stretches, start_ms, end_ms, into, side).make()
        except FileNotFoundError as error:
            if is_last:
                raise CutError("The camera's video was moved while it was being cut.") from error
        except EncodeError as error:
            raise CutError(f"The video could not be encoded: {error}.") from error
        else:
            if made is None:
                raise NoFootageError(_nothing(device, start_ms, end_ms))
            return made
    raise AssertionError  # the loop returns or raises


class _Cut:
    """One attempt."""

    def __init__(
        self, stretches: Sequence[Stretch], start_ms: int, end_ms: int, into: Path, side: Path
    ) -> None:
        self._stretches = stretches
        self._start_ms, self._end_ms = start_ms, end_ms
        self._into, self._side = into, side
        self._pieces: list[Piece] = []

    def make(self) -> Made | None:
        """None where there is no picture in this time."""
        start_ms, end_ms = self._start_ms, self._end_ms
        pieces = assembly.plan(self._stretches, start_ms, end_ms)
        if not pieces:
            return None
        coded = self._code(pieces, None)
        if coded is None:
            # Size or parameters change within the window, and one file has one set of them. A
            # moment is kept whole, so all of it is encoded to the first size.
            pieces = assembly.encode_all(self._stretches, start_ms, end_ms)
            first = pieces[0].stretch.track
            size = (encoder.even(first.width), encoder.even(first.height))
            coded = self._code(pieces, size)
        if coded is None:
            raise CutError("The parts of the video do not fit together.")
        track, pictures = coded
        if not pictures:
            raise NoFootageError("No picture in this time could be decoded.")
        self._pieces = pieces
        is_own = all(piece.is_encoded or piece.stretch.was_jpeg for piece in pieces)
        shown = assembly.lay_pictures(pictures, end_ms if is_own else None)
        audio = next((s.track.audio for s in self._stretches if s.track.audio is not None), None)
        sounds = assembly.lay_sound(pieces, shown, audio) if audio else []
        track = track._replace(audio=audio if sounds else None)
        silence = aac.silence(audio.config, audio.channels) if audio else b""
        chunks = assembly.interleave(shown, sounds, silence)
        size_bytes = self._write(track, shown, chunks, silence, is_full_range=is_own)
        return Made(track, shown, size_bytes, self._stretches)

    # -- pictures ---------------------------------------------------------------------------------

    def _code(
        self, pieces: Sequence[Piece], size: tuple[int, int] | None
    ) -> tuple[Track, list[Picture]] | None:
        """The one set of parameters and every picture of the clip; None where there are several."""
        tracks = {_bare(piece.stretch.track) for piece in pieces if not piece.is_encoded}
        if len(tracks) > 1:
            return None
        numbered = list(enumerate(pieces))
        made: dict[int, list[Picture]] = {number: [] for number, _ in numbered}
        to_encode = [(number, piece) for number, piece in numbered if piece.is_encoded]
        with self._side.open("wb") as out:
            for number, coded in coder.encode(to_encode, size) if to_encode else ():
                tracks.add(coded.track)
                if len(tracks) > 1:
                    return None
                for shot, packet in coded.pictures:
                    length, place = len(packet.payload), out.tell()
                    out.write(packet.payload)
                    made[number].append(
                        Picture(
                            shot.wall_ms,
                            length,
                            packet.is_key,
                            shot.duration_ms,
                            number,
                            None,
                            place,
                        )
                    )
        for number, piece in numbered:
            if not piece.is_encoded:
                made[number] = [
                    Picture(
                        shot.wall_ms, shot.size_bytes, shot.is_key, shot.duration_ms, number, shot
                    )
                    for shot in piece.pictures
                ]
        pictures = [picture for number, _ in numbered for picture in made[number]]
        return (tracks.pop(), pictures) if pictures else (_NO_TRACK, [])

    # -- writing ----------------------------------------------------------------------------------

    def _write(
        self,
        track: Track,
        shown: Timeline,
        chunks: Sequence[Chunk],
        silence: bytes,
        *,
        is_full_range: bool,
    ) -> int:
        """Returns the file's length. Raises NoRoomError, OSError, FileNotFoundError."""
        runs = [chunk.run for chunk in chunks]
        head = mp4.plain_file(track, runs, wall_ms=shown.start_ms, is_full_range=is_full_range)
        total = len(head) + sum(sample.size_bytes for run in runs for sample in run.samples)
        free = shutil.disk_usage(self._into.parent).free
        if free - total < RESERVE_BYTES:
            raise NoRoomError(
                f"The disk is nearly full: the video needs {total / 1e6:.1f} MB, and the "
                f"{free / 1e6:.0f} MB that are free are kept for recording."
            )
        with self._into.open("wb") as out, self._side.open("rb") as encoded:
            out.write(head)
            for chunk in chunks:
                for payload in self._payloads(chunk, encoded, silence):
                    out.write(payload)
            if out.tell() != total:
                raise CutError("The video changed while it was being cut.")
        return total

    def _payloads(self, chunk: Chunk, encoded: BinaryIO, silence: bytes) -> Iterator[bytes]:
        if chunk.is_encoded:
            encoded.seek(chunk.offset_bytes)
            yield encoded.read(sum(sample.size_bytes for sample in chunk.run.samples))
            return
        stretch = self._pieces[chunk.piece].stretch
        stored = footage.read(stretch, [shot for shot in chunk.shots if shot is not None])
        for shot in chunk.shots:
            yield silence if shot is None else next(stored, b"")


def _thumbnail(clip: Clip, made: Made, side: Path) -> bytes:
    """The picture nearest to the moment that can be decoded alone; b"" where that fails."""
    shown = made.shown
    middle_ms = (shown.start_ms + shown.end_ms) // 2
    wanted_ms = middle_ms if clip.trigger_ms is None else clip.trigger_ms
    found: tuple[Stretch, Shot] | None = None
    for stretch in made.stretches:
        for shot in stretch.shots:
            if shot.is_key and not shot.is_audio and shown.start_ms <= shot.wall_ms < clip.end_ms:
                before_ms = abs(found[1].wall_ms - wanted_ms) if found else 1 << 62
                if abs(shot.wall_ms - wanted_ms) < before_ms:
                    found = stretch, shot
    try:
        if found is not None:
            stretch, shot = found
            packet = next(footage.read(stretch, [shot]))
            return stills.jpeg_of(_bare(stretch.track), packet, width=THUMBNAIL_WIDTH)
        first = _first_encoded(shown, side)
        return stills.jpeg_of(_bare(made.track), first, width=THUMBNAIL_WIDTH)
    except (RecordingError, OSError, ValueError, StopIteration) as error:
        log.warning("No thumbnail of %s: %s", clip.pk, error)
        return b""


def _first_encoded(shown: Timeline, side: Path) -> bytes:
    """Of a clip that lies within one GOP of the packager's."""
    first = next(one for one in shown.pictures if one.is_key and one.shot is None)
    with side.open("rb") as file:
        file.seek(first.offset_bytes)
        return file.read(first.size_bytes)


def _finish(clip: Clip, device: Device, made: Made, *, has_thumbnail: bool) -> None:
    """The sidecar, then the row. Raises WrongStateError, OSError."""
    track, shown = made.track, made.shown
    codecs = [nal.codec_string(track.codec, track.config)]
    if track.audio is not None:
        codecs.append(nal.audio_codec_string(track.audio.config))
    facts = {
        "reason": _shortcoming(clip, device, shown),
        "actual_start_ms": shown.start_ms,
        "actual_end_ms": shown.end_ms,
        "duration_ms": shown.duration_ms,
        "size_bytes": made.size_bytes,
        "width": track.width,
        "height": track.height,
        "codecs": ",".join(codecs),
        "has_audio": track.audio is not None,
        "has_thumbnail": has_thumbnail,
    }
    clip.refresh_from_db(fields=_WORDS)
    for name, value in facts.items():
        setattr(clip, name, value)
    # Not within a transaction: on a slow disk everything else that writes would wait for this sync.
    catalog.store(clip)
    stored = [getattr(clip, name) for name in _WORDS]
    clip.become(State.READY, **facts, attempts=0, due_ms=None, ready_at=timezone.now())
    clip.refresh_from_db(fields=_WORDS)
    if stored != [getattr(clip, name) for name in _WORDS]:
        catalog.store(clip)  # a person has changed them in this very moment


def _shortcoming(clip: Clip, device: Device, shown: Timeline) -> str:
    """What is missing in it, in words; "" for a whole one."""
    missing_ms, longest = assembly.missing_ms(shown, clip.start_ms, clip.end_ms)
    if longest is None:
        return ""
    return wording.missing(missing_ms, clip.end_ms - clip.start_ms, _cause(device, *longest))


def _nothing(device: Device, start_ms: int, end_ms: int) -> str:
    """Why there is no video, in words."""
    return wording.nothing(start_ms, end_ms, _cause(device, start_ms, end_ms))


def _cause(device: Device, start_ms: int, end_ms: int) -> str:
    """Of the longest known gap in that time: part of a sentence, "" where nobody knows."""
    known = [gap for gap in gaps.gaps(device.pk, start_ms, end_ms) if gap.cause in wording.CAUSES]
    longest = max(known, key=lambda gap: gap.end_ms - gap.start_ms, default=None)
    return wording.CAUSES[longest.cause] if longest else ""


def _bare(track: Track) -> Track:
    return track._replace(audio=None)
