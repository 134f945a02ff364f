"""Messages to a connected camera, over the channel layer, group `device.<pk>`.

The web process that holds the camera's connection is the only listener (docs/design/interfaces.md).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

# A broker on another host may swallow packets; the caller is a person who waits for an answer.
TIMEOUT_SECONDS = 2.0
CLOSED_BY_PERSON = 4401


def group_of(device_pk: int) -> str:
    return f"device.{device_pk}"


def push(device_pk: int, message: dict[str, Any]) -> bool:
    """Whether the broker took the message; not whether anybody listens.

    Synchronous: call it from a thread (a sync view, a task), not from a running event loop.
    """
    try:
        async_to_sync(_send)(group_of(device_pk), message)
    except Exception as error:  # noqa: BLE001  "not sent" is the answer, whatever it was
        # The layer is pluggable, so its errors are of no common class; every one means "not sent".
        # No traceback: that the broker is down is weather, and this may be said often.
        logger.warning("device %s was not told %s: %r", device_pk, message["type"], error)
        return False
    return True


def close_connection(device_pk: int, *, key_pk: int | None = None, reason: str) -> None:
    """`key_pk` limits it to a connection made with that key."""
    message = {"type": "device.close", "code": CLOSED_BY_PERSON, "reason": reason, "key_pk": key_pk}
    push(device_pk, message)


async def _send(group: str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no default")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await layer.group_send(group, message)
