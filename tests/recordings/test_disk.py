"""The mark and the ballast on a real directory; the full disk is in test_retention."""

from __future__ import annotations

from pathlib import Path

import pytest

from recordings.disk import BALLAST_BYTES, DataDisk


@pytest.fixture
def disk(tmp_path: Path) -> DataDisk:
    (tmp_path / "recordings").mkdir()
    return DataDisk(tmp_path, tmp_path / "recordings")


@pytest.mark.parametrize(
    ("name", "is_marked"),
    [(".roost", True), ("recordings/.roost", True), ("roost.sqlite3", False)],
)
def test_only_a_marked_directory_is_ours(
    disk: DataDisk, tmp_path: Path, name: str, is_marked: bool
) -> None:
    (tmp_path / name).touch()
    assert disk.is_marked() is is_marked


def test_the_ballast_takes_its_blocks_and_gives_them_back_once(disk: DataDisk) -> None:
    disk.restore_ballast()
    assert disk.ballast.stat().st_blocks * 512 >= BALLAST_BYTES
    assert disk.release_ballast()
    assert not disk.ballast.exists()
    assert not disk.release_ballast()


def test_a_ballast_that_cannot_be_made_leaves_nothing_behind(
    disk: DataDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recordings.disk.os.posix_fallocate", refuse)
    disk.restore_ballast()
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]
