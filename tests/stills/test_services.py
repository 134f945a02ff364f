"""What may be asked of captures: defaults, limits, and what happens when nobody can be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from recordings import queueing
from stills import files, services
from stills.exceptions import BadOrderError, QueueError, WrongStateError
from stills.models import Analysis, CameraPicture, Capture, NodeCamera, State
from stills.services import Wish
from tests.factories import make_analysis, make_capture, make_device, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
# Where what follows a commit, or the end of an answer, plays a part.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a worker was told; stands in for the broker."""
    told: list[str] = []

    def queue(task: Any, arguments: tuple[str, ...]) -> bool:
        told.append(" ".join((task.name.rpartition(".")[2], *arguments)))
        return True

    monkeypatch.setattr(queueing, "queue", queue)
    return told


@pytest.fixture
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "queue", lambda task, arguments: False)


# --- asking ---------------------------------------------------------------------------------------


@committed
def test_what_is_not_said_comes_from_the_settings(queued: list[str], settings: Any) -> None:
    settings.NVR = replace(
        settings.NVR, default_width=800, default_height=600, default_fps=15,
        default_still_seconds=0.5, default_video_seconds=4.0,
    )  # fmt: skip
    still = services.request(Wish("jpg"), by="anna")
    video = services.request(Wish("mp4"), by="anna")
    assert [(c.width, c.height, c.fps, c.duration_ms) for c in (still, video)] == [
        (800, 600, 15, 500),
        (800, 600, 15, 4_000),
    ]
    assert video.wanted_name.endswith("_800x600_15fps_4s.mp4")
    assert (still.state, still.created_by, still.device) == (State.WAITING, "anna", None)
    assert queued == ["take_next", "take_next"]


def test_a_wish_is_kept_as_it_is(queued: list[str]) -> None:
    device = make_device(name="Door")
    wish = Wish("mp4", width=320, height=240, fps=5, duration_ms=1_500, name="../door.avi")
    row = services.request(wish, by="x" * 300, device=device, system="node", lease="token")
    row.refresh_from_db()
    assert (row.width, row.height, row.fps, row.duration_ms) == (320, 240, 5, 1_500)
    assert (row.wanted_name, row.device, row.device_label) == ("door.mp4", device, "Door")
    assert (row.system, row.lease, row.created_by) == ("node", "token", "x" * 150)
    assert row.expires_at is None


@pytest.mark.parametrize("name", ["日本", "..", "", "\0", "/"])
def test_a_name_of_which_nothing_can_be_used_is_the_usual_one(queued: list[str], name: str) -> None:
    row = services.request(Wish("dng", name=name), by="anna")
    assert row.wanted_name == files.default_name(
        "dng", width=0, height=0, fps=0, duration_ms=0, at=row.created_at
    )


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish("png"), "kind"),
        (Wish(""), "kind"),
        (Wish("jpg", width=15), "width"),
        (Wish("jpg", width=16_385), "width"),
        (Wish("jpg", height=-1), "height"),
        (Wish("jpg", fps=241), "fps"),
        (Wish("jpg", fps=-1), "fps"),
        (Wish("jpg", duration_ms=60_001), "duration_seconds"),
        (Wish("dng", duration_ms=60_001), "duration_seconds"),
        (Wish("mp4", duration_ms=3_600_001), "duration_seconds"),
        (Wish("h264", duration_ms=-1), "duration_seconds"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_field(
    queued: list[str], wish: Wish, field: str
) -> None:
    with pytest.raises(BadOrderError) as caught:
        services.request(wish, by="anna")
    assert caught.value.field == field
    assert not Capture.objects.exists()
    assert queued == []


def test_the_limits_themselves_can_be_taken(queued: list[str]) -> None:
    services.request(Wish("mp4", 16, 16_384, 240, services.MAX_VIDEO_MS), by="anna")
    services.request(Wish("jpg", 16_384, 16, 1, services.MAX_STILL_MS), by="anna")


def test_a_stream_has_no_raw_pictures(queued: list[str]) -> None:
    with pytest.raises(BadOrderError, match="own camera"):
        services.request(Wish("dng"), by="anna", device=make_device())


@committed
def test_a_worker_is_told_only_what_is_committed(queued: list[str]) -> None:
    with transaction.atomic():
        services.request(Wish("jpg"), by="anna")
        assert queued == []
    assert queued == ["take_next"]


@committed
@pytest.mark.usefixtures("_no_broker")
def test_without_a_broker_a_row_waits_and_a_person_who_waits_is_told() -> None:
    assert services.request(Wish("jpg"), by="anna").state == State.WAITING
    with pytest.raises(QueueError):
        services.request(Wish("jpg"), by="a program", expires_s=5)
    failed, waiting = Capture.objects.order_by("-created_at")
    assert (failed.state, failed.code, waiting.state) == (State.FAILED, "failed", State.WAITING)
    assert failed.reason == str(QueueError())


@committed
def test_one_that_a_worker_found_by_itself_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(task: Any, arguments: tuple[str, ...]) -> bool:
        Capture.objects.update(state=State.TAKING)
        return False

    monkeypatch.setattr(queueing, "queue", late)
    services.request(Wish("jpg"), by="a program", expires_s=5)
    assert Capture.objects.get().state == State.TAKING


def test_nobody_waits_longer_than_they_said(queued: list[str]) -> None:
    row = services.request(Wish("jpg"), by="a program", expires_s=5)
    assert row.expires_at == row.created_at + timedelta(seconds=5)
    assert list(Capture.objects.expired(row.expires_at)) == []
    assert list(Capture.objects.expired(row.expires_at + timedelta(seconds=1))) == [row]


# --- cancelling and deleting ----------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.WAITING, State.TAKING])
def test_what_is_not_over_can_be_cancelled(state: State) -> None:
    capture = make_capture(state=state)
    services.cancel(capture)
    row = Capture.objects.get()
    assert (row.state, row.code, row.finished_at is not None) == ("cancelled", "cancelled", True)
    assert capture.state == State.CANCELLED


@pytest.mark.parametrize("state", [State.READY, State.FAILED, State.CANCELLED])
def test_what_is_over_stays_as_it_is(state: State) -> None:
    capture = make_capture(state=state, reason="As it was.")
    services.cancel(capture)
    assert (Capture.objects.get().state, Capture.objects.get().reason) == (state, "As it was.")


def workers_step(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes and finishes it between each look at the row and the next step."""
    original = Capture.become
    steps = iter([(State.TAKING, {}), (State.READY, {"filename": "door.jpg"})])

    def become(row: Capture, state: State, **fields: Any) -> None:
        if step := next(steps, None):
            (files.directory() / "door.jpg").write_bytes(b"x")
            original(Capture.objects.get(pk=capture.pk), step[0], **step[1])
        original(row, state, **fields)

    monkeypatch.setattr(Capture, "become", become)


def test_one_that_begins_and_ends_meanwhile_is_deleted_with_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capture = make_capture(state=State.WAITING)
    workers_step(capture, monkeypatch)
    services.delete(capture)
    assert not Capture.objects.exists()
    assert list(files.listed()) == []


def test_one_that_begins_and_ends_meanwhile_is_not_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capture = make_capture(state=State.WAITING)
    workers_step(capture, monkeypatch)
    services.cancel(capture)
    assert (capture.state, Capture.objects.get().state) == (State.READY, State.READY)


def test_a_deleted_one_leaves_nothing_behind() -> None:
    device = make_device()
    capture, other = make_capture(device), make_capture(device)
    make_analysis(capture)
    services.use_as_picture(capture)
    services.delete(capture)
    assert list(Capture.objects.all()) == [other]
    assert not Analysis.objects.exists()
    assert not CameraPicture.objects.exists()
    assert [name for name, _ in files.listed()] == [other.filename]
    previews = files.preview_path(other.pk).parent.iterdir()
    assert [path.stem for path in previews] == [str(other.pk)]


def test_a_file_that_is_gone_already_is_no_reason_to_keep_a_row() -> None:
    services.delete(make_capture(content=None))
    assert not Capture.objects.exists()


def test_when_the_disk_refuses_the_row_stays() -> None:
    capture = make_capture(content=None)
    (files.directory() / str(capture.filename)).mkdir()
    with pytest.raises(OSError, match=r"capture\d+\.jpg"):
        services.delete(capture)
    assert Capture.objects.get().state == State.READY


def test_deleting_twice_says_that_it_is_gone() -> None:
    capture = make_capture()
    again = Capture.objects.get()
    services.delete(capture)
    with pytest.raises(Capture.DoesNotExist):
        services.delete(again)


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_state_is_left_only_the_ways_there_are(before: State, after: State) -> None:
    allowed = {
        ("waiting", "taking"), ("waiting", "failed"), ("waiting", "cancelled"),
        ("taking", "ready"), ("taking", "failed"), ("taking", "cancelled"),
    }  # fmt: skip
    capture = make_capture(state=before, content=None)
    if (before, after) in allowed:
        capture.become(after)
        assert Capture.objects.get().state == after
    else:
        with pytest.raises(WrongStateError):
            capture.become(after)
        assert Capture.objects.get().state == before


def test_of_two_who_take_a_step_one_is_refused() -> None:
    capture = make_capture(state=State.WAITING)
    same = Capture.objects.get()
    capture.become(State.TAKING)
    with pytest.raises(WrongStateError):
        same.become(State.CANCELLED)
    assert Capture.objects.get().state == State.TAKING


def test_progress_follows_the_clock_and_is_whole_only_when_it_is_ready() -> None:
    now = timezone.now()
    video = make_capture(state=State.TAKING, started_at=now, duration_ms=10_000)
    assert video.progress(now - timedelta(seconds=1)) == 0
    assert video.progress(now + timedelta(seconds=5)) == 0.5
    assert video.progress(now + timedelta(hours=1)) == 0.99
    assert make_capture(state=State.WAITING).progress(now) == 0
    assert make_capture(state=State.FAILED, started_at=now).progress(now) == 0
    assert make_capture().progress(now) == 1


# --- a camera's picture, analyses, the camera itself ----------------------------------------------


def test_a_camera_has_one_picture_and_may_have_none() -> None:
    device = make_device()
    first, second = make_capture(device), make_capture(device)
    services.use_as_picture(first)
    services.use_as_picture(second)
    assert CameraPicture.objects.get().capture == second
    services.forget_picture(device)
    services.forget_picture(device)
    assert not CameraPicture.objects.exists()


@pytest.mark.parametrize("fields", [{"state": State.TAKING}, {"has_preview": False}])
def test_only_what_has_a_picture_can_be_one(fields: dict[str, Any]) -> None:
    with pytest.raises(BadOrderError, match="no picture"):
        services.use_as_picture(make_capture(make_device(), **fields))


def test_a_capture_of_no_camera_of_the_list_is_nobodys_picture() -> None:
    with pytest.raises(BadOrderError, match="no camera"):
        services.use_as_picture(make_capture())


@committed
def test_a_finished_capture_is_analysed(queued: list[str]) -> None:
    capture = make_capture()
    analysis = services.request_analysis(capture)
    assert queued == [f"analyse {analysis.pk}"]
    assert (analysis.state, analysis.filename) == ("queued", capture.filename)


@pytest.mark.parametrize("state", [state for state in State if state != State.READY])
def test_nothing_else_can_be_analysed(queued: list[str], state: State) -> None:
    with pytest.raises(BadOrderError):
        services.request_analysis(make_capture(state=state))
    assert queued == []


def test_the_camera_is_this_machines_own(queued: list[str]) -> None:
    NodeCamera.objects.create(node_id="another machine")
    assert services.node_camera() is None
    own = NodeCamera.objects.create(node_id=settings.NVR.node_id)
    assert services.node_camera() == own
    assert services.queue_look()
    services.next_turn()
    assert queued == ["look_at_camera", "take_next"]


def test_captures_of_a_removed_camera_are_the_admins_alone() -> None:
    camera = make_device()
    operator, admin = make_user(role="operator", cameras=[camera]), make_user(role="admin")
    own, removed = make_capture(), make_capture(camera)
    assert set(Capture.objects.for_user(operator)) == {own, removed}
    camera.delete()
    assert set(Capture.objects.for_user(operator)) == {own}
    assert set(Capture.objects.for_user(admin)) == {own, removed}
