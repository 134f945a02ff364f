"""How many frames a second a camera is asked for, by who watches it and what woke it.

Pure: it is told what is the case and the monotonic time, and says when the camera has to be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from devices.framerates import FrameRates

HOLD_NS = 10_000_000_000  # somebody who reloads a page, or looks away, is back in less
# Each change of its settings costs a camera some frames.
SPACING_NS = 5_000_000_000


class Situation(IntEnum):
    """In order: what is higher wins, and begins at once."""

    IDLE = 0
    WATCHED = 1
    MOTION = 2


class Pace:
    """One connection's. Without rates by situation it says what it is given, and no more."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}
        self._rates: FrameRates | None = None
        self._is_new = False
        self._situation = Situation.IDLE
        self._held_ns = 0  # when this situation was last the case
        self._told_fps = self._told_ns = 0

    @property
    def has_rates(self) -> bool:
        return self._rates is not None

    def adopt(self, config: Mapping[str, Any], rates: FrameRates | None) -> None:
        """The settings from now on; the camera is told of them whether they are new or not."""
        self._config, self._rates, self._is_new = dict(config), rates, True

    def follow(self, situation: Situation, now_ns: int) -> dict[str, Any] | None:
        """The configuration that the camera is to be told now; None: it knows. Called often."""
        is_over = now_ns - self._held_ns >= HOLD_NS
        if situation >= self._situation or is_over:
            self._situation, self._held_ns = situation, now_ns
        if not self._is_new and not self._is_other_rate_due(now_ns):
            return None
        self._is_new, self._told_fps, self._told_ns = False, self._fps(), now_ns
        return {**self._config, "framerate": self._told_fps}

    def _is_other_rate_due(self, now_ns: int) -> bool:
        is_other = self._rates is not None and self._fps() != self._told_fps
        return is_other and now_ns - self._told_ns >= SPACING_NS

    def _fps(self) -> int:
        if self._rates is None:
            return int(self._config["framerate"])
        by_situation = {
            Situation.IDLE: self._rates["idle"],
            Situation.WATCHED: self._rates["watched"],
            Situation.MOTION: self._rates["motion"],
        }
        return by_situation[self._situation]
