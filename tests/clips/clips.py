"""Rows and small files for tests of what is done with clips; real video is in test_cutter."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from clips import catalog, files
from clips.models import Clip, State
from devices.models import Device
from recordings.timeline import to_ms

AT = datetime(2026, 11, 20, 13, 2, 10, tzinfo=UTC)
AT_MS = to_ms(AT)
LIST = "/api/v1/clips/"


def make_clip(device: Device, *, at_ms: int = AT_MS, with_file: bool = True, **fields: Any) -> Clip:
    """A ready clip of a minute with a small file, or one in any other `state` without."""
    values: dict[str, Any] = {
        "device_mac": device.mac,
        "device_label": device.name,
        "group": uuid.uuid4(),
        "trigger_ms": at_ms,
        "start_ms": at_ms - 30_000,
        "end_ms": at_ms + 30_000,
        "actual_start_ms": at_ms - 30_000,
        "actual_end_ms": at_ms + 30_000,
        "duration_ms": 60_000,
        "state": State.READY,
        "name": f"{device.name}, 20 Nov 14:02:10",
        "size_bytes": 10,
        "width": 800,
        "height": 600,
        "codecs": "avc1.42c01f",
        "has_thumbnail": True,
        "created_by": "anna",
    }
    clip = Clip.objects.create(device=device, **{**values, **fields})
    if clip.is_ready and with_file:
        files.directory()
        files.path_of(clip.pk, ".mp4").write_bytes(b"0123456789")
        files.path_of(clip.pk, ".jpg").write_bytes(b"\xff\xd8picture\xff\xd9")
        catalog.store(clip)
    return clip


def names_on_disk() -> list[str]:
    return sorted(path.name for path in settings.CLIPS_DIR.iterdir())


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def get(client: Client, path: str, **headers: str) -> Any:
    """The answer with its file closed, as the server does when it has sent it."""
    answer = client.get(path, headers=headers)
    answer.close()
    return answer
