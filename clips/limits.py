"""How many clips are kept: by count, by bytes, and none that would stop the recording."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Sum

from clips import catalog, policy
from clips.exceptions import ClipLockedError
from clips.models import Clip
from recordings.disk import DataDisk, Disk
from recordings.models import Recording
from recordings.retention import CRITICAL_BYTES

log = logging.getLogger(__name__)


def keep_limits(*, disk: Disk | None = None) -> int:
    """Every minute; returns how many clips were deleted.

    Oldest first, never a locked one nor one that is still to come. Only inside a marked directory,
    as all that deletes by itself.
    """
    disk = disk or DataDisk()
    if not settings.CLIPS_DIR.is_dir() or not disk.is_marked():
        return 0
    deleted = 0
    for clip, why in _due(disk):
        try:
            catalog.delete(clip.pk)
        except ClipLockedError:
            continue  # since it was chosen
        except OSError as error:
            log.warning("The clip %r cannot be deleted: %s", clip.name, error)
            continue
        deleted += 1
        log.warning("Deleted the clip %r (%d bytes): %s", clip.name, clip.size_bytes, why)
    return deleted


def _due(disk: Disk) -> Iterator[tuple[Clip, str]]:
    rules = policy.current()
    kept = Clip.objects.kept()
    count = kept.count()
    size_bytes: int = kept.aggregate(n=Sum("size_bytes"))["n"] or 0
    free_bytes = disk.free_bytes()
    # The newest video wins: but a clip was kept on purpose, so recordings that may go, go first.
    is_last_resort = free_bytes < CRITICAL_BYTES and not Recording.objects.deletable().exists()
    for clip in Clip.objects.deletable().order_by("start_ms", "pk").iterator(chunk_size=100):
        if 0 < rules.max_count < count:
            why = f"at most {rules.max_count} clips are kept."
        elif 0 < rules.max_bytes < size_bytes:
            why = f"clips may take {rules.max_bytes / 1e9:.1f} GB."
        elif is_last_resort and free_bytes < CRITICAL_BYTES:
            why = f"only {free_bytes / 1e6:.0f} MB were free, and no recording is left to delete."
        else:
            return
        count -= 1
        size_bytes -= clip.size_bytes
        free_bytes += clip.size_bytes
        yield clip, why
