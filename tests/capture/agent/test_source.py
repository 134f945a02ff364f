"""The life of one source: started, watched, started again; what the recorder is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from capture.agent import locks
from capture.agent import source as life
from capture.agent.carrier import Carrier
from capture.agent.link import Door
from capture.agent.protocol import Driver, Packet, Sink, SourceError, SourceSpec
from capture.agent.source import Source
from recordings.media.matroska import Track
from tests.capture.agent.door import stand_in_door
from tests.capture.agent.sinks import ScriptedDriver, spec
from tests.capture.firmware import jpeg
from tests.capture.web import eventually

TRACK = Track("h264", 640, 480, b"avcC")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "BACK_OFF_S", (0.02, 0.1))
    monkeypatch.setattr(life, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(life, "IN_USE_S", 0.05)
    monkeypatch.setattr(life, "DRAIN_S", 0.1)


@asynccontextmanager
async def living(
    script: Callable[[Sink], Any], tmp_path: Path, door: Door, **fields: object
) -> AsyncIterator[Source]:
    def open_driver(wanted: SourceSpec, *, lock_fd: int) -> Driver:
        assert lock_fd > 2
        return ScriptedDriver(script)

    wanted = spec(1, **fields)
    source = Source(
        wanted,
        carrier=Carrier(door, wanted.mac, wanted.name),
        run_dir=tmp_path,
        open_driver=open_driver,
    )
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


NOWHERE = Door("ws://127.0.0.1:9/ws", None, {})


async def pictures(sink: Sink, *, every_s: float = 0.02, count: int = 10_000) -> None:
    sink.stream(TRACK)
    for _ in range(count):
        sink.packet(Packet(time.monotonic_ns() // 1000, b"picture"))
        await asyncio.sleep(every_s)


async def test_a_source_that_gives_pictures_is_running(tmp_path: Path) -> None:
    async with living(pictures, tmp_path, NOWHERE) as source:
        before = source.report()
        assert (before["state"], before["found"]) == ("connecting", None)
        await eventually(lambda: source.report()["state"] == "running")
        report = source.report()
        assert (report["code"], report["attempts"]) == ("", 0)
        assert report["found"]["codec"] == "h264"
        assert report["id"] == 1


async def test_its_rate_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def even(sink: Sink) -> None:
        sink.stream(TRACK)
        for number in range(100):
            sink.packet(Packet(number * 40_000, b"picture"))

    async def script(sink: Sink) -> None:
        even(sink)
        await asyncio.sleep(60)

    async with living(script, tmp_path, NOWHERE) as source:
        await eventually(lambda: (source.report()["found"] or {}).get("fps"))
        assert source.report()["found"]["fps"] == 25.0
        assert source.report()["found"]["sentence"] == "H.264, 640x480, 25 fps, without sound"


async def test_a_jpegs_size_is_read_from_the_picture(tmp_path: Path) -> None:
    async def script(sink: Sink) -> None:
        sink.stream(Track("mjpeg", 0, 0))
        sink.packet(Packet(1, jpeg()))
        await asyncio.sleep(60)

    async with living(script, tmp_path, NOWHERE) as source:
        found = await eventually(lambda: source.report()["found"])
        assert found["width"] > 0
        assert found["height"] > 0


async def test_a_failure_is_reported_and_tried_again(tmp_path: Path) -> None:
    runs = []

    def script(sink: Sink) -> None:
        runs.append(sink)
        raise SourceError("refused", "The camera refused the password.")

    async with living(script, tmp_path, NOWHERE) as source:
        await eventually(lambda: len(runs) >= 4)
        await eventually(lambda: source.report()["state"] == "retrying")
        report = source.report()
        assert report["code"] == "refused"
        assert report["sentence"] == "The camera refused the password."
        assert report["attempts"] >= 4


async def test_the_pause_between_attempts_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BACK_OFF_S", (0.05, 0.4))
    began: list[float] = []

    def script(sink: Sink) -> None:
        began.append(time.monotonic())
        raise SourceError("unreachable", "Nothing answers.")

    async with living(script, tmp_path, NOWHERE):
        await eventually(lambda: len(began) >= 6)
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert all(0.3 <= pause < 0.9 for pause in pauses[3:5]), "and no further than its limit"


async def test_silence_after_pictures_ends_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "SILENT_S", 0.3)
    ended = []

    async def script(sink: Sink) -> None:
        await pictures(sink, count=3)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(time.monotonic())

    async with living(script, tmp_path, NOWHERE) as source:
        await eventually(lambda: source.report()["code"] == "silent")
        assert ended, "the driver was cancelled first"
        assert "No picture" in source.report()["sentence"]


async def test_sound_alone_is_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "SILENT_S", 0.3)

    async def script(sink: Sink) -> None:
        await pictures(sink, count=3)
        while True:
            sink.packet(Packet(time.monotonic_ns() // 1000, b"tone", is_audio=True))
            await asyncio.sleep(0.02)

    async with living(script, tmp_path, NOWHERE) as source:
        await eventually(lambda: source.report()["code"] == "silent")


async def test_a_camera_that_never_sends_a_picture_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_S", 0.2)
    async with living(lambda sink: asyncio.sleep(60), tmp_path, NOWHERE) as source:
        await eventually(lambda: source.report()["code"] == "silent")


async def test_a_camera_that_is_asked_rarely_may_be_silent_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "SILENT_S", 0.1)

    async def script(sink: Sink) -> None:
        await pictures(sink, every_s=0.5)

    async with living(script, tmp_path, NOWHERE, rate_fps=2.0) as source:
        await eventually(lambda: source.report()["state"] == "running")
        await asyncio.sleep(0.8)
        assert source.report()["state"] == "running"


async def test_a_crash_of_a_driver_is_logged_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = []

    def script(sink: Sink) -> None:
        runs.append(sink)
        raise ZeroDivisionError("a bug")

    with caplog.at_level(logging.ERROR):
        async with living(script, tmp_path, NOWHERE) as source:
            await eventually(lambda: len(runs) >= 4)
            assert source.report()["code"] in ("failed", "")
    assert len([record for record in caplog.records if "driver failed" in record.message]) == 1


async def test_the_lock_is_held_while_the_driver_runs_and_free_after(tmp_path: Path) -> None:
    async with living(pictures, tmp_path, NOWHERE) as source:
        await eventually(lambda: source.report()["state"] == "running")
        other = Source(
            spec(1), carrier=Carrier(NOWHERE, "", ""), run_dir=tmp_path,
            open_driver=lambda wanted, *, lock_fd: ScriptedDriver(pictures),
        )  # fmt: skip
        task = asyncio.create_task(other.run())
        await eventually(lambda: other.report()["code"] == "busy")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with locks.held(tmp_path / "source-1.lock"):
        pass


async def test_a_recorder_that_refuses_is_said_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "TROUBLE_S", 0.2)
    async with stand_in_door() as door:
        door.refuse_with = 503
        async with living(pictures, tmp_path, door.door) as source:
            await eventually(lambda: source.report()["code"] == "busy")
            assert source.report()["state"] == "retrying"
            door.refuse_with = 0
            await eventually(lambda: source.report()["state"] == "running")


async def test_the_connection_is_there_only_while_the_camera_delivers(tmp_path: Path) -> None:
    may_go_on = asyncio.Event()

    async def script(sink: Sink) -> None:
        await pictures(sink, count=5)
        may_go_on.clear()
        raise SourceError("ended", "The stream ended.")

    async def paused(sink: Sink) -> None:
        await may_go_on.wait()
        await script(sink)

    may_go_on.set()
    async with stand_in_door() as door, living(paused, tmp_path, door.door):
        await eventually(lambda: len(door.visits) == 1 and door.open == 0)
        assert len(door.packets) == 5
        may_go_on.set()
        await eventually(lambda: len(door.visits) == 2 and door.open == 0)


async def test_what_is_stopped_hands_over_its_last_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "DRAIN_S", 5.0)
    given = []

    async def script(sink: Sink) -> None:
        sink.stream(TRACK)
        while True:
            sink.packet(Packet(time.monotonic_ns() // 1000, b"picture"))
            given.append(1)
            await asyncio.sleep(0.01)

    async with stand_in_door() as door:
        async with living(script, tmp_path, door.door):
            await eventually(lambda: len(door.packets) > 20)
        assert len(door.packets) == len(given)


async def test_while_a_picture_is_taken_it_waits_and_is_back_soon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BACK_OFF_S", (30.0, 30.0))
    path = locks.camera_path(tmp_path, "picamera:0")
    assert path is not None
    with caplog.at_level(logging.INFO):
        with locks.hold_camera(path, patience_s=0.0):
            async with living(pictures, tmp_path, NOWHERE, url="picamera:0?fps=5") as source:
                await eventually(lambda: source.report()["code"] == life.IN_USE)
                looked: list[str] = []
                monkeypatch.setattr(source, "_become", _noting(source._become, looked))
                await eventually(lambda: looked.count("retrying") > 3)
                assert source.report()["attempts"] <= 1, "that is no failure"
                await eventually(lambda: source.report()["state"] == "retrying")
                said = "A picture or a video is being taken with this camera."
                assert source.report()["sentence"] == said
        async with living(pictures, tmp_path, NOWHERE, url="picamera:0") as source:
            await eventually(lambda: source.report()["state"] == "running")
            with (
                pytest.raises(SourceError, match="streams from"),
                locks.hold_camera(path, patience_s=0.0),
            ):
                pass
    told = [each for each in caplog.records if "being taken" in each.message]
    assert len(told) <= 1
    with locks.hold_camera(path, patience_s=0.0):
        pass


async def test_the_same_source_goes_on_when_the_picture_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BACK_OFF_S", (30.0, 30.0))
    path = locks.camera_path(tmp_path, "usb:/dev/video98")
    assert path is not None
    with contextlib.ExitStack() as capture:
        capture.enter_context(locks.hold_camera(path, patience_s=0.0))
        async with living(pictures, tmp_path, NOWHERE, url="usb:/dev/video98") as source:
            await eventually(lambda: source.report()["code"] == life.IN_USE)
            capture.close()
            await eventually(lambda: source.report()["state"] == "running")


async def test_a_source_that_is_stopped_gives_the_camera_back_before_its_last_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing_over, may_end = asyncio.Event(), asyncio.Event()

    async def slow_drain(carrier: Carrier, seconds: float) -> None:
        handing_over.set()
        await may_end.wait()

    monkeypatch.setattr(Carrier, "drain", slow_drain)
    path = locks.camera_path(tmp_path, "picamera:0")
    assert path is not None
    source = Source(
        spec(1, url="picamera:0"), carrier=Carrier(NOWHERE, "", ""), run_dir=tmp_path,
        open_driver=lambda wanted, *, lock_fd: ScriptedDriver(pictures),
    )  # fmt: skip
    task = asyncio.create_task(source.run())
    await eventually(lambda: source.report()["state"] == "running")
    task.cancel()
    async with asyncio.timeout(5):
        await handing_over.wait()
    with locks.hold_camera(path, patience_s=0.0):
        assert not task.done()
    may_end.set()
    await asyncio.gather(task, return_exceptions=True)


async def test_two_sources_of_one_camera_do_not_share_it(tmp_path: Path) -> None:
    async with living(pictures, tmp_path, NOWHERE, url="picamera:0") as first:
        await eventually(lambda: first.report()["state"] == "running")
        wanted = spec(2, url="picamera:0?fps=5")
        second = Source(
            wanted, carrier=Carrier(NOWHERE, "", ""), run_dir=tmp_path,
            open_driver=lambda wanted, *, lock_fd: ScriptedDriver(pictures),
        )  # fmt: skip
        task = asyncio.create_task(second.run())
        await eventually(lambda: second.report()["code"] == "busy")
        assert "streams from this camera" in second.report()["sentence"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert first.report()["state"] == "running"


def _noting(become: Callable[..., None], looked: list[str]) -> Callable[..., None]:
    def note(state: str, *said: str) -> None:
        looked.append(state)
        become(state, *said)

    return note
