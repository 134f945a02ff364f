"""How much captures may take on disk: raw pictures and everything else have a limit of their own.

The camera node's clients know theirs (`storage.limit_mb` of `/status`). The oldest go first, and
only what this recorder took itself: a file that no row knows is somebody else's.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Mapping

from django.conf import settings

from recordings.disk import DataDisk, Disk
from stills import files, nodelog
from stills.exceptions import CaptureError
from stills.models import Capture, CaptureQuerySet, Kind

logger = logging.getLogger(nodelog.LOGGER)  # its clients read what became of their pictures

MEGABYTE = 1024 * 1024
LEAST_FREE_BYTES = 100 * MEGABYTE  # recording comes first


def raw_bytes() -> int:
    return sum(facts.st_size for name, facts in files.listed() if name.endswith(".dng"))


def keep_limits(*, sparing: uuid.UUID | None = None, disk: Disk | None = None) -> int:
    """Before and after every capture, and every ten seconds; returns how many were deleted.

    `sparing`: the capture just taken, whose file somebody waits for, however little fits.
    """
    if not (disk or DataDisk()).is_marked():
        return 0
    ready = Capture.objects.ready()
    if sparing is not None:
        ready = ready.exclude(pk=sparing)
    raws, others = ready.filter(kind=Kind.DNG), ready.exclude(kind=Kind.DNG)
    sizes = {name: facts.st_size for name, facts in files.listed()}
    raw_total = sum(size for name, size in sizes.items() if name.endswith(".dng"))
    limit = settings.NVR.node_storage_mb * MEGABYTE
    deleted = _shrink(raws, sizes, raw_total - limit, "more raw pictures")
    limit = settings.NVR.captures_mb * MEGABYTE
    excess = sum(sizes.values()) - raw_total - limit
    return deleted + _shrink(others, sizes, excess, "more captures")


def check_free_space() -> None:
    """Raises CaptureError("disk_full")."""
    free = shutil.disk_usage(files.directory()).free
    if free < LEAST_FREE_BYTES:
        text = f"Only {free // MEGABYTE} MB are free on the disk, which recording needs."
        raise CaptureError("disk_full", text)


def _shrink(captures: CaptureQuerySet, sizes: Mapping[str, int], excess: int, what: str) -> int:
    """`sizes`: of the files on disk. Ends where nothing of ours is left to delete, too."""
    if excess <= 0:
        return 0
    deleted = 0
    for capture in captures.order_by("finished_at", "pk").iterator(chunk_size=100):
        name = capture.filename or ""
        if name not in sizes:  # it frees nothing: the file is gone, or a link stands in its place
            continue
        try:
            files.remove(capture.pk, name)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", name, error)
            continue
        capture.delete()
        deleted += 1
        logger.warning("Deleted %s (%d bytes): %s than allowed", name, sizes[name], what)
        excess -= sizes[name]
        if excess <= 0:
            break
    return deleted
