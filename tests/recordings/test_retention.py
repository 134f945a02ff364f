"""What is deleted and, more important, what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from devices.models import Device, DeviceKey
from recordings import catalog, locks, retention
from recordings.models import Deletion, Recording, RecordingPolicy
from tests.factories import make_device, make_key
from tests.recordings.kept import MB, NOW, FakeDisk, is_kept, keep, path_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh(data_dir: Path) -> Iterator[None]:
    (data_dir / "retention.json").unlink(missing_ok=True)
    yield
    (data_dir / "retention.json").unlink(missing_ok=True)


def set_policy(**fields: Any) -> None:
    RecordingPolicy.objects.update_or_create(pk=1, defaults=fields)


def sweep(disk: FakeDisk | None = None, *, at: datetime = NOW) -> retention.Outcome:
    return retention.guard_disk(now=at, disk=disk or FakeDisk())


# --- the three rules --------------------------------------------------------------------------


def test_it_deletes_what_is_older_than_the_days_to_keep() -> None:
    device = make_device()
    kept = [keep(device, hours_ago=hours) for hours in range(1, 10)]
    old = keep(device, hours_ago=7 * 24 + 1)
    outcome = sweep()
    assert (outcome.deleted, outcome.deleted_bytes) == (1, MB)
    assert not is_kept(old)
    assert all(is_kept(recording) for recording in kept)
    deletion = Deletion.objects.get()
    assert (deletion.path, deletion.reason, deletion.size_bytes) == (old.path, "age", MB)
    assert deletion.detail == "Kept for 7 days"


def test_it_deletes_the_oldest_until_the_storage_limit_is_met() -> None:
    set_policy(max_bytes=18 * MB)
    device = make_device()
    recordings = [keep(device, hours_ago=hours) for hours in range(1, 21)]
    assert sweep().deleted == 2
    assert [is_kept(recording) for recording in recordings] == [True] * 18 + [False] * 2
    assert set(Deletion.objects.values_list("reason", flat=True)) == {"bytes"}


def test_it_deletes_the_oldest_until_the_floor_is_free() -> None:
    set_policy(min_free_bytes=1000 * MB)
    device = make_device()
    recordings = [keep(device, hours_ago=hours) for hours in range(1, 21)]
    assert sweep(FakeDisk(free=997 * MB)).deleted == 3
    assert [is_kept(recording) for recording in recordings] == [True] * 17 + [False] * 3


def test_nothing_goes_while_no_rule_bites() -> None:
    device = make_device()
    recordings = [keep(device, hours_ago=hours) for hours in range(1, 5)]
    assert sweep().deleted == 0
    assert all(is_kept(recording) for recording in recordings)


def test_the_environment_wins_over_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    set_policy(retention_days=30)
    recording = keep(make_device(), hours_ago=3 * 24)
    monkeypatch.setattr(settings, "NVR", replace(settings.NVR, retention_days=2))
    sweep()
    assert not is_kept(recording)


# --- what never goes --------------------------------------------------------------------------


def test_a_locked_recording_never_goes() -> None:
    set_policy(max_bytes=1, min_free_bytes=10**12)
    locked = keep(make_device(), hours_ago=1000, is_locked=True)
    outcome = sweep(FakeDisk(free=0))
    assert is_kept(locked)
    assert "nothing is left that may be deleted" in outcome.notes[-1]


def test_a_lock_beside_the_file_counts_when_the_database_lost_it() -> None:
    recording = keep(make_device(), hours_ago=1000)
    locks.set_lock_marker(path_of(recording), True)
    outcome = sweep()
    assert is_kept(recording)
    recording.refresh_from_db()
    assert recording.is_locked
    assert "locked" in outcome.notes[0]


def test_the_hour_that_is_being_recorded_never_goes() -> None:
    set_policy(min_free_bytes=10**12)
    recording = keep(make_device(), hours_ago=0.01)
    sweep(FakeDisk(free=0))
    assert is_kept(recording)


def test_devices_and_keys_are_never_touched() -> None:
    device = make_device(last_seen_at=NOW - timedelta(days=400))
    make_key(device)
    keep(device, hours_ago=1000)
    retention.clean_up(now=NOW, disk=FakeDisk())
    assert Recording.objects.count() == 0
    assert (Device.objects.count(), DeviceKey.objects.count()) == (1, 1)


def test_a_pass_deletes_a_fifth_at_most_and_then_pauses() -> None:
    device = make_device()
    for hours in range(100):
        keep(device, hours_ago=1000 + hours)
    first = sweep()
    assert first.deleted == 20
    assert "at most a fifth" in first.notes[0]
    assert sweep(at=NOW + timedelta(minutes=1)).deleted == 0
    assert sweep(at=NOW + timedelta(minutes=61)).deleted == 16
    oldest = Recording.objects.order_by("started_at").first()
    assert oldest is not None
    assert oldest.ended_at == NOW - timedelta(hours=1063)


def test_a_single_file_may_go_though_it_is_more_than_a_fifth() -> None:
    recording = keep(make_device(), hours_ago=1000)
    assert sweep().deleted == 1
    assert not is_kept(recording)


def test_the_floor_is_kept_though_age_pauses() -> None:
    set_policy(min_free_bytes=1000 * MB)
    device = make_device()
    for hours in range(100):
        keep(device, hours_ago=1000 + hours)
    sweep(FakeDisk(free=2000 * MB))
    again = sweep(FakeDisk(free=999 * MB), at=NOW + timedelta(minutes=1))
    assert again.deleted == 1
    assert Deletion.objects.filter(reason="free_space").count() == 1


def test_on_a_full_disk_the_newest_video_wins_over_the_share() -> None:
    device = make_device()
    recordings = [keep(device, hours_ago=hours, size=100 * MB) for hours in range(1, 11)]
    sweep(FakeDisk(free=10 * MB))  # the floor is 2 GiB
    # Up to the critical mark whatever it takes (3 files), no further than a fifth allows.
    assert [is_kept(recording) for recording in recordings] == [True] * 7 + [False] * 3
    assert "the newest video wins" in Deletion.objects.order_by("started_at")[0].detail


# --- what it refuses to believe ---------------------------------------------------------------


def test_it_deletes_nothing_without_the_mark() -> None:
    recording = keep(make_device(), hours_ago=1000)
    outcome = retention.clean_up(now=NOW, disk=FakeDisk(is_ours=False))
    assert is_kept(recording)
    assert "no .roost mark" in outcome.notes[0]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(1970, 1, 2, tzinfo=UTC), "which cannot be right"),
        (NOW - timedelta(hours=3), "there is video up to"),
    ],
)
def test_it_deletes_nothing_with_an_unsure_clock(at: datetime, words: str) -> None:
    set_policy(max_bytes=1)
    device = make_device()
    old, new = keep(device, hours_ago=1000), keep(device, hours_ago=1)
    outcome = retention.clean_up(now=at, disk=FakeDisk(free=0))
    assert is_kept(old)
    assert is_kept(new)
    assert words in outcome.notes[0]


def test_a_night_of_clock_change_is_no_doubt() -> None:
    device = make_device()
    old, _ = keep(device, hours_ago=1000), keep(device, hours_ago=0.1)
    sweep(at=NOW - timedelta(minutes=59))
    assert not is_kept(old)


def test_a_leap_ahead_is_believed_after_an_hour() -> None:
    old = keep(make_device(), hours_ago=6 * 24)
    sweep()
    ahead = NOW + timedelta(days=2)
    first = sweep(at=ahead)
    assert "the clock was at" in first.notes[0]
    sweep(at=ahead + timedelta(minutes=59))
    assert is_kept(old)
    sweep(at=ahead + timedelta(minutes=61))
    assert not is_kept(old)


def test_a_leap_ahead_and_back_deletes_nothing() -> None:
    old = keep(make_device(), hours_ago=6 * 24)
    for at in (NOW, NOW + timedelta(days=900), NOW + timedelta(minutes=2)):
        sweep(at=at)
    assert is_kept(old)


def test_the_pause_of_a_clock_that_ran_ahead_is_not_kept() -> None:
    old = keep(make_device(), hours_ago=1000)
    future = int((NOW + timedelta(days=900)).timestamp() * 1000)
    memory = {"passed_ms": future, "paused_until_ms": future + 3_600_000}
    (Path(settings.DATA_DIR) / "retention.json").write_text(json.dumps(memory))
    sweep()
    assert not is_kept(old)


def test_a_damaged_memory_is_as_none() -> None:
    (Path(settings.DATA_DIR) / "retention.json").write_text('{"passed_ms": "x"')
    assert retention.Memory.load() == retention.Memory()


def test_it_deletes_nothing_while_the_database_does_not_know_the_files() -> None:
    device = make_device()
    old = keep(device, hours_ago=1000)
    for hours in range(3):
        Recording.objects.filter(pk=keep(device, hours_ago=hours + 5).pk).delete()
    outcome = sweep()
    assert is_kept(old)
    assert "3 of 4 video files are not in the database" in outcome.notes[0]


def test_a_file_that_is_gone_is_not_counted_as_deleted() -> None:
    recording = keep(make_device(), hours_ago=1000)
    path_of(recording).unlink()
    assert sweep().deleted == 0
    assert Recording.objects.filter(deleting_since=None).count() == 1


def test_a_path_that_leads_elsewhere_is_never_unlinked(tmp_path: Path) -> None:
    precious = tmp_path / "12.mp4"
    precious.write_bytes(b"not ours")
    recording = keep(make_device(), hours_ago=1000)
    path_of(recording).unlink()
    path_of(recording).symlink_to(precious)
    sweep()
    retention.clean_up(now=NOW, disk=FakeDisk())
    assert precious.exists()


# --- disks and databases in trouble ---------------------------------------------------------------


def test_a_disk_that_refuses_leaves_the_recording_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = keep(make_device(), hours_ago=1000)

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(catalog, "_unlink", refuse)
    outcome = sweep()
    assert is_kept(recording)
    assert outcome.deleted == 0
    assert "Read-only file system" in outcome.notes[0]
    assert Deletion.objects.count() == 0


def test_a_database_without_room_gets_the_ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = keep(make_device(), hours_ago=1000)
    disk, real, calls = FakeDisk(), catalog.mark, []

    def full_once(*args: Any, **kwargs: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("database or disk is full")
        return real(*args, **kwargs)

    monkeypatch.setattr(retention, "mark", full_once)
    sweep(disk)
    assert not is_kept(recording)
    assert disk.ballast == ["released", "restored"]


# --- housekeeping -----------------------------------------------------------------------------


def test_empty_date_directories_go_and_young_ones_stay() -> None:
    device = make_device()
    root = Path(settings.RECORDINGS_DIR) / device.directory
    for day in ("2026-11-10", "2026-11-19", "2026-11-20"):
        (root / day).mkdir(parents=True)
    used = keep(device, hours_ago=24 * 4)
    retention.clean_up(now=NOW, disk=FakeDisk())
    left = sorted(path.name for path in root.iterdir())
    assert left == sorted({"2026-11-19", "2026-11-20", path_of(used).parent.name})


def test_old_deletions_are_forgotten() -> None:
    for days in (1, 91):
        at = NOW - timedelta(days=days)
        Deletion.objects.create(
            at=at, path="x", size_bytes=1, started_at=at, ended_at=at, reason="age"
        )
    retention.clean_up(now=NOW, disk=FakeDisk())
    assert Deletion.objects.count() == 1


def test_an_entry_without_its_file_goes() -> None:
    device = make_device()
    kept = [keep(device, hours_ago=hours) for hours in range(2, 12)]
    path_of(kept[3]).unlink()
    outcome = retention.clean_up(now=NOW, disk=FakeDisk())
    assert Recording.objects.count() == 9
    assert Deletion.objects.get().reason == "missing"
    assert kept[3].path in outcome.notes[0]


def test_entries_stay_when_half_the_files_are_gone() -> None:
    device = make_device()
    for hours in range(2, 12):
        recording = keep(device, hours_ago=hours)
        if hours % 2:
            path_of(recording).unlink()
    outcome = retention.clean_up(now=NOW, disk=FakeDisk())
    assert Recording.objects.kept().count() == 10
    assert "5 of 10 video files are missing" in outcome.notes[0]


# --- a disk that is really full ---------------------------------------------------------------

_ON_A_FULL_DISK = """
import os, django
django.setup()
from datetime import timedelta
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from recordings import retention
from recordings.disk import DataDisk
from recordings.models import Deletion, Recording, RecordingPolicy
from tests.recordings.kept import MB, NOW, FakeDisk, is_kept, keep, path_of
from tests.factories import make_device, make_recording

call_command("migrate", verbosity=0)
(settings.DATA_DIR / ".roost").touch()
RecordingPolicy.objects.create(min_free_bytes=20_000_000)
disk, device, now = DataDisk(), make_device(), timezone.now()
for directory in (settings.RUN_DIR, settings.RECORDINGS_DIR):
    directory.mkdir(exist_ok=True)
retention.guard_disk(disk=disk)
assert disk.ballast.stat().st_size == 32 * 1024**2, "no ballast"
for hours in range(20, 0, -1):
    start = now - timedelta(hours=hours + 1)
    recording = make_recording(device, started_at=start, seconds=3600, size_bytes=4_000_000)
    path = settings.RECORDINGS_DIR / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(4_000_000))
try:
    with (settings.DATA_DIR / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)) == 4096:
            pass
except OSError as error:
    print("filled:", error.strerror)
print("free before:", disk.free_bytes())
outcome = retention.guard_disk(disk=disk)
print("deleted:", outcome.deleted, "free:", disk.free_bytes(), outcome.notes)
assert disk.free_bytes() >= 20_000_000
newest = Recording.objects.order_by("-started_at")[0]
assert newest.ended_at > now - timedelta(hours=2)
assert Deletion.objects.count() == outcome.deleted == 20 - Recording.objects.count()
files = {p.relative_to(settings.RECORDINGS_DIR).as_posix()
         for p in Path(settings.RECORDINGS_DIR).rglob("*.mp4")}
assert files == set(Recording.objects.values_list("path", flat=True))
print("all is well")
"""


def test_a_full_disk_is_cleared_with_the_database_on_it(tmp_path: Path) -> None:
    """A tmpfs of 160 MB, filled to the last byte; SQLite and its log lie on it too."""
    command = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        run = subprocess.run(
            [sys.executable, "-c", _ON_A_FULL_DISK],
            env={**os.environ, "NVR_DATA_DIR": str(tmp_path)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    assert run.returncode == 0, run.stderr
    assert "filled: No space left on device" in run.stdout
    assert "free before: 0" in run.stdout
    assert run.stdout.endswith("all is well\n")
