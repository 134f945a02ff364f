"""The Pi's own camera by Raspberry Pi OS's programs, whose H.264 or JPEGs FFmpeg takes apart.

`rpicam-vid`, or `libcamera-vid`, as it was called before 2024. The stream has no times of its own,
so FFmpeg stamps it by the clock: a camera that gets slower in the dark stays right.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

from capture.agent.child import run_ffmpeg
from capture.agent.protocol import Sink, SourceError, SourceSpec
from capture.drivers import words
from capture.drivers.ffmpeg import command
from devices.addresses import Address

PROGRAMS = ("rpicam", "libcamera")
_PACKAGE = "rpicam-apps"
_LIST_S = 8.0  # a Pi Zero takes three of them
_USUAL_SIZE = "1280x720"
_USUAL_FPS = 15
_KEY_EVERY_S = 2
_CAMERA = re.compile(r"^\s*([0-9]) : (\S+)(?: \[([0-9]+x[0-9]+))?", re.MULTILINE)
_QUIET = {"LIBCAMERA_LOG_LEVELS": "*:ERROR"}
# What the programs say, in small letters.
SAID = (
    ("failed to acquire camera", "busy"),
    ("pipeline handler in use by another process", "busy"),
    ("device or resource busy", "busy"),
    ("permission denied", "permission"),
    ("no cameras available", "missing"),
    ("selected camera is not available", "missing"),
    ("camera not found", "missing"),
)


class PiCameraDriver:
    def __init__(self, spec: SourceSpec, address: Address, lock_fd: int) -> None:
        self.stage = "connecting"
        self._number = address.number
        self._format = address.options.get("format", "h264")
        self._size = address.options.get("size", _USUAL_SIZE)
        self._fps = int(address.options.get("fps", 0)) or round(spec.rate_fps) or _USUAL_FPS
        self._lock_fd = lock_fd

    async def run(self, sink: Sink) -> None:
        feeder = self._feeder()
        self.stage = "waiting"
        argv = [
            *command(),
            "-use_wallclock_as_timestamps", "1", "-analyzeduration", "2000000",
            "-fpsprobesize", "0", "-f", self._format, "-i", "pipe:0",
            "-map", "0:v:0", "-c:v", "copy",
        ]  # fmt: skip
        try:
            await run_ffmpeg(argv, sink, lock_fd=self._lock_fd, feeder=feeder, env=_QUIET)
        except SourceError as error:
            raise self._explained(error) from error

    def _feeder(self) -> list[str]:
        program = _program("vid")
        if program is None:
            raise words.missing_program("rpicam-vid", _PACKAGE)
        width, height = self._size.split("x")
        coded = ["--codec", self._format]
        if self._format == "h264":
            # Parameter sets before every key picture: a reader that begins late understands it.
            coded += ["--inline", "--intra", str(_KEY_EVERY_S * self._fps)]
        return [
            program, "--camera", str(self._number), "--timeout", "0", "--nopreview",
            "--width", width, "--height", height, "--framerate", str(self._fps),
            *coded, "--flush", "--output", "-",
        ]  # fmt: skip

    def _explained(self, error: SourceError) -> SourceError:
        detail = error.detail.lower()
        name = f"picamera:{self._number}"
        match next((kind for said, kind in SAID if said in detail), ""):
            case "busy":
                return words.device_busy(name)
            case "permission":
                return words.no_permission(name)
            case "missing":
                return words.no_pi_camera(self._number)
        said = error.detail.splitlines()
        told = next((line for line in said if line.startswith("ERROR")), "".join(said[:1]))
        return words.failed("The Pi camera's program gave no video", told) if told else error


def _program(what: str) -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(f"{name}-{what}"))), None)


def list_cameras() -> list[dict[str, Any]]:
    """As `source-candidates/` of the API shows them; empty where there is no such program.

    Takes seconds: not on the event loop.
    """
    program = _program("hello")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, "--list-cameras"], capture_output=True, timeout=_LIST_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return [{"url": f"picamera:{number}", "name": name} for number, name in cameras_in(said)]


def cameras_in(said: str) -> list[tuple[str, str]]:
    """Number and name of each camera in the answer to --list-cameras."""
    found = {match[1]: match for match in _CAMERA.finditer(said)}
    return [
        (number, " ".join(filter(None, (match[2], match[3]))))
        for number, match in sorted(found.items())
    ]
