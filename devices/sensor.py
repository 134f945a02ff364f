"""The six values of an ESP32-CAM's sensor that both sides of the wire know, and their limits."""

from __future__ import annotations

from collections.abc import Mapping

from devices.exceptions import BadConfig

# Names of the firmware's frame sizes, smallest first, with width and height in pixels.
RESOLUTIONS: dict[str, tuple[int, int]] = {
    "QQVGA": (160, 120),
    "QCIF": (176, 144),
    "HQVGA": (240, 176),
    "QVGA": (320, 240),
    "CIF": (400, 296),
    "VGA": (640, 480),
    "SVGA": (800, 600),
    "XGA": (1024, 768),
    "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}
# `quality` is the driver's quantiser scale, 0 to 63, where less is better. Below 4 one picture of
# an OV2640 outgrows the frame buffer the driver allotted for it, and the camera stops sending.
INTEGERS: dict[str, tuple[int, int]] = {
    "framerate": (1, 30),
    "quality": (4, 63),
    "brightness": (-2, 2),
    "contrast": (-2, 2),
    "saturation": (-2, 2),
}
DEFAULT_CONFIG: dict[str, str | int] = {
    "resolution": "SVGA",
    "framerate": 10,
    "quality": 12,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
}


def validate_config(changes: Mapping[str, object]) -> dict[str, str | int]:
    """Any subset of the six keys, checked; raises BadConfig that names the first bad one."""
    checked: dict[str, str | int] = {}
    for key, value in changes.items():
        if key == "resolution":
            checked[key] = _resolution(value)
        elif key in INTEGERS:
            checked[key] = _integer(key, value)
        else:
            shown = str(key)[:40]
            known = ", ".join(DEFAULT_CONFIG)
            raise BadConfig(shown, f"config.{shown} is not known; the keys are {known}")
    return checked


def _resolution(value: object) -> str:
    if isinstance(value, str) and value in RESOLUTIONS:
        return value
    raise BadConfig("resolution", f"config.resolution must be one of {', '.join(RESOLUTIONS)}")


def _integer(key: str, value: object) -> int:
    low, high = INTEGERS[key]
    # bool is an int in Python; `true` is no frame rate.
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise BadConfig(key, f"config.{key} must be a whole number from {low} to {high}")
