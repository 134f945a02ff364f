"""A stand-in for the recorder's door: keeps what comes, acknowledges when told to, misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from capture.agent.link import Door
from capture.media import packets
from capture.media.packets import StreamStart, WirePacket


class StandInDoor:
    """`visits`: what each connection brought, streams and packets in their order."""

    def __init__(self) -> None:
        self.visits: list[list[StreamStart | WirePacket]] = []
        self.came_s: list[float] = []  # of every packet
        self.headers: list[dict[str, str]] = []
        self.is_acknowledging = True
        self.answers_clock = True
        self.skew_us = 0  # how far this recorder's clock is ahead
        self.refuse_with = 0  # an HTTP status
        self.open = 0
        self.url = ""
        self._connections: set[ServerConnection] = set()

    @property
    def door(self) -> Door:
        return Door(self.url, None, {"X-API-Key": "k" * 64})

    @property
    def packets(self) -> list[WirePacket]:
        return [one for visit in self.visits for one in visit if isinstance(one, WirePacket)]

    async def cut(self) -> None:
        """Every connection, without a word."""
        for connection in list(self._connections):
            connection.transport.abort()

    async def kick(self, reason: str) -> None:
        for connection in list(self._connections):
            await connection.close(4401, reason)

    async def visit(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(dict(connection.request.headers))
        seen: list[StreamStart | WirePacket] = []
        self.visits.append(seen)
        self._connections.add(connection)
        self.open += 1
        try:
            await connection.send(json.dumps({"type": "welcome", "message": "hello"}))
            async for message in connection:
                await self._hear(connection, message, seen)
        finally:
            self._connections.discard(connection)
            self.open -= 1

    async def _hear(
        self, connection: ServerConnection, message: str | bytes, seen: list[Any]
    ) -> None:
        if isinstance(message, bytes):
            packet = packets.decode_packet(message)
            seen.append(packet)
            self.came_s.append(time.monotonic())
            if self.is_acknowledging:
                await connection.send(packets.encode_ack(packet.number))
            return
        said = json.loads(message)
        if said["type"] == "stream":
            seen.append(packets.decode_stream(said))
        elif said["type"] == "clock" and self.answers_clock:
            mono_us = time.monotonic_ns() // 1000 + self.skew_us
            await connection.send(packets.encode_clock_answer(said["t_us"], mono_us))

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        del request
        if not self.refuse_with:
            return None
        return connection.respond(self.refuse_with, "no")


@asynccontextmanager
async def stand_in_door() -> AsyncIterator[StandInDoor]:
    door = StandInDoor()
    async with serve(
        door.visit, "127.0.0.1", 0, process_request=door.refuse, compression=None,
        ping_interval=None, max_size=8 << 20, close_timeout=0.2,
    ) as server:  # fmt: skip
        door.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        yield door
        await door.cut()
        await asyncio.sleep(0)
