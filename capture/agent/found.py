"""What a source turned out to give, for programs and in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recordings.media.matroska import Track

_NAMES = {"h264": "H.264", "hevc": "H.265", "mjpeg": "MJPEG"}


def found(track: Track, fps: float, size: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """The `found` of docs/design/interfaces.md. `size` in pixels where the track does not say it:
    of MJPEG the pictures do. `fps` 0: not measured yet."""
    width, height = (track.width, track.height) if track.width else size
    rate = round(fps, 1)
    audio = track.audio
    parts = [_NAMES.get(track.codec, track.codec)]
    if width:
        parts.append(f"{width}x{height}")
    if rate:
        parts.append(f"{rate:g} fps")
    parts.append("with sound" if audio else "without sound")
    return {
        "codec": track.codec,
        "width": width,
        "height": height,
        "fps": rate,
        "audio": audio
        and {"codec": audio.codec, "rate_hz": audio.rate_hz, "channels": audio.channels},
        "sentence": ", ".join(parts),
    }


def fps_of(capture_us: Iterable[int]) -> float:
    """Pictures a second from their presentation times, in any order; 0 for fewer than two."""
    times = sorted(capture_us)
    span_us = times[-1] - times[0] if times else 0
    return (len(times) - 1) * 1e6 / span_us if span_us > 0 else 0.0
