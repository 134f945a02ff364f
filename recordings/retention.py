"""What is deleted, when and why: age, storage limit and free-space floor, oldest first.

Whichever bites first decides; locked recordings never go. A pass deletes only what database and
disk agree on, inside a marked directory, at most a fifth of what is kept, and nothing while the
clock or the database cannot be trusted (docs/design/playback.md lists what each doubt means).
Runs in the Celery worker: `guard_disk` every minute, `clean_up` at 02:00. Devices and their keys
are never touched here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import OperationalError
from django.db.models import Max, Sum
from django.utils import timezone

from recordings import policy
from recordings.catalog import deletable_before, finish, finish_interrupted, mark
from recordings.disk import DataDisk, Disk
from recordings.exceptions import FileMissingError, RecordingError
from recordings.models import Deletion, Recording
from recordings.playback import file_of

log = logging.getLogger(__name__)

MAX_SHARE = 0.2  # of the bytes kept, in one pass
CRITICAL_BYTES = 256 * 1024**2  # below this recording is about to stop: the share gives way
PAUSE_AFTER_LIMIT = timedelta(hours=1)  # so that a person can notice before the next fifth goes
EARLIEST_NOW = datetime(2026, 1, 1, tzinfo=UTC)  # this recorder did not exist before
MAX_BEHIND = timedelta(hours=1)  # of the newest recording: more than a night's clock change
MAX_AHEAD = timedelta(days=1)  # since the last pass: a machine switched off, or a wrong clock
PAUSE_AFTER_JUMP = timedelta(hours=1)  # long enough for the time service to put it right
KEEP_DELETIONS = timedelta(days=90)
UNKNOWN_SHARE = 0.2  # of the files on disk that the database may not know


@dataclass
class Outcome:
    """What one pass did; `notes` are sentences for the log and the system page."""

    deleted: int = 0
    deleted_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str, level: int = logging.WARNING) -> None:
        self.notes.append(sentence)
        log.log(level, "%s", sentence)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one pass tells the next, in `<data>/retention.json`: not in the database it doubts."""

    passed_ms: int = 0
    paused_until_ms: int = 0  # for age and the storage limit; the free-space floor is not paused

    @staticmethod
    def _path() -> Path:
        return Path(settings.DATA_DIR) / "retention.json"

    @classmethod
    def load(cls) -> Memory:
        try:
            stored = json.loads(cls._path().read_text())
            return cls(int(stored["passed_ms"]), int(stored["paused_until_ms"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self) -> None:
        """On a full disk the last one stays: the worst of it is one pass that is skipped."""
        part = self._path().with_suffix(".part")
        try:
            part.write_text(
                json.dumps({"passed_ms": self.passed_ms, "paused_until_ms": self.paused_until_ms})
            )
            part.replace(self._path())
        except OSError as error:
            log.warning("The time of this clean-up cannot be stored: %s", error.strerror)


def guard_disk(*, now: datetime | None = None, disk: Disk | None = None) -> Outcome:
    """Every minute. Never raises for what a disk or a database in trouble does: it says so."""
    now, disk, outcome = now or timezone.now(), disk or DataDisk(), Outcome()
    if not disk.is_marked():
        outcome.note(
            f"Nothing is deleted: {settings.RECORDINGS_DIR} has no .roost mark. "
            "Is the disk mounted?"
        )
        return outcome
    try:
        _pass(now, disk, outcome)
    except OperationalError as error:
        # On a full disk even DELETE fails: give the database some room, then try once more.
        if not disk.release_ballast():
            outcome.note(f"Nothing can be deleted, the database answers: {error}", logging.ERROR)
            return outcome
        try:
            _pass(now, disk, outcome)
        except OperationalError as again:
            outcome.note(f"Nothing can be deleted, the database answers: {again}", logging.ERROR)
            return outcome
    disk.restore_ballast()
    return outcome


def clean_up(*, now: datetime | None = None, disk: Disk | None = None) -> Outcome:
    """Once a day: a pass, then the housekeeping that need not be done every minute."""
    now, disk = now or timezone.now(), disk or DataDisk()
    outcome = guard_disk(now=now, disk=disk)
    if not disk.is_marked() or _doubt_of_clock(now):
        return outcome
    _forget_missing(now, outcome)
    _remove_empty_directories(now)
    Deletion.objects.filter(at__lt=now - KEEP_DELETIONS).delete()
    outcome.note(
        f"Clean-up: {outcome.deleted} recordings, {outcome.deleted_bytes / 1e6:.0f} MB deleted.",
        logging.INFO,
    )
    return outcome


def _pass(now: datetime, disk: Disk, outcome: Outcome) -> None:
    finish_interrupted(now)
    if doubt := _doubt_of_clock(now):
        outcome.note(f"Nothing is deleted: {doubt}")
        return
    memory = Memory.load()
    now_ms = int(now.timestamp() * 1000)
    last = datetime.fromtimestamp(memory.passed_ms / 1000, tz=UTC)
    if memory.passed_ms and now - last > MAX_AHEAD:
        Memory(now_ms, now_ms + _ms(PAUSE_AFTER_JUMP)).save()
        outcome.note(
            f"Nothing is deleted: the clock was at {last:%Y-%m-%d %H:%M} UTC in the last pass and "
            f"is at {now:%Y-%m-%d %H:%M} now. Age counts again in an hour if it stays."
        )
        return
    # A pause beyond its own length was written by a clock that ran ahead.
    paused_until_ms = memory.paused_until_ms
    is_paused = now_ms < paused_until_ms <= now_ms + _ms(PAUSE_AFTER_LIMIT)
    plan = Plan(now=now, free_bytes=disk.free_bytes(), is_paused=is_paused)
    chosen = plan.choose()
    if chosen and (doubt := _doubt_of_database()):
        outcome.note(f"Nothing is deleted: {doubt}", logging.ERROR)
        return
    for recording, reason, detail in chosen:
        _delete(recording, reason, detail, now, outcome)
    for sentence in plan.notes:
        outcome.note(sentence)
    if plan.is_limited and not is_paused:
        paused_until_ms = now_ms + _ms(PAUSE_AFTER_LIMIT)
    Memory(now_ms, paused_until_ms).save()


def _delete(
    recording: Recording, reason: str, detail: str, now: datetime, outcome: Outcome
) -> None:
    if not mark([recording.pk], reason=reason, now=now):
        return  # locked or deleted by a person since it was chosen
    try:
        finish(recording, reason=reason, now=now, detail=detail)
    except RecordingError as error:
        outcome.note(str(error))
        return
    outcome.deleted += 1
    outcome.deleted_bytes += recording.size_bytes
    label = Deletion.Reason(reason).label
    log.info("Deleted %s (%d bytes): %s. %s", recording.path, recording.size_bytes, label, detail)


class Plan:
    """Which recordings one pass deletes, oldest first, and why each."""

    def __init__(self, *, now: datetime, free_bytes: int, is_paused: bool) -> None:
        self.notes: list[str] = []
        self.is_limited = False
        self._now = now
        self._is_paused = is_paused
        self._rules = policy.current()
        self._cutoff = now - timedelta(days=self._rules.retention_days)
        self._free = free_bytes
        kept = Recording.objects.kept()
        self._kept: int = kept.aggregate(n=Sum("size_bytes"))["n"] or 0
        self._budget = int(self._kept * MAX_SHARE)

    def choose(self) -> list[tuple[Recording, str, str]]:
        chosen: list[tuple[Recording, str, str]] = []
        taken = 0
        for recording in self._candidates():
            reason = self._reason(recording)
            if reason is None:
                return chosen
            if not _is_on_disk(recording):
                continue  # they do not agree: `clean_up` looks into it
            is_critical = reason == Deletion.Reason.FREE_SPACE and self._free < CRITICAL_BYTES
            # One file may always go, or a recorder with few files would keep them for ever.
            if chosen and taken + recording.size_bytes > self._budget and not is_critical:
                self._limit(taken)
                return chosen
            chosen.append((recording, reason, self._detail(reason)))
            taken += recording.size_bytes
            self._kept -= recording.size_bytes
            self._free += recording.size_bytes
        if self._free < self._rules.min_free_bytes:
            self.notes.append(
                f"The disk has {self._free / 1e6:.0f} MB free, less than the "
                f"{self._rules.min_free_bytes / 1e6:.0f} MB to keep free, and nothing is left that "
                "may be deleted."
            )
        return chosen

    def _candidates(self) -> Iterator[Recording]:
        rows = Recording.objects.deletable().filter(ended_at__lte=deletable_before(self._now))
        return rows.defer("fragment_index").order_by("started_at", "pk").iterator(chunk_size=200)

    def _reason(self, recording: Recording) -> str | None:
        if not self._is_paused:
            if recording.ended_at <= self._cutoff:
                return Deletion.Reason.AGE
            if 0 < self._rules.max_bytes < self._kept:
                return Deletion.Reason.BYTES
        if self._free < self._rules.min_free_bytes:
            return Deletion.Reason.FREE_SPACE
        return None

    def _detail(self, reason: str) -> str:
        if reason == Deletion.Reason.AGE:
            return f"Kept for {self._rules.retention_days} days"
        if reason == Deletion.Reason.BYTES:
            return f"{self._kept / 1e9:.2f} GB of {self._rules.max_bytes / 1e9:.2f} GB were used"
        if self._free < CRITICAL_BYTES:
            return f"Only {self._free / 1e6:.0f} MB were free: the newest video wins"
        return f"{self._free / 1e9:.2f} GB were free, {self._rules.min_free_bytes / 1e9:.2f} GB is the floor"

    def _limit(self, taken: int) -> None:
        self.is_limited = True
        self.notes.append(
            f"More is due, but one pass deletes at most a fifth of what is kept ({taken / 1e6:.0f} "
            "MB now). Age and the storage limit count again in an hour, the free-space floor in a "
            "minute."
        )


def _doubt_of_clock(now: datetime) -> str:
    """A sentence where `now` cannot be right, else ""."""
    if now < EARLIEST_NOW:
        return f"the clock says {now:%Y-%m-%d}, which cannot be right."
    newest = Recording.objects.kept().aggregate(at=Max("ended_at"))["at"]
    if newest and now < newest - MAX_BEHIND:
        return (
            f"the clock says {now:%Y-%m-%d %H:%M} UTC, but there is video up to "
            f"{newest:%Y-%m-%d %H:%M} UTC."
        )
    return ""


def _doubt_of_database() -> str:
    """A sentence where many files are not in the database, as after a lost one; else ""."""
    on_disk = {
        path.relative_to(settings.RECORDINGS_DIR).as_posix()
        for path in Path(settings.RECORDINGS_DIR).glob("*/*/*.mp4")
    }
    unknown = len(on_disk.difference(Recording.objects.values_list("path", flat=True)))
    # A file made a moment ago has no row yet: one a camera is no sign of a lost database.
    if unknown > 2 and unknown > len(on_disk) * UNKNOWN_SHARE:
        return (
            f"{unknown} of {len(on_disk)} video files are not in the database. "
            "Run manage.py reindex."
        )
    return ""


def _is_on_disk(recording: Recording) -> bool:
    try:
        file_of(recording.path)
    except FileMissingError:
        return False
    return True


def _forget_missing(now: datetime, outcome: Outcome) -> None:
    """Rows whose file is gone, unless so many are that the disk rather than the rows is in doubt."""
    rows = list(
        Recording.objects.kept().filter(ended_at__lte=deletable_before(now)).defer("fragment_index")
    )
    missing = [row for row in rows if not _is_on_disk(row)]
    if len(missing) > max(1, len(rows) * MAX_SHARE):
        outcome.note(
            f"{len(missing)} of {len(rows)} video files are missing. Is the whole disk there? "
            "Their entries are kept."
        )
        return
    for row in missing:
        Recording.objects.filter(pk=row.pk).update(
            is_locked=False, deleting_since=now, deleting_reason=Deletion.Reason.MISSING
        )
        try:
            finish(row, reason=Deletion.Reason.MISSING, now=now)
        except RecordingError as error:
            outcome.note(str(error))
        else:
            outcome.note(f"{row.path} is missing on disk, so its entry was removed.")


def _remove_empty_directories(now: datetime) -> None:
    """Date directories, not those of the last two days: the packager may be about to use one."""
    newest = f"{timezone.localtime(now) - timedelta(days=2):%Y-%m-%d}"
    for directory in Path(settings.RECORDINGS_DIR).glob("*/????-??-??"):
        if directory.name < newest and directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
