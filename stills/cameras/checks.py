"""What a look at this machine's camera says in words, shared by the ways of reaching it."""

from __future__ import annotations

import os
from pathlib import Path

from stills.cameras.programs import Ended
from stills.cameras.protocol import Check
from stills.exceptions import CaptureError

DEVICES = Path("/dev")
# What libcamera has to open; dma_heap belongs to the group video on Raspberry Pi OS, too.
_PATTERNS = ("media[0-9]*", "video[0-9]*", "dma_heap/*")
_RIBBON = (
    "Switch the Pi off, push both ends of the ribbon cable in straight and close their clips. If it"
    " is not seen then, look for camera_auto_detect=1 in /boot/firmware/config.txt."
)
GROUP = "Run: sudo usermod -aG video <the recorder's user>, then restart the recorder."


def install(package: str) -> str:
    return f"On Raspberry Pi OS run: sudo apt install {package}."


def permission() -> Check:
    """Whether the recorder may open what cameras are; asked without opening, which could disturb."""
    paths = sorted(path for pattern in _PATTERNS for path in DEVICES.glob(pattern))
    refused = [path for path in paths if not os.access(path, os.R_OK | os.W_OK)]
    if refused:
        sentence = f"The recorder may not open {refused[0]}."
        return Check("permission", False, sentence, GROUP)
    if not paths:
        return Check("permission", None, "The system has no camera device at all.")
    return Check("permission", True, "The recorder may open the camera's devices.")


def no_pi_camera(ended: Ended) -> Check:
    """`ended`: a program of libcamera that looked and found none."""
    said = f"{ended.stdout}\n{ended.last_words}".lower()
    if "permission denied" in said:
        sentence = "The system does not let the recorder see the camera."
        return Check("camera", False, sentence, GROUP)
    if "in use by another process" in said or "resource busy" in said:
        sentence = "Another program uses the camera."
        return Check("camera", False, sentence, "End the other program, then look again.")
    if "legacy camera stack" in said:
        sentence = "This Pi is set to the old camera system, which is not supported."
        return Check("camera", False, sentence, "Switch it off: sudo raspi-config, then restart.")
    if ended.status:
        last = " ".join(ended.last_words.splitlines()[-1:])[:120].rstrip(".")
        sentence = f"The program that looks for cameras failed: {last or 'it did not say why'}."
        return Check("camera", False, sentence, "Update the system: sudo apt full-upgrade.")
    return Check("camera", False, "No camera is connected to this Pi's camera port.", _RIBBON)


def no_answer(error: CaptureError) -> Check:
    """Of the program that lists cameras."""
    if error.code == "timeout":
        sentence = "The program that looks for cameras did not answer."
        return Check("camera", None, sentence, "Restart this machine; the camera may be stuck.")
    return Check("camera", None, str(error))
