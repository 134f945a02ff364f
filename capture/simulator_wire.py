"""The bytes that the ESP32 sketch sends and understands, header by header.

Pure: used by the simulated cameras and by the tests' own client. Order and spelling of the
headers, the foreign Origin and the mask key of zeros are those of the sketch and of its
WebSocket library; a server that accepts these accepts the cameras.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import secrets
from dataclasses import dataclass
from typing import Any

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_NO_MASK = bytes(4)  # RFC 6455 wants a random key; the sketch's library sends zeros
MAX_MESSAGE_BYTES = 1 << 20  # nothing a recorder says is longer; a camera would have rebooted


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a simulated camera makes up of its health: slow waves, each camera in its own phase."""

    number: int
    up_seconds: float
    boot_count: int
    reset_reason: str
    drops: int
    has_battery: bool

    def heartbeat(self) -> dict[str, Any]:
        """The sketch's four figures and those of Roost's own firmware. `board` names no real one,
        so no image fits it, and it holds no update key."""
        up, number = self.up_seconds, self.number
        message: dict[str, Any] = {
            "type": "heartbeat",
            "uptime": round(up * 1000),
            "free_heap": 148_000 + round(6000 * math.sin(up / 40 + number)),
            "boot_count": self.boot_count,
            "rssi": -54 - number % 17 + round(3 * math.sin(up / 25 + number)),
            "reset_reason": self.reset_reason,
            "drops": self.drops,
            # A chip warms up in some minutes and then follows the room.
            "temperature": round(58 - 24 * math.exp(-up / 180) + 2 * math.sin(up / 300 + number)),
            "firmware": "1.0.0",
            "board": "simulated",
        }
        if self.has_battery:  # a lithium cell, which a wake costs a little
            message["battery_mv"] = 3400 + (720 - 3 * self.boot_count) % 720
        return message


class Refused(Exception):
    """The recorder answered, but not with what a camera needs; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def register_request(host: str, port: int, mac: str) -> bytes:
    body = json.dumps({"deviceId": mac}, separators=(",", ":")).encode()
    return (
        f"POST /register HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def parse_register(reply: bytes) -> str:
    """The key. Like the sketch: the body is what follows the first blank line, `success` decides."""
    head, _, body = reply.partition(b"\r\n\r\n")
    status = _status(head)
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise Refused(status, f"answer {status} to /register is not JSON") from error
    if not isinstance(answer, dict) or answer.get("success") is not True:
        text = answer.get("message", "no reason given") if isinstance(answer, dict) else "no object"
        raise Refused(status, f"registration refused ({status}): {text}")
    key = answer.get("apiKey")
    if not isinstance(key, str) or not 0 < len(key) <= 64:
        raise Refused(status, "registration answered without a key of 1 to 64 characters")
    return key


def upgrade_request(host: str, key: str, nonce: str) -> bytes:
    """`host` goes without its port, which is what the library does."""
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nSec-WebSocket-Key: {nonce}\r\nX-API-Key: {key}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "User-Agent: TinyWebsockets Client\r\n"
        "Origin: https://github.com/gilmaimon/TinyWebsockets\r\n\r\n"
    ).encode()


def new_nonce() -> str:
    return base64.b64encode(secrets.token_bytes(16)).decode()


def check_upgrade(head: bytes, nonce: str) -> None:
    """`head` is the answer up to its blank line. Raises Refused unless a sketch would go on."""
    status = _status(head)
    if status != 101:
        raise Refused(status, f"the WebSocket was refused with {status}")
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        if line:
            name, colon, value = line.partition(": ")
            if not colon or not value:
                # The library reads past the end of such a line and the camera reboots.
                raise Refused(status, f"header line without a value: {line!r}")
            headers[name.lower()] = value
    digest = hashlib.sha1(nonce.encode() + _GUID).digest()  # noqa: S324  RFC 6455 says SHA-1
    expected = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": base64.b64encode(digest).decode(),
    }
    for name, value in expected.items():
        is_word = name != "sec-websocket-accept"
        found = headers.get(name, "")
        if (found.lower() if is_word else found) != (value.lower() if is_word else value):
            raise Refused(status, f"{name} of the upgrade is {found!r}, not {value!r}")


def _status(head: bytes) -> int:
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise Refused(0, "the answer is not HTTP")
    return int(parts[1])


def frame_header(opcode: int, length: int, *, is_final: bool = True) -> bytes:
    """RFC 6455 §5.2 with the mask key of zeros: the payload follows as it is."""
    first = (0x80 if is_final else 0) | opcode
    if length < 126:
        size = bytes((first, 0x80 | length))
    elif length < 1 << 16:
        size = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        size = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    return size + _NO_MASK


def frame(opcode: int, payload: bytes) -> bytes:
    return frame_header(opcode, len(payload)) + payload


def text(message: dict[str, Any]) -> bytes:
    """A JSON text frame, as compact as ArduinoJson writes it."""
    return frame(TEXT, json.dumps(message, separators=(",", ":")).encode())


def closing(code: int = 1000) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"))


def pong(payload: bytes) -> bytes:
    """Cut at the first NUL, as the library's C strings do."""
    return frame(PONG, payload.split(b"\0", 1)[0])


class FrameReader:
    """Takes a server's frames apart; unfragmented and unmasked, which is all a sketch can read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every frame that is whole now. Raises Refused for what is not one."""
        self._buffer += data
        frames = []
        while (found := self._next()) is not None:
            frames.append(found)
        return frames

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if not buffer[0] & 0x80 or buffer[0] & 0x70 or buffer[1] & 0x80:
            raise Refused(101, f"a sketch cannot read a frame that begins {bytes(buffer[:2])!r}")
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if length > MAX_MESSAGE_BYTES:
            raise Refused(101, f"a message of {length} bytes is more than any camera holds")
        if len(buffer) < start + length:
            return None
        found = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        return found
