"""What went wrong with a camera's program, told from what it said and left behind."""

from __future__ import annotations

import os
from pathlib import Path

from capture.agent.protocol import SourceError
from capture.drivers import picamera, words
from stills.cameras.programs import Ended
from stills.exceptions import CaptureError

# Said when no more pictures come from the sensor; rpicam-apps would try again for ever.
STOPPED = ("Device timeout detected", "Camera frontend has timed out")
_FULL_BYTES = 64 * 1024  # with less left, what was written last is not whole
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")
_CODES = {"not_found": "no_camera", "ended": "unplugged"}
_BEGINNINGS = {
    "jpg": (b"\xff\xd8\xff",),
    "dng": (b"II*\0", b"MM\0*"),
    "h264": (b"\0\0\0\1", b"\0\0\1"),
}
_JPEG_END = b"\xff\xd9"


def check(ended: Ended, path: Path, kind: str, *, place: str) -> None:
    """That the program ended well and `path` is a whole file of this kind. Raises CaptureError.

    A status of 0 proves little: rpicam-apps do not ask whether the last bytes reached the disk.
    """
    if ended.status != 0:
        raise explained(ended, path, place=place)
    try:
        with path.open("rb") as file:
            first = file.read(12)
            file.seek(-min(64, os.fstat(file.fileno()).st_size), os.SEEK_END)
            last = file.read()
    except FileNotFoundError:
        first = last = b""
    is_whole = first[4:8] == b"ftyp" if kind == "mp4" else first.startswith(_BEGINNINGS[kind])
    if kind == "jpg" and _JPEG_END not in last:
        is_whole = False
    if _is_full(path):
        raise _disk_full(ended)
    if not is_whole:
        what = "no file" if not first else "something that is no whole file"
        raise _failed(ended, f"The camera's program ended without an error, but wrote {what}.")


def explained(ended: Ended, path: Path, *, place: str) -> CaptureError:
    """Of a program of libcamera, or one that writes files; `place` as in "picamera:0"."""
    said = ended.last_words.lower()
    if any(each in ended.last_words for each in _FULL_WORDS) or _is_full(path):
        return _disk_full(ended)
    match next((kind for each, kind in picamera.SAID if each in said), ""):
        case "busy":
            return from_source(words.device_busy(place), ended)
        case "permission":
            return from_source(words.no_permission(place), ended)
        case "missing":
            return from_source(words.no_pi_camera(0), ended)
    lines = ended.last_words.splitlines()
    told = next((line for line in lines if line.startswith("ERROR")), "".join(lines[-1:]))
    return from_source(words.failed("The camera's program gave nothing", told.rstrip(".")), ended)


def from_source(error: SourceError, ended: Ended | None = None) -> CaptureError:
    """The same trouble as a capture's: one place has the words for both."""
    return CaptureError(
        _CODES.get(error.code, error.code),
        str(error),
        contract=contract(ended) if ended else "",
        detail=ended.last_words if ended else error.detail,
    )


def _failed(ended: Ended, sentence: str) -> CaptureError:
    return CaptureError("failed", sentence, contract=contract(ended), detail=ended.last_words)


def _disk_full(ended: Ended) -> CaptureError:
    sentence = "The disk is full: nothing was kept."
    return CaptureError("disk_full", sentence, contract=contract(ended), detail=ended.last_words)


def contract(ended: Ended) -> str:
    """Names the program alone, as `programs.run` says."""
    return f"Command failed ({ended.name}) with exit {ended.status}"


def _is_full(path: Path) -> bool:
    """The programs of rpicam-apps do not say why they could not write."""
    left = os.statvfs(path.parent)
    return left.f_bavail * left.f_frsize < _FULL_BYTES
