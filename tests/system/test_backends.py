"""The recorder on other servers: uvicorn, PostgreSQL, the system's Redis."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.stack import Stack, free_port, wait_until

pytestmark = pytest.mark.stack

RUN_A_TASK = "from recordings.tasks import guard_disk; guard_disk.delay()"
COUNT_MIGRATIONS = (
    "from django.db import connection as c; cursor = c.cursor();"
    " cursor.execute('select count(*) from django_migrations');"
    " print(c.vendor, cursor.fetchone()[0])"
)


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


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A server of our own in a directory that the postgres user may enter; root may not run it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed on this machine")
    binaries = found[-1].parent
    who = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        try:
            who = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("root cannot run PostgreSQL, and there is no postgres user")
    directory = Path(f"/tmp/roost-postgres-{os.getpid()}")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    shutil.chown(directory, who)
    port = free_port()
    initdb = [binaries / "initdb", "-D", directory / "db", "-U", "roost", "--auth=trust", "-N"]
    options = {"user": who if os.getuid() == 0 else None, "cwd": directory}
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    server = subprocess.Popen(  # type: ignore[call-overload]
        [
            *(binaries / "postgres", "-D", directory / "db", "-p", str(port)),
            *("-k", directory, "-h", "127.0.0.1", "-c", "fsync=off"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(
            lambda: subprocess.run(ready, check=False).returncode == 0,
            limit_s=30,
            what="PostgreSQL",
        )
        yield f"postgres://roost@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        shutil.rmtree(directory, ignore_errors=True)


def test_it_runs_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with Stack(tmp_path, env={"DATABASE_URL": postgres_url}) as stack:
        assert not (stack.data_dir / "roost.sqlite3").exists()
        vendor, count = stack.manage("shell", "-v", "0", "-c", COUNT_MIGRATIONS).split()
        assert (vendor, int(count) > 20) == ("postgresql", True)
        assert stack.get_json("/health")["status"] == "healthy"
        runs_a_task(stack)


@pytest.mark.timeout(900)
def test_a_back_up_of_postgresql_is_put_back(tmp_path: Path, postgres_url: str) -> None:
    """The recorder is not started for it; pg_dump and pg_restore are PostgreSQL's own."""
    if not shutil.which("pg_dump"):
        pytest.skip("PostgreSQL's client is not installed")
    stack = Stack(tmp_path, env={"DATABASE_URL": postgres_url})
    groups = "from django.contrib.auth.models import Group as G; "
    show = groups + "print(*sorted(G.objects.values_list('name', flat=True)))"
    manage = partial(stack.manage, timeout=300)  # seven programs, on a machine that may be busy
    manage("prepare")
    file = tmp_path / "roost.tar"
    manage("backup", str(file))
    manage("shell", "-v", "0", "-c", groups + "G.objects.create(name='after')")
    (stack.data_dir / "secret.key").write_text("lost")
    manage("restore", str(file))
    assert manage("shell", "-v", "0", "-c", show).split() == ["operator", "viewer"]
    assert (stack.data_dir / "secret.key").read_text() != "lost"
    assert list(stack.data_dir.glob("before-restore-*/database.dump"))

    other = Stack(tmp_path / "sqlite")
    other.manage("prepare", timeout=300)
    with pytest.raises(AssertionError, match="of PostgreSQL, and this recorder uses SQLite"):
        other.manage("restore", str(file), timeout=300)


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
