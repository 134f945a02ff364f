"""The recorder on other servers: uvicorn, the system's Redis. PostgreSQL: test_postgresql.py."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack, free_port, wait_until

pytestmark = pytest.mark.stack

RUN_A_TASK = "from recordings.tasks import guard_disk; guard_disk.delay()"


def runs_a_task(stack: Stack) -> None:
    seen = stack.output.count("recordings.tasks.guard_disk")
    stack.manage("shell", "-v", "0", "-c", RUN_A_TASK)
    wait_until(
        lambda: (
            "succeeded" in stack.output and stack.output.count("recordings.tasks.guard_disk") > seen
        ),
        limit_s=20,
        what="the task is done",
    )


def test_tasks_run_again_after_the_broker_was_killed(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        runs_a_task(stack)
        worker, beat = stack.pids()["worker"], stack.pids()["beat"]
        stack.wait_for_new("valkey", stack.kill("valkey"))
        stack.output = ""
        runs_a_task(stack)
        assert (stack.pids()["worker"], stack.pids()["beat"]) == (worker, beat), "they waited"


def test_it_runs_on_uvicorn(tmp_path: Path) -> None:
    stack = Stack(tmp_path, server="uvicorn").start()
    family = stack.family()
    try:
        assert stack.get_json("/health")["status"] == "healthy"
        assert "ready uvicorn" in stack.output
    finally:
        assert stack.stop(signal.SIGINT) == 0
    assert stack.alive(family) == []


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server or valkey-server on this machine")
    port = free_port()
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def test_it_runs_on_a_redis_of_the_system(tmp_path: Path, redis_url: str) -> None:
    with Stack(tmp_path, env={"REDIS_URL": redis_url}) as stack:
        assert "valkey" not in stack.pids()
        runs_a_task(stack)


def test_four_idle_cameras_fit_into_the_memory_of_a_small_pi(tmp_path: Path) -> None:
    """Proportional set size: what is shared between the processes is counted once."""
    with Stack(tmp_path) as stack:
        stack.ask(do="simulate", count=4)
        wait_until(
            lambda: stack.output.count("WebSocket /ws connected") >= 4,
            limit_s=30,
            what="four cameras",
        )
        cameras = stack.pids()["cameras"]
        total = 0
        for process in stack.family():
            if process.pid != cameras:
                size = psutil.Process(process.pid).memory_full_info().pss
                total += size
                print(
                    f"{process.name():<16} {size / 1e6:6.1f} MB {' '.join(process.cmdline())[-50:]}"
                )
        print(f"all processes: {total / 1e6:.0f} MB")
        assert total < 310e6
