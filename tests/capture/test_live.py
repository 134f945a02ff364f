"""Watching: the live WebSocket, the MJPEG stream and the still, on both servers over TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import time
from typing import Any

import psutil
import pytest

from tests.capture.firmware import BINARY, TEXT, Camera, Refusal, jpeg, masked, request
from tests.capture.web import Web, eventually

PICTURE = jpeg()


async def watch(
    web: Web,
    camera: int,
    *,
    cookie: str = "",
    token: str = "",
    origin: str | None = None,
    pk: int | None = None,
) -> Camera:
    """A viewer's WebSocket, as a browser opens it. Raises Refusal."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=web.context)
    viewer = Camera(reader, writer)
    host = f"127.0.0.1:{web.port}"
    path = f"/ws/live/{web.world['devices'][camera] if pk is None else pk}"
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]  # fmt: skip
    if origin != "":
        lines.append(f"Origin: {origin or 'https://' + host}")
    if cookie:
        lines.append(f"Cookie: theme=dark; roost_session={cookie}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if " 101 " not in head.split("\r\n")[0]:
        writer.transport.abort()
        raise Refusal(int(head.split()[1]), head, b"")
    return viewer


async def grant(viewer: Camera, credit: object) -> None:
    await viewer.send(masked(TEXT, json.dumps({"credit": credit}).encode(), mask=b"abcd"))


async def next_frame(viewer: Camera) -> tuple[int, int, bytes]:
    while True:
        opcode, payload = await viewer.receive()
        if opcode == BINARY:
            captured_ms, now_ms = struct.unpack(">QQ", payload[:16])
            return captured_ms, now_ms, payload[16:]


async def frames_within(viewer: Camera, seconds: float) -> int:
    count = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                await next_frame(viewer)
                count += 1
    except TimeoutError:
        return count


async def test_a_viewer_gets_frames_against_credit_and_never_more(
    web: Web, cleanup: list[Camera]
) -> None:
    camera = await web.dial(0)
    viewer = await watch(web, 0, cookie=web.world["viewer_cookie"])
    cleanup += [camera, viewer]
    state = await viewer.receive_json()
    assert state["type"] == "state"
    assert set(state) >= {"presence", "recording", "fps", "since_ms"}
    await grant(viewer, 2)
    for number in range(10):
        await camera.send_frame(jpeg(shade=number))
        await asyncio.sleep(0.02)
    assert await frames_within(viewer, 1.0) == 2
    await grant(viewer, 1)
    captured_ms, now_ms, picture = await next_frame(viewer)
    assert picture == jpeg(shade=9), "the newest frame wins"
    assert abs(time.time() * 1000 - captured_ms) < 10_000
    assert 0 <= now_ms - captured_ms < 10_000
    await grant(viewer, 1000)
    for number in range(10):
        await camera.send_frame(jpeg(shade=number))
        await asyncio.sleep(0.02)
    assert await frames_within(viewer, 1.0) == 4, "credit is bounded"


async def test_the_state_is_told_at_once_and_on_every_change(
    web: Web, cleanup: list[Camera]
) -> None:
    viewer = await watch(web, 1, token=web.world["admin_token"], origin="")
    cleanup.append(viewer)
    assert (await viewer.receive_json())["presence"] in ("registered", "offline")
    camera = await web.dial(1)
    cleanup.append(camera)
    async with asyncio.timeout(10):
        while (state := await viewer.receive_json())["presence"] != "online":
            pass
        await camera.send_frame(PICTURE)
        while (state := await viewer.receive_json())["presence"] != "streaming":
            pass
        while not state["recording"]:
            await camera.send_frame(PICTURE)
            state = await viewer.receive_json()
        await camera.vanish()
        while (state := await viewer.receive_json())["presence"] != "offline":
            pass
    assert state["recording"] is False


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ({}, 4401),
        ({"cookie": "0" * 32}, 4401),
        ({"token": "0" * 64, "origin": ""}, 4401),
        ({"cookie": "viewer_cookie"}, 4404),
        ({"token": "viewer_token", "origin": ""}, 4404),
        ({"cookie": "admin_cookie", "pk": 999_999}, 4404),
    ],
)
async def test_who_may_not_watch_is_closed_with_the_reason(
    web: Web, who: dict[str, Any], code: int
) -> None:
    how = {name: web.world.get(str(value), value) for name, value in who.items()}
    viewer = await watch(web, 2, **how)
    assert (await viewer.close_code())[0] == code
    await viewer.vanish()


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:{port}", "https://127.0.0.1", "https://127.0.0.1:1",
     "null", "https://127.0.0.1:{port}.evil.example", ""],
)  # fmt: skip
async def test_a_session_rides_only_on_its_own_origin(web: Web, origin: str) -> None:
    with pytest.raises(Refusal) as caught:
        await watch(web, 0, cookie=web.world["viewer_cookie"], origin=origin.format(port=web.port))
    assert caught.value.status in (400, 403)


async def test_a_device_key_watches_nothing(web: Web) -> None:
    with pytest.raises(Refusal) as caught:
        path = f"/ws/live/{web.world['devices'][0]}"
        await Camera.dial(web.port, web.world["keys"][0], context=web.context, path=path)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "message", [b"", b"{", b"[]", b'{"credit":0}', b'{"credit":"4"}', b"[" * 999]
)
async def test_a_viewer_that_talks_nonsense_is_closed(web: Web, message: bytes) -> None:
    viewer = await watch(web, 0, cookie=web.world["viewer_cookie"])
    await viewer.send(masked(TEXT, message))
    assert (await viewer.close_code())[0] == 4400
    await viewer.vanish()


async def test_a_right_taken_away_ends_the_picture_within_30_seconds(web: Web) -> None:
    viewer = await watch(web, 0, cookie=web.world["viewer_cookie"])
    pk, person = web.world["devices"][0], web.world["viewer_pk"]
    began = time.monotonic()
    web.write("DELETE FROM devices_device_people WHERE device_id = ? AND user_id = ?", pk, person)
    try:
        code = None
        while code is None:
            code = await _code_within(viewer, began + 30)
        assert code == 4404
    finally:
        sql = "INSERT INTO devices_device_people (device_id, user_id) VALUES (?, ?)"
        web.write(sql, pk, person)
        await viewer.vanish()


async def _code_within(viewer: Camera, deadline: float) -> int | None:
    assert time.monotonic() < deadline
    try:
        return (await viewer.close_code())[0]
    except TimeoutError:
        return None


async def test_a_viewer_that_never_reads_costs_next_to_nothing(
    web: Web, cleanup: list[Camera]
) -> None:
    camera = await web.dial(3)
    cleanup.append(camera)
    silent = [await deaf_viewer(web, 3) for _ in range(3)]
    process = psutil.Process(web.pid)
    picture = jpeg(1600, 1200)
    picture = picture[:2] + b"\xff\xe5\xff\xfe" + bytes(65_532) + picture[2:]
    for _ in range(30):
        await camera.send_frame(picture)
        await asyncio.sleep(0.02)
    before = process.memory_info().rss
    for _ in range(150):
        await camera.send_frame(picture)
        await asyncio.sleep(0.02)
    grown = process.memory_info().rss - before
    for link in silent:
        link.close()
    assert grown < 8 * 1024 * 1024, f"{grown} bytes for {150 * len(picture)} sent"
    assert await eventually(lambda: web.presence(3) == "streaming")


async def deaf_viewer(web: Web, camera: int) -> ssl.SSLSocket:
    """Grants credit again and again and takes nothing out of a small socket buffer."""

    def open_it() -> ssl.SSLSocket:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", web.port))
        link = web.context.wrap_socket(raw, server_hostname="127.0.0.1")
        path = f"/ws/live/{web.world['devices'][camera]}"
        head = request(f"127.0.0.1:{web.port}", None, path)
        lines = [line for line in head.decode().split("\r\n") if not line.startswith("Origin")]
        lines.insert(1, f"Authorization: Bearer {web.world['admin_token']}")
        link.sendall("\r\n".join(lines).encode())
        assert b" 101 " in link.recv(200)
        for _ in range(100):
            link.sendall(masked(TEXT, b'{"credit":4}'))
        return link

    return await asyncio.to_thread(open_it)


# --- plain HTTP -----------------------------------------------------------------------------------


def snapshot_path(web: Web, camera: int) -> str:
    return f"/api/v1/devices/{web.world['devices'][camera]}/snapshot.jpg"


def stream_path(web: Web, camera: int) -> str:
    return f"/api/v1/devices/{web.world['devices'][camera]}/stream.mjpeg"


@pytest.mark.parametrize("way", ["cookie", "token"])
async def test_a_still_is_the_newest_frame_and_is_never_kept(
    web: Web, cleanup: list[Camera], way: str
) -> None:
    camera = await web.dial(0)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    newest = jpeg(shade=33)
    await camera.send_frame(newest)
    who = {way: web.world[f"viewer_{way}"]}

    async def is_there() -> bool:
        return (await web.get(snapshot_path(web, 0), **who))[2] == newest

    await eventually(is_there)
    status, head, body = await web.get(snapshot_path(web, 0), **who)
    assert (status, body) == (200, newest)
    assert "content-type: image/jpeg" in head.lower()
    assert "cache-control: no-store" in head.lower()
    await asyncio.sleep(0.05)
    assert (await web.get(snapshot_path(web, 0) + "?max_age_ms=1", **who))[0] == 503
    assert (await web.get(snapshot_path(web, 0) + "?max_age_ms=soon", **who))[0] == 400


@pytest.mark.parametrize("path_of", [snapshot_path, stream_path])
async def test_pictures_are_for_those_who_may_see_the_camera(web: Web, path_of: Any) -> None:
    assert (await web.get(path_of(web, 4)))[0] == 401
    assert (await web.get(path_of(web, 4), token="0" * 64))[0] == 401
    status, _, body = await web.get(path_of(web, 4), token=web.world["viewer_token"])
    assert status == 404
    assert "detail" in json.loads(body)
    missing = path_of(web, 4).replace(str(web.world["devices"][4]), "999999")
    assert (await web.get(missing, token=web.world["admin_token"]))[0] == 404


async def test_no_picture_is_503_in_json(web: Web) -> None:
    status, head, body = await web.get(snapshot_path(web, 5), token=web.world["admin_token"])
    assert status == 503
    assert json.loads(body) == {"detail": "There is no picture of this camera now."}
    assert "retry-after" in head.lower()


async def test_the_stream_is_one_newest_frame_after_the_other(
    web: Web, cleanup: list[Camera]
) -> None:
    camera = await web.dial(6)
    cleanup.append(camera)
    await camera.send_frame(jpeg(shade=1))
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=web.context)
    token = web.world["admin_token"]
    writer.write(
        # 1.0, so that no server chunks: the boundaries are what a viewer sees either way.
        f"GET {stream_path(web, 6)} HTTP/1.0\r\nHost: x\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert "multipart/x-mixed-replace; boundary=roost-frame" in head
    for shade in range(1, 6):
        if shade > 1:
            await camera.send_frame(jpeg(shade=shade))
        async with asyncio.timeout(5):
            await reader.readuntil(b"--roost-frame\r\n")
            part = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(part.split("Content-Length: ")[1].split("\r\n")[0])
            assert await reader.readexactly(length) == jpeg(shade=shade)
    writer.transport.abort()
    await eventually(lambda: (web.facts(6) or {"viewers": 1})["viewers"] == 0)
