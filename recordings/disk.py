"""The disk the video lies on: its free space, the mark that allows deleting, and the ballast."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Protocol

from django.conf import settings

log = logging.getLogger(__name__)

MARKER = ".roost"
BALLAST_BYTES = 32 * 1024**2


class Disk(Protocol):
    """What retention needs to know and do; tests put a disk of their own in its place."""

    def free_bytes(self) -> int: ...

    def is_marked(self) -> bool: ...

    def release_ballast(self) -> bool: ...

    def restore_ballast(self) -> None: ...


class DataDisk:
    """The file system below the recordings directory; blocking calls, for a worker's thread."""

    def __init__(self, data_dir: Path | None = None, recordings_dir: Path | None = None) -> None:
        self._recordings: Path = recordings_dir or settings.RECORDINGS_DIR
        self._data: Path = data_dir or settings.DATA_DIR

    @property
    def ballast(self) -> Path:
        return self._data / "ballast"

    def free_bytes(self) -> int:
        """Free to this process: what the file system reserves for root is not."""
        return shutil.disk_usage(self._recordings).free

    def is_marked(self) -> bool:
        """False where the directory is not ours, or is the empty mount point of a missing disk."""
        return any((place / MARKER).is_file() for place in (self._recordings, self._data))

    def release_ballast(self) -> bool:
        """Give the database room to write on a full disk, where even DELETE fails; once."""
        try:
            self.ballast.unlink()
        except FileNotFoundError:
            return False
        log.warning("The disk is full: the %d MB kept for this are free now", BALLAST_BYTES >> 20)
        return True

    def restore_ballast(self) -> None:
        """Blocks are really taken, not only promised; quietly tried again later where that fails."""
        if self.ballast.exists() or self.free_bytes() < 4 * BALLAST_BYTES:
            return
        part = self.ballast.with_suffix(".part")
        try:
            with part.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
            part.replace(self.ballast)
        except OSError as error:
            part.unlink(missing_ok=True)
            log.info("The ballast file cannot be made now: %s", error.strerror)
