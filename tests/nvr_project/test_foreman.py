"""The supervisor's stand-in; a `systemctl` of our own says what systemd would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nvr_project import foreman, heartbeat, probes
from nvr_project.environment import Environment, read_environment
from system import datadir, supervision

Says = Callable[[str], None]
RUNNING = """Result=success
ExecMainStartTimestampMonotonic=5000000
ExecMainCode=0
ExecMainStatus=0
NRestarts=2
MainPID={pid}
Id=roost-web.service
ActiveState=active
SubState=running
"""
FALLEN = """Result=watchdog
ExecMainStartTimestampMonotonic=7000000
ExecMainCode=2
ExecMainStatus=6
NRestarts=4
MainPID=0
Id=roost-worker.service
ActiveState=activating
SubState=auto-restart
"""
NEVER = """Result=success
ExecMainStartTimestampMonotonic=0
ExecMainCode=0
ExecMainStatus=0
NRestarts=0
MainPID=0
Id=roost-valkey.service
ActiveState=inactive
SubState=dead
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Simulated: what it is called with is what `systemctl show` prints."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    says = tmp_path / "systemd-says"
    says.write_text("")
    program.write_text(f'#!/bin/sh\ntest "$1" = show && cat "{says}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def say(text: str) -> None:
        says.write_text(text)

    return say


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    env = read_environment({"NVR_DATA_DIR": str(tmp_path / "d"), "NVR_PORT": "1"})
    datadir.prepare(env.data_dir, env.socket_dir)
    return env


@contextlib.asynccontextmanager
async def working(env: Environment) -> AsyncIterator[None]:
    lock = datadir.share(env.run_dir, 1)
    one = foreman.Foreman(env, lock)
    running = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(10):
            while not env.control_socket.exists():  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0.01)
        yield
    finally:
        one._stop.set()
        async with asyncio.timeout(10):
            await running
        os.close(lock)


async def ask(env: Environment, **request: Any) -> dict[str, Any]:
    return await asyncio.to_thread(supervision.ask, env.control_socket, request)


async def test_it_tells_what_systemd_knows_in_the_supervisors_words(
    systemd: Says, env: Environment
) -> None:
    systemd("\n".join([RUNNING.format(pid=77), FALLEN, NEVER]))
    web, worker, valkey = await foreman.ask_systemd(10.0, 1_790_000_000.0)
    assert web == {
        "name": "web", "pid": 77, "state": "running", "started_ms": 1_789_999_995_000,
        "restarts": 2, "last_exit": None, "last_error": "",
    }  # fmt: skip
    assert (worker["pid"], worker["state"], worker["last_exit"]) == (None, "waiting", -6)
    assert worker["last_error"] == "its loop stood still"
    assert (valkey["state"], valkey["started_ms"], valkey["last_exit"]) == ("stopped", 0, None)


async def test_it_answers_where_the_supervisor_would(systemd: Says, env: Environment) -> None:
    systemd(RUNNING.format(pid=77))
    async with working(env):
        status = await ask(env, do="status")
        assert [entry["name"] for entry in status["processes"]] == ["web"]
        assert await ask(env, do="simulated") == {"count": 0, "running": 0}
        assert "error" in await ask(env, do="simulate", count=17)
        assert "error" in await ask(env, do="restart", name="worker"), "it does not run"
        assert "error" in await ask(env, do="restart", name="ssh")


async def test_a_renewed_certificate_is_a_signal_to_the_web_process(
    systemd: Says, env: Environment
) -> None:
    hears = "import signal, sys; print('up', flush=True); print(signal.sigwait({signal.SIGHUP}))"
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP});" + hears
    with subprocess.Popen(  # noqa: ASYNC220  milliseconds
        [sys.executable, "-c", block], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
            systemd(RUNNING.format(pid=process.pid))
            async with working(env):
                assert await ask(env, do="reload") == {}
            assert await asyncio.to_thread(process.wait, 10) == 0
        finally:
            process.kill()


async def test_a_web_process_that_answers_nothing_is_ended_and_then_killed(
    systemd: Says, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    enough = asyncio.Event()

    def kill(pid: int, signum: int) -> None:
        sent.append((pid, signum))
        if len(sent) == 2:
            enough.set()

    async def nobody_there() -> None:
        raise probes.NotAlive("no answer")

    monkeypatch.setattr(heartbeat, "EVERY_S", 0.001)
    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(probes, "https_health", lambda *_: nobody_there)
    systemd(RUNNING.format(pid=77))
    async with working(env):
        async with asyncio.timeout(30):
            await enough.wait()
    assert sent[:2] == [(77, signal.SIGTERM), (77, signal.SIGKILL)]


async def test_without_systemd_it_has_nothing_to_tell(
    env: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await foreman.ask_systemd(1.0, 1.0) == []
