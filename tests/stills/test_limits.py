"""What captures may take on disk: the oldest of ours go, and nothing else ever does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from pytest_django import Settings

from stills import files, limits
from stills.exceptions import CaptureError
from stills.models import Capture, State
from tests.factories import make_capture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
NOW = timezone.now()


class OtherDisk:
    """One that does not bear the recorder's mark."""

    def free_bytes(self) -> int:
        return 0

    def is_marked(self) -> bool:
        return False

    def release_ballast(self) -> bool:
        return False

    def restore_ballast(self) -> None:
        return


@pytest.fixture(autouse=True)
def _ten_bytes_a_megabyte(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 bytes of raw pictures, 50 of everything else."""
    monkeypatch.setattr(limits, "MEGABYTE", 10)
    settings.NVR = replace(settings.NVR, node_storage_mb=3, captures_mb=5)


def make_raw(age_s: int = 0, size: int = 10) -> Capture:
    finished_at = NOW - timedelta(seconds=age_s)
    return make_capture(kind="dng", content=b"r" * size, finished_at=finished_at)


def put(name: str, size: int = 10) -> Path:
    """A file that no row knows."""
    path = files.directory() / name
    path.write_bytes(b"f" * size)
    return path


def left() -> set[str | None]:
    return set(Capture.objects.values_list("filename", flat=True))


def names(*captures: Capture) -> set[str | None]:
    return {capture.filename for capture in captures}


def test_what_fits_stays() -> None:
    captures = [make_raw(age) for age in range(3)]
    assert limits.keep_limits() == 0
    assert left() == names(*captures)


def test_the_oldest_go_until_the_rest_fits() -> None:
    newest, oldest, middle, second = make_raw(0), make_raw(40), make_raw(10), make_raw(30)
    previews = [files.preview_path(capture.pk) for capture in (newest, oldest)]
    assert limits.keep_limits() == 1
    assert left() == names(newest, middle, second) == {name for name, _ in files.listed()}
    assert [path.exists() for path in previews] == [True, False]
    make_raw(0, size=20)
    assert limits.keep_limits() == 2
    assert limits.raw_bytes() == 30


def test_raw_pictures_and_everything_else_have_a_limit_each() -> None:
    raws = [make_raw(age) for age in (100, 101, 102)]
    others = [make_capture(finished_at=NOW - timedelta(seconds=age)) for age in range(7)]
    assert limits.keep_limits() == 2
    assert left() == names(*raws, *others[:5])


def test_over_the_limit_with_foreign_files_alone_it_ends_and_touches_none() -> None:
    foreign = [put(f"capture_{number}.dng", 100) for number in range(3)]
    foreign += [put(f"{number}.jpg", 100) for number in range(3)]
    assert limits.keep_limits() == 0
    assert all(path.exists() for path in foreign)


def test_foreign_files_take_room_that_ours_give_back() -> None:
    foreign = put("foreign.dng", 25)
    make_raw(1)
    make_raw(2)
    assert limits.keep_limits() == 2
    assert foreign.exists()


def test_a_link_in_the_place_of_a_file_is_untouched_and_so_is_what_it_leads_to() -> None:
    target = settings.DATA_DIR / "precious.dng"
    target.write_bytes(b"p" * 100)
    try:
        captures = [make_raw(age) for age in range(5)]
        replaced = files.directory() / str(captures[4].filename)
        replaced.unlink()
        replaced.symlink_to(target)
        (files.directory() / "foreign.dng").symlink_to(target)
        assert limits.raw_bytes() == 40, "a link takes no room"
        assert limits.keep_limits() == 1
        assert left() == names(*captures[:3], captures[4])
        assert replaced.is_symlink()
        assert (files.directory() / "foreign.dng").is_symlink()
        assert target.read_bytes() == b"p" * 100
    finally:
        target.unlink()


def test_a_row_whose_file_has_gone_makes_no_room() -> None:
    gone = make_raw(50)
    (files.directory() / str(gone.filename)).unlink()
    captures = [make_raw(age) for age in range(4)]
    assert limits.keep_limits() == 1
    assert left() == names(gone, *captures[:3])


def test_what_is_not_finished_is_left_alone() -> None:
    put("foreign.dng", 100)
    for state in (State.WAITING, State.TAKING, State.FAILED, State.CANCELLED):
        make_capture(kind="dng", state=state)
    assert limits.keep_limits() == 0
    assert Capture.objects.count() == 4


def test_one_that_cannot_be_deleted_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other, *rest = (make_raw(age) for age in (50, 40, 0, 1))
    remove = files.remove

    def refusing(pk: object, name: str | None) -> None:
        if pk == stuck.pk:
            raise PermissionError(1, "Operation not permitted")
        remove(pk, name)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "remove", refusing)
    assert limits.keep_limits() == 1
    assert left() == names(stuck, *rest)
    assert other.filename not in left()


def test_the_one_just_taken_is_there_for_who_asked_however_little_fits() -> None:
    taken, older = make_raw(0, size=200), make_raw(9)
    assert limits.keep_limits(sparing=taken.pk) == 1
    assert left() == names(taken)
    assert older.filename not in {name for name, _ in files.listed()}
    assert limits.keep_limits() == 1, "it goes with the next look"


def test_nothing_is_deleted_on_a_disk_without_the_mark() -> None:
    for age in range(9):
        make_raw(age)
    assert limits.keep_limits(disk=OtherDisk()) == 0
    assert Capture.objects.count() == 9


def test_a_directory_that_is_not_there_is_empty() -> None:
    files.directory().rmdir()
    assert limits.raw_bytes() == 0
    assert limits.keep_limits() == 0


def test_nothing_is_taken_where_recording_needs_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limits.check_free_space()
    monkeypatch.setattr(limits, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(CaptureError, match="free on the disk") as caught:
        limits.check_free_space()
    assert caught.value.code == "disk_full"
