"""/ws on both servers over TLS: every rule of the firmware, and every way to break them."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.capture.firmware import (
    ACCEPT,
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Camera,
    Refusal,
    jpeg,
    masked,
)
from tests.capture.web import Web, eventually

PICTURE = jpeg()
LARGE = jpeg(1600, 1200) + b""


def spooled(web: Web, camera: int) -> int:
    """Frames in the closed segments of a camera."""
    directory = web.data / "spool" / web.world["directories"][camera]
    return sum(_packets(path) for path in directory.glob("*.mkv")) if directory.is_dir() else 0


def _packets(path: Path) -> int:
    with av.open(str(path)) as segment:
        return sum(1 for packet in segment.demux(video=0) if packet.size)


async def refusal(web: Web, key: str | None, path: str = "/ws") -> Refusal:
    with pytest.raises(Refusal) as caught:
        await Camera.dial(web.port, key, context=web.context, path=path)
    return caught.value


# --- the handshake --------------------------------------------------------------------------------


async def test_the_answer_to_the_upgrade_is_what_the_firmware_can_read(
    web: Web, cleanup: list[Camera]
) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    began = time.monotonic()
    camera = await web.dial(0, extra=(offer,))
    cleanup.append(camera)
    assert time.monotonic() - began < 1
    assert camera.head[0].startswith("HTTP/1.1 101 ")
    headers = dict(line.split(": ", 1) for line in camera.head[1:])
    lowered = {name.lower(): value for name, value in headers.items()}
    assert lowered["upgrade"] == "websocket"
    assert lowered["connection"] == "Upgrade"
    assert lowered["sec-websocket-accept"] == ACCEPT
    assert all(lowered.values()), "the firmware reboots on a header without a value"
    assert "sec-websocket-extensions" not in lowered
    assert "sec-websocket-protocol" not in lowered
    assert "server" not in lowered


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/WS", "/ws?x=1"])
async def test_the_path_is_taken_in_every_spelling_the_older_server_took(
    web: Web, cleanup: list[Camera], path: str
) -> None:
    cleanup.append(await web.dial(1, path=path))


@pytest.mark.parametrize(
    ("key", "path", "status", "text"),
    [
        (None, "/ws", 401, b"Unauthorized"),
        ("0" * 64, "/ws", 401, b"Unauthorized"),
        ("short", "/ws", 401, b"Unauthorized"),
        ("0" * 5000, "/ws", 401, b"Unauthorized"),
        (None, "/elsewhere", 400, b"Bad Request"),
        (None, "/ws/live/x", 400, b"Bad Request"),
    ],
)
async def test_a_stranger_is_refused_before_the_upgrade(
    web: Web, key: str | None, path: str, status: int, text: bytes
) -> None:
    refused = await refusal(web, key, path)
    assert (refused.status, refused.body) == (status, text)
    assert "text/html" in refused.head


async def test_a_key_in_the_query_is_no_key(web: Web) -> None:
    refused = await refusal(web, None, f"/ws?apiKey={web.world['keys'][0]}")
    assert refused.status == 401
    assert web.world["keys"][0] not in web.log.read_text()


async def test_a_key_that_waits_for_approval_is_refused_and_that_is_written_down(web: Web) -> None:
    refused = await refusal(web, web.world["waiting"])
    assert refused.status == 403
    sql = "SELECT count(*) FROM devices_deviceevent WHERE detail LIKE 'Waits for approval%'"
    await eventually(lambda: web.rows(sql)[0][0])


# --- frames ---------------------------------------------------------------------------------------


def whole(picture: bytes) -> list[bytes]:
    return [masked(BINARY, picture)]


def dripped(picture: bytes) -> list[bytes]:
    frame = masked(BINARY, picture)
    return [frame[at : at + 1436] for at in range(0, len(frame), 1436)]


def fragmented(picture: bytes) -> list[bytes]:
    parts = [picture[at : at + 1024] for at in range(0, len(picture), 1024)]
    last = len(parts) - 1
    return [masked(BINARY if n == 0 else 0, p, is_final=n == last) for n, p in enumerate(parts)]


def as_text(picture: bytes) -> list[bytes]:
    return [masked(TEXT, picture)]


def masked_for_real(picture: bytes) -> list[bytes]:
    return [masked(BINARY, picture, mask=b"\x1f\x00\xa7\x33")]


WAYS: list[Callable[[bytes], list[bytes]]] = [whole, dripped, fragmented, as_text, masked_for_real]


@pytest.mark.parametrize("way", WAYS)
async def test_every_frame_is_recorded_however_it_travels(
    web: Web, cleanup: list[Camera], way: Callable[[bytes], list[bytes]]
) -> None:
    number = 2 + WAYS.index(way)
    camera = await web.dial(number)
    cleanup.append(camera)
    await camera.send_json(type="status_update", status="online")
    for _ in range(20):
        for part in way(PICTURE):
            await camera.send(part)
    await camera.receive_type("recording_started")
    assert await eventually(lambda: web.presence(number) == "streaming")
    await camera.vanish()
    await eventually(lambda: spooled(web, number) >= 20)
    assert spooled(web, number) == 20
    assert await eventually(lambda: web.presence(number) == "offline")


async def test_a_uxga_picture_of_300_kb_is_taken(web: Web, cleanup: list[Camera]) -> None:
    camera = await web.dial(7)
    cleanup.append(camera)
    picture = (
        LARGE[:2] + b"\xff\xe5" + struct.pack(">H", 60_002) + random.Random(6).randbytes(60_000)
    )
    picture += (b"\xff\xe5" + struct.pack(">H", 60_002) + bytes(60_000)) * 4 + LARGE[2:]
    assert len(picture) > 300_000
    for _ in range(3):
        await camera.send_frame(picture)
    await camera.receive_type("recording_started")
    await camera.vanish()
    await eventually(lambda: spooled(web, 7) == 3)


async def test_bad_pictures_are_dropped_and_counted_and_the_camera_stays(
    web: Web, cleanup: list[Camera]
) -> None:
    camera = await web.dial(8)
    cleanup.append(camera)
    at = PICTURE.index(b"\xff\xc0")
    bomb = PICTURE[: at + 5] + b"\xff\xdc\xff\xdc" + PICTURE[at + 9 :]
    bad = [PICTURE[:-2], PICTURE[:200], b"\xff\xd8", bomb]
    others = [b"", b"not json", b"[]", b'{"type":5}', bytes(300)]
    for payload in bad + others:
        await camera.send(masked(BINARY, payload))
    await camera.send(masked(TEXT, b"plain text"))
    for _ in range(10):
        await camera.send_frame(PICTURE)
    await camera.receive_type("recording_started")
    facts = await eventually(lambda: (web.facts(8) or {}).get("rejected") and web.facts(8))
    assert facts["rejected"] == len(bad) + len(others) + 1
    await camera.vanish()
    await eventually(lambda: spooled(web, 8) == 10)


async def test_a_disk_that_refuses_video_is_told_to_the_camera(
    web: Web, cleanup: list[Camera]
) -> None:
    (web.data / "spool").mkdir(exist_ok=True)
    (web.data / "spool" / web.world["directories"][9]).write_text("in the way")
    camera = await web.dial(9)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    told = await camera.receive_type("error")
    assert told["message"] == "Failed to start recording"
    facts = await eventually(lambda: (web.facts(9) or {}).get("error") and web.facts(9))
    assert not facts["is_recording"]


# --- presence -------------------------------------------------------------------------------------


async def test_asleep_survives_the_close_without_a_closing_handshake(web: Web) -> None:
    camera = await web.dial(10)
    await camera.send_frame(PICTURE)
    await camera.fall_asleep()
    assert await eventually(lambda: web.presence(10) == "asleep")
    await eventually(lambda: web.events(10, "asleep"))
    assert web.events(10, "disconnected") == []
    again = await web.dial(10)
    await again.vanish()
    assert await eventually(lambda: web.presence(10) == "offline")


async def test_heartbeats_are_kept_and_end_no_streaming(web: Web, cleanup: list[Camera]) -> None:
    camera = await web.dial(11)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    await camera.send_json(type="heartbeat", uptime=61000, free_heap=99, boot_count=2, rssi=-60)
    facts = await eventually(lambda: (web.facts(11) or {}).get("uptime_ms") and web.facts(11))
    assert (facts["presence"], facts["rssi"], facts["free_heap"]) == ("streaming", -60, 99)


async def test_a_ping_is_answered_and_none_is_sent(web: Web, cleanup: list[Camera]) -> None:
    camera = await web.dial(12)
    cleanup.append(camera)
    await camera.send(masked(PING, b"a\x00b"))
    assert await camera.receive() == (PONG, b"a\x00b")


async def test_a_frozen_camera_is_closed_after_ten_seconds(web: Web, cleanup: list[Camera]) -> None:
    camera = await web.dial(13)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    began = time.monotonic()
    code, _ = await camera.close_code()
    assert code == 4408
    assert 9 < time.monotonic() - began < 12
    assert await eventually(lambda: web.presence(13) == "offline")
    assert web.events(13, "stalled")


# --- who owns a camera ------------------------------------------------------------------------------


async def test_the_newest_connection_of_a_key_wins(web: Web, cleanup: list[Camera]) -> None:
    old = await web.dial(14)
    await old.send_frame(PICTURE)
    new = await web.dial(14)
    cleanup += [old, new]
    await new.send_frame(PICTURE)
    assert (await old.close_code())[0] == 4409
    await old.vanish()
    await asyncio.sleep(0)
    await new.send_frame(PICTURE)
    assert await eventually(lambda: web.presence(14) == "streaming")
    assert await eventually(lambda: web.facts(14))
    sql = "SELECT connection_count FROM devices_device WHERE id = ?"
    assert web.rows(sql, web.world["devices"][14])[0][0] == 2
    assert web.events(14, "disconnected") == []


async def test_a_second_key_takes_no_living_camera_over(web: Web, cleanup: list[Camera]) -> None:
    camera = await web.dial(15)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    assert (await refusal(web, web.world["second_keys"][15])).status == 403
    await camera.send_frame(PICTURE)

    async def succeeds() -> bool:
        try:
            other = await Camera.dial(web.port, web.world["second_keys"][15], context=web.context)
        except Refusal:
            return False
        cleanup.append(other)
        return True

    assert await eventually(succeeds), "after two silent seconds the place is free"


# --- floods -----------------------------------------------------------------------------------------


async def test_ten_thousand_tiny_messages_are_stopped_and_cost_no_other_camera(
    web: Web, cleanup: list[Camera]
) -> None:
    good, flood = await web.dial(16), await web.dial(17)
    cleanup += [good, flood]
    tiny = masked(TEXT, b"{}") * 10_000

    async def stream() -> None:
        for _ in range(20):
            await good.send_frame(PICTURE)
            await asyncio.sleep(0.05)

    streaming = asyncio.create_task(stream())
    flood.writer.write(tiny)
    code, reason = await flood.close_code()
    assert code == 4429
    assert "messages a second" in reason
    await streaming
    await eventually(lambda: web.events(17, "limit"))
    await good.vanish()
    await eventually(lambda: spooled(web, 16) == 20)


async def test_five_times_the_frames_are_stopped(web: Web, cleanup: list[Camera]) -> None:
    before = time.monotonic()
    camera = await web.dial(18)
    cleanup.append(camera)
    camera.writer.write(masked(BINARY, PICTURE) * 400)
    assert await camera.close_code() == (4429, "more than 60 frames a second")
    refilled = int((time.monotonic() - before) * 60)  # nothing, unless the machine is busy
    await eventually(lambda: 240 <= spooled(web, 18) <= 240 + refilled)


@pytest.mark.parametrize("way", ["whole", "fragments"])
async def test_a_message_over_the_limit_is_refused(
    web: Web, cleanup: list[Camera], way: str
) -> None:
    camera = await web.dial(19)
    cleanup.append(camera)
    if way == "whole":
        camera.writer.write(masked(BINARY, bytes(2 * 1024 * 1024 + 1)))
    else:
        part = masked(BINARY, bytes(1024 * 1024), is_final=False)
        camera.writer.write(part + masked(0, bytes(1024 * 1024), is_final=False) + masked(0, b"x"))
    assert (await camera.close_code())[0] == 1009


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x82\x05hello",
        b"\xf2\x80" + bytes(4),
        b"\x83\x80" + bytes(4),
        random.Random(5).randbytes(500),
    ],
)
async def test_garbage_ends_its_own_connection_only(
    web: Web, cleanup: list[Camera], garbage: bytes
) -> None:
    camera = await web.dial(20)
    cleanup.append(camera)
    camera.writer.write(b"\xff" + garbage if len(garbage) > 100 else garbage)
    with pytest.raises(EOFError):
        while True:
            opcode, payload = await camera.receive()
            if opcode == CLOSE:
                assert int.from_bytes(payload[:2], "big") == 1002
                await camera.send(masked(CLOSE, payload[:2]))
    await (await web.dial(20)).vanish()
