"""Recordings with a small file behind each row, for tests of what is deleted and what stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from devices.models import Device
from recordings.models import Recording
from tests.factories import make_recording

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MB = 1_000_000


@dataclass
class FakeDisk:
    """The disk's figures made up; the files are real."""

    free: int = 10**12
    is_ours: bool = True
    ballast: list[str] = field(default_factory=list)

    def free_bytes(self) -> int:
        return self.free

    def is_marked(self) -> bool:
        return self.is_ours

    def release_ballast(self) -> bool:
        self.ballast.append("released")
        return True

    def restore_ballast(self) -> None:
        self.ballast.append("restored")


def path_of(recording: Recording) -> Path:
    return Path(settings.RECORDINGS_DIR) / recording.path


def keep(device: Device, *, hours_ago: float, size: int = MB, **fields: Any) -> Recording:
    """An hour that ended `hours_ago`, with a small file behind its row."""
    end = NOW - timedelta(hours=hours_ago)
    fields = {"size_bytes": size, **fields}
    recording = make_recording(device, started_at=end - timedelta(hours=1), seconds=3600, **fields)
    path_of(recording).parent.mkdir(parents=True, exist_ok=True)
    path_of(recording).write_bytes(b"video")
    return recording


def is_kept(recording: Recording) -> bool:
    """Row and file must agree."""
    row = Recording.objects.filter(pk=recording.pk, deleting_since=None).exists()
    assert row == path_of(recording).exists()
    return row
