"""Daphne with what a recorder needs: bounded memory per connection, bounded requests, fast frames.

What is different from stock Daphne, and why, is in docs/design/ingest.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

# The second installs the reactor: both have to come before any other import of Twisted.
import capture.eventloop  # isort:skip  # noqa: F401
from daphne.server import Server, twisted_loop  # isort:skip

from django.conf import settings
from twisted.internet import defer, reactor
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogBeginner

from capture.exceptions import ServerCannotStart
from capture.flow import Inbox
from capture.http_connection import Factory
from capture.lifecycle import Lifecycle
from capture.tls import DaphneTls
from capture.ws_connection import Socket, SocketFactory

logger = logging.getLogger(__name__)
loop: asyncio.AbstractEventLoop = twisted_loop  # the reactor's, not running yet
access_log = logging.getLogger("capture.access")

CLOSE_APPLICATIONS_SECONDS = 1.5
ACCESS_LOG_SECONDS = 0.2


class RecorderServer(Server):  # type: ignore[misc]
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, application: Any, address: str, port: int, tls: DaphneTls | None) -> None:
        self._access = AccessLog()
        super().__init__(
            application,
            endpoints=[f"{address}:{port}"],  # for Daphne's own check only; see run()
            action_logger=self._access,
            websocket_timeout=-1,
            websocket_handshake_timeout=5,
            websocket_max_message_size=settings.MAX_FRAME_BYTES,
            websocket_max_frame_size=settings.MAX_FRAME_BYTES,
            application_close_timeout=5,
            server_name="",
        )
        self._address, self._port, self._tls = address, port, tls
        self._lifecycle = Lifecycle()
        self._listeners: list[Any] = []

    def run(self, on_ready: Any = None) -> None:
        """Raises ServerCannotStart where the port is taken."""
        self.connections: dict[Any, dict[str, Any]] = {}
        asyncio.set_event_loop(loop)
        globalLogBeginner.beginLoggingTo(
            [lambda _: None], redirectStandardIO=False, discardBuffer=True
        )
        self.http_factory = Factory(self)
        self.ws_factory = SocketFactory(self, server="")
        self.ws_factory.setProtocolOptions(
            allowNullOrigin=True,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            closeHandshakeTimeout=2,
            failByDrop=False,  # whoever breaks a rule is told which
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        self._listen()
        loop.run_until_complete(self._lifecycle.start())
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        if on_ready is not None:
            reactor.callWhenRunning(on_ready)
        reactor.run(installSignalHandlers=True)

    def _listen(self) -> None:
        """On NVR_PORT, with TLS unless a proxy does that, and on the older clients' plain ports."""
        self._listen_on(self._port, self._tls)
        for port in settings.NVR.http_ports:
            self._listen_on(port, None)

    def _listen_on(self, port: int, tls: DaphneTls | None) -> None:
        where = {"interface": self._address, "backlog": 512}
        try:
            if tls is None:
                listener = reactor.listenTCP(port, self.http_factory, **where)
            else:
                listener = reactor.listenSSL(port, self.http_factory, tls, **where)
        except CannotListenError as error:
            reason = error.socketError.strerror or error.socketError
            text = f"Cannot listen on {self._address} port {port}: {reason}."
            raise ServerCannotStart(text) from error
        self._listeners.append(listener)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Inbox | None:
        """As Daphne does, but with an inbox that can be full and an answer that can wait."""
        inbox = Inbox()
        scope.setdefault("asgi", {"version": "3.0"})
        # Daphne takes it from a header of the caller, who could so get another path past
        # capture.plain than the one that Django answers.
        scope["root_path"] = self.root_path
        if scope["type"] == "websocket":
            scope["scheme"] = "ws" if self._tls is None else "wss"
            scope["extensions"] = {"websocket.http.response": {}}
        if protocol not in self.connections:
            return None

        async def send(message: dict[str, Any]) -> None:
            await self.handle_reply(protocol, message)

        self.connections[protocol]["application_instance"] = loop.create_task(
            self.application(scope, inbox.get, send)
        )
        return inbox

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if not await protocol.gate.passed():
            logger.info("A peer took nothing for a minute and was cut off.")
            protocol.abort()

    def kill_all_applications(self) -> Any:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._shut_down()))

    async def _shut_down(self) -> None:
        for listener in self._listeners:
            listener.stopListening()
        running = [
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details
        ]
        for protocol in list(self.connections):
            if isinstance(protocol, Socket) and protocol.state == protocol.STATE_OPEN:
                protocol.sendCloseFrame(code=1001, reasonUtf8=b"the recorder stops")
        for application in running:
            application.cancel()
        if running:
            await asyncio.wait(running, timeout=CLOSE_APPLICATIONS_SECONDS)
        await self._lifecycle.stop()
        self._access.write()


class AccessLog:
    """Daphne's `action_logger`. Lines are written together, after a crowd's answers instead of
    between them; their time is that of writing. In the event loop only."""

    def __init__(self) -> None:
        self._waiting: list[tuple[object, ...]] = []

    def __call__(self, protocol: Any, action: str, details: dict[str, Any]) -> None:  # noqa: ARG002
        """Without the query: it may hold what its sender should have put elsewhere."""
        path = details["path"].split("?", 1)[0]
        if "method" in details:
            milliseconds = round(details["time_taken"] * 1000)
            what = (details["client"], details["method"], path, details["status"], details["size"])
            self._waiting.append(("%s %s %s %s %s bytes %d ms", *what, milliseconds))
        else:
            self._waiting.append(("%s WebSocket %s %s", details["client"], path, action))
        if len(self._waiting) == 1:
            loop.call_later(ACCESS_LOG_SECONDS, self.write)

    def write(self) -> None:
        lines, self._waiting = self._waiting, []
        for line in lines:
            access_log.info(*line)
