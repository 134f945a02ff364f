"""A blocking client with the sketch's exact bytes, for tests of the device door."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from capture import simulator_wire as wire

ESP32_CHUNK_BYTES = 1_436  # lwIP's segment: what an ESP32 puts into one TCP packet


class FirmwareClient:
    """Verifies the recorder against `ca`. Every wait ends after `timeout` seconds with TimeoutError."""

    def __init__(self, host: str, port: int, ca: Path, *, timeout: float = 10) -> None:
        self.host, self.port = host, port
        self._timeout = timeout
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._tls.maximum_version = ssl.TLSVersion.TLSv1_2
        self._socket: ssl.SSLSocket | None = None
        self._frames = wire.FrameReader()
        self._waiting: list[tuple[int, bytes]] = []
        self.upgrade_head = b""

    def __enter__(self) -> FirmwareClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def socket(self) -> ssl.SSLSocket:
        assert self._socket is not None, "not connected"
        return self._socket

    def open(self) -> ssl.SSLSocket:
        raw = socket.create_connection((self.host, self.port), self._timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(raw, server_hostname=self.host)

    def register(self, mac: str) -> tuple[str, bytes]:
        """(key, the whole raw reply). Raises wire.Refused."""
        with self.open() as link:
            link.sendall(wire.register_request(self.host, self.port, mac))
            reply = b""
            while chunk := link.recv(65536):
                reply += chunk
        return wire.parse_register(reply), reply

    def connect(self, key: str, *, line_s: float | None = None) -> None:
        """Raises wire.Refused where a sketch would give up; `upgrade_head` keeps the answer.

        `line_s`: how long each line of the answer may take, `timeout` unless it is given.
        """
        nonce = wire.new_nonce()
        self._socket = self.open()
        self._socket.sendall(wire.upgrade_request(self.host, key, nonce))
        head, rest = self._read_head(self._timeout if line_s is None else line_s)
        self.upgrade_head = head
        wire.check_upgrade(head, nonce)
        self._waiting += self._frames.feed(rest)

    def _read_head(self, line_s: float) -> tuple[bytes, bytes]:
        """The answer up to its blank line, and what came behind it."""
        data, lines = b"", 0
        deadline = time.monotonic() + line_s
        while b"\r\n\r\n" not in data:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = self.socket.recv(4096)
            if not chunk:
                raise wire.Refused(0, "closed before an answer")
            data += chunk
            if (now := data.count(b"\r\n")) > lines:
                lines, deadline = now, time.monotonic() + line_s
        self.socket.settimeout(self._timeout)
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def send_text(self, message: dict[str, Any]) -> None:
        self.socket.sendall(wire.text(message))

    def send_jpeg(self, data: bytes, *, chunk_bytes: int = 0, fragment_bytes: int = 0) -> None:
        """Optionally in `chunk_bytes` writes (TLS records), or as WebSocket fragments (ESP-IDF)."""
        if fragment_bytes:
            pieces = [data[at : at + fragment_bytes] for at in range(0, len(data), fragment_bytes)]
            for index, piece in enumerate(pieces):
                opcode = wire.BINARY if index == 0 else 0
                is_final = index == len(pieces) - 1
                header = wire.frame_header(opcode, len(piece), is_final=is_final)
                self.socket.sendall(header + piece)
            return
        message = wire.frame(wire.BINARY, data)
        step = chunk_bytes or len(message)
        for at in range(0, len(message), step):
            self.socket.sendall(message[at : at + step])

    def receive(self) -> tuple[int, bytes]:
        """The next (opcode, payload). Raises TimeoutError, or ConnectionError at the end."""
        while not self._waiting:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the recorder closed the connection")
            self._waiting += self._frames.feed(data)
        return self._waiting.pop(0)

    def poll(self) -> list[tuple[int, bytes]]:
        """What has arrived, without waiting. Raises ConnectionError at the end."""
        self.socket.settimeout(0)
        try:
            while data := self.socket.recv(65536):
                self._waiting += self._frames.feed(data)
            raise ConnectionError("the recorder closed the connection")
        except ssl.SSLWantReadError:
            found, self._waiting = self._waiting, []
            return found
        finally:
            self.socket.settimeout(self._timeout)

    def receive_json(self) -> dict[str, Any]:
        opcode, payload = self.receive()
        assert opcode == wire.TEXT, (opcode, payload)
        message = json.loads(payload)
        assert isinstance(message, dict)
        return message

    def fall_asleep(self) -> None:
        """Status, close frame, and the TCP end at once, without waiting for the other's close."""
        self.send_text({"type": "status_update", "status": "entering_sleep"})
        self.socket.sendall(wire.closing(1000))
        self.close()

    def vanish(self) -> None:
        """A TCP reset, as after a crash or a lost access point's timeout."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
