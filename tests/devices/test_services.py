"""Configuration, commands and deletion."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.conf import settings
from pytest_django import DjangoCaptureOnCommitCallbacks

from devices import services
from devices.exceptions import (
    BadConfig,
    DeviceHasRecordings,
    NotConnected,
    NotDelivered,
    UnknownDevice,
)
from devices.models import (
    Device,
    DeviceEvent,
)
from devices.sensor import DEFAULT_CONFIG
from tests.devices.channel import listen
from tests.factories import make_device, make_key, make_recording


class BrokenLayer:
    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        raise OSError("connection refused")


@pytest.fixture
def broken_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.push.get_channel_layer", BrokenLayer)


def connect(device: Device) -> None:
    """Writes what the web process writes while a camera is connected."""
    now_ms = int(time.time() * 1000)
    facts = {"presence": "streaming", "since_ms": now_ms, "fps": 10.0, "is_recording": True}
    document = {"at_ms": now_ms, "pid": 1, "devices": {str(device.pk): facts}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(document))


@pytest.mark.django_db
class TestConfig:
    def test_a_change_is_merged_stored_whole_and_pushed_after_the_commit(
        self, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        device = make_device(config={})
        next_message = listen(device)
        with django_capture_on_commit_callbacks(execute=True):
            config = services.update_config(device_pk=device.pk, changes={"quality": 20})
        device.refresh_from_db()
        assert config == device.config == {**DEFAULT_CONFIG, "quality": 20}
        assert next_message() == {
            "type": "device.config", "config": config, "frame_rates": None,
        }  # fmt: skip

    def test_one_bad_value_changes_nothing(self) -> None:
        device = make_device()
        with pytest.raises(BadConfig) as caught:
            services.update_config(device_pk=device.pk, changes={"quality": 20, "framerate": 31})
        assert caught.value.key == "framerate"
        device.refresh_from_db()
        assert device.config == DEFAULT_CONFIG

    @pytest.mark.usefixtures("broken_broker")
    def test_a_broker_that_is_down_is_not_the_callers_error(
        self, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        device = make_device()
        with django_capture_on_commit_callbacks(execute=True) as callbacks:
            services.update_config(device_pk=device.pk, changes={"contrast": -2})
        assert len(callbacks) == 1
        device.refresh_from_db()
        assert device.config["contrast"] == -2

    def test_an_unknown_device_is_said(self) -> None:
        with pytest.raises(UnknownDevice):
            services.update_config(device_pk=10**30, changes={})


@pytest.mark.django_db
@pytest.mark.usefixtures("data_dir")
class TestCommand:
    def test_it_reaches_a_connected_camera(self) -> None:
        device = make_device()
        connect(device)
        next_message = listen(device)
        services.send_command(device_pk=device.pk, action="reboot")
        assert next_message() == {"type": "device.command", "action": "reboot"}
        assert DeviceEvent.objects.get().kind == DeviceEvent.Kind.COMMAND

    def test_it_refuses_a_camera_that_is_not_there(self) -> None:
        with pytest.raises(NotConnected):
            services.send_command(device_pk=make_device().pk, action="reboot")
        assert not DeviceEvent.objects.exists()

    @pytest.mark.usefixtures("broken_broker")
    def test_it_says_so_when_the_broker_is_down(self) -> None:
        device = make_device()
        connect(device)
        with pytest.raises(NotDelivered):
            services.send_command(device_pk=device.pk, action="sleep")

    def test_it_knows_four_actions(self) -> None:
        device = make_device()
        connect(device)
        with pytest.raises(BadConfig):
            services.send_command(device_pk=device.pk, action="format")


@pytest.mark.django_db
class TestDelete:
    def test_it_refuses_while_recordings_exist(self) -> None:
        device = make_device()
        make_recording(device)
        with pytest.raises(DeviceHasRecordings):
            services.delete_device(device_pk=device.pk)
        assert Device.objects.exists()

    def test_it_takes_keys_and_history_along(self) -> None:
        device = make_device()
        key = make_key(device)
        services.record_event(device_pk=device.pk, kind="connected")
        services.delete_device(device_pk=device.pk)
        assert services.identify(key) is None
        assert not DeviceEvent.objects.exists()
