"""The web process itself: bounded requests, deadlines, TLS, starting and stopping."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.capture.firmware import Camera, jpeg
from tests.capture.web import Web, eventually
from tests.instruments.certificates import Pki, make_pki

HUGE = 600 * 1024 * 1024
PICTURE = jpeg()


def post(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


# --- floods ---------------------------------------------------------------------------------------

# In a process of its own: whoever imports Daphne's server has chosen Twisted's reactor for good.
PINGED = """
from django.conf import settings
settings.configure(MAX_FRAME_BYTES=1000)
import daphne.server
from capture.ws_connection import Socket
from capture.flow import Gate, Inbox
from capture.media.wsframes import FrameReader
from daphne import ws_protocol

answered = []
ws_protocol.WebSocketProtocol.consumeData = lambda self: answered.append(self.data[-1:])
socket = Socket.__new__(Socket)
socket.state, socket._has_failed, socket._is_paused = Socket.STATE_OPEN, False, False
socket.gate, socket.application_queue, socket._reader = Gate(), Inbox(), FrameReader(1000)
def ping(letter):
    socket.dataReceived(b"\\x89\\x81\\0\\0\\0\\0" + letter)
ping(b"a")
socket.gate.pauseProducing()  # 64 KB wait to be read
ping(b"b")
socket.gate.resumeProducing()
ping(b"c")
print(b"".join(answered).decode())
"""


def test_pings_of_a_peer_that_reads_no_answers_pile_up_nowhere() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PINGED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "ac\n", done.stderr


CONNECTED = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
from types import SimpleNamespace as Thing
import daphne.server
from capture.http_connection import Channel

def is_cut(descriptor, peer):
    channel = Channel.__new__(Channel)
    host = lambda address: lambda: Thing(host=address)
    channel.transport = Thing(
        fileno=lambda: descriptor, getPeer=host(peer), getHost=host("192.168.1.2")
    )
    return channel._is_one_too_many()

print(is_cut(74, "192.168.1.9"), is_cut(75, "192.168.1.9"), is_cut(75, "192.168.1.2"))
"""


def test_connections_of_strangers_leave_descriptors_for_recordings() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONNECTED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "False True False\n", done.stderr


# --- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/nowhere", {"error", "message"}),
        ("/register", {"error", "message"}),
        ("/nowhere?x=/api/v1/", {"error", "message"}),
        ("/api/v1/devices/", {"detail"}),
        ("/api/store", {"error"}),
        ("/api/camera/capture", {"ok", "error"}),
        ("/capture", {"detail"}),
    ],
)
async def test_a_600_mb_post_is_refused_at_once_in_its_contracts_shape(
    web: Web, path: str, shape: set[str]
) -> None:
    began = time.monotonic()
    status, head, body = await web.http(post(path, f"Content-Length: {HUGE}") + bytes(100_000))
    assert status == 413
    assert time.monotonic() - began < 5
    assert set(json.loads(body)) == shape
    assert "application/json" in head.lower()
    assert "connection: close" in head.lower()


@pytest.mark.parametrize("announcement", [f"Content-Length: {HUGE}", "Transfer-Encoding: chunked"])
async def test_what_is_sent_regardless_is_kept_nowhere(web: Web, announcement: str) -> None:
    process = psutil.Process(web.pid)
    before = process.memory_info().rss
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=web.context)
    writer.write(post("/nowhere", announcement))
    block = bytes(1024 * 1024)
    if "chunked" in announcement:
        block = b"100000\r\n" + block + b"\r\n"
    grown, head = 0, b""
    try:
        async with asyncio.timeout(20):
            for _ in range(60):
                writer.write(block)
                await writer.drain()
                grown = max(grown, process.memory_info().rss - before)
            head = await reader.read(20)
    except OSError:
        pass  # cut off while sending: as good
    finally:
        writer.transport.abort()
    assert head in (b"", b"HTTP/1.1 413 Request", b"HTTP/1.1 413 Payload") or b" 413 " in head
    assert grown < 30 * 1024 * 1024


async def test_a_body_within_the_limit_reaches_its_view(web: Web) -> None:
    body = b'{"deviceId":"' + b"x" * 200_000 + b'"}'
    request = post("/register", f"Content-Length: {len(body)}", "Connection: close") + body
    status, _, answer = await web.http(request)
    assert status == 400
    assert set(json.loads(answer)) == {"error", "message"}


async def test_a_pipelined_second_request_is_answered_too(web: Web) -> None:
    one = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    status, head, body = await web.http(one + one + last)
    assert status == 404
    assert (head.encode() + body).count(b"HTTP/1.1 404") == 3


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_a_broken_request_is_refused_and_the_server_lives(web: Web, garbage: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=web.context)
    writer.write(garbage)
    async with asyncio.timeout(10):
        answer = await reader.read(100)
    writer.transport.abort()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await web.get("/nowhere"))[0] == 404


async def test_a_deaf_reader_of_the_mjpeg_stream_costs_next_to_nothing(
    web: Web, cleanup: list[Camera]
) -> None:
    camera = await web.dial(0)
    cleanup.append(camera)
    picture = PICTURE[:2] + b"\xff\xe5\xff\xfe" + bytes(65_532) + PICTURE[2:]
    await camera.send_frame(picture)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", web.port))
    link = await asyncio.to_thread(web.context.wrap_socket, raw, server_hostname="127.0.0.1")
    path = f"/api/v1/devices/{web.world['devices'][0]}/stream.mjpeg"
    token = web.world["admin_token"]
    link.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    await eventually(lambda: (web.facts(0) or {}).get("viewers"))
    process = psutil.Process(web.pid)
    for _ in range(30):
        await camera.send_frame(picture)
        await asyncio.sleep(0.02)
    before = process.memory_info().rss
    for _ in range(200):
        await camera.send_frame(picture)
        await asyncio.sleep(0.02)
    grown = process.memory_info().rss - before
    link.close()
    assert grown < 8 * 1024 * 1024, f"{grown} bytes for {200 * len(picture)} sent"
    await eventually(lambda: not (web.facts(0) or {"viewers": 0})["viewers"])


# --- TLS --------------------------------------------------------------------------------------------


def handshake(web: Web, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", web.port), 10)
    try:
        return context.wrap_socket(raw, server_hostname="127.0.0.1")
    except BaseException:
        raw.close()
        raise


@pytest.mark.parametrize(
    "cipher",
    ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
)
def test_the_firmwares_tls_1_2_is_spoken(web: Web, cipher: str) -> None:
    context = web.context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    with handshake(web, context) as link:
        assert link.version() == "TLSv1.2"


def test_browsers_get_tls_1_3(web: Web) -> None:
    with handshake(web, web.context) as link:
        assert link.version() == "TLSv1.3"


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256"])
def test_weak_ciphers_are_not_spoken(web: Web, cipher: str) -> None:
    context = web.context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher + ":@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(web, context)


# --- starting and stopping --------------------------------------------------------------------------


@pytest.fixture(params=["daphne", "uvicorn"])
def own_web(
    request: pytest.FixtureRequest, tmp_path: Path, populated: Path, pki: Pki
) -> Iterator[Web]:
    """A web process of one test's own, not started yet."""
    shutil.copytree(populated, tmp_path / "data")
    web = Web(tmp_path / "data", pki, request.param)
    yield web
    if web.process is not None:
        web.process.kill()
        web.process.wait()


async def test_sigterm_closes_segments_and_cameras_and_exits_with_0(own_web: Web) -> None:
    own_web.start()
    camera = await own_web.dial(0)
    for _ in range(5):
        await camera.send_frame(PICTURE)
    await camera.receive_type("recording_started")
    began = time.monotonic()
    code = await asyncio.to_thread(own_web.stop)
    assert code == 0, own_web.log.read_text()
    assert time.monotonic() - began < 5
    spool = own_web.data / "spool" / own_web.world["directories"][0]
    assert [path.suffix for path in spool.iterdir()] == [".mkv"]
    assert own_web.presence(0) == "offline", own_web.log.read_text()
    assert own_web.facts(0) is None
    await camera.vanish()
    assert "Traceback" not in own_web.log.read_text()


async def test_the_access_log_has_every_request_and_the_last_before_the_end(own_web: Web) -> None:
    if own_web.server == "uvicorn":
        pytest.skip("uvicorn writes no access log")
    own_web.start()
    for path in (b"/first?token=hidden", b"/last"):
        await own_web.http(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if path != b"/last":
            await eventually(lambda: " GET /first " in own_web.log.read_text())
    await asyncio.to_thread(own_web.stop)
    log = own_web.log.read_text()
    assert (log.count(" GET /first "), log.count(" GET /last "), log.count("hidden")) == (1, 1, 0)


async def test_kill_9_leaves_a_segment_that_the_next_start_adopts(own_web: Web) -> None:
    own_web.start()
    camera = await own_web.dial(0)
    for _ in range(5):
        await camera.send_frame(PICTURE)
    await camera.receive_type("recording_started")
    await eventually(lambda: own_web.presence(0) == "streaming")
    await asyncio.to_thread(own_web.stop, signal.SIGKILL)
    await camera.vanish()
    spool = own_web.data / "spool" / own_web.world["directories"][0]
    assert [path.suffix for path in spool.iterdir()] == [".part"]
    own_web.start()
    await eventually(lambda: [path.suffix for path in spool.iterdir()] == [".mkv"])
    assert own_web.presence(0) == "offline"
    assert await asyncio.to_thread(own_web.stop) == 0


async def test_a_taken_port_is_one_sentence_and_exit_2(own_web: Web) -> None:
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of an earlier test's end
        holder.bind(("127.0.0.1", own_web.port))
        holder.listen()
        with pytest.raises(AssertionError) as caught:
            own_web.start(attempts=1)
    assert own_web.process is not None
    assert own_web.process.returncode == 2
    own_web.process = None
    sentence = f"Cannot listen on 127.0.0.1 port {own_web.port}: Address already in use."
    assert sentence in str(caught.value)
    assert "Traceback" not in own_web.log.read_text()


async def test_a_missing_certificate_is_one_sentence_and_exit_2(own_web: Web) -> None:
    own_web.certificate.unlink()
    with pytest.raises(AssertionError, match=r"server.pem is missing"):
        own_web.start()
    assert own_web.process is not None
    assert own_web.process.returncode == 2
    own_web.process = None


async def test_a_renewed_certificate_is_served_after_sighup_and_a_broken_one_is_not(
    own_web: Web, tmp_path: Path
) -> None:
    def served_by(pki: Pki) -> bool:
        own_web.pki = pki
        try:
            handshake(own_web, own_web.context).close()
        except ssl.SSLCertVerificationError:
            return False
        return True

    first, second = own_web.pki, make_pki(tmp_path / "renewed")
    own_web.start()
    assert served_by(first)
    assert not served_by(second)
    own_web.install(second)
    assert own_web.process is not None
    own_web.process.send_signal(signal.SIGHUP)
    await eventually(lambda: served_by(second))
    own_web.certificate.write_text("not a certificate")
    own_web.process.send_signal(signal.SIGHUP)
    await eventually(lambda: "The old certificate stays in use" in own_web.log.read_text())
    assert served_by(second)


async def test_the_database_may_go_away_and_known_cameras_still_come_in(own_web: Web) -> None:
    own_web.start()
    camera = await own_web.dial(0)
    await camera.send_frame(PICTURE)
    await eventually(lambda: own_web.presence(0) == "streaming")
    database = own_web.data / "roost.sqlite3"
    for path in own_web.data.glob("roost.sqlite3*"):
        path.rename(path.with_name("away-" + path.name))
    database.mkdir()  # every query fails now
    try:
        again = await own_web.dial(0)
        assert (await camera.close_code())[0] == 4409
        for _ in range(10):
            await again.send_frame(PICTURE)
        await again.receive_type("recording_started")
    finally:
        database.rmdir()
        for path in own_web.data.glob("away-*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))
    await again.fall_asleep()
    await eventually(lambda: own_web.presence(0) == "asleep", 30)
    await camera.vanish()


async def test_a_byte_a_second_keeps_no_socket(own_web: Web) -> None:
    if own_web.server == "uvicorn":
        pytest.skip("uvicorn has no deadline for a request's head; Daphne is the default")
    own_web.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", own_web.port, ssl=own_web.context)
    began = time.monotonic()
    with pytest.raises((OSError, EOFError)):
        for byte in b"GET /nowhere HTTP/1.1\r\nX-Slow: " + b"y" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.3)
            if reader.at_eof():
                raise EOFError
    assert 13 < time.monotonic() - began < 20
    writer.transport.abort()
