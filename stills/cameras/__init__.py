"""This machine's camera: which of the ways to reach it is used, by NVR_CAMERA or by looking."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings

from stills.cameras.picamera2 import Picamera2Camera
from stills.cameras.protocol import Camera, Check, Found
from stills.cameras.rpicam import RpicamCamera
from stills.cameras.simulated import SimulatedCamera
from stills.cameras.v4l2 import V4l2Camera
from stills.exceptions import CaptureError

REMEMBERED_S = 60.0  # looking takes seconds, and cameras do not come and go between two pictures
_looking = threading.Lock()  # programs that look for cameras at once make each other fail
_remembered: tuple[str, Camera, float] | None = None  # NVR_CAMERA, what it led to, and until when

# The most telling trouble first, where several ways were tried and none led to a camera.
_TELLING = ("permission", "camera", "helper", "program")


def chosen() -> Camera:
    """What NVR_CAMERA names, unseen; for auto the first way that sees a camera, which may take
    seconds. Raises CaptureError("no_camera"). Any thread may call.
    """
    setting: str = settings.NVR.camera
    if setting == "none":
        raise CaptureError("no_camera", _switched_off().sentence)
    if setting != "auto":
        return _ways(setting)[0]
    if camera := _recent(setting):
        return camera
    with _looking:
        if camera := _recent(setting):  # somebody else has looked meanwhile
            return camera
        camera, found = _detect(setting)
    if camera is None:
        raise CaptureError("no_camera", found.sentence)
    return camera


def look() -> Found:
    """Looks anew, with everything that was found on the way. May take half a minute, never raises."""
    setting: str = settings.NVR.camera
    if setting == "none":
        return Found("", (), (_switched_off(),))
    with _looking:
        return _detect(setting)[1]


def _ways(setting: str) -> list[Camera]:
    """In the order in which they are tried."""
    if setting.startswith("/dev/"):
        return [V4l2Camera(setting)]
    ways: dict[str, Camera] = {
        "picamera2": Picamera2Camera(),
        "rpicam": RpicamCamera("rpicam"),
        "libcamera": RpicamCamera("libcamera"),
        "v4l2": V4l2Camera(),
        "simulated": SimulatedCamera(),
    }
    if setting == "auto":
        return [way for name, way in ways.items() if name != "simulated"]
    return [ways[setting]]


def _detect(setting: str) -> tuple[Camera | None, Found]:
    """With the lock. Remembers what it found, and forgets what is no longer there."""
    global _remembered  # noqa: PLW0603  of the process, as the camera is of the machine
    _remembered = None
    ways = _ways(setting)
    tried: list[Check] = []
    for way in ways:
        found = way.look()
        tried += [_named(check, way.name) if len(ways) > 1 else check for check in found.checks]
        if found.is_there:
            _remembered = (setting, way, time.monotonic() + REMEMBERED_S)
            return way, replace(found, checks=_without_advice(tried, way.name))
    return None, Found(ways[0].name if len(ways) == 1 else "", (), sorted(tried, key=_rank))


def _recent(setting: str) -> Camera | None:
    remembered = _remembered
    if remembered and remembered[0] == setting and time.monotonic() < remembered[2]:
        return remembered[1]
    return None


def _named(check: Check, way: str) -> Check:
    return replace(check, name=f"{way} {check.name}")


def _without_advice(checks: Sequence[Check], way: str) -> list[Check]:
    """Nothing has to be done about a way that is not needed: another one led to the camera."""
    return [
        check if check.name.startswith(f"{way} ") or " " not in check.name
        else replace(check, advice="")
        for check in checks
    ]  # fmt: skip


def _rank(check: Check) -> tuple[bool, int]:
    what = check.name.rpartition(" ")[2]
    return check.is_ok is not False, _TELLING.index(what) if what in _TELLING else len(_TELLING)


def _switched_off() -> Check:
    sentence = "This machine's camera is switched off here (NVR_CAMERA=none)."
    return Check("setting", False, sentence, "Set NVR_CAMERA to auto and restart the recorder.")
