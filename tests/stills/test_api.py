"""`/api/v1/captures/`: who may do what, asking for captures and finding them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device
from recordings import queueing
from stills import files, services
from stills.models import CameraPicture, Capture, State
from tests.factories import make_analysis, make_capture, make_device, make_user
from tests.stills.browsing import CAMERA, LIST, browser, get, make_seen, one, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
# Where what follows a commit, or the end of an answer, plays a part.
committed = pytest.mark.django_db(transaction=True)
READ_ONLY = ["/api/v1/analyses/", "/api/v1/camera-pictures/", CAMERA]


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def operator(device: Device) -> Client:
    return browser(make_user(role="operator", cameras=[device]))


def paths(capture: Capture) -> list[str]:
    analyses = [f"/api/v1/analyses/{row.pk}/" for row in capture.analyses.all()]
    here = one(capture)
    return [here, f"{here}file", f"{here}preview.jpg", f"{here}analyses/", *analyses]


def changes(capture: Capture) -> list[tuple[str, str]]:
    here = one(capture)
    return [
        ("post", f"{here}cancel/"),
        ("post", f"{here}use-as-picture/"),
        ("delete", f"{here}use-as-picture/"),
        ("post", f"{here}analyses/"),
        ("delete", here),
    ]


# --- who sees what --------------------------------------------------------------------------------


def test_nobody_sees_anything_without_logging_in(device: Device) -> None:
    capture = make_capture(device)
    make_seen(capture)
    picture = f"/api/v1/devices/{device.pk}/picture.jpg"
    for path in [LIST, *READ_ONLY, *paths(capture), picture]:
        assert Client().get(path).status_code in (401, 403), path
    for method, path in [("post", LIST), ("post", CAMERA), *changes(capture)]:
        assert getattr(Client(), method)(path).status_code in (401, 403), path
    assert Capture.objects.get() == capture


def test_another_persons_camera_is_not_found(operator: Client) -> None:
    other = make_device()
    capture = make_capture(other)
    make_seen(capture)
    for path in [*paths(capture), f"/api/v1/devices/{other.pk}/picture.jpg"]:
        assert operator.get(path).status_code == 404, path
    for method, path in changes(capture):
        assert getattr(operator, method)(path).status_code == 404, path
    assert post(operator, kind="jpg", device=other.pk).status_code == 404
    for path in (LIST, "/api/v1/analyses/", "/api/v1/camera-pictures/"):
        assert operator.get(path).json()["results"] == [], path
    assert operator.get(LIST, {"device": other.pk}).json()["results"] == []
    assert Capture.objects.get() == capture
    assert CameraPicture.objects.get().capture == capture


@committed
def test_a_viewer_looks_and_changes_nothing(device: Device) -> None:
    capture = make_capture(device)
    make_seen(capture)
    client = browser(make_user(cameras=[device]))
    picture = f"/api/v1/devices/{device.pk}/picture.jpg"
    for path in [LIST, *READ_ONLY, *paths(capture), picture]:
        assert get(client, path).status_code == 200, path
    for method, path in [("post", LIST), ("post", CAMERA), *changes(capture)]:
        assert getattr(client, method)(path).status_code == 403, path
    assert client.get(LIST).json()["count"] == 1
    assert Capture.objects.get().state == State.READY


@committed
def test_this_machines_own_camera_is_the_operators(device: Device, operator: Client) -> None:
    capture = make_capture()
    make_seen(capture)
    viewer = browser(make_user(cameras=[device]))
    for path in paths(capture):
        assert viewer.get(path).status_code == 404, path
        assert get(operator, path).status_code == 200, path
    shown = operator.get(one(capture)).json()
    assert (shown["device"], shown["device_name"]) == (None, "")


def test_analyses_of_files_that_no_capture_knows_are_the_operators(
    device: Device, operator: Client
) -> None:
    analysis = make_analysis(None)
    path = f"/api/v1/analyses/{analysis.pk}/"
    assert operator.get(path).json()["capture"] is None
    assert browser(make_user(cameras=[device])).get(path).status_code == 404


def test_the_environments_token_takes_pictures_of_every_camera(
    device: Device, settings: Any
) -> None:
    settings.NVR = replace(settings.NVR, auth_token="a-token-of-tests")
    client = Client(headers={"Authorization": "Bearer a-token-of-tests"})
    answer = post(client, kind="jpg", device=device.pk)
    assert (answer.status_code, answer.json()["created_by"]) == (202, "AUTH_TOKEN")


# --- asking ---------------------------------------------------------------------------------------


def test_a_capture_is_a_row_that_waits_at_once(operator: Client, device: Device) -> None:
    answer = post(
        operator, kind="mp4", device=device.pk, width=320, height="240", fps=5,
        duration_seconds=1.5, name="../front door.avi",
    )  # fmt: skip
    assert answer.status_code == 202, answer.content
    shown = answer.json()
    assert shown == {
        "id": str(Capture.objects.get().pk), "device": device.pk, "device_name": "Front door",
        "kind": "mp4", "state": "waiting", "sentence": "Waits for the camera.", "system": "own",
        "origin": "", "filename": "", "wanted_name": "front_door.mp4", "width": 320, "height": 240,
        "fps": 5, "duration_ms": 1500, "size_bytes": 0, "progress": 0.0, "code": "", "reason": "",
        "created_at": shown["created_at"], "created_by": shown["created_by"], "started_at": None,
        "finished_at": None, "file_url": "", "preview_url": "", "is_camera_picture": False,
    }  # fmt: skip
    assert operator.get(f"{LIST}{shown['id']}/").json() == shown


def test_what_is_not_said_is_as_the_settings_say(operator: Client) -> None:
    for body in ({"kind": "jpg"}, {"kind": "jpg", "device": None, "name": "日本"}):
        shown = post(operator, **body).json()
        assert (shown["device"], shown["width"], shown["height"]) == (None, 1920, 1080)
        assert shown["wanted_name"].endswith("_1920x1080_30fps_1s.jpg")


@committed
def test_a_row_waits_where_the_broker_is_away(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looks for rows by itself every ten seconds."""
    monkeypatch.setattr(queueing, "queue", lambda task, arguments: False)
    assert post(operator, kind="jpg").status_code == 202


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "kind", "required"),
        ({"kind": "png"}, "kind", "not a valid choice"),
        ({"kind": ["jpg"]}, "kind", "not a valid choice"),
        ({"kind": None}, "kind", "null"),
        ({"kind": "jpg", "width": 0}, "width", "16 to 16384 pixels"),
        ({"kind": "jpg", "width": 1e300}, "width", "16 to 16384 pixels"),
        ({"kind": "jpg", "height": "tall"}, "height", "16 to 16384 pixels"),
        ({"kind": "jpg", "height": 480.5}, "height", "16 to 16384 pixels"),
        ({"kind": "jpg", "height": True}, "height", "16 to 16384 pixels"),
        ({"kind": "jpg", "height": 10**400}, "height", "16 to 16384 pixels"),
        ({"kind": "mp4", "fps": -5}, "fps", "1 to 240"),
        ({"kind": "mp4", "fps": 241}, "fps", "1 to 240"),
        ({"kind": "mp4", "duration_seconds": 365 * 86_400}, "duration_seconds", "at most 3600"),
        ({"kind": "mp4", "duration_seconds": 0}, "duration_seconds", "More than 0"),
        ({"kind": "mp4", "duration_seconds": -1}, "duration_seconds", "More than 0"),
        ({"kind": "mp4", "duration_seconds": "NaN"}, "duration_seconds", "More than 0"),
        ({"kind": "mp4", "duration_seconds": "inf"}, "duration_seconds", "More than 0"),
        ({"kind": "mp4", "duration_seconds": 10**400}, "duration_seconds", "More than 0"),
        ({"kind": "mp4", "duration_seconds": {}}, "duration_seconds", "More than 0"),
        ({"kind": "jpg", "duration_seconds": 61}, "duration_seconds", "60 s"),
        ({"kind": "jpg", "name": "x" * 101}, "name", "100"),
        ({"kind": "jpg", "name": "a\0b"}, "name", "Null"),
        ({"kind": "jpg", "name": ["door"]}, "name", "valid string"),
        ({"kind": "jpg", "device": "door"}, "device", "integer"),
        ({"kind": "jpg", "device": 0}, "device", "greater"),
        ({"kind": "jpg", "device": 2**63}, "device", "less"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(
    operator: Client, body: dict[str, Any], field: str, words: str
) -> None:
    answer = post(operator, **body)
    assert answer.status_code == 400, answer.content
    assert words in answer.json()[field][0]
    assert not Capture.objects.exists()


def test_a_stream_has_no_raw_pictures(operator: Client, device: Device) -> None:
    answer = post(operator, kind="dng", device=device.pk)
    assert answer.status_code == 400
    assert "own camera" in answer.json()["kind"][0]
    assert post(operator, kind="dng").status_code == 202


@pytest.mark.parametrize("raw", ['{"kind": "jpg", "fps": NaN}', "[]", "{", '"jpg"', "", "\xff"])
def test_what_is_no_request_is_refused(operator: Client, raw: str) -> None:
    answer = operator.post(LIST, raw.encode("latin-1"), content_type="application/json")
    assert answer.status_code == 400
    assert not Capture.objects.exists()


# --- finding --------------------------------------------------------------------------------------


def test_captures_are_found_by_camera_kind_state_system_day_and_name(
    operator: Client, device: Device
) -> None:
    day = datetime(2026, 10, 25, 12, tzinfo=timezone.get_current_timezone())
    door = make_capture(device, created_at=day)
    video = make_capture(device, kind="mp4", created_at=day + timedelta(days=1), system="node")
    failed = make_capture(created_at=day + timedelta(days=2), state=State.FAILED)
    raw = make_capture(
        kind="dng", created_at=day + timedelta(days=3), filename="moon.dng", wanted_name="sun.dng"
    )

    def found(**query: Any) -> list[str]:
        return [row["id"] for row in operator.get(LIST, query).json()["results"]]

    everything = [str(row.pk) for row in (raw, failed, video, door)]
    assert found() == everything
    assert found(ordering="created_at") == everything[::-1]
    assert found(device=device.pk) == everything[2:]
    assert found(device="own") == everything[:2]
    assert found(device=device.pk + 1) == []
    assert found(kind="mp4") == [str(video.pk)]
    assert found(kind=["mp4", "dng"]) == [str(raw.pk), str(video.pk)]
    assert found(state="failed") == [str(failed.pk)]
    assert found(system="node") == [str(video.pk)]
    assert found(day="2026-10-25") == [str(door.pk)]
    assert found(day="9999-12-31") == []
    assert found(search="moon") == [str(raw.pk)]
    assert found(search="sun") == [str(raw.pk)]


@pytest.mark.parametrize(
    "query", [{"device": "x"}, {"device": "-1"}, {"device": "1" * 30}, {"kind": "png"},
              {"state": "x"}, {"day": "yesterday"}, {"system": "x"}],
)  # fmt: skip
def test_a_filter_that_means_nothing_is_refused(operator: Client, query: dict[str, str]) -> None:
    assert operator.get(LIST, query).status_code == 400


def test_a_removed_cameras_captures_are_not_this_machines_own(device: Device) -> None:
    capture = make_capture(device)
    device.delete()
    admin = browser(make_user(role="admin"))
    (shown,) = admin.get(LIST).json()["results"]
    assert (shown["id"], shown["device"]) == (str(capture.pk), None)
    assert shown["device_name"] == "Front door"
    assert admin.get(LIST, {"device": "own"}).json()["results"] == []


@pytest.mark.parametrize("path", [LIST, "/api/v1/analyses/", "/api/v1/camera-pictures/"])
def test_a_list_costs_the_same_however_long_it_is(
    operator: Client, device: Device, path: str
) -> None:
    people = list(device.people.all())

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert operator.get(path).status_code == 200
        return len(caught)

    make_seen(make_capture(device))
    few = queries()
    for _ in range(20):
        make_seen(make_capture(make_device(people=people), content=None))
    assert operator.get(path).json()["count"] == 21
    assert queries() == few <= 7


def test_the_analyses_of_one_cost_the_same_however_many_there_are(operator: Client) -> None:
    capture = make_capture()

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert operator.get(f"{one(capture)}analyses/").status_code == 200
        return len(caught)

    make_analysis(capture)
    few = queries()
    for _ in range(10):
        make_analysis(capture)
    assert queries() == few <= 7


# --- one capture ----------------------------------------------------------------------------------


def test_a_long_video_says_how_far_it_is_and_is_cancelled(operator: Client) -> None:
    capture = make_capture(
        kind="mp4", state=State.TAKING, duration_ms=100_000,
        started_at=timezone.now() - timedelta(seconds=40),
    )  # fmt: skip
    shown = operator.get(one(capture)).json()
    assert 0.4 <= shown["progress"] < 0.5
    assert shown["sentence"] == "Is being recorded: 40 s of 100 s."
    answer = post(operator, f"{one(capture)}cancel/")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert answer.json()["sentence"] == "It was cancelled."
    assert post(operator, f"{one(capture)}cancel/").status_code == 409


@pytest.mark.parametrize("state", [State.READY, State.FAILED, State.CANCELLED])
def test_what_is_over_cannot_be_cancelled(operator: Client, state: State) -> None:
    capture = make_capture(state=state)
    answer = post(operator, f"{one(capture)}cancel/")
    assert answer.status_code == 409
    assert "is over already" in answer.json()["detail"]
    assert Capture.objects.get().state == state


def test_one_that_becomes_ready_in_that_moment_is_said_to_be(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = make_capture(state=State.TAKING)

    def too_late(row: Capture) -> None:
        Capture.objects.update(state=State.READY, filename="door.jpg")
        row.refresh_from_db()

    monkeypatch.setattr(services, "cancel", too_late)
    assert post(operator, f"{one(capture)}cancel/").status_code == 409


@pytest.mark.parametrize("state", list(State))
def test_whatever_its_state_it_can_be_deleted(operator: Client, state: State) -> None:
    capture = make_capture(state=state)
    assert operator.delete(one(capture)).status_code == 204
    assert operator.get(one(capture)).status_code == 404
    assert list(files.listed()) == []


def test_when_the_disk_refuses_it_says_so_and_nothing_is_lost(operator: Client) -> None:
    capture = make_capture(content=None)
    (files.directory() / str(capture.filename)).mkdir()
    answer = operator.delete(one(capture))
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The disk refuses: ")
    assert str(django_settings.DATA_DIR) not in answer.json()["detail"]
    assert Capture.objects.get().state == State.READY


@pytest.mark.parametrize("method", ["get", "delete"])
def test_what_is_not_there_is_not_found(operator: Client, method: str) -> None:
    assert getattr(operator, method)(f"{LIST}{uuid.uuid4()}/").status_code == 404
    assert getattr(operator, method)(f"{LIST}1/").status_code == 404


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "640x480 pixels."),
        ({"kind": "mp4", "duration_ms": 125_000}, "2 min 5 s of video, 640x480 pixels."),
        ({"origin": "stream"}, "640x480 pixels, from the live stream."),
        ({"kind": "dng", "width": 0, "height": 0}, "Raw picture."),
        ({"kind": "mp4", "duration_ms": 0, "width": 0}, "Video."),
        ({"state": "taking"}, "Is being taken."),
        ({"state": "failed"}, "It could not be taken."),
        (
            {"state": "failed", "code": "busy", "reason": "The camera is in use."},
            "The camera is in use. Try again in a moment.",
        ),
        ({"state": "failed", "code": "failed", "reason": "Why not."}, "Why not."),
        ({"state": "cancelled"}, "It was cancelled."),
    ],
)
def test_its_state_is_said_in_words(
    operator: Client, fields: dict[str, Any], sentence: str
) -> None:
    assert operator.get(one(make_capture(**fields))).json()["sentence"] == sentence


def test_a_video_whose_time_is_over_is_being_finished(operator: Client) -> None:
    started_at = timezone.now() - timedelta(seconds=2)
    capture = make_capture(kind="mp4", state="taking", duration_ms=1_000, started_at=started_at)
    shown = operator.get(one(capture)).json()
    assert (shown["sentence"], shown["progress"]) == ("Is being finished.", 0.99)
