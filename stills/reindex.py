"""Rows of captures and their files put in order, as after a lost database or a restored disk.

Of a file alone nobody knows which camera it is of or who asked for it; the rest is in it.
"""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from recordings.disk import DataDisk, Disk
from recordings.exceptions import RecordingError
from stills import analysis, files, previews
from stills.exceptions import FileMissingError
from stills.models import Capture, State

logger = logging.getLogger(__name__)

MAX_NAME = 160  # of the row
CLOCK_S = 5.0  # the disk's clock and ours, which may be set meanwhile
BY = "reindexcaptures"


@dataclass(slots=True)
class Report:
    """Counts of one run; `notes` are sentences about what was not done."""

    right: int = 0
    made: int = 0
    removed: int = 0
    previews: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)


def reindex(*, is_forced: bool = False, disk: Disk | None = None) -> Report:
    """May run at any time and as often as one likes. `is_forced`: however many files are gone."""
    report = Report()
    # In this order: a file that a worker publishes meanwhile has a row that is being taken, or one
    # that is ready; in any other it could be a file without a row.
    on_disk = dict(files.listed())
    new_since_s = _oldest_taken_s()
    known = set(Capture.objects.exclude(filename=None).values_list("filename", flat=True))
    for name, facts in sorted(on_disk.items(), key=lambda item: item[1].st_mtime):
        if name in known:
            report.right += 1
        elif facts.st_ctime < new_since_s:
            _adopt(name, facts, report)
    _forget_missing(report, is_forced=is_forced, disk=disk or DataDisk())
    _mend_previews(report)
    for note in report.notes:
        logger.warning("%s", note)
    return report


def _oldest_taken_s() -> float:
    taken = Capture.objects.filter(state=State.TAKING).exclude(started_at=None)
    began = taken.order_by("started_at").values_list("started_at", flat=True).first()
    return began.timestamp() - CLOCK_S if began else float("inf")


# --- files without a row --------------------------------------------------------------------------


def _adopt(name: str, facts: os.stat_result, report: Report) -> None:
    if len(name) > MAX_NAME or not name.isprintable():
        report.refused += 1
        text = f"{name[:40]!a} cannot be a capture's name and is left as it is: rename it."
        report.notes.append(text)
        return
    path = Path(settings.CAPTURES_DIR) / name
    kind = files.SUFFIXES[path.suffix]
    at = _written_at(facts)
    pk = uuid.uuid4()
    media = _media(path, kind)
    capture = Capture(
        pk=pk,
        kind=kind,
        state=State.READY,
        wanted_name=name[:150],
        filename=name,
        width=media.width,
        height=media.height,
        fps=round(media.fps or 0),
        duration_ms=media.duration_ms or 0,
        size_bytes=facts.st_size,
        has_preview=_make_preview(path, kind, pk),
        created_at=at,
        created_by=BY,
        finished_at=at,
    )
    try:
        files.existing(name)  # still
        with transaction.atomic():
            capture.save(force_insert=True)
    except (FileMissingError, IntegrityError):  # it has gone, or has a row now
        files.remove(pk, None)
        return
    report.made += 1


def _written_at(facts: os.stat_result) -> datetime:
    """Not in the future, where it would stay the newest for years."""
    now = timezone.now()
    try:
        return min(now, datetime.fromtimestamp(facts.st_mtime, UTC))
    except (OverflowError, ValueError, OSError):
        return now


def _media(path: Path, kind: str) -> analysis.Media:
    """Nothing of it where the file cannot be read: it is a capture all the same."""
    try:
        return analysis.Subject(path, kind).media
    except (
        analysis.AnalysisError, RecordingError, OSError, ValueError, SyntaxError, IndexError,
    ) as error:  # fmt: skip
        logger.warning("%s says nothing about itself: %s", path.name, error)
        return analysis.Media("", 0, 0)


# --- rows without a file --------------------------------------------------------------------------


def _forget_missing(report: Report, *, is_forced: bool, disk: Disk) -> None:
    """Many that are gone at once are more likely a disk that is not there."""
    place = Path(settings.CAPTURES_DIR)
    if not place.is_dir() or not disk.is_marked():
        report.notes.append(f"{place} is not there or not marked as the recorder's: no row goes.")
        return
    ready = list(Capture.objects.ready())
    missing = [capture for capture in ready if not _has_file(capture)]
    if 2 * len(missing) > len(ready) and not is_forced:
        report.notes.append(
            f"{len(missing)} of {len(ready)} captures have no file in {place}. Is the disk"
            " mounted? If they are really gone, say --force."
        )
        return
    for capture in missing:
        logger.warning("%s is gone from the disk, so its row goes, too", capture.filename)
        files.remove(capture.pk, None)
        capture.delete()
        report.removed += 1


def _has_file(capture: Capture) -> bool:
    try:
        files.existing(capture.filename or "")
    except FileMissingError:
        return False
    return True


# --- previews -------------------------------------------------------------------------------------


def _mend_previews(report: Report) -> None:
    """Makes those that are gone, and removes those of rows that are gone."""
    place = files.preview_path(uuid.UUID(int=0)).parent
    there = {path.stem: path for path in place.glob("*.jpg")} if place.is_dir() else {}
    for capture in Capture.objects.ready().filter(has_preview=True):
        if str(capture.pk) in there or not _has_file(capture):
            continue
        path = files.existing(capture.filename or "")
        if _make_preview(path, capture.kind, capture.pk):
            report.previews += 1
        else:
            Capture.objects.filter(pk=capture.pk).update(has_preview=False)
    rows = {str(pk) for pk in Capture.objects.values_list("pk", flat=True)}
    for stem in there.keys() - rows:
        there[stem].unlink(missing_ok=True)


def _make_preview(path: Path, kind: str, pk: uuid.UUID) -> bool:
    into = files.preview_path(pk)
    into.parent.mkdir(mode=0o700, exist_ok=True)
    return previews.make_preview(path, kind, into)
