"""Run by run to the recorder, over connections that break: against a stand-in for its door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from capture.agent import carrier as carrying
from capture.agent import link
from capture.agent.carrier import Carrier
from capture.agent.outbox import Outbox
from capture.agent.protocol import Packet
from capture.media.packets import StreamStart, WirePacket
from recordings.media.matroska import Audio, Track
from tests.capture.agent.door import StandInDoor, stand_in_door
from tests.capture.web import eventually

TRACK = Track("h264", 640, 480, b"avcC", Audio("aac", 48_000, 2, b"\x11\x90"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "BACK_OFF_S", (0.02, 0.1))


@asynccontextmanager
async def carried(door: StandInDoor) -> AsyncIterator[Carrier]:
    carrier = Carrier(door.door, "06:52:4F:53:00:01", "camera")
    task = asyncio.create_task(carrier.run())
    try:
        yield carrier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def give(
    carrier: Carrier, box: Outbox, kinds: str, *, track: Track = TRACK, size: int = 50
) -> None:
    """K: a key picture, d: another one, s: sound."""
    box.stream(track)
    for kind in kinds:
        now_us = time.monotonic_ns() // 1000
        box.packet(Packet(now_us, kind.encode() * size, kind != "d", kind == "s"))
    carrier.news.set()


def numbers(visit: list[StreamStart | WirePacket]) -> list[int]:
    return [one.number for one in visit if isinstance(one, WirePacket)]


async def test_it_says_who_it_is_and_what_it_brings() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.skew_us = 5_000_000
        box = carrier.begin()
        give(carrier, box, "Kds")
        await eventually(lambda: box.is_all_acked)
        (visit,) = door.visits
        start = visit[0]
        assert isinstance(start, StreamStart)
        assert start.track == TRACK
        assert start.run == box.run
        assert abs(start.offset_us - 5_000_000) < 20_000
        brought = [one for one in visit[1:] if isinstance(one, WirePacket)]
        assert [(one.is_key, one.is_audio) for one in brought] == [
            (True, False), (False, False), (True, True),
        ]  # fmt: skip
        assert [one.payload for one in brought] == [b"K" * 50, b"d" * 50, b"s" * 50]
        (headers,) = door.headers
        assert headers["x-device-id"] == "06:52:4F:53:00:01"
        assert headers["x-api-key"] == "k" * 64
        assert "sec-websocket-extensions" not in headers, "video does not get smaller"


async def test_there_is_no_connection_before_there_is_something_to_bring() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        box.stream(TRACK)
        await asyncio.sleep(0.1)
        assert door.visits == []
        give(carrier, box, "K")
        await eventually(lambda: door.open == 1)


async def test_a_finished_run_ends_its_connection_when_all_is_acknowledged() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        give(carrier, box, "Kdd")
        carrier.finish(box)
        await eventually(lambda: door.visits and door.open == 0)
        assert numbers(door.visits[0]) == [1, 2, 3]


async def test_the_next_run_gets_a_connection_of_its_own() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        first = carrier.begin()
        give(carrier, first, "Kd")
        carrier.finish(first)
        second = carrier.begin()
        give(carrier, second, "Kd")
        await eventually(lambda: second.is_all_acked)
        runs = [[one.run for one in v if isinstance(one, StreamStart)] for v in door.visits]
        assert runs == [[first.run], [second.run]]
        assert door.open == 1


async def test_after_a_cut_it_begins_again_with_the_key_picture() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        give(carrier, box, "KddKd")
        await eventually(lambda: box.is_all_acked)
        door.is_acknowledging = False
        give(carrier, box, "dd")
        await eventually(lambda: len(door.packets) == 7)
        await door.cut()
        door.is_acknowledging = True
        give(carrier, box, "K")
        await eventually(lambda: box.is_all_acked)
        assert numbers(door.visits[-1]) == [4, 5, 6, 7, 8]
        assert isinstance(door.visits[-1][0], StreamStart)
        assert box.dropped == 0


async def test_a_recorder_that_is_away_gets_everything_when_it_is_back() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = 503
        box = carrier.begin()
        give(carrier, box, "KddKdd")
        await eventually(lambda: carrier.trouble)
        assert carrier.trouble is not None
        assert carrier.trouble.code == "busy"
        assert "503" in str(carrier.trouble)
        door.refuse_with = 0
        await eventually(lambda: box.is_all_acked)
        assert numbers(door.visits[0]) == [1, 2, 3, 4, 5, 6]
        assert carrier.trouble is None


async def test_runs_that_came_and_went_meanwhile_are_delivered_in_their_order() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = 503
        boxes = []
        for _ in range(3):
            box = carrier.begin()
            give(carrier, box, "Kd")
            carrier.finish(box)
            boxes.append(box)
        await eventually(lambda: carrier.trouble)
        door.refuse_with = 0
        await eventually(lambda: len(door.packets) == 6 and door.open == 0)
        starts = [v[0] for v in door.visits]
        assert [s.run for s in starts if isinstance(s, StreamStart)] == [b.run for b in boxes]


@pytest.mark.parametrize(("status", "code"), [(401, "refused"), (403, "busy"), (500, "busy")])
async def test_a_refusal_is_said_in_words(status: int, code: str) -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = status
        give(carrier, carrier.begin(), "K")
        await eventually(lambda: carrier.trouble)
        assert carrier.trouble is not None
        assert carrier.trouble.code == code
        assert str(carrier.trouble).startswith("The recorder ")


async def test_the_words_of_a_recorder_that_ends_the_connection_are_passed_on() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.is_acknowledging = False
        give(carrier, carrier.begin(), "K")
        await eventually(lambda: len(door.packets) == 1)
        await door.kick("the key was revoked")
        await eventually(lambda: carrier.trouble)
        assert str(carrier.trouble) == "The recorder ended the connection: the key was revoked."


async def test_nobody_listening_is_said_in_words() -> None:
    async with stand_in_door() as door:
        pass
    async with carried(door) as carrier:
        give(carrier, carrier.begin(), "K")
        await eventually(lambda: carrier.trouble)
        assert carrier.trouble is not None
        assert carrier.trouble.code == "unreachable"


async def test_a_recorder_that_keeps_nothing_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "NO_ACK_S", 0.5)
    async with stand_in_door() as door, carried(door) as carrier:
        door.is_acknowledging = False
        box = carrier.begin()
        give(carrier, box, "K")
        await eventually(lambda: len(door.visits) == 2)
        assert carrier.trouble is not None
        assert carrier.trouble.code == "silent"
        door.is_acknowledging = True
        await eventually(lambda: box.is_all_acked)


async def test_a_recorder_that_does_not_answer_the_clock_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "ROUND_S", 0.1)
    async with stand_in_door() as door, carried(door) as carrier:
        door.answers_clock = False
        box = carrier.begin()
        give(carrier, box, "K")
        await eventually(lambda: len(door.visits) >= 2)
        door.answers_clock = True
        await eventually(lambda: box.is_all_acked)


async def test_new_parameters_are_said_before_their_key_picture() -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        give(carrier, box, "Kd")
        larger = TRACK._replace(width=1920, config=b"other")
        give(carrier, box, "Kd", track=larger)
        await eventually(lambda: box.is_all_acked)
        said = [one.track if isinstance(one, StreamStart) else one.number for one in door.visits[0]]
        assert said == [TRACK, 1, 2, larger, 3, 4]


async def test_clocks_that_drift_apart_are_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CLOCK_EVERY_S", 0.0)
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        give(carrier, box, "Kd")
        await eventually(lambda: box.is_all_acked)
        door.skew_us = 700_000

        def offsets() -> list[int]:
            give(carrier, box, "dK")
            return [one.offset_us for one in door.visits[0] if isinstance(one, StreamStart)]

        await eventually(lambda: len(offsets()) == 2)
        first, second = offsets()
        assert abs(second - first - 700_000) < 20_000
        assert len(door.visits) == 1


async def test_a_backlog_goes_at_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PACE_BYTES_PER_S", 200_000)
    monkeypatch.setattr(link, "PACE_REAL_TIME", 0)
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = 503
        box = carrier.begin()
        give(carrier, box, "K" + "d" * 19, size=10_000)
        await asyncio.sleep(0.6)  # older than what counts as live
        door.refuse_with = 0
        await eventually(lambda: box.is_all_acked)
        took = door.came_s[-1] - door.came_s[0]
        assert 0.7 < took < 4.0  # 200 KB at 200 KB/s


async def test_small_packets_of_a_backlog_stay_below_what_the_door_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = 503
        box = carrier.begin()
        give(carrier, box, "K" + "s" * 999, size=10)
        await asyncio.sleep(0.6)
        door.refuse_with = 0
        await eventually(lambda: box.is_all_acked)
        took = door.came_s[-1] - door.came_s[0]
        assert 1000 / took < 1.5 * link.PACE_PACKETS_PER_S


async def test_what_is_live_is_not_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PACE_BYTES_PER_S", 1)
    monkeypatch.setattr(link, "PACE_REAL_TIME", 0)
    async with stand_in_door() as door, carried(door) as carrier:
        box = carrier.begin()
        give(carrier, box, "K" + "d" * 50)
        began = time.monotonic()
        await eventually(lambda: box.is_all_acked)
        assert time.monotonic() - began < 2


async def test_all_runs_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "MAX_BYTES", 50_000)
    async with stand_in_door() as door, carried(door) as carrier:
        door.refuse_with = 503
        for _ in range(20):
            box = carrier.begin()
            give(carrier, box, "Kd", size=4_000)
            carrier.finish(box)
        await eventually(lambda: sum(box.size_bytes for box in carrier._boxes) <= 50_000)
        door.refuse_with = 0
        await eventually(lambda: box.is_all_acked)
        assert carrier.dropped > 0
        assert len(door.packets) + carrier.dropped == 40
