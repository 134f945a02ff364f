"""What this machine's camera is, as the worker beside it sees it, kept in a row for the pages."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.utils import timezone

from stills import cameras
from stills.cameras.protocol import Found
from stills.exceptions import CaptureError
from stills.models import NodeCamera

_looking = threading.Lock()


def look() -> None:
    """Takes up to half a minute; nothing while another thread of the worker is at it, which has
    others to do: that one's result is as good.
    """
    if not _looking.acquire(blocking=False):
        return
    try:
        _note_found(cameras.look())
    finally:
        _looking.release()


def _note_found(found: Found) -> None:
    note(
        backend=found.backend,
        is_there=found.is_there,
        sentence=found.sentence[:300],
        found={
            "address": _address() if found.is_there else "",
            "cameras": [list(camera) for camera in found.cameras],
            "checks": [
                {
                    "name": check.name,
                    "is_ok": check.is_ok,
                    "sentence": check.sentence,
                    "advice": check.advice,
                }
                for check in found.checks
            ],
        },
        looked_at=timezone.now(),
    )


def _address() -> str:
    """As sources have it; remembered from the look before. The web process only reads it."""
    try:
        return cameras.chosen().address
    except CaptureError:
        return ""


def note(**facts: Any) -> NodeCamera:
    """Of this machine's camera."""
    row, _ = NodeCamera.objects.update_or_create(node_id=settings.NVR.node_id, defaults=facts)
    return row
