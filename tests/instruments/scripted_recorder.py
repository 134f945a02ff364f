"""The recorder's side of the wire as a script, to test the simulated cameras without one.

It keeps every byte that a camera sent, so a test can compare requests with the sketch's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.instruments.certificates import Pki

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Visit:
    """One WebSocket connection of a camera."""

    request: bytes
    writer: asyncio.StreamWriter
    texts: list[dict[str, Any]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    masks: set[bytes] = field(default_factory=set)
    pongs: list[bytes] = field(default_factory=list)
    close_code: int | None = None
    is_over: bool = False

    def say(self, message: dict[str, Any]) -> None:
        self.send(0x1, json.dumps(message).encode())

    def send(self, opcode: int, payload: bytes) -> None:
        size = (
            bytes((len(payload),))
            if len(payload) < 126
            else b"\x7e" + len(payload).to_bytes(2, "big")
        )
        self.writer.write(bytes((0x80 | opcode,)) + size + payload)


class ScriptedRecorder:
    """`refusals`: statuses with which the next upgrades are answered; `is_deaf` stops reading."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._tasks: set[asyncio.Task[None]] = set()
        self.registrations: list[bytes] = []
        self.visits: list[Visit] = []
        self.refusals: list[int] = []
        self.register_answer: bytes | None = None
        self.is_deaf = False
        self.port = 0

    async def __aenter__(self) -> ScriptedRecorder:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=self._pki.server_context(), limit=1 << 21
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def visit(self, number: int = 1) -> Visit:
        """The n-th connection, as soon as it is there."""
        await until(lambda: len(self.visits) >= number)
        return self.visits[number - 1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST /register"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.registrations.append(head + await reader.readexactly(length))
            body = (
                self.register_answer
                or json.dumps(
                    {"success": True, "apiKey": f"{len(self.registrations):064x}"}
                ).encode()
            )
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            return
        if self.refusals:
            writer.write(b"HTTP/1.1 %d No\r\n\r\n" % self.refusals.pop(0))
            await writer.drain()
            return
        await self._serve(Visit(head, writer), reader)

    async def _serve(self, visit: Visit, reader: asyncio.StreamReader) -> None:
        nonce = visit.request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(nonce + GUID).digest())
        visit.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.visits.append(visit)
        visit.say({"type": "welcome", "message": "Connected to Pi Camera Server"})
        try:
            while True:
                while self.is_deaf:
                    visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
                    await asyncio.sleep(0.01)
                await self._take(visit, reader)
        finally:
            visit.is_over = True

    async def _take(self, visit: Visit, reader: asyncio.StreamReader) -> None:
        first, second = await reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        visit.masks.add(await reader.readexactly(4))
        payload = await reader.readexactly(length)
        opcode = first & 0x0F
        if opcode == 0x1:
            visit.texts.append(json.loads(payload))
        elif opcode == 0x2:
            visit.frames.append(payload)
        elif opcode == 0x8:
            visit.close_code = int.from_bytes(payload[:2], "big")
        elif opcode == 0xA:
            visit.pongs.append(payload)


async def until(condition: Any, seconds: float = 15) -> None:
    """Polls; fails the test where the condition does not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  conditions are plain facts, not events
            await asyncio.sleep(0.01)
