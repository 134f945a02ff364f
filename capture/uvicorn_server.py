"""uvicorn, the profile for many cameras: the same application, the same limits."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from capture import tls
from capture.exceptions import ServerCannotStart
from capture.media.packets import DEVICE_HEADER, MAX_PACKET_BYTES


class CameraProtocol(WebSocketsSansIOProtocol):
    """Takes a text frame that holds a JPEG for what it is, as the older server did."""

    def send_receive_event_to_app(self) -> None:
        if self.frames and self.frames[0][:2] == b"\xff\xd8":
            self.curr_msg_data_type = "bytes"
        super().send_receive_event_to_app()

    def handle_connect(self, event: Any) -> None:
        if DEVICE_HEADER in event.headers:
            self.conn.max_message_size = MAX_PACKET_BYTES
        super().handle_connect(event)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # or every refused camera is logged as an error


class RecorderUvicorn(uvicorn.Server):
    """Says when it is ready, and reads a renewed certificate on SIGHUP."""

    def __init__(
        self,
        config: uvicorn.Config,
        files: tuple[Path, Path] | None,
        plain: list[socket.socket],
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._plain = plain
        self._files = files
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in self._plain:
            # As uvicorn's own start-up does, but without its certificate.
            loop = asyncio.get_running_loop()
            backlog = self.config.backlog
            self.servers.append(
                await loop.create_server(self._connection, sock=listener, backlog=backlog)
            )
        if self.started:
            signal.signal(signal.SIGHUP, lambda *_: tls.reload_or_say(self._reload))
            self._on_ready()

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def _reload(self) -> None:
        if self._files is not None and isinstance(self.config.ssl, ssl.SSLContext):
            tls.check(*self._files)
            self.config.ssl.load_cert_chain(*self._files)


def serve(
    application: Any,
    address: str,
    port: int,
    files: tuple[Path, Path] | None,
    on_ready: Callable[[], None],
) -> None:
    """Runs until SIGTERM or SIGINT. Raises ServerCannotStart where the port is taken."""
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="h11",
        ws=CameraProtocol,
        ws_max_size=settings.MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # a ping whose payload has a NUL ends a camera's connection
        lifespan="on",
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        log_level="warning",  # its lines for information hold whole URLs
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=16 * 1024,
        backlog=512,
        ssl_certfile=str(files[0]) if files else None,
        ssl_keyfile=str(files[1]) if files else None,
        ssl_ciphers=tls.CIPHERS,
    )
    listener = _listen(address, port)
    plain = [_listen(address, number) for number in settings.NVR.http_ports]
    server = RecorderUvicorn(config, files, plain, on_ready)
    # uvicorn raises the signal that stopped it once more, for whoever was there before: nobody.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run(sockets=[listener])
    finally:
        for one in (listener, *plain):
            one.close()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        text = f"Cannot listen on {address} port {port}: {error.strerror}."
        raise ServerCannotStart(text) from error
    return listener
