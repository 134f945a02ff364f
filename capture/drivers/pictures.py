"""Cameras that give JPEGs over HTTP: as one endless answer, or one a question.

In this process and without FFmpeg, which cannot be kept from following redirects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from capture.agent.protocol import Packet, Sink, SourceSpec
from capture.drivers import words
from capture.drivers.http_camera import ANSWER_S, HttpCamera, unexpected
from capture.drivers.messages import Message
from capture.drivers.mixed import MAX_BETWEEN_BYTES, MAX_PICTURE_BYTES, Mixed, TooLarge
from capture.media import jpeg
from devices.addresses import Address
from recordings.media.matroska import Track

QUIET_S = 4.5  # between two pictures; the agent's own deadline is 5 s
USUAL_RATE_FPS = 1.0
_MAX_PIXELS_A_SIDE = 8192
_MAX_DAMAGED = 20  # in a row; one now and then is weather
_SOI = b"\xff\xd8"


class PictureDriver:
    def __init__(self, spec: SourceSpec, address: Address) -> None:
        self.stage = "resolving"
        self._camera = HttpCamera(address, spec.username, spec.password, self._say)
        self._interval_s = 1 / (spec.rate_fps if spec.rate_fps > 0 else USUAL_RATE_FPS)
        self._outlet = _Outlet()

    def _say(self, stage: str) -> None:
        if self.stage != "waiting":  # pictures asked for one by one begin with it each time
            self.stage = stage

    async def run(self, sink: Sink) -> None:
        self._outlet.sink = sink
        try:
            head, body = await self._camera.get()
            self.stage = "waiting"
            first = await _beginning(body)
            kind = head.get("content-type").lower()
            if "multipart" in kind or first.lstrip().startswith(b"--"):
                await self._take_stream(first, body)
            elif first.startswith(_SOI):
                await self._ask_again_and_again(first, head, body)
            else:
                raise unexpected(kind, first)
        finally:
            self._camera.close()

    async def _take_stream(self, first: bytes, body: AsyncIterator[bytes]) -> None:
        """Never returns: SourceError."""
        mixed, data = Mixed(), first
        has_seen_one = False
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    while not (pictures := _fed(mixed, data)):
                        data = await _next(body)
            except TimeoutError as error:
                if has_seen_one:
                    raise words.stopped(QUIET_S) from error
                raise words.no_picture_came("GET") from error
            for picture in pictures:
                self._outlet.send(picture)
            has_seen_one, data = True, b""

    async def _ask_again_and_again(
        self, first: bytes, head: Message, body: AsyncIterator[bytes]
    ) -> None:
        """Never returns: SourceError."""
        due = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    picture = await _whole(first, body)
            except TimeoutError as error:
                raise words.silent("GET") from error
            if not picture.startswith(_SOI):
                raise unexpected(head.get("content-type"), picture)
            self._outlet.send(picture)
            # A camera that is slower than wanted is not asked in a hurry afterwards.
            due = max(due + self._interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            head, body = await self._camera.get()
            first = b""


class _Outlet:
    """Whole JPEGs to the sink, each with the time it came; damaged ones are left out."""

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self._size = (0, 0)
        self._damaged = 0
        self._sent_us = 0

    def send(self, picture: bytes) -> None:
        """Raises SourceError when one after the other is damaged."""
        assert self.sink is not None  # noqa: S101  `run` set it
        try:
            size = jpeg.size_of(picture, _MAX_PIXELS_A_SIDE, _MAX_PIXELS_A_SIDE)
        except jpeg.BadFrame as error:
            self._damaged += 1
            if self._damaged > _MAX_DAMAGED:
                raise words.damaged(str(error)) from error
            return
        self._damaged = 0
        if size != self._size:
            self._size = size
            self.sink.stream(Track("mjpeg", *size))
        # Two that were read at once must not have one time.
        self._sent_us = max(self._sent_us + 1, time.monotonic_ns() // 1000)
        self.sink.packet(Packet(self._sent_us, picture))


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    """The first bytes of the body, enough to tell what it is."""
    data = b""
    try:
        async with asyncio.timeout(ANSWER_S):
            while len(data.lstrip()) < 8 and (piece := await anext(body, b"")):
                data += piece
                if len(data) > MAX_BETWEEN_BYTES:  # else blanks for 5 s were all kept
                    break
    except TimeoutError as error:
        raise words.no_picture_came("GET") from error
    return data


async def _next(body: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(body)
    except StopAsyncIteration as error:
        raise words.ended() from error


def _fed(mixed: Mixed, data: bytes) -> list[bytes]:
    try:
        return mixed.feed(data)
    except TooLarge as error:
        raise words.too_large(MAX_PICTURE_BYTES) from error
    except ValueError as error:
        raise words.damaged(str(error)) from error


async def _whole(first: bytes, body: AsyncIterator[bytes]) -> bytes:
    data = bytearray(first)
    async for piece in body:
        data += piece
        if len(data) > MAX_PICTURE_BYTES:
            raise words.too_large(MAX_PICTURE_BYTES)
    return bytes(data)
