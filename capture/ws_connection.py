"""Daphne's WebSocket connections with back-pressure both ways, and frames cut by our own reader.

Import it from capture.server only: Twisted's reactor has to be chosen first.
"""

from __future__ import annotations

from typing import Any

from daphne import ws_protocol
from django.conf import settings
from twisted.web import http

from capture.flow import Gate, Inbox
from capture.media.packets import DEVICE_HEADER, MAX_PACKET_BYTES
from capture.media.wsframes import BINARY, PING, TEXT, FrameError, FrameReader, server_header

HANDSHAKE_BYTES = 64 * 1024


class Socket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]
    """A WebSocket that reads no more than the application takes, and gathers a camera's drips."""

    data: bytes  # Autobahn's own buffer: the handshake, then one control frame at a time

    def connectionMade(self) -> None:  # noqa: N802
        super().connectionMade()
        self.gate = Gate()
        self._reader = FrameReader(settings.MAX_FRAME_BYTES)
        self._is_paused = self._has_failed = False
        self._denial: tuple[int, list[tuple[bytes, bytes]]] | None = None
        # The HTTP channel is still the transport's producer; from here on this socket is.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.gate, True)

    def onConnect(self, request: Any) -> Any:  # noqa: N802
        if DEVICE_HEADER in request.headers:  # Autobahn's names are in lower case
            self._reader = FrameReader(MAX_PACKET_BYTES)
        return super().onConnect(request)

    def applicationCreateWorked(self, application_queue: Inbox) -> None:  # noqa: N802
        application_queue.on_low = self._read_on
        super().applicationCreateWorked(application_queue)

    # --- inward -----------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Without Autobahn's log line per chunk, which costs more than the chunk."""
        if self._has_failed:
            return  # only our close frame's answer or its time-out end this connection now
        if self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self._reader.feed(data)
            self._deliver()
        elif len(self.data) + len(data) > HANDSHAKE_BYTES:
            self.transport.abortConnection()
        else:
            self._dataReceived(data)

    def consumeData(self) -> None:  # noqa: N802
        """Autobahn calls it with what came right behind the handshake."""
        if self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self._reader.feed(self.data)
            self.data = b""
            self._deliver()
        else:
            super().consumeData()

    def _deliver(self) -> None:
        try:
            while not self._has_failed and not self.application_queue.is_full:
                message = self._reader.next_message()
                if message is None:
                    break
                if message.opcode == PING and not self.gate.is_open:
                    continue  # its answers would pile up here; the newest is enough (RFC 6455 §5.5.3)
                if message.is_control:
                    self.data = message.payload
                    super().consumeData()
                elif message.opcode == BINARY or message.payload.startswith(b"\xff\xd8"):
                    self._put({"type": "websocket.receive", "bytes": message.payload})
                else:
                    self._put({"type": "websocket.receive", "text": message.payload.decode()})
        except FrameError as error:
            self._has_failed = True
            self._fail_connection(error.code, error.reason)
        except UnicodeDecodeError:
            self._has_failed = True
            self._invalid_payload("text that is not UTF-8")
        self._pause_or_resume()

    def _put(self, message: dict[str, Any]) -> None:
        if self.state == self.STATE_OPEN and not self.muted:
            self.application_queue.put_nowait(message)

    def _read_on(self) -> None:
        if self._is_paused or self._reader.buffered_bytes:
            self._deliver()

    def _pause_or_resume(self) -> None:
        is_full = self.application_queue.is_full
        if is_full and not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()
        elif self._is_paused and not is_full:
            self._is_paused = False
            self.transport.resumeProducing()

    # --- outward ----------------------------------------------------------------------------------

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Also the denial response of the ASGI WebSocket specification, and the close reason."""
        kind = message["type"]
        if kind == "websocket.send" and self.state == self.STATE_OPEN:
            self._send(message)
        elif kind == "websocket.http.response.start":
            self._denial = (message["status"], message.get("headers", []))
        elif kind == "websocket.http.response.body" and self._denial is not None:
            self._deny(*self._denial, message.get("body", b""))
        elif kind == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.sendClose(code=message.get("code") or 1000, reason=message.get("reason") or None)
        else:
            super().handle_reply(message)

    def _send(self, message: dict[str, Any]) -> None:
        """One unfragmented frame, without the copies and log lines of Autobahn's sendMessage."""
        payload, opcode = message.get("bytes"), BINARY
        if payload is None:
            payload, opcode = message["text"].encode(), TEXT
        self.transport.write(server_header(opcode, len(payload)) + payload)

    def _deny(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        reason = http.RESPONSES.get(status, b"Refused").decode()
        lines = [f"HTTP/1.1 {status} {reason}".encode()]
        lines += [name.title() + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        del self.handshake_deferred
        self.server.protocol_disconnected(self)
        self.dropConnection(abort=False)

    def sendData(self, data: bytes, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        if self.state == self.STATE_CONNECTING:
            # The spelling of RFC 6455 and of the server the firmware was written against.
            data = data.replace(b"Upgrade: WebSocket\r\n", b"Upgrade: websocket\r\n", 1)
        super().sendData(data, *args, **kwargs)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
        self.gate.stopProducing()
        super().connectionLost(reason)

    def check_timeouts(self) -> None:
        """Cameras have their own deadlines, by monotonic time; no pings (they end a camera's
        connection when their payload has a NUL). Only the handshake is watched here.
        """
        if self.state == self.STATE_CONNECTING and hasattr(self, "handshake_deferred"):
            super().check_timeouts()

    def abort(self) -> None:
        self.transport.abortConnection()


class SocketFactory(ws_protocol.WebSocketFactory):  # type: ignore[misc]
    protocol = Socket
