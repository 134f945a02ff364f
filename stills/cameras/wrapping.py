"""An H.264 stream without times put into an mp4: the second step of a Pi camera's videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from capture.agent.protocol import SourceError
from capture.drivers.ffmpeg import command
from stills.cameras import programs, troubles
from stills.cameras.protocol import Order


def wrap(stream: Path, into: Path, order: Order, *, is_wanted: Callable[[], bool]) -> None:
    """Copies the pictures, each 1/fps after the one before. Raises CaptureError.

    -framerate alone is not enough: FFmpeg prefers the rate that a stream itself claims, and the
    encoders of newer Pis claim one that has nothing to do with the camera's.
    """
    try:
        ffmpeg = command()
    except SourceError as error:
        raise troubles.from_source(error) from error
    times = f"setts=ts=round(N/{order.fps}/TB):duration=round(1/{order.fps}/TB)"
    ended = programs.run(
        [
            *ffmpeg, "-f", "h264", "-framerate", str(order.fps), "-i", f"file:{stream.name}",
            "-c", "copy", "-bsf:v", times, "-movflags", "+faststart", "-f", "mp4",
            f"file:{into.name}",
        ],
        timeout_ms=max(5_000, order.duration_ms + 3_000),
        cwd=into.parent,
        is_wanted=is_wanted,
    )  # fmt: skip
    troubles.check(ended, into, "mp4", place="")
