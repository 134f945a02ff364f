"""Clips of a running recorder: each holds exactly its window, whatever dies meanwhile."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import scene
from tests.end_to_end.scene import BEARER, TOKEN
from tests.instruments import window
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.stack
PLACE = 0x41
FPS = 10
CLIPS = 20
SEED = 20  # the moments are the same in every run


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"AUTH_TOKEN": TOKEN, "NVR_SEGMENT_SECONDS": "3"}
    with Stack(tmp_path_factory.mktemp("clips"), env=env) as running:
        yield running


def clips(stack: Stack) -> dict[str, dict[str, Any]]:
    found = stack.get_json("/api/v1/clips/?page_size=100", BEARER)["results"]
    return {clip["id"]: clip for clip in found}


def ready(stack: Stack, pks: list[str], *, limit_s: float) -> dict[str, dict[str, Any]]:
    """Waits until none of them is on its way; a failed one fails the test with its reason."""

    def finished() -> dict[str, dict[str, Any]] | None:
        rows = {pk: clip for pk, clip in clips(stack).items() if pk in pks}
        is_over = all(clip["state"] in ("ready", "failed") for clip in rows.values())
        return rows if is_over and len(rows) == len(pks) else None

    rows: dict[str, dict[str, Any]] = wait_until(finished, limit_s=limit_s, what="clips ready")
    assert not [clip["reason"] for clip in rows.values() if clip["state"] == "failed"]
    return rows


def test_clips_at_random_moments_hold_their_window_across_a_killed_worker(stack: Stack) -> None:
    """Over segments of 3 s, packaged and not, with the worker and then the web process killed."""
    chance = random.Random(SEED)
    arguments = ("--count", "2", "--fps", str(FPS), "--size", "VGA", "--seconds", "45")
    with scene.cameras(stack, "clips", *arguments, place=PLACE) as cameras:
        devices = wait_until(
            lambda: [
                device["id"]
                for device in stack.get_json("/api/v1/devices/", BEARER)["results"]
                if device["is_recording"]
            ][1:],
            limit_s=30,
            what="two cameras that are recorded",
        )
        devices = [d["id"] for d in stack.get_json("/api/v1/devices/", BEARER)["results"]]
        time.sleep(8)  # video for the windows to reach back into
        asked = {}
        for number in range(CLIPS):
            wish = {
                "device": chance.choice(devices),
                "before_seconds": chance.randint(0, 7),
                "after_seconds": chance.randint(1, 8),
            }
            (clip,) = stack.post_json("/api/v1/clips/", wish, BEARER)["clips"]
            asked[clip["id"]] = clip
            if number in (6, 13):
                stack.kill("worker", signal.SIGKILL)
            time.sleep(chance.uniform(0.2, 1.5))
        rows = ready(stack, list(asked), limit_s=90)
        cameras.finish(limit_s=60)
    complaints = {}
    for pk, clip in asked.items():
        path: Path = stack.data_dir / "clips" / f"{pk}.mp4"
        verdict = window.examine(
            path, clip["start_ms"], clip["end_ms"], frame_ms=1000 / FPS, delay_ms=150
        )
        if verdict.complaints:
            complaints[pk] = (rows[pk], verdict)
    assert not complaints
    assert not list((stack.data_dir / "clips").glob("*.part"))
