"""Cameras in motion mode that wake at random, and what the recorder kept of every burst.

    fleet = Fleet(stack, programs, folder, pictures, cameras=2)
    fleet.run(seconds=15)
    for one in fleet.cameras:
        kept = judge(one.mac, one.bursts, read_taken(one.taken_file), hour_files)

Each camera is the firmware's host build, started anew for every burst, as deep sleep does it. The
number of a picture is painted into it, and the host build notes when it was taken.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from capture.media import counting
from recordings.segments import GAP_MS
from tests.firmware.build import Programs
from tests.firmware.host import CAMERA_NUMBER, SET_UP, SLEPT, camera, times
from tests.instruments import walls
from tests.stack import Stack

MOVES_AGAIN = 0.3  # the share of bursts with a second motion
BURST_LIMIT_S = 120.0
ROUNDED_MS = 2  # gaps are told in whole milliseconds
FPS = 10


class Pace(NamedTuple):
    """From and to, by chance. `stream_ms`: how long a burst is at least; motion in it prolongs."""

    stream_ms: tuple[int, int] = (2_000, 8_000)
    asleep_s: tuple[float, float] = (0.5, 40.0)


class Burst(NamedTuple):
    """Pictures `[first, end)` of its camera; `sent`: those that the firmware counts as sent."""

    first: int
    end: int
    sent: int
    connections: int


@dataclass(frozen=True)
class Kept:
    """What became of one camera's pictures. `errors_ms`: kept wall time minus time taken, of each;
    `whole`: bursts of which every picture was found."""

    mac: str
    bursts: tuple[Burst, ...]
    found: int
    whole: int
    frames_sent: int
    frames_kept: int
    is_in_order: bool
    files: int
    errors_ms: tuple[float, ...]
    # From the last picture's end to the next one's beginning, epoch ms; those longer than a gap.
    sleeps: tuple[tuple[float, float], ...]


def draw_pictures(folder: Path, count: int, size: tuple[int, int] = (320, 240)) -> Path:
    """JPEGs with the numbers 0, 1, 2 …, for any number of cameras."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.effect_noise(size, 10).convert("RGB")
    for number in range(count):
        counting.paint(image, counting.Stamp(number, CAMERA_NUMBER, 0))
        image.save(folder / f"{number:06}.jpg", "JPEG", quality=75)
    return folder


class Waker(threading.Thread):
    """One camera and whoever walks by. `error` says what went wrong."""

    def __init__(
        self, stack: Stack, programs: Programs, pictures: Path, folder: Path, *,
        mac: str, seed: int, pace: Pace,
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.mac, self.folder = mac, folder
        self.bursts: list[Burst] = []
        self.error: BaseException | None = None
        self.until = 0.0  # monotonic
        self.most = 0  # bursts
        self._pace = pace
        self._programs, self._pictures = programs, pictures
        self._chance = random.Random(seed)
        self._set_up = [*SET_UP, "--set", "mode motion", "--server", f"127.0.0.1:{stack.port}"]
        self._set_up += ["--ca", str(stack.ca_path)]

    @property
    def taken_file(self) -> Path:
        return self.folder / "taken.txt"

    def run(self) -> None:
        try:
            time.sleep(self._chance.uniform(0, min(5, self.until - time.monotonic())))
            while time.monotonic() < self.until and len(self.bursts) < self.most:
                if self.bursts:
                    asleep_s = self._chance.uniform(*self._pace.asleep_s)
                    time.sleep(max(0, min(asleep_s, self.until - time.monotonic())))
                self._burst()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.error = error

    def _burst(self) -> None:
        stream_ms = self._chance.randint(*self._pace.stream_ms)
        boot = ["--wake", "motion"] if self.bursts else self._set_up
        arguments = ("--mac", self.mac, "--taken", str(self.taken_file), *boot)
        with camera(
            self._programs, self.folder, self._pictures, *arguments, *times(stream=stream_ms)
        ) as running:
            if self._chance.random() < MOVES_AGAIN:
                running.wait_for("-> stream", limit_s=BURST_LIMIT_S)
                time.sleep(self._chance.uniform(0, stream_ms / 2000))
                if running.process.poll() is None:
                    running.move()
            report = running.finish(SLEPT, limit_s=BURST_LIMIT_S)
        first = self.bursts[-1].end if self.bursts else 0
        self.bursts.append(Burst(first, report.taken, report.sent, report.connections))


class Fleet:
    """Camera k of it has a random generator of its own, from `seed` and k: what one does is the
    same whatever happens to the others."""

    def __init__(
        self, stack: Stack, programs: Programs, folder: Path, pictures: Path, *,
        cameras: int, seed: int = 5, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.stack = stack
        self.cameras = [
            Waker(
                stack,
                programs,
                pictures,
                folder / str(k),
                mac=f"02:F1:B0:00:00:{k:02X}",
                seed=seed + k,
                pace=pace or Pace(),
            )
            for k in range(1, cameras + 1)
        ]

    def run(self, seconds: float, *, most: int = 1_000_000) -> None:
        """Returns when every camera sleeps, after the time or `most` bursts of each. Raises what
        went wrong with the first that failed."""
        until = time.monotonic() + seconds
        for one in self.cameras:
            one.until, one.most = until, most
            one.start()
        for one in self.cameras:
            one.join(seconds + 2 * BURST_LIMIT_S)
        for one in self.cameras:
            if one.error:
                raise AssertionError(f"{one.mac}: {one.error}") from one.error
            assert not one.is_alive(), f"{one.mac} did not come to sleep"

    @property
    def sent(self) -> int:
        return sum(burst.sent for one in self.cameras for burst in one.bursts)


def judge(mac: str, bursts: Iterable[Burst], taken: Mapping[int, int], files: list[Path]) -> Kept:
    """From the hour files, given in the order of time."""
    bursts = tuple(bursts)
    seen: dict[int, walls.Frame] = {}
    order: list[int] = []
    for frame in walls.frames(*files):
        assert frame.stamp is not None, f"{mac}: a picture that cannot be read"
        order.append(frame.stamp.counter)
        seen[frame.stamp.counter] = frame
    found = [[n for n in range(one.first, one.end) if n in seen] for one in bursts]
    here = [(numbers[0], numbers[-1]) for numbers in found if numbers]
    sleeps = [(seen[last].end_ms, seen[first].wall_ms) for (_, last), (first, _) in pairwise(here)]
    return Kept(
        mac=mac,
        bursts=bursts,
        found=len(here),
        whole=sum(len(numbers) == one.sent for numbers, one in zip(found, bursts, strict=True)),
        frames_sent=sum(one.sent for one in bursts),
        frames_kept=len(seen),
        is_in_order=all(a < b for a, b in pairwise(order)),
        files=len(files),
        errors_ms=tuple(frame.wall_ms - taken[number] for number, frame in seen.items()),
        sleeps=tuple((a, b) for a, b in sleeps if b - a > GAP_MS),
    )


class Told(NamedTuple):
    """What the recorder says of one camera's gaps: the cause of each sleep that it lists, how many
    it does not list, and the causes of what it lists besides."""

    causes: tuple[str, ...]
    untold: int
    others: tuple[str, ...]


def compare_gaps(sleeps: Iterable[tuple[float, float]], gaps: list[dict[str, Any]]) -> Told:
    """Both begin with the last picture's end, and end with the next one's beginning."""
    left = list(gaps)
    causes: list[str] = []
    untold = 0
    for start, end in sleeps:
        mine = [
            gap
            for gap in left
            if max(abs(gap["start_ms"] - start), abs(gap["end_ms"] - end)) <= ROUNDED_MS
        ]
        for gap in mine:
            left.remove(gap)
        untold += not mine
        causes += [gap["cause"] for gap in mine]
    return Told(tuple(causes), untold, tuple(gap["cause"] for gap in left))
