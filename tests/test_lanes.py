"""Which worker gets which tests, and when."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import lanes, run

PLAIN = [f"tests/devices/test_api.py::test_{number}" for number in range(6)]
RECORDERS = [
    "tests/system/test_stack.py::test_1",
    "tests/system/test_stack.py::test_2",
    "tests/end_to_end/test_main_job.py::test_1",
    "tests/browser/test_live.py::test_1",
]
COLLECTED = sorted(RECORDERS + PLAIN, key=lanes.turn)


class Worker:
    """What xdist's controller of a worker is to a scheduler."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.got: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.got += [COLLECTED[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduled(names: tuple[str, ...] = ("one", "other")) -> tuple[Any, list[Worker]]:
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["popen"] * len(names),
        option=SimpleNamespace(loadscopereorder=True, verbose=0),
    )
    workers = [Worker(name) for name in names]
    scheduling = lanes.Scheduling(config)
    for worker in workers:
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, COLLECTED)
    scheduling.schedule()
    return scheduling, workers


def finish_next(scheduling: Any, worker: Worker, done: int) -> None:
    scheduling.mark_test_complete(worker, COLLECTED.index(worker.got[done]))


def test_browser_tests_are_the_last_of_their_process() -> None:
    assert COLLECTED[-1] == RECORDERS[-1]


def test_recorders_are_one_workers_and_the_other_takes_everything_else() -> None:
    scheduling, (one, other) = scheduled()
    assert sorted(one.got) == sorted(RECORDERS)
    assert one.got[-1] == RECORDERS[-1], "the browser comes last"
    for done in range(len(PLAIN)):
        finish_next(scheduling, other, done)
    assert other.got == PLAIN


def test_who_is_free_takes_what_is_left_one_test_at_a_time() -> None:
    scheduling, (one, other) = scheduled()
    for done in range(len(RECORDERS)):
        finish_next(scheduling, one, done)
    assert len(one.got) > len(RECORDERS), "it takes part in what is left"
    assert set(one.got[len(RECORDERS) :]) <= set(PLAIN)
    assert not set(one.got) & set(other.got)


def test_every_place_is_known_as_one_that_starts_recorders() -> None:
    assert all(map(lanes.is_recorder, RECORDERS))
    assert not any(map(lanes.is_recorder, PLAIN))


def test_a_shared_recorder_that_did_not_start_is_one_accident() -> None:
    browser = [f"tests/browser/test_live.py::test_{number}" for number in range(100)]
    many = [f"tests/devices/test_api.py::test_{number}" for number in range(20)]
    assert run.is_an_accident(browser + PLAIN)
    assert not run.is_an_accident(many)
    assert not run.is_an_accident([])


def test_a_run_keeps_what_it_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever started it; and every process of a recorder inherits that."""
    seen: list[dict[str, str]] = []

    def started(_: list[str], *, check: bool, env: dict[str, str]) -> SimpleNamespace:
        assert not check
        seen.append(env)
        return SimpleNamespace(returncode=0)

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(run, "CACHE", tmp_path / "none")
    monkeypatch.setattr(subprocess, "run", started)
    assert run.main([]) == 0
    assert ["PYTHONDONTWRITEBYTECODE" in env for env in seen] == [False]
    assert seen[0]["PATH"]
