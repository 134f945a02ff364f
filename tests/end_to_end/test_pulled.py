"""An RTSP camera at a running recorder: GStreamer's server is the camera, all else is ours."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from tests.end_to_end import scene
from tests.end_to_end.scene import BEARER, TOKEN
from tests.instruments import canary, rtsp_server
from tests.instruments.rtsp_server import RtspServer
from tests.stack import Stack, wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(bool(rtsp_server.missing()), reason=rtsp_server.missing() or "-"),
    pytest.mark.timeout(300),
]
FPS = 15
PASSWORD = "rtsp-canary-7a31"
OUTAGES = 3
OUTAGE_S = 7.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {
        "AUTH_TOKEN": TOKEN,
        "NVR_SEGMENT_SECONDS": "3",
        "NVR_ALLOW_LOOPBACK_CAMERAS": "1",
    }
    with Stack(tmp_path_factory.mktemp("pulled"), env=env) as running:
        yield running


def add(stack: Stack, name: str, url: str, **wish: Any) -> dict[str, Any]:
    source = stack.post_json("/api/v1/sources/", {"name": name, "url": url, **wish}, BEARER)
    assert isinstance(source, dict)
    return source


def device(stack: Stack, pk: int) -> dict[str, Any]:
    found = stack.get_json(f"/api/v1/devices/{pk}/", BEARER)
    assert isinstance(found, dict)
    return found


def is_recording(stack: Stack, pk: int) -> Any:
    return wait_until(
        lambda: device(stack, pk)["is_recording"],
        limit_s=40,
        what=f"recording: {device(stack, pk)['sentence']}",
    )


def picture_times_ms(path: Path) -> list[float]:
    """Media time of every picture of an hour file, in order of presentation."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        times = [
            1000 * float(packet.pts * stream.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None
        ]
    return sorted(times)


def test_a_restart_of_the_web_process_leaves_no_gap(stack: Stack) -> None:
    """The agent keeps what the recorder has not acknowledged and delivers it late."""
    with RtspServer(
        codec="h264", fps=FPS, gop=FPS, audio="aac", username="viewer", password=PASSWORD
    ) as camera:
        source = add(stack, "Gate", camera.url, username="viewer", password=PASSWORD)
        pk = source["device"]
        is_recording(stack, pk)
        began_ms = time.time_ns() // 1_000_000
        for _ in range(3):
            time.sleep(5)
            old = stack.kill("web", signal.SIGKILL)
            stack.wait_for_new("web", old)
            is_recording(stack, pk)
        time.sleep(5)
        ended_ms = time.time_ns() // 1_000_000 - 2_000
        found = canary.find_in_processes(PASSWORD, [process.pid for process in stack.family()])
        assert not found.hits
        query = f"?device={pk}&start_ms={began_ms}&end_ms={ended_ms}"

        def covered() -> bool:
            spans = stack.get_json(f"/api/v1/timeline/{query}", BEARER)["devices"][0]["spans"]
            return bool(spans) and spans[-1][1] >= ended_ms

        wait_until(covered, limit_s=90, what="the last segment of the run in an hour file")
    assert stack.get_json(f"/api/v1/gaps/{query}", BEARER)["gaps"] == []
    files = scene.hour_files(stack, device(stack, pk)["mac"])
    steps = [after - before for path in files for before, after in pairwise(picture_times_ms(path))]
    assert max(steps) < 2.5 * 1000 / FPS, "pictures are missing between two others"
    assert min(steps) > 0.3 * 1000 / FPS, "pictures are there twice"
    with av.open(str(files[0])) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]


def test_each_outage_is_listed_with_its_cause(stack: Stack) -> None:
    with RtspServer(codec="h264", fps=FPS, gop=FPS) as camera:
        source = add(stack, "Yard", camera.url)
        pk = source["device"]
        is_recording(stack, pk)
        began_ms = time.time_ns() // 1_000_000
        for _ in range(OUTAGES):
            camera.kill()
            time.sleep(OUTAGE_S)
            camera.start()
            is_recording(stack, pk)
            time.sleep(4)
        ended_ms = time.time_ns() // 1_000_000 - 3_000
        query = f"?device={pk}&start_ms={began_ms}&end_ms={ended_ms}"

        def gaps() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = stack.get_json(f"/api/v1/gaps/{query}", BEARER)["gaps"]
            spans = stack.get_json(f"/api/v1/timeline/{query}", BEARER)["devices"][0]["spans"]
            return found if spans and spans[-1][1] >= ended_ms - 1_000 else None

        # While the camera goes on: the last segment of a run waits for what may still be repeated.
        listed = wait_until(gaps, limit_s=90, what="the video after the last outage")
    words = ("The camera ended the stream", "127.0.0.1 is there, but nothing listens on port")
    assert len(listed) == OUTAGES
    for gap in listed:
        assert gap["end_ms"] - gap["start_ms"] >= 1000 * (OUTAGE_S - 1)
        assert gap["cause"] == "offline", gap
        assert gap["sentence"].startswith(words), gap
