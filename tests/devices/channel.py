"""The other end of the channel layer: what a connected camera's session would hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from devices.models import Device


def listen(device: Device) -> Callable[[], dict[str, Any]]:
    """Joins the camera's group; the answer takes the next message out of it."""
    layer = get_channel_layer()
    assert layer is not None
    async_to_sync(layer.group_add)(f"device.{device.pk}", "specific.test!camera")

    def next_message() -> dict[str, Any]:
        async def receive() -> dict[str, Any]:
            async with asyncio.timeout(5):
                return dict(await layer.receive("specific.test!camera"))

        return async_to_sync(receive)()

    return next_message
