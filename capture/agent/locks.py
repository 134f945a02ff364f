"""One owner per source and per camera: file locks that FFmpeg inherits (docs/design/capture-agent.md).

A lock belongs to the open file, and so to every process that has the descriptor: while a child
of a killed agent lives, nobody else gets the source. The file says who they are, so that the next
owner may end what is provably a dead owner's child, and nothing else.

A source's own lock keeps two agents apart. A camera of this machine has a lock besides, by which
whoever opens the device (the agent's driver, a source test, a capture) keeps the others out.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from capture.agent.protocol import SourceError
from devices import addresses

PATIENCE_S = 2.0  # an orphan finds its pipe closed and ends by itself within its next picture
GIVE_UP_S = 5.0
_POLL_S = 0.1
_NOTES_BYTES = 4096


class Use(StrEnum):
    """What a camera is held for; its lock file says it."""

    STREAM = "stream"
    CAPTURE = "capture"
    TRIAL = "trial"


_SAYS = {
    Use.STREAM: "The recorder streams from this camera, and only one program can have it at a time.",
    Use.CAPTURE: "A picture or a video is being taken with this camera.",
    Use.TRIAL: "This camera is just being tried out.",
}


class CameraTaken(SourceError):
    """The camera is held by a living process of ours; `is_brief`: it will soon be free again."""

    def __init__(self, use: Use) -> None:
        super().__init__("busy", _SAYS[use])
        self.is_brief = use is not Use.STREAM


class _Note(NamedTuple):
    pid: str
    start: str
    use: str  # of the owner of a camera's lock


def camera_path(run_dir: Path, address: str) -> Path | None:
    """The lock of the physical camera that a source's address means; None where it is no device of
    this machine. Its options play no part, and all names of one device give one lock.
    """
    try:
        camera = addresses.parse(address, allow_loopback=True)
    except addresses.BadAddress:
        return None
    match camera.kind:
        case "picamera":
            name = f"picamera-{camera.number}"
        case "usb":
            name = os.path.realpath(camera.path).removeprefix("/dev/")
        case _:
            return None
    return run_dir / f"camera-{re.sub('[^A-Za-z0-9]+', '-', name).strip('-')}.lock"


@asynccontextmanager
async def held(path: Path, use: Use | None = None) -> AsyncIterator[int]:
    """The descriptor that children inherit. Raises SourceError("busy") where somebody has it.

    `use`: of a camera's lock.
    """
    descriptor = _open(path)
    try:
        await _wait_for(_Asking(descriptor, owner_s=0.0, orphan_s=GIVE_UP_S))
        _begin(descriptor, use)
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def held_with_camera(path: Path, address: str, use: Use) -> AsyncIterator[int]:
    """A source's own lock and, of a camera of this machine, the camera's, which lies beside it.

    Children inherit the camera's where there is one: what they could keep from others is that
    device. Raises SourceError("busy"), CameraTaken.
    """
    async with held(path) as own_fd:
        camera = camera_path(path.parent, address)
        if camera is None:
            yield own_fd
            return
        async with held(camera, use) as camera_fd:
            yield camera_fd


@contextmanager
def hold_camera(path: Path, *, patience_s: float) -> Iterator[int]:
    """A camera's lock for a capture, in a worker's thread; gives the descriptor that the camera's
    program inherits (`note` its number, so that it can be ended should this process be killed).

    Waits up to `patience_s` for whoever has the camera. Raises SourceError("busy"), OSError.
    """
    descriptor = _open(path)
    try:
        asking = _Asking(descriptor, owner_s=patience_s, orphan_s=patience_s)
        while not asking.is_granted():
            time.sleep(_POLL_S)
        _begin(descriptor, Use.CAPTURE)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class _Asking:
    """For one lock, again and again; who has it decides how long."""

    def __init__(self, descriptor: int, *, owner_s: float, orphan_s: float) -> None:
        self._descriptor = descriptor
        self._owner_s, self._orphan_s = owner_s, orphan_s
        self._began = time.monotonic()
        self._has_killed = False

    def is_granted(self) -> bool:
        """Raises SourceError("busy") once it was asked for long enough."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        owner, *children = _notes(self._descriptor) or [_Note("", "", "")]
        waited = time.monotonic() - self._began
        if is_same_process(owner.pid, owner.start):
            if waited >= self._owner_s:
                raise _had_by(owner)
            return False
        if waited > PATIENCE_S and not self._has_killed:
            self._has_killed = True
            _kill(children)
        if waited > self._orphan_s:
            text = "A program of an earlier capture agent or capture still has this camera."
            raise SourceError("busy", text)
        return False


async def _wait_for(asking: _Asking) -> None:
    while True:
        if asking.is_granted():
            return
        await asyncio.sleep(_POLL_S)


def _had_by(owner: _Note) -> SourceError:
    if owner.use in list(Use):
        return CameraTaken(Use(owner.use))
    return SourceError("busy", "Another capture agent on this machine takes this camera in.")


def _begin(descriptor: int, use: str | None) -> None:
    os.ftruncate(descriptor, 0)
    line = f"{os.getpid()} {started(os.getpid())} {use or ''}".rstrip()
    os.pwrite(descriptor, f"{line}\n".encode(), 0)


def note(descriptor: int, pid: int) -> None:
    """This child has the lock: its number and when it started. Does nothing without a lock."""
    if descriptor >= 0:
        line = f"{pid} {started(pid)}\n".encode()
        os.pwrite(descriptor, line, os.fstat(descriptor).st_size)


def forget_children(descriptor: int) -> None:
    """They have ended: their numbers may soon be those of others."""
    if descriptor >= 0:
        owner = next(iter(_notes(descriptor)), None)
        _begin(descriptor, owner.use if owner else None)


def _notes(descriptor: int) -> list[_Note]:
    """Of the owner, then of its children."""
    lines = os.pread(descriptor, _NOTES_BYTES, 0).decode("ascii", "replace").splitlines()
    return [_Note(*[*line.split(" "), "", "", ""][:3]) for line in lines]


def _kill(children: list[_Note]) -> None:
    for pid, start, _ in children:
        if is_same_process(pid, start):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)


def is_same_process(pid: str, start: str) -> bool:
    """Whether that very process still runs: numbers are given out again, start times are not."""
    return pid.isdigit() and start.isdigit() and started(int(pid)) == start


def started(pid: int) -> str:
    """In clock ticks since boot (proc(5), field 22 of stat); empty where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    is_over = fields[0] in ("Z", "X")
    return "" if is_over else fields[19]
