"""Clips at random moments: whether each holds its window, and how soon it is ready.

The hour turns in the middle of the run (the recorder is started in a time zone where it does), and
the worker is killed twice.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from bench import recorder
from bench.table import Row, percentile
from tests.instruments import window
from tests.stack import Stack

FPS = 10
CAMERAS = 4
CAMERAS_UP_S = 45  # the first windows reach back into video that is there
MAX_BEFORE_S, MAX_AFTER_S = 30, 30
KILLS = (0.35, 0.7)  # of the run, when the worker dies
RECOVERY_S = 30  # clips whose window ends so soon after a kill are counted apart
SETTLE_S = 90.0
ZONES = ("UTC", "Asia/Kathmandu", "Asia/Kolkata", "Pacific/Chatham")  # full hours at :00 to :45


@dataclass(frozen=True, slots=True)
class Asked:
    pk: str
    start_ms: int
    end_ms: int


def run(*, count: int, minutes: float) -> list[Row]:
    seconds = 60 * minutes
    zone = _zone_where_the_hour_turns(CAMERAS_UP_S + seconds)
    with recorder.recorder(TZ=zone) as stack:
        arguments = ("--count", str(CAMERAS), "--fps", str(FPS), "--size", "SVGA")
        life = str(CAMERAS_UP_S + seconds + MAX_AFTER_S + 10)
        with recorder.cameras(stack, *arguments, "--seconds", life):
            time.sleep(CAMERAS_UP_S)
            asked, kills_ms = _ask(stack, count, seconds)
            rows = _wait_for_all(stack, asked)
        verdicts = _examine(stack, asked, rows)
        hours = len(list(stack.data_dir.glob("recordings/*/*/*.mp4"))) / CAMERAS
    return _table(asked, rows, verdicts, kills_ms, hours)


def _zone_where_the_hour_turns(seconds: float) -> str:
    """The zone whose next full hour comes nearest to the middle of the run."""
    now = datetime.now(UTC)

    def distance(name: str) -> float:
        local = now.astimezone(ZoneInfo(name))
        return abs(3600 - 60 * local.minute - local.second - seconds / 2)

    return min(ZONES, key=distance)


def _ask(stack: Stack, count: int, seconds: float) -> tuple[list[Asked], list[int]]:
    """`count` clips spread over the run, and the moments at which the worker was killed."""
    devices = [
        device["id"] for device in stack.get_json("/api/v1/devices/", recorder.BEARER)["results"]
    ]
    began = time.monotonic()
    moments = sorted(random.uniform(0, seconds) for _ in range(count))
    kills = [share * seconds for share in KILLS]
    asked: list[Asked] = []
    kills_ms: list[int] = []
    for at in sorted([*moments, *kills]):
        time.sleep(max(0.0, began + at - time.monotonic()))
        if at in kills:
            stack.kill("worker", signal.SIGKILL)
            kills_ms.append(time.time_ns() // 1_000_000)
            continue
        before, after = random.randint(0, MAX_BEFORE_S), random.randint(1, MAX_AFTER_S)
        wish = {
            "device": random.choice(devices),
            "before_seconds": before,
            "after_seconds": after,
        }
        (clip,) = stack.post_json("/api/v1/clips/", wish, recorder.BEARER)["clips"]
        asked.append(Asked(clip["id"], clip["start_ms"], clip["end_ms"]))
    return asked, kills_ms


def _wait_for_all(stack: Stack, asked: list[Asked]) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + MAX_AFTER_S + SETTLE_S
    while True:
        rows = _rows(stack)
        if all(rows[one.pk]["state"] in ("ready", "failed") for one in asked):
            return rows
        if time.monotonic() > deadline:
            return rows
        time.sleep(0.5)


def _rows(stack: Stack) -> dict[str, dict[str, Any]]:
    """From the database file: asking the web process 200 times would be a load of its own."""
    path = stack.data_dir / "roost.sqlite3"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20) as database:
        database.row_factory = sqlite3.Row
        found = database.execute("select * from clips_clip").fetchall()
    database.close()
    return {str(UUID(row["id"])): dict(row) for row in found}


def _examine(
    stack: Stack, asked: list[Asked], rows: dict[str, dict[str, Any]]
) -> dict[str, window.Verdict]:
    ready = [one for one in asked if rows[one.pk]["state"] == "ready"]
    jobs = [(stack.data_dir / "clips" / f"{one.pk}.mp4", one.start_ms, one.end_ms) for one in ready]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return dict(zip([one.pk for one in ready], pool.map(_judge, jobs), strict=True))


def _judge(job: tuple[Path, int, int]) -> window.Verdict:
    return window.examine(*job, frame_ms=1000 / FPS)


def _table(
    asked: list[Asked],
    rows: dict[str, dict[str, Any]],
    verdicts: dict[str, window.Verdict],
    kills_ms: list[int],
    hours: float,
) -> list[Row]:
    complaints = {pk: verdict.complaints for pk, verdict in verdicts.items() if verdict.complaints}
    for pk, texts in complaints.items():
        print(f"clip {pk}: {'; '.join(texts)}")
    for one in asked:
        if one.pk not in verdicts:
            print(f"clip {one.pk}: {rows[one.pk]['state']} {rows[one.pk]['reason']}")
    late = {one.pk: _ready_after_s(one, rows[one.pk]) for one in asked if one.pk in verdicts}
    near_a_kill = {
        one.pk for one in asked if any(0 <= one.end_ms - at <= 1000 * RECOVERY_S for at in kills_ms)
    }
    calm = sorted(after for pk, after in late.items() if pk not in near_a_kill)
    rough = sorted(after for pk, after in late.items() if pk in near_a_kill)
    whole = len(verdicts) - len(complaints)
    errors = [max(abs(v.early_ms), abs(v.late_ms)) for v in verdicts.values()]
    return [
        Row(
            f"clips at random moments, {CAMERAS} cameras 800x600 @{FPS}: hold exactly their window",
            "all",
            f"{whole} of {len(asked)}",
            f"{hours:.0f} hour files a camera, {len(kills_ms)} kill -9 of the worker",
        ),
        Row("  first and last frame against the window, median / worst", "<= 100 ms and delay",
            f"{statistics.median(errors):.0f} / {max(errors):.0f} ms"),
        Row("  ready after the window closes, median / p95 / worst", "p95 <= 2 s",
            f"{statistics.median(calm):.2f} / {percentile(calm, 0.95):.2f} / {calm[-1]:.2f} s"),
        Row(f"  the same within {RECOVERY_S} s of a kill -9 of the worker", "",
            f"{statistics.median(rough):.1f} / {percentile(rough, 0.95):.1f} / {rough[-1]:.1f} s"
            if rough else "none"),
    ]  # fmt: skip


def _ready_after_s(one: Asked, row: dict[str, Any]) -> float:
    at = datetime.fromisoformat(row["ready_at"]).replace(tzinfo=UTC)
    return at.timestamp() - one.end_ms / 1000
