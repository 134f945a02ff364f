"""Whether a clip holds exactly its window: the counters painted into its frames say so.

verdict = examine(clip, start_ms, end_ms, frame_ms=100)
assert not verdict.complaints
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.instruments import counting


@dataclass(frozen=True)
class Verdict:
    """`early_ms`, `late_ms`: how far the first and the last frame, by the camera's own clock, lie
    inside the window (negative: outside it).
    """

    frames: int
    early_ms: float
    late_ms: float
    time_error_ms: float
    complaints: tuple[str, ...]


def examine(
    clip: Path,
    start_ms: int,
    end_ms: int,
    *,
    frame_ms: float,
    is_keyframe_start: bool = False,
    delay_ms: float = 60.0,
) -> Verdict:
    """Every frame of `[start_ms, end_ms)` once and in order, and no other, within one frame.

    The camera's stamp is older than the frame's arrival by at most `delay_ms`, drawing and sending
    included. `is_keyframe_start`: the clip may begin with the key picture before the window.
    """
    report = counting.examine(clip)
    stamps = [seen.stamp for seen in counting.sightings(clip) if seen.stamp is not None]
    early = stamps[0].time_ms - start_ms
    late = end_ms - stamps[-1].time_ms
    slack = frame_ms + delay_ms
    complaints = [
        text
        for is_wrong, text in (
            (report.unreadable, f"{report.unreadable} frames cannot be read"),
            (report.lost, f"frames {report.missing} are missing"),
            (report.duplicated, f"{report.duplicated} frames are there twice"),
            (report.out_of_order, f"{report.out_of_order} frames are out of order"),
            (len(report.cameras) != 1, "frames of several cameras"),
            (early > slack, f"it begins {early:.0f} ms late"),
            (early < -slack and not is_keyframe_start, f"it begins {-early:.0f} ms early"),
            (late > slack, f"it ends {late:.0f} ms early"),
            (late < -slack, f"it ends {-late:.0f} ms late"),
        )
        if is_wrong
    ]
    return Verdict(report.frames, early, late, report.time_error_ms, tuple(complaints))
