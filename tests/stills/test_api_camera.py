"""`/api/v1/camera/`: this machine's own camera, as the worker beside it last saw it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from devices.models import Device
from recordings import queueing
from stills import cameras, lease, services, streamed, tasks
from stills.cameras.protocol import Check, Found
from stills.exceptions import CaptureError
from stills.models import NodeCamera, State
from tests.factories import make_capture, make_device, make_source, make_user
from tests.stills.browsing import CAMERA, browser, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def operator(device: Device) -> Client:
    return browser(make_user(role="operator", cameras=[device]))


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    lease._held = ""
    yield
    lease._held = ""


def test_before_the_first_look_it_says_that_nobody_looked(operator: Client) -> None:
    assert operator.get(CAMERA).json() == {
        "node_id": settings.NVR.node_id, "setting": "auto", "backend": "",
        "is_there": False, "is_busy": False,
        "sentence": "Nobody has looked yet whether this machine has a camera.", "cameras": [],
        "checks": [], "looked_at": None, "last_capture_at": None, "last_error": "", "device": None,
        "room_mb": {"captures": 5000, "raw": 1000},
    }  # fmt: skip


def seen(**fields: Any) -> NodeCamera:
    check = {"name": "camera", "is_ok": True, "sentence": "It is there.", "advice": ""}
    values: dict[str, Any] = {
        "node_id": settings.NVR.node_id,
        "backend": "rpicam",
        "found": {
            "address": "picamera:0", "cameras": [["0", "imx708 4608x2592"]], "checks": [check]
        },
        "is_there": True,
        "sentence": "imx708 4608x2592 by rpicam.",
        "looked_at": datetime(2026, 11, 20, 13, tzinfo=UTC),
    }  # fmt: skip
    return NodeCamera.objects.create(**{**values, **fields})


def test_what_was_seen_is_said_in_full(operator: Client) -> None:
    seen(last_error="Command failed", last_error_at=timezone.now())
    shown = operator.get(CAMERA).json()
    assert shown["cameras"] == [{"number": "0", "name": "imx708 4608x2592"}]
    assert [check["name"] for check in shown["checks"]] == ["camera"]
    assert (shown["is_there"], shown["sentence"]) == (True, "imx708 4608x2592 by rpicam.")
    assert (shown["last_error"], shown["looked_at"]) == ("Command failed", "2026-11-20T13:00:00Z")


def test_a_row_of_an_earlier_version_has_less_in_it(operator: Client) -> None:
    seen(found={})
    assert operator.get(CAMERA).json()["cameras"] == []


def test_it_is_busy_while_somebody_has_it_or_waits_for_it(operator: Client, device: Device) -> None:
    def is_busy() -> bool:
        busy: bool = operator.get(CAMERA).json()["is_busy"]
        return busy

    make_capture(device, state=State.TAKING)  # of a stream
    make_capture()
    assert not is_busy()
    token = lease.acquire("somebody", 60)
    assert is_busy()
    lease.release(token)
    waiting = make_capture(state=State.WAITING)
    assert is_busy()
    services.cancel(waiting)
    assert not is_busy()


def test_it_names_the_camera_that_streams_it_to_whoever_may_see_that(
    operator: Client, device: Device
) -> None:
    seen()
    assert operator.get(CAMERA).json()["device"] is None
    source = make_source(url="picamera:0", people=device.people.all())
    found = streamed.device_of("picamera:0")
    assert found is not None
    assert operator.get(CAMERA).json()["device"] == source.device_id
    source.device.people.clear()
    assert operator.get(CAMERA).json()["device"] is None


def test_a_look_is_queued_and_that_is_said(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def queue(task: Any, arguments: tuple[str, ...]) -> bool:
        told.append(task.name)
        return len(told) == 1

    monkeypatch.setattr(queueing, "queue", queue)
    answer = post(operator, CAMERA)
    assert (answer.status_code, answer.json()["looked_at"]) == (202, None)
    assert told == ["stills.tasks.look_at_camera"]
    answer = post(operator, CAMERA)
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["detail"]


# --- looking --------------------------------------------------------------------------------------


class StandIn:
    """A camera that is there."""

    name, address = "rpicam", "picamera:0"


def test_what_a_worker_sees_is_what_the_page_says(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [
        Check("program", True, "rpicam-still is there."),
        Check("permission", None, "It could not be found out.", "Look in the log."),
    ]
    monkeypatch.setattr(cameras, "look", lambda: Found("rpicam", [("0", "imx708")], checks))
    monkeypatch.setattr(cameras, "chosen", StandIn)
    tasks.look_at_camera()
    shown = operator.get(CAMERA).json()
    assert (shown["backend"], shown["is_there"], shown["sentence"]) == (
        "rpicam", True, "imx708 by rpicam.",
    )  # fmt: skip
    assert shown["cameras"] == [{"number": "0", "name": "imx708"}]
    assert shown["checks"][1] == {
        "name": "permission", "is_ok": None, "sentence": "It could not be found out.",
        "advice": "Look in the log.",
    }  # fmt: skip
    assert shown["looked_at"] is not None
    assert NodeCamera.objects.get().found["address"] == "picamera:0"


def test_a_camera_that_is_gone_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise CaptureError("no_camera", "No camera was found.")

    monkeypatch.setattr(cameras, "look", lambda: Found("", [], []))
    monkeypatch.setattr(cameras, "chosen", gone)
    tasks.look_at_camera()
    row = NodeCamera.objects.get()
    assert (row.is_there, row.found["address"]) == (False, "")
    # It went between the look and the question.
    monkeypatch.setattr(cameras, "look", lambda: Found("rpicam", [("0", "imx708")], []))
    tasks.look_at_camera()
    assert NodeCamera.objects.get().found["address"] == ""


def test_whoever_asks_during_a_look_gets_what_that_one_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Impatience must not keep every thread of the worker looking for half a minute each."""
    looks: list[int] = []

    def look() -> Found:
        looks.append(1)
        tasks.look_at_camera()  # as another thread, meanwhile
        return Found("", [], [])

    monkeypatch.setattr(cameras, "look", look)
    for count in (1, 2):
        tasks.look_at_camera()
        assert len(looks) == count
