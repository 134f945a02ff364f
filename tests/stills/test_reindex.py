"""Rows of captures from their files: a lost database, files that went by hand, a restored disk."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from PIL import Image

from stills import files, reindex
from stills.models import Capture, State
from tests.factories import make_capture
from tests.recordings.kept import FakeDisk
from tests.stills import captured

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
AT = datetime(2026, 11, 20, 13, 2, 10, tzinfo=UTC)


def lies_there(name: str, data: bytes = b"no picture", *, at: datetime = AT) -> Path:
    path = files.directory() / name
    path.write_bytes(data)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def rows() -> list[dict[str, Any]]:
    return [{**row} for row in Capture.objects.order_by("pk").values()]


def names() -> list[str]:
    return sorted(str(capture.filename) for capture in Capture.objects.all())


def previews() -> set[str]:
    place = settings.CAPTURES_DIR / ".previews"
    return {path.stem for path in place.iterdir()} if place.is_dir() else set()


def commanded(*arguments: str) -> str:
    out = StringIO()
    call_command("reindexcaptures", *arguments, stdout=out)
    return out.getvalue()


# --- files without a row --------------------------------------------------------------------------


def test_a_lost_database_loses_no_capture(tmp_path: Path) -> None:
    picture = captured.jpeg(captured.painted((320, 240)))
    lies_there("door.jpg", picture)
    lies_there("moon.dng", captured.raw(size=(64, 48)), at=AT + timedelta(minutes=1))
    scene = "testsrc2=size=160x120:rate=10"
    for number, kind in enumerate(("mp4", "h264"), start=2):
        made = captured.video(tmp_path / f"walk.{kind}", scene, frames=20)
        lies_there(f"walk.{kind}", made.read_bytes(), at=AT + timedelta(minutes=number))
    assert "0 known, 4 found again, 0 removed" in commanded()
    door, moon, walk, raw_walk = Capture.objects.order_by("created_at")
    assert [row.kind for row in (door, moon, walk, raw_walk)] == ["jpg", "dng", "mp4", "h264"]
    assert (door.state, door.filename, door.wanted_name) == (State.READY, "door.jpg", "door.jpg")
    assert (door.width, door.height, door.size_bytes) == (320, 240, len(picture))
    assert (door.created_at, door.finished_at, door.duration_ms) == (AT, AT, 0)
    assert (door.device, door.device_label) == (None, "")
    assert (walk.width, walk.height, walk.fps, walk.duration_ms) == (160, 120, 10, 2000)
    assert all(row.has_preview for row in (door, moon, walk, raw_walk))
    for row in (door, moon, walk, raw_walk):
        with Image.open(files.preview_path(row.pk)) as image:
            assert image.format == "JPEG"
    before = rows()
    assert "4 known, 0 found again, 0 removed" in commanded()
    assert rows() == before


def test_what_is_known_is_left_as_it_is() -> None:
    make_capture(created_by="anna", width=7)
    make_capture(state=State.FAILED)
    before = rows()
    assert "1 known, 0 found again" in commanded()
    assert rows() == before


def test_a_file_that_cannot_be_read_is_a_capture_without_a_picture() -> None:
    for kind in files.CONTENT_TYPES:
        lies_there(f"broken.{kind}")
    lies_there("empty.jpg", b"")
    report = reindex.reindex()
    assert (report.made, report.notes) == (5, [])
    assert not Capture.objects.filter(has_preview=True).exists()
    assert previews() == set()
    assert {row["width"] for row in rows()} == {0}


def test_only_files_that_could_be_captures_are_taken_for_them() -> None:
    for name in (".x.part", ".hidden.jpg", "notes.txt", "x.jpg.part"):
        lies_there(name)
    (files.directory() / "link.jpg").symlink_to("/etc/hostname")
    (files.directory() / "directory.jpg").mkdir()
    assert reindex.reindex().made == 0
    assert not Capture.objects.exists()


def test_a_name_that_no_row_can_hold_is_left_and_named() -> None:
    lies_there("x" * 200 + ".jpg")
    lies_there("line\nbreak.jpg")
    (Path(os.fsdecode(os.fsencode(files.directory()) + b"/\xff.jpg"))).write_bytes(b"x")
    lies_there("Tür 1.jpg")
    with pytest.raises(CommandError) as caught:
        commanded()
    assert str(caught.value).count("rename it") == 3
    assert names() == ["Tür 1.jpg"]


def test_a_file_of_the_future_is_of_now() -> None:
    lies_there("door.jpg", at=timezone.now() + timedelta(days=400))
    reindex.reindex()
    assert abs(Capture.objects.get().created_at - timezone.now()) < timedelta(seconds=60)


def test_what_is_being_published_in_this_moment_is_the_workers() -> None:
    """Its file may be there just before its row says so."""
    taking = make_capture(state=State.TAKING, started_at=timezone.now())
    path = lies_there("door.jpg")
    assert reindex.reindex().made == 0
    taking.become(State.READY, filename=path.name)
    assert reindex.reindex().right == 1


def test_a_file_from_before_is_found_whatever_is_being_taken() -> None:
    make_capture(state=State.TAKING, started_at=timezone.now() + timedelta(hours=1))
    lies_there("door.jpg")
    assert reindex.reindex().made == 1


def test_one_that_goes_while_it_is_looked_at_gets_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    path = lies_there("door.jpg", captured.jpeg(captured.painted((64, 48))))
    original = reindex._media

    def gone(*arguments: Any) -> Any:
        found = original(*arguments)
        path.unlink()
        return found

    monkeypatch.setattr(reindex, "_media", gone)
    assert reindex.reindex().made == 0
    assert not Capture.objects.exists()
    assert previews() == set()


def test_one_that_got_a_row_meanwhile_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lies_there("door.jpg", captured.jpeg(captured.painted((64, 48))))
    original = reindex._media

    def faster(*arguments: Any) -> Any:
        make_capture(filename="door.jpg", content=None, has_preview=False)
        return original(*arguments)

    monkeypatch.setattr(reindex, "_media", faster)
    assert reindex.reindex().made == 0
    assert Capture.objects.count() == 1
    assert previews() == set()


def test_without_a_directory_nothing_is_found_and_nothing_goes() -> None:
    make_capture(content=None)
    settings.CAPTURES_DIR.rmdir()
    report = reindex.reindex(is_forced=True)
    assert (report.made, report.removed, Capture.objects.count()) == (0, 0, 1)
    assert "not there" in report.notes[0]
    assert not settings.CAPTURES_DIR.exists()


# --- rows without a file --------------------------------------------------------------------------


def test_a_row_whose_file_was_deleted_by_hand_goes() -> None:
    kept, other, gone = (make_capture() for _ in range(3))
    (files.directory() / str(gone.filename)).unlink()
    assert "2 known, 0 found again, 1 removed" in commanded()
    assert set(Capture.objects.all()) == {kept, other}
    assert previews() == {str(kept.pk), str(other.pk)}


def test_a_row_that_has_no_file_yet_or_never_had_one_stays() -> None:
    for state in State:
        make_capture(state=state)
    assert reindex.reindex().removed == 0
    assert Capture.objects.count() == len(State)


def test_when_most_are_gone_the_disk_is_suspected() -> None:
    there = make_capture()
    for _ in range(2):
        make_capture(content=None)
    with pytest.raises(CommandError, match=r"2 of 3 captures have no file in .*--force"):
        commanded()
    assert Capture.objects.count() == 3
    assert "2 removed" in commanded("--force")
    assert Capture.objects.get() == there


def test_half_of_them_may_go() -> None:
    make_capture()
    make_capture(content=None)
    assert reindex.reindex().removed == 1


def test_on_a_disk_that_is_not_marked_no_row_goes() -> None:
    for _ in range(3):
        make_capture()
    make_capture(content=None)
    report = reindex.reindex(is_forced=True, disk=FakeDisk(is_ours=False))
    assert (report.removed, Capture.objects.count()) == (0, 4)
    assert "not marked" in report.notes[0]


def test_a_link_in_the_place_of_a_file_is_no_file() -> None:
    make_capture()
    replaced = make_capture(content=None)
    (files.directory() / str(replaced.filename)).symlink_to("/etc/hostname")
    assert reindex.reindex().removed == 1
    assert (files.directory() / str(replaced.filename)).is_symlink()  # somebody's; left


# --- previews -------------------------------------------------------------------------------------


def test_a_backup_without_previews_gets_them_again() -> None:
    capture = make_capture()
    (files.directory() / str(capture.filename)).write_bytes(
        captured.jpeg(captured.painted((64, 48)))
    )
    files.preview_path(capture.pk).unlink()
    broken = make_capture()
    files.preview_path(broken.pk).unlink()
    assert "Previews made again: 1." in commanded()
    assert files.preview_path(capture.pk).exists()
    broken.refresh_from_db()
    assert not broken.has_preview
    assert reindex.reindex().previews == 0


def test_a_preview_of_nothing_goes() -> None:
    capture = make_capture()
    stray = files.preview_path(capture.pk).with_name(
        "0" * 8 + "-0000-4000-8000-" + "0" * 12 + ".jpg"
    )
    stray.write_bytes(b"x")
    reindex.reindex()
    assert previews() == {str(capture.pk)}
