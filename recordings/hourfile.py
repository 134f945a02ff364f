"""Hour files: where they lie, how they grow, and what is made of one after a crash. No database.

``<recordings>/<AA-BB-…>/<YYYY-MM-DD>/<HH>.mp4``, date and hour in local time. ``<HH>-2.mp4`` and so
on where one file cannot go on: other codec parameters, a clock that went back, or the second pass
through an hour when the clocks change.

Only the holder of `device_lock` writes here. A file is opened to append or created with O_EXCL, and
is cut only behind its last whole fragment, and only where nothing whole follows.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

from recordings.exceptions import BadHourFileError, DiskError
from recordings.media import index, matroska, mp4
from recordings.media.index import Entry
from recordings.segments import SegmentFile, sync_directory

_NAME = re.compile(r"([01]\d|2[0-3])(?:-([2-9]|[1-9]\d+))?\.mp4\Z")
_MAX_INIT_BYTES = 1 << 16
_SEARCH_BYTES = 1 << 20
_STRAY_MS = 10 * 60_000


@dataclass(frozen=True, slots=True)
class HourFile:
    """What is known of one file; the fields are those of its row (`models.Recording`).

    `size_bytes` ends the last whole fragment. `index` as in `recordings.media.index`.
    """

    path: Path
    init: mp4.Init
    started_ms: int
    size_bytes: int
    duration_ms: int
    frame_count: int
    index: bytes

    @property
    def fragments(self) -> int:
        return len(self.index) // index.ENTRY_BYTES

    @property
    def last(self) -> Entry:
        entry = index.last_entry(self.index, self.started_ms)
        assert entry is not None  # noqa: S101  a file without a fragment is no HourFile
        return entry

    @property
    def ended_ms(self) -> int:
        return self.last.wall_ms + self.last.duration_ms


class Addition(NamedTuple):
    """One whole fragment to append, as bytes and as its entry in the index."""

    data: bytes
    entry: Entry
    frame_count: int


def hour_path(device_directory: Path, day: date, hour: int, number: int) -> Path:
    name = f"{hour:02}.mp4" if number == 1 else f"{hour:02}-{number}.mp4"
    return device_directory / day.isoformat() / name


def parse_path(path: Path) -> tuple[date, int, int] | None:
    """(local date, hour, number) from …/<date>/<HH>[-n].mp4; None for any other file."""
    match = _NAME.match(path.name)
    if match is None:
        return None
    try:
        day = date.fromisoformat(path.parent.name)
    except ValueError:
        return None
    return day, int(match[1]), int(match[2] or 1)


def existing(device_directory: Path, day: date, hour: int) -> list[Path]:
    """The files of one hour in the order of their numbers."""
    folder = device_directory / day.isoformat()
    named = ((parse_path(path), path) for path in folder.glob(f"{hour:02}*.mp4"))
    return [path for _, path in sorted((parsed[2], path) for parsed, path in named if parsed)]


@contextlib.contextmanager
def device_lock(run_directory: Path, device_directory: str) -> Iterator[bool]:
    """One packager or reindexer a device, over all processes; False when another has it.

    The kernel lets go of it when the process dies.
    """
    run_directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(run_directory / f"package-{device_directory}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def recover(path: Path, known: HourFile | None) -> HourFile | None:
    """The file as it is, made fit to append to: whole fragments adopted, a torn tail cut off.

    `known` (from the row) is believed as far as it goes, so only what is behind it gets read.
    None, and the file removed, where a crash left it before its first whole fragment. A file with
    whole fragments behind a damaged place is left untouched: `is_whole` says False for it then.
    Raises BadHourFileError for a foreign file, FileNotFoundError for none.
    """
    size_bytes = path.stat().st_size
    if known is not None and known.size_bytes == size_bytes:
        return known
    with path.open("rb") as file:
        fd = file.fileno()
        found = _scan(path, fd, size_bytes, known)
        end_bytes = found.size_bytes if found else 0
        is_over = found is None or end_bytes < size_bytes
        is_torn = is_over and not _has_fragment_after(fd, end_bytes + 1)
    if is_torn and found is None:
        path.unlink()
    elif is_torn:
        with path.open("r+b") as file:
            file.truncate(end_bytes)
            os.fdatasync(file.fileno())
    return found


def scan(path: Path, known: HourFile | None = None) -> HourFile | None:
    """Read from the file, changing nothing; None where there is no whole fragment. `known` is
    believed as far as it goes.

    Raises BadHourFileError for a foreign file, FileNotFoundError for none.
    """
    with path.open("rb") as file:
        return _scan(path, file.fileno(), os.fstat(file.fileno()).st_size, known)


def is_whole(known: HourFile) -> bool:
    """True when nothing stands behind the last whole fragment, so that appending is right."""
    return known.path.stat().st_size == known.size_bytes


def _scan(path: Path, fd: int, file_bytes: int, known: HourFile | None) -> HourFile | None:
    if known is None or known.size_bytes > file_bytes:  # shorter than its row: believe the file
        init = _read_init(path, fd)
        if init is None:
            return None
        known = HourFile(path, init, 0, init.size_bytes, 0, 0, b"")
    found: list[Addition] = []
    at = known.size_bytes
    while head := mp4.read_fragment(lambda start, size: os.pread(fd, size, start), at, file_bytes):
        entry = Entry(head.size_bytes, head.wall_ms, head.duration_ms)
        found.append(Addition(b"", entry, head.samples))
        at += head.size_bytes
    if not known.index and not found:
        return None
    return _grown(known, found)


def _grown(known: HourFile, added: Sequence[Addition]) -> HourFile:
    entries = [one.entry for one in added]
    started_ms = known.started_ms if known.index else entries[0].wall_ms
    return replace(
        known,
        started_ms=started_ms,
        size_bytes=known.size_bytes + sum(entry.size_bytes for entry in entries),
        duration_ms=known.duration_ms + sum(entry.duration_ms for entry in entries),
        frame_count=known.frame_count + sum(one.frame_count for one in added),
        index=known.index + index.encode(entries, started_ms),
    )


def _read_init(path: Path, fd: int) -> mp4.Init | None:
    try:
        return mp4.read_init(os.pread(fd, _MAX_INIT_BYTES, 0))
    except ValueError as error:
        raise BadHourFileError(f"{path} was not written by this recorder: {error}.") from error


def _has_fragment_after(fd: int, at: int) -> bool:
    """True when a fragment seems to begin at or after `at`: damage in the middle, not a torn tail."""
    while data := os.pread(fd, _SEARCH_BYTES, at):
        if mp4.find_mark(data) >= 0:
            return True
        if len(data) < _SEARCH_BYTES:
            return False
        at += _SEARCH_BYTES - mp4.MARK_BYTES  # the name may lie across two reads
    return False


def sound_end_ms(known: HourFile) -> int | None:
    """Media time at which the sound of the last fragment ends; None where it has none."""
    with known.path.open("rb") as file:
        head = mp4.read_fragment(
            lambda at, size: os.pread(file.fileno(), size, at),
            known.size_bytes - known.last.size_bytes,
            known.size_bytes,
        )
    return head.runs[1].end_ms if head is not None and len(head.runs) > 1 else None


def packaged_frames(known: HourFile, segment: SegmentFile) -> tuple[int, bool]:
    """(how many of the segment's frames are in this file, whether that is all of them).

    The fragments say so themselves, so this survives every crash and the loss of the database.
    """
    sizes, walls, _ = index.columns(known.index)
    start_ms = segment.start_ms - known.started_ms
    # A segment may begin with pictures shown before its first one, and behind others whose times
    # ran ahead: taking it for unpackaged would write it again and again.
    first = index.position(walls, start_ms + matroska.MIN_TIME_MS - 1) + 1
    done, is_all = 0, False
    at = known.init.size_bytes + sum(sizes[:first])
    with known.path.open("rb") as file:
        for size, wall_ms in zip(sizes[first:], walls[first:], strict=True):
            mark = mp4.read_mark(os.pread(file.fileno(), mp4.MARK_BYTES, at))
            at += size
            if mark is not None and mark[:2] == (segment.start_ms, segment.size_bytes):
                done, is_all = mark.end_frame, mark.end_frame == mark.frames
            elif done or wall_ms > start_ms + _STRAY_MS:
                break
    return done, is_all


def accepts(known: HourFile, init: bytes, wall_ms: int) -> bool:
    """Whether video from `wall_ms` on with this init segment may go on in the file."""
    if wall_ms <= known.last.wall_ms or not is_whole(known):
        return False
    with known.path.open("rb") as file:
        return file.read(known.init.size_bytes) == init


def create(path: Path, init: bytes, additions: Iterable[Addition]) -> HourFile:
    """A new hour file. Raises DiskError, FileExistsError and what `additions` raise; nothing is left
    then.
    """
    new_directories = [
        folder for folder in (path.parent, path.parent.parent) if not folder.exists()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
    try:
        written = _write(fd, additions, init)
        for folder in {path.parent, *(new.parent for new in new_directories)}:
            sync_directory(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise _refused(path, error) from error
    finally:
        os.close(fd)
    read = mp4.read_init(init)
    assert read is not None  # noqa: S101  we have just made it
    return _grown(HourFile(path, read, 0, len(init), 0, 0, b""), written)


def append(known: HourFile, additions: Iterable[Addition]) -> HourFile:
    """Fragment by fragment, then one sync. Raises DiskError and what `additions` raise; the file
    ends where it ended before then.
    """
    fd = os.open(known.path, os.O_WRONLY | os.O_APPEND)
    try:
        if os.fstat(fd).st_size != known.size_bytes:
            raise BadHourFileError(f"{known.path.name} was changed by somebody else.")
        try:
            written = _write(fd, additions)
        except BaseException as error:
            with contextlib.suppress(OSError):  # recover() does it at the next run otherwise
                os.ftruncate(fd, known.size_bytes)
            raise _refused(known.path, error) from error
    finally:
        os.close(fd)
    return _grown(known, written)


def _refused(path: Path, error: BaseException) -> BaseException:
    if isinstance(error, OSError):
        return DiskError(f"The disk refuses {path.name}: {error.strerror or error}.")
    return error


def _write(fd: int, additions: Iterable[Addition], head: bytes = b"") -> list[Addition]:
    """What was written, without its bytes: those of one fragment are in memory at a time."""
    written: list[Addition] = []
    for addition in additions:
        view = memoryview(head + addition.data if head else addition.data)
        head = b""
        while view:
            view = view[os.write(fd, view) :]
        written.append(addition._replace(data=b""))
    os.fdatasync(fd)
    return written
