"""A camera given up together with its video is gone at once, and its files soon."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from devices import services
from devices.exceptions import RegistrationRefused
from devices.models import Device
from recordings import catalog
from recordings.models import Deletion, Recording
from recordings.removal import finish_removals
from recordings.tasks import finish_removals as task
from tests.factories import make_device, make_key, make_recording, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def record(device: Device, ended_at: datetime) -> tuple[Recording, Path]:
    recording = make_recording(device, started_at=ended_at - timedelta(minutes=1), seconds=60)
    path = settings.RECORDINGS_DIR / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    return recording, path


def test_its_files_go_locked_ones_too_and_then_its_row(now: datetime) -> None:
    device, kept = make_device(), make_device()
    _, path = record(device, now - timedelta(days=3))
    locked, locked_path = record(device, now - timedelta(days=4))
    catalog.set_locked(pk=locked.pk, is_locked=True)
    _, others = record(kept, now - timedelta(days=3))
    services.remove_device(device_pk=device.pk)
    assert finish_removals(now=now) == 1
    assert not path.exists()
    assert not locked_path.exists()
    assert others.exists()
    assert list(Device.objects.all()) == [kept]
    assert Deletion.objects.filter(reason=Deletion.Reason.PERSON).count() == 2


def test_it_waits_for_the_hour_that_may_still_be_appended_to(now: datetime) -> None:
    device = make_device()
    _, path = record(device, now)
    services.remove_device(device_pk=device.pk)
    assert finish_removals(now=now) == 0
    assert path.exists()
    assert finish_removals(now=now + timedelta(days=2)) == 1
    assert not path.exists()


def test_it_waits_for_what_is_left_in_the_spool(now: datetime) -> None:
    device = make_device()
    spool = settings.SPOOL_DIR / device.directory
    spool.mkdir(parents=True)
    segment = spool / "1800000000000.mkv"
    segment.write_bytes(b"")
    services.remove_device(device_pk=device.pk)
    assert finish_removals(now=now) == 0
    segment.unlink()
    assert finish_removals(now=now) == 1
    assert not spool.exists()


def test_a_camera_that_nobody_gave_up_is_left_alone(now: datetime) -> None:
    device = make_device()
    _, path = record(device, now - timedelta(days=3))
    assert finish_removals(now=now) == 0
    assert path.exists()
    assert Device.objects.filter(pk=device.pk).exists()


def test_it_is_out_of_sight_and_locked_out_at_once(client: Client) -> None:
    device = make_device(mac="AA:BB:CC:DD:EE:FF")
    key = make_key(device)
    make_recording(device)
    client.force_login(make_user(role="admin"))
    assert client.delete(f"/api/v1/devices/{device.pk}/?recordings=delete").status_code == 204
    for path in ("/api/v1/devices/", "/api/v1/recordings/"):
        assert client.get(path).json()["count"] == 0
    assert services.identify(key) is None
    with pytest.raises(RegistrationRefused, match="being deleted"):
        services.register(mac=device.mac)
    body = json.dumps({"deviceId": device.mac})
    assert client.post("/register", body, content_type="application/json").status_code == 403


def test_it_may_register_anew_afterwards(now: datetime) -> None:
    old = services.register(mac="AA:BB:CC:DD:EE:FF").device
    services.remove_device(device_pk=old.pk)
    finish_removals(now=now)
    assert services.register(mac="AA:BB:CC:DD:EE:FF").device.pk != old.pk


def test_beat_starts_it_by_the_name_that_the_worker_knows() -> None:
    assert task.name in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
