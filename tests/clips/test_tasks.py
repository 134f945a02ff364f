"""When a clip is cut, and that nothing is lost and nothing is done twice on the way."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from clips import arrival, catalog, cutter, files, services, tasks
from clips.exceptions import CutError, NoRoomError, WrongStateError
from clips.models import Clip, State
from devices.models import Device, Node, Source
from recordings import footage, queueing
from tests.clips.clips import AT_MS, make_clip, names_on_disk
from tests.factories import make_device
from tests.recordings.footage import every, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """(clip, wait in s) of what was given to the broker."""
    sent: list[tuple[str, float]] = []

    def take(args: tuple[str], countdown: float, retry: bool) -> None:
        assert not retry
        sent.append((args[0], countdown))

    monkeypatch.setattr(queueing, "_next_try", 0.0)  # whatever another test's broker did
    monkeypatch.setattr(tasks.cut_clip, "apply_async", take)
    return sent


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Stands for the cutter: notes which clips it was given and makes them ready."""
    seen: list[uuid.UUID] = []

    def cut(clip: Clip) -> None:
        seen.append(clip.pk)
        clip.become(State.READY, due_ms=None, attempts=0)

    monkeypatch.setattr(cutter, "cut", cut)
    return seen


@pytest.fixture
def device() -> Device:
    return make_device()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def waiting(device: Device, *, ended_ago_ms: int = 0, **fields: Any) -> Clip:
    end_ms = now_ms() - ended_ago_ms
    state = fields.pop("state", State.RECORDING)
    return make_clip(
        device, state=state, start_ms=end_ms - 5_000, end_ms=end_ms, due_ms=end_ms, **fields
    )


def live(device: Device, **facts: Any) -> None:
    """What the web process says of a camera that is connected."""
    said = {"presence": "streaming", "since_ms": 1, **facts}
    document = {"at_ms": now_ms(), "pid": 1, "devices": {str(device.pk): said}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(document))


# --- asking ---------------------------------------------------------------------------------------


def test_it_is_queued_when_the_row_is_there_and_not_before(
    device: Device, queued: list[tuple[str, float]]
) -> None:
    with transaction.atomic():
        (clip,) = services.trigger(devices=[device], by="anna", after_seconds=20)
        assert queued == []
    ((clip_id, wait_s),) = queued
    assert clip_id == str(clip.pk)
    assert 19.5 < wait_s < 20.5
    services.export_span(device=device, start_ms=AT_MS, end_ms=AT_MS + 1, by="anna")
    assert queued[1][1] == 0


def test_a_trigger_that_is_rolled_back_queues_nothing(
    device: Device, queued: list[tuple[str, float]]
) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        services.trigger(devices=[device], by="anna")
        raise RuntimeError
    assert (queued, Clip.objects.count()) == ([], 0)


def test_a_dead_broker_costs_no_trigger(
    device: Device, monkeypatch: pytest.MonkeyPatch, queued: list[tuple[str, float]]
) -> None:
    calls = []

    def refuse(*args: object, **options: object) -> None:
        calls.append(args)
        raise OperationalError("no connection")

    monkeypatch.setattr(queueing, "_next_try", 0.0)
    with monkeypatch.context() as context:
        context.setattr(tasks.cut_clip, "apply_async", refuse)
        for _ in range(3):
            services.trigger(devices=[device], by="anna", after_seconds=0)
    assert len(calls) == 1  # the others need not wait for it
    monkeypatch.setattr(queueing, "_next_try", 0.0)
    Clip.objects.update(due_ms=now_ms())
    tasks.cut_overdue()
    assert {clip_id for clip_id, _ in queued} == {str(clip.pk) for clip in Clip.objects.all()}


# --- cutting --------------------------------------------------------------------------------------


def test_a_clip_is_cut_once(device: Device, cuts: list[uuid.UUID]) -> None:
    clip = waiting(device)
    for _ in range(2):
        tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


def test_it_is_left_to_the_worker_that_has_its_lock(device: Device, cuts: list[uuid.UUID]) -> None:
    clip = waiting(device)
    with files.lock(clip.pk) as is_ours:
        assert is_ours
        tasks.cut_clip(str(clip.pk))
    assert cuts == []
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]
    assert not list(settings.RUN_DIR.glob("clip-*"))


def test_many_workers_cut_each_of_fifty_clips_once(device: Device, cuts: list[uuid.UUID]) -> None:
    clips = [waiting(device) for _ in range(50)]

    def work(clip: Clip) -> None:
        try:
            tasks.cut_clip(str(clip.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, clips * 3))
    assert sorted(cuts) == sorted(clip.pk for clip in clips)


def test_what_is_early_is_queued_for_its_time(
    device: Device, cuts: list[uuid.UUID], queued: list[tuple[str, float]]
) -> None:
    clip = waiting(device, ended_ago_ms=-10_000)
    tasks.cut_clip(str(clip.pk))
    assert cuts == []
    assert 9 < queued[0][1] < 11


def test_a_task_that_outlives_the_database_deletes_nothing(
    device: Device, cuts: list[uuid.UUID]
) -> None:
    clip = make_clip(device)
    Clip.objects.all().delete()
    tasks.cut_clip(str(clip.pk))
    assert cuts == []
    assert len(names_on_disk()) == 3


def test_a_clip_that_is_gone_or_given_up_is_not_cut(device: Device, cuts: list[uuid.UUID]) -> None:
    tasks.cut_clip(str(uuid.uuid4()))
    clip = waiting(device)
    with files.lock(clip.pk):  # a worker is at it, and ends it when it is done
        services.delete(clip=clip)
        assert Clip.objects.exists()
    tasks.cut_clip(str(clip.pk))
    assert cuts == []
    assert not Clip.objects.exists()


def test_a_clip_deleted_while_it_is_cut_leaves_nothing(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = waiting(device)

    def cut(given: Clip) -> None:
        files.directory()
        files.path_of(given.pk, ".mp4").write_bytes(b"video")
        services.delete(clip=Clip.objects.get(pk=given.pk))
        given.become(State.READY)

    monkeypatch.setattr(cutter, "cut", cut)
    tasks.cut_clip(str(clip.pk))
    assert not Clip.objects.exists()
    assert names_on_disk() == []


# --- waiting for the last frames -------------------------------------------------------------------


def test_a_camera_that_is_away_is_not_waited_for(device: Device, cuts: list[uuid.UUID]) -> None:
    clip = waiting(device)
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


def test_a_camera_that_streams_is_waited_for_until_its_next_frame(
    device: Device, cuts: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    live(device)
    clip = waiting(device)
    looks: list[int] = []

    def newest_ms(asked: Device) -> int:
        looks.append(asked.pk)
        return clip.end_ms if len(looks) == 3 else clip.end_ms - 1

    monkeypatch.setattr(footage, "newest_ms", newest_ms)
    tasks.cut_clip(str(clip.pk))
    assert len(looks) == 3
    assert cuts == [clip.pk]


def test_a_slow_camera_is_waited_for_no_longer_than_a_moment(
    device: Device, cuts: list[uuid.UUID]
) -> None:
    live(device)
    clip = waiting(device, ended_ago_ms=arrival.STREAMING_MS)
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


def test_a_disk_that_is_behind_is_waited_for_longer(
    device: Device, cuts: list[uuid.UUID], queued: list[tuple[str, float]]
) -> None:
    live(device, fps=10.0)
    clip = waiting(device, ended_ago_ms=arrival.STREAMING_MS)
    tasks.cut_clip(str(clip.pk))
    assert (cuts, queued) == ([], [(str(clip.pk), tasks.LATE_SECONDS)])
    late = arrival.LAGGING_MS
    Clip.objects.update(start_ms=clip.start_ms - late, end_ms=clip.end_ms - late)
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


@pytest.mark.parametrize(
    ("state", "is_waited_for"),
    [("running", True), ("waiting", True), ("retrying", False), ("connecting", False)],
)
def test_what_an_agent_may_hold_back_is_waited_for(
    device: Device, cuts: list[uuid.UUID], queued: list[tuple[str, float]],
    state: str, is_waited_for: bool,
) -> None:  # fmt: skip
    node = Node.objects.create(name="shed", key_hash="x")
    Source.objects.create(
        device=device, node=node, kind="rtsp", url="rtsp://192.168.1.2/", state=state
    )
    clip = waiting(device, ended_ago_ms=arrival.STREAMING_MS, state=State.PENDING)
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    if is_waited_for:
        assert (clip.state, cuts, queued) == (
            State.RECORDING, [], [(str(clip.pk), tasks.LATE_SECONDS)],
        )  # fmt: skip
        late = arrival.LATE_MS
        Clip.objects.update(start_ms=clip.start_ms - late, end_ms=clip.end_ms - late)
        tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


def test_what_has_come_is_not_waited_for(device: Device, cuts: list[uuid.UUID]) -> None:
    node = Node.objects.create(name="shed", key_hash="x")
    Source.objects.create(device=device, node=node, kind="rtsp", url="rtsp://x/", state="running")
    clip = waiting(device, ended_ago_ms=2_000)
    write_segment(
        Path(settings.SPOOL_DIR) / device.directory, every(100, 30, start_ms=clip.end_ms - 1_000)
    )
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


# --- failing ---------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception]]:
    errors: list[Exception] = []

    def cut(clip: Clip) -> None:
        raise errors[0]

    monkeypatch.setattr(cutter, "cut", cut)
    yield errors


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoRoomError("The disk is nearly full."), "nearly full"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (CutError("The video could not be encoded."), "could not be encoded"),
        (KeyError("x"), "KeyError"),
    ],
)
def test_what_may_pass_is_tried_three_times_more(
    device: Device, failing: list[Exception], queued: list[tuple[str, float]],
    error: Exception, words: str,
) -> None:  # fmt: skip
    failing.append(error)
    clip = waiting(device, state=State.PENDING)
    waits = []
    for _ in range(4):
        tasks.cut_clip(str(clip.pk))
        clip.refresh_from_db()
        assert clip.state == State.FAILED
        assert words in clip.reason
        if clip.due_ms is not None:
            waits.append(round((clip.due_ms - now_ms()) / 1000))
            Clip.objects.update(due_ms=now_ms())
        tasks.cut_overdue()
    assert waits == [30, 120, 600]
    assert len(queued) == 3
    services.retry(clip=clip)
    assert len(queued) == 4


def test_a_clip_that_kills_its_worker_is_given_up(device: Device, cuts: list[uuid.UUID]) -> None:
    clip = waiting(device, state=State.CUTTING, attempts=tasks.MAX_CUTS)
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    assert (clip.state, clip.due_ms, cuts) == (State.FAILED, None, [])


def test_a_killed_workers_clip_is_taken_up(device: Device, cuts: list[uuid.UUID]) -> None:
    clip = waiting(device, state=State.CUTTING, attempts=1)
    tasks.cut_clip(str(clip.pk))
    assert cuts == [clip.pk]


# --- overdue ---------------------------------------------------------------------------------------


def test_only_what_is_overdue_is_queued_and_not_again_at_once(
    device: Device, queued: list[tuple[str, float]]
) -> None:
    overdue = [
        waiting(device, state=state) for state in (State.PENDING, State.RECORDING, State.CUTTING)
    ]
    make_clip(device, due_ms=1)  # ready
    make_clip(device, state=State.FAILED, due_ms=None)
    make_clip(device, state=State.RECORDING, due_ms=now_ms() + 60_000)
    for _ in range(2):
        tasks.cut_overdue()
    assert sorted(clip_id for clip_id, _ in queued) == sorted(str(clip.pk) for clip in overdue)


def test_a_deletion_that_was_broken_off_is_finished(device: Device) -> None:
    clip = make_clip(device)
    catalog.mark(clip.pk, now=clip.created_at)
    tasks.cut_overdue()
    assert not Clip.objects.exists()
    assert names_on_disk() == []


def test_the_beat_runs_all_of_it() -> None:
    names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    own = (tasks.cut_overdue, tasks.keep_limits, tasks.clean_up)
    assert {task.name for task in own} <= names


# --- the machine of states -------------------------------------------------------------------------


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_a_state_refuses_what_may_not_follow_it(
    device: Device, before: State, after: State
) -> None:
    clip = make_clip(device, state=before)
    if before.may_become(after):
        clip.become(after)
    else:
        with pytest.raises(WrongStateError):
            clip.become(after)
    clip.refresh_from_db()
    assert clip.state == (after if before.may_become(after) else before)


def test_of_two_that_change_a_state_one_is_refused(device: Device) -> None:
    clip = make_clip(device, state=State.PENDING)
    other = Clip.objects.get()
    other.become(State.CUTTING)
    with pytest.raises(WrongStateError):
        clip.become(State.CUTTING)
