"""Roll-outs: who is told when, what their answers do, and when the next stage begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from devices import livestate, updates, updates_steps
from devices.exceptions import FirmwareInUse, FirmwareRefused, UnknownFirmware
from devices.firmware_models import FirmwareImage, UpdateKey
from devices.models import Device, DeviceEvent, Enrolment
from devices.reports import record_event
from devices.updates_wording import device_sentence
from tests.devices import rollouts
from tests.devices.rollouts import ALL, NEW, OLD, OTHER_ID, Course, begin, connect, fleet
from tests.factories import make_device

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Told = list[tuple[int, dict[str, Any]]]


@pytest.fixture
def image() -> Iterator[FirmwareImage]:
    with rollouts.no_files():
        rollouts.trust()
        yield rollouts.upload()


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch,
    image: FirmwareImage,
    django_capture_on_commit_callbacks: Any,
) -> Told:
    """What cameras were told, once the step was committed."""
    heard: Told = []

    def note(pk: int, message: dict[str, Any]) -> bool:
        heard.append((pk, message))
        return True

    def step_all(**how: Any) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            committed(**how)

    committed = updates_steps.step_all
    monkeypatch.setattr(updates_steps, "push", note)
    # However slowly the test goes on, what it says of connections holds.
    monkeypatch.setattr(livestate, "STALE_AFTER_MS", 10**9)
    monkeypatch.setattr(updates_steps, "step_all", step_all)
    return heard


# --- stages ---------------------------------------------------------------------------------------


def test_it_goes_from_one_camera_to_a_tenth_to_all_with_time_between(
    told: Told, image: FirmwareImage
) -> None:
    cameras = fleet(12)
    connect(*cameras)
    course = begin(told)
    assert course.stages() == [0, 1, *[2] * 10]
    assert course.step() == [cameras[0].pk]
    assert told[0][1] == {
        "type": "device.update",
        "version": NEW,
        "size": image.size_bytes,
        "path": f"/api/v1/firmware/download/{image.pk}/",
    }
    course.takes_it(cameras[0])
    assert course.step() == []
    assert course.step(59 * MINUTE) == []
    assert course.rollout.stage == 0
    assert course.step(MINUTE) == [cameras[1].pk]
    course.takes_it(cameras[1])
    assert course.step() == []
    assert course.step(24 * HOUR - MINUTE) == []
    # Two at a time, as many as may download.
    assert course.step(MINUTE) == [cameras[2].pk, cameras[3].pk]
    assert course.step() == []
    for place in range(2, 12):
        course.takes_it(cameras[place])
        course.step()
    assert set(course.states()) == {"updated"}
    rollout = course.rollout
    assert (rollout.state, rollout.ended_at) == ("finished", course.now)
    events = DeviceEvent.objects.filter(device=cameras[5], kind="update").order_by("pk")
    assert list(events.values_list("detail", flat=True)) == [
        f"Told to update to {NEW}", f"Downloads {NEW}", f"Installed {NEW} and restarts",
        f"Runs {NEW}",
    ]  # fmt: skip


def test_the_given_stages_and_times_hold(told: Told) -> None:
    cameras = fleet(4)
    connect(*cameras)
    stages = [{"count": 2, "soak_minutes": 5}, {"percent": 50}, {"percent": 100}]
    course = begin(told, stages)
    assert course.stages() == [0, 0, 2, 2]
    assert course.step() == [cameras[0].pk, cameras[1].pk]
    course.takes_it(cameras[0])
    assert course.step(5 * MINUTE) == [], "the other one is still to come"
    course.takes_it(cameras[1])
    assert course.step() == []
    assert course.step(5 * MINUTE) == [cameras[2].pk, cameras[3].pk], "over the empty stage"


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [{"percent": 100}] * 11,
        [{"percent": 50}],
        [{"count": 1, "percent": 1}, {"percent": 100}],
        [{"soak_minutes": 1}, {"percent": 100}],
        [{"count": 0}, {"percent": 100}],
        [{"percent": 101}],
        [{"percent": 100, "soak_minutes": -1}],
        [{"percent": 100, "soak_minutes": 10**9}],
        [{"percent": True}],
    ],
)
def test_a_plan_that_cannot_be_is_refused(told: Told, stages: list[dict[str, Any]]) -> None:
    connect(*fleet(1))
    with pytest.raises(FirmwareRefused) as caught:
        begin(told, stages)
    assert caught.value.field == "stages"


def test_connected_cameras_come_first_and_newcomers_last(told: Told) -> None:
    cameras = fleet(3)
    connect(cameras[2])
    course = begin(told, [{"count": 1}, {"percent": 100}])
    assert course.stages() == [1, 1, 0]
    (newcomer,) = fleet(1)
    connect(cameras[2], newcomer)
    assert course.step() == [cameras[2].pk]
    assert course.row(newcomer).stage == 1
    course.takes_it(cameras[2])
    assert course.step() == [newcomer.pk]


def test_a_stage_waits_a_day_for_who_is_away_and_the_last_one_for_ever(told: Told) -> None:
    cameras = fleet(3)
    connect(cameras[0], cameras[2])
    course = begin(told, [{"count": 3}, {"percent": 100}])
    (late,) = fleet(1)
    course.step()
    course.takes_it(cameras[0])
    course.takes_it(cameras[2])
    course.step(23 * HOUR)
    assert course.rollout.stage == 0
    course.step(HOUR)
    assert course.rollout.stage == 1
    course.step(100 * HOUR)
    assert course.rollout.state == "running"
    connect(cameras[0], cameras[1], late)
    assert course.step() == [cameras[1].pk, late.pk]


# --- who is told ----------------------------------------------------------------------------------


def test_only_cameras_whose_board_key_and_version_fit_are_told(told: Told) -> None:
    (fits,) = fleet(1)
    others = [
        *fleet(1, firmware_board="xiao"),
        *fleet(1, firmware_board="", firmware_version=""),
        *fleet(1, firmware_version=""),
        *fleet(1, firmware_version=NEW),
        *fleet(1, firmware_version="2.0.0"),
        *fleet(1, firmware_version="a fork"),
        *fleet(1, enrolment=Enrolment.PENDING),
        make_device(),
    ]
    (keyless,), (foreign,) = fleet(1, update_key=""), fleet(1, update_key=OTHER_ID)
    connect(fits, keyless, foreign, *others)
    course = begin(told, ALL)
    assert course.step() == [fits.pk]
    assert course.states() == ["announced", "other_key", "other_key"]
    course.takes_it(fits)
    Device.objects.filter(pk=keyless.pk).update(update_key=rollouts.SHORT_ID)
    assert course.step() == [keyless.pk], "it was given the key meanwhile"


def test_a_camera_that_was_given_a_fork_meanwhile_is_left_alone(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    Device.objects.filter(pk=camera.pk).update(firmware_version="a fork")
    assert course.step() == []
    assert course.states() == ["waiting"]


def test_who_is_not_connected_is_told_when_it_comes(told: Told) -> None:
    (camera,) = fleet(1)
    connect()
    course = begin(told, ALL)
    assert course.step() == []
    connect(camera)
    assert course.step() == [camera.pk]


def test_nobody_is_told_again_before_ten_minutes(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    assert course.step() == [camera.pk]
    assert course.step(9 * MINUTE + timedelta(seconds=59)) == []
    course.says(camera, "downloading")
    assert course.step(timedelta(seconds=1)) == [camera.pk]
    assert course.step(MINUTE) == []
    assert DeviceEvent.objects.filter(detail__startswith="Told").count() == 1


def test_who_does_not_answer_gives_its_place_to_the_next(told: Told) -> None:
    cameras = fleet(4)
    connect(*cameras)
    course = begin(told, ALL)
    assert course.step() == [cameras[0].pk, cameras[1].pk]
    course.says(cameras[0], "downloading")
    assert course.step(2 * MINUTE) == [cameras[2].pk]
    assert course.step(2 * MINUTE) == [cameras[3].pk]


def test_a_clock_that_was_set_back_stops_nothing(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    assert course.step(-5 * HOUR) == [camera.pk]


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "words"),
    [("failed", f"The update to {NEW} failed"), ("rolled_back", f"Went back from {NEW}")],
)
def test_a_camera_that_fails_pauses_the_roll_out(told: Told, state: str, words: str) -> None:
    cameras = fleet(3)
    connect(*cameras)
    course = begin(told, ALL)
    course.step()
    course.says(cameras[0], "downloading", state, detail="it came damaged")
    rollout = course.rollout
    assert rollout.state == "paused"
    assert rollout.reason.startswith(f"{cameras[0]}: {words}")
    assert rollout.reason.endswith(": it came damaged")
    assert course.row(cameras[0]).state == state
    assert course.step(HOUR) == []
    # Who was told before goes on, and the first reason stands.
    course.takes_it(cameras[1])
    course.says(cameras[2], "failed", detail="its signature")
    assert course.states() == [state, "updated", "failed"]
    assert "damaged" in course.rollout.reason


@pytest.mark.parametrize("words", updates_steps.NOT_YET)
def test_a_camera_that_was_turned_away_is_told_later_and_nothing_pauses(
    told: Told, words: str
) -> None:
    cameras = fleet(1)
    connect(*cameras)
    course = begin(told, ALL)
    course.step()
    course.says(cameras[0], "downloading", "failed", detail=words)
    assert (course.rollout.state, course.states()) == ("running", ["waiting"])
    assert course.step(9 * MINUTE) == []
    assert course.step(MINUTE) == [cameras[0].pk]
    course.takes_it(cameras[0])
    course.step()
    assert course.rollout.state == "finished"


def test_the_firmware_says_it_in_these_words() -> None:
    source = (settings.BASE_DIR / "firmware/esp32cam/core/update.cpp").read_text()
    assert [words for words in updates_steps.NOT_YET if f'"{words}"' not in source] == []


def test_resumed_it_leaves_out_those_that_failed_or_tries_them_again(told: Told) -> None:
    cameras = fleet(3)
    connect(*cameras)
    course = begin(told, ALL)
    course.step()
    course.says(cameras[0], "failed", detail="it came damaged")
    updates.resume(rollout_pk=course.pk)
    assert course.step() == [cameras[2].pk]
    assert course.states() == ["failed", "announced", "announced"]
    updates.pause(rollout_pk=course.pk, by="anna")
    assert course.rollout.reason == "Paused by anna"
    assert course.step(HOUR) == []
    course.takes_it(cameras[1])
    course.takes_it(cameras[2])
    updates.resume(rollout_pk=course.pk, is_retry=True)
    assert course.step() == [cameras[0].pk]


def test_a_camera_that_went_back_is_never_given_that_version_again(
    told: Told, image: FirmwareImage
) -> None:
    cameras = fleet(2)
    connect(*cameras)
    course = begin(told, ALL)
    course.step()
    course.says(cameras[0], "downloading", "installed", "rolled_back", detail="it did not start")
    updates.resume(rollout_pk=course.pk, is_retry=True)
    assert course.step(HOUR) == [cameras[1].pk]
    updates.stop(rollout_pk=course.pk)
    again = begin(told, ALL)
    assert again.step() == [cameras[1].pk]
    assert again.states() == ["rolled_back", "announced"]
    again.takes_it(cameras[1])
    again.step()
    assert again.rollout.state == "finished"
    with pytest.raises(FirmwareRefused, match="some went back from"):
        begin(told, ALL)
    rollouts.upload("1.3.1")
    newer = updates.start(
        image_pk=FirmwareImage.objects.get(version="1.3.1").pk, by="anna", stages=ALL
    )
    assert Course(newer, told).step() == [cameras[0].pk, cameras[1].pk]


def test_a_camera_that_does_not_come_back_pauses_it(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "downloading", "installed")
    connect()
    course.step(14 * MINUTE)
    assert course.rollout.state == "running"
    course.step(MINUTE)
    assert course.states() == ["lost"]
    assert course.rollout.reason == f"{camera} installed {NEW} and did not come back"
    # It was found behind the sofa.
    connect(camera)
    course.takes_it(camera)
    updates.resume(rollout_pk=course.pk)
    course.step()
    assert (course.states(), course.rollout.state) == (["updated"], "finished")


def test_a_sleeping_camera_has_a_day_to_come_back(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "installed")
    Device.objects.update(presence="asleep")
    connect()
    course.step(23 * HOUR)
    assert course.rollout.state == "running"
    course.step(2 * HOUR)
    assert course.states() == ["lost"]


def _happened(course: Course, camera: Device, kind: str, after: timedelta) -> None:
    record_event(device_pk=camera.pk, kind=kind, at_ms=int((course.now + after).timestamp() * 1000))


@pytest.mark.parametrize("is_connected", [True, False], ids=["there just now", "away just now"])
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_camera_that_never_stays_connected_pauses_it(
    told: Told, version: str, is_connected: bool
) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "downloading", "installed")
    Device.objects.update(firmware_version=version)
    for n in range(60):  # every half minute, from the fifth minute on
        _happened(course, camera, "connected", 5 * MINUTE + n * MINUTE / 2)
        _happened(course, camera, "disconnected", 5 * MINUTE + (n + 0.5) * MINUTE / 2)
    began = course.now
    for minute in (16, 19):
        connect(*[camera] * is_connected, since=-minute * MINUTE)
        course.step(began + minute * MINUTE - course.now)
        assert course.states() == ["installed"], "it may be about to settle"
    # At 20:05: the last connection began at 20:00.
    connect(*[camera] * is_connected, since=-20 * MINUTE)
    DeviceEvent.objects.filter(at__gt=began + 20 * MINUTE + MINUTE / 60).delete()
    course.step(began + 20 * MINUTE + MINUTE / 12 - course.now)
    assert course.states() == ["failed"]
    assert course.rollout.state == "paused"
    assert course.rollout.reason == f"{camera} installed {NEW} and does not stay connected"
    assert device_sentence(course.row(camera)) == (
        "Failed: It came back after the restart, but never stayed connected for a minute"
    )
    # Somebody moved it nearer to the router.
    connect(camera)
    course.says(camera, "running")
    updates.resume(rollout_pk=course.pk)
    course.step()
    assert (course.states(), course.rollout.state) == (["updated"], "finished")


def test_a_connection_that_holds_is_enough_though_the_picture_comes_and_goes(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "installed")
    Device.objects.update(firmware_version=NEW)
    _happened(course, camera, "connected", MINUTE)
    connect(camera, since=-30 * MINUTE)
    course.step(30 * MINUTE)
    assert course.states() == ["updated"]


@pytest.mark.parametrize(("version", "state"), [(OLD, "rolled_back"), (NEW, "updated")])
def test_a_camera_that_sleeps_between_short_connections_is_back(
    told: Told, version: str, state: str
) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "installed")
    Device.objects.update(firmware_version=version, presence="asleep")
    _happened(course, camera, "connected", 5 * MINUTE)
    _happened(course, camera, "asleep", 5.5 * MINUTE)
    connect()
    course.step(16 * MINUTE)
    assert course.states() == [state]


def test_a_camera_of_which_nothing_is_noted_does_not_hold_it_for_ever(told: Told) -> None:
    (camera,) = fleet(1)
    connect(camera)
    course = begin(told, ALL)
    course.step()
    course.says(camera, "installed")
    connect(camera, since=-30 * HOUR)
    course.step(23 * HOUR)
    assert course.states() == ["installed"]
    course.step(2 * HOUR)
    assert course.states() == ["failed"]


def test_what_it_runs_counts_when_its_word_was_lost(told: Told) -> None:
    went_back, has_it = fleet(2)
    connect(went_back, has_it)
    course = begin(told, ALL)
    course.step()
    course.says(has_it, "installed")
    course.says(went_back, "installed")
    Device.objects.filter(pk=has_it.pk).update(firmware_version=NEW)
    course.step(10 * MINUTE)
    assert course.states() == ["installed", "installed"], "it may be on trial"
    connect(went_back, has_it, since=-15 * MINUTE)
    course.step(5 * MINUTE)
    assert course.row(went_back).state == "installed", "it has not said yet what it runs"
    course.step(2 * MINUTE)
    assert course.states() == ["rolled_back", "updated"]
    assert course.rollout.reason == f"{went_back} came back with {OLD}"


def test_a_camera_that_is_gone_when_its_time_is_over_pauses_it(told: Told) -> None:
    cameras = fleet(2)
    connect(*cameras)
    course = begin(told, [{"count": 1, "soak_minutes": 60}, {"percent": 100}])
    course.step()
    course.takes_it(cameras[0])
    course.step()
    Device.objects.filter(pk=cameras[0].pk).update(last_seen_at=course.now)
    connect(cameras[1])
    assert course.step(HOUR) == []
    assert course.states() == ["lost", "waiting"]
    assert course.rollout.reason.endswith("has not been seen since it was updated")


def test_a_file_that_is_gone_pauses_it(told: Told, image: FirmwareImage) -> None:
    connect(*fleet(1))
    course = begin(told, ALL)
    image.path.unlink()
    assert course.step() == []
    assert (course.rollout.state, course.rollout.reason) == (
        "paused", "The file of the firmware is gone",
    )  # fmt: skip
    with pytest.raises(FirmwareRefused, match="Its file is gone"):
        updates.resume(rollout_pk=course.pk)


def test_reports_that_belong_to_no_roll_out_are_only_noted(told: Told) -> None:
    cameras = fleet(1)
    connect(*cameras)
    course = begin(told, ALL)
    course.says(cameras[0], "failed", version="9.9.9", detail="who knows")
    course.says(make_device(), "rolled_back")
    gone = make_device()
    gone.delete()
    course.says(Device(pk=10**6), "running")
    assert (course.rollout.state, course.states()) == ("running", ["waiting"])
    noted = DeviceEvent.objects.get(device=cameras[0])
    assert (noted.kind, noted.detail) == ("update", "The update to 9.9.9 failed: who knows")


def test_a_camera_that_has_it_rightly_refuses_it(told: Told) -> None:
    cameras = fleet(1)
    connect(*cameras)
    course = begin(told, ALL)
    course.step()
    course.takes_it(cameras[0])
    course.says(cameras[0], "failed", detail="it is not newer than what runs")
    assert (course.rollout.state, course.states()) == ("running", ["updated"])


# --- what people may do ---------------------------------------------------------------------------


def test_one_roll_out_a_board_at_a_time(told: Told) -> None:
    connect(*fleet(1))
    first = begin(told, ALL)
    with pytest.raises(FirmwareInUse):
        begin(told, ALL)
    updates.stop(rollout_pk=first.pk)
    second = begin(told, ALL)
    assert (first.rollout.state, second.rollout.state) == ("stopped", "running")
    assert first.rollout.ended_at is not None


def test_what_makes_no_sense_is_refused(told: Told, image: FirmwareImage) -> None:
    with pytest.raises(UnknownFirmware):
        updates.start(image_pk=0, by="anna")
    with pytest.raises(UnknownFirmware):
        updates.pause(rollout_pk=0, by="anna")
    with pytest.raises(FirmwareRefused, match="No camera has said yet"):
        begin(told)
    fleet(1, firmware_version=NEW)
    with pytest.raises(FirmwareRefused, match="newer already"):
        begin(told)
    fleet(1, update_key=OTHER_ID)
    with pytest.raises(FirmwareRefused, match="has the update key"):
        begin(told)
    fleet(1)
    course = begin(told)
    with pytest.raises(FirmwareInUse):
        updates.resume(rollout_pk=course.pk)
    updates.pause(rollout_pk=course.pk, by="anna")
    UpdateKey.objects.all().delete()
    with pytest.raises(FirmwareRefused, match="not trusted any more"):
        updates.resume(rollout_pk=course.pk)
    updates.stop(rollout_pk=course.pk)
    with pytest.raises(FirmwareInUse):
        updates.stop(rollout_pk=course.pk)
