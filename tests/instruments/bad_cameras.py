"""Cameras that misbehave as told: RTSP and HTTP, scripted, in the test's own event loop.

What an honest RTSP camera does is GStreamer's business (`tests/instruments/rtsp_server.py`); these
hang, refuse, redirect, drip, and send nonsense at a place that the test chooses.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from recordings.media import nal
from tests.recordings.footage import Coded, coded

RTP_PAYLOAD_BYTES = 1400
CLOCK_HZ = 90_000

Answer = tuple[int, Mapping[str, str], bytes]
Handler = Callable[["Request", asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclass(frozen=True)
class Request:
    method: str
    uri: str
    headers: Mapping[str, str]


@dataclass
class Camera:
    """What a test sees of a running one."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


@dataclass
class RtspScript:
    """`hang_at`: this request is read and never answered. `close_at`: at this one the connection is
    closed. `answers`: status, headers and body instead of the usual ones, or a function that gives
    them. `pictures`: the footage to send after PLAY, at its own times or those of `times_ms` (RTP
    time stamps; the sending goes on at the pace of the footage). `stop_after`: so many pictures,
    then silence; `cut_after`: then the connection is closed.
    """

    hang_at: str = ""
    close_at: str = ""
    answers: Mapping[str, Answer | Callable[[Request], Answer]] = field(default_factory=dict)
    session: str = "4711;timeout=60"
    pictures: Coded | None = None
    times_ms: Sequence[int] = ()
    stop_after: int | None = None
    cut_after: int | None = None
    skip_keys: bool = False
    noise: bytes = b""  # sent instead of any answer
    sdp: bytes = b""


@asynccontextmanager
async def rtsp_camera(script: RtspScript | None = None) -> AsyncIterator[Camera]:
    script = script or RtspScript(pictures=coded())

    async def talk(request: Request, writer: asyncio.StreamWriter) -> None:
        if script.noise:
            writer.write(script.noise)
            return
        if request.method == script.close_at:
            writer.close()
            return
        if request.method == script.hang_at:
            await asyncio.Event().wait()
        scripted = script.answers.get(request.method) or _usual(request, script)
        status, headers, body = scripted(request) if callable(scripted) else scripted
        lines = [f"RTSP/1.0 {status} Said", f"CSeq: {request.headers.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        if request.method == "PLAY" and status == 200:
            await _play(script, writer)

    async with _server(talk) as camera:
        yield camera


def _usual(request: Request, script: RtspScript) -> Answer:
    match request.method:
        case "OPTIONS":
            return 200, {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"}, b""
        case "DESCRIBE":
            return 200, {"Content-Type": "application/sdp"}, script.sdp or sdp_of(script.pictures)
        case "SETUP":
            transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
            return 200, {"Transport": transport, "Session": script.session}, b""
    return 200, {"Session": script.session.partition(";")[0]}, b""


def sdp_of(footage: Coded | None) -> bytes:
    footage = footage or coded()
    sets = (base64.b64encode(each).decode() for each in nal.sets_of("h264", footage.track.config))
    lines = [
        "v=0", "o=- 1 1 IN IP4 10.9.8.7", "s=scripted", "t=0 0", "a=control:*",
        "m=video 0 RTP/AVP 96", "c=IN IP4 10.9.8.7", "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=" + ",".join(sets),
        "a=control:stream=0",
    ]  # fmt: skip
    return "\r\n".join([*lines, ""]).encode()


async def _play(script: RtspScript, writer: asyncio.StreamWriter) -> None:
    pictures = script.pictures.pictures if script.pictures else []
    sequence, began = 0, asyncio.get_running_loop().time()
    for number, block in enumerate(pictures):
        if number == script.stop_after or writer.is_closing():
            return
        if number == script.cut_after:
            writer.close()
            return
        await asyncio.sleep(began + block.time_ms / 1000 - asyncio.get_running_loop().time())
        if script.skip_keys and block.is_key:
            continue
        time_ms = script.times_ms[number] if script.times_ms else block.time_ms
        for packet in rtp_packets(block.payload, time_ms, sequence):
            writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
            sequence += 1
        with contextlib.suppress(ConnectionError):
            await writer.drain()


def rtp_packets(picture: bytes, time_ms: int, sequence: int) -> Iterator[bytes]:
    """RFC 6184: single NAL units, and FU-A for long ones; `picture` with 4-byte lengths."""
    units = list(nal.units(picture))
    stamp = (time_ms * CLOCK_HZ // 1000) & 0xFFFFFFFF
    payloads: list[tuple[bytes, bool]] = []
    for at, unit in enumerate(units):
        is_last = at == len(units) - 1
        if len(unit) <= RTP_PAYLOAD_BYTES:
            payloads.append((unit, is_last))
            continue
        kind, rest = unit[0], unit[1:]
        pieces = [rest[i : i + RTP_PAYLOAD_BYTES] for i in range(0, len(rest), RTP_PAYLOAD_BYTES)]
        for number, piece in enumerate(pieces):
            is_end = number == len(pieces) - 1
            flags = (0x80 if number == 0 else 0) | (0x40 if is_end else 0)
            head = bytes((kind & 0xE0 | 28, flags | kind & 0x1F))
            payloads.append((head + piece, is_last and is_end))
    for number, (payload, is_marked) in enumerate(payloads):
        head = bytes((0x80, 96 | (0x80 if is_marked else 0)))
        yield (
            head
            + ((sequence + number) & 0xFFFF).to_bytes(2, "big")
            + stamp.to_bytes(4, "big")
            + b"ROST"
            + payload
        )


@asynccontextmanager
async def http_camera(handler: Handler) -> AsyncIterator[Camera]:
    """`handler` answers each request as it likes; the connection stays open until it closes it."""
    async with _server(handler) as camera:
        yield camera


def http_answer(
    status: int = 200,
    body: bytes = b"",
    content_type: str = "image/jpeg",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {content_type}"]
    lines += [f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def _server(talk: Handler) -> AsyncIterator[Camera]:
    camera = Camera()
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        camera.connections += 1
        camera.open_connections += 1
        try:
            while request := await _read(reader):
                camera.requests.append(request)
                if request.method == "PLAY":  # goes on beside what the viewer says
                    playing = asyncio.create_task(talk(request, writer))
                    talking.add(playing)
                else:
                    await talk(request, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            camera.open_connections -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    camera.port = server.sockets[0].getsockname()[1]
    try:
        yield camera
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request; RTCP reports of the viewer are skipped."""
    while True:
        first = await reader.read(1)
        if not first:
            return None
        if first == b"$":
            head = await reader.readexactly(3)
            await reader.readexactly(int.from_bytes(head[1:3], "big"))
            continue
        with contextlib.suppress(asyncio.IncompleteReadError):
            lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, uri, _ = lines[0].split(" ", 2)
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            return Request(method, uri, headers)
        return None
