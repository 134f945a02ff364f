"""How the machine is: the figures of the camera node's `/status`. A few milliseconds, no database."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil

from stills import files

_ZONES = Path("/sys/class/thermal")
# Of the kernel's names for a thermal zone those that mean the processor.
_PROCESSOR = ("cpu", "soc", "x86_pkg", "coretemp", "k10temp")


class Processor:
    """How busy all cores were, in percent, since it was last asked.

    The first answer, and one after a long silence, is of a moment that it waits for: the mean since
    the recorder was started would say nothing about now. Thread-safe.
    """

    SHORTEST_S = 1.0  # the kernel counts in steps of 10 ms; two who ask at once get one answer
    LONGEST_S = 60.0
    MOMENT_S = 0.05

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_s = 0.0  # monotonic; 0: never
        self._before = (0.0, 0.0)
        self._percent = 0.0

    def percent(self) -> float:
        with self._lock:
            silence_s = time.monotonic() - self._looked_s
            if self._looked_s and silence_s < self.SHORTEST_S:
                return self._percent
            if not self._looked_s or silence_s > self.LONGEST_S:
                self._before = _processor_seconds()
                time.sleep(self.MOMENT_S)
            total, idle = now = _processor_seconds()
            passed = total - self._before[0]
            if passed > 0:
                busy = 1 - (idle - self._before[1]) / passed
                self._percent = 100 * min(1.0, max(0.0, busy))
            self._before, self._looked_s = now, time.monotonic()
            return self._percent


_processor = Processor()


def figures() -> dict[str, Any]:
    """Raises OSError where the captures' disk does not answer."""
    temperature = temperature_c(_ZONES)
    return {
        "cpu_percent": round(_processor.percent(), 2),
        "memory_percent": round(psutil.virtual_memory().percent, 2),
        "disk_usage": round(psutil.disk_usage(str(files.directory())).percent, 2),
        "cpu_temperature": None if temperature is None else round(temperature, 2),
        # Of the machine, and of a clock that nobody sets.
        "uptime": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
    }


def temperature_c(zones: Path) -> float | None:
    """Of the processor, else of the first zone that has one; None on a machine without.

    `zones`: as `/sys/class/thermal`.
    """
    found: float | None = None
    for zone in sorted(zones.glob("thermal_zone*")):
        try:
            kind = (zone / "type").read_text().strip().lower()
            celsius = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):  # a zone that is switched off says EINVAL or nothing
            continue
        if kind.startswith(_PROCESSOR):
            return celsius
        found = celsius if found is None else found
    return found


def _processor_seconds() -> tuple[float, float]:
    """Of all cores together since the start of the machine: in all, and of it idle."""
    times = psutil.cpu_times()
    idle = times.idle + times.iowait
    # A guest's time is in `user` and `nice` as well.
    guests = times.guest + times.guest_nice
    return sum(times) - guests, idle
