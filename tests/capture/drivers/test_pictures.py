"""JPEGs over HTTP, from cameras as they are and as they should not be."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import time
from collections.abc import Callable

import pytest

from capture.drivers import http_camera, pictures
from tests.capture.drivers.rig import Bucket, failure, take
from tests.instruments import canary
from tests.instruments.bad_cameras import Handler, Request, http_answer
from tests.instruments.bad_cameras import http_camera as camera_of
from tests.recordings.footage import jpeg

PICTURES = [jpeg(number, 1_000 * number) for number in range(4)]
Frame = Callable[[bytes], bytes]


IMPATIENCE_S = 1.6


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For cameras that fall silent; the others may take their time on a busy machine."""
    monkeypatch.setattr(http_camera, "ANSWER_S", IMPATIENCE_S)
    monkeypatch.setattr(pictures, "ANSWER_S", IMPATIENCE_S)
    monkeypatch.setattr(pictures, "QUIET_S", IMPATIENCE_S)


def multipart(part: Frame, content_type: str, *, is_chunked: bool = False) -> Handler:
    """An endless answer whose pictures repeat; `part` frames one."""

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        coding = "Transfer-Encoding: chunked\r\n" if is_chunked else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{coding}Content-Type: {content_type}\r\n\r\n".encode())
        number = 0
        while not writer.is_closing():
            data = part(PICTURES[number % len(PICTURES)])
            for piece in (data[: len(data) // 3], data[len(data) // 3 :]):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            number += 1

    return handle


def esp32(picture: bytes) -> bytes:
    """CameraWebServer of the ESP32 sketches."""
    head = b"\r\n--123456789000000000000987654321\r\n"
    head += b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: 1.5\r\n\r\n"
    return head % len(picture) + picture


def mjpg_streamer(picture: bytes) -> bytes:
    return b"Content-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--boundarydonotcross\r\n"


HUGE_PART = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n"
    b"--x\r\nContent-Length: 999999999\r\n\r\n"
)
STREAMS = {
    "esp32": (esp32, "multipart/x-mixed-replace;boundary=123456789000000000000987654321"),
    "mjpg-streamer": (mjpg_streamer, "multipart/x-mixed-replace;boundary=boundarydonotcross"),
    "quoted": (
        lambda picture: b'--a "b\r\nContent-type:image/jpeg\r\n\r\n' + picture + b"\r\n",
        'multipart/x-mixed-replace; boundary="a \\"b"',
    ),
    "other dashes": (
        lambda picture: b"--myboundary\nContent-Type: image/jpeg\n\n" + picture + b"\n",
        "multipart/x-mixed-replace; boundary=--myboundary",
    ),
    "no line break behind": (
        lambda picture: b"--x\r\nContent-Length:%d\r\n\r\n" % len(picture) + picture,
        "multipart/x-mixed-replace;boundary=x",
    ),
    "with sound between": (
        lambda picture: (
            b"--x\r\nContent-Type: audio/basic\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xd9\r\n"
            b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n"
        ),
        "multipart/x-mixed-replace;boundary=x",
    ),
    "nothing said": (lambda picture: b"--x\r\n\r\n" + picture + b"\r\n", ""),
}


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("name", STREAMS)
async def test_it_takes_streams_as_cameras_send_them(name: str, is_chunked: bool) -> None:
    part, content_type = STREAMS[name]
    async with camera_of(multipart(part, content_type, is_chunked=is_chunked)) as camera:
        bucket = await take(f"http://127.0.0.1:{camera.port}/stream")
    assert [packet.payload for packet in bucket.packets[:8]] == PICTURES * 2
    assert [(t.codec, t.width, t.height) for t in bucket.tracks] == [("mjpeg", 160, 120)]
    captured = [packet.capture_us for packet in bucket.packets]
    assert captured == sorted(set(captured))
    assert camera.connections == 1


async def test_a_damaged_picture_is_left_out() -> None:
    count = 0

    def part(picture: bytes) -> bytes:
        nonlocal count
        count += 1
        return esp32(picture[:-40] if count % 2 else picture)

    async with camera_of(multipart(part, "multipart/x-mixed-replace;boundary=1")) as camera:
        bucket = await take(f"http://127.0.0.1:{camera.port}/")
    assert {packet.payload for packet in bucket.packets} == set(PICTURES[1::2])


async def test_only_damaged_pictures_are_an_error() -> None:
    cut = multipart(lambda picture: esp32(picture[:-40]), "multipart/x-mixed-replace;boundary=1")
    async with camera_of(cut) as camera:
        error = await failure(f"http://127.0.0.1:{camera.port}/")
    assert (error.code, str(error).split(":")[0]) == ("failed", "The camera's pictures are damaged")


async def test_it_polls_single_pictures_at_the_wanted_rate() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http_answer(200, PICTURES[len(camera.requests) % 4]))

    async with camera_of(handle) as camera:
        began = time.monotonic()
        bucket = await take(f"http://127.0.0.1:{camera.port}/snap.jpg?n=1", rate_fps=20)
        took_s = time.monotonic() - began
    assert took_s >= 9 / 20
    assert len({packet.payload for packet in bucket.packets}) == 4
    assert {request.uri for request in camera.requests} == {"/snap.jpg?n=1"}
    assert camera.connections == 1


async def test_it_polls_a_camera_that_closes_each_time() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURES[0])
        await writer.drain()
        writer.close()

    async with camera_of(handle) as camera:
        bucket = await take(f"http://127.0.0.1:{camera.port}/", rate_fps=30)
    assert len(bucket.packets) >= 10
    assert camera.connections >= 10


def _guarded(kind: str, algorithm: str = "") -> Handler:
    """Lets bob in with "secret-password"; a digest's nonce is good for one answer."""
    nonces: list[str] = []

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        said = request.headers.get("authorization", "")
        is_right = said == "Basic " + base64.b64encode(b"bob:secret-password").decode()
        if kind == "digest" and said:
            is_right = _is_digest_right(said, algorithm, nonces[-1])
        if is_right:
            writer.write(http_answer(200, PICTURES[0]))
            return
        nonces.append(f"nonce{len(nonces)}")
        challenge = 'Basic realm="a"'
        if kind == "digest":
            named = f", algorithm={algorithm}" if algorithm else ""
            challenge = f'Digest realm="a, \\"b\\"", nonce="{nonces[-1]}", qop="auth"{named}'
        writer.write(http_answer(401, b"no", "text/html", {"WWW-Authenticate": challenge}))

    return handle


def _is_digest_right(said: str, algorithm: str, nonce: str) -> bool:
    fields = dict(
        pair.split("=", 1) for pair in said.removeprefix("Digest ").split(", ") if "=" in pair
    )
    fields = {name: value.strip('"') for name, value in fields.items()}

    def digest(text: str) -> str:
        name = "sha256" if algorithm == "SHA-256" else "md5"
        return hashlib.new(name, text.encode()).hexdigest()

    first = digest('bob:a, "b":secret-password')
    second = digest("GET:/")
    middle = ":".join((nonce, fields["nc"], fields["cnonce"], "auth"))
    return fields["response"] == digest(f"{first}:{middle}:{second}")


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("basic", ""), ("digest", ""), ("digest", "MD5"), ("digest", "SHA-256")]
)
async def test_it_logs_in(kind: str, algorithm: str) -> None:
    async with camera_of(_guarded(kind, algorithm)) as camera:
        url = f"http://127.0.0.1:{camera.port}/"
        bucket = await take(url, rate_fps=30, username="bob", password="secret-password")
        assert bucket.packets
        wrong = await failure(url, username="bob", password="wrong")
        assert (wrong.code, str(wrong).split(".")[0]) == (
            "refused",
            "The camera refused the password",
        )
        none = await failure(url)
        assert str(none) == "The camera wants a user name and a password."


@pytest.mark.parametrize(
    ("answer", "code", "sentence"),
    [
        (http_answer(200, b"<!DOCTYPE html><html>", "text/html"), "no_video", "a web page, not"),
        (http_answer(200, b"  <html>", "image/jpeg"), "no_video", "a web page, not with pictures"),
        (
            http_answer(200, b"#EXTM3U\nfile:///etc/passwd\n", "application/vnd.apple.mpegurl"),
            "no_video",
            "a playlist, which is not followed",
        ),
        (http_answer(200, b"#EXTM3U\nhttp://169.254.169.254/\n", ""), "no_video", "a playlist"),
        (http_answer(200, b'{"a": 1, "b": 2}', "application/json"), "no_video", "application/json"),
        (http_answer(200, b"", "image/jpeg"), "no_video", "not with JPEG pictures"),
        (http_answer(200, b"\x00" * 100, "video/mp4"), "no_video", "video/mp4, not with JPEG"),
        (http_answer(404, b"no", "text/html"), "not_found", "There is no stream called /cam at"),
        (http_answer(403, b"no", "text/html"), "refused", "does not let this user see /cam"),
        (http_answer(503, b"no", "text/html"), "busy", "no room for another viewer"),
        (http_answer(500, b"no", "text/html"), "failed", "an error (500 Said)"),
        (b"RTSP/1.0 200 OK\r\n\r\n", "failed", "does not speak HTTP"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "failed", "does not speak HTTP"),
        (b"\x00" * 60_000, "failed", "does not speak HTTP"),
        (http_answer(302, b"", "", {"Location": "/cam"}), "redirected", "in a circle"),
        (
            http_answer(302, b"", "", {"Location": "http://10.255.0.1/x"}),
            "redirected",
            "(http://10.255.0.1/x), which is not followed",
        ),
        (http_answer(301, b"", "", {"Location": "file:///etc/passwd"}), "redirected", "elsewhere"),
        (http_answer(301, b"", "", {"Location": "//169.254.169.254/"}), "redirected", "169.254"),
        (http_answer(301, b"", "", {"Location": "rtsp://127.0.0.1/"}), "redirected", "rtsp://"),
        (
            HUGE_PART,
            "failed",
            "pictures of more than 2 MiB",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n"
            + b"x" * 100_000,
            "failed",
            "pictures are damaged: no picture follows",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8" + b"x" * 3_000_000,
            "failed",
            "pictures of more than 2 MiB",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            "failed",
            "a chunk is too long",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\n",
            "failed",
            "the length of an answer is no number",
        ),
    ],
)  # fmt: skip
async def test_it_puts_each_answer_into_words(answer: bytes, code: str, sentence: str) -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with camera_of(handle) as camera:
        error = await failure(f"http://127.0.0.1:{camera.port}/cam")
    assert sentence in str(error)
    assert error.code == code


async def test_it_follows_the_camera_to_another_path_of_its_own() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.uri == "/":
            writer.write(http_answer(302, b"", "text/html", {"Location": "video.jpg?x=1"}))
        else:
            writer.write(http_answer(200, PICTURES[0]))

    async with camera_of(handle) as camera:
        bucket = await take(f"http://127.0.0.1:{camera.port}/", rate_fps=30)
        assert bucket.packets
    assert camera.requests[1].uri == "/video.jpg?x=1"


async def test_a_log_in_is_not_taken_to_another_host() -> None:
    async def steal(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http_answer(200, PICTURES[0]))

    async with camera_of(steal) as thief:

        async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
            place = f"http://localhost:{thief.port}/"
            writer.write(http_answer(302, b"", "", {"Location": place}))

        async with camera_of(handle) as camera:
            error = await failure(f"http://127.0.0.1:{camera.port}/", username="a", password="b")
    assert error.code == "redirected"
    assert thief.connections == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"", "The camera answered at first and then no more (after GET)."),
        (b"HTTP/1.1 200 OK\r\n", "The camera answered at first and then no more (after GET)."),
        (b"HTTP/1.1 200 OK\r\n\r\n", "It answered, but no video came after GET."),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n--x\r\n\r\n\xff\xd8",
            "It answered, but no video came after GET.",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n\xff\xd8\xff\xe0aaaaaaa",
            "The camera answered at first and then no more (after GET).",
        ),
    ],
)
async def test_it_says_where_the_camera_fell_silent(said: bytes, sentence: str) -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    async with camera_of(handle) as camera:
        error = await failure(f"http://127.0.0.1:{camera.port}/")
    assert error.code == "silent"
    assert str(error).startswith(sentence)


@pytest.mark.usefixtures("impatient")
async def test_a_camera_that_drips_counts_as_silent() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n--x\r\n\r\n"
        )
        for at in range(len(PICTURES[0])):
            writer.write(PICTURES[0][at : at + 1])
            await asyncio.sleep(0.02)

    async with camera_of(handle) as camera:
        error = await failure(f"http://127.0.0.1:{camera.port}/")
    assert error.code == "silent"


@pytest.mark.usefixtures("impatient")
async def test_it_says_that_the_stream_stopped_or_ended_in_the_middle() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n")
        for picture in PICTURES:
            writer.write(esp32(picture))
        if request.uri == "/end":
            await writer.drain()
            writer.close()

    bucket = Bucket()
    async with camera_of(handle) as camera:
        stopped = await failure(f"http://127.0.0.1:{camera.port}/", bucket)
        ended = await failure(f"http://127.0.0.1:{camera.port}/end", bucket)
    assert (stopped.code, str(stopped)) == ("silent", "The camera has sent nothing for 2 s.")
    assert (ended.code, str(ended)) == ("ended", "The camera ended the stream.")
    assert len(bucket.packets) == 8


async def test_blanks_without_end_are_not_kept() -> None:
    sent = 0

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
        while sent < 64 * 1024 * 1024:
            writer.write(b" " * 65_536)
            sent += 65_536
            await writer.drain()

    async with camera_of(handle) as camera:
        error = await failure(f"http://127.0.0.1:{camera.port}/")
    assert error.code == "no_video"
    assert sent < 32 * 1024 * 1024, "what the sockets' buffers hold, and no more"


async def test_it_says_that_nothing_answers() -> None:
    """A listener whose queue is full takes no connection and refuses none."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for taken in (first, second):
            taken.setblocking(False)
            taken.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        error = await failure(f"http://127.0.0.1:{port}/")
    assert error.code == "no_answer"
    assert str(error).startswith(f"Nothing answers at 127.0.0.1:{port}.")


async def test_it_says_that_a_name_is_unknown() -> None:
    error = await failure("http://no-such-camera.invalid/")
    assert error.code == "unreachable"
    assert str(error).startswith("No machine called no-such-camera.invalid was found.")


async def test_names_that_lead_to_this_machine_are_refused(settings: object) -> None:
    settings.NVR_ALLOW_LOOPBACK_CAMERAS = False  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()

    async def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", port)), (2, 1, 6, "", ("169.254.169.254", port))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "getaddrinfo", getaddrinfo)
        error = await failure("http://camera.test/")
    assert error.code == "bad_address"
    assert "169.254.169.254" in str(error) or "NVR_ALLOW_LOOPBACK_CAMERAS" in str(error)


async def test_no_password_is_in_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = "correct-horse-battery"

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        assert secret in request.uri
        writer.write(http_answer(404, request.uri.encode()))

    async with camera_of(handle) as camera:
        url = f"http://127.0.0.1:{camera.port}/x?user={{username}}&pwd={{password}}"
        error = await failure(url, username="bob", password=secret)
    said = f"{error} {error.detail} {error!r} {error.__cause__!r} {caplog.text}".encode()
    assert "pwd={password}" in str(error)
    assert not [each for each in canary.spellings(secret) if each in said]
