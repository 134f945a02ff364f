"""Cameras that sleep: is every burst kept, with its own time, and is every gap explained?

The firmware's host build, the very code that an ESP32 would run, against the whole recorder. First
one camera's journey from its power switch on, then a crowd that wakes at random.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import load, recorder
from bench.recorder import BEARER, Cost
from bench.table import Row, percentile
from tests.end_to_end import scene
from tests.firmware import build, journey
from tests.firmware.announced import announced
from tests.firmware.build import Programs
from tests.firmware.bursts import FPS, Fleet, Kept, Told, compare_gaps, draw_pictures, judge
from tests.instruments import stall
from tests.stack import Stack

ALLOWED_MS = 100
JOURNEY_STREAM_S = 30


def run(*, cameras: int, minutes: float) -> list[Row]:
    if reason := build.missing():
        return [Row("cameras that sleep", "", f"not measured: {reason}")]
    with TemporaryDirectory(prefix="roost-bursts-") as place:
        folder = Path(place)
        programs = _build(folder)
        pictures = draw_pictures(folder / "pictures", int(60 * FPS * max(minutes, 2)))
        with recorder.recorder() as stack:
            rows = _journeys(stack, programs, pictures, folder)
            fleet = Fleet(stack, programs, folder / "crowd", pictures, cameras=cameras)
            return rows + _crowd(stack, fleet, minutes)


def _build(folder: Path) -> Programs:
    """Without the sanitizers, which cost more than the firmware."""
    made = build.make(f"OUT={folder / 'firmware'}")
    if made.returncode:
        raise subprocess.SubprocessError(f"the firmware was not built: {made.stdout[-2000:]}")
    host = folder / "firmware" / "roostcam-host"
    return Programs(host, host)


def _journeys(stack: Stack, programs: Programs, pictures: Path, folder: Path) -> list[Row]:
    rows = []
    with announced(stack.port):
        host = journey.of_firmware(
            stack, programs, pictures, folder / "journey", mac="02:F1:B0:00:01:01",
            stream_s=JOURNEY_STREAM_S,
        )  # fmt: skip
        sketch = journey.of_sketch(
            stack, mac="02:F1:B0:00:01:02", stream_s=JOURNEY_STREAM_S, patience=1
        )
    for name, made in (("firmware's host build", host), ("older sketch's double", sketch)):
        kept = journey.kept(stack, made)
        rows.append(
            Row(
                f"{name}: power, mDNS, registration, {JOURNEY_STREAM_S} s, sleep, wake, {JOURNEY_STREAM_S} s: lost",
                "0",
                f"{made.sent - kept.frames} of {made.sent}",
                f"{kept.files} hour file(s), {kept.hours} hour(s)",
                f"<= {kept.worst_ms:.0f} ms",
            )
        )
    return rows


def _crowd(stack: Stack, fleet: Fleet, minutes: float) -> list[Row]:
    start = recorder.cost(stack)
    before = recorder.packaged_frames(stack)
    with stall.Lateness() as lateness:
        fleet.run(60 * minutes)
    catch_up_s = load.wait_until_packaged(stack, before + fleet.sent)
    done = recorder.cost(stack)
    jobs = [
        (one.mac, one.bursts, journey.read_taken(one.taken_file), scene.hour_files(stack, one.mac))
        for one in fleet.cameras
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_judge, jobs))
    return [
        *_kept(minutes, found, catch_up_s),
        *_times(found, lateness.worst_ms),
        *_gaps([_told(stack, kept) for kept in found], found),
        _cost(start, done, fleet.sent),
    ]


def _judge(job: tuple[str, list[object], dict[int, int], list[Path]]) -> Kept:
    return judge(*job)  # type: ignore[arg-type]  # a pool maps over one argument


def _kept(minutes: float, found: list[Kept], catch_up_s: float | None) -> list[Row]:
    bursts = sum(len(kept.bursts) for kept in found)
    frames = sum(kept.frames_sent for kept in found)
    said = "not within the limit" if catch_up_s is None else f"{catch_up_s:.0f} s"
    disordered = sum(not kept.is_in_order for kept in found)
    return [
        Row(
            f"{len(found)} cameras that wake at random, {minutes:g} min: bursts found / whole",
            f"{bursts} / {bursts}",
            f"{sum(kept.found for kept in found)} / {sum(kept.whole for kept in found)}",
            f"{sum(kept.files for kept in found)} hour files",
        ),
        Row(
            "  frames kept",
            f"{frames}",
            f"{sum(kept.frames_kept for kept in found)}",
            f"{disordered} cameras out of order" if disordered else "all in order",
        ),
        Row("  packager has caught up, after the last burst", "<= 60 s", said),
    ]


def _times(found: list[Kept], lateness_ms: float) -> list[Row]:
    errors = [abs(error) for kept in found for error in kept.errors_ms]
    late = sum(error > ALLOWED_MS for error in errors)
    return [
        Row(
            "  wall time against the camera's, worst / 99.9 % / median",
            f"<= {ALLOWED_MS} ms",
            f"{max(errors):.0f} / {percentile(errors, 0.999):.0f} / {statistics.median(errors):.0f} ms",
            f"{lateness_ms:.0f} ms a sleep overslept",
        ),
        Row(f"  frames more than {ALLOWED_MS} ms off", "0", f"{late} of {len(errors)}"),
    ]


def _told(stack: Stack, kept: Kept) -> Told:
    if not kept.sleeps:
        return Told((), 0, ())
    (device,) = stack.get_json(f"/api/v1/devices/?search={kept.mac}", BEARER)["results"]
    start, end = round(kept.sleeps[0][0]) - 1, round(kept.sleeps[-1][1]) + 1
    asked = f"/api/v1/gaps/?device={device['id']}&start_ms={start}&end_ms={end}"
    return compare_gaps(kept.sleeps, stack.get_json(asked, BEARER)["gaps"])


def _gaps(told: list[Told], found: list[Kept]) -> list[Row]:
    sleeps = sum(len(kept.sleeps) for kept in found)
    causes = Counter(cause for one in told for cause in one.causes)
    others = Counter(cause for one in told for cause in one.others)
    untold = sum(one.untold for one in told)
    return [
        Row(
            "  sleeps over 5 s, and what the timeline says of them",
            f"{sleeps} asleep",
            ", ".join(f"{count} {cause}" for cause, count in causes.most_common()) or "nothing",
            f"{untold} not listed",
            f"besides: {dict(others) or 'none'}",
        )
    ]


def _cost(start: Cost, done: Cost, frames: int) -> Row:
    spent_s = sum(done.cpu_s.values()) - sum(start.cpu_s.values())
    span_s = done.at_s - start.at_s
    return Row(
        "  recorder's CPU, packaging included",
        "",
        f"{100 * spent_s / span_s:.1f} % of a core, {1000 * spent_s / frames:.2f} ms a frame",
        f"over {span_s:.0f} s",
    )
