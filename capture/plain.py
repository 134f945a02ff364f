"""The plain HTTP ports of NVR_HTTP_PORTS: the older clients' paths, and nothing else.

Those clients know neither TLS nor redirects. Everything that has a log-in stays on the encrypted
port: a password or a token typed into a plain one would be readable on the network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings

from capture.refusals import refusal
from devices.dialects import Dialect, dialect_of

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_ALSO = ("/health",)  # says that this is a recorder, and no more


class PlainPorts:
    """Lets a request of a plain port through only where an older client would send it."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if not _is_plain_port(scope) or is_for_older_clients(scope["path"]):
            await self._application(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # before it was accepted: 403
            return
        status = HTTPStatus.NOT_FOUND
        text = f"This port is for older clients; use https and port {settings.NVR_PORT}"
        body = refusal(scope["path"], status, text)
        headers = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})


def is_for_older_clients(path: str) -> bool:
    dialect = dialect_of(path)
    return dialect in (Dialect.STILLS, Dialect.CLIPS, Dialect.NODE) or path.lower() in _ALSO


def _is_plain_port(scope: Message) -> bool:
    server: tuple[str, int] | None = scope.get("server")
    return server is not None and server[1] in settings.NVR.http_ports
