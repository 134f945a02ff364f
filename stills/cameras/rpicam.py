"""The Pi's camera by Raspberry Pi OS's own programs: rpicam-*, or libcamera-*, as they were called
before 2024.

They cut the name of their output off after 127 letters and read it as a format of printf, so they
run in its directory and are given a short name of ours. The newer ones also judge by its end.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from capture.drivers import picamera
from stills.cameras import checks, programs, troubles, wrapping
from stills.cameras.protocol import Check, Found, Order
from stills.exceptions import CaptureError

PACKAGE = "rpicam-apps"
LIST_MS = 8_000  # a Pi Zero takes three seconds
_LEAST_LOOK_MS = 500  # the camera has to find its exposure
_LEAST_VIDEO_MS = 1_000


class RpicamCamera:
    address = "picamera:0"

    def __init__(self, name: str) -> None:
        """`name`: rpicam or libcamera, with which the programs' names begin."""
        self.name = name

    def look(self) -> Found:
        lister = next(
            (path for what in ("hello", "still") if (path := shutil.which(f"{self.name}-{what}"))),
            None,
        )
        if lister is None:
            sentence = f"The programs {self.name}-* are not installed."
            return Found(
                self.name, (), (Check("program", False, sentence, checks.install(PACKAGE)),)
            )
        found = [Check("program", True, f"The programs {self.name}-* are installed.")]
        found.append(checks.permission())
        try:
            ended = programs.run([lister, "--list-cameras"], timeout_ms=LIST_MS)
        except CaptureError as error:
            return Found(self.name, (), (*found, checks.no_answer(error)))
        cameras = picamera.cameras_in(f"{ended.stdout}\n{ended.last_words}")
        if cameras:
            found.append(Check("camera", True, f"A camera is connected: {cameras[0][1]}."))
        else:
            found.append(checks.no_pi_camera(ended))
        return Found(self.name, cameras, found)

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        program = programs.find(f"{self.name}-{'still' if order.kind in ('jpg', 'dng') else 'vid'}")
        with _beside(into, "jpg", "dng", "h264") as (jpg, dng, h264):
            written, arguments = {
                "jpg": (jpg, _still(order, jpg.name)),
                "dng": (dng, _raw(order, jpg.name)),
            }.get(order.kind, (h264, _video(order, h264.name)))
            ended = programs.run(
                [program, *arguments],
                timeout_ms=order.timeout_ms,
                cwd=into.parent,
                lock_fd=lock_fd,
                is_wanted=is_wanted,
                hopeless=troubles.STOPPED,
            )
            kind = "h264" if order.kind == "mp4" else order.kind
            troubles.check(ended, written, kind, place=self.address)
            if order.kind == "mp4":
                wrapping.wrap(h264, into, order, is_wanted=is_wanted)
            else:
                written.rename(into)


def _still(order: Order, name: str) -> list[str]:
    look_ms = max(_LEAST_LOOK_MS, order.duration_ms)
    return ["-o", name, *_size(order), "-t", str(look_ms), "-n"]


def _raw(order: Order, name: str) -> list[str]:
    """The raw picture is written beside the other, with .dng for its last extension."""
    return ["--raw", "-o", name, "-t", str(max(_LEAST_LOOK_MS, order.duration_ms)), "-n"]


def _video(order: Order, name: str) -> list[str]:
    # --inline: parameter sets before every key picture, so that any part of it can be played.
    return [
        "-t", str(max(_LEAST_VIDEO_MS, order.duration_ms)), *_size(order),
        "--framerate", str(order.fps), "--inline", "-o", name, "-n",
    ]  # fmt: skip


def _size(order: Order) -> list[str]:
    """Even: they refuse anything else."""
    return ["--width", str(order.width // 2 * 2), "--height", str(order.height // 2 * 2)]


@contextlib.contextmanager
def _beside(into: Path, *suffixes: str) -> Iterator[list[Path]]:
    """Names beginning with that of `into`, gone at the end."""
    paths = [into.with_name(f"{into.name}.{suffix}") for suffix in suffixes]
    try:
        yield paths
    finally:
        for path in paths:
            with contextlib.suppress(OSError):  # the caller tidies up as well
                path.unlink()
