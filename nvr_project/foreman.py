"""`python -m nvr_project.foreman`: stands in for the supervisor where systemd runs the processes.

It answers on the same socket (the system page shows the processes, discovery has the certificate
read again), keeps the simulated cameras that somebody asked for, and asks the web process for
`GET /health`: systemd's watchdog knows that the loop turns, not that anything is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import Any

from nvr_project import heartbeat, probes, roles
from nvr_project.child import EXIT_SETUP, MISSED_PROBES, Child, State
from nvr_project.control import BadRequest, ControlSocket
from nvr_project.environment import BadSetting, Environment, read_environment
from nvr_project.output import Output
from nvr_project.supervisor import MOST_CAMERAS
from system import datadir
from system.exceptions import SetupFailed

NAMES = ("valkey", "web", "worker", "beat", "discovery", "capture")
PROPERTIES = (
    "Id", "MainPID", "ActiveState", "SubState", "NRestarts", "ExecMainCode", "ExecMainStatus",
    "ExecMainStartTimestampMonotonic", "Result",
)  # fmt: skip
ASK_LIMIT_S = 5.0
PATIENCE_S = 12.0
_STATES = {
    "active": State.RUNNING,
    "activating": State.STARTING,
    "reloading": State.RUNNING,
    "deactivating": State.STOPPING,
}
_RESULTS = {
    "watchdog": "its loop stood still",
    "oom-kill": "it needed too much memory",
    "timeout": "it did not start or stop in time",
    "exit-code": "it ended with an error; see the journal",
    "signal": "it was killed",
    "core-dump": "it crashed",
}


class Foreman:
    def __init__(self, env: Environment, lock: int) -> None:
        self._env = env
        self._lock = lock
        self._output = Output(None, env.data_dir / "logs" / "errors.jsonl")
        self._child_env = roles.child_environment(os.environ)
        self._cameras: Child | None = None
        self._count = 0
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stop.set)
        control = ControlSocket(self._env.control_socket, self._answer)
        await control.start()
        await self._set_cameras(min(roles.wanted_cameras(self._env.data_dir), MOST_CAMERAS))
        watching = asyncio.create_task(self._watch_web())
        try:
            while not self._stop.is_set():
                heartbeat.touch()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), heartbeat.EVERY_S)
        finally:
            watching.cancel()
            await control.close()
            await self._set_cameras(0)
            self._output.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """As the supervisor answers; raises BadRequest."""
        match request:
            case {"do": "status"}:
                return {"processes": await self._status()}
            case {"do": "simulate", "count": int(count)} if 0 <= count <= MOST_CAMERAS:
                roles.remember_cameras(self._env.data_dir, count)
                await self._set_cameras(count)
                return {"count": count}
            case {"do": "simulated"}:
                return {"count": self._count, "running": self._count if self._cameras else 0}
            case {"do": "reload"}:
                await self._signal("web", signal.SIGHUP)
                return {}
            case {"do": "restart", "name": str(name)} if name in NAMES:
                await self._signal(name, signal.SIGTERM)  # systemd starts it again
                return {}
        raise BadRequest("unknown request")

    async def _status(self) -> list[dict[str, Any]]:
        entries = list(await ask_systemd(time.monotonic(), time.time()))
        return entries + ([self._cameras.status()] if self._cameras else [])

    async def _signal(self, name: str, signum: int) -> None:
        """It runs as our own user. Raises BadRequest where it does not run."""
        pid = await self._pid(name)
        if pid is None:
            raise BadRequest(f"{name} does not run")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)

    async def _pid(self, name: str) -> int | None:
        entries = await ask_systemd(time.monotonic(), time.time())
        found: list[int | None] = [
            entry["pid"]
            for entry in entries
            if entry["name"] == name and entry["state"] == State.RUNNING
        ]
        return found[0] if found else None

    async def _set_cameras(self, count: int) -> None:
        async with self._changing:
            if self._cameras:
                await self._cameras.stop(grace_s=3)
            self._count, self._cameras = count, None
            if count:
                role = roles.cameras(self._env, count)
                self._cameras = Child(role, self._output, self._child_env, self._lock)
                self._cameras.start()

    async def _watch_web(self) -> None:
        """Ended when it missed three deadlines, killed when that took no effect."""
        probe = probes.https_health(roles.loopback_host(self._env), self._env.port)
        missed, ended = 0, None
        while True:
            await asyncio.sleep(heartbeat.EVERY_S)
            pid = await self._pid("web")
            if pid is None:
                missed, ended = 0, None
                continue
            try:
                await probes.within_deadline(probe)
                missed, ended = 0, None
            except probes.NotAlive as error:
                missed += 1
                if missed >= MISSED_PROBES:
                    self._output.complain(f"web does not answer: {error}")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL if ended == pid else signal.SIGTERM)
                    missed, ended = 0, pid


async def ask_systemd(mono_s: float, wall_s: float) -> list[dict[str, Any]]:
    """What the supervisor would say of each process; [] where systemd cannot be asked.

    `mono_s`, `wall_s`: both clocks now, as systemd tells start times by the monotonic one.
    """
    units = [f"roost-{name}.service" for name in NAMES]
    try:
        process = await asyncio.create_subprocess_exec(
            *("systemctl", "show", "-p", ",".join(PROPERTIES), *units),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return []
    try:
        said, _ = await asyncio.wait_for(process.communicate(), ASK_LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return []
    blocks = [block for block in said.decode(errors="replace").split("\n\n") if block.strip()]
    return [_entry(block, mono_s, wall_s) for block in blocks]


def _entry(block: str, mono_s: float, wall_s: float) -> dict[str, Any]:
    facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    pid = _int(facts.get("MainPID"))
    state = _STATES.get(facts.get("ActiveState", ""), State.STOPPED)
    if facts.get("SubState") == "auto-restart":
        state = State.WAITING
    started_us = _int(facts.get("ExecMainStartTimestampMonotonic"))
    code, status = _int(facts.get("ExecMainCode")), _int(facts.get("ExecMainStatus"))
    # CLD_EXITED, else killed by a signal; of one that runs, nothing yet.
    last_exit = None if pid or not code else status if code == os.CLD_EXITED else -status
    return {
        "name": facts.get("Id", "").removeprefix("roost-").removesuffix(".service"),
        "pid": pid or None,
        "state": state.value,
        "started_ms": int((wall_s - mono_s) * 1000 + started_us / 1000) if started_us else 0,
        "restarts": _int(facts.get("NRestarts")),
        "last_exit": last_exit,
        "last_error": _RESULTS.get(facts.get("Result", ""), ""),
    }


def _int(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def main() -> int:
    try:
        env = read_environment(os.environ)
        lock = datadir.share(env.run_dir, PATIENCE_S)
    except (BadSetting, SetupFailed) as error:
        print(f"roost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_SETUP
    asyncio.run(Foreman(env, lock).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
