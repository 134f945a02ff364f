"""Cameras of Video4Linux2: which there are, what they offer, and how FFmpeg opens one.

The kernel is asked itself (linux/videodev2.h, by ioctl), which neither occupies a camera nor needs
a program. Everything that touches a device goes through here, so tests put something else in its
place: answers of a kernel at `_open` and `_ask`, FFmpeg's own pictures at `input_arguments`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from capture.agent.protocol import SourceError
from capture.drivers import words

DEVICES = Path("/dev")
MAX_ENTRIES = 64  # of each list: a driver that never says "no more" must not hold us

# FFmpeg's names of the formats that are taken, the best first: JPEG and H.264 come coded out of the
# camera, the others have to be coded here.
_FORMATS = {
    b"MJPG": "mjpeg", b"JPEG": "mjpeg", b"H264": "h264", b"YUYV": "yuyv422", b"NV12": "nv12",
    b"YU12": "yuv420p", b"UYVY": "uyvy422", b"RGB3": "rgb24", b"BGR3": "bgr24",
}  # fmt: skip
CODED = ("mjpeg", "h264")

_QUERYCAP, _ENUM_FMT = 0x80685600, 0xC0405602
_ENUM_FRAMESIZES, _ENUM_FRAMEINTERVALS = 0xC02C564A, 0xC034564B
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_DESCRIPTION = struct.Struct("III32s4sI12x")
_FRAME_SIZE = struct.Struct("I4sI6I8x")
_FRAME_INTERVAL = struct.Struct("I4sIII6I8x")
_VIDEO_CAPTURE, _CONVERTERS, _HAS_DEVICE_CAPS = 0x1, 0xC000, 0x80000000  # memory to memory
_DISCRETE = 1
# Drivers of a Pi's own receiver, picture processors and codecs, which call themselves capture devices:
# what comes out of them without libcamera is nothing, or no picture. Told by the driver: the cards
# of some name a part ("ril.isp").
_PARTS_OF_A_PI = re.compile(rb"bcm2835-(codec|isp)|unicam|rp1-cfe|pispbe|rpivid|rpi-hevc")
# Of a camera that takes any size.
_USUAL_SIZES = ((1920, 1080), (1280, 720), (800, 600), (640, 480), (320, 240))
_USUAL_RATES = (30.0, 15.0, 10.0, 5.0)


class Offer(NamedTuple):
    """One format in one size; `rates_fps` falling, empty where the driver does not say."""

    format: str
    width: int
    height: int
    rates_fps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Camera:
    path: str
    name: str
    offers: tuple[Offer, ...]
    is_part_of_a_pi: bool = False  # used only where a person names it

    def described(self) -> dict[str, Any]:
        """As `source-candidates/` of the API shows it (docs/design/interfaces.md)."""
        formats = []
        for name in dict.fromkeys(offer.format for offer in self.offers):
            offers = [offer for offer in self.offers if offer.format == name]
            rates = sorted({rate for offer in offers for rate in offer.rates_fps}, reverse=True)
            sizes = dict.fromkeys(f"{offer.width}x{offer.height}" for offer in offers)
            formats.append({"format": name, "sizes": list(sizes), "fps": rates})
        return {"url": f"usb:{self.path}", "name": self.name, "formats": formats}


def list_cameras() -> list[Camera]:
    """Every one that gives pictures by itself and may be opened. May take a moment: not on the
    event loop.
    """
    cameras = []
    paths = [path for path in DEVICES.glob("video*") if re.fullmatch(r"video[0-9]+", path.name)]
    for path in sorted(paths, key=lambda path: int(path.name.removeprefix("video"))):
        try:
            cameras.append(look_at(str(path)))
        except SourceError:
            continue  # a second file of the same camera, or not ours to open
    return [camera for camera in cameras if not camera.is_part_of_a_pi]


def look_at(path: str) -> Camera:
    """Raises SourceError: not_found, permission, busy, failed."""
    try:
        descriptor = _open(path)
    except OSError as error:
        raise _explained(path, error) from error
    try:
        fields = _CAPABILITY.unpack(_ask(descriptor, _QUERYCAP, bytes(_CAPABILITY.size)))
        driver, card, capabilities, of_this_file = fields[0], fields[1], fields[4], fields[5]
        if capabilities & _HAS_DEVICE_CAPS:
            capabilities = of_this_file
        is_camera = capabilities & _VIDEO_CAPTURE and not capabilities & _CONVERTERS
        offers = tuple(_offers(descriptor)) if is_camera else ()
    except OSError as error:
        raise _explained(path, error) from error
    finally:
        os.close(descriptor)
    if not offers:
        raise words.no_camera_there(path)
    order = {name: place for place, name in enumerate(dict.fromkeys(_FORMATS.values()))}
    name = card.split(b"\0")[0].decode(errors="replace").strip()
    best_first = tuple(sorted(offers, key=lambda offer: order[offer.format]))
    return Camera(path, name or path, best_first, bool(_PARTS_OF_A_PI.match(driver)))


def choose(camera: Camera, *, format_name: str = "", size: str = "", fps: int = 0) -> Offer:
    """The offer nearest to the wish, with the one rate that will be asked for.

    Without a wish: coded by the camera, the largest up to 1280x720, at most 15 a second.
    Raises SourceError where the camera has no such format.
    """
    offers = [offer for offer in camera.offers if _is_wanted(offer, format_name)]
    if not offers:
        raise words.failed(f"The camera at {camera.path} has no such format", format_name)
    width, height = map(int, size.split("x")) if size else (1280, 720)
    wanted = offers if format_name else [each for each in offers if each.format == offers[0].format]

    def distance(offer: Offer) -> tuple[bool, int]:
        pixels = offer.width * offer.height
        return pixels > width * height, abs(pixels - width * height)

    best = min(wanted, key=distance)
    rate = float(fps or 15)
    if best.rates_fps:
        slower = [each for each in best.rates_fps if each <= rate + 0.5]
        rate = max(slower) if slower else min(best.rates_fps)
    return best._replace(rates_fps=(rate,))


def input_arguments(path: str, offer: Offer) -> list[str]:
    """FFmpeg's, up to and with -i."""
    return [
        "-f", "v4l2", "-input_format", offer.format, "-video_size",
        f"{offer.width}x{offer.height}", "-framerate", f"{offer.rates_fps[0]:g}", "-i", path,
    ]  # fmt: skip


def _is_wanted(offer: Offer, format_name: str) -> bool:
    if format_name == "raw":
        return offer.format not in CODED
    return not format_name or offer.format == format_name


# --- the kernel ---------------------------------------------------------------------------------


def _open(path: str) -> int:
    """Looking at a camera does not occupy it. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _ask(descriptor: int, request: int, question: bytes) -> bytes:
    """One ioctl; raises OSError."""
    return fcntl.ioctl(descriptor, request, question)


def _entries(descriptor: int, request: int, layout: struct.Struct, *fixed: Any) -> Iterator[Any]:
    """The fields of each entry of a list that the kernel numbers; it ends it with EINVAL."""
    blank = layout.unpack(bytes(layout.size))[1 + len(fixed) :]
    for index in range(MAX_ENTRIES):
        try:
            answer = _ask(descriptor, request, layout.pack(index, *fixed, *blank))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield layout.unpack(answer)


def _offers(descriptor: int) -> Iterator[Offer]:
    for fields in _entries(descriptor, _ENUM_FMT, _DESCRIPTION, _VIDEO_CAPTURE):
        name = _FORMATS.get(fields[4])
        if name is None:
            continue
        for width, height in _sizes(descriptor, fields[4]):
            yield Offer(name, width, height, tuple(_rates(descriptor, fields[4], width, height)))


def _sizes(descriptor: int, code: bytes) -> Iterator[tuple[int, int]]:
    for fields in _entries(descriptor, _ENUM_FRAMESIZES, _FRAME_SIZE, code):
        if fields[2] == _DISCRETE:
            yield fields[3], fields[4]
            continue
        least_width, most_width, _, least_height, most_height, _ = fields[3:9]
        for width, height in _USUAL_SIZES:
            if least_width <= width <= most_width and least_height <= height <= most_height:
                yield width, height
        return


def _rates(descriptor: int, code: bytes, width: int, height: int) -> list[float]:
    rates = set()
    asked = (code, width, height)
    for fields in _entries(descriptor, _ENUM_FRAMEINTERVALS, _FRAME_INTERVAL, *asked):
        numbers = fields[5:11]
        if fields[4] != _DISCRETE:  # shortest interval, longest, step
            fastest = numbers[1] / max(1, numbers[0])
            return [rate for rate in _USUAL_RATES if rate <= fastest]
        if numbers[0]:
            rates.add(round(numbers[1] / numbers[0], 2))
    return sorted(rates, reverse=True)


def _explained(path: str, error: OSError) -> SourceError:
    match error.errno:
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            return words.no_device(path)
        case errno.EACCES | errno.EPERM:
            return words.no_permission(path)
        case errno.EBUSY:
            return words.device_busy(path)
        case errno.ENOTTY | errno.EINVAL:
            return words.no_camera_there(path)
    return words.failed(f"The camera at {path} cannot be opened", error.strerror or "")
