"""`/api/v1/captures/<id>/`: its file and preview, as a camera's picture, and its analyses."""

from __future__ import annotations

import pytest
from django.test import Client

from devices.models import Device
from stills import files, services
from stills.models import Analysis, CameraPicture, State
from tests.factories import make_analysis, make_capture, make_device, make_user
from tests.stills.browsing import LIST, browser, get, one, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
# Where what follows a commit, or the end of an answer, plays a part.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def operator(device: Device) -> Client:
    return browser(make_user(role="operator", cameras=[device]))


# --- files ----------------------------------------------------------------------------------------


@committed
@pytest.mark.parametrize("kind", list(files.CONTENT_TYPES))
def test_a_file_is_served_in_ranges_and_named(operator: Client, kind: str) -> None:
    capture = make_capture(kind=kind)
    path = operator.get(one(capture)).json()["file_url"]
    assert path == f"{one(capture)}file"
    answer = get(operator, path, Range="bytes=2-4")
    assert (answer.status_code, answer["Content-Range"]) == (206, "bytes 2-4/10")
    assert answer["Content-Type"] == files.CONTENT_TYPES[kind]
    assert answer["Cache-Control"] == "private, no-cache"
    assert "Content-Disposition" not in answer.headers
    answer = get(operator, f"{path}?download=1")
    assert answer["Content-Disposition"] == f'attachment; filename="{capture.filename}"'
    assert operator.head(path)["Content-Length"] == "10"
    answer = get(operator, path, Range="bytes=10-")
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */10")


@committed
def test_its_preview_is_a_picture_whatever_it_is(operator: Client) -> None:
    capture = make_capture(kind="dng", filename="moon.dng")
    path = operator.get(one(capture)).json()["preview_url"]
    answer = get(operator, f"{path}?download=1")
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Disposition"] == 'attachment; filename="moon-preview.jpg"'
    without = make_capture(has_preview=False)
    assert operator.get(one(without)).json()["preview_url"] == ""
    assert operator.get(f"{one(without)}preview.jpg").status_code == 404


@pytest.mark.parametrize("state", [state for state in State if state != State.READY])
def test_only_a_ready_one_has_a_file(operator: Client, state: State) -> None:
    capture = make_capture(state=state)
    shown = operator.get(one(capture)).json()
    assert (shown["filename"], shown["file_url"], shown["preview_url"]) == ("", "", "")
    for name in ("file", "preview.jpg"):
        assert operator.get(f"{one(capture)}{name}").status_code == 404


def test_a_file_that_vanished_is_not_found(operator: Client) -> None:
    capture = make_capture(content=None)
    for name in ("file", "preview.jpg"):
        answer = operator.get(f"{one(capture)}{name}")
        assert answer.status_code == 404
        assert "missing" in answer.json()["detail"]


def test_a_link_in_its_place_is_not_followed(operator: Client) -> None:
    capture = make_capture(content=None)
    (files.directory() / str(capture.filename)).symlink_to("/etc/hostname")
    assert operator.get(f"{one(capture)}file").status_code == 404


# --- a camera's picture ---------------------------------------------------------------------------


@committed
def test_a_capture_stands_for_its_camera_until_another_one_does(
    operator: Client, device: Device
) -> None:
    first, second = make_capture(device), make_capture(device)
    picture = f"/api/v1/devices/{device.pk}/picture.jpg"
    assert operator.get(picture).status_code == 404
    answer = post(operator, f"{one(first)}use-as-picture/")
    assert (answer.status_code, answer.json()["is_camera_picture"]) == (200, True)
    assert get(operator, picture)["Content-Type"] == "image/jpeg"
    (shown,) = operator.get("/api/v1/camera-pictures/").json()["results"]
    assert (shown["device"], shown["capture"]) == (device.pk, str(first.pk))
    assert shown["url"] == f"{picture}?capture={first.pk}"
    assert get(operator, shown["url"]).status_code == 200
    assert shown["captured_at"] == operator.get(one(first)).json()["finished_at"]

    assert post(operator, f"{one(second)}use-as-picture/").status_code == 200
    listed = {row["id"]: row["is_camera_picture"] for row in operator.get(LIST).json()["results"]}
    assert listed == {str(first.pk): False, str(second.pk): True}
    answer = operator.delete(f"{one(first)}use-as-picture/")  # which it is no longer
    assert (answer.status_code, CameraPicture.objects.get().capture) == (200, second)
    answer = operator.delete(f"{one(second)}use-as-picture/")
    assert answer.json()["is_camera_picture"] is False
    assert operator.get(picture).status_code == 404


def test_a_deleted_one_stands_for_no_camera(operator: Client, device: Device) -> None:
    capture = make_capture(device)
    services.use_as_picture(capture)
    operator.delete(one(capture))
    assert operator.get(f"/api/v1/devices/{device.pk}/picture.jpg").status_code == 404


@pytest.mark.parametrize("number", [0, 10**6, 2**63, 10**40])
def test_a_camera_that_is_not_there_has_no_picture(operator: Client, number: int) -> None:
    assert operator.get(f"/api/v1/devices/{number}/picture.jpg").status_code == 404


def test_what_has_no_camera_or_picture_stands_for_none(operator: Client, device: Device) -> None:
    for capture in (
        make_capture(), make_capture(device, state=State.FAILED),
        make_capture(device, has_preview=False),
    ):  # fmt: skip
        answer = post(operator, f"{one(capture)}use-as-picture/")
        assert answer.status_code == 409
        assert answer.json()["detail"]
    assert operator.delete(f"{one(make_capture())}use-as-picture/").status_code == 200


# --- analyses -------------------------------------------------------------------------------------


def test_a_capture_is_analysed_and_the_result_read(operator: Client) -> None:
    capture = make_capture()
    answer = post(operator, f"{one(capture)}analyses/")
    assert answer.status_code == 202, answer.content
    made = answer.json()
    assert made == {
        "id": made["id"], "capture": str(capture.pk), "filename": capture.filename,
        "state": "queued", "result": {}, "reason": "", "created_at": made["created_at"],
        "finished_at": None,
    }  # fmt: skip
    Analysis.objects.update(state="done", result={"file": {"kind": "jpg"}})
    shown = operator.get(f"/api/v1/analyses/{made['id']}/").json()
    assert (shown["state"], shown["result"]) == ("done", {"file": {"kind": "jpg"}})
    assert operator.get(f"{one(capture)}analyses/").json()["results"] == [shown]
    make_analysis(make_capture())
    assert operator.get("/api/v1/analyses/").json()["count"] == 2
    for query in ({"capture": str(capture.pk)}, {"search": str(capture.filename)}):
        found = operator.get("/api/v1/analyses/", query).json()["results"]
        assert found == [shown]
    assert operator.get("/api/v1/analyses/", {"state": "queued"}).json()["results"] == []


@pytest.mark.parametrize("state", [state for state in State if state != State.READY])
def test_what_is_not_ready_cannot_be_analysed(operator: Client, state: State) -> None:
    answer = post(operator, f"{one(make_capture(state=state))}analyses/")
    assert (answer.status_code, Analysis.objects.count()) == (409, 0)
