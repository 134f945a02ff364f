"""The mark of a locked hour file, `<HH>.mp4.lock` beside it, so that a lock outlives the database."""

from __future__ import annotations

from pathlib import Path

from recordings.segments import sync_directory


def set_lock_marker(path: Path, is_locked: bool) -> None:
    """`path`: the hour file. Raises OSError; afterwards the mark is on disk, or gone from it."""
    marker = _marker(path)
    if is_locked == marker.exists():
        return
    if is_locked:
        marker.touch(mode=0o640)
    else:
        marker.unlink(missing_ok=True)
    sync_directory(marker.parent)


def has_lock_marker(path: Path) -> bool:
    return _marker(path).exists()


def _marker(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
