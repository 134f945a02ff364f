"""What one camera may send: token buckets, so that a burst after a stall is no offence.

The limits are several times what the fastest camera needs (UXGA at 10 fps is 3 MB/s,
the configuration allows 30 fps); whoever passes them is broken or hostile.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Per second; `burst_seconds` of each may come at once."""

    bytes_per_second: int = 8 * 1024 * 1024
    frames_per_second: int = 60
    messages_per_second: int = 20  # everything that is not a frame
    burst_seconds: float = 4.0


# A capture agent delivers a backlog faster than it came; every sound packet counts as a frame.
AGENT_LIMITS = Limits(bytes_per_second=24 * 1024 * 1024, frames_per_second=2000)


class Budget:
    """Three buckets of one device, filled by monotonic time (ns)."""

    __slots__ = ("_bytes", "_frames", "_limits", "_messages", "_refilled_ns")

    def __init__(self, limits: Limits, now_ns: int) -> None:
        self._limits = limits
        self._refilled_ns = now_ns
        self._bytes = limits.bytes_per_second * limits.burst_seconds
        self._frames = limits.frames_per_second * limits.burst_seconds
        self._messages = limits.messages_per_second * limits.burst_seconds

    def spend(self, now_ns: int, size_bytes: int, *, is_frame: bool) -> str:
        """Empty, or what was overdrawn, in words for the close reason and the event."""
        limits, burst = self._limits, self._limits.burst_seconds
        elapsed = (now_ns - self._refilled_ns) / 1e9
        self._refilled_ns = now_ns
        of_bytes, of_frames, of_messages = (
            limits.bytes_per_second,
            limits.frames_per_second,
            limits.messages_per_second,
        )
        self._bytes = min(of_bytes * burst, self._bytes + of_bytes * elapsed) - size_bytes
        self._frames = min(of_frames * burst, self._frames + of_frames * elapsed)
        self._messages = min(of_messages * burst, self._messages + of_messages * elapsed)
        if is_frame:
            self._frames -= 1
        else:
            self._messages -= 1
        if self._bytes < 0:
            return f"more than {of_bytes} bytes a second"
        if self._frames < 0:
            return f"more than {of_frames} frames a second"
        if self._messages < 0:
            return f"more than {of_messages} messages a second"
        return ""
