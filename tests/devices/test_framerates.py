"""Frames a second by situation, as a setting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from devices import services
from devices.exceptions import BadConfig, UnknownDevice
from devices.framerates import validate_frame_rates
from devices.models import Device
from tests.devices.channel import listen
from tests.factories import make_device, make_source, make_user

pytestmark = pytest.mark.django_db
RATES = {"idle": 2, "watched": 10, "motion": 15}


@pytest.fixture(autouse=True)
def _files(data_dir: Path) -> Iterator[None]:
    yield


def patched(device: Device, role: str = "operator", **content: Any) -> Any:
    client = Client()
    client.force_login(make_user(role=role, cameras=[device]))
    path = f"/api/v1/devices/{device.pk}/"
    return client.patch(path, content, content_type="application/json")


@pytest.mark.parametrize(
    "rates",
    [
        {}, [], 5, "idle", True, {"idle": 2, "watched": 10}, RATES | {"night": 3},
        RATES | {"idle": 0}, RATES | {"idle": 31}, RATES | {"motion": True},
        RATES | {"watched": "10"}, RATES | {"idle": None}, RATES | {"idle": 2.0},
    ],
)  # fmt: skip
def test_what_are_no_three_rates_is_refused_by_name(rates: Any) -> None:
    with pytest.raises(BadConfig) as caught:
        validate_frame_rates(rates)
    assert caught.value.key == "frame_rates"
    device = make_device()
    response = patched(device, frame_rates=rates)
    assert response.status_code == 400
    assert list(response.json()) == ["frame_rates"]
    device.refresh_from_db()
    assert device.frame_rates is None


def test_they_are_kept_said_and_told_to_the_camera(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    device = make_device()
    next_message = listen(device)
    with django_capture_on_commit_callbacks(execute=True):
        document = patched(device, frame_rates=RATES).json()
    assert document["frame_rates"] == RATES
    message = next_message()
    assert (message["type"], message["frame_rates"]) == ("device.config", RATES)
    assert device.events.get().detail == "frames a second: idle 2, watched 10, motion 15"
    with django_capture_on_commit_callbacks(execute=True):
        assert patched(device, frame_rates=None).json()["frame_rates"] is None
    assert next_message()["frame_rates"] is None


def test_together_with_settings_the_camera_is_told_once(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    device = make_device()
    next_message = listen(device)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        patched(device, frame_rates=RATES, config={"quality": 20})
    message = next_message()
    assert (message["config"]["quality"], message["frame_rates"]) == (20, RATES)
    assert len(callbacks) == 1


def test_the_same_again_is_no_event() -> None:
    device = make_device()
    for _ in range(2):
        services.update_frame_rates(device_pk=device.pk, rates=RATES)
    assert device.events.count() == 1


def test_a_viewer_may_not(camera: Device) -> None:
    assert patched(camera, "viewer", frame_rates=RATES).status_code == 403


@pytest.fixture
def camera() -> Device:
    return make_device()


def test_a_camera_that_is_fetched_has_none() -> None:
    source = make_source()
    response = patched(source.device, frame_rates=RATES)
    assert response.status_code == 400
    assert "fetched" in response.json()["frame_rates"][0]


def test_an_unknown_device_is_said() -> None:
    with pytest.raises(UnknownDevice):
        services.update_frame_rates(device_pk=10**6, rates=RATES)
