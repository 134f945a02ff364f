"""One program of a camera, run to its end: in a group of its own, with a limit, leaving no trace.

Blocks; called from a worker's threads, so no PR_SET_PDEATHSIG (that signal would come when the
thread ends). A program that outlives its worker still has the camera's lock, and is named in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capture.agent import locks
from capture.agent.child import KILL_S, READ_BYTES, TERM_S, has_ended, small_environment
from devices.redaction import redact
from stills.exceptions import CaptureError

logger = logging.getLogger(__name__)

DETAIL_LETTERS = 4_000
_KEPT_BYTES = 1 << 16  # of each of its two outputs; the list of cameras has to be whole
_WANTED_EVERY_S = 0.15
_LISTEN_S = 0.1
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """`status`: its exit status, 128 and the number of a signal that ended it. `stdout` is raw."""

    name: str
    status: int
    stdout: str
    last_words: str  # of both outputs, redacted


def find(name: str) -> str:
    """Its path. Raises CaptureError("missing_program")."""
    if path := shutil.which(name):
        return path
    raise missing(name)


def run(
    argv: Sequence[str],
    *,
    timeout_ms: int,
    cwd: Path | None = None,
    lock_fd: int = -1,
    is_wanted: Callable[[], bool] = lambda: True,
    start_ms: int = 0,
    begins: str = "",
    hopeless: Sequence[str] = (),
) -> Ended:
    """However it ends by itself; nothing of its process group is left then.

    `begins`: what it says when it is ready, from where `timeout_ms` counts; it has `start_ms` until
    then. `hopeless`: words after which nothing will come of it, so it is ended at once.
    Raises CaptureError: missing_program, timeout, unplugged (for `hopeless`), cancelled, failed.

    The older server's clients see the error's `contract`, which names the program alone: the rest
    of a command line is paths of this machine, and no business of theirs.
    """
    program = _Program(argv, cwd, lock_fd)
    try:
        program.wait(timeout_ms, is_wanted, start_ms=start_ms, begins=begins, hopeless=hopeless)
    finally:
        status = program.end()
    return Ended(program.name, status, program.stdout, program.last_words)


def missing(name: str) -> CaptureError:
    return CaptureError("missing_program", f"The program {name} is not installed on this machine.")


class _Program:
    """It leads its process group and is reaped last: until then the group's number is its own."""

    def __init__(self, argv: Sequence[str], cwd: Path | None, lock_fd: int) -> None:
        self.name = Path(argv[0]).name
        self._lock_fd = lock_fd
        self._said = {"stdout": b"", "stderr": b""}
        self._pipes = selectors.DefaultSelector()
        try:
            self._process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=small_environment({}),
                start_new_session=True,
                pass_fds=(lock_fd,) if lock_fd >= 0 else (),
            )
        except OSError as error:
            self._pipes.close()
            if isinstance(error, FileNotFoundError) and error.filename == argv[0]:
                raise missing(self.name) from error
            text = f"The program {self.name} cannot be started: {error.strerror}."
            raise CaptureError("failed", text) from error
        with contextlib.suppress(OSError):  # a full disk: an orphan can be waited for, not ended
            locks.note(lock_fd, self._process.pid)
        for name in self._said:
            pipe = getattr(self._process, name)
            os.set_blocking(pipe.fileno(), False)
            self._pipes.register(pipe, selectors.EVENT_READ, name)

    @property
    def stdout(self) -> str:
        return self._said["stdout"].decode(errors="replace")

    @property
    def last_words(self) -> str:
        said = b"\n".join(part for part in self._said.values() if part)
        text = redact(said.decode(errors="replace").replace("\0", ""))
        return text.strip()[-DETAIL_LETTERS:]

    def wait(
        self,
        timeout_ms: int,
        is_wanted: Callable[[], bool],
        *,
        start_ms: int,
        begins: str,
        hopeless: Sequence[str],
    ) -> None:
        """Until it has ended. Raises CaptureError where it has to be ended."""
        deadline_s = time.monotonic() + (timeout_ms + start_ms) / 1000
        ask_at_s = 0.0
        while not has_ended(self._process):
            self._listen(_LISTEN_S if self._pipes.get_map() else _POLL_S)
            now_s = time.monotonic()
            if begins and begins in self.stdout:
                begins, deadline_s = "", min(deadline_s, now_s + timeout_ms / 1000)
            if now_s > deadline_s:
                raise self._timed_out(timeout_ms)
            if any(words.encode() in said for words in hopeless for said in self._said.values()):
                raise self._unplugged()
            if now_s > ask_at_s:
                ask_at_s = now_s + _WANTED_EVERY_S
                if not is_wanted():
                    raise CaptureError("cancelled", "The capture was cancelled.")

    def end(self) -> int:
        """Its status. SIGTERM, so that it says goodbye to the camera; SIGKILL if it takes too long."""
        try:
            if not has_ended(self._process):
                self._signal(signal.SIGTERM)
                self._wait_quietly(TERM_S)
        finally:
            self._signal(signal.SIGKILL)  # whoever is left of the group, also after a good end
            self._wait_quietly(KILL_S)
            status = self._reap()
            self._listen(0)
            self._pipes.close()
            for name in self._said:
                getattr(self._process, name).close()
        return status

    def _wait_quietly(self, seconds: float) -> None:
        """Its pipes are emptied meanwhile: a full one must not hold the goodbye up."""
        deadline_s = time.monotonic() + seconds
        while not has_ended(self._process) and time.monotonic() < deadline_s:
            self._listen(_POLL_S)

    def _listen(self, seconds: float) -> None:
        """Takes what it says, waiting at most so long for the first word."""
        for key, _ in self._pipes.select(seconds):
            data = b""
            with contextlib.suppress(BlockingIOError):
                data = os.read(key.fd, READ_BYTES)
            if not data:
                self._pipes.unregister(key.fileobj)
            self._said[key.data] = (self._said[key.data] + data)[-_KEPT_BYTES:]

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> int:
        try:
            status = self._process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            logger.error("Process %d does not end, even when it is killed", self._process.pid)  # noqa: TRY400
            return 128 + signal.SIGKILL  # it keeps the lock, and stays named in it
        with contextlib.suppress(OSError):
            locks.forget_children(self._lock_fd)
        return status if status >= 0 else 128 - status

    def _timed_out(self, timeout_ms: int) -> CaptureError:
        return CaptureError(
            "timeout",
            f"The camera did not finish within {timeout_ms / 1000:g} s, so its program was ended."
            " If this happens again, check the camera's cable and restart this machine.",
            contract=f"Command timed out after {timeout_ms}ms: {self.name}",
            detail=self.last_words,
        )

    def _unplugged(self) -> CaptureError:
        return CaptureError(
            "unplugged",
            "The camera stopped sending pictures while it was used. Check its cable; a ribbon cable"
            " only while the Pi is switched off.",
            detail=self.last_words,
        )
