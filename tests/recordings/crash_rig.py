"""Kills a packager at every step it takes on disk, one run a step. Started by test_crashes.py.

Its own process, because it forks: each run is a forked child that ends itself by SIGKILL just
before, in the middle of, or just after one call. A second child then packages what is left, as the
next task would, and says what it found. One line of JSON a step goes to stdout. The argument says
what is packaged: jpeg (encoded) or h264 (copied, with sound).
"""

# ruff: noqa: E402  Django has to be set up first
from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from devices.models import Device
from recordings import hourfile, packager, reindex
from recordings.models import Recording
from tests.recordings.footage import coded, every, write_coded, write_segment

MAC = "AA:BB:CC:00:00:07"
START = 1_790_000_400_000
HOUR_TURN = START + 40 * 60_000
FRAMES = 80
MODES = ("before", "middle", "after")


class Bomb:
    """Counts calls that change a disk and kills this process at the chosen one."""

    def __init__(self, step: int, mode: str) -> None:
        self.step, self.mode, self.calls = step, mode, 0
        self.names: list[str] = []

    def arm(self) -> None:
        for name in ("write", "fdatasync", "fsync", "unlink", "rename", "mkdir"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        reindex.save = self._wrapped("save", reindex.save)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "write" and not stat.S_ISREG(os.fstat(args[0]).st_mode):
                return real(*args, **kwargs)  # FFmpeg's pipe
            self.calls += 1
            self.names.append(name)
            is_now = self.calls - 1 == self.step
            if is_now and self.mode == "middle" and name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            if is_now and self.mode != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **kwargs)
            finally:
                if is_now:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call


def prepare(kind: str) -> None:
    """A growing hour, then two segments for it and one for the next hour."""
    call_command("migrate", verbosity=0)
    device = Device.objects.create(mac=MAC, registered_as=MAC, name="camera")
    spool = settings.SPOOL_DIR / device.directory

    def write(start_ms: int, counter: int) -> None:
        if kind == "jpeg":
            write_segment(spool, every(100, 20, start_ms=start_ms), counter=counter)
        else:  # GOPs of 700 ms: two share a fragment
            footage = coded(frames=20, fps=10, gop=7, b_frames=2, has_sound=True, counter=counter)
            write_coded(spool, footage, start_ms)

    write(HOUR_TURN - 8_000, 0)
    packager.package(device)
    write(HOUR_TURN - 6_000, 20)
    write(HOUR_TURN - 4_000, 40)
    write(HOUR_TURN + 9_000, 60)
    connection.close()


def in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """(wait status, what `work` returned) of a forked child."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        with os.fdopen(writable, "w") as pipe:
            json.dump(work(), pipe)
            pipe.flush()
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return status, json.loads(text) if text else None


def crash(step: int, mode: str) -> list[str]:
    bomb = Bomb(step, mode)
    bomb.arm()
    packager.package(Device.objects.get())
    return bomb.names


def look() -> dict[str, Any]:
    """Straight after the crash: is every byte that a row speaks for a whole fragment?"""
    broken, unknown_bytes = [], 0
    for path in settings.RECORDINGS_DIR.glob("*/*/*.mp4"):
        row = Recording.objects.filter(path=path.relative_to(settings.RECORDINGS_DIR)).first()
        unknown_bytes += path.stat().st_size - (row.size_bytes if row else 0)
    for row in Recording.objects.all():
        known = reindex.file_of_row(row)
        found = hourfile.scan(known.path)
        if found is None or not found.index.startswith(known.index):
            broken.append(row.path)
    return {"broken": broken, "unknown_bytes": unknown_bytes}


def finish() -> dict[str, Any]:
    """The next task: package the rest, then compare the rows with a rebuilt index."""
    device = Device.objects.get()
    packager.package(device)
    rows = list(Recording.objects.order_by("path").values())
    report = reindex.reindex()
    counters = []
    from tests.instruments.counting import sightings

    for row in Recording.objects.order_by("started_at"):
        for seen in sightings(settings.RECORDINGS_DIR / row.path):
            counters.append(seen.stamp.counter if seen.stamp else None)  # noqa: PERF401
    spool = settings.SPOOL_DIR / device.directory
    return {
        "counters": counters,
        "files": [row["path"] for row in rows],
        "right": report.rows_right,
        "wrong": report.rows_made + report.rows_changed + report.rows_removed,
        "left_in_spool": sorted(path.name for path in spool.iterdir()),
    }


def main() -> None:
    data: Path = settings.DATA_DIR
    prepared = data.with_name("prepared")
    data.mkdir()
    _, _ = in_child(partial(prepare, sys.argv[1]))
    data.rename(prepared)

    def restore() -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(prepared, data)

    restore()
    _, names = in_child(partial(crash, -1, ""))
    for step, name in enumerate(names):
        for mode in MODES:
            if mode == "middle" and name != "write":
                continue
            restore()
            status, _ = in_child(partial(crash, step, mode))
            _, seen = in_child(look)
            _, result = in_child(finish)
            line = {"step": step, "name": name, "mode": mode, "signal": os.WTERMSIG(status)}
            print(json.dumps({**line, **(seen or {}), **(result or {})}), flush=True)


if __name__ == "__main__":
    main()
