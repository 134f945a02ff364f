"""Sidecars, deletions, and rows and files that have lost each other."""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from clips import catalog, files, limits, policy, services
from clips.exceptions import ClipLockedError
from clips.models import Clip, ClipPolicy, State
from devices.models import Device
from tests.clips.clips import AT_MS, make_clip, names_on_disk
from tests.factories import make_device, make_recording
from tests.recordings.kept import FakeDisk

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
DAY_S = 24 * 3600


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


def row(clip: Clip) -> dict[str, Any]:
    """All of it but what is made anew."""
    values: dict[str, Any] = {**Clip.objects.filter(pk=clip.pk).values().get()}
    del values["ready_at"]
    return values


# --- a lost database ------------------------------------------------------------------------------


def test_a_lost_database_loses_no_clip(device: Device) -> None:
    clips = [
        make_clip(device, at_ms=AT_MS + n, name=f"Clip {n}", note="Grüße", is_locked=n == 1)
        for n in range(3)
    ]
    services.update(clip=clips[2], name="Parcel", note="left at the gate")
    before = [row(clip) for clip in clips]
    Clip.objects.all().delete()
    out = StringIO()
    call_command("reindexclips", stdout=out)
    assert "0 known, 3 found again, 0 left" in out.getvalue()
    # `size_bytes` is the file's own then.
    assert [row(clip) for clip in clips] == before
    call_command("reindexclips", stdout=out)
    assert "3 known, 0 found again" in out.getvalue()


def test_a_clip_of_a_camera_that_is_not_known_is_found_all_the_same(device: Device) -> None:
    clip = make_clip(device)
    device.delete()
    Clip.objects.all().delete()
    assert catalog.reindex().made == 1
    found = Clip.objects.get(pk=clip.pk)
    assert (found.device, found.device_name) == (None, "Front door")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"group": 7}', '{"created_at": "never"'])
def test_a_damaged_sidecar_is_left_alone(device: Device, text: str) -> None:
    clip = make_clip(device)
    files.path_of(clip.pk, ".json").write_text(text)
    Clip.objects.all().delete()
    report = catalog.reindex()
    assert (report.made, Clip.objects.count()) == (0, 0)
    assert len(names_on_disk()) == 3


def test_a_sidecar_without_its_video_is_no_clip(device: Device) -> None:
    clip = make_clip(device)
    files.path_of(clip.pk, ".mp4").unlink()
    Clip.objects.all().delete()
    assert catalog.reindex().made == 0


def test_the_sidecar_says_what_the_row_says(device: Device) -> None:
    clip = make_clip(device)
    services.update(clip=clip, name="Parcel", is_locked=True)
    stored = json.loads(files.path_of(clip.pk, ".json").read_text())
    assert (stored["name"], stored["is_locked"], stored["device_mac"]) == (
        "Parcel", True, device.mac,
    )  # fmt: skip


def test_a_change_that_cannot_be_stored_is_not_made(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(device)

    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "publish", refuse)
    with pytest.raises(OSError, match="No space"):
        services.update(clip=clip, name="Parcel")
    assert Clip.objects.get().name != "Parcel"
    assert not [name for name in names_on_disk() if name.endswith(".part")]


# --- deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["marked", "sidecar gone", "files gone"])
def test_a_deletion_that_was_broken_off_is_finished(device: Device, step: str) -> None:
    clip, other = make_clip(device), make_clip(device)
    catalog.mark(clip.pk, now=timezone.now())
    assert [one.pk for one in Clip.objects.kept()] == [other.pk]
    if step == "sidecar gone":
        files.path_of(clip.pk, ".json").unlink()
    if step == "files gone":
        files.remove(clip.pk)
    assert catalog.reindex().made == 0
    assert catalog.finish_interrupted() == 1
    assert [one.pk for one in Clip.objects.all()] == [other.pk]
    assert names_on_disk() == sorted(f"{other.pk}.{end}" for end in ("jpg", "json", "mp4"))


def test_a_lock_set_meanwhile_wins(device: Device) -> None:
    clip = make_clip(device)
    Clip.objects.update(is_locked=True)
    with pytest.raises(ClipLockedError):
        catalog.delete(clip.pk)
    assert len(names_on_disk()) == 3


def test_a_disk_that_refuses_keeps_the_clip_out_of_sight_and_tries_again(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(device)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", refuse)
        with pytest.raises(PermissionError):
            catalog.delete(clip.pk)
    assert not Clip.objects.kept().exists()
    catalog.finish_interrupted()
    assert names_on_disk() == []


# --- once a day -----------------------------------------------------------------------------------


def old(path: Path) -> Path:
    then = time.time() - 2 * DAY_S
    os.utime(path, (then, then))
    return path


def test_what_belongs_to_no_clip_goes_after_a_day(device: Device) -> None:
    clip = make_clip(device)
    stray, mine = uuid.uuid4(), settings.CLIPS_DIR / "notes.txt"
    mine.write_text("a person's own file")
    for path in (files.path_of(stray, ".mp4"), files.path_of(stray, ".mp4.part")):
        path.write_bytes(b"x")
        old(path)
    young = files.path_of(uuid.uuid4(), ".enc.part")
    young.write_bytes(b"x")
    old(mine)
    old(files.path_of(clip.pk, ".mp4"))
    catalog.clean_up()
    kept = [f"{clip.pk}.{end}" for end in ("jpg", "json", "mp4")]
    assert names_on_disk() == sorted([*kept, "notes.txt", young.name])


def test_clips_the_database_lost_are_found_again_not_deleted(device: Device) -> None:
    clip = make_clip(device)
    for suffix in files.SUFFIXES:
        old(files.path_of(clip.pk, suffix))
    Clip.objects.all().delete()
    report = catalog.clean_up()
    assert report.made == 1
    assert Clip.objects.get().pk == clip.pk
    assert len(names_on_disk()) == 3


def test_a_clip_whose_file_is_gone_says_so(device: Device) -> None:
    clips = [make_clip(device) for _ in range(6)]
    files.path_of(clips[0].pk, ".mp4").unlink()
    catalog.clean_up()
    clips[0].refresh_from_db()
    assert clips[0].state == State.FAILED
    assert "missing on disk" in clips[0].reason
    assert Clip.objects.filter(state=State.READY).count() == 5


def test_nothing_is_concluded_from_a_disk_that_is_not_there(device: Device) -> None:
    clips = [make_clip(device) for _ in range(6)]
    for clip in clips:
        files.path_of(clip.pk, ".mp4").unlink()
    report = catalog.clean_up()
    assert "Is the disk mounted?" in report.notes[0]
    assert Clip.objects.filter(state=State.READY).count() == 6


def test_a_sidecar_that_is_gone_is_written_again(device: Device) -> None:
    clip = make_clip(device)
    files.path_of(clip.pk, ".json").unlink()
    catalog.clean_up()
    Clip.objects.all().delete()
    assert catalog.reindex().made == 1


# --- limits ---------------------------------------------------------------------------------------


def hours_of(device: Device, number: int, **fields: Any) -> list[Clip]:
    """Oldest first."""
    return [make_clip(device, at_ms=AT_MS + 3_600_000 * n, **fields) for n in range(number)]


def left() -> list[uuid.UUID]:
    return list(Clip.objects.order_by("start_ms").values_list("pk", flat=True))


def test_the_oldest_go_when_there_are_too_many(device: Device) -> None:
    clips = hours_of(device, 5)
    policy.update(max_count=3)
    assert limits.keep_limits(disk=FakeDisk()) == 2
    assert left() == [clip.pk for clip in clips[2:]]
    assert len(names_on_disk()) == 9
    assert limits.keep_limits(disk=FakeDisk()) == 0


def test_the_oldest_go_when_they_take_too_much(device: Device) -> None:
    clips = hours_of(device, 5, size_bytes=100)
    policy.update(max_bytes=250)
    assert limits.keep_limits(disk=FakeDisk()) == 3
    assert left() == [clip.pk for clip in clips[3:]]


def test_locked_ones_and_those_to_come_never_go(device: Device) -> None:
    locked = make_clip(device, is_locked=True)
    coming = [
        make_clip(device, state=state) for state in (State.PENDING, State.RECORDING, State.CUTTING)
    ]
    make_clip(device)
    policy.update(max_count=1)
    limits.keep_limits(disk=FakeDisk())
    assert set(left()) == {locked.pk, *(clip.pk for clip in coming)}


def test_without_a_limit_all_stay(device: Device) -> None:
    hours_of(device, 3)
    ClipPolicy.objects.update_or_create(pk=1, defaults={"max_count": 0, "max_bytes": 0})
    assert limits.keep_limits(disk=FakeDisk()) == 0


def test_a_disk_that_is_nearly_full_takes_recordings_first(device: Device) -> None:
    clips = hours_of(device, 3, size_bytes=200_000_000)
    disk = FakeDisk(free=100_000_000)
    recording = make_recording(device, started_at=timezone.now() - timedelta(hours=9))
    assert limits.keep_limits(disk=disk) == 0
    recording.delete()
    assert limits.keep_limits(disk=disk) == 1
    assert left() == [clip.pk for clip in clips[1:]]


def test_nothing_goes_without_the_mark(device: Device) -> None:
    hours_of(device, 3)
    policy.update(max_count=1)
    assert limits.keep_limits(disk=FakeDisk(is_ours=False)) == 0
    assert len(left()) == 3
