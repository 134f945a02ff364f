"""Cameras of this machine: simulated ones for real, USB and Pi cameras with something in their place.

There is no V4L2 device and no Pi here. For USB a scripted kernel answers the ioctls, and FFmpeg's
lavfi source stands in behind `input_arguments`; for the Pi an executable called rpicam-vid writes
real H.264 made by FFmpeg.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import statistics
import struct
from pathlib import Path

import pytest

from capture.drivers import find_cameras, picamera, v4l2
from recordings.ffmpeg import find_ffmpeg
from tests.capture.drivers.rig import Bucket, failure, take

# --- simulated ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
async def test_a_simulated_camera_gives_pictures_and_sound(codec: str) -> None:
    bucket = await take(
        f"simulated:{codec}?size=320x240&fps=20&audio=1",
        lambda bucket: len(bucket.pictures) > 25 and len(bucket.sounds) > 10,
    )
    track = bucket.tracks[0]
    assert (track.codec, track.width, track.height) == (codec, 320, 240)
    assert track.audio is not None
    assert track.audio.rate_hz == 16_000
    captured = [packet.capture_us for packet in bucket.pictures]
    assert (captured[-1] - captured[0]) / (len(captured) - 1) == pytest.approx(50_000, rel=0.1)


# --- USB ------------------------------------------------------------------------------------------


class ScriptedKernel:
    """Answers as a UVC webcam's driver does; `trouble` is raised instead."""

    trouble = 0
    driver = b"uvcvideo"
    capabilities = 0x84A00001
    device_caps = 0x04200001
    formats = (b"YUYV", b"MJPG", b"XYZ9")
    sizes = {b"YUYV": ((640, 480),), b"MJPG": ((1280, 720), (640, 480))}
    rates = (30, 15)

    def ask(self, descriptor: int, request: int, question: bytes) -> bytes:
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble))
        if request == v4l2._QUERYCAP:
            caps = (0x60000, self.capabilities, self.device_caps)
            return struct.pack("16s32s32sIII12x", self.driver, b"HD Webcam C270", b"usb", *caps)
        return self._entry(request, question, struct.unpack_from("I", question)[0])

    def _entry(self, request: int, question: bytes, index: int) -> bytes:
        try:
            if request == v4l2._ENUM_FMT:
                return struct.pack("III32s4sI12x", index, 1, 0, b"", self.formats[index], 0)
            code = question[4:8]
            if request == v4l2._ENUM_FRAMESIZES:
                width, height = self.sizes[code][index]
                return struct.pack("I4sI6I8x", index, code, 1, width, height, 0, 0, 0, 0)
            if request == v4l2._ENUM_FRAMEINTERVALS:
                asked = struct.unpack_from("II", question, 8)
                rate = self.rates[index]
                return struct.pack("I4sIII6I8x", index, code, *asked, 1, 1, rate, 0, 0, 0, 0)
        except (IndexError, KeyError):
            pass
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedKernel:
    kernel = ScriptedKernel()
    for name in ("video0", "video10", "video2", "videonsense", "sda"):
        (tmp_path / name).touch()
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(v4l2, "_ask", kernel.ask)
    monkeypatch.setattr(v4l2, "_open", lambda path: os.open(os.devnull, os.O_RDWR))
    return kernel


def test_usb_cameras_are_listed_with_what_they_offer(kernel: ScriptedKernel) -> None:
    cameras = v4l2.list_cameras()
    assert [Path(camera.path).name for camera in cameras] == ["video0", "video2", "video10"]
    assert cameras[0].described() == {
        "url": f"usb:{v4l2.DEVICES}/video0",
        "name": "HD Webcam C270",
        "formats": [
            {"format": "mjpeg", "sizes": ["1280x720", "640x480"], "fps": [30.0, 15.0]},
            {"format": "yuyv422", "sizes": ["640x480"], "fps": [30.0, 15.0]},
        ],
    }
    assert [camera["name"] for camera in find_cameras()["usb"]] == ["HD Webcam C270"] * 3


def test_a_second_file_of_a_camera_is_not_listed(kernel: ScriptedKernel) -> None:
    kernel.device_caps = 0x04A00000  # metadata only
    assert v4l2.list_cameras() == []


@pytest.mark.parametrize(
    "driver",
    ["bcm2835-isp", "bcm2835-codec", "unicam", "rp1-cfe", "pispbe", "rpivid", "rpi-hevc-dec"],
)
def test_parts_of_a_pis_picture_pipeline_are_not_offered(
    kernel: ScriptedKernel, driver: str
) -> None:
    assert len(v4l2.list_cameras()) == 3
    kernel.driver = driver.encode()
    kernel.capabilities, kernel.device_caps = 0x84200001, 0x04200001  # as /dev/video14 of a Pi 4
    assert v4l2.list_cameras() == []
    assert v4l2.look_at(f"{v4l2.DEVICES}/video0").offers, "a person may name it all the same"


def test_the_pis_older_camera_driver_is_a_camera(kernel: ScriptedKernel) -> None:
    kernel.driver = b"bm2835 mmal"
    assert len(v4l2.list_cameras()) == 3


def test_what_converts_pictures_in_memory_is_no_camera(kernel: ScriptedKernel) -> None:
    kernel.device_caps = 0x04208001
    assert v4l2.list_cameras() == []


@pytest.mark.parametrize(
    ("trouble", "code", "sentence"),
    [
        (errno.EBUSY, "busy", "Another program uses the camera at /dev/video0."),
        (errno.EACCES, "permission", "Add its user to the group video and start it again."),
        (errno.ENODEV, "not_found", "There is no camera at /dev/video0. Is it plugged in?"),
        (errno.ENOTTY, "not_found", "/dev/video0 is no camera that gives pictures."),
        (errno.EIO, "failed", "The camera at /dev/video0 cannot be opened: Input/output error."),
    ],
)
async def test_troubles_of_usb_cameras_are_put_into_words(
    kernel: ScriptedKernel, trouble: int, code: str, sentence: str
) -> None:
    kernel.trouble = trouble
    error = await failure("usb:/dev/video0")
    assert error.code == code
    assert sentence in str(error)


async def test_a_usb_camera_that_is_not_there_is_said_to_be_missing() -> None:
    error = await failure("usb:/dev/video99")
    assert error.code == "not_found"


def lavfi_stands_in(path: str, offer: v4l2.Offer) -> list[str]:
    """FFmpeg's test picture where the camera would be, in the format that was chosen."""
    picture = f"testsrc2=size={offer.width}x{offer.height}:rate={offer.rates_fps[0]:g}"
    return ["-re", "-f", "lavfi", "-i", picture]


async def test_a_usb_cameras_raw_pictures_become_jpegs(
    kernel: ScriptedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "input_arguments", lavfi_stands_in)
    bucket = await take("usb:/dev/video0?format=raw&fps=15")
    assert [(track.codec, track.width, track.height) for track in bucket.tracks] == [
        ("mjpeg", 640, 480)
    ]
    assert all(packet.payload.startswith(b"\xff\xd8") for packet in bucket.pictures)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ioctl(VIDIOC_DQBUF): No such device", ("ended", "was unplugged")),
        ("ioctl(VIDIOC_STREAMON): Device or resource busy", ("busy", "Another program uses")),
    ],
)
async def test_what_ffmpeg_says_of_a_usb_camera_becomes_words(
    kernel: ScriptedKernel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: str,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(
        "capture.drivers.usb.command",
        lambda: [str(_program(tmp_path / "ffmpeg", f"echo '{said}' >&2; exit 1"))],
    )
    error = await failure("usb:/dev/video0")
    assert error.code == expected[0]
    assert expected[1] in str(error)


def test_ffmpeg_is_told_what_was_chosen() -> None:
    offer = v4l2.Offer("mjpeg", 1280, 720, (15.0,))
    arguments = v4l2.input_arguments("/dev/video0", offer)
    assert arguments == [
        "-f", "v4l2", "-input_format", "mjpeg", "-video_size", "1280x720", "-framerate", "15",
        "-i", "/dev/video0",
    ]  # fmt: skip


# --- the Pi's camera ------------------------------------------------------------------------------


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the head of PATH; what the tests put there gets rpicam-vid's options."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def real_h264(log: Path, codec: str = "h264") -> str:
    coded = (
        "-c:v libx264 -preset ultrafast -tune zerolatency -g 20"
        if codec == "h264"
        else "-c:v mjpeg"
    )
    muxer = "h264" if codec == "h264" else "mjpeg"
    return (
        f'echo "$@" > {log}; exec {find_ffmpeg()} -v error -re -f lavfi'
        f" -i testsrc2=size=320x240:rate=20 {coded} -f {muxer} -flush_packets 1 -"
    )


@pytest.mark.parametrize("name", ["rpicam-vid", "libcamera-vid"])
async def test_it_takes_the_pi_cameras_h264(programs: Path, name: str) -> None:
    log = programs / "asked"
    _program(programs / name, real_h264(log))
    bucket = await take("picamera:1?size=320x240&fps=20", lambda bucket: len(bucket.pictures) > 80)
    track = bucket.tracks[0]
    assert (track.codec, track.width, track.height) == ("h264", 320, 240)
    captured = [packet.capture_us for packet in bucket.pictures]
    assert captured == sorted(captured)
    # The first ones wait in the pipe until FFmpeg has started; on a busy machine that are many.
    steps = [later - earlier for earlier, later in itertools.pairwise(captured[-40:])]
    assert statistics.median(steps) == pytest.approx(50_000, rel=0.25)
    assert log.read_text().split() == [
        "--camera", "1", "--timeout", "0", "--nopreview", "--width", "320", "--height", "240",
        "--framerate", "20", "--codec", "h264", "--inline", "--intra", "40", "--flush",
        "--output", "-",
    ]  # fmt: skip


async def test_it_takes_the_pi_cameras_jpegs(programs: Path) -> None:
    _program(programs / "rpicam-vid", real_h264(programs / "asked", "mjpeg"))
    bucket = await take("picamera:0?format=mjpeg&fps=20")
    assert bucket.tracks[0].codec == "mjpeg"
    assert (bucket.tracks[0].width, bucket.tracks[0].height) == (320, 240)


@pytest.mark.parametrize(
    ("said", "code", "sentence"),
    [
        ("ERROR: *** no cameras available ***", "not_found", "No Pi camera has the number 0."),
        ("ERROR: *** failed to acquire camera /base/imx708 ***", "busy", "Another program uses"),
        ("Pipeline handler in use by another process", "busy", "Another program uses the camera"),
        ("open /dev/dma_heap: Permission denied", "permission", "Add its user to the group video"),
        ("Segmentation fault", "failed", "program gave no video: Segmentation fault."),
        ("INFO x\nERROR: *** odd ***", "failed", "program gave no video: ERROR: *** odd ***."),
    ],
)
async def test_troubles_of_the_pi_camera_are_put_into_words(
    programs: Path, said: str, code: str, sentence: str
) -> None:
    _program(programs / "rpicam-vid", f"echo '{said}' >&2; exit 255")
    error = await failure("picamera:0")
    assert sentence in str(error)
    assert error.code == code


async def test_a_pi_camera_program_that_hangs_is_ended_with_its_driver(programs: Path) -> None:
    pids = programs / "pid"
    _program(programs / "rpicam-vid", f"echo $$ > {pids}; trap '' TERM; exec sleep 1000")
    bucket = Bucket()
    with pytest.raises(AssertionError):
        await take("picamera:0", lambda bucket: _is_written(pids) and _fail())
    assert not _lives(pids)
    assert not bucket.packets


def _is_written(path: Path) -> bool:
    return path.exists() and path.read_text().endswith("\n")


def _lives(pid_file: Path) -> bool:
    return Path(f"/proc/{pid_file.read_text().strip()}").exists()


def _fail() -> bool:
    raise AssertionError("enough")


async def test_it_says_which_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera, "PROGRAMS", ("no-such-program",))
    error = await failure("picamera:0")
    assert error.code == "missing_program"
    assert str(error) == "rpicam-vid is not installed on this machine (package rpicam-apps)."
    assert picamera.list_cameras() == []


def test_pi_cameras_are_listed(programs: Path) -> None:
    _program(
        programs / "rpicam-hello",
        "cat <<'END'\nAvailable cameras\n-----------------\n"
        "0 : imx708_wide [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)\n"
        "    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]\n"
        "1 : ov5647 [2592x1944] (/base/soc/i2c0mux/i2c@0/ov5647@36)\nEND",
    )
    assert picamera.list_cameras() == [
        {"url": "picamera:0", "name": "imx708_wide 4608x2592"},
        {"url": "picamera:1", "name": "ov5647 2592x1944"},
    ]


def test_a_lister_that_hangs_lists_nothing(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera, "_LIST_S", 0.3)
    _program(programs / "rpicam-hello", "exec sleep 1000")
    assert picamera.list_cameras() == []
