"""USB cameras by FFmpeg: the kernel's answers are scripted, FFmpeg's test picture is the camera."""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path

import pytest
from PIL import Image

from capture.drivers import v4l2 as kernel_side
from recordings.ffmpeg import find_ffmpeg
from stills.cameras.v4l2 import V4l2Camera
from tests.instruments.rpicam_programs import RpicamPrograms
from tests.stills.cameras.conftest import (
    SIZE,
    Cancelled,
    failure,
    order,
    pictures_of_h264,
    take,
    video,
)

RAW = {b"YUYV": [SIZE, (640, 480)]}


class ScriptedKernel:
    """Answers of linux/videodev2.h, for devices by their names."""

    def __init__(self) -> None:
        self.devices: dict[str, tuple[str, dict[bytes, list[tuple[int, int]]]]] = {}
        self.drivers: dict[str, str] = {}  # by card
        self.trouble = 0
        self._open: dict[int, str] = {}

    def open(self, path: str) -> int:
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble))
        if Path(path).name not in self.devices:
            raise OSError(errno.ENOENT, "No such file or directory")
        descriptor = os.open(os.devnull, os.O_RDWR)
        self._open[descriptor] = Path(path).name
        return descriptor

    def ask(self, descriptor: int, request: int, question: bytes) -> bytes:
        card, formats = self.devices[self._open[descriptor]]
        driver = self.drivers.get(card, "uvcvideo").encode()
        index = int.from_bytes(question[:4], "little")
        try:
            if request == kernel_side._QUERYCAP:
                fields = (card.encode(), b"usb", 0, 0x84200001, 0x04200001)
                return struct.pack("16s32s32sIII12x", driver, *fields)
            if request == kernel_side._ENUM_FMT:
                code = list(formats)[index]
                return struct.pack("III32s4sI12x", index, 1, 0, b"", code, 0)
            if request == kernel_side._ENUM_FRAMESIZES:
                size = formats[question[4:8]][index]
                return struct.pack("I4sI6I8x", index, question[4:8], 1, *size, 0, 0, 0, 0)
            code, width, height = struct.unpack("4sII", question[4:16])
            rate = (30, 20)[index]
            return struct.pack("I4sIII6I8x", index, code, width, height, 1, 1, rate, 0, 0, 0, 0)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedKernel:
    kernel = ScriptedKernel()
    devices = tmp_path / "dev"
    devices.mkdir()
    for number in (0, 1, 13):
        (devices / f"video{number}").touch()
    kernel.devices["video1"] = ("HD Webcam C270", RAW)
    monkeypatch.setattr(kernel_side, "DEVICES", devices)
    monkeypatch.setattr(kernel_side, "_open", kernel.open)
    monkeypatch.setattr(kernel_side, "_ask", kernel.ask)
    monkeypatch.setattr(kernel_side, "input_arguments", moving_picture)
    return kernel


def moving_picture(path: str, offer: kernel_side.Offer) -> list[str]:
    """FFmpeg's, where the camera would be, in the size and rate that were chosen."""
    picture = f"testsrc2=size={offer.width}x{offer.height}:rate={offer.rates_fps[0]:g}"
    return ["-re", "-f", "lavfi", "-i", picture]


# --- what it takes --------------------------------------------------------------------------------


def test_it_takes_a_picture_of_the_size_nearest_to_the_wish(
    kernel: ScriptedKernel, into: Path
) -> None:
    camera = V4l2Camera()
    take(camera, into, order("jpg", width=330, height=250))
    with Image.open(into) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("JPEG", SIZE)
    assert camera.address == f"usb:{kernel_side.DEVICES}/video1"
    assert list(into.parent.iterdir()) == [into]


def test_the_camera_may_look_for_a_while_before_a_picture(
    kernel: ScriptedKernel, into: Path
) -> None:
    began = time.monotonic()
    take(V4l2Camera(), into, order("jpg", duration_ms=1_000))
    assert time.monotonic() - began >= 0.9


def test_it_takes_a_video(kernel: ScriptedKernel, into: Path) -> None:
    take(V4l2Camera(), into, order("mp4", duration_ms=1_000))
    width, height, times = video(into)
    assert (width, height) == SIZE
    assert times == pytest.approx([number / 20 for number in range(20)], abs=0.002)


def test_it_takes_a_video_without_a_container(kernel: ScriptedKernel, into: Path) -> None:
    take(V4l2Camera(), into, order("h264", duration_ms=500))
    assert pictures_of_h264(into) == (*SIZE, 10)


def test_h264_of_the_camera_itself_is_not_coded_again(
    kernel: ScriptedKernel, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(V4l2Camera(), into, order("h264", duration_ms=500))
    by_the_camera = into.rename(tmp_path / "camera.h264")
    monkeypatch.setattr(
        kernel_side,
        "input_arguments",
        lambda path, offer: (
            ["-f", "h264", "-framerate", "20", "-i", str(by_the_camera)]
            if offer.format == "h264"
            else moving_picture(path, offer)
        ),
    )
    kernel.devices["video1"] = ("HD Webcam C920", RAW | {b"H264": [SIZE]})
    take(V4l2Camera(), into, order("h264", duration_ms=500))
    assert into.read_bytes() == by_the_camera.read_bytes()
    into.unlink()
    take(V4l2Camera(), into, order("jpg"))  # by its raw pictures, which no coder has spoiled
    with Image.open(into) as picture:
        assert picture.size == SIZE


def test_it_gives_no_raw_picture(kernel: ScriptedKernel, into: Path) -> None:
    error = failure(V4l2Camera(), into, order("dng"))
    assert (error.code, str(error)) == (
        "unsupported",
        "This camera gives no raw pictures: only a Pi's own camera does.",
    )


# --- what can go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(errno.EACCES, "permission"), (errno.EBUSY, "busy"), (errno.ENODEV, "no_camera")],
)
def test_troubles_of_the_kernel_become_words(
    kernel: ScriptedKernel, into: Path, trouble: int, code: str
) -> None:
    kernel.trouble = trouble
    error = failure(V4l2Camera("/dev/video1"), into, order("jpg"))
    assert error.code == code
    assert "/dev/video1" in str(error)


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ("ioctl(VIDIOC_DQBUF): No such device", (0, "unplugged")),
        ("/dev/video1: Device or resource busy", (1, "busy")),
        ("something else", (7, "failed")),
    ],
)
def test_what_ffmpeg_says_becomes_words_whatever_its_status(
    kernel: ScriptedKernel,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    ended: tuple[int, str],
) -> None:
    status, code = ended
    script = into.parent / "ffmpeg"
    script.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    script.chmod(0o755)
    monkeypatch.setattr("stills.cameras.v4l2.command", lambda: [str(script)])
    error = failure(V4l2Camera(), into, order("mp4"))
    assert error.code == code
    assert error.contract == f"Command failed (ffmpeg) with exit {status}"


def test_a_camera_that_hangs_is_ended_after_its_time(
    kernel: ScriptedKernel, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "silent")
    monkeypatch.setattr(
        kernel_side, "input_arguments", lambda *_: ["-f", "h264", "-i", f"{tmp_path}/silent"]
    )
    error = failure(V4l2Camera(), into, order("mp4", timeout_ms=400))
    assert error.code == "timeout"
    assert error.contract == f"Command timed out after 400ms: {Path(find_ffmpeg()).name}"


def test_a_capture_that_is_not_wanted_any_more_ends(kernel: ScriptedKernel, into: Path) -> None:
    is_wanted = Cancelled(into.exists)
    wanted = order("mp4", duration_ms=60_000, timeout_ms=64_000)
    assert failure(V4l2Camera(), into, wanted, is_wanted=is_wanted).code == "cancelled"
    assert time.monotonic() - is_wanted.at_s < 0.5


def test_a_full_disk_is_called_one(kernel: ScriptedKernel, small_disk: Path) -> None:
    kernel.devices["video1"] = ("HD Webcam C270", {b"YUYV": [(1920, 1080)]})
    error = failure(V4l2Camera(), small_disk / ".part", order("mp4", fps=30, duration_ms=3_000))
    assert error.code == "disk_full"


# --- looking --------------------------------------------------------------------------------------


def test_it_sees_a_camera(kernel: ScriptedKernel) -> None:
    camera = V4l2Camera()
    found = camera.look()
    assert list(found.cameras) == [("1", "HD Webcam C270")]
    assert found.sentence == "HD Webcam C270 by v4l2."
    assert "offers 320x240, 640x480" in found.checks[0].sentence
    assert [check.name for check in found.checks] == ["camera", "program"]


def test_parts_of_a_pis_picture_pipeline_are_no_cameras(kernel: ScriptedKernel) -> None:
    kernel.drivers = {"ril.isp": "bcm2835-codec", "rp1-cfe": "rp1-cfe"}
    kernel.devices = {"video0": ("rp1-cfe", RAW), "video13": ("ril.isp", RAW)}
    assert not V4l2Camera().look().is_there
    kernel.devices["video1"] = ("HD Webcam C270", RAW)
    assert list(V4l2Camera().look().cameras) == [("1", "HD Webcam C270")]


def test_a_device_that_a_person_names_is_asked_whatever_it_is(kernel: ScriptedKernel) -> None:
    kernel.drivers = {"unicam": "unicam"}
    kernel.devices["video0"] = ("unicam", RAW)
    camera = V4l2Camera(f"{kernel_side.DEVICES}/video0")
    assert list(camera.look().cameras) == [("0", "unicam")]


def test_a_camera_that_was_put_into_another_socket_is_found_again(kernel: ScriptedKernel) -> None:
    camera = V4l2Camera()
    camera.look()
    kernel.devices = {"video13": ("HD Webcam C270", RAW)}
    assert list(camera.look().cameras) == [("13", "HD Webcam C270")]
    assert camera.address.endswith("/video13")


def test_a_look_says_what_may_not_be_opened(
    kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.trouble = errno.EACCES
    monkeypatch.setattr("os.access", lambda *_: False)
    check = V4l2Camera().look().checks[0]
    assert (check.name, check.is_ok) == ("permission", False)
    assert "usermod -aG video" in check.advice


def test_a_look_without_a_camera_says_so(kernel: ScriptedKernel, programs: RpicamPrograms) -> None:
    kernel.devices = {}
    found = V4l2Camera().look()
    assert (found.is_there, found.sentence) == (False, "No USB camera is connected.")
