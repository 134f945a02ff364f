"""The recording policy in force: the row edited in the browser, where the environment is silent."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from recordings.models import RecordingPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    retention_days: int
    max_bytes: int
    min_free_bytes: int
    encoder: str
    preset: str
    crf: int
    pre_roll_seconds: int


def current() -> Policy:
    """Reads the row; a new recorder without one has the model's defaults."""
    row = RecordingPolicy.objects.filter(pk=1).first() or RecordingPolicy()
    fixed = settings.NVR
    return Policy(
        retention_days=_either(fixed.retention_days, row.retention_days),
        max_bytes=row.max_bytes,
        min_free_bytes=row.min_free_bytes,
        encoder=row.encoder,
        preset=fixed.ffmpeg_preset or row.preset,
        crf=_either(fixed.ffmpeg_crf, row.crf),
        pre_roll_seconds=row.pre_roll_seconds,
    )


def _either(fixed: int | None, chosen: int) -> int:
    return chosen if fixed is None else fixed


def update(**changes: int | str) -> Policy:
    """Writes the given fields of the one row; values come validated, and not fixed from outside."""
    with transaction.atomic():
        row, _ = RecordingPolicy.objects.select_for_update().get_or_create(pk=1)
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes) or None)
    return current()
