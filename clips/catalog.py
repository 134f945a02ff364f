"""What becomes of a clip after it was cut: its sidecar, its deletion, and rows and files that have
lost each other.

Deleting is safe to repeat at every step: the row is marked and shown nowhere, the files go, then
the row. A worker that is cutting the clip meanwhile notices at its last step and ends the same way.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from clips import files
from clips.exceptions import ClipFileMissingError, ClipLockedError
from clips.models import Clip, State
from devices.models import Device

log = logging.getLogger(__name__)

STRAY_KEPT_SECONDS = 24 * 3600
MAX_MISSING_SHARE = 0.2  # more of the files gone: it is the disk rather than the rows that is wrong

_STORED = (
    "group", "kind", "trigger_ms", "start_ms", "end_ms", "actual_start_ms", "actual_end_ms",
    "reason", "name", "note", "is_locked", "duration_ms", "width", "height", "codecs", "has_audio",
    "created_at", "created_by", "device_mac", "device_label",
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """Counts of one reindex or clean-up; `notes` are sentences."""

    made: int = 0
    right: int = 0
    refused: int = 0
    missing: int = 0
    notes: list[str] = field(default_factory=list)


def store(clip: Clip) -> None:
    """Writes what only the row knows beside the video. Raises OSError."""
    facts: dict[str, Any] = {name: getattr(clip, name) for name in _STORED}
    facts |= {"group": str(clip.group), "created_at": clip.created_at.isoformat()}
    files.write_sidecar(clip.pk, facts)


def mark(clip_pk: uuid.UUID, *, now: datetime) -> None:
    """Raises ClipLockedError. One statement, so that a lock set meanwhile always wins."""
    rows = Clip.objects.filter(pk=clip_pk)
    if not rows.kept().filter(is_locked=False).update(deleting_since=now) and (
        rows.kept().filter(is_locked=True).exists()
    ):
        raise ClipLockedError


def finish(clip_pk: uuid.UUID) -> bool:
    """Removes files and row of a marked clip; False where a worker is at it, which ends it then.

    Raises OSError: it stays marked and the next pass tries again.
    """
    with files.lock(clip_pk) as is_ours:
        if is_ours:
            remove(clip_pk)
    return is_ours


def remove(clip_pk: uuid.UUID) -> None:
    """Files, then the row, if it is marked; the caller holds the clip's lock. Raises OSError."""
    files.remove(clip_pk)
    Clip.objects.filter(pk=clip_pk).exclude(deleting_since=None).delete()


def finish_interrupted() -> int:
    """Deletions that a crash or a busy worker left; returns how many are done now."""
    finished = 0
    for clip_pk in Clip.objects.exclude(deleting_since=None).values_list("pk", flat=True):
        try:
            finished += finish(clip_pk)
        except OSError as error:
            log.warning("A clip cannot be deleted: %s", error)
    return finished


def reindex() -> Report:
    """Rows for files that have none; running it again changes nothing. What a row says is kept."""
    report = Report()
    known = set(Clip.objects.values_list("pk", flat=True))
    for clip_pk, facts in files.read_sidecars():
        if clip_pk in known:
            report.right += 1
            continue
        try:
            _adopt(clip_pk, facts)
        except (KeyError, TypeError, ValueError, OSError) as error:
            log.warning("The clip %s is left as it is: %s", clip_pk, error)
            report.refused += 1
        else:
            report.made += 1
    return report


def clean_up() -> Report:
    """Once a day: what files and rows have lost of each other is put right where that is sure."""
    report = reindex()
    known = set(Clip.objects.values_list("pk", flat=True))
    for path in files.strays(known, older_than_s=time.time() - STRAY_KEPT_SECONDS):
        log.warning("Removed %s, which belongs to no clip", path.name)
        path.unlink(missing_ok=True)
    _forget_missing(report)
    _store_missing()
    if report.made:
        report.notes.append(f"{report.made} clips on disk were not in the database; now they are.")
    for note in report.notes:
        log.warning("%s", note)
    return report


def _adopt(clip_pk: uuid.UUID, facts: dict[str, Any]) -> None:
    """Raises KeyError, TypeError, ValueError for nonsense."""
    values = {name: facts[name] for name in _STORED}
    created_at = parse_datetime(values["created_at"])
    if created_at is None:
        raise ValueError("its time is none")
    values |= {"group": uuid.UUID(values["group"]), "created_at": created_at}
    video = files.existing_or_none(clip_pk, ".mp4")
    if video is None:
        raise ValueError("its video is gone")
    clip = Clip(
        pk=clip_pk,
        device=Device.objects.filter(mac=values["device_mac"]).first(),
        state=State.READY,
        ready_at=created_at,
        size_bytes=video.stat().st_size,
        has_thumbnail=files.existing_or_none(clip_pk, ".jpg") is not None,
        **values,
    )
    with transaction.atomic():
        clip.save(force_insert=True)


def _forget_missing(report: Report) -> None:
    """A ready clip without its file says so, unless so many are that the disk is in doubt."""
    ready = list(Clip.objects.kept().filter(state=State.READY))
    missing = [clip for clip in ready if files.existing_or_none(clip.pk, ".mp4") is None]
    if len(missing) > max(1, len(ready) * MAX_MISSING_SHARE):
        report.notes.append(
            f"{len(missing)} of {len(ready)} clips are missing in {settings.CLIPS_DIR}. "
            "Is the disk mounted?"
        )
        return
    for clip in missing:
        reason = str(ClipFileMissingError())
        clip.become(State.FAILED, reason=reason, size_bytes=0, due_ms=None)
        report.missing += 1
        report.notes.append(f"{clip.name}: {reason}")


def _store_missing() -> None:
    """A sidecar that somebody removed: without it a lost database would lose the clip."""
    for clip in Clip.objects.kept().filter(state=State.READY):
        if files.existing_or_none(clip.pk, ".json") is None and (
            files.existing_or_none(clip.pk, ".mp4") is not None
        ):
            store(clip)


def delete(clip_pk: uuid.UUID, *, now: datetime | None = None) -> None:
    """Raises ClipLockedError; OSError where the disk refuses: it is out of sight all the same."""
    mark(clip_pk, now=now or timezone.now())
    finish(clip_pk)
