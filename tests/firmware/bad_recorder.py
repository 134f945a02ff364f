"""A recorder over TLS that answers what a test wants: cut, slow, endless, malformed."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "k" * 64
Answer = Callable[["Peer"], None]


class Peer:
    """One connection: the head of its request, and the socket to answer on."""

    def __init__(self, sock: ssl.SSLSocket, recorder: BadRecorder) -> None:
        self.socket = sock
        self.recorder = recorder
        self.request = b""
        self._buffer = bytearray()
        self._answers_pings = False
        self._on_text: Callable[[str], None] | None = None

    def read_request(self) -> bool:
        while b"\r\n\r\n" not in self.request or not self._has_body():
            data = self.socket.recv(65536)
            if not data:
                return False
            self.request += data
        return True

    def _has_body(self) -> bool:
        return not self.request.startswith(b"POST") or self.request.endswith(b"}")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes, *, every_s: float) -> None:
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(every_s)

    def upgrade(self, *, behind: bytes = b"") -> None:
        """The right answer, and `behind` it in the same TLS record."""
        nonce = self.request.partition(b"Sec-WebSocket-Key: ")[2][:24]
        digest = hashlib.sha1(nonce + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + behind
        )

    def listen(
        self,
        seconds: float = 20,
        *,
        answers_pings: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        """Keeps what comes in `recorder.messages` until the end of the connection."""
        self.socket.settimeout(seconds)
        self._answers_pings, self._on_text = answers_pings, on_text
        while data := self.socket.recv(65536):
            self._buffer += data
            while self._take_frame():
                pass

    def _take_frame(self) -> bool:
        """One frame of the camera, which masks it and never fragments (RFC 6455 §5.2)."""
        buffer = self._buffer
        if len(buffer) < 2 or len(buffer) < {126: 8, 127: 14}.get(buffer[1] & 0x7F, 6):
            return False
        assert buffer[0] & 0x80, "a fragment"
        assert buffer[1] & 0x80, "no mask"
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + 4 + length:
            return False
        mask = bytes(buffer[start : start + 4]) * (length // 4 + 1)
        body = bytes(buffer[start + 4 : start + 4 + length])
        plain = int.from_bytes(body, "big") ^ int.from_bytes(mask[:length], "big")
        opcode, payload = buffer[0] & 0x0F, plain.to_bytes(length, "big")
        self.recorder.messages.append((opcode, payload))
        if opcode == PING and self._answers_pings:
            self.send(bytes([0x80 | PONG, length]) + payload)
        elif opcode == TEXT and self._on_text is not None:
            self._on_text(payload.decode())
        del buffer[: start + 4 + length]
        return True


def registered(body: bytes | None = None, *, head: str = "HTTP/1.1 200 OK") -> bytes:
    if body is None:
        config = {"resolution": "SVGA", "framerate": 10, "quality": 12}
        body = json.dumps({"success": True, "apiKey": KEY, "config": config}).encode()
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def accept_registration(peer: Peer) -> None:
    peer.send(registered())


def refuse_download(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def accept_camera(peer: Peer) -> None:
    peer.upgrade()
    peer.listen()


class BadRecorder:
    """On 127.0.0.1. `enrolments`, `dials` and `downloads` count the requests that came through TLS;
    `requests` holds them whole, `connections` counts also those that ended before.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        on_register: Answer = accept_registration,
        on_dial: Answer = accept_camera,
        on_download: Answer = refuse_download,
    ) -> None:
        self._context, self._on_register, self._on_dial = context, on_register, on_dial
        self._on_download = on_download
        self.enrolments = self.dials = self.downloads = self.connections = 0
        self.requests: list[bytes] = []
        self.messages: list[tuple[int, bytes]] = []
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._is_over = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> BadRecorder:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def texts(self) -> list[str]:
        return [payload.decode() for opcode, payload in self.messages if opcode == TEXT]

    def pictures(self) -> int:
        return sum(opcode == BINARY for opcode, _ in self.messages)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(plain)
            self._spawn(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        # Whatever a camera or the test's end does to a connection ends this thread and no test.
        with (
            suppress(OSError, ValueError),
            self._context.wrap_socket(plain, server_side=True) as sock,
        ):
            self._open.append(sock)
            self._answer(Peer(sock, self))

    def _answer(self, peer: Peer) -> None:
        if not peer.read_request():
            return
        self.requests.append(peer.request)
        if peer.request.startswith(b"POST /register "):
            self.enrolments += 1
            self._on_register(peer)
        elif peer.request.startswith(b"GET /ws "):
            self.dials += 1
            self._on_dial(peer)
        else:
            self.downloads += 1
            self._on_download(peer)
