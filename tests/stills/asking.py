"""How tests ask the camera-capture server's API, and a camera for it to take pictures with."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import AsyncClient
from django.utils import timezone
from PIL import Image

from stills.cameras.protocol import Found, Order
from stills.exceptions import CaptureError
from stills.models import NodeCamera

JSON = "application/json"


class StandIn:
    """A camera that writes a small real JPEG, at once or when it is told to go on."""

    name, address = "stand-in", ""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.has_begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.error: CaptureError | None = None

    def look(self) -> Found:
        return Found(self.name, [("0", "stand-in")], [])

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        self.orders.append(order)
        self.has_begun.set()
        while not self.go_on.wait(0.02):
            if not is_wanted():
                raise CaptureError("cancelled", "It was cancelled.")
        if self.error:
            raise self.error
        data = io.BytesIO()
        Image.new("RGB", (64, 48), (200, 40, 40)).save(data, "JPEG")
        into.write_bytes(data.getvalue())


def until(question: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def make_seen(**fields: Any) -> NodeCamera:
    """What a worker saw a moment ago: a camera."""
    values: dict[str, Any] = {"is_there": True, "looked_at": timezone.now(), **fields}
    return NodeCamera.objects.create(node_id=settings.NVR.node_id, **values)


async def post(path: str, fields: object = None, **headers: str) -> Any:
    body = json.dumps(fields) if fields is not None else ""
    return await AsyncClient().post(path, body, content_type=JSON, headers=headers)


def assert_error(response: Any, status: int, text: str) -> None:
    assert json.loads(response.content) == {"ok": False, "error": text}
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
