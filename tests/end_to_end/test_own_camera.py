"""This machine's own camera, streamed by the agent and asked for captures meanwhile.

Programs of rpicam-apps' names stand in for a Pi's camera; recorder, agent and worker are real.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from recordings.ffmpeg import find_ffmpeg
from tests.end_to_end.scene import BEARER, TOKEN
from tests.instruments.rpicam_programs import RpicamPrograms
from tests.stack import Stack, wait_until
from tests.stills.cameras.conftest import raw_picture

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> RpicamPrograms:
    directory = tmp_path_factory.mktemp("programs")
    return RpicamPrograms(directory, ffmpeg=find_ffmpeg(), dng=raw_picture())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, programs: RpicamPrograms) -> Iterator[Stack]:
    env = {
        "PATH": f"{programs.directory}{os.pathsep}{os.environ['PATH']}",
        "AUTH_TOKEN": TOKEN,
        "NVR_CAMERA": "rpicam",
        "NVR_SEGMENT_SECONDS": "4",
        "CAMERA_SOURCE": "picamera:0?size=320x240&fps=10",
    }
    with Stack(tmp_path_factory.mktemp("own"), env=env) as running:
        yield running


def streaming(stack: Stack) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        devices = stack.get_json("/api/v1/devices/?presence=streaming", BEARER)["results"]
        return devices[0] if devices else None

    device = wait_until(found, limit_s=40, what="the Pi's camera streams")
    assert isinstance(device, dict)
    return device


def captured(stack: Stack, filename: str) -> dict[str, Any]:
    found = stack.get_json(f"/api/v1/captures/?search={quote(filename)}", BEARER)["results"]
    assert len(found) == 1
    capture = found[0]
    assert isinstance(capture, dict)
    return capture


def stills_asked(programs: RpicamPrograms) -> list[str]:
    return [line[0] for line in programs.asked() if line[0].endswith("-still")]


def test_pictures_and_videos_come_from_the_stream(stack: Stack, programs: RpicamPrograms) -> None:
    device = streaming(stack)
    before = stills_asked(programs)
    for wish in ({}, {"format": "mp4", "durationSec": 2}):
        answer = stack.post_json("/api/camera/capture", wish, BEARER)
        capture = captured(stack, answer["filename"])
        assert (capture["state"], capture["origin"]) == ("ready", "stream")
        assert capture["device"] == device["id"]
        assert (capture["width"], capture["height"]) == (320, 240)
    assert stills_asked(programs) == before, "the camera itself was left alone"
    assert streaming(stack)["id"] == device["id"]


def test_a_raw_picture_pauses_the_stream_which_says_why(
    stack: Stack, programs: RpicamPrograms
) -> None:
    device = streaming(stack)
    before = stills_asked(programs)
    answer = stack.post_json("/capture", {}, BEARER)
    capture = captured(stack, answer["file_info"]["filename"])
    assert (capture["state"], capture["origin"]) == ("ready", "camera")
    assert stills_asked(programs) == [*before, "rpicam-still"]
    path = Path(stack.data_dir) / "captures" / answer["file_info"]["filename"]
    assert path.read_bytes() == raw_picture()
    events = stack.get_json(f"/api/v1/devices/{device['id']}/events/", BEARER)["results"]
    paused = next(event for event in events if event["kind"] == "paused")
    assert paused["detail"] == "The camera took a raw picture."

    def is_back() -> bool:
        now = stack.get_json(f"/api/v1/devices/{device['id']}/events/", BEARER)["results"]
        return any(e["kind"] == "connected" and e["at"] > paused["at"] for e in now)

    wait_until(is_back, limit_s=30, what="the stream goes on")
    assert streaming(stack)["id"] == device["id"]
