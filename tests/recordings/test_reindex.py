"""Reindex: the files alone make every row again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from devices.models import Device
from recordings import locks, packager
from recordings.models import Recording
from recordings.reindex import reindex
from tests.factories import make_device
from tests.recordings.footage import every, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
START = 1_790_000_400_000


@pytest.fixture
def device() -> Device:
    """Three hour files: a growing one, a second one of the same hour, and the hour after."""
    device = make_device()
    spool = settings.SPOOL_DIR / device.directory
    write_segment(spool, every(100, 45, start_ms=START))
    write_segment(spool, every(100, 10, start_ms=START + 60_000), size=(320, 240))
    write_segment(spool, every(100, 10, start_ms=START + 3_600_000))
    packager.package(device)
    return device


def rows() -> list[dict[str, Any]]:
    """Everything but keys, in the order of time."""
    return [
        {**row, "id": 0, "device_id": 0, "fragment_index": bytes(row["fragment_index"])}
        for row in Recording.objects.order_by("started_at").values()
    ]


def test_lost_rows_come_back_the_same(device: Device) -> None:
    before = rows()
    assert len(before) == 3
    Recording.objects.all().delete()
    report = reindex()
    assert (report.rows_made, report.rows_right, report.devices_made) == (3, 0, 0)
    assert rows() == before
    again = reindex()
    assert (again.rows_made, again.rows_changed, again.rows_right) == (0, 0, 3)


def test_a_lost_database_loses_neither_cameras_nor_locks(device: Device) -> None:
    path = Recording.objects.order_by("started_at")[0].path
    locks.set_lock_marker(settings.RECORDINGS_DIR / path, is_locked=True)
    mac = device.mac
    Recording.objects.all().delete()
    Device.objects.all().delete()
    report = reindex()
    assert (report.devices_made, report.rows_made) == (1, 3)
    made = Device.objects.get()
    assert (made.mac, made.name, made.directory) == (mac, mac, mac.replace(":", "-"))
    assert [row.path for row in Recording.objects.filter(is_locked=True)] == [path]


def test_a_camera_with_video_in_the_spool_alone_is_made_too() -> None:
    write_segment(settings.SPOOL_DIR / "AA-BB-CC-00-00-09", every(100, 5, start_ms=START))
    assert reindex().devices_made == 1
    assert packager.package(Device.objects.get()).frames == 5


def test_other_directories_are_no_cameras(device: Device) -> None:
    (settings.RECORDINGS_DIR / "lost+found").mkdir()
    (settings.RECORDINGS_DIR / "aa-bb-cc-00-00-01").mkdir()
    assert reindex().devices_made == 0


def test_wrong_rows_are_put_right_and_rows_without_a_file_go(device: Device) -> None:
    before = rows()
    first, second, third = Recording.objects.order_by("started_at")
    Recording.objects.filter(pk=first.pk).update(size_bytes=5, frame_count=1, is_locked=True)
    Recording.objects.filter(pk=second.pk).update(fragment_index=b"")
    (settings.RECORDINGS_DIR / third.path).unlink()
    report = reindex()
    assert (report.rows_changed, report.rows_removed, report.rows_right) == (2, 1, 0)
    before[0]["is_locked"] = True  # a lock is never taken away
    assert rows() == before[:2]


def test_a_torn_tail_is_cut(device: Device) -> None:
    row = Recording.objects.order_by("started_at")[0]
    path = settings.RECORDINGS_DIR / row.path
    with path.open("ab") as file:
        file.write(b"\0\0\0torn")
    assert reindex().rows_right == 3
    assert path.stat().st_size == row.size_bytes


def test_a_foreign_file_is_left_and_counted(device: Device) -> None:
    day = Path(settings.RECORDINGS_DIR / Recording.objects.all()[0].path).parent
    (day / "03.mp4").write_bytes(b"somebody's own video")
    (day / "notes.mp4").write_bytes(b"not even named like one")
    report = reindex()
    assert (report.files_refused, report.rows_right) == (1, 3)
    assert (day / "03.mp4").exists()


def test_the_command_says_what_it_did(device: Device) -> None:
    other = make_device()
    Recording.objects.all().delete()
    out = io.StringIO()
    call_command("reindex", "--device", other.mac, stdout=out)
    assert "0 made" in out.getvalue()
    out = io.StringIO()
    call_command("reindex", "--device", device.mac.lower(), stdout=out)
    assert "3 made" in out.getvalue()
