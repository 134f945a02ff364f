"""The main job on real processes: cameras dial in, and every frame is in a file with its own time.

One recorder serves this module; each test brings its own cameras.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib import request
from urllib.parse import urljoin

import av
import pytest
from websockets.asyncio.client import connect

from capture.media import counting as painter
from tests.end_to_end import scene
from tests.instruments import canary, counting, stall
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"AUTH_TOKEN": scene.TOKEN, "NVR_SEGMENT_SECONDS": "4"}
    with Stack(tmp_path_factory.mktemp("recorder"), env=env) as running:
        yield running


def duration_s(path: Path) -> float:
    """As ffprobe says it, where there is one; the same library in-process where there is none."""
    if ffprobe := shutil.which("ffprobe"):
        arguments = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
        done = subprocess.run([ffprobe, *arguments], capture_output=True, text=True, check=True)
        return float(done.stdout)
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / 1_000_000


def test_video_lasts_as_long_as_it_took_at_any_frame_rate_and_every_frame_is_there(
    stack: Stack,
) -> None:
    rates = (1, 10, 25)
    fleets = [
        scene.Cameras(
            stack, f"rate-{fps}", "--fps", str(fps), "--size", "VGA", "--seconds", "20", place=fps
        )
        for fps in rates
    ]
    try:
        with stall.Lateness() as lateness:
            reports = [fleet.finish() for fleet in fleets]
    finally:
        for fleet in fleets:
            fleet.end()
    for fps, report in zip(rates, reports, strict=True):
        (camera,) = report["cameras"]
        last = camera["runs"][-1]["last"]
        found = scene.packaged(stack, camera["mac"], last=last)
        assert (found.frames, found.lost, found.first) == (camera["sent"], 0, 0), found
        assert found.is_whole, found
        assert found.cameras == {camera["number"]}
        # Two tenths are the promise. A frame goes through two processes, each of which may be
        # woken as late as this one was.
        allowed_ms = 200 + 2 * lateness.worst_ms
        assert found.time_error_ms < allowed_ms, found
        measured_ms = 1000 * sum(
            duration_s(path) for path in scene.hour_files(stack, camera["mac"])
        )
        assert measured_ms == pytest.approx(found.span_ms + 1000 / fps, abs=allowed_ms)


def test_a_player_gets_the_same_frames_through_the_playlist(stack: Stack) -> None:
    started = scene.now_ms()
    arguments = ("--fps", "10", "--size", "QVGA", "--seconds", "12")
    with scene.cameras(stack, "hls", *arguments, place=40) as fleet:
        (camera,) = fleet.finish()["cameras"]
    last = camera["runs"][-1]["last"]
    whole = scene.packaged(stack, camera["mac"], last=last)
    device = scene.device_id(stack, camera["mac"])
    address = (
        f"{stack.url}/api/v1/devices/{device}/playlist.m3u8"
        f"?start_ms={started}&end_ms={scene.now_ms()}"
    )
    playlist = fetch(stack, address).decode()
    assert playlist.startswith("#EXTM3U")
    played = counting.judge(play(stack, address, playlist), last=last)
    assert played.last == whole.last
    assert (played.lost, played.duplicated, played.out_of_order, played.unreadable) == (0, 0, 0, 0)
    assert played.frames == camera["sent"]


def fetch(stack: Stack, address: str, span: tuple[int, int] | None = None) -> bytes:
    """`span` is (first byte, length); the answer then has to be exactly that part."""
    asked = request.Request(address, headers=dict(scene.BEARER))
    if span:
        asked.add_header("Range", f"bytes={span[0]}-{span[0] + span[1] - 1}")
    with request.urlopen(asked, context=stack.tls(), timeout=20) as answer:
        body: bytes = answer.read()
        assert answer.status == (206 if span else 200)
    assert span is None or len(body) == span[1]
    return body


def play(stack: Stack, address: str, playlist: str) -> Iterator[counting.Sighting]:
    """A small player of byte-range HLS (RFC 8216): every MAP with the segments that follow it."""
    parts: list[bytes] = []
    span: tuple[int, int] | None = None
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-MAP:"):
            yield from decode(parts)
            found = re.search(r'URI="([^"]+)",BYTERANGE="(\d+)@(\d+)"', line)
            assert found, line
            init = (int(found[3]), int(found[2]))
            parts = [fetch(stack, urljoin(address, found[1]), init)]
        elif line.startswith("#EXT-X-BYTERANGE:"):
            length, _, start = line.partition(":")[2].partition("@")
            begin = int(start) if start else sum(span or (0, 0))
            span = (begin, int(length))
        elif line and not line.startswith("#"):
            assert span, "a segment without a byte range"
            parts.append(fetch(stack, urljoin(address, line), span))
    yield from decode(parts)


def decode(parts: list[bytes]) -> Iterator[counting.Sighting]:
    if not parts:
        return
    with av.open(io.BytesIO(b"".join(parts)), "r") as container:
        for frame in container.decode(video=0):
            luma = frame.planes[0]
            stamp = painter.read_luma(luma, stride=luma.line_size, width=frame.width)
            yield counting.Sighting(stamp, 1000 * float(frame.time or 0))


async def test_a_viewer_sees_the_newest_frame_and_its_age(stack: Stack) -> None:
    with scene.cameras(stack, "live", "--fps", "10", "--size", "QVGA", place=41) as fleet:
        mac = f"{scene.prefix(41)}:01"
        device = await asyncio.to_thread(
            wait_until,
            lambda: connected_id(stack, mac),
            limit_s=20,
            what="the camera is connected",
        )
        counters: list[int] = []
        states: list[dict[str, object]] = []
        async with (
            connect(
                f"{stack.ws_url}/ws/live/{device}", ssl=stack.tls(), additional_headers=scene.BEARER
            ) as viewer,
            asyncio.timeout(20),
        ):
            await viewer.send(json.dumps({"credit": 2}))
            while len(counters) < 20:
                message = await viewer.recv()
                if isinstance(message, str):
                    states.append(json.loads(message))
                    continue
                captured_ms, server_ms = struct.unpack(">QQ", message[:16])
                stamp = painter.read_jpeg(message[16:])
                assert stamp
                counters.append(stamp.counter)
                assert 0 <= server_ms - captured_ms < 2_000
                assert abs(captured_ms - stamp.time_ms) < 1_000
                await viewer.send(json.dumps({"credit": 1}))
        assert counters == sorted(set(counters))
        assert states
        assert states[0]["type"] == "state"
        await asyncio.to_thread(fleet.finish, is_told=True)


def connected_id(stack: Stack, mac: str) -> int | None:
    results = stack.get_json(f"/api/v1/devices/?search={mac}", scene.BEARER)["results"]
    return results[0]["id"] if results and results[0]["is_connected"] else None


def test_no_secret_is_in_a_log_a_command_line_or_the_data_directory(stack: Stack) -> None:
    arguments = ("--count", "2", "--size", "QVGA", "--seconds", "3")
    with scene.cameras(stack, "keys", *arguments, place=42) as fleet:
        fleet.finish()
    kept = json.loads((stack.data_dir / "simulated-cameras.json").read_text())
    keys = [camera["key"] for recorder in kept.values() for camera in recorder.values()]
    assert len(keys) >= 2
    output = stack.data_dir.parent / "output.log"
    output.write_text(stack.output)
    pids = [process.pid for process in stack.family()]
    for secret in (*keys, scene.TOKEN, stack.password):
        files = canary.find(
            secret, stack.data_dir, output, allowed=("simulated-cameras.json", ".sock")
        )
        assert files.hits == []
        assert canary.find_in_processes(secret, pids).hits == []
