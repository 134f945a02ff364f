"""Rows from files: every recording row can be rebuilt from what lies on disk, and nothing else.

Also the one place where a row and an `HourFile` are turned into each other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from re import compile as pattern

from django.conf import settings
from django.db import transaction

from devices.models import Device
from recordings import hourfile, locks
from recordings.exceptions import BadHourFileError
from recordings.hourfile import HourFile
from recordings.media import mp4
from recordings.models import Recording

logger = logging.getLogger(__name__)

_DEVICE_DIRECTORY = pattern(r"(?:[0-9A-F]{2}-){5}[0-9A-F]{2}\Z")


@dataclass(slots=True)
class Report:
    """Counts of one reindex."""

    devices_made: int = 0
    rows_made: int = 0
    rows_changed: int = 0
    rows_right: int = 0
    rows_removed: int = 0
    files_refused: int = 0
    devices_busy: int = 0


def file_of_row(row: Recording) -> HourFile:
    return HourFile(
        path=settings.RECORDINGS_DIR / row.path,
        init=mp4.Init(row.init_bytes, row.codecs, row.width, row.height),
        started_ms=_milliseconds(row.started_at),
        size_bytes=row.size_bytes,
        duration_ms=row.duration_ms,
        frame_count=row.frame_count,
        index=bytes(row.fragment_index),
    )


def save(device: Device, file: HourFile) -> tuple[Recording, bool]:
    """Write the row of a file; (row, whether it is new). Its own transaction."""
    parsed = hourfile.parse_path(file.path)
    assert parsed is not None  # noqa: S101  hour files are named by hourfile.hour_path
    day, hour, _ = parsed
    values = {
        "device": device,
        "date": day,
        "hour": hour,
        "started_at": _moment(file.started_ms),
        "ended_at": _moment(file.ended_ms),
        "size_bytes": file.size_bytes,
        "duration_ms": file.duration_ms,
        "frame_count": file.frame_count,
        "init_bytes": file.init.size_bytes,
        "codecs": file.init.codecs,
        "width": file.init.width,
        "height": file.init.height,
        "fragment_index": file.index,
    }
    # A lock set meanwhile is not touched: only a new row takes it from the marker.
    new_values = {**values, "is_locked": locks.has_lock_marker(file.path)}
    path = str(file.path.relative_to(settings.RECORDINGS_DIR))
    with transaction.atomic():
        return Recording.objects.update_or_create(
            path=path, defaults=values, create_defaults=new_values
        )


def reindex(only: str = "") -> Report:
    """All device directories, or the one named `only` (AA-BB-…). Running it again changes nothing.

    A device that is being packaged is left for the next run (`devices_busy`).
    """
    report = Report()
    for name in sorted(_directories()):
        if only and name != only:
            continue
        device, is_new = Device.objects.get_or_create(
            mac=name.replace("-", ":"),
            defaults={"registered_as": name.replace("-", ":"), "name": name.replace("-", ":")},
        )
        report.devices_made += is_new
        with hourfile.device_lock(settings.RUN_DIR, name) as is_ours:
            if is_ours:
                _reindex_device(device, report)
            else:
                report.devices_busy += 1
    return report


def _directories() -> set[str]:
    """Device directories with recordings, or with a spool that waits to be packaged."""
    found = set()
    for root in (settings.RECORDINGS_DIR, settings.SPOOL_DIR):
        if root.is_dir():
            found |= {entry.name for entry in root.iterdir() if entry.is_dir()}
    return {name for name in found if _DEVICE_DIRECTORY.match(name)}


def _reindex_device(device: Device, report: Report) -> None:
    seen = set()
    for path in _hour_files(settings.RECORDINGS_DIR / device.directory):
        try:
            file = hourfile.recover(path, None)
        except (BadHourFileError, OSError) as error:
            logger.warning("Left as it is: %s", error)
            report.files_refused += 1
            seen.add(str(path.relative_to(settings.RECORDINGS_DIR)))
            continue
        if file is None:
            continue
        name = str(path.relative_to(settings.RECORDINGS_DIR))
        seen.add(name)
        row = Recording.objects.filter(path=name).first()
        if row is not None and file_of_row(row) == file and row.device_id == device.pk:
            report.rows_right += 1
            continue
        save(device, file)
        if row is None:
            report.rows_made += 1
        else:
            report.rows_changed += 1
    stale = Recording.objects.filter(device=device, deleting_since=None).exclude(path__in=seen)
    report.rows_removed += stale.delete()[0]


def _hour_files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.glob("*/*.mp4")):
        if hourfile.parse_path(path) is not None:
            yield path


def _moment(epoch_ms: int) -> datetime:
    seconds, rest_ms = divmod(epoch_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=1000 * rest_ms)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
