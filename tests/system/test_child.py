"""One supervised process, with small programs in place of the recorder's."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nvr_project import broker, child, probes
from nvr_project.child import Child, Role, State
from nvr_project.output import Output

Make = Callable[..., Child]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    sink = Output(tmp_path / "roost.log", tmp_path / "errors.jsonl")
    yield sink
    sink.close()


@pytest.fixture
async def make(output: Output, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Children run the given Python text; back-off in hundredths of the real seconds."""
    monkeypatch.setattr(child, "BACK_OFF_S", (0.01, 0.3))
    monkeypatch.setattr(child, "PROBE_EVERY_S", 0.05)
    read_end, write_end = os.pipe()
    made: list[Child] = []

    def make_child(program: str, **fields: object) -> Child:
        role = Role("test", (sys.executable, "-c", program), **fields)  # type: ignore[arg-type]
        made.append(Child(role, output, dict(os.environ), write_end))
        made[-1].start()
        return made[-1]

    yield make_child
    for one in made:
        await one.stop(grace_s=1)
    os.close(read_end)
    os.close(write_end)


async def until(condition: Callable[[], object], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_it_is_started_again_and_says_why_it_ended(make: Make) -> None:
    one = make("import sys; print('the disk is on fire'); sys.exit(3)")
    await until(lambda: one.restarts >= 3)
    assert one.last_exit == 3
    assert one.last_error == "exit 3: the disk is on fire"


async def test_the_back_off_grows_to_its_limit(make: Make) -> None:
    one = make("raise SystemExit(1)")
    await until(lambda: one.restarts >= 7)
    began, before = time.monotonic(), one.restarts
    await until(lambda: one.restarts >= before + 2)
    assert time.monotonic() - began > 0.3, "two waits of 0.3 s, less a quarter of jitter"


async def test_a_process_that_cannot_start_is_not_tried_again(make: Make, tmp_path: Path) -> None:
    never = probes.heartbeat(tmp_path / "alive", 1)
    one = make("import sys; print('CommandError: the port is taken'); sys.exit(2)", probe=never)
    await asyncio.wait_for(one.gave_up.wait(), 10)
    assert one.last_error == "exit 2: the port is taken"
    assert one.status()["state"] == "stopped"


async def test_it_is_ready_when_its_probe_says_so(make: Make, tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    one = make("import time; time.sleep(60)", probe=probes.heartbeat(sign, 60))
    await until(lambda: one.pid is not None)
    assert not one.ready.is_set()
    sign.touch()
    await asyncio.wait_for(one.ready.wait(), 5)
    assert one.state is State.RUNNING


async def test_one_that_freezes_is_killed_and_replaced(make: Make, tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    program = (
        f"import pathlib, time\nwhile True: pathlib.Path({str(sign)!r}).touch(); time.sleep(0.01)"
    )
    one = make(program, probe=probes.heartbeat(sign, 0.5))
    await asyncio.wait_for(one.ready.wait(), 10)
    old = one.pid
    assert old is not None
    os.kill(old, signal.SIGSTOP)
    await until(lambda: one.state is State.RUNNING and one.pid not in (None, old))
    assert one.last_error.startswith("it did not answer (last sign of life")
    assert one.restarts >= 1


async def test_its_own_children_end_with_it(make: Make, tmp_path: Path) -> None:
    """An encoder of a killed worker must not go on writing beside the next worker's."""
    note = tmp_path / "pid"
    program = (
        "import pathlib, subprocess, time\n"
        "encoder = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(encoder.pid))\ntime.sleep(600)"
    )
    one = make(program)
    await until(lambda: text(note))
    encoder = psutil.Process(int(text(note)))
    one.send(signal.SIGKILL)
    await until(lambda: not encoder.is_running() or encoder.status() == psutil.STATUS_ZOMBIE)


async def test_stopping_waits_for_the_grace_and_no_longer(make: Make) -> None:
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\ntime.sleep(600)"
    )
    one = make(stubborn)
    await until(lambda: one._last_line == "deaf")
    began = time.monotonic()
    await one.stop(grace_s=0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert one.state is State.STOPPED
    assert one.last_error == "killed by SIGKILL"


async def test_a_restart_on_request_does_not_wait(make: Make) -> None:
    one = make("import time; time.sleep(600)")
    await until(lambda: one.state is State.RUNNING)
    old = one.pid
    await one.restart()
    await until(lambda: one.state is State.RUNNING and one.pid != old)


async def test_what_it_prints_is_named_redacted_and_bounded(
    make: Make, output: Output, tmp_path: Path
) -> None:
    make(
        "print('x' * 50_000); print('rtsp://admin:canary@cam/1', flush=True); import time; time.sleep(600)"
    )
    log = tmp_path / "roost.log"
    await until(lambda: "[hidden]" in text(log))
    assert "canary" not in text(log)
    assert all(line.startswith("test ") for line in text(log).splitlines())
    assert max(len(line) for line in text(log).splitlines()) < 5000


async def test_a_program_that_is_not_there_is_tried_again(output: Output) -> None:
    one = Child(Role("test", ("/no/such/program",)), output, {}, 0)
    one.start()
    await until(lambda: one.state is State.WAITING)
    assert "cannot be started" in one.last_error
    await one.stop(grace_s=1)


def test_damaged_task_files_are_set_aside_after_two_failures(tmp_path: Path) -> None:
    directory = tmp_path / "valkey"
    directory.mkdir()
    (directory / "damaged").touch()
    broker.set_unreadable_files_aside(directory, failures=1)
    assert (directory / "damaged").exists()
    broker.set_unreadable_files_aside(directory, failures=2)
    assert list(directory.iterdir()) == []
    assert len(list(tmp_path.glob("valkey.unreadable-*/damaged"))) == 1


def test_a_full_disk_stops_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "roost.log").symlink_to("/dev/full")
    sink = Output(tmp_path / "roost.log", Path("/dev/full"))
    sink.complain("the disk is full")
    sink.line("web", "still here")
    sink.close()
    printed = capsys.readouterr()
    assert "still here" in printed.out
    assert "Traceback" not in printed.err
