"""Daphne's HTTP connections with deadlines, bounded bodies and answers that wait for their reader.

Import it from capture.server only: Twisted's reactor has to be chosen first.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from daphne import http_protocol
from django.conf import settings
from twisted.web import http

from capture.flow import Gate
from capture.refusals import TOO_LARGE, too_large

HEADER_SECONDS = 15.0  # for a request's head, the TLS handshake included
BODY_SECONDS = 120.0
IDLE_SECONDS = 60.0  # between two requests of one connection
MAX_DESCRIPTORS = 2048  # a connection costs about 50 KB
LINGER_SECONDS = 2.0  # for the client to read the 413 before the connection is cut


def most_descriptors() -> int:
    """From this descriptor on, connections are cut: recordings need some, too. The kernel gives the
    lowest that is free, so the number of a new one tells how many are open.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft < 0 else min(soft * 3 // 4, MAX_DESCRIPTORS)


class Channel(http.HTTPChannel):  # type: ignore[misc]
    """An HTTP connection with a deadline for every phase: a byte a second keeps no socket.

    Deadlines move four times a request, and timers are dear: one that fires too early looks again.
    The event loop's own, as Twisted's follow the wall clock, whose steps would cut connections.
    """

    _deadline_s: float | None = None  # of the loop's monotonic clock
    _timer: asyncio.TimerHandle | None = None

    def connectionMade(self) -> None:  # noqa: N802
        super().connectionMade()
        if self._is_one_too_many():
            self.transport.abortConnection()
            return
        self._restart_deadline(HEADER_SECONDS)

    def _is_one_too_many(self) -> bool:
        """This machine's own always come in: the supervisor's, the agent's, a proxy's."""
        is_own = self.transport.getPeer().host == self.transport.getHost().host
        return not is_own and self.transport.fileno() >= most_descriptors()

    def allHeadersReceived(self) -> None:  # noqa: N802
        self._restart_deadline(BODY_SECONDS)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:  # noqa: N802
        self._stop_deadline()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:  # noqa: N802
        self._restart_deadline(IDLE_SECONDS)
        super().requestDone(request)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self._stop_deadline()
        self._stop_timer()
        super().connectionLost(reason)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802
        self._respondToBadRequestAndDisconnect()  # stock Twisted hangs up without a word

    def request_path(self) -> str:
        """Of the request whose body is still to come, without its query."""
        return str(self._path.split(b"?", 1)[0].decode("latin-1"))

    def refuse_body(self) -> None:
        """413 at once; what the client still sends is thrown away until it has read that."""
        body = too_large(self.request_path())
        reason = http.RESPONSES[TOO_LARGE].decode()
        head = (
            f"HTTP/1.1 {TOO_LARGE} {reason}\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.persistent = False
        self.transport.write(head.encode() + body)
        self.loseConnection()
        self._restart_deadline(LINGER_SECONDS)

    def _restart_deadline(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadline_s = loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline_s:
            self._stop_timer()
        if self._timer is None:
            self._timer = loop.call_at(self._deadline_s, self._look)

    def _stop_deadline(self) -> None:
        self._deadline_s = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._deadline_s is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._deadline_s:
            self.transport.abortConnection()
        else:
            self._timer = loop.call_at(self._deadline_s, self._look)


class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """A request whose body is bounded before it is kept, and whose answer waits for its reader."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Forms are Django's to read: Twisted would parse every one besides, for nobody.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)
        self.gate = Gate()
        self._received_bytes = 0
        self._is_refused = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        if length is not None and length > settings.MAX_BODY_BYTES:
            self._refuse()
            length = 0
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._received_bytes += len(data)
        if self._is_refused:
            return
        if self._received_bytes > settings.MAX_BODY_BYTES:  # chunked: no length was announced
            self._refuse()
            return
        super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        if not self._is_refused:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        self._is_refused = True
        self.channel.refuse_body()

    def handle_reply(self, message: dict[str, Any]) -> None:
        is_start = message.get("type") == "http.response.start"
        if is_start and not self.finished and self.channel is not None:
            self.registerProducer(self.gate, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer is not None and self.channel is not None:
            self.unregisterProducer()
        super().finish()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.gate.stopProducing()
        super().connectionLost(reason)

    def abort(self) -> None:
        if self.channel is not None:
            self.channel.transport.abortConnection()


class Factory(http_protocol.HTTPFactory):  # type: ignore[misc]
    protocol = Channel

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        protocol = http.HTTPFactory.buildProtocol(self, addr)
        protocol.requestFactory = Request
        return protocol

    def log(self, request: Any) -> None:
        """Nothing: Twisted would make a line for a log that is closed. Ours is capture.server's."""
