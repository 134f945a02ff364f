"""One open live view: pictures against credit, and the camera's state (docs/design/interfaces.md)."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError

from capture import access
from capture.hub import Show, Viewer, hub
from capture.stills import stills

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

MAX_CREDIT = 4  # of JPEGs: a newer one is always better
MAX_STREAM_CREDIT = 30
STATE_SECONDS = 1.0
RIGHTS_SECONDS = 20.0  # a right taken away closes the picture within 30 s
CLOSE_NOT_UNDERSTOOD, CLOSE_FAILED = 4400, 4500


class Wish(NamedTuple):
    """What a viewer says: `credit` more messages, and what it wants to be shown from now on."""

    credit: int
    show: Show | None


class LivePicture:
    """From the first look at the state to the end of the connection."""

    def __init__(self, scope: Message, device_pk: int, viewer: Viewer, send: Send) -> None:
        self._scope = scope
        self._device_pk = device_pk
        self._viewer = viewer
        self._send = send
        self._credit = 0
        self._wanted: Show | None = None  # asked for and not begun yet
        self._told: dict[str, object] = {}
        self._told_at = 0.0

    async def show(self, receive: Receive) -> None:
        """Until any of the three ends: the person leaves, the sender fails, a right is gone."""
        tasks = {
            asyncio.create_task(self._read(receive)),
            asyncio.create_task(self._write()),
            asyncio.create_task(self._guard()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if code := _why_it_ended(done):
                await self._send({"type": "websocket.close", "code": code})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, receive: Receive) -> int | None:
        viewer = self._viewer
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return None
            wish = read_wish(message.get("text"))
            if wish is None:
                return CLOSE_NOT_UNDERSTOOD
            self._wanted = wish.show or self._wanted
            most = MAX_STREAM_CREDIT if viewer.is_streaming else MAX_CREDIT
            self._credit = min(most, self._credit + wish.credit)
            viewer.wake.set()

    async def _write(self) -> int | None:
        while True:
            await self._tell_state()
            if self._wanted is not None:  # here, so that asking ever again costs one beginning
                hub.begin(self._device_pk, self._viewer, self._wanted)
                self._wanted = None
            while (media := self._viewer.take_media()) is not None:
                await self._say({"type": "media", **media._asdict()})
            if self._credit:
                await self._send_picture()
            await self._wait()

    async def _send_picture(self) -> None:
        viewer = self._viewer
        picture = viewer.take() or viewer.take_piece()
        if picture is None and viewer.still is not None:
            picture = await stills.take(self._device_pk, viewer)
        if picture is None:
            return
        self._credit -= 1
        header = struct.pack(">QQ", picture.captured_ms, time.time_ns() // 1_000_000)
        await self._send({"type": "websocket.send", "bytes": header + picture.payload})

    async def _wait(self) -> None:
        """For a picture that may be sent, or at most until the state is due again."""
        if self._wanted or self._viewer.has_media or (self._credit and self._viewer.has_picture):
            return
        self._viewer.wake.clear()
        try:
            async with asyncio.timeout(STATE_SECONDS):
                await self._viewer.wake.wait()
        except TimeoutError:
            return

    async def _tell_state(self) -> None:
        now = time.monotonic()
        if self._told and now - self._told_at < STATE_SECONDS:
            return
        self._told_at = now
        state = await access.state_of(self._device_pk)
        if state != self._told:
            self._told = state
            await self._say(state)

    async def _say(self, message: dict[str, object]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(message)})

    async def _guard(self) -> int | None:
        while True:
            await asyncio.sleep(RIGHTS_SECONDS)
            try:
                code = await access.why_not(self._scope, self._device_pk)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Rights could not be asked again, a picture goes on: %s", error)
                continue
            if code:
                return code


def _why_it_ended(done: Iterable[asyncio.Task[int | None]]) -> int | None:
    """The close code; None where the person left, and there is nobody to tell."""
    for task in done:
        error = task.exception()
        if error is None and (code := task.result()):
            return code
        if error is not None and not isinstance(error, OSError):  # OSError: they left
            logger.error("A live view failed", exc_info=error)
            return CLOSE_FAILED
    return None


def read_wish(text: str | None) -> Wish | None:
    """{"credit": n} with n >= 1, {"show": "…"}, or both; None for anything else."""
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not message.keys() & {"credit", "show"}:
        return None
    credit = message.get("credit", 0)
    if not isinstance(credit, int) or isinstance(credit, bool):
        return None
    if credit < ("credit" in message):
        return None
    try:
        show = Show(message["show"]) if "show" in message else None
    except ValueError:
        return None
    return Wish(credit, show)
