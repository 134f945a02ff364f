"""What a person reads about a capture: its state as a sentence."""

from __future__ import annotations

from django.utils import timezone

from clips.wording import seconds
from stills.models import Capture, Kind, NodeCamera, State

# What to do, where the reason alone leaves a person standing.
ADVICE = {
    "busy": "Try again in a moment.",
    "disk_full": "Delete what is not needed, then try again.",
    "interrupted": "Take it again.",
    "no_camera": "The self-test says what is missing.",
    "no_stream": "Try again when the camera sends pictures.",
    "permission": "The self-test says what to do.",
    "timeout": "Try again; if it happens again, restart the machine with the camera.",
    "unplugged": "Check its cable, then try again.",
}


def sentence(capture: Capture) -> str:
    match capture.state:
        case State.WAITING:
            return "Waits for the camera."
        case State.TAKING:
            return _taking(capture)
        case State.FAILED:
            advice = ADVICE.get(capture.code, "")
            return f"{capture.reason or 'It could not be taken.'} {advice}".strip()
        case State.CANCELLED:
            return capture.reason or "It was cancelled."
        case _:
            return _ready(capture)


def of_camera(camera: NodeCamera | None) -> str:
    if camera is None or camera.looked_at is None:
        return "Nobody has looked yet whether this machine has a camera."
    return camera.sentence


def _taking(capture: Capture) -> str:
    if not capture.is_video or capture.started_at is None:
        return "Is being taken."
    gone_ms = (timezone.now() - capture.started_at).total_seconds() * 1000
    if gone_ms >= capture.duration_ms:
        return "Is being finished."
    return f"Is being recorded: {seconds(max(0, int(gone_ms)))} of {seconds(capture.duration_ms)}."


def _ready(capture: Capture) -> str:
    size = f"{capture.width}x{capture.height} pixels"
    parts = [size] if capture.width and capture.height else []
    if capture.is_video and capture.duration_ms:
        parts.insert(0, f"{seconds(capture.duration_ms)} of video")
    if capture.origin == Capture.Origin.STREAM:
        parts.append("from the live stream")
    text = ", ".join(parts) or Kind(capture.kind).label
    return f"{text[:1].upper()}{text[1:]}."
