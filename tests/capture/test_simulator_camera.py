"""A simulated camera behaves on the wire as the sketch does, and obeys what it is told."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from capture import simulator
from capture import simulator_camera as cameras
from capture.media import counting
from capture.simulator_camera import Behaviour, SimulatedCamera
from capture.simulator_picture import Studio
from capture.simulator_state import SimulatorState
from tests.instruments.certificates import Pki, make_pki
from tests.instruments.scripted_recorder import ScriptedRecorder, Visit, until

SMALL = Behaviour(size=(160, 120), fps=50)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def recorder(pki: Pki) -> AsyncIterator[ScriptedRecorder]:
    async with ScriptedRecorder(pki) as running:
        yield running


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "BACKOFF_SECONDS", (0.02, 0.1))
    monkeypatch.setattr(cameras, "STUCK_SECONDS", 0.3)


@asynccontextmanager
async def camera_at(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path, behaviour: Behaviour = SMALL
) -> AsyncIterator[SimulatedCamera]:
    """Runs camera 1 for as long as the block, then ends it as SIGTERM does."""
    state = SimulatorState(tmp_path / "state.json", pki.ca.read_bytes(), simulator.MAC_PREFIX)
    stop, studio = asyncio.Event(), Studio()
    camera = SimulatedCamera(
        1,
        endpoint=simulator.endpoint(recorder.url, pki.ca),
        behaviour=behaviour,
        state=state,
        studio=studio,
        stop=stop,
    )
    task = asyncio.create_task(camera.run())
    try:
        yield camera
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)
        studio.close()
        state.close()


def counters(visit: Visit) -> list[int]:
    stamps = [counting.read_jpeg(frame) for frame in visit.frames]
    assert all(stamps)
    return [stamp.counter for stamp in stamps if stamp]


async def test_its_requests_are_the_sketchs_byte_for_byte(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path):
        visit = await recorder.visit()
    assert recorder.registrations == [
        b"POST /register HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 32\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b'{"deviceId":"02:52:4F:53:54:01"}' % recorder.port
    ]
    nonce = visit.request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    assert visit.request == (
        b"GET /ws HTTP/1.1\r\n"
        b"Host: 127.0.0.1\r\n"
        b"Sec-WebSocket-Key: " + nonce + b"\r\n"
        b"X-API-Key: " + b"0" * 63 + b"1\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"User-Agent: TinyWebsockets Client\r\n"
        b"Origin: https://github.com/gilmaimon/TinyWebsockets\r\n"
        b"\r\n"
    )


async def test_it_says_online_first_and_masks_with_zeros(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path):
        visit = await recorder.visit()
        await until(lambda: len(visit.frames) > 3)
    assert visit.texts[0] == {"type": "status_update", "status": "online"}
    assert visit.masks == {bytes(4)}


async def test_its_counter_has_no_hole_and_its_clock_is_right(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path) as camera:
        visit = await recorder.visit()
        await until(lambda: len(visit.frames) >= 60)
    await until(lambda: visit.is_over)
    assert counters(visit) == list(range(camera.figures.sent))
    stamps = [counting.read_jpeg(frame) for frame in visit.frames]
    assert stamps[0] and stamps[59]
    assert 1000 <= stamps[59].time_ms - stamps[0].time_ms <= 2500  # 59 intervals of 20 ms


async def test_its_heartbeat_has_the_sketchs_fields_and_those_of_our_firmware(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    quick = replace(SMALL, heartbeat_seconds=0.05)
    async with camera_at(recorder, pki, tmp_path, quick):
        visit = await recorder.visit()
        await until(lambda: len(visit.texts) >= 3)
    beat = visit.texts[2]
    assert set(beat) == {
        "type", "uptime", "free_heap", "boot_count", "rssi",
        "reset_reason", "drops", "temperature", "firmware", "board",
    }  # fmt: skip
    assert (beat["reset_reason"], beat["board"]) == ("simulator", "simulated")
    assert beat["type"] == "heartbeat"
    assert beat["boot_count"] == 1
    assert beat["rssi"] < 0 < beat["uptime"]


async def test_it_sleeps_as_the_sketch_does_and_wakes_with_its_stored_key(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    motion = replace(SMALL, has_motion_cycle=True, stream_seconds=0.3, rest_seconds=0.05)
    async with camera_at(recorder, pki, tmp_path, motion) as camera:
        await recorder.visit(3)
    first, second = recorder.visits[:2]
    assert first.texts[-1] == {"type": "status_update", "status": "entering_sleep"}
    assert first.close_code == 1000
    assert len(recorder.registrations) == 1
    assert counters(second)[0] == counters(first)[-1] + 1
    assert camera.figures.runs[0].end == "sleep"


async def test_the_command_sleep_ends_the_session_like_its_own_sleep(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path, replace(SMALL, rest_seconds=0.05)):
        visit = await recorder.visit()
        visit.say({"type": "command", "action": "sleep"})
        await recorder.visit(2)
    assert visit.texts[-1]["status"] == "entering_sleep"


async def test_reboot_drops_the_line_and_counts_a_boot(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    quick = replace(SMALL, heartbeat_seconds=0.05)
    async with camera_at(recorder, pki, tmp_path, quick):
        visit = await recorder.visit()
        visit.say({"type": "command", "action": "reboot"})
        second = await recorder.visit(2)
        await until(lambda: len(second.texts) > 1)
    assert visit.close_code is None
    assert second.texts[1]["boot_count"] == 2


async def test_stop_and_start_streaming_are_obeyed_while_the_line_stays_up(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    quick = replace(SMALL, heartbeat_seconds=0.02)
    async with camera_at(recorder, pki, tmp_path, quick):
        visit = await recorder.visit()
        await until(lambda: visit.frames)
        visit.say({"type": "command", "action": "stop_streaming"})
        # Heartbeats go on; ten of them without a frame between say that it has stopped.
        seen = [-1, 0]

        def is_quiet() -> bool:
            if seen[0] != len(visit.frames):
                seen[:] = [len(visit.frames), len(visit.texts)]
            return len(visit.texts) >= seen[1] + 10

        await until(is_quiet)
        visit.say({"type": "command", "action": "start_streaming"})
        await until(lambda: len(visit.frames) > seen[0])
    assert len(recorder.visits) == 1
    assert counters(visit) == list(range(len(visit.frames)))


async def test_config_update_changes_size_quality_and_rate(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path, Behaviour()) as camera:
        visit = await recorder.visit()
        await until(lambda: visit.frames)
        config = {"resolution": "QVGA", "framerate": 40, "quality": 40, "brightness": 1}
        visit.say({"type": "config_update", "config": config})
        await until(lambda: visit.frames and len(visit.frames[-1]) < 9_000)
        assert camera._look.fps == 40
        assert (camera._look.width, camera._look.height) == (320, 240)
        assert camera._look.tuning.brightness == 1
    assert counters(visit) == list(range(len(visit.frames)))


async def test_what_was_given_on_the_command_line_stays(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path) as camera:
        visit = await recorder.visit()
        config = {"resolution": "UXGA", "framerate": 1, "quality": 20}
        visit.say({"type": "config_update", "config": config})
        await until(lambda: camera._look.quality == 20)
        assert (camera._look.width, camera._look.fps, camera._fps) == (160, 50, 50)


@pytest.mark.parametrize(
    "message",
    [
        b"not json",
        b"[]",
        b'{"type": "command"}',
        b'{"type": "command", "action": 5}',
        b'{"type": "config_update", "config": 7}',
        b'{"type": "config_update", "config": {"resolution": [], "framerate": "x", "quality": null}}',
        b'{"type": "novelty"}',
    ],
)
async def test_nonsense_from_the_recorder_changes_nothing(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path, message: bytes
) -> None:
    async with camera_at(recorder, pki, tmp_path) as camera:
        visit = await recorder.visit()
        visit.send(0x1, message)
        visit.send(0x9, b"done")
        await until(lambda: visit.pongs)
        count = len(visit.frames)
        await until(lambda: len(visit.frames) > count + 5)
    assert camera.figures.connections == 1


async def test_a_ping_is_answered_up_to_its_first_nul(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path):
        visit = await recorder.visit()
        visit.send(0x9, b"ab\0cd")
        await until(lambda: visit.pongs)
    assert visit.pongs == [b"ab"]


async def test_a_refused_key_is_replaced_by_registering_again(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    recorder.refusals = [401]
    async with camera_at(recorder, pki, tmp_path) as camera:
        visit = await recorder.visit()
    assert len(recorder.registrations) == 2
    assert b"X-API-Key: " + b"0" * 63 + b"2\r\n" in visit.request
    assert "refused with 401" in camera.figures.errors[0]


async def test_a_camera_that_waits_for_approval_keeps_its_key(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    recorder.refusals = [403, 403, 403, 403]
    async with camera_at(recorder, pki, tmp_path):
        await recorder.visit()
    assert len(recorder.registrations) == 1


async def test_a_refused_registration_is_said_in_its_own_words_and_tried_again(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    recorder.register_answer = b'{"error": "Forbidden", "message": "Registration is closed"}'
    async with camera_at(recorder, pki, tmp_path) as camera:
        await until(lambda: len(recorder.registrations) >= 3)
        recorder.register_answer = None
        await recorder.visit()
    assert camera.figures.errors[0].endswith("Registration is closed")


async def test_a_lost_line_is_dialled_again_and_the_counter_goes_on(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    async with camera_at(recorder, pki, tmp_path) as camera:
        visit = await recorder.visit()
        await until(lambda: len(visit.frames) > 5)
        visit.writer.transport.abort()
        second = await recorder.visit(2)
        await until(lambda: len(second.frames) > 5)
    assert counters(second)[0] > counters(visit)[-1]
    assert [run.end for run in camera.figures.runs] == ["lost", "stopped"]
    assert camera.figures.runs[1].first == camera.figures.runs[0].last + 1


async def test_a_recorder_that_stops_reading_costs_bounded_memory_and_is_left(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "STUCK_SECONDS", 2)
    unsent: list[int] = []
    write = cameras.Link.write

    def watched(link: cameras.Link, data: bytes) -> None:
        write(link, data)
        unsent.append(link._writer.transport.get_write_buffer_size())

    monkeypatch.setattr(cameras.Link, "write", watched)
    large = Behaviour(size=(1600, 1200), fps=60)
    async with camera_at(recorder, pki, tmp_path, large) as camera:
        visit = await recorder.visit()
        await until(lambda: visit.frames)
        recorder.is_deaf = True
        await until(lambda: "takes no more" in str(camera.figures.errors), 30)
        recorder.is_deaf = False
        await recorder.visit(2)
    # What did not fit into the sockets: the limit and the one frame that crossed it.
    assert cameras.MAX_UNSENT_BYTES <= max(unsent) < cameras.MAX_UNSENT_BYTES + 200_000
    assert camera.figures.skipped > 0


async def test_it_refuses_a_recorder_with_another_ca(
    recorder: ScriptedRecorder, tmp_path: Path
) -> None:
    stranger = make_pki(tmp_path / "stranger")
    async with camera_at(recorder, stranger, tmp_path) as camera:
        await until(lambda: camera.figures.errors)
    assert "certificate verify failed" in camera.figures.errors[0]
    assert not recorder.registrations


async def test_it_refuses_a_certificate_for_another_address(tmp_path: Path) -> None:
    elsewhere = make_pki(tmp_path / "elsewhere", addresses=("192.0.2.7",))
    async with (
        ScriptedRecorder(elsewhere) as recorder,
        camera_at(recorder, elsewhere, tmp_path) as camera,
    ):
        await until(lambda: camera.figures.errors)
    assert "127.0.0.1" in camera.figures.errors[0]
    assert not recorder.registrations


async def test_it_is_the_same_camera_after_a_restart(
    recorder: ScriptedRecorder, pki: Pki, tmp_path: Path
) -> None:
    for _ in range(2):
        async with camera_at(recorder, pki, tmp_path):
            await recorder.visit(len(recorder.visits) + 1)
    assert len(recorder.registrations) == 1
    path = tmp_path / "state.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (cameras_of_recorder,) = json.loads(path.read_text()).values()
    assert cameras_of_recorder["02:52:4F:53:54:01"]["boot_count"] == 2
