"""Kills a worker at every step of cutting a clip, one run a step. Started by test_crashes.py.

Its own process, because it forks: each run is a forked child that ends itself by SIGKILL just
before or just after one call. A second child then does what the beat task and a worker would do
next, and says what it found. One line of JSON a step goes to stdout.
"""

# ruff: noqa: E402  Django has to be set up first
from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

import django

django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from clips import catalog, coder, cutter, files, services, tasks
from clips.models import Clip
from devices.models import Device
from recordings import packager
from tests.instruments.counting import sightings
from tests.recordings.crash_rig import in_child
from tests.recordings.footage import every, write_segment

MAC = "AA:BB:CC:00:00:09"
START = 1_790_000_400_000
FIRST, END = 13, 71  # the frames in the window
LATER_MS = 1 << 50
# After a step is before the next one; what follows these is not a step of its own.
AFTER = ("become", "rename", "store")


class Bomb:
    """Counts the steps of a cut and kills this process at the chosen one."""

    def __init__(self, step: int, mode: str) -> None:
        self.step, self.mode = step, mode
        self.names: list[str] = []

    def arm(self) -> None:
        for name in ("fsync", "unlink", "rename"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        coder.encode = self._wrapped("encode", coder.encode)
        catalog.store = self._wrapped("store", catalog.store)
        Clip.become = self._wrapped("become", Clip.become)  # type: ignore[method-assign]
        payloads = cutter._Cut._payloads

        def torn(*args: Any) -> Iterator[bytes]:
            for payload in payloads(*args):
                self._wrapped("payload", len)(payload)
                yield payload

        cutter._Cut._payloads = torn  # type: ignore[method-assign, assignment]

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            is_now = len(self.names) == self.step
            self.names.append(name)
            if is_now and self.mode == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **kwargs)
            finally:
                if is_now:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call


def prepare() -> None:
    """Half of the window in an hour file, half in the spool, and a clip that waits to be cut."""
    call_command("migrate", verbosity=0)
    device = Device.objects.create(mac=MAC, registered_as=MAC, name="camera")
    spool = settings.SPOOL_DIR / device.directory
    write_segment(spool, every(100, 40, start_ms=START))
    packager.package(device)
    write_segment(spool, every(100, 40, start_ms=START + 4_000), counter=40)
    services.export_span(
        device=device, start_ms=START + 100 * FIRST, end_ms=START + 100 * END, by="anna"
    )
    connection.close()


def crash(step: int, mode: str) -> list[str]:
    cutter.RESERVE_BYTES = 0
    bomb = Bomb(step, mode)
    bomb.arm()
    tasks.cut_clip(str(Clip.objects.get().pk))
    return bomb.names


def look() -> dict[str, Any]:
    """Straight after the crash: what the row says, and whether somebody will come for it."""
    clip = Clip.objects.get()
    return {
        "state": clip.state,
        "is_due": Clip.objects.due(LATER_MS).exists(),
        "is_there": files.existing_or_none(clip.pk, ".mp4") is not None,
        "parts": len(list(settings.CLIPS_DIR.glob("*.part"))) if settings.CLIPS_DIR.is_dir() else 0,
    }


def finish() -> dict[str, Any]:
    """The next worker; then the whole database is lost."""
    cutter.RESERVE_BYTES = 0
    tasks.cut_clip(str(Clip.objects.get().pk))
    clip = Clip.objects.get()
    seen = list(sightings(files.path_of(clip.pk, ".mp4")))
    Clip.objects.all().delete()
    report = catalog.reindex()
    return {
        "end": clip.state,
        "reason": clip.reason,
        "counters": [one.stamp.counter if one.stamp else None for one in seen],
        "files": sorted(path.suffix for path in settings.CLIPS_DIR.iterdir()),
        "locks": len(list(settings.RUN_DIR.glob("clip-*"))),
        "found_again": report.made,
    }


def main() -> None:
    data: Path = settings.DATA_DIR
    prepared = data.with_name("prepared")
    data.mkdir()
    in_child(prepare)
    data.rename(prepared)

    def restore() -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(prepared, data)

    restore()
    _, names = in_child(partial(crash, -1, ""))
    first_payload = names.index("payload")
    for step, name in enumerate(names):
        if name == "payload" and step not in (first_payload, first_payload + 20):
            continue  # a file torn at its beginning and in its middle stands for all
        for mode in ("before", "after") if name in AFTER else ("before",):
            restore()
            status, _ = in_child(partial(crash, step, mode))
            _, seen = in_child(look)
            _, result = in_child(finish)
            line = {"step": step, "name": name, "mode": mode, "signal": os.WTERMSIG(status)}
            print(json.dumps({**line, **(seen or {}), **(result or {})}), flush=True)


if __name__ == "__main__":
    main()
