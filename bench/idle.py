"""Four cameras and nobody watching: memory, and how soon the recorder is there."""

from __future__ import annotations

import time

from bench import recorder
from bench.table import Row
from tests.stack import wait_until

SETTLE_S = 20


def run() -> list[Row]:
    with recorder.recorder() as stack:
        first_s = stack.ready_after_s
        stack.stop()
        stack.start()
        second_s = stack.ready_after_s
        with recorder.cameras(stack, "--count", "4", "--fps", "10"):
            wait_until(
                lambda: len(stack.get_json("/api/v1/devices/", recorder.BEARER)["results"]) == 4,
                limit_s=30,
                what="four cameras",
            )
            time.sleep(SETTLE_S)
            memory = recorder.cost(stack, with_memory=True).pss_bytes
    parts = ", ".join(f"{name} {size >> 20}" for name, size in sorted(memory.items()))
    return [
        Row(
            "memory of all processes (PSS), 4 cameras, nobody watching",
            "<= 300 MB",
            f"{sum(memory.values()) / 1e6:.0f} MB",
            f"MiB: {parts}",
        ),
        Row("start with an empty data directory", "", f"{first_s:.1f} s"),
        Row("second start", "< 5 s", f"{second_s:.1f} s"),
    ]
