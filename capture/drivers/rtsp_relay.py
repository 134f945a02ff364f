"""Stands between FFmpeg and an RTSP camera (RFC 2326), so that FFmpeg knows neither.

FFmpeg wants the password in its command line, where every account of the machine can read it, and
follows redirects wherever they lead. So the connection to the camera is made here, to a checked
address; OPTIONS and DESCRIBE are asked here, and every 3xx ends here. FFmpeg connects to a port of
127.0.0.1 that takes one connection, of this user, with a token that is good once. It is answered
OPTIONS and DESCRIBE from here; its SETUP and PLAY go on to the camera with the camera's own
addresses and the log-in filled in. After PLAY bytes are passed on as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from capture.agent.protocol import SourceError
from capture.drivers import messages, sdp, words
from capture.drivers.connection import Channel, Closed
from capture.drivers.login import Login
from capture.drivers.messages import Message
from devices import addresses
from devices.addresses import Address

ANSWER_S = 5.0
FIRST_BYTES_S = 5.0  # after PLAY
QUIET_S = 4.5  # in the middle of it; the agent's own deadline is 5 s without a packet
GOODBYE_S = 0.5
_AGENT = "Roost"
_INTERLEAVED = b"$"
_MAX_URI_LETTERS = 2000


class Relay:
    """`begin` asks the camera what it has, `serve` then waits for FFmpeg; `end` it."""

    def __init__(self, address: Address, login: Login, request_path: str) -> None:
        self._address = address
        self._login = login
        # Never shown: the password may stand in it.
        self._base = f"{address.scheme}://{address.netloc}{request_path}"
        self._aggregate = self._base
        self._camera: Channel | None = None
        self._client: Channel | None = None
        self._server: asyncio.Server | None = None
        self._media: tuple[sdp.Medium, ...] = ()
        self._public = ""
        self._session = ""
        self._sequence = 0
        self._alive: tuple[str, str] | None = None  # the last sign of life
        self._own = ""
        self._arrived: asyncio.Queue[Channel] = asyncio.Queue()
        self._token = secrets.token_hex(16)

    # --- asking the camera ------------------------------------------------------------------------

    async def begin(self, camera: Channel, *, wants_audio: bool) -> tuple[sdp.Medium, ...]:
        """The streams that will be taken, video first. Raises SourceError."""
        self._camera = camera
        options = await self._ask("OPTIONS", self._base)
        self._public = options.get("public")
        answer = await self._ask("DESCRIBE", self._base, {"Accept": "application/sdp"})
        self._check(answer)
        offer = sdp.parse(answer.body)
        video, sound = offer.video, offer.sound
        if video is None:
            raise words.no_video()
        if video.codec not in sdp.VIDEO_CODECS:
            raise words.unknown_codec(video.codec)
        base = answer.get("content-base") or answer.get("content-location") or self._base
        self._aggregate = _joined(base, offer.control)
        self._media = (video, sound) if sound and wants_audio else (video,)
        self._base = base
        return self._media

    async def _ask(self, method: str, uri: str, headers: dict[str, str] | None = None) -> Message:
        """The camera's answer; asked a second time with the log-in where it wants one."""
        for attempt in range(2):
            self._send(method, uri, headers or {})
            answer = await self._answer(method)
            if answer.status != 401:
                return answer
            if attempt == 0:
                self._login.challenge(answer.all("www-authenticate"))
        raise words.refused(has_login=True)

    def _send(self, method: str, uri: str, headers: dict[str, str]) -> None:
        assert self._camera is not None  # noqa: S101  `begin` came first
        self._sequence += 1
        sent = {"CSeq": str(self._sequence), "User-Agent": _AGENT, **headers}
        if self._session:
            sent["Session"] = self._session
        if authorization := self._login.authorization(method, uri):
            sent["Authorization"] = authorization
        self._camera.write(messages.build(f"{method} {uri} RTSP/1.0", sent))

    async def _answer(self, method: str) -> Message:
        """The next answer; what the camera streams before it goes on to FFmpeg already."""
        assert self._camera is not None  # noqa: S101
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    first = await self._camera.read_exactly(1)
                    if first == _INTERLEAVED:
                        await self._pass_frame(first)
                        continue
                    message = await self._rest_of(first)
                    if message.status:
                        return message
        except TimeoutError as error:
            raise words.silent(method) from error
        except Closed as error:
            raise words.hung_up(method) from error
        except ValueError as error:
            raise words.not_understood(self._address.place, "RTSP") from error

    async def _pass_frame(self, first: bytes) -> None:
        """RFC 2326 §10.12: "$", a channel, a length of two bytes, and so many bytes."""
        assert self._camera is not None  # noqa: S101
        head = first + await self._camera.read_exactly(3)
        frame = head + await self._camera.read_exactly(int.from_bytes(head[2:4], "big"))
        if self._client is not None:
            self._client.write(frame)

    async def _rest_of(self, first: bytes) -> Message:
        """What stands there may be HTTP, or noise: only RTSP is read on."""
        assert self._camera is not None  # noqa: S101
        data = first
        while data in (b"\r", b"\n"):
            data = await self._camera.read_exactly(1)
        data += await self._camera.read_until(messages.HEAD_ENDS, messages.MAX_HEAD_BYTES)
        head = messages.parse_head(data)
        if "RTSP/" not in head.first_line.upper():
            raise ValueError("this is not RTSP")
        if head.body_bytes > messages.MAX_BODY_BYTES:
            raise ValueError("an answer is too long")
        body = await self._camera.read_exactly(head.body_bytes)
        return Message(head.first_line, head.headers, body)

    def _check(self, answer: Message) -> None:
        """Raises SourceError for everything but 200."""
        match answer.status:
            case 200:
                return
            case 301 | 302 | 303 | 305 | 307 | 308:
                raise words.redirected(_shown(answer.get("location")))
            case 403:
                raise words.forbidden(self._address.path)
            case 404 | 410 | 454:
                raise words.not_found(self._address.path)
            case 453 | 503:
                raise words.busy()
            case 461:
                raise words.only_udp()
        raise words.answered_error(answer.status, answer.reason)

    # --- answering FFmpeg -------------------------------------------------------------------------

    async def listen(self) -> str:
        """The address for FFmpeg: no log-in, no camera, good for one connection."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Visitor(self._arrived), "127.0.0.1", 0, backlog=4
        )
        port = self._server.sockets[0].getsockname()[1]
        self._own = f"rtsp://127.0.0.1:{port}/{self._token}"
        return self._own

    async def serve(self) -> None:
        """Until FFmpeg goes. Raises SourceError when it is the camera that ends it."""
        assert self._server is not None  # noqa: S101  `listen` came first
        own_port = self._server.sockets[0].getsockname()[1]
        while self._client is None:
            visitor = await self._arrived.get()
            if _user_of(visitor.port_of_peer, own_port) == os.getuid():
                self._client = visitor
            else:
                visitor.close()
        self._server.close()
        with contextlib.suppress(Closed, ValueError):  # FFmpeg's end is told by FFmpeg
            is_playing = False
            while not is_playing:
                is_playing = await self._serve_one(await messages.read_message(self._client))
            await self._stream()

    async def _serve_one(self, request: Message) -> bool:
        """True once PLAY was answered."""
        assert self._client is not None  # noqa: S101
        method, _, rest = request.first_line.partition(" ")
        uri, headers = rest.partition(" ")[0], {"CSeq": request.get("cseq")}
        if not uri.startswith(self._own) and uri != "*":
            raise ValueError("somebody without the token")
        if method == "OPTIONS":
            headers["Public"] = self._public or "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
            self._client.write(messages.build("RTSP/1.0 200 OK", headers))
        elif method == "DESCRIBE":
            body = sdp.build(self._media)
            headers |= {"Content-Base": self._own + "/", "Content-Type": "application/sdp"}
            headers["Content-Length"] = str(len(body))
            self._client.write(messages.build("RTSP/1.0 200 OK", headers, body))
        else:
            await self._go_between(method, uri, request)
        return method == "PLAY"

    async def _go_between(self, method: str, uri: str, request: Message) -> None:
        """SETUP and PLAY: asked of the camera, answered to FFmpeg."""
        assert self._client is not None  # noqa: S101
        kept = {name.title(): request.get(name) for name in ("transport", "range", "scale")}
        answer = await self._ask(
            method, self._camera_uri(uri), {name: value for name, value in kept.items() if value}
        )
        self._check(answer)
        self._session = answer.get("session").partition(";")[0].strip() or self._session
        headers = {
            name.title(): value
            for name, value in answer.headers
            if name in ("transport", "session")
        }
        headers = {"CSeq": request.get("cseq"), **headers}
        self._client.write(messages.build("RTSP/1.0 200 OK", headers))

    def _camera_uri(self, uri: str) -> str:
        _, is_track, number = uri.rpartition("/track")
        if is_track and number.isdecimal() and int(number) < len(self._media):
            return _joined(self._base, self._media[int(number)].control)
        return uri if uri == "*" else self._aggregate

    # --- after PLAY -------------------------------------------------------------------------------

    async def _stream(self) -> None:
        assert self._camera is not None  # noqa: S101
        assert self._client is not None  # noqa: S101
        before = self._camera.received_bytes
        self._camera.forward_to(self._client, self._notice)
        keeping_alive = asyncio.create_task(self._pass_on_requests())
        try:
            await self._watch(before)
        finally:
            keeping_alive.cancel()
            with contextlib.suppress(asyncio.CancelledError, Closed, ValueError):
                await keeping_alive

    async def _watch(self, before: int) -> None:
        """Ends when FFmpeg goes; raises SourceError when the camera does or nothing comes."""
        assert self._camera is not None  # noqa: S101
        assert self._client is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        seen, changed_at, is_first = before, loop.time(), True
        while not self._client.has_ended:
            limit = FIRST_BYTES_S if is_first else QUIET_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit / 8):
                    await self._camera.until_closed()
                    raise words.ended()
            if self._camera.received_bytes != seen:
                seen, changed_at, is_first = self._camera.received_bytes, loop.time(), False
            elif loop.time() - changed_at > limit:
                raise words.no_picture_came("PLAY") if is_first else words.stopped(limit)

    async def _pass_on_requests(self) -> None:
        """What FFmpeg says meanwhile: reports of what it received, and that it is still there."""
        assert self._camera is not None  # noqa: S101
        assert self._client is not None  # noqa: S101
        while True:
            first = await self._client.read_exactly(1)
            if first == _INTERLEAVED:
                head = first + await self._client.read_exactly(3)
                length = int.from_bytes(head[2:4], "big")
                self._camera.write(head + await self._client.read_exactly(length))
                continue
            rest = await self._client.read_until(messages.HEAD_ENDS, messages.MAX_HEAD_BYTES)
            method, _, uri = messages.parse_head(first + rest).first_line.partition(" ")
            self._alive = (method, self._camera_uri(uri.partition(" ")[0]))
            self._send(*self._alive, {})

    def _notice(self, data: bytes) -> None:
        """A sign of life that was refused because what the camera had asked for has expired.

        Its answer comes among the pictures and goes to FFmpeg with them. Only one that lies whole
        in one piece is seen, as small messages do; and it is said again once, not for ever.
        """
        at = data.find(b"RTSP/1.0 401")
        if at < 0 or self._alive is None or (end := data.find(messages.HEAD_ENDS[0], at)) < 0:
            return
        again, self._alive = self._alive, None
        with contextlib.suppress(SourceError):
            self._login.challenge(messages.parse_head(data[at : end + 4]).all("www-authenticate"))
            self._send(*again, {})

    async def end(self) -> None:
        """Says goodbye to a camera that has begun to send: else some keep the place for a minute."""
        for end in (self._client, self._server):
            if end is not None:
                end.close()
        if self._camera is None:
            return
        try:
            if self._session and not self._camera.has_ended:
                self._send("TEARDOWN", self._aggregate, {})
                await self._camera.linger(GOODBYE_S)
        finally:
            self._camera.close()


class _Visitor(Channel):
    """Whoever connects to the port for FFmpeg."""

    def __init__(self, arrived: asyncio.Queue[Channel]) -> None:
        super().__init__()
        self._arrived = arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arrived.put_nowait(self)


def _joined(base: str, control: str) -> str:
    """RFC 2326 C.1.1, as cameras mean it: what is relative is hung on, whatever base ends with."""
    if control in ("", "*"):
        return base
    is_whole = "://" in control
    joined = control if is_whole else f"{base.removesuffix('/')}/{control}"
    if len(joined) > _MAX_URI_LETTERS or not joined.isascii() or not joined.isprintable():
        return base
    return joined.replace(" ", "%20")


def _shown(location: str) -> str:
    """A redirect's target without a log-in; "elsewhere" when it is nothing a person could enter."""
    try:
        return addresses.parse(location, allow_loopback=True).url_without_login
    except addresses.BadAddress:
        with contextlib.suppress(ValueError):
            return urlsplit(location).hostname or "elsewhere"
        return "elsewhere"


def _user_of(their_port: int, own_port: int) -> int:
    """Which user's connection this is (proc_pid_net(5)), -1 where that cannot be told."""
    ends = f"0100007F:{their_port:04X} 0100007F:{own_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if " ".join(fields[1:3]) == ends:
            return int(fields[7])
    return -1
