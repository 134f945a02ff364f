"""Locking and deleting: every step may be the last one before a crash."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

from devices.authentication import EnvironmentToken
from recordings import catalog, hourfile, locks, retention
from recordings.exceptions import RecordingError, RecordingInUseError, RecordingLockedError
from recordings.models import Deletion, Recording
from tests.factories import make_device, make_recording, make_user
from tests.recordings.kept import NOW, FakeDisk, is_kept, keep, path_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.mark.parametrize("path", ["../precious", "notes.txt", "{tmp}/precious"])
def test_only_hour_files_are_ever_unlinked(path: str, tmp_path: Path) -> None:
    path = path.format(tmp=tmp_path)
    target = Path(settings.RECORDINGS_DIR) / path
    target.write_bytes(b"x")
    recording = make_recording(make_device(), started_at=NOW - timedelta(days=30), path=path)
    retention.clean_up(now=NOW, disk=FakeDisk())
    assert target.exists()
    catalog.mark([recording.pk], reason="person", now=NOW)
    with pytest.raises(RecordingError, match="not the name of an hour file"):
        catalog.finish(recording, reason="person", now=NOW)
    target.unlink()  # so it was still there


class Crash(BaseException):
    """As SIGKILL: nothing of ours runs after it."""


@pytest.mark.parametrize(
    ("owner", "step"),
    [(catalog, "_unlink"), (Recording.objects, "filter"), (Deletion.objects, "create")],
    ids=["before the unlink", "after the unlink", "in the transaction"],
)
def test_a_crash_at_any_step_is_repeated_safely(
    owner: object, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = keep(make_device(), hours_ago=1000)

    def crash(*args: object, **kwargs: object) -> None:
        raise Crash

    assert catalog.mark([recording.pk], reason="age", now=NOW) == 1
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(owner, step, crash)
        catalog.finish(recording, reason="age", now=NOW)
    assert Recording.objects.count() == 1
    assert Recording.objects.kept().count() == 0
    assert catalog.finish_interrupted(NOW) == 1
    assert Recording.objects.count() == 0
    assert not path_of(recording).exists()
    assert [(d.path, d.reason) for d in Deletion.objects.all()] == [(recording.path, "age")]
    assert catalog.finish_interrupted(NOW) == 0


def test_a_person_deletes_what_is_over() -> None:
    recording, person = keep(make_device(), hours_ago=3), make_user(role="operator")
    catalog.delete(recording=recording, person=person, now=NOW)
    assert not is_kept(recording)
    deletion = Deletion.objects.get()
    assert (deletion.reason, deletion.person) == ("person", person)


def test_a_program_without_a_row_deletes_too() -> None:
    recording = keep(make_device(), hours_ago=3)
    catalog.delete(recording=recording, person=EnvironmentToken(), now=NOW)
    assert not is_kept(recording)
    assert Deletion.objects.get().person is None


def test_a_person_cannot_delete_what_is_locked_or_being_recorded() -> None:
    device = make_device()
    locked = keep(device, hours_ago=3, is_locked=True)
    growing = keep(device, hours_ago=0.01)
    with pytest.raises(RecordingLockedError):
        catalog.delete(recording=locked, now=NOW)
    with pytest.raises(RecordingInUseError, match="still being recorded"):
        catalog.delete(recording=growing, now=NOW)
    assert is_kept(locked)
    assert is_kept(growing)


def test_a_file_the_packager_is_at_is_left_alone() -> None:
    device = make_device()
    recording = keep(device, hours_ago=3)
    with hourfile.device_lock(settings.RUN_DIR, device.directory) as is_ours:
        assert is_ours
        with pytest.raises(RecordingInUseError, match="being packaged"):
            catalog.delete(recording=recording, now=NOW)
    assert is_kept(recording)
    catalog.delete(recording=recording, now=NOW)
    assert not is_kept(recording)


def test_a_lock_is_kept_beside_the_file_too() -> None:
    recording = keep(make_device(), hours_ago=3)
    catalog.set_locked(pk=recording.pk, is_locked=True)
    assert Recording.objects.get().is_locked
    assert locks.has_lock_marker(path_of(recording))
    catalog.set_locked(pk=recording.pk, is_locked=False)
    assert not locks.has_lock_marker(path_of(recording))
