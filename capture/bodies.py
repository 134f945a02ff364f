"""Bounded request bodies for every ASGI server: Django takes a whole one in before any view runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from capture.refusals import TOO_LARGE, too_large

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class BodyLimit:
    """Answers 413 to a Content-Length over the limit, and cuts off what grows over it.

    Daphne keeps a whole body before it calls the application, so its server refuses earlier
    (capture.server); behind uvicorn this is the only guard.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > settings.MAX_BODY_BYTES:
            await _refuse(scope, send)
            return
        received = 0
        is_refused = has_started = False

        async def bounded_receive() -> Message:
            nonlocal received, is_refused
            message: Message = await receive()
            received += len(message.get("body", b""))
            if received <= settings.MAX_BODY_BYTES:
                return message
            if not is_refused and not has_started:
                is_refused = True
                await _refuse(scope, send)
            return {"type": "http.disconnect"}

        async def guarded_send(message: Message) -> None:
            nonlocal has_started
            if not is_refused:
                has_started = True
                await send(message)

        await self._application(scope, bounded_receive, guarded_send)


async def _refuse(scope: Message, send: Send) -> None:
    body = too_large(scope["path"])
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": TOO_LARGE, "headers": headers})
    await send({"type": "http.response.body", "body": body})
