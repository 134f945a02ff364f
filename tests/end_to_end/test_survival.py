"""kill -9 of every process while cameras stream: recording goes on, and no rule about it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.end_to_end import scene
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.stack

FPS = 10
MAX_LOST_MS = 2_000  # what the README promises for a killed process
BACK_WITHIN_MS = 15_000
# What no task is left for is found by the minute's tick.
PACKAGED_WITHIN_S = 100


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"AUTH_TOKEN": scene.TOKEN, "NVR_SEGMENT_SECONDS": "4"}
    with Stack(tmp_path_factory.mktemp("recorder"), env=env) as running:
        yield running


def test_recording_survives_the_death_of_every_process(stack: Stack) -> None:
    arguments = ("--count", "3", "--fps", str(FPS), "--size", "VGA")
    with scene.cameras(stack, "survivors", *arguments, place=50) as fleet:
        for name in ("worker", "beat", "valkey", "web"):
            wait_for_fresh_video(stack, cameras=3, place=50)
            stack.wait_for_new(name, stack.kill(name))
        wait_for_fresh_video(stack, cameras=3, place=50)
        report = fleet.finish(is_told=True)
    for camera in report["cameras"]:
        check(stack, camera)
    before = rows(stack, report)
    stack.manage("reindex")
    assert rows(stack, report) == before


def test_recording_survives_the_death_of_everything_at_once(stack: Stack) -> None:
    with scene.cameras(stack, "lone", "--fps", str(FPS), "--size", "VGA", place=51) as fleet:
        wait_for_fresh_video(stack, cameras=1, place=51)
        family = stack.family()
        for process in family:
            process.kill()
        wait_until(lambda: not any(map(is_alive, family)), limit_s=10, what="all are dead")
        stack.stop()
        stack.start()
        wait_for_fresh_video(stack, cameras=1, place=51)
        report = fleet.finish(is_told=True)
    check(stack, report["cameras"][0])


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead; nobody may be there to wait for it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_fresh_video(stack: Stack, *, cameras: int, place: int) -> None:
    """Until every camera is recorded again, as the recorder itself says, for a moment after now."""
    since = scene.now_ms()
    prefix = scene.prefix(place)

    def is_recorded() -> bool:
        results = stack.get_json(f"/api/v1/devices/?search={prefix}", scene.BEARER)["results"]
        return len(results) == cameras and all(each["is_recording"] for each in results)

    def has_new_segment() -> bool:
        folders = list((stack.data_dir / "spool").glob(prefix.replace(":", "-") + "-*"))
        return len(folders) == cameras and all(
            any(int(path.name.split(".")[0]) > since for path in folder.glob("*.mkv*"))
            for folder in folders
        )

    limit_s = BACK_WITHIN_MS / 1000
    wait_until(has_new_segment, limit_s=limit_s, what="a new segment of every camera")
    wait_until(lambda: answers(is_recorded), limit_s=limit_s, what="every camera is recorded")


def answers(question: Any) -> bool:
    """False while the web process is away."""
    try:
        return bool(question())
    except OSError:
        return False


def check(stack: Stack, camera: dict[str, Any]) -> None:
    runs = camera["runs"]
    found = scene.packaged(stack, camera["mac"], last=runs[-1]["last"], limit_s=PACKAGED_WITHIN_S)
    assert (found.duplicated, found.out_of_order, found.unreadable) == (0, 0, 0), found
    assert found.longest_gap_ms <= BACK_WITHIN_MS, found
    # Only the web process carries frames: what is lost was under way when it died.
    assert [run["end"] for run in runs] == ["lost", "stopped"], runs
    in_flight = range(runs[0]["last"] - FPS * MAX_LOST_MS // 1000 + 1, runs[0]["last"] + 1)
    assert set(found.missing) <= set(in_flight), (found, runs)
    assert found.lost == len(found.missing)
    for path in scene.hour_files(stack, camera["mac"]):
        assert scene.whole_boxes(path) == path.stat().st_size


def rows(stack: Stack, report: dict[str, Any]) -> list[dict[str, Any]]:
    """What the database says about the files, which the files alone must be able to say again."""
    told = [
        row for camera in report["cameras"] for row in scene.recordings_of(stack, camera["mac"])
    ]
    assert told
    return [
        {name: value for name, value in row.items() if name not in ("id", "is_growing")}
        for row in told
    ]
