"""What a backend of this machine's camera is. Nothing here or in a backend knows rows or HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

KINDS = ("jpg", "h264", "mp4", "dng")


@dataclass(frozen=True, slots=True)
class Order:
    """One capture, checked. `timeout_ms`: from the start of the camera's program; an mp4's second
    step (its stream put into a file that plays) has a limit of its own.

    `duration_ms`: of a video its length; of a picture how long the camera may look before it.
    """

    kind: str  # one of KINDS
    width: int  # pixels; a dng has the sensor's own size
    height: int
    fps: int
    duration_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a capture needs, looked at. `is_ok` None: it could not be found out.

    `name` stays the same from look to look (`program`, `permission`, `camera`, `helper` …),
    `sentence` is for people, `advice` says what to do, "" where nothing is to be done.
    """

    name: str
    is_ok: bool | None
    sentence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a backend sees. `cameras`: of each its number and name, e.g. ("0", "imx708 4608x2592")."""

    backend: str
    cameras: Sequence[tuple[str, str]]
    checks: Sequence[Check]

    @property
    def is_there(self) -> bool:
        return bool(self.cameras)

    @property
    def sentence(self) -> str:
        """What was found in one sentence; the first trouble where there is no camera."""
        if self.cameras:
            return f"{self.cameras[0][1]} by {self.backend}."
        trouble = next((check for check in self.checks if check.is_ok is False), None)
        return trouble.sentence if trouble else "No camera was found."


class Camera(Protocol):
    """One physical camera of this machine, by one way of reaching it.

    Both methods block and are called from a worker's thread; neither leaves a process behind.
    """

    name: str  # "picamera2", "rpicam", "libcamera", "v4l2", "simulated"
    # As addresses of sources have it ("picamera:0", "usb:/dev/video0"); two that say the same mean
    # one physical camera, which only one may have at a time. "" for the simulated one.
    address: str

    def look(self) -> Found:
        """At most about 10 s. Never raises."""

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        """Writes one whole file of `order.kind`. `into` does not exist before, and after an error
        whatever is there is the caller's to remove. Besides it only files whose names begin with
        `into.name` may be made. `is_wanted` is asked a few times a second; once it says no, the
        capture is ended and CaptureError("cancelled") raised. Programs inherit `lock_fd` (-1: none).
        Raises CaptureError.
        """
