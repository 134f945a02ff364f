"""Rows for tests, with defaults that are valid and distinct."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone

from devices import sources
from devices.keys import key_hash, new_key
from devices.models import ApiToken, Device, DeviceKey, Node, Source
from devices.sensor import DEFAULT_CONFIG
from recordings.models import Recording
from stills import files as captured
from stills.models import UNFINISHED, Analysis, Capture, Kind, State

_numbers = itertools.count(1)
PASSWORD = "a password for tests"


def make_mac() -> str:
    number = next(_numbers)
    return f"AA:BB:CC:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"


def make_device(
    *, mac: str = "", name: str = "", people: Iterable[User] = (), **fields: Any
) -> Device:
    """An approved ESP32-CAM with the default configuration."""
    mac = mac or make_mac()
    fields.setdefault("registered_as", mac)
    fields.setdefault("config", dict(DEFAULT_CONFIG))
    device = Device.objects.create(mac=mac, name=name or f"Camera {mac[-5:]}", **fields)
    device.people.set(people)
    return device


def make_key(device: Device, **fields: Any) -> str:
    """The key in clear, as the camera would hold it."""
    key = new_key()
    DeviceKey.objects.create(device=device, key_hash=key_hash(key), **fields)
    return key


def make_source(
    *,
    url: str = "",
    name: str = "",
    people: Iterable[User] = (),
    node: Node | None = None,
    is_enabled: bool = True,
    **wish: Any,
) -> Source:
    """A pulled camera with its device; `wish` as `sources.checked` takes it."""
    number = next(_numbers)
    wanted = sources.checked(url=url or f"rtsp://camera{number}.example/live", **wish)
    source = sources.create_source(name=name or f"Pulled {number}", wish=wanted, node=node)
    source.device.people.set(people)
    if not is_enabled:
        source = sources.update_source(source_pk=source.pk, changes={}, is_enabled=False)
    return source


def make_recording(
    device: Device, *, started_at: datetime | None = None, seconds: float = 60.0, **fields: Any
) -> Recording:
    """A row only: no file lies behind it. `date`, `hour` and `path` follow from `started_at`."""
    start = started_at or datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
    local = timezone.localtime(start)
    values: dict[str, Any] = {
        "path": f"{device.directory}/{local:%Y-%m-%d}/{local:%H}.mp4",
        "date": local.date(),
        "hour": local.hour,
        "started_at": start,
        "ended_at": start + timedelta(seconds=seconds),
        "size_bytes": int(seconds * 100_000),
        "duration_ms": int(seconds * 1000),
        "frame_count": int(seconds * 10),
        "init_bytes": 700,
        "codecs": "avc1.42c01f",
        "width": 800,
        "height": 600,
    }
    return Recording.objects.create(device=device, **{**values, **fields})


def make_capture(
    device: Device | None = None, *, content: bytes | None = b"0123456789", **fields: Any
) -> Capture:
    """A ready picture of this machine's camera, or of `device`, with a small file and preview; one
    in any other `state` has none. `content` None: the row only.
    """
    number = next(_numbers)
    kind, state = fields.get("kind", Kind.JPG), fields.get("state", State.READY)
    is_ready = state == State.READY
    values: dict[str, Any] = {
        "device_label": device.name if device else "",
        "kind": kind,
        "state": state,
        "wanted_name": f"capture{number}.{kind}",
        "filename": f"capture{number}.{kind}" if is_ready else None,
        "width": 640,
        "height": 480,
        "fps": 30,
        "duration_ms": 1_000,
        "size_bytes": len(content or b"") if is_ready else 0,
        "has_preview": is_ready,
        "created_by": "anna",
        "finished_at": None if state in UNFINISHED else timezone.now(),
    }
    capture = Capture.objects.create(device=device, **{**values, **fields})
    if capture.filename and content is not None:
        (captured.directory() / capture.filename).write_bytes(content)
        if capture.has_preview:
            captured.preview_path(capture.pk).parent.mkdir(exist_ok=True)
            captured.preview_path(capture.pk).write_bytes(b"\xff\xd8small\xff\xd9")
    return capture


def make_analysis(capture: Capture | None, **fields: Any) -> Analysis:
    """A finished one."""
    values: dict[str, Any] = {
        "filename": (capture.filename if capture else "") or "gone.jpg",
        "state": Analysis.State.DONE,
        "result": {"brightness": {"mean": 120}},
        "finished_at": timezone.now(),
    }
    return Analysis.objects.create(capture=capture, **{**values, **fields})


def make_user(*, role: str = "viewer", cameras: Iterable[Device] = (), username: str = "") -> User:
    """`role` is viewer, operator or admin; the password is PASSWORD."""
    name = username or f"{role}{next(_numbers)}"
    user = User.objects.create_user(name, password=PASSWORD, is_staff=role == "admin")
    if role == "admin":
        user.is_superuser = True
        user.save(update_fields=["is_superuser"])
    else:
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    for camera in cameras:
        camera.people.add(user)
    return user


def make_token(user: User, *, name: str = "a program") -> str:
    """The bearer token in clear."""
    token: str = ApiToken.objects.create(user=user, name=name)[1]
    return token
