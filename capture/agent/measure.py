"""What a running source gives: whether it comes, how many pictures a second, of what size."""

from __future__ import annotations

import time
from typing import Any

from capture.agent import found
from capture.agent.protocol import Packet
from capture.media import jpeg
from recordings.media.matroska import Track

WINDOW_US = 10_000_000
_FIRST_WINDOW_US = 2_000_000


class Meter:
    """Of one run of a driver."""

    def __init__(self) -> None:
        self._track: Track | None = None
        self._size = (0, 0)
        self._fps = 0.0
        self._pictures = 0  # in this window
        self._window = (0, 0)  # capture times of its first and its latest picture
        self._heard_s = time.monotonic()
        self.is_streaming = False

    @property
    def silent_s(self) -> float:
        """Since the last picture, or since the beginning."""
        return time.monotonic() - self._heard_s

    def stream(self, track: Track) -> None:
        self._track = track
        self._size = (track.width, track.height)

    def packet(self, packet: Packet) -> None:
        if packet.is_audio:
            return
        self._heard_s = time.monotonic()
        if not self.is_streaming or self._size == (0, 0):
            self.is_streaming = True
            self._measure_jpeg(packet)
        self._count(packet.capture_us)

    def _measure_jpeg(self, packet: Packet) -> None:
        if self._track is not None and self._track.codec == "mjpeg":
            try:
                self._size = jpeg.size_of(packet.payload)
            except jpeg.BadFrame:
                return  # the recorder drops and counts it

    def _count(self, capture_us: int) -> None:
        first, latest = self._window
        if not self._pictures or capture_us - latest > WINDOW_US:
            self._window, self._pictures = (capture_us, capture_us), 1
            return
        self._pictures += 1
        latest = max(latest, capture_us)  # B-pictures come out of order
        self._window = (first, latest)
        span = latest - first
        if span >= (WINDOW_US if self._fps else _FIRST_WINDOW_US):
            self._fps = round((self._pictures - 1) * 1e6 / span, 1)
            self._window, self._pictures = (latest, latest), 1

    def found(self) -> dict[str, Any] | None:
        """As `docs/design/interfaces.md` has it; None while nothing has come."""
        if self._track is None or not self.is_streaming:
            return None
        return found.found(self._track, self._fps, self._size)
