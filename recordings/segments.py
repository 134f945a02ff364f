"""Segments on disk: their names, who is writing them, reading them, and adopting crashed ones.

``<spool>/<AA-BB-…>/<epoch_ms>.mkv``, with ``.part`` behind it while it is written; the name is the
wall time of the first frame. A writer holds `flock` on its open file, so a `.part` that can be
locked belongs to nobody any more (kill -9 lets go of the lock) and may be adopted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import BinaryIO, NamedTuple

from recordings.exceptions import BadSegmentError
from recordings.media import matroska

# A camera silent for longer has stopped; two segments closer than this are one run of video.
GAP_MS = 5_000
PART_SUFFIX = ".part"
_NAME = re.compile(r"(\d{1,16})\.mkv(\.part)?\Z")


class Frame(NamedTuple):
    """One picture or access unit of sound with its presentation time in epoch ms.

    For MJPEG one whole JPEG and the time of its arrival.
    """

    wall_ms: int
    payload: bytes
    is_key: bool = True
    is_audio: bool = False


class LocalHour(NamedTuple):
    """The hour file a moment belongs to; the offset tells the two passes of a clock change apart."""

    date: date
    hour: int
    utc_offset: timedelta


def local_hour(wall_ms: int, zone: tzinfo) -> LocalHour:
    moment = datetime.fromtimestamp(wall_ms // 1000, zone)
    return LocalHour(moment.date(), moment.hour, moment.utcoffset() or timedelta(0))


class SegmentFile(NamedTuple):
    """One file of the spool; `is_open` while its name ends in `.part`."""

    path: Path
    start_ms: int
    size_bytes: int
    is_open: bool


def list_segments(directory: Path) -> list[SegmentFile]:
    """One device's segments, oldest first; those that vanish meanwhile are left out."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(directory):
            if match := _NAME.match(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    size_bytes = entry.stat().st_size
                    is_open = match[2] is not None
                    found.append(SegmentFile(Path(entry.path), int(match[1]), size_bytes, is_open))
    return sorted(found, key=lambda segment: segment.start_ms)


def read_track(path: Path) -> matroska.Track:
    """Codec, size, sound. Raises BadSegmentError; FileNotFoundError when it is gone."""
    with path.open("rb") as file:
        return _read_head(file, path).track


def read_origin(path: Path) -> matroska.Origin | None:
    """None for a camera that dials in itself. Raises as `read_track`."""
    with path.open("rb") as file:
        return _read_head(file, path).origin


def read_frames(segment: SegmentFile, first_frame: int = 0) -> Iterator[Frame]:
    """Whole frames from number `first_frame` on, in file order, which is decode order; a torn tail
    (crash, still open) just ends it.

    Raises BadSegmentError where no segment begins; FileNotFoundError when it is gone.
    """
    with segment.path.open("rb", buffering=1 << 18) as file:
        _read_head(file, segment.path)
        for number, block in enumerate(matroska.read_blocks(file)):
            if number >= first_frame:
                time_ms, payload, is_key, is_audio = block
                yield Frame(segment.start_ms + time_ms, payload, is_key, is_audio)


def read_places(path: Path) -> list[matroska.Place]:
    """Every whole frame without its bytes: time after the segment's start, where it lies."""
    with path.open("rb") as file:
        _read_head(file, path)
        return list(matroska.places(file, os.fstat(file.fileno()).st_size))


def read_extent(path: Path) -> matroska.Extent:
    """How many whole frames there are and the greatest time of a picture; none is read."""
    with path.open("rb") as file:
        _read_head(file, path)
        return matroska.extent(file, os.fstat(file.fileno()).st_size)


def _read_head(file: BinaryIO, path: Path) -> matroska.Head:
    try:
        return matroska.read_head(file)
    except ValueError as error:
        raise BadSegmentError(f"{path.name} is not a readable segment: {error}") from error


class SegmentWriter:
    """One open segment. `append` runs in the writer thread, `sync` and `finish` in the sync thread;
    the file descriptor lives until `finish`, so the two never race for it.
    """

    def __init__(
        self,
        directory: Path,
        start_ms: int,
        track: matroska.Track,
        origin: matroska.Origin | None = None,
    ) -> None:
        """Takes the first free name at or after `start_ms`. Raises OSError; nothing is left then."""
        self.start_ms, self._part, self._fd = _create(directory, start_ms)
        self.frames = 0
        self.last_ms = -1  # the greatest time of a picture
        self._is_synced = False
        self._is_name_synced = False
        try:
            self.size_bytes = self._write(matroska.head(track, self.start_ms, origin))
        except OSError:
            self._part.unlink(missing_ok=True)
            os.close(self._fd)
            raise

    @property
    def last_wall_ms(self) -> int:
        return self.start_ms + self.last_ms

    def append(self, frames: Sequence[tuple[int, bytes]]) -> None:
        """JPEGs as (media ms, payload), times rising.

        On OSError the file ends behind the last frame that fitted whole, and `frames` counts those.
        """
        pieces: list[bytes] = []
        ends: list[int] = []
        total = 0
        for time_ms, payload in frames:
            pieces += (matroska.block_header(time_ms, len(payload)), payload)
            total += matroska.BLOCK_HEADER_BYTES + len(payload)
            ends.append(total)
        before = self.frames
        try:
            self._append(pieces, ends)
        finally:
            if written := self.frames - before:
                self.last_ms = frames[written - 1][0]

    def append_blocks(self, blocks: Sequence[matroska.Block]) -> None:
        """Packets in decode order; a picture's time may lie before its predecessor's.

        On OSError as `append`.
        """
        pieces: list[bytes] = []
        ends: list[int] = []
        total = 0
        for time_ms, payload, is_key, is_audio in blocks:
            track = matroska.AUDIO_TRACK if is_audio else matroska.VIDEO_TRACK
            head = matroska.block_header(time_ms, len(payload), is_key=is_key, track=track)
            pieces += (head, payload)
            total += matroska.BLOCK_HEADER_BYTES + len(payload)
            ends.append(total)
        before = self.frames
        try:
            self._append(pieces, ends)
        finally:
            for block in blocks[: self.frames - before]:
                if block.time_ms > self.last_ms and not block.is_audio:
                    self.last_ms = block.time_ms

    def _append(self, pieces: Sequence[bytes], ends: Sequence[int]) -> None:
        """`ends`: where each block ends, counted from here."""
        before_bytes = self.size_bytes
        whole, total = len(ends), ends[-1] if ends else 0
        self._is_synced = False
        try:
            self._write(b"".join(pieces))
        except OSError:
            # Unsure how far it came: ask the file, keep the whole frames, cut the torn one.
            whole = bisect_right(ends, self._length() - before_bytes)
            total = ends[whole - 1] if whole else 0
            with contextlib.suppress(OSError):  # a reader stops at a torn frame anyway
                os.ftruncate(self._fd, before_bytes + total)
            raise
        finally:
            self.size_bytes = before_bytes + total
            self.frames += whole

    def sync(self) -> None:
        """Raises OSError; what was written since the last good sync may then be lost."""
        if not self._is_synced:
            self._is_synced = True  # before the call: an append meanwhile asks for another one
            os.fdatasync(self._fd)
        if not self._is_name_synced:
            sync_directory(self._part.parent)
            self._is_name_synced = True

    def finish(self) -> Path | None:
        """Sync, give it its final name, let go of it; None for a segment without a frame.

        Raises OSError; the `.part` then stays for adoption, and the descriptor is closed anyway.
        """
        try:
            if not self.frames:
                self._part.unlink(missing_ok=True)
                return None
            os.fdatasync(self._fd)
            final = self._part.with_suffix("")
            self._part.rename(final)
            sync_directory(final.parent)
            return final
        finally:
            os.close(self._fd)

    def _length(self) -> int:
        return os.fstat(self._fd).st_size

    def _write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        return len(data)


def _create(directory: Path, start_ms: int) -> tuple[int, Path, int]:
    """(start ms, path, descriptor) of a new, empty, locked `.part` whose final name is free too."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)
    while True:
        part = directory / f"{start_ms}.mkv{PART_SUFFIX}"
        if part.with_suffix("").exists():
            start_ms += 1
            continue
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        except FileExistsError:
            start_ms += 1
            continue
        if _lock(fd) and _is_same_file(fd, part):
            return start_ms, part, fd
        # An adopter took it for an orphan between our open and our lock; it clears it away.
        os.close(fd)
        start_ms += 1


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def sync_directory(directory: Path) -> None:
    """Makes new names survive a power cut. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def adopt(directory: Path) -> int:
    """Give every ownerless `.part` of one device its final name; those without a frame go.

    Safe beside living writers and other adopters. Returns how many were adopted.
    """
    return sum(_adopt_one(segment) for segment in list_segments(directory) if segment.is_open)


def _adopt_one(segment: SegmentFile) -> bool:
    try:
        fd = os.open(segment.path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if not (_lock(fd) and _is_same_file(fd, segment.path)):
            return False
        try:
            extent = read_extent(segment.path)
        except BadSegmentError:
            extent = matroska.Extent(0, 0, 0)
        if not extent.frames:
            segment.path.unlink()
            return False
        os.ftruncate(fd, extent.end_bytes)  # its size is part of its identity: end it cleanly
        os.fdatasync(fd)
        final = segment.path.with_suffix("")
        if final.exists():  # a writer never does this; keep both rather than lose one
            return False
        segment.path.rename(final)
        sync_directory(final.parent)
        return True
    finally:
        os.close(fd)


def device_directories(spool: Path) -> list[Path]:
    """One a device, in the order of their names; [] before the first frame ever."""
    return sorted(entry for entry in spool.iterdir() if entry.is_dir()) if spool.is_dir() else []


def has_closed_before(directory: Path, epoch_s: float) -> bool:
    """Whether a closed segment was last written before that time."""
    for segment in list_segments(directory):
        with contextlib.suppress(FileNotFoundError):
            if not segment.is_open and segment.path.stat().st_mtime < epoch_s:
                return True
    return False
