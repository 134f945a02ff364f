"""recordings.queueing: a broker that is away costs one try now and then, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery import Task
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError

from recordings import queueing


class Broker:
    """Stands for a task and its broker together: all that `queue` sees of either."""

    def __init__(self) -> None:
        self.is_up = True
        self.asked = 0
        self.taken: list[tuple[tuple[object, ...], float]] = []

    def apply_async(self, args: tuple[object, ...], *, countdown: float, retry: bool) -> None:
        assert not retry, "kombu would try for seconds"
        self.asked += 1
        if not self.is_up:
            raise OperationalError("connection refused")
        self.taken.append((args, countdown))

    def queue(self, *arguments: object, countdown_s: float = 0) -> bool:
        task = cast("Task[Any, Any]", self)
        return queueing.queue(task, arguments, countdown_s=countdown_s)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    clock = [1_000.0]
    monkeypatch.setattr(queueing, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(queueing, "_next_try", 0.0)
    monkeypatch.setattr(queueing, "_is_down", False)
    yield clock


def test_a_task_is_given_to_the_broker_with_its_wait(now: list[float]) -> None:
    broker = Broker()
    assert broker.queue(7, countdown_s=2.5)
    assert broker.taken == [((7,), 2.5)]
    assert not queueing.is_broker_away()


def test_a_broker_that_is_away_is_asked_once_a_pause_by_all_tasks_together(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = Broker(), Broker()
    one.is_up = other.is_up = False
    assert [one.queue(1), one.queue(2), other.queue(3)] == [False, False, False]
    assert (one.asked, other.asked) == (1, 0)
    assert queueing.is_broker_away()
    now[0] += queueing.BROKER_PAUSE_SECONDS - 0.1
    assert not other.queue(4)
    assert other.asked == 0
    now[0] += 0.2
    assert not other.queue(5)
    assert other.asked == 1
    assert caplog.text.count("broker does not answer") == 1, "said once"


def test_one_that_is_back_is_used_at_once_and_said_to_be_back(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker()
    broker.is_up = False
    assert not broker.queue(1)
    broker.is_up = True
    now[0] += queueing.BROKER_PAUSE_SECONDS + 0.1
    with caplog.at_level("INFO"):
        assert [broker.queue(2), broker.queue(3)] == [True, True]
    assert caplog.text.count("broker answers again") == 1


def test_one_try_is_over_in_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    with Connection(f"redis+socket://{tmp_path}/gone.sock", transport_options=options) as broker:
        with pytest.raises(OperationalError):
            broker.default_channel  # noqa: B018  what a publisher asks for first
        assert 0 < sum(slept) < 2, "long enough for a broker that restarts"
