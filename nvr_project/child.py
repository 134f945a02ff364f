"""One process of the recorder: started, watched, restarted with back-off, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import enum
import os
import random
import signal
import time
from asyncio.subprocess import STDOUT, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nvr_project.environment import PROJECT_DIR
from nvr_project.output import LINE_LENGTH, Output
from nvr_project.probes import NotAlive, Probe, within_deadline

BACK_OFF_S = (1.0, 30.0)
STEADY_AFTER_S = 30.0  # a run this long was not a failed start
PROBE_EVERY_S = 5.0
PROBE_AT_START_EVERY_S = 0.1
MISSED_PROBES = 3
START_LIMIT_S = 90.0  # a Pi Zero with a cold card takes half of it
EXIT_SETUP = 2  # "I cannot start, and said why": no restart helps

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class State(enum.StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  # for its next try
    STOPPING = "stopping"


@dataclass(frozen=True)
class Role:
    """What to start and how to tell that it works."""

    name: str
    argv: tuple[str, ...]
    probe: Probe | None = None  # None: running is being ready
    env: Mapping[str, str] = field(default_factory=dict)
    before_start: Callable[[int], None] | None = None  # gets how often it failed to start in a row


class Child:
    """`keep()` is its life; everything else may be called from the same event loop at any time."""

    def __init__(self, role: Role, output: Output, env: Mapping[str, str], pass_fd: int) -> None:
        self.role = role
        self.state = State.STOPPED
        self.restarts = 0
        self.last_exit: int | None = None
        self.last_error = ""
        self._silence = ""  # why it was ended: it did not answer
        self.started_ms = 0
        self.ready = asyncio.Event()  # set at its first readiness, for ever
        self.gave_up = asyncio.Event()
        self._output = output
        self._env = {**env, **role.env}
        self._pass_fd = pass_fd
        self._process: Process | None = None
        self._last_line = ""
        self._failures = 0  # starts in a row that came to nothing
        self._is_restart_asked = False
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- from outside ---------------------------------------------------------------------------

    def start(self) -> None:
        self._task = asyncio.create_task(self.keep(), name=f"keep {self.role.name}")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def status(self) -> dict[str, Any]:
        return {
            "name": self.role.name,
            "pid": self.pid,
            "state": self.state.value,
            "started_ms": self.started_ms,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "last_error": self.last_error,
        }

    def send(self, signum: int, *, whole_group: bool = False) -> None:
        """To the process; to its FFmpeg children as well with `whole_group`."""
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self.pid, signum)
            else:
                os.kill(self.pid, signum)

    async def restart(self) -> None:
        """At once, without back-off; the asker waits for the old process's end only."""
        self._is_restart_asked = True
        process = self._process
        if process is not None:
            await self._end(process, grace_s=5)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL to the whole group after `grace_s`."""
        self._stop.set()
        if self._process is not None:
            self.state = State.STOPPING
            await self._end(self._process, grace_s)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)

    def kill(self) -> None:
        self._stop.set()
        self.send(signal.SIGKILL, whole_group=True)

    # --- its life -------------------------------------------------------------------------------

    async def keep(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            await self._run_once()
            lasted = time.monotonic() - began
            if self._stop.is_set():
                break
            self.restarts += 1
            if self._is_restart_asked:
                self._is_restart_asked = False
                continue
            if self.last_exit == EXIT_SETUP and not self.ready.is_set():
                self.gave_up.set()
                break
            self._failures = 0 if lasted > STEADY_AFTER_S else self._failures + 1
            await self._wait_for_next_try()
        self.state = State.STOPPED

    async def _wait_for_next_try(self) -> None:
        low, high = BACK_OFF_S
        # Jitter keeps processes that fell together from hammering what they all wait for.
        delay = min(high, low * 2 ** max(0, self._failures - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
        self._output.complain(
            f"{self.role.name} ended ({self.last_error}); it is started again in {delay:.1f} s"
        )
        self.state = State.WAITING
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), delay)

    async def _run_once(self) -> None:
        self.state = State.STARTING
        self._last_line = self._silence = ""
        try:
            if self.role.before_start:
                self.role.before_start(self._failures)
            process, output = await self._spawn()
        except OSError as error:
            self.last_exit, self.last_error = None, f"cannot be started: {error}"
            return
        self._process = process
        if self._stop.is_set():  # asked while it was being started
            self.send(signal.SIGTERM)
        self.started_ms = int(time.time() * 1000)
        reading = asyncio.create_task(self._read(output))
        watching = asyncio.create_task(self._watch(process))
        self.last_exit = await process.wait()
        watching.cancel()
        # Whatever it left behind (an encoder, say) is in its group and ends with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait([reading], timeout=0.5)
        reading.cancel()
        self._process = None
        self.last_error = self._silence or _in_words(self.last_exit, self._last_line)

    async def _spawn(self) -> tuple[Process, int]:
        """The process and the end of the pipe that its output comes out of.

        Not asyncio's own pipe: its `wait()` would wait for the pipe's end, which an encoder that
        outlives its worker holds open.
        """
        parent = os.getpid()
        read_end, write_end = os.pipe()

        def end_with_the_supervisor() -> None:
            # Only from the main thread: the signal comes when the *thread* that forked ends.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        try:
            process = await asyncio.create_subprocess_exec(
                *self.role.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=STDOUT,
                env=dict(self._env),
                cwd=PROJECT_DIR,
                start_new_session=True,  # Ctrl-C is the supervisor's to pass on, in its order
                pass_fds=(self._pass_fd,),
                preexec_fn=end_with_the_supervisor,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return process, read_end

    async def _read(self, read_end: int) -> None:
        reader = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        rest = b""
        try:
            while chunk := await reader.read(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LINE_LENGTH:  # no end of line in sight: memory stays bounded
                    lines.append(rest)
                    rest = b""
                for line in lines:
                    self._take(line)
        finally:
            self._take(rest)
            pipe.close()

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip("\r")
        if text.strip():
            self._last_line = text.strip()
            self._output.line(self.role.name, text)

    async def _watch(self, process: Process) -> None:
        """Ready once it answers; restarted when it then misses three deadlines in a row."""
        if self.role.probe is None:
            self._is_now_running()
            return
        began, missed = time.monotonic(), 0
        while True:
            is_starting = self.state is State.STARTING
            await asyncio.sleep(PROBE_AT_START_EVERY_S if is_starting else PROBE_EVERY_S)
            try:
                await within_deadline(self.role.probe)
            except NotAlive as error:
                missed += 1
                is_over = time.monotonic() - began > START_LIMIT_S
                if is_over if is_starting else missed >= MISSED_PROBES:
                    self._output.complain(f"{self.role.name} does not answer: {error}")
                    self._silence = f"it did not answer ({error}) and was ended"
                    await self._end(process, grace_s=3)
                    return
                continue
            missed = 0
            if is_starting:
                self._is_now_running()

    def _is_now_running(self) -> None:
        self.state = State.RUNNING
        self.ready.set()

    async def _end(self, process: Process, grace_s: float) -> None:
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), grace_s)
        except TimeoutError:
            self._output.complain(f"{self.role.name} did not end within {grace_s:.0f} s: killed")
            self.send(signal.SIGKILL, whole_group=True)
            await process.wait()


def _in_words(code: int, last_line: str) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    said = last_line.removeprefix("CommandError: ")
    return f"exit {code}" + (f": {said[:300]}" if said and code else "")
