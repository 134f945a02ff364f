"""The ESP32's side of the wire, byte for byte as ArduinoWebsockets 0.5.4 sends it, and misbehaviour.

A client of its own and not a library's: header order, the foreign Origin, the zero mask and the
missing closing handshake are what the tests are about.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from io import BytesIO
from typing import Any

from PIL import Image

KEY_HEADER = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's own example
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ORIGIN = "https://github.com/gilmaimon/TinyWebsockets"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEADLINE_SECONDS = 15.0  # above the ten silent seconds after which a camera is closed


def jpeg(width: int = 320, height: int = 240, shade: int = 90) -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), (shade, 120, 150)).save(out, "JPEG", quality=80)
    return out.getvalue()


def masked(opcode: int, payload: bytes, *, mask: bytes = bytes(4), is_final: bool = True) -> bytes:
    """One client frame (RFC 6455 §5.2)."""
    head = bytes([opcode | (0x80 if is_final else 0)])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
    body = payload
    if any(mask):
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + body


def request(host: str, key: str | None, path: str = "/ws", extra: tuple[str, ...] = ()) -> bytes:
    """The upgrade request in the library's order; Host has no port."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Sec-WebSocket-Key: {KEY_HEADER}"]
    if key is not None:
        lines.append(f"X-API-Key: {key}")
    lines += [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "User-Agent: TinyWebsockets Client",
        f"Origin: {ORIGIN}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Refusal(Exception):
    def __init__(self, status: int, head: str, body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status = status
        self.head = head
        self.body = body


class Camera:
    """One connection. `head` is the server's answer to the upgrade, status line first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head: list[str] = []

    @classmethod
    async def dial(
        cls,
        port: int,
        key: str | None,
        *,
        context: ssl.SSLContext,
        path: str = "/ws",
        extra: tuple[str, ...] = (),
    ) -> Camera:
        """Raises Refusal for anything but 101."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        camera = cls(reader, writer)
        writer.write(request("127.0.0.1", key, path, extra))
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        camera.head = head.strip().split("\r\n")
        status = int(camera.head[0].split()[1])
        if status != 101:
            async with asyncio.timeout(DEADLINE_SECONDS):
                body = await reader.read()
            await camera.vanish()
            raise Refusal(status, head, body)
        return camera

    async def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.writer.write(frame)
        await self.writer.drain()

    async def send_frame(self, picture: bytes) -> None:
        await self.send(masked(BINARY, picture))

    async def send_json(self, **message: Any) -> None:
        await self.send(masked(TEXT, json.dumps(message).encode()))

    async def receive(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame; EOFError when the server hung up."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                first, second = await self.reader.readexactly(2)
                length = second & 0x7F
                if length == 126:
                    length = int.from_bytes(await self.reader.readexactly(2), "big")
                elif length == 127:
                    length = int.from_bytes(await self.reader.readexactly(8), "big")
                payload = await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, OSError) as error:
                raise EOFError from error
        assert second < 0x80, "a server's frames are not masked"
        assert first & 0x80, "the firmware understands no fragments"
        return first & 0x0F, payload

    async def receive_json(self) -> dict[str, Any]:
        opcode, payload = await self.receive()
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        return message

    async def receive_type(self, kind: str) -> dict[str, Any]:
        """The next message of a type, whatever comes before it."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                message = await self.receive_json()
                if message["type"] == kind:
                    return message

    async def close_code(self) -> tuple[int, str]:
        """Of the close frame that ends this connection."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                opcode, payload = await self.receive()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def fall_asleep(self) -> None:
        """As the sketch does it: say so, close frame 1000, and the TCP connection is gone."""
        await self.send_json(type="status_update", status="entering_sleep")
        await self.send(masked(CLOSE, struct.pack(">H", 1000)))
        await self.vanish()

    async def vanish(self) -> None:
        """No closing handshake of any kind."""
        self.writer.transport.abort()
        await asyncio.sleep(0)
