"""From the power switch to a stream, to sleep and back: made by the firmware and by the older sketch.

What both are measured by: every picture once and in order, in the hour's one file, with its time.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from tests.end_to_end import scene
from tests.firmware.build import Programs
from tests.firmware.host import SET_UP, SLEPT, Report, camera, times
from tests.instruments import walls
from tests.instruments.sketch import Sketch
from tests.stack import Stack, wait_until


@dataclass(frozen=True)
class Journey:
    """`taken`: number and epoch ms of every picture of both streams."""

    mac: str
    taken: dict[int, int]
    sent: int


@dataclass(frozen=True)
class Kept:
    """`hours`: how many hours of the clock the pictures lie in, and so the files that there may be;
    errors: of wall time, in ms."""

    frames: int
    files: int
    hours: int
    worst_ms: float
    median_ms: float


def of_firmware(
    stack: Stack, programs: Programs, pictures: Path, folder: Path, *, mac: str, stream_s: float
) -> Journey:
    """Within `announced(stack.port)`. It wakes without mDNS, at the address that it remembers."""
    taken_file = folder / "taken.txt"
    arguments = ["--mac", mac, "--taken", str(taken_file), *times(stream=round(1000 * stream_s))]
    cold = [*SET_UP, "--set", "mode motion", "--ca", str(stack.ca_path), "--mdns", "127.0.0.1"]

    def live(*boot: str) -> Report:
        with camera(programs, folder, pictures, *arguments, *boot) as running:
            return running.finish(SLEPT, limit_s=stream_s + 60)

    first = live(*cold)
    assert (first.connections, first.unsent) == (1, 0), first
    second = live("--wake", "motion")
    assert (second.enrolments, second.connections, second.unsent) == (0, 1, 0), second
    return Journey(mac, read_taken(taken_file), first.sent + second.sent)


def read_taken(path: Path) -> dict[int, int]:
    """What the host build noted: epoch ms by the number of the picture."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {int(number): int(at_ms) for number, at_ms in lines}


def of_sketch(stack: Stack, *, mac: str, stream_s: float, patience: float) -> Journey:
    """Within `announced(stack.port)`."""
    sketch = Sketch(
        mac, stack.ca_path, network_port=stack.port, stream_s=stream_s, patience=patience
    )
    first = sketch.power_on()
    second = sketch.wake()
    for life in (first, second):
        assert (life.failure, life.unread) == ("", 0), life
        assert life.heard[:1] == ["welcome"], life.heard
    return Journey(mac, first.taken | second.taken, len(first.taken) + len(second.taken))


def kept(stack: Stack, made: Journey, *, zone: tzinfo | None = None) -> Kept:
    """Raises AssertionError for a picture that is lost, twice or out of order, and for more files
    than hours. `zone`: the recorder's, by default this machine's."""

    def everything() -> list[walls.Frame] | None:
        if not (files := scene.hour_files(stack, made.mac)):
            return None
        found = list(walls.frames(*files))
        return found if len(found) >= made.sent else None

    found = wait_until(everything, limit_s=90, what=f"{made.sent} pictures of {made.mac}")
    numbers = [frame.stamp.counter if frame.stamp else -1 for frame in found]
    assert numbers == sorted(made.taken), "every picture once and in order"
    files = scene.hour_files(stack, made.mac)
    hours = {
        datetime.fromtimestamp(frame.wall_ms / 1000, zone).strftime("%Y-%m-%d %H")
        for frame in found
    }
    assert [path.stem for path in files] == [hour[-2:] for hour in sorted(hours)], (files, hours)
    errors = [abs(frame.wall_ms - made.taken[n]) for frame, n in zip(found, numbers, strict=True)]
    return Kept(len(found), len(files), len(hours), max(errors), statistics.median(errors))
