"""Takes in cameras that have to be pulled: `open_driver`, and `find_cameras` of this machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from capture.agent.protocol import Driver, SourceSpec
from capture.drivers import words
from devices import addresses


def open_driver(spec: SourceSpec, *, lock_fd: int) -> Driver:
    """The driver of a source; nothing is opened before its `run`. Raises SourceError.

    `lock_fd`: the source's lock, inherited by every child; -1 without one. A kind's modules are
    loaded when the first source of that kind appears: an idle agent stays small.
    """
    try:
        addresses.check_login(spec.username, spec.password)
        address = addresses.parse(spec.url, allow_loopback=settings.NVR_ALLOW_LOOPBACK_CAMERAS)
    except addresses.BadAddress as error:
        raise words.bad_address(str(error)) from error
    match address.kind:
        case "rtsp":
            if spec.transport != "tcp":
                raise words.bad_address("RTSP is taken over TCP only: change the transport to TCP.")
            from capture.drivers.rtsp import RtspDriver  # noqa: PLC0415

            return RtspDriver(spec, address, lock_fd)
        case "http":
            from capture.drivers.pictures import PictureDriver  # noqa: PLC0415

            return PictureDriver(spec, address)
        case "usb":
            from capture.drivers.usb import UsbDriver  # noqa: PLC0415

            return UsbDriver(spec, address, lock_fd)
        case "picamera":
            from capture.drivers.picamera import PiCameraDriver  # noqa: PLC0415

            return PiCameraDriver(spec, address, lock_fd)
    from capture.drivers.simulated import SimulatedDriver  # noqa: PLC0415

    return SimulatedDriver(spec, address, lock_fd)


def find_cameras() -> dict[str, list[dict[str, Any]]]:
    """`usb` and `pi` as the agent says them to the recorder. Takes seconds: not on the loop."""
    from capture.drivers import picamera, v4l2  # noqa: PLC0415

    return {
        "usb": [camera.described() for camera in v4l2.list_cameras()],
        "pi": picamera.list_cameras(),
    }
