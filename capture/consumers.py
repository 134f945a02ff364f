"""The two WebSocket doors: /ws for cameras, /ws/live/<device> for people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError

from capture import access, wire
from capture.door import Door, Patience, Waiting
from capture.exceptions import Refused
from capture.hub import Show, hub
from capture.live_picture import LivePicture
from capture.session import Session
from capture.sessions import CLOSE_LIMIT, registry
from devices.models import DeviceEvent
from devices.sensor import DEFAULT_CONFIG
from devices.services import Identity

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

RECONNECT_SECONDS = (1, 2, 4, 8, 15, 30)

door = Door()
_waiting = Patience(every_seconds=3600)
_configured: set[int] = set()  # devices that were sent a configuration by this process


async def refuse(scope: Message, send: Send, status: int, text: str) -> None:
    """Answer a WebSocket request with plain HTTP where the server can, else with its own 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4000 + status})
        return
    body = text.encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"connection", b"close"),
               (b"content-length", str(len(body)).encode())]  # fmt: skip
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def nowhere(scope: Message, receive: Receive, send: Send) -> None:
    """Any other path that asks for a WebSocket."""
    await receive()
    await refuse(scope, send, 400, "Bad Request")


async def camera(scope: Message, receive: Receive, send: Send) -> None:
    """A camera's connection, a bare loop and not Channels' consumer class: its dispatch costs a
    thread hop per message (measured: 500 instead of 17,000 frames a second in a burst).
    """
    await receive()  # websocket.connect
    try:
        identity = await door.admit(scope["headers"])
        session = registry.open(identity, _address(scope), send)
    except Waiting as waiting:
        _note_waiting(waiting.identity)
        await refuse(scope, send, waiting.status, waiting.text)
        return
    except Refused as refused:
        await refuse(scope, send, refused.status, refused.text)
        return
    requests: asyncio.Task[None] | None = None
    try:
        await send({"type": "websocket.accept"})
        await session.say(wire.welcome(identity.mac))
        requests = asyncio.create_task(_pass_requests_on(session, identity))
        await _take_messages(session, receive)
    finally:
        registry.close(session, "the connection ended")
        if requests is not None:
            requests.cancel()
        await session.settle()


async def _take_messages(session: Session, receive: Receive) -> None:
    """Until the connection ends, or the session was replaced, or its budget is overdrawn."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive" or session.is_over:
            return
        payload = message.get("bytes")
        if payload is None:
            payload = message["text"].encode()
        if excess := session.take(payload):
            logger.warning("%s was disconnected: %s", session.identity.name, excess)
            registry.tell(session, DeviceEvent.Kind.LIMIT, f"Disconnected: {excess}.")
            registry.end(session, CLOSE_LIMIT, excess)
            return


def _note_waiting(identity: Identity) -> None:
    if _waiting.is_due(identity.key_pk):
        logger.warning("%s waits for approval.", identity.name)
        registry.note(identity.device_pk, DeviceEvent.Kind.REGISTERED, "Waits for approval.")


def _address(scope: Message) -> str | None:
    client = scope.get("client")
    return str(client[0]) if client else None


async def _pass_requests_on(session: Session, identity: Identity) -> None:
    """Configuration and commands from the rest of the recorder; frames never wait for this."""
    failures = 0
    while not session.is_over:
        try:
            await _listen(session, identity)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the layer is pluggable, its errors are too
            delay = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
            level = logging.WARNING if failures == 0 else logging.DEBUG
            logger.log(level, "No word from the recorder to %s now: %r", identity.name, error)
            failures += 1
            await asyncio.sleep(delay)


async def _listen(session: Session, identity: Identity) -> None:
    layer: Any = get_channel_layer()
    channel = await layer.new_channel()
    group = f"device.{identity.device_pk}"
    await layer.group_add(group, channel)
    try:
        # Read after joining: a change between the two would be seen by neither otherwise.
        if not identity.is_agent:  # a pulled camera has no settings that we could change
            await _send_stored_config(session, identity)
        while not session.is_over:
            await _obey(session, await layer.receive(channel))
    finally:
        await layer.group_discard(group, channel)


async def _send_stored_config(session: Session, identity: Identity) -> None:
    """The firmware boots with its own values; one that nobody ever changed is left alone."""
    try:
        config, rates = await access.stored_config(identity.device_pk)
    except (DatabaseError, InterfaceError, OSError):
        config, rates = identity.config, identity.frame_rates
    config = {**DEFAULT_CONFIG, **config}
    if config != DEFAULT_CONFIG or rates or identity.device_pk in _configured:
        _configured.add(identity.device_pk)
        await session.configure(config, rates)


async def _obey(session: Session, message: Message) -> None:
    kind = message.get("type")
    if kind == "device.config":
        _configured.add(session.identity.device_pk)
        await session.configure(message["config"], message["frame_rates"])
    elif kind == "device.command":
        await session.say(wire.command(str(message["action"])))
    elif kind == "device.update":
        await session.announce_update(message["version"], message["size"], message["path"])
    elif kind == "device.close" and message.get("key_pk") in (None, session.identity.key_pk):
        registry.end(session, int(message["code"]), str(message["reason"]))


async def live(scope: Message, receive: Receive, send: Send) -> None:
    """A person's picture: the newest frame against credit, and the camera's state."""
    await receive()  # websocket.connect
    if not is_own_origin(scope):
        await refuse(scope, send, 403, "Forbidden")
        return
    device_pk = int(scope["url_route"]["kwargs"]["device_pk"])
    await send({"type": "websocket.accept"})  # a browser sees a close code only after this
    if code := await access.why_not(scope, device_pk):
        await send({"type": "websocket.close", "code": code})
        return
    with hub.watch(device_pk, Show.VIDEO) as viewer:
        await LivePicture(scope, device_pk, viewer, send).show(receive)


def is_own_origin(scope: Message) -> bool:
    """Scheme, host and port of Origin must be this server's, except for a bearer token.

    A browser sends Origin with every WebSocket and cannot set Authorization, so a foreign
    page can ride on a session cookie but never on a token.
    """
    headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
    if headers.get(b"authorization", b"").lower().startswith(b"bearer "):
        return True  # not Basic: a browser sends that one by itself
    origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
    host = headers.get(b"host", b"").decode("latin-1").lower()
    scheme, port = ("http", 80) if scope.get("scheme") == "ws" else ("https", 443)
    is_same_host = _with_port(origin.netloc, port) == _with_port(host, port)
    return bool(host) and origin.scheme == scheme and is_same_host


def _with_port(host: str, port: int) -> str:
    host = host.lower()
    return host if host.rpartition("]")[2].rpartition(":")[1] else f"{host}:{port}"
