"""Many simulated cameras against the whole recorder: what is lost, what it costs, what is the limit."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from bench import recorder
from bench.recorder import Cost
from bench.table import Row
from tests.instruments import counting
from tests.stack import Stack

FPS = 10
WARM_UP_S = 15  # scenes are drawn, caches fill; memory is compared after it
CATCH_UP_LIMIT_S = 900


def run(*, cameras: int, minutes: float) -> list[Row]:
    seconds = 60 * minutes + WARM_UP_S
    with recorder.recorder() as stack:
        start = recorder.cost(stack)
        arguments = ("--count", str(cameras), "--fps", str(FPS), "--size", "SVGA")
        with recorder.cameras(stack, *arguments, "--seconds", str(seconds)) as process:
            samples, before, after = _watch(stack, process)
        report = recorder.report(stack)
        catch_up_s = wait_until_packaged(stack, report["sent"])
        done = recorder.cost(stack)
        kept = sum(path.stat().st_size for path in stack.data_dir.glob("recordings/*/*/*.mp4"))
        found = _examine(stack, report)
    return [
        *_losses(cameras, minutes, report, found),
        _catch_up(catch_up_s, report),
        *_processes(before, after, report),
        _memory(samples),
        _limit(start, done, report),
        _written(start, done, report, kept),
    ]


def _watch(stack: Stack, process: Any) -> tuple[list[int], Cost, Cost]:
    """RSS of the web process, a sample a second after the warm-up, and the cost at both ends."""
    time.sleep(WARM_UP_S)
    web = psutil.Process(stack.pids()["web"])
    before = after = recorder.cost(stack)
    samples: list[int] = []
    while process.poll() is None:
        samples.append(web.memory_info().rss)
        if len(samples) % 5 == 0:
            after = recorder.cost(stack)  # the last one before the cameras went
        time.sleep(1)
    return samples, before, after


def wait_until_packaged(stack: Stack, sent: int) -> float | None:
    """Seconds after the cameras ended until every frame is in an hour file; None: never."""
    began = time.monotonic()
    best, best_at = -1, began
    while time.monotonic() - began < CATCH_UP_LIMIT_S:
        frames = recorder.packaged_frames(stack)
        if frames >= sent:
            return time.monotonic() - began
        if frames > best:
            best, best_at = frames, time.monotonic()
        if time.monotonic() - best_at > 120:  # stuck: what is missing will not come
            return None
        time.sleep(0.5)
    return None


def _examine(stack: Stack, report: dict[str, Any]) -> list[counting.Report]:
    jobs = []
    for camera in report["cameras"]:
        folder = stack.data_dir / "recordings" / camera["mac"].replace(":", "-")
        jobs.append((sorted(folder.glob("*/*.mp4")), camera["sent"] - 1))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_judge, jobs))


def _judge(job: tuple[list[Path], int]) -> counting.Report:
    paths, last = job
    return counting.examine(*paths, first=0, last=last)


def _losses(
    cameras: int, minutes: float, report: dict[str, Any], found: list[counting.Report]
) -> list[Row]:
    lost = sum(each.lost for each in found)
    twice = sum(each.duplicated for each in found)
    other = sum(each.out_of_order + each.unreadable for each in found)
    frames = report["sent"]
    return [
        Row(
            f"{cameras} cameras 800x600 @{FPS}, {minutes:g} min: frames lost / twice / otherwise wrong",
            "0 / 0 / 0",
            f"{lost} / {twice} / {other} of {frames}",
            f"{report['skipped']} never sent",
        ),
        Row(
            "  media time against the cameras' clocks, worst",
            "<= 200 ms",
            f"{max(each.time_error_ms for each in found):.0f} ms",
        ),
    ]


def _catch_up(catch_up_s: float | None, report: dict[str, Any]) -> Row:
    said = "not within the limit" if catch_up_s is None else f"{catch_up_s:.0f} s"
    size = f"{report['bytes'] / report['sent'] / 1000:.0f} KB a frame"
    return Row("  packager has caught up, after the cameras stopped", "<= 60 s", said, size)


def _processes(before: Cost, after: Cost, report: dict[str, Any]) -> list[Row]:
    span = after.at_s - before.at_s
    rows = []
    if span > 0:
        for name, cpu_s in sorted(after.cpu_s.items()):
            share = 100 * (cpu_s - before.cpu_s.get(name, 0.0)) / span
            rows.append(Row(f"  CPU of {name} with its children", "", f"{share:.1f} % of a core"))
    share = 100 * report["cpu_seconds"] / report["seconds"]
    rows.append(Row("  CPU of the simulated cameras", "", f"{share:.1f} % of a core"))
    return rows


def _memory(samples: list[int]) -> Row:
    if len(samples) < 20:
        return Row("  web process memory growth", "<= 5 %", "run too short to say")
    first, last = statistics.median(samples[:10]), statistics.median(samples[-10:])
    return Row(
        "  web process memory growth",
        "<= 5 %",
        f"{100 * (last / first - 1):+.1f} %",
        f"{last / 2**20:.0f} MiB at the end",
    )


def _limit(start: Cost, done: Cost, report: dict[str, Any]) -> Row:
    """From CPU per frame over the whole way, packaging included, on all cores."""
    spent_s = sum(done.cpu_s.values()) - sum(start.cpu_s.values())
    ms = 1000 * spent_s / report["sent"]
    cores = os.cpu_count() or 1
    return Row(
        f"  recorder's whole CPU per frame; cameras @{FPS} that {cores} cores carry",
        "50",
        f"{ms:.2f} ms; {cores * 1000 / (ms * FPS):.0f}",
    )


def _written(start: Cost, done: Cost, report: dict[str, Any], kept: int) -> Row:
    """The floor is every frame once as JPEG in the spool and once in its hour file."""
    written = sum(done.written_bytes.values()) - sum(start.written_bytes.values())
    floor = (report["bytes"] + kept) / kept
    return Row(
        "  bytes written / bytes kept, spool on disk",
        "<= 1.3",
        f"{written / kept:.2f}",
        f"{floor:.2f} JPEG + H.264",
        f"{written / kept / floor:.2f}",
    )
