"""The admin: useful lists, and no way to orphan a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device
from recordings.models import Deletion, Recording, RecordingPolicy
from tests.factories import make_device, make_recording
from tests.recordings.hourfiles import make_indexed_hours

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)


@pytest.fixture
def admin(data_dir: Path) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def with_file(**fields: object) -> tuple[Recording, Path]:
    recording = make_recording(make_device(), **{"started_at": START, **fields})  # type: ignore[arg-type]
    path = Path(settings.RECORDINGS_DIR) / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    return recording, path


@pytest.mark.parametrize("model", ["recording", "deletion", "recordingpolicy"])
def test_every_list_opens_and_nothing_can_be_added(admin: Client, model: str) -> None:
    make_recording(make_device())
    assert admin.get(f"/admin/recordings/{model}/").status_code == 200
    assert admin.get(f"/admin/recordings/{model}/add/").status_code == 403


def test_the_list_reads_no_index_and_no_row_twice(admin: Client) -> None:
    counts = []
    for hours in (1, 30):
        make_indexed_hours(make_device(), START, hours)
        with CaptureQueriesContext(connection) as queries:
            admin.get("/admin/recordings/recording/?started_at__year=2026")
        counts.append(len(queries))
        assert not any("fragment_index" in query["sql"] for query in queries)
    assert counts[0] == counts[1]


def test_a_row_cannot_be_edited(admin: Client) -> None:
    recording, _ = with_file()
    page = f"/admin/recordings/recording/{recording.pk}/change/"
    assert admin.get(page).status_code == 200
    admin.post(page, {"path": "../x", "is_locked": "on"})
    recording.refresh_from_db()
    assert recording.path != "../x"


def test_deleting_one_takes_the_file(admin: Client) -> None:
    recording, path = with_file()
    admin.post(f"/admin/recordings/recording/{recording.pk}/delete/", {"post": "yes"})
    assert not path.exists()
    assert Deletion.objects.get().path == recording.path


def test_deleting_many_takes_their_files_and_leaves_the_locked(admin: Client) -> None:
    (one, one_path), (two, two_path) = with_file(), with_file(is_locked=True)
    answer = admin.post(
        "/admin/recordings/recording/",
        {"action": "delete_selected", "_selected_action": [one.pk, two.pk], "post": "yes"},
        follow=True,
    )
    assert not one_path.exists()
    assert two_path.exists()
    assert Recording.objects.get() == two
    assert "is locked" in answer.content.decode()
    assert "1 recordings were deleted" in answer.content.decode()


def test_deleting_many_asks_first(admin: Client) -> None:
    recording, path = with_file()
    selected = {"action": "delete_selected", "_selected_action": [recording.pk]}
    answer = admin.post("/admin/recordings/recording/", selected)
    assert "Are you sure" in answer.content.decode()
    assert path.exists()


def test_the_hour_being_recorded_stays(admin: Client) -> None:
    recording, path = with_file(started_at=timezone.now(), seconds=1)
    page = f"/admin/recordings/recording/{recording.pk}/delete/"
    assert admin.post(page, {"post": "yes"}).status_code == 403
    assert path.exists()
    assert Recording.objects.exists()


def test_deleting_a_camera_with_video_is_refused(admin: Client) -> None:
    recording, path = with_file()
    admin.post(f"/admin/devices/device/{recording.device_id}/delete/", {"post": "yes"})
    assert path.exists()
    assert Device.objects.filter(pk=recording.device_id).exists()


def test_many_are_locked_and_unlocked(admin: Client) -> None:
    recording, path = with_file()
    for action, wanted in (("lock", True), ("unlock", False)):
        selected = {"action": action, "_selected_action": [recording.pk]}
        admin.post("/admin/recordings/recording/", selected)
        recording.refresh_from_db()
        assert recording.is_locked is wanted
        assert path.with_name(path.name + ".lock").exists() is wanted


def test_deletions_cannot_be_changed(admin: Client) -> None:
    row = Deletion.objects.create(
        path="x", size_bytes=1, started_at=START, ended_at=START, reason="age"
    )
    admin.post(f"/admin/recordings/deletion/{row.pk}/delete/", {"post": "yes"})
    assert Deletion.objects.count() == 1


def test_the_policy_is_there_to_be_edited(admin: Client) -> None:
    admin.get("/admin/recordings/recordingpolicy/")
    assert RecordingPolicy.objects.get().pk == 1
