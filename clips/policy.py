"""How much a clip holds and how many are kept: the row edited in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from clips.models import CameraWindow, ClipPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """`legacy_camera`: primary key of a device, or None."""

    before_seconds: int
    after_seconds: int
    max_count: int
    max_bytes: int
    legacy_camera: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """`is_default`: this camera has none of its own, and the policy's is in force."""

    before_seconds: int
    after_seconds: int
    is_default: bool


def current() -> Policy:
    """Reads the row; a new recorder without one has the model's defaults."""
    row = ClipPolicy.objects.filter(pk=1).first() or ClipPolicy()
    return Policy(
        row.before_seconds, row.after_seconds, row.max_count, row.max_bytes, row.legacy_camera_id
    )


def update(**changes: Any) -> Policy:
    """Writes the given fields of the one row; values come validated, `legacy_camera` as a Device."""
    with transaction.atomic():
        row, _ = ClipPolicy.objects.select_for_update().get_or_create(pk=1)
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes) or None)
    return current()


def windows(device_pks: list[int]) -> dict[int, Window]:
    """What is in force for each of these cameras; two queries."""
    rules = current()
    own = {row.device_id: row for row in CameraWindow.objects.filter(device__in=device_pks)}
    return {
        pk: Window(own[pk].before_seconds, own[pk].after_seconds, is_default=False)
        if pk in own
        else Window(rules.before_seconds, rules.after_seconds, is_default=True)
        for pk in device_pks
    }


def set_window(*, device_pk: int, before_seconds: int | None, after_seconds: int | None) -> Window:
    """Both None: as the policy says, from now on. Values come validated, one alone is refused
    before.
    """
    if before_seconds is None or after_seconds is None:
        CameraWindow.objects.filter(device=device_pk).delete()
    else:
        CameraWindow.objects.update_or_create(
            device_id=device_pk,
            defaults={"before_seconds": before_seconds, "after_seconds": after_seconds},
        )
    return windows([device_pk])[device_pk]
