"""From segments to hour files: what is not packaged yet is taken in runs and appended.

A run is a row of segments that follow each other without a gap and belong to one hour file: one
write, one sync, one transaction. JPEGs are encoded by one FFmpeg child a run, H.264 and H.265 are
copied. The fragments say which frames of which segment they hold, so after a crash at any step the
next run knows from the file alone what is left to do. A spool file goes once it is wholly in an
hour file *and* older than the pre-roll window.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from devices.models import Device
from recordings import encoder, hourfile, policy, reindex
from recordings.assembly import (
    Group,
    Piece,
    Unit,
    check,
    copied_groups,
    encoded_groups,
    feed,
    first_wall_ms,
    fragments,
    key_times,
)
from recordings.exceptions import (
    BadHourFileError,
    BadSegmentError,
    EncodeError,
    RecordingError,
)
from recordings.hourfile import HourFile
from recordings.media import aac, mp4, nal
from recordings.media.matroska import Track
from recordings.models import Recording
from recordings.repeats import is_settled, own_frames
from recordings.segments import (
    GAP_MS,
    LocalHour,
    SegmentFile,
    list_segments,
    local_hour,
    read_places,
    read_track,
)

logger = logging.getLogger(__name__)

RUN_SEGMENTS = 20
RUN_MS = 10 * 60_000
RUN_BYTES = 64 * 1024 * 1024  # of JPEG: the H.264 is held in memory, and is smaller
WORK_SECONDS = 600  # one task; far below the broker's visibility timeout
BAD_SUFFIX = ".bad"
BAD_KEPT_SECONDS = 24 * 3600

# FFmpeg gets one thread each; more encodes than cores would only take memory.
_encodes = threading.BoundedSemaphore(os.cpu_count() or 1)


@dataclass(slots=True)
class Outcome:
    """What one call did; `has_more`: it stopped for the time, not for lack of work."""

    frames: int = 0
    undecodable_frames: int = 0
    segments: int = 0
    is_busy: bool = False
    has_more: bool = False


def package(device: Device) -> Outcome:
    """Package everything of one device that is closed. Any process may call it at any time.

    Raises EncodeError, EncoderMissingError, DiskError: what was done stays done, the rest stays in
    the spool and is tried again.
    """
    outcome = Outcome()
    with hourfile.device_lock(settings.RUN_DIR, device.directory) as is_ours:
        if not is_ours:
            outcome.is_busy = True
            return outcome
        work = _Work(device, outcome)
        deadline = time.monotonic() + WORK_SECONDS
        try:
            while run := work.next_run():
                work.package_run(run)
                if time.monotonic() > deadline:
                    outcome.has_more = True
                    break
        finally:
            work.clear_spool()
    if work.failure is not None:
        raise work.failure
    return outcome


class _Work:
    """One call of `package`, with the lock held."""

    def __init__(self, device: Device, outcome: Outcome) -> None:
        self.device = device
        self.outcome = outcome
        self.failure: RecordingError | None = None
        self._policy = policy.current()
        self._encoder: encoder.Encoder | None = None
        self._spool: Path = settings.SPOOL_DIR / device.directory
        self._recordings: Path = settings.RECORDINGS_DIR / device.directory
        self._zone = timezone.get_default_timezone()
        self._hours: dict[tuple[date, int], list[HourFile]] = {}
        self._done: set[Path] = set()  # wholly in an hour file
        self._failed_once: set[Path] = set()
        self._given_up: set[Path] = set()  # not in this call any more

    # -- what to do -------------------------------------------------------------------------------

    def next_run(self) -> list[Piece]:
        """The oldest unpackaged segments that can be packaged together; [] when all is done."""
        spool = list_segments(self._spool)
        run: list[Piece] = []
        for number, segment in enumerate(spool):
            if segment.is_open or segment.path in self._done or segment.path in self._given_up:
                if run:
                    break
                continue
            piece = self._piece(number, spool)
            if piece is None:
                if run:
                    break
                continue
            if not is_settled(segment, spool):
                break  # and what is younger waits for it: an hour file is in the order of time
            if run and not self._goes_on(run, piece):
                break
            run.append(piece)
        return run

    def _piece(self, number: int, spool: Sequence[SegmentFile]) -> Piece | None:
        """None when nothing of it is left to package."""
        segment = spool[number]
        first_frame = 0
        for file in self._files_of(segment.start_ms):
            done, is_all = hourfile.packaged_frames(file, segment)
            if is_all:
                self._done.add(segment.path)
                return None
            first_frame = max(first_frame, done)
        try:
            track = read_track(segment.path)
            places = read_places(segment.path)
            own = own_frames(segment, spool)
        except FileNotFoundError:
            return None
        except BadSegmentError as error:
            self._set_aside(segment, str(error))
            return None
        if own is not None and own <= first_frame:
            if is_settled(segment, spool):
                self._done.add(segment.path)  # another one has all of it, and keeps it
            return None
        pictures = [place for place in places[first_frame:own] if not place.is_audio]
        if not any(picture.is_key for picture in pictures):
            self._set_aside(segment, "it holds no whole picture to begin with")
            return None
        last_ms = segment.start_ms + max(picture.time_ms for picture in pictures)
        after = spool[number + 1] if number + 1 < len(spool) else None
        follows = after is not None and last_ms < after.start_ms < last_ms + GAP_MS
        return Piece(
            segment=segment,
            track=track,
            places=places[:own],
            first_frame=first_frame,
            last_ms=last_ms,
            follows_ms=after.start_ms if after and follows else None,
        )

    def _goes_on(self, run: Sequence[Piece], piece: Piece) -> bool:
        first, last = run[0], run[-1]
        return (
            last.follows_ms == piece.segment.start_ms
            and not piece.first_frame
            and piece.track == first.track
            and self._hour(piece) == self._hour(first)
            and len(run) < RUN_SEGMENTS
            and piece.last_ms - first.segment.start_ms <= RUN_MS
            and sum(one.segment.size_bytes for one in (*run, piece)) <= RUN_BYTES
        )

    def _hour(self, piece: Piece) -> LocalHour:
        return local_hour(piece.segment.start_ms, self._zone)

    # -- doing it ---------------------------------------------------------------------------------

    def package_run(self, run: list[Piece]) -> None:
        """Raises DiskError, EncoderMissingError. A run that fails is tried again piece by piece, so
        that one bad segment does not hold up the others.
        """
        try:
            track, groups = self._copied(run) if _is_copied(run) else self._encoded(run)
            self._append(run, track, groups)
        except (EncodeError, BadSegmentError) as error:
            if len(run) > 1:
                logger.warning("%s: trying segment by segment: %s", self.device.directory, error)
                for piece in run:
                    self.package_run([piece])
            else:
                self._refuse(run[0], error)

    def _copied(self, run: list[Piece]) -> tuple[Track, list[Group]]:
        track = self._with_sound(run[0].track)
        try:
            mp4.read_init(mp4.init_segment(track))
        except ValueError as error:
            raise BadSegmentError(f"its codec parameters make no sense: {error}") from error
        return track, copied_groups(run)

    def _with_sound(self, track: Track) -> Track:
        """Without its sound where nobody could play that: the pictures are worth more."""
        if track.audio is not None:
            try:
                nal.audio_codec_string(track.audio.config)
                aac.unit_ms(track.audio.config)
            except ValueError as error:
                logger.warning("%s: sound is left out: %s", self.device.directory, error)
                return track._replace(audio=None)
        return track

    def _encoded(self, run: list[Piece]) -> tuple[Track, list[Group]]:
        chosen = self._encoder or encoder.choose(
            self._policy.encoder, self._policy.preset, self._policy.crf
        )
        self._encoder = chosen
        pictures: list[Unit] = []
        sound: list[Unit] = []
        base_ms = first_wall_ms(run[0])
        track = run[0].track
        keys = key_times(run, base_ms)
        try:
            with _encodes:
                encoded = encoder.encode(chosen, track, feed(run, base_ms, pictures, sound), keys)
            check(encoded, pictures, base_ms)
        except EncodeError:
            if chosen.is_software:
                raise
            self._encoder = encoder.distrust(chosen)
            return self._encoded(run)
        if lost := len(pictures) - len(encoded.packets):
            self.outcome.undecodable_frames += lost
            logger.warning("%s: %d frames were no pictures", self.device.directory, lost)
        width, height = encoder.even(track.width), encoder.even(track.height)
        made = Track("h264", width, height, encoded.avcc, self._with_sound(track).audio)
        return made, encoded_groups(encoded, pictures, sound)

    def _append(self, run: list[Piece], track: Track, groups: list[Group]) -> None:
        init = mp4.init_segment(track, is_full_range=not _is_copied(run))
        hour = self._hour(run[0])
        files = self._files_of(run[0].segment.start_ms)
        first_ms = min(picture.wall_ms for picture in groups[0].pictures)
        known = next(iter(files[-1:]), None)
        fits = (
            known is not None
            and local_hour(known.started_ms, self._zone).utc_offset == hour.utc_offset
            and self._newest_number(hour) == (hourfile.parse_path(known.path) or (0, 0, 0))[2]
            and hourfile.accepts(known, init, first_ms)
        )
        before = known if fits else None
        additions = fragments(run, groups, before, track.audio)
        if before is not None:
            file = hourfile.append(before, additions)
            files[-1] = file
        else:
            number = self._newest_number(hour) + 1
            path = hourfile.hour_path(self._recordings, hour.date, hour.hour, number)
            file = hourfile.create(path, init, additions)
            files.append(file)
        reindex.save(self.device, file)
        self._done |= {piece.segment.path for piece in run}
        self.outcome.segments += len(run)
        self.outcome.frames += file.frame_count - (before.frame_count if before else 0)

    def _refuse(self, piece: Piece, error: RecordingError) -> None:
        """A single segment failed: without one picture in it it goes aside, else it waits."""
        if isinstance(error, BadSegmentError):
            self._set_aside(piece.segment, str(error))
            return
        if not _is_copied([piece]):
            frames = (frame.payload for _, frame in piece.read() if not frame.is_audio)
            if not encoder.can_decode(frames):
                self._set_aside(piece.segment, "no frame in it is a picture")
                return
        if piece.segment.path not in self._failed_once:
            # Once more before the younger ones: out of its turn it would need a file of its own.
            self._failed_once.add(piece.segment.path)
            logger.warning("%s: trying again: %s", piece.segment.path.name, error)
            return
        self._given_up.add(piece.segment.path)
        self.failure = error
        logger.error("%s waits in the spool: %s", piece.segment.path.name, error)

    def _set_aside(self, segment: SegmentFile, reason: str) -> None:
        logger.warning("%s/%s is set aside: %s", self.device.directory, segment.path.name, reason)
        segment.path.rename(segment.path.with_name(segment.path.name + BAD_SUFFIX))

    # -- the files of an hour ---------------------------------------------------------------------

    def _files_of(self, wall_ms: int) -> list[HourFile]:
        """The hour's files, fit to append to, with rows that say the same; asked once a call."""
        hour = local_hour(wall_ms, self._zone)
        key = (hour.date, hour.hour)
        if key not in self._hours:
            self._hours[key] = list(self._recover_hour(hour))
        return self._hours[key]

    def _recover_hour(self, hour: LocalHour) -> Iterator[HourFile]:
        for path in hourfile.existing(self._recordings, hour.date, hour.hour):
            name = str(path.relative_to(settings.RECORDINGS_DIR))
            row = Recording.objects.filter(path=name).first()
            if row is not None and row.deleting_since is not None:
                continue  # its number stays taken until it is gone
            known = reindex.file_of_row(row) if row is not None else None
            try:
                file = hourfile.recover(path, known)
            except BadHourFileError as error:
                logger.warning("Left as it is: %s", error)
                continue
            except FileNotFoundError:
                continue
            if file is None:
                if row is not None:
                    logger.error("%s lost its video; its row goes too", name)
                    row.delete()
                continue
            if file != known:
                logger.info("%s: %d bytes adopted", name, file.size_bytes)
                reindex.save(self.device, file)
            yield file

    def _newest_number(self, hour: LocalHour) -> int:
        """The highest number taken in this hour, by a file or by a row; 0 for none."""
        rows = Recording.objects.filter(device=self.device, date=hour.date, hour=hour.hour)
        paths = hourfile.existing(self._recordings, hour.date, hour.hour)
        paths += [settings.RECORDINGS_DIR / path for path in rows.values_list("path", flat=True)]
        return max(
            (parsed[2] for path in paths if (parsed := hourfile.parse_path(path))), default=0
        )

    # -- clearing up ------------------------------------------------------------------------------

    def clear_spool(self) -> None:
        """Unlink what is wholly in an hour file and older than the pre-roll window."""
        now_ms = time.time_ns() // 1_000_000
        keep_ms = 1000 * (self._policy.pre_roll_seconds + settings.NVR_SEGMENT_SECONDS)
        for segment in list_segments(self._spool):
            if segment.path in self._done and segment.start_ms + keep_ms < now_ms:
                segment.path.unlink(missing_ok=True)
        for path in self._spool.glob(f"*{BAD_SUFFIX}"):
            if path.stat().st_mtime < time.time() - BAD_KEPT_SECONDS:
                path.unlink(missing_ok=True)


def _is_copied(run: Sequence[Piece]) -> bool:
    return run[0].track.codec != "mjpeg"
