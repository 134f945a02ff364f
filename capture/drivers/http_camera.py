"""The HTTP a camera needs: GET, log-in, redirects that stay at the camera, bodies of every length.

Not FFmpeg's and not a library's: FFmpeg follows redirects to anywhere, and connections here must go
to addresses that were checked. Cameras also answer in ways that stricter clients refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from capture.agent.protocol import SourceError
from capture.drivers import connection, messages, words
from capture.drivers.connection import Channel, Closed
from capture.drivers.login import Login
from capture.drivers.messages import Message
from devices import addresses
from devices.addresses import Address

ANSWER_S = 5.0
MAX_REDIRECTS = 3
_CHUNK_LINE_BYTES = 256
_MAX_CHUNK_BYTES = 16 * 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


class HttpCamera:
    """One address of a camera; a connection is used again where the camera leaves it open."""

    def __init__(
        self, address: Address, username: str, password: str, on_stage: Callable[[str], None]
    ) -> None:
        self._on_stage = on_stage
        self._address = address
        self._path = addresses.request_path(address.path, username, password)
        self._login = Login(username, password)
        self._ips: list[addresses.IpAddress] = []
        self._channel: Channel | None = None

    async def get(self) -> tuple[Message, AsyncIterator[bytes]]:
        """Head of a 200 and its body in pieces. Raises SourceError."""
        has_logged_in, redirects = False, 0
        while True:
            head = await self._ask()
            if head.status == 401:
                if has_logged_in:
                    raise words.refused(has_login=True)
                has_logged_in = True
                self._login.challenge(head.all("www-authenticate"))
            elif head.status in _REDIRECTS:
                redirects += 1
                self._follow(head.get("location"), redirects)
            else:
                self._check(head)
                return head, self._body(head)
            self.close()  # what else it says is not read

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # --- question and answer ----------------------------------------------------------------------

    async def _ask(self) -> Message:
        if not self._ips:
            self._on_stage("resolving")
            self._ips = await connection.resolve(self._address)
        if self._channel is not None and not self._channel.has_ended:
            with contextlib.suppress(Closed):  # it had been left open, and was closed just now
                return await self._ask_on(self._channel)
        self._on_stage("connecting")
        self._channel = await connection.connect(self._address, self._ips)
        self._on_stage("asking")
        try:
            return await self._ask_on(self._channel)
        except Closed as error:
            raise words.not_understood(self._address.place, "HTTP") from error

    async def _ask_on(self, channel: Channel) -> Message:
        headers = {"Host": self._address.netloc, "User-Agent": "Roost", "Accept": "*/*"}
        if authorization := self._login.authorization("GET", self._path):
            headers["Authorization"] = authorization
        channel.write(messages.build(f"GET {self._path} HTTP/1.1", headers))
        try:
            async with asyncio.timeout(ANSWER_S):
                head = await messages.read_head(channel)
        except TimeoutError as error:
            raise words.silent("GET") from error
        except ValueError as error:
            raise words.not_understood(self._address.place, "HTTP") from error
        if not head.status or head.first_line.upper().startswith("RTSP/"):
            raise words.not_understood(self._address.place, "HTTP")
        return head

    def _follow(self, location: str, count: int) -> None:
        """To another path of the same camera. Raises SourceError for everywhere else."""
        here = f"{self._address.scheme}://{self._address.netloc}{self._path}"
        try:
            target = addresses.parse(
                urljoin(here, location), allow_loopback=settings.NVR_ALLOW_LOOPBACK_CAMERAS
            )
        except (addresses.BadAddress, ValueError) as error:
            raise words.redirected(_host_of(location)) from error
        is_weaker = self._address.is_tls and not target.is_tls
        if target.host != self._address.host or target.kind != "http" or is_weaker:
            raise words.redirected(target.url_without_login)
        if count > MAX_REDIRECTS:
            raise words.redirected("in a circle")
        self._address = target
        self._path = addresses.request_path(target.path, target.username, target.password)
        self._ips = []  # looked up and checked again

    def _check(self, head: Message) -> None:
        match head.status:
            case 200:
                return
            case 403:
                raise words.forbidden(self._address.path)
            case 404 | 410:
                raise words.not_found(self._address.path)
            case 503:
                raise words.busy()
        raise words.answered_error(head.status, head.reason)

    # --- bodies -----------------------------------------------------------------------------------

    async def _body(self, head: Message) -> AsyncIterator[bytes]:
        """Ends with the body. Raises SourceError where the camera ends before it."""
        channel = self._channel
        assert channel is not None  # noqa: S101  the head came from it
        try:
            if "chunked" in head.get("transfer-encoding").lower():
                async for piece in _chunks(channel):
                    yield piece
            elif head.get("content-length"):
                left = head.body_bytes
                while left:
                    piece = await channel.read(left)
                    left -= len(piece)
                    yield piece
            else:
                with contextlib.suppress(Closed):  # the only end there is
                    while True:
                        yield await channel.read()
                self.close()
        except Closed as error:
            raise words.ended() from error
        except ValueError as error:
            raise words.damaged(str(error)) from error
        if head.get("connection").lower() == "close" or "HTTP/1.1" not in head.first_line:
            self.close()


async def _chunks(channel: Channel) -> AsyncIterator[bytes]:
    """RFC 9112 §7.1; a chunk is given out in the pieces it comes in."""
    while True:
        line = await channel.read_until((b"\n",), _CHUNK_LINE_BYTES)
        if not line.strip():
            continue  # the line break behind a chunk
        left = int(line.partition(b";")[0], 16)
        if not 0 <= left <= _MAX_CHUNK_BYTES:
            raise ValueError("a chunk is too long")
        if not left:
            return
        while left:
            piece = await channel.read(left)
            left -= len(piece)
            yield piece


def _host_of(location: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(location).hostname or "elsewhere"
    return "elsewhere"


def unexpected(content_type: str, beginning: bytes) -> SourceError:
    """What an answer is that is neither a picture nor a stream of them."""
    kind = content_type.partition(";")[0].strip().lower()
    if "mpegurl" in kind or "dash+xml" in kind or beginning.startswith(b"#EXTM3U"):
        return words.a_playlist()
    if "html" in kind or beginning.lstrip()[:1] == b"<":
        return words.a_web_page()
    return words.no_pictures(kind)
