"""A capture agent at the real web process, on both servers over TLS: who comes in, what is kept, what
those who watch are given, and that nothing is lost or doubled when the process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from capture.media import counting, packets
from recordings import segments
from recordings.media.matroska import Block
from recordings.repeats import own_frames
from tests.capture.firmware import BINARY, TEXT, Camera, Refusal, jpeg, masked
from tests.capture.test_live import grant
from tests.capture.web import Web, eventually
from tests.instruments.agent_client import AgentClient, Sent, looped, numbered
from tests.instruments.certificates import Pki
from tests.recordings.footage import coded

FOOTAGE = coded("h264", frames=50, gop=25, has_sound=True)
REORDERED = coded("h264", frames=50, gop=25, b_frames=3)
LENGTH_MS = 2000


async def dial(web: Web, pulled: int, **how: Any) -> AgentClient:
    """Pulled camera number `pulled`, clocks compared."""
    mac = web.world["pulled"][pulled][1]
    agent = await AgentClient.dial(web.port, web.world["node_key"], mac, context=web.context, **how)
    await agent.compare_clocks()
    return agent


@pytest.fixture
async def agents() -> AsyncIterator[list[AgentClient]]:
    """Agents put in here are gone after the test."""
    found: list[AgentClient] = []
    yield found
    for agent in found:
        await agent.vanish()


def spool_of(web: Web, pulled: int) -> Path:
    return web.data / "spool" / str(web.world["pulled"][pulled][2])


def row_of(web: Web, pulled: int, column: str) -> Any:
    pk = web.world["pulled"][pulled][0]
    return web.rows(f"SELECT {column} FROM devices_device WHERE id = ?", pk)[0][0]


def events_of(web: Web, pulled: int, kind: str) -> list[str]:
    pk = web.world["pulled"][pulled][0]
    sql = "SELECT detail FROM devices_deviceevent WHERE device_id = ? AND kind = ? ORDER BY id"
    return [str(row[0]) for row in web.rows(sql, pk, kind)]


# --- who comes in ---------------------------------------------------------------------------------


async def refused(web: Web, key: str, mac: str) -> int:
    with pytest.raises(Refusal) as caught:
        await AgentClient.dial(web.port, key, mac, context=web.context)
    return caught.value.status


async def test_a_nodes_key_opens_its_own_cameras_and_no_other(
    web: Web, agents: list[AgentClient]
) -> None:
    world = web.world
    agents.append(await dial(web, 0))
    mac = world["pulled"][0][1]
    esp32 = world["directories"][0].replace("-", ":")
    assert await refused(web, world["foreign_key"], mac) == 401
    assert await refused(web, world["node_key"], esp32) == 401
    assert await refused(web, world["node_key"], "06:52:4F:53:FF:FF") == 401
    assert await refused(web, world["node_key"], "") == 401
    assert await refused(web, world["node_key"], "x" * 5000) == 401
    assert await refused(web, "0" * 64, mac) == 401
    with pytest.raises(Refusal):
        await Camera.dial(web.port, world["node_key"], context=web.context)


async def test_an_esp32s_key_works_beside_any_device_id(web: Web, cleanup: list[Camera]) -> None:
    mac = web.world["pulled"][0][1]
    camera = await web.dial(7, extra=(f"X-Device-Id: {mac}",))
    cleanup.append(camera)
    await camera.send_frame(jpeg())
    await eventually(lambda: web.presence(7) == "streaming")


async def test_only_an_agent_may_send_what_is_larger_than_any_small_cameras_picture(
    web: Web, cleanup: list[Camera], agents: list[AgentClient]
) -> None:
    large = bytes(3 * 1024 * 1024)
    camera = await web.dial(8)
    cleanup.append(camera)
    await camera.send(masked(BINARY, large))
    assert (await camera.close_code())[0] == 1009
    agent = await dial(web, 1)
    agents.append(agent)
    await agent.stream(FOOTAGE.track)
    payload = (len(large) - 4).to_bytes(4, "big") + large[4:]
    await agent.send([Sent(1, agent.now_us(), Block(0, payload))])
    await agent.compare_clocks(1)
    await agent.send_bytes(bytes(packets.MAX_PACKET_BYTES + 1))
    await eventually(lambda: bool(events_of(web, 1, "disconnected")))


# --- what is kept ---------------------------------------------------------------------------------


async def test_packets_become_a_segment_that_any_player_reads(
    web: Web, agents: list[AgentClient]
) -> None:
    agent = await dial(web, 2, clock_skew_us=77_000_000)
    agents.append(agent)
    assert abs(agent.offset_us + 77_000_000) < 50_000
    await agent.stream(FOOTAGE.track)
    begin_us = agent.now_us() - 1_500_000
    begin_ms = time.time_ns() // 1_000_000 - 1500
    sent = numbered(FOOTAGE.blocks, begin_us)
    await agent.play(sent)
    await agent.until_acked(sent[-1].number)
    await agent.vanish()
    await eventually(lambda: row_of(web, 2, "presence") == "offline")
    closed = await eventually(
        lambda: [one for one in segments.list_segments(spool_of(web, 2)) if not one.is_open]
    )
    kept = [frame for segment in closed for frame in segments.read_frames(segment)]
    pictures = [frame for frame in kept if not frame.is_audio]
    assert [frame.payload for frame in pictures] == [one.payload for one in FOOTAGE.pictures]
    for frame, block in zip(pictures, FOOTAGE.pictures, strict=True):
        assert abs(frame.wall_ms - begin_ms - block.time_ms) < 100
    steps = {after.wall_ms - before.wall_ms for before, after in itertools.pairwise(pictures)}
    assert steps <= {39, 40, 41}
    with av.open(str(closed[0].path)) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        assert sum(1 for _ in container.decode(video=0)) > 20
    assert events_of(web, 2, "error") == []


async def test_nonsense_is_said_and_the_stream_goes_on(web: Web, agents: list[AgentClient]) -> None:
    agent = await dial(web, 3)
    agents.append(agent)
    await agent.send_bytes(packets.encode_packet(1, agent.now_us(), b"too early"))
    await agent.say('{"type":"stream","run":"zz"}')
    await agent.say(b"[" * 30_000)
    await agent.send_bytes(b"RP")
    await agent.stream(FOOTAGE.track)
    sent = numbered(FOOTAGE.pictures[:10], agent.now_us() - 1_000_000)
    await agent.send(sent[:5])
    await agent.send_bytes(packets.encode_packet(99, agent.now_us(), b"\x00\x00\x00\x09x"))
    await agent.send(sent[5:])
    await agent.until_acked(10)
    facts = await eventually(lambda: facts_of(web, 3))
    assert facts["rejected"] == 5
    assert events_of(web, 3, "error"), "one sentence, not five"
    assert len(events_of(web, 3, "error")) == 1


def facts_of(web: Web, pulled: int) -> Any:
    document = json.loads((web.data / "run" / "web.json").read_text())
    return document["devices"].get(str(web.world["pulled"][pulled][0]))


async def test_a_flood_of_packets_is_closed_and_named(web: Web, agents: list[AgentClient]) -> None:
    agent = await dial(web, 4)
    agents.append(agent)
    await agent.stream(FOOTAGE.track)
    small = masked(BINARY, packets.encode_packet(1, agent.now_us(), b"\x00\x00\x00\x01x"))
    with contextlib.suppress(OSError):  # that is how it ends
        for _ in range(100):
            await agent.send_raw(small * 1000)
    await eventually(lambda: any("2000 frames" in text for text in events_of(web, 4, "limit")))


# --- watching -------------------------------------------------------------------------------------


async def watch(web: Web, pulled: int) -> Camera:
    """The administrator's live view of a pulled camera."""
    from tests.capture.test_live import watch as watch_any

    pk = web.world["pulled"][pulled][0]
    return await watch_any(web, 0, token=web.world["admin_token"], origin="", pk=pk)


async def messages(viewer: Camera, count: int) -> list[tuple[int, bytes]]:
    """`count` binary messages as (captured_ms, payload), granting one credit for each."""
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        opcode, payload = await viewer.receive()
        if opcode == BINARY:
            found.append((int.from_bytes(payload[:8], "big"), payload[16:]))
            await grant(viewer, 1)
    return found


async def media(viewer: Camera) -> dict[str, Any]:
    while True:
        opcode, payload = await viewer.receive()
        if opcode == TEXT and (message := json.loads(payload))["type"] == "media":
            return dict(message)


def counters(data: bytes) -> list[int]:
    found = []
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        for frame in container.decode(video=0):
            luma = frame.planes[0]
            stamp = counting.read_luma(memoryview(luma), stride=luma.line_size, width=frame.width)
            assert stamp is not None
            found.append(stamp.counter)
    return found


async def test_a_viewer_sees_the_newest_key_picture_first_and_then_every_picture(
    web: Web, agents: list[AgentClient], cleanup: list[Camera]
) -> None:
    agent = await dial(web, 5)
    agents.append(agent)
    await agent.stream(REORDERED.track)
    sent = numbered(REORDERED.blocks, agent.now_us() - 1_600_000)
    await agent.send(sent[:40])
    await agent.compare_clocks(1)  # so that all of it was taken
    viewer = await watch(web, 5)
    cleanup.append(viewer)
    told = await media(viewer)
    assert told["mime"].startswith('video/mp4; codecs="avc1.')
    await grant(viewer, 30)
    (_, init), (captured_ms, opening) = await messages(viewer, 2)
    assert init[4:8] == b"ftyp"
    newest = max(one.block.time_ms for one in sent[:40])
    assert abs(time.time_ns() // 1_000_000 - 1600 + newest - captured_ms) < 3000
    so_far = counters(init + opening)
    assert so_far[0] == 25
    await agent.send(sent[40:])
    rest = b""
    async with asyncio.timeout(10):
        while counters(init + opening + rest)[-1] < 49:
            rest += (await messages(viewer, 1))[0][1]
    assert counters(init + opening + rest) == list(range(25, 50))


async def test_a_viewer_that_was_deaf_for_a_while_goes_on_at_a_key_picture(
    web: Web, agents: list[AgentClient], cleanup: list[Camera]
) -> None:
    agent = await dial(web, 6)
    agents.append(agent)
    await agent.stream(FOOTAGE.track)
    await agent.send(numbered(FOOTAGE.pictures[:10], agent.now_us() - 400_000))
    await agent.compare_clocks(1)
    viewer = await watch(web, 6)
    cleanup.append(viewer)
    await media(viewer)
    await grant(viewer, 2)
    (_, init), (_, opening) = await messages_without_credit(viewer, 2)
    # 9 MiB while it grants nothing: what waited for it is given up, the next key picture is not.
    heavy = Block(0, (1 << 20).to_bytes(4, "big") + bytes(1 << 20), is_key=False)
    for number in range(11, 21):
        await agent.send([Sent(number, agent.now_us(), heavy)])
    fresh = numbered(FOOTAGE.pictures[25:40], agent.now_us() - 2_000_000, first_number=21)
    await agent.send(fresh)
    await agent.compare_clocks(1)
    await grant(viewer, 1)
    ((_, piece),) = await messages_without_credit(viewer, 1)
    assert counters(init + opening) == list(range(10))
    assert counters(init + piece) == list(range(25, 40))


async def messages_without_credit(viewer: Camera, count: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        opcode, payload = await viewer.receive()
        if opcode == BINARY:
            found.append((int.from_bytes(payload[:8], "big"), payload[16:]))
    return found


async def test_stills_are_the_newest_key_picture_decoded_once(
    web: Web, agents: list[AgentClient], cleanup: list[Camera]
) -> None:
    footage = coded("hevc", frames=50, gop=25)
    agent = await dial(web, 7)
    agents.append(agent)
    await agent.stream(footage.track)
    await agent.send(numbered(footage.blocks[:40], agent.now_us() - 1_600_000))
    await agent.compare_clocks(1)
    path = f"/api/v1/devices/{web.world['pulled'][7][0]}/snapshot.jpg"
    answers = await asyncio.gather(
        *(web.get(path, token=web.world["admin_token"]) for _ in range(4))
    )
    assert {status for status, _, _ in answers} == {200}
    assert len({body for _, _, body in answers}) == 1
    with Image.open(io.BytesIO(answers[0][2])) as image:
        stamp = counting.read_image(image)
    assert stamp is not None
    assert stamp.counter == 25
    viewer = await watch(web, 7)
    cleanup.append(viewer)
    await viewer.send(masked(TEXT, b'{"show":"stills","credit":1}'))
    ((_, picture),) = await messages_without_credit(viewer, 1)
    assert picture == answers[0][2]
    assert (await web.get(path + "?max_age_ms=1", token=web.world["admin_token"]))[0] == 503


@pytest.mark.parametrize(
    "text", [b'{"show":"all"}', b'{"show":["video"]}', b'{"credit":"1","show":"video"}']
)
async def test_a_wish_that_is_none_ends_the_picture(web: Web, text: bytes) -> None:
    viewer = await watch(web, 8)
    await viewer.send(masked(TEXT, text))
    assert (await viewer.close_code())[0] == 4400
    await viewer.vanish()


# --- kill -9 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
@pytest.mark.parametrize("b_frames", [0, 3])
async def test_nothing_is_lost_or_doubled_when_the_web_process_is_killed(
    server: str, b_frames: int, tmp_path: Path, populated: Path, pki: Pki
) -> None:
    footage = coded("h264", frames=50, gop=25, b_frames=b_frames, has_sound=True)
    blocks = looped(footage.blocks, LENGTH_MS, 4)
    while blocks[0].is_audio:  # nothing is kept from before the first key picture
        del blocks[0]
    data = tmp_path / "data"
    shutil.copytree(populated, data)
    web = Web(data, pki, server)
    web.start()
    context: ssl.SSLContext = web.context
    mac, key = web.world["pulled"][0][1], web.world["node_key"]
    begin_us = time.monotonic_ns() // 1000
    sent = numbered(blocks, begin_us)
    done = 0
    cuts = [130, 260, len(sent)]
    for cut in cuts:
        agent = await AgentClient.dial(web.port, key, mac, context=context, run=0xABCDEF)
        await agent.compare_clocks()
        await agent.stream(footage.track)
        again = resume_at(sent, done)
        await agent.play(sent[again:cut])
        if cut != len(sent):
            web.stop(signal.SIGKILL)
            done = agent.acked
            await agent.vanish()
            web.start()
        else:
            await agent.until_acked(sent[-1].number)
            await agent.vanish()
    assert web.stop() == 0
    kept = own_payloads(web.data / "spool" / web.world["pulled"][0][2])
    assert kept == [one.block.payload for one in sent]


def resume_at(sent: list[Sent], acked: int) -> int:
    """Index of the last key picture at or before the first packet that is not acknowledged."""
    first = min(acked, len(sent) - 1)
    while first > 0 and not (sent[first].block.is_key and not sent[first].block.is_audio):
        first -= 1
    return first


def own_payloads(directory: Path) -> list[bytes]:
    """What packager and clips see: each segment's own frames, in the order of the segments."""
    segments.adopt(directory)
    found = segments.list_segments(directory)
    payloads: list[bytes] = []
    for segment in found:
        own = own_frames(segment, found)
        frames = list(segments.read_frames(segment))
        payloads += [frame.payload for frame in (frames if own is None else frames[:own])]
    return payloads
