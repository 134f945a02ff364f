"""When was this packet's picture taken? The stream's own time stamps, anchored to arrivals.

Arrivals have the right pace in the long run and jitter from packet to packet; time stamps are
even and belong to a clock that is nobody's. What arrives soonest after its time stamp was delayed
least, so the lower envelope of (arrival - time stamp) is the offset between the two, and slow
corrections keep the camera's spacing.
"""

from __future__ import annotations

BUCKET_US = 10_000_000  # the envelope's window: this bucket and the one before
JUMP_US = 1_000_000
TAU = 10.0  # the offset follows the envelope with this time constant, seconds
MOST_SLEW = 0.05  # and never faster than this share of the time that passes
STEP_US = 1_000  # at a new anchor time goes on by at least so much


class PacketClock:
    """One for picture and sound of a stream. All times in microseconds."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._newest_pts = self._newest_capture = 0
        self._envelope = self._before = 0  # smallest (arrival - pts) in this and the last bucket
        self._bucket_began = 0
        self.anchors = 0  # how often time was anchored anew; 1 in a stream without trouble

    def anchor(self, arrival: int, earliest: int) -> None:
        """Begin, or begin again: `earliest` is the smallest (arrival - time stamp) known now."""
        offset = earliest
        if self.anchors:
            # A recording must not run backwards because its camera's clock did.
            offset = max(offset, self._newest_capture + STEP_US - self._newest_pts)
        self._offset = float(offset)
        self._envelope = self._before = earliest
        self._bucket_began = arrival
        self.anchors += 1

    def capture(self, arrival: int, pts: int) -> int:
        """Capture time of a packet that arrived now. B-pictures come with falling time stamps."""
        delta = arrival - pts
        if not self.anchors or self._is_jump(delta, pts):
            self._newest_pts = pts
            self.anchor(arrival, delta)
        self._follow(arrival, delta, pts)
        captured = round(pts + self._offset)
        self._newest_pts = max(self._newest_pts, pts)
        self._newest_capture = max(self._newest_capture, captured)
        return captured

    def _is_jump(self, delta: int, pts: int) -> bool:
        """A packet that comes late is only late: its time stamp goes on from the last one's.

        One that would come a second before it was made has a new time stamp, and so has one that
        lies a second before another that came already.
        """
        return delta < self._offset - JUMP_US or pts < self._newest_pts - JUMP_US

    def _follow(self, arrival: int, delta: int, pts: int) -> None:
        self._envelope = min(self._envelope, delta)
        if arrival - self._bucket_began > BUCKET_US:
            self._before, self._envelope = self._envelope, delta
            self._bucket_began = arrival
        target = min(self._envelope, self._before)
        if target > self._offset + JUMP_US:  # everything has been late for 10 s: that is the clock
            self._newest_pts = pts
            self.anchor(arrival, target)
            return
        passed = max(0, pts - self._newest_pts)
        wanted = (target - self._offset) * min(1.0, passed / 1e6 / TAU)
        limit = MOST_SLEW * passed
        self._offset += max(-limit, min(limit, wanted))
