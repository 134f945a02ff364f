"""Locking and deleting recordings: the only code that removes an hour file.

A deletion is three steps, each safe to repeat after a crash: the row is marked, the file is
unlinked, then in one transaction a Deletion is written and the row removed. A marked row is shown
nowhere, and the next retention pass finishes what it finds marked.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from recordings import hourfile, locks, policy
from recordings.exceptions import (
    FileMissingError,
    RecordingError,
    RecordingInUseError,
    RecordingLockedError,
)
from recordings.models import Deletion, Recording
from recordings.playback import file_of, settling_time
from recordings.segments import sync_directory

log = logging.getLogger(__name__)

# Whatever a row says, nothing but an hour file is ever unlinked.
_HOUR_FILE = re.compile(r"(?:[0-9A-F]{2}-){5}[0-9A-F]{2}/\d{4}-\d\d-\d\d/\d\d(?:-\d+)?\.mp4")

_PACKAGING_CATCHES_UP = timedelta(days=1)


def deletable_before(now: datetime) -> datetime:
    """Video that ends later may still be appended to, or its segments are in the spool yet.

    Such a file is not deleted: the packager would take those segments for new ones.
    """
    return now - settling_time() - timedelta(seconds=policy.current().pre_roll_seconds)


def set_locked(*, pk: int, is_locked: bool) -> None:
    """Raises RecordingInUseError for a recording whose deletion has begun, or that is gone.

    The lock is also kept beside the file, so that it outlives the database.
    """
    with transaction.atomic():
        changed = Recording.objects.kept().filter(pk=pk).update(is_locked=is_locked)
        if not changed:
            raise RecordingInUseError("This recording is being deleted.")
        path = Recording.objects.values_list("path", flat=True).get(pk=pk)
        # Inside the transaction: where the disk refuses the mark, the row is not changed either.
        locks.set_lock_marker(settings.RECORDINGS_DIR / path, is_locked)


def delete(*, recording: Recording, person: Any = None, now: datetime | None = None) -> None:
    """Delete at a person's wish, whatever its age.

    `person` is None, a row of the user model or a program's principal (then the log alone names it).
    Raises RecordingLockedError, RecordingInUseError, and RecordingError where the disk refuses.
    """
    now = now or timezone.now()
    if recording.ended_at > deletable_before(now):
        raise RecordingInUseError(
            "This hour is still being recorded. Delete it a few minutes after it has ended."
        )
    if not mark([recording.pk], reason=Deletion.Reason.PERSON, now=now):
        if Recording.objects.filter(pk=recording.pk, is_locked=True).exists():
            raise RecordingLockedError
        raise RecordingInUseError("This recording is being deleted already.")
    is_row = person is not None and getattr(person, "pk", None) is not None
    finish(recording, reason=Deletion.Reason.PERSON, now=now, person=person if is_row else None)
    log.info("%s was deleted by %s", recording.path, person or "a person")


def mark(pks: Iterable[int], *, reason: str, now: datetime) -> int:
    """Number of rows marked. One statement, so a lock set meanwhile always wins."""
    rows = Recording.objects.deletable().filter(pk__in=list(pks))
    return rows.update(deleting_since=now, deleting_reason=reason)


def finish(
    recording: Recording, *, reason: str, now: datetime, detail: str = "", person: Any = None
) -> None:
    """Unlink the file of a marked row, write the Deletion, remove the row.

    Raises RecordingLockedError where a lock lies beside the file (the row is freed and locked), and
    RecordingInUseError or RecordingError where the packager is at it or the disk refuses (the row
    is freed: the video is still there).
    """
    if not _HOUR_FILE.fullmatch(recording.path):
        _free(recording, is_locked=False)
        raise RecordingError(f"{recording.path} is not the name of an hour file.")
    try:
        path = file_of(recording.path)
        if locks.has_lock_marker(path):
            _free(recording, is_locked=True)
            raise RecordingLockedError
        _unlink_unless_packaging(recording, path, now)
    except FileMissingError:
        pass  # unlinked before a crash, or gone by another hand: the row must go all the same
    except OSError as error:
        _free(recording, is_locked=False)
        raise RecordingError(
            f"{recording.path} cannot be deleted: {error.strerror or error}."
        ) from error
    with transaction.atomic():
        removed, _ = Recording.objects.filter(pk=recording.pk).delete()
        if removed:  # else another process finished the same deletion
            Deletion.objects.create(
                at=now,
                device_id=recording.device_id,
                path=recording.path,
                size_bytes=recording.size_bytes,
                started_at=recording.started_at,
                ended_at=recording.ended_at,
                reason=reason,
                detail=detail[:200],
                person=person,
            )


def finish_interrupted(now: datetime) -> int:
    """Deletions that a crash broke off are brought to their end; returns how many."""
    finished = 0
    for recording in Recording.objects.exclude(deleting_since=None).defer("fragment_index"):
        try:
            finish(
                recording,
                reason=recording.deleting_reason,
                now=now,
                detail="Finished after an interruption",
            )
        except RecordingError as error:
            log.warning("A deletion that was interrupted cannot be finished: %s", error)
        else:
            finished += 1
    return finished


def _unlink_unless_packaging(recording: Recording, path: Path, now: datetime) -> None:
    """A packager hours behind may still append to a file of today, so that needs its lock."""
    if recording.ended_at < now - _PACKAGING_CATCHES_UP:
        _unlink(path)
        return
    with hourfile.device_lock(settings.RUN_DIR, path.parent.parent.name) as is_ours:
        if not is_ours:
            _free(recording, is_locked=False)
            raise RecordingInUseError(
                f"Video of this camera is being packaged, {recording.path} was not deleted. "
                "Try again in a minute."
            )
        _unlink(path)


def _free(recording: Recording, *, is_locked: bool) -> None:
    fields: dict[str, Any] = {"deleting_since": None, "deleting_reason": ""}
    if is_locked:
        fields["is_locked"] = True
    Recording.objects.filter(pk=recording.pk).update(**fields)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)  # another process may be finishing the same deletion
    # The row goes next: after a power cut the file must not be back without one.
    sync_directory(path.parent)
