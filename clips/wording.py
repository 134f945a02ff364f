"""What a person reads about a clip: its state as a sentence, and what is missing in it."""

from __future__ import annotations

from django.utils import timezone

from clips.models import Clip, State, moment


def sentence(clip: Clip) -> str:
    match clip.state:
        case State.PENDING:
            return "Waits to be cut."
        case State.RECORDING:
            return f"Is being recorded until {clock(clip.end_ms)}."
        case State.CUTTING:
            return "Is being cut."
        case State.FAILED:
            return clip.reason or "It could not be cut."
        case _:
            return clip.reason or f"{seconds(clip.duration_ms)} of video."


def clock(epoch_ms: int) -> str:
    return f"{timezone.localtime(moment(epoch_ms)):%H:%M:%S}"


def seconds(length_ms: int) -> str:
    """As people say it: "0.4 s", "6 s", "12 min 5 s"."""
    if length_ms < 950:
        return f"{length_ms / 1000:.1f} s"
    whole = round(length_ms / 1000)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def missing(missing_ms: int, wanted_ms: int, cause: str) -> str:
    """As in "6 s of 60 s are missing: the camera was stalled." `cause`: part of a sentence or ""."""
    verb = "is" if seconds(missing_ms) == "1 s" else "are"
    text = f"{seconds(missing_ms)} of {seconds(wanted_ms)} {verb} missing"
    return f"{text}: {cause}." if cause else f"{text}."


def nothing(start_ms: int, end_ms: int, cause: str) -> str:
    """As in "The camera was offline: no video between 14:02:10 and 14:03:10."."""
    text = f"no video between {clock(start_ms)} and {clock(end_ms)}."
    return f"{cause[:1].upper()}{cause[1:]}: {text}" if cause else f"N{text[1:]}"


CAUSES = {
    "asleep": "the camera was asleep",
    "offline": "the camera was offline",
    "missing": "the camera was missing",
    "weak_signal": "the Wi-Fi signal of the camera was weak",
    "power": "the camera had lost its power",
    "brownout": "the supply voltage of the camera was too low",
    "crash": "the firmware of the camera crashed",
    "watchdog": "the firmware of the camera hung",
    "restarted": "the camera restarted",
    "stalled": "the camera was stalled",
    "refused": "the camera was refused",
    "paused": "the camera was paused for a picture",
    "recorder": "the recorder was not running",
    "disk": "the disk could not be written",
    "deleted": "the video was deleted",
}
