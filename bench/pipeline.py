"""The packager's whole CPU against a bare FFmpeg encode of the same frames with the same options."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.core.management import call_command

from bench.table import Row
from capture.simulator_picture import Look, Loop, Pictures
from capture.simulator_scene import Tuning
from devices.models import Device
from recordings import encoder, policy
from recordings.media import matroska
from recordings.segments import SegmentWriter
from tests.stack import PROJECT_DIR

SECONDS, FPS, SIZE = 60, 10, (800, 600)
ROUNDS = 3
PACKAGE = (
    "import django; django.setup(); from recordings import services; services.package_segments({})"
)


def run() -> list[Row]:
    call_command("migrate", verbosity=0)
    frames = _film()
    empty = camera("AA:00:00:00:01:00")
    bare, whole, nothing = [], [], []
    for number in range(ROUNDS):
        device = camera(f"AA:00:00:00:01:{number + 1:02X}")
        _spool(device, frames)
        bare.append(_bare(frames))
        nothing.append(cpu_s([sys.executable, "-c", PACKAGE.format(empty.pk)]))
        whole.append(cpu_s([sys.executable, "-c", PACKAGE.format(device.pk)]))
        folder = settings.RECORDINGS_DIR / device.directory
        if not list(folder.glob("*/*.mp4")):
            raise RuntimeError("the packager made no file: its CPU time means nothing")
        shutil.rmtree(folder)
    # What starting Python and Django costs is paid once by the worker, not per segment.
    packaging = min(whole) - min(nothing)
    count = len(frames)
    return [
        Row(
            "packager's CPU a frame, 800x600, against bare FFmpeg",
            "<= 1.15",
            f"{1000 * packaging / count:.2f} ms",
            f"{1000 * min(bare) / count:.2f} ms",
            f"{packaging / min(bare):.2f}",
        )
    ]


def _film() -> list[tuple[int, bytes]]:
    """A minute of one simulated camera as (ms, JPEG)."""
    loop = Loop(Look(0, *SIZE, 12, FPS, Tuning()))
    while loop.draw_next():
        continue
    pictures = Pictures(loop, number=1)
    times = [n * 1000 // FPS for n in range(SECONDS * FPS)]
    return [(at, pictures.jpeg(n, last_minute() + at)) for n, at in enumerate(times)]


def last_minute() -> int:
    """Inside one hour, so that one file and one encoder child hold it."""
    now = int(time.time())
    return 1000 * (now - now % 3600 - 1800)


def camera(mac: str) -> Device:
    return Device.objects.get_or_create(mac=mac, defaults={"name": mac, "registered_as": mac})[0]


def _spool(device: Device, frames: list[tuple[int, bytes]]) -> None:
    directory = settings.SPOOL_DIR / device.directory
    directory.mkdir(parents=True, exist_ok=True)
    start, half = last_minute(), len(frames) // 2
    for part in (frames[:half], frames[half:]):
        track = matroska.Track("mjpeg", *SIZE)
        writer = SegmentWriter(directory, start + part[0][0], track)
        writer.append([(at - part[0][0], payload) for at, payload in part])
        writer.finish()


def _bare(frames: list[tuple[int, bytes]]) -> float:
    chosen = policy.current()
    program = encoder.choose("software", chosen.preset, chosen.crf)
    track = matroska.Track("mjpeg", *SIZE)
    keys = list(range(0, SECONDS * 1000, 2000))
    with TemporaryDirectory() as tmp:
        source = Path(tmp) / "frames.mkv"
        with source.open("wb") as file:
            file.write(matroska.head(track, 0))
            for at, payload in frames:
                file.write(matroska.block_header(at, len(payload)) + payload)
        return cpu_s(encoder.arguments(program, track, keys), source)


def cpu_s(command: list[str], source: Path | None = None) -> float:
    """User and system time of the command and all that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (source or Path(os.devnull)).open("rb") as stdin:
        subprocess.run(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            cwd=PROJECT_DIR,
            env={**os.environ, "NVR_DATA_DIR": str(settings.DATA_DIR)},
            check=True,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
