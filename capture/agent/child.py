"""One FFmpeg child: started, read, and ended without a trace.

Its Matroska on stdout becomes packets in the sink. It inherits the source's lock, so that a child
that outlives its agent still owns the source. No PR_SET_PDEATHSIG: a source test runs in a thread,
and the signal would come when that thread ends. A child whose agent was killed finds its pipe
closed and ends; one that is too stuck for it is found by its lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from capture.agent import locks
from capture.agent.intake import LONGEST_BURST_US, Intake
from capture.agent.protocol import Sink, SourceError
from devices.redaction import redact

logger = logging.getLogger(__name__)

# Every packet in a cluster of its own: FFmpeg passes a cluster on when the next one begins, so a
# packet waits for the next packet and no longer. No checksums and no index in a pipe.
OUTPUT = (
    "-f", "matroska", "-cluster_time_limit", "0", "-flush_packets", "1",
    "-write_crc32", "0", "-live", "1", "pipe:1",
)  # fmt: skip
TERM_S = 1.5
KILL_S = 5.0  # SIGKILL cannot be refused, but a process in a broken driver may take its time
STDERR_BYTES = 4096
READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20  # a key picture fits: FFmpeg never waits for us
_POLL_S = 0.02
# Not the agent's whole environment: it may name passwords and keys.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_RUNTIME_DIR",
)


async def run_ffmpeg(
    argv: Sequence[str],
    sink: Sink,
    *,
    lock_fd: int,
    feeder: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> None:
    """Never returns: SourceError when the child ends, or CancelledError. Nothing is left behind.

    `argv`: the whole command line but for its output, which is added. `lock_fd`: the source's lock,
    -1 without one. `feeder`: a program whose stdout is FFmpeg's stdin, in the same process group.
    `env`: besides the few variables that every program needs.
    """
    group = _Group(lock_fd, env or {})
    try:
        group.start(argv, feeder)
        intake = Intake(sink)
        await _pump(group.output, intake)
    except SourceError as error:
        error.detail = error.detail or group.last_words
        raise
    finally:
        await group.end()
    words = group.last_words
    last = words.splitlines()[-1] if words else ""
    raise SourceError(
        "ended", f"The stream ended: {last}" if last else "The stream ended.", detail=words
    )


async def _pump(descriptor: int, intake: Intake) -> None:
    """Until the pipe ends. Reads in the loop's own callback: no task switch for a packet."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timers: list[asyncio.TimerHandle] = []

    def guarded(work: Any, *args: Any) -> None:
        try:
            work(*args)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001  raised where the caller waits
            if not over.done():
                over.set_exception(error)

    def read() -> None:
        data = os.read(descriptor, READ_BYTES)
        if not data:
            if not over.done():
                over.set_result(None)
            loop.remove_reader(descriptor)
            return
        intake.feed(data, time.monotonic_ns() // 1000)
        if intake.is_holding and not timers:  # a lone picture must not wait for the next one
            timers.append(loop.call_later(LONGEST_BURST_US / 1e6, guarded, intake.release))

    loop.add_reader(descriptor, guarded, read)
    try:
        await over
    except ValueError as error:
        raise SourceError("failed", f"FFmpeg's answer cannot be read: {error}.") from error
    finally:
        loop.remove_reader(descriptor)
        for timer in timers:
            timer.cancel()


class _Group:
    """The processes of one run. FFmpeg leads their process group and is reaped last: until then
    its number, and so the group's, cannot belong to anybody else.
    """

    def __init__(self, lock_fd: int, env: Mapping[str, str]) -> None:
        self.output = -1
        self._lock_fd = lock_fd
        self._env = small_environment(env)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._errors = -1
        self._said = b""

    @property
    def last_words(self) -> str:
        return redact(self._said.decode(errors="replace").replace("\0", "")).strip()

    def start(self, argv: Sequence[str], feeder: Sequence[str]) -> None:
        """Raises SourceError."""
        theirs: list[int] = []
        try:
            self.output, output_end = os.pipe2(os.O_CLOEXEC)
            self._errors, error_end = os.pipe2(os.O_CLOEXEC)
            theirs += (output_end, error_end)
            os.set_blocking(self.output, False)
            os.set_blocking(self._errors, False)
            with contextlib.suppress(OSError):  # a limit of this user's pipes: smaller works too
                fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            asyncio.get_running_loop().add_reader(self._errors, self._listen)
            food, food_end = os.pipe2(os.O_CLOEXEC) if feeder else (subprocess.DEVNULL, -1)
            theirs += (food, food_end) if feeder else ()
            self._spawn([*argv, *OUTPUT], food, output_end, error_end)
            if feeder:
                self._spawn(feeder, subprocess.DEVNULL, food_end, error_end)
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def _spawn(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> None:
        leader = self._processes[0].pid if self._processes else 0
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=self._env,
                process_group=leader,
                pass_fds=(self._lock_fd,) if self._lock_fd >= 0 else (),
            )
        except FileNotFoundError as error:
            text = f"The program {argv[0]} is not installed."
            raise SourceError("missing_program", text) from error
        except OSError as error:
            text = f"The program {argv[0]} cannot be started: {error.strerror}."
            raise SourceError("failed", text) from error
        self._processes.append(process)
        locks.note(self._lock_fd, process.pid)

    def _listen(self) -> bool:
        """Whether something was said."""
        try:
            data = os.read(self._errors, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._errors)
        self._said = (self._said + data)[-STDERR_BYTES:]
        return bool(data)

    # --- the end --------------------------------------------------------------------------------

    async def end(self) -> None:
        """SIGTERM, so that FFmpeg says goodbye to the camera; SIGKILL to who takes too long."""
        if self.output >= 0:  # nobody reads any more: a full pipe must not hold the goodbye up
            os.close(self.output)
        try:
            if self._processes:
                self._signal(signal.SIGTERM)
                if not await self._ended_within(TERM_S):
                    self._signal(signal.SIGKILL)
                    await self._ended_within(KILL_S)
        finally:  # cancelled a second time: at once
            self._signal(signal.SIGKILL)
            self._reap()
            if self._errors >= 0:
                while self._listen():
                    pass
                asyncio.get_running_loop().remove_reader(self._errors)
                os.close(self._errors)

    async def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not all(has_ended(process) for process in self._processes):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _signal(self, number: int) -> None:
        if self._processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._processes[0].pid, number)

    def _reap(self) -> None:
        for process in reversed(self._processes):
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                logger.error("Process %d does not end, even when it is killed", process.pid)  # noqa: TRY400
                return  # it keeps the lock, and stays named in it
        self._processes.clear()
        locks.forget_children(self._lock_fd)


def small_environment(env: Mapping[str, str]) -> dict[str, str]:
    """A child's: `env` and the few variables that every program needs."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(env)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without reaping it: the leader's number keeps the group's from being given out again."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None
