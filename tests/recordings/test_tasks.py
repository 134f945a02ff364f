"""Tasks and services: nothing is queued twice, and a dead broker or worker loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.signals import worker_ready
from django.conf import settings
from kombu.exceptions import OperationalError

from devices.models import Device
from nvr_project.environment import Environment
from recordings import packager, queueing, services, tasks
from recordings.models import Recording
from recordings.segments import SegmentFile, list_segments
from tests.factories import make_device
from tests.recordings.footage import every, write_segment
from tests.stack import running_broker, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
START = 1_790_000_400_000


@pytest.fixture(autouse=True)
def _broker_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "_is_down", False)
    monkeypatch.setattr(queueing, "_next_try", 0.0)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(
        tasks.package_segments, "apply_async", lambda args, **options: found.append(*args)
    )
    return found


def footage(device: Device, *, age_s: float = 1_000) -> SegmentFile:
    spool = settings.SPOOL_DIR / device.directory
    segment = write_segment(spool, every(100, 5, start_ms=START))
    os.utime(segment.path, (time.time() - age_s, time.time() - age_s))
    return segment


def test_a_device_is_queued_once_until_its_task_begins(queued: list[int]) -> None:
    device = make_device()
    assert services.enqueue_packaging(device.pk)
    assert not services.enqueue_packaging(device.pk)
    assert queued == [device.pk]
    tasks.package_segments(device.pk)
    assert services.enqueue_packaging(device.pk)


def test_a_task_the_broker_lost_is_queued_again_after_a_while(queued: list[int]) -> None:
    assert services.enqueue_packaging(7)
    note = settings.RUN_DIR / "queued-7"
    os.utime(note, (time.time() - tasks.NOTE_SECONDS - 1,) * 2)
    assert services.enqueue_packaging(7)
    assert queued == [7, 7]


def test_a_worker_that_starts_forgets_what_waited_before(queued: list[int]) -> None:
    assert services.enqueue_packaging(7)
    worker_ready.send(sender=None)
    assert services.enqueue_packaging(7)
    assert queued == [7, 7]


def test_a_dead_broker_is_said_once_and_left_in_peace_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def dead(*args: object, **options: object) -> None:
        tries.append(1)
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.package_segments, "apply_async", dead)
    assert not services.enqueue_packaging(1)
    assert not services.enqueue_packaging(1)
    assert len(tries) == 1
    monkeypatch.setattr(queueing, "_next_try", 0.0)  # the pause is over
    assert not services.enqueue_packaging(1)
    assert len(tries) == 2
    assert caplog.text.count("broker does not answer") == 1
    monkeypatch.setattr(queueing, "_next_try", 0.0)
    monkeypatch.setattr(tasks.package_segments, "apply_async", lambda *args, **options: None)
    with caplog.at_level("INFO"):
        assert services.enqueue_packaging(1)
    assert "broker answers again" in caplog.text


def test_overdue_segments_are_queued_and_fresh_ones_are_not(queued: list[int]) -> None:
    overdue, fresh, idle = make_device(), make_device(), make_device()
    footage(overdue)
    footage(fresh, age_s=1)
    (settings.SPOOL_DIR / idle.directory).mkdir()
    tasks.requeue_overdue_segments()
    assert queued == [overdue.pk]


def test_what_a_crash_left_is_adopted_and_queued(queued: list[int]) -> None:
    device = make_device()
    segment = footage(device)
    segment.path.rename(f"{segment.path}.part")
    os.utime(f"{segment.path}.part", (START / 1000, START / 1000))
    tasks.requeue_overdue_segments()
    assert [one.is_open for one in list_segments(segment.path.parent)] == [False]


def test_a_spool_of_an_unknown_camera_is_said_and_left(
    queued: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    device = make_device()
    segment = footage(device)
    device.delete()
    tasks.requeue_overdue_segments()
    assert queued == []
    assert "manage.py reindex" in caplog.text
    assert segment.path.exists()


def test_the_task_packages_and_survives_its_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device = make_device()
    footage(device)
    tasks.package_segments(device.pk + 1_000)
    with monkeypatch.context() as patched:
        patched.setattr(settings, "NVR_FFMPEG", "/bin/false")
        tasks.package_segments(device.pk)
    assert "FFmpeg ended with 1" in caplog.text
    assert not Recording.objects.exists()
    tasks.package_segments(device.pk)
    assert Recording.objects.get().frame_count == 5


def test_work_that_is_not_finished_in_time_is_queued_again(
    queued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = make_device()
    footage(device)
    monkeypatch.setattr("recordings.packager.WORK_SECONDS", 0)
    tasks.package_segments(device.pk)
    assert queued == [device.pk]


def test_orphans_of_every_camera_are_adopted() -> None:
    for device in (make_device(), make_device()):
        segment = footage(device)
        segment.path.rename(f"{segment.path}.part")
    assert services.adopt_orphans() == 2
    assert services.adopt_orphans() == 0


def test_a_recorder_that_never_recorded_has_no_orphans() -> None:
    Path(settings.SPOOL_DIR).rmdir()
    assert services.adopt_orphans() == 0
    tasks.requeue_overdue_segments()


# The recorder's own worker; what takes long waits for a file, and both say that they began.
WORKER = """
import os, sys, time
from pathlib import Path
import django
django.setup()
from nvr_project.celery import app
from recordings import tasks

def takes_long(device_pk):
    os.write(1, b"begun %d\\n" % device_pk)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
    os.write(1, b"ended %d\\n" % device_pk)

tasks._package = takes_long
tasks.removal.finish_removals = lambda now: os.write(1, b"ran\\n")
app.worker_main(["-q", "worker", "--without-gossip", "--without-mingle", "-l", "ERROR"])
"""


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[Environment]:
    with running_broker(tmp_path) as env:
        yield env


def test_twenty_cameras_that_are_behind_leave_a_thread_to_others(
    private_broker: Environment, tmp_path: Path
) -> None:
    sender = Celery("test", broker=f"redis+socket://{private_broker.broker_socket}")
    release, said = tmp_path / "release", tmp_path / "said"
    environment = {**os.environ, "NVR_DATA_DIR": str(tmp_path)}

    def lines(word: str) -> list[str]:
        return [line for line in said.read_text().splitlines() if line.startswith(word)]

    with said.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(release)],
            env=environment, stdout=output, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        for number in range(20):
            sender.send_task("recordings.tasks.package_segments", [number])
        wait_until(lambda: len(lines("begun")) == tasks.SLOTS, limit_s=30, what="busy threads")
        asked = time.monotonic()
        sender.send_task("recordings.tasks.finish_removals")
        wait_until(lambda: lines("ran") == ["ran"], limit_s=10, what="somebody else's task")
        waited = time.monotonic() - asked
        print(f"a task beside twenty cameras that are behind waited {waited:.3f} s")
        assert waited < 2, "every thread of the worker packages"
        assert len(lines("begun")) == tasks.SLOTS == settings.CELERY_WORKER_CONCURRENCY - 1
        release.touch()
        wait_until(lambda: len(lines("ended")) == 20, limit_s=20, what="the others' turn")
        assert len(set(lines("begun"))) == 20
    finally:
        release.touch()
        worker.terminate()
        worker.wait(20)
        sender.close()


def test_a_failure_that_nobody_foresaw_holds_up_no_other_camera(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = make_device(), make_device()
    done: list[int] = []

    def fails_once(device: Device) -> packager.Outcome:
        if device.pk == first.pk:
            raise ZeroDivisionError
        done.append(device.pk)
        return packager.Outcome()

    monkeypatch.setattr(packager, "package", fails_once)
    tasks._waiting.append(first.pk)
    tasks.package_segments(second.pk)
    assert done == [second.pk]
    assert "failed unexpectedly" in caplog.text
    assert not tasks._waiting
