"""The Pi's camera by picamera2: the helper is run by the system's Python, the package is a fake."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from stills.cameras import picamera2
from stills.cameras.picamera2 import HELPER, Picamera2Camera
from stills.media import dng
from tests.instruments.fake_picamera2 import FakePicamera2
from tests.stills.cameras.conftest import (
    SIZE,
    Cancelled,
    all_gone,
    failure,
    order,
    pictures_of_h264,
    raw_picture,
    take,
    video,
)


@pytest.fixture
def camera() -> Picamera2Camera:
    return Picamera2Camera()


# --- what it takes --------------------------------------------------------------------------------


def test_it_takes_a_picture(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    take(camera, into, order("jpg", width=321, duration_ms=1))
    with Image.open(into) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("JPEG", SIZE)  # odd sides are made even
    assert system_python.asked() == [
        ["open", 0],
        ["configure", {"use_case": "still", "main": {"size": list(SIZE)}, "raw": None}],
        ["capture_file", "jpeg"],
        ["close"],
    ]
    assert list(into.parent.iterdir()) == [into]


def test_it_takes_a_raw_picture_of_the_whole_sensor(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    take(camera, into, order("dng"))
    assert into.read_bytes() == raw_picture()
    assert dng.size_of(into) == (64, 48)
    asked = system_python.asked()
    assert asked[1][1]["raw"] == {"size": [4608, 2592]}
    assert asked[2:] == [["release"], ["close"]]


def test_it_takes_a_video_without_a_container(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    take(camera, into, order("h264", duration_ms=1))
    width, height, pictures = pictures_of_h264(into)
    assert (width, height) == SIZE
    assert 8 <= pictures <= 24  # a second at least, less what the coder takes to begin
    asked = system_python.asked()
    assert asked[1][1]["controls"] == {"FrameDurationLimits": [50_000, 50_000]}
    assert asked[2] == ["H264Encoder", 500_000, True, 40]


def test_it_takes_a_video(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    take(camera, into, order("mp4", duration_ms=1_000))
    width, height, times = video(into)
    assert (width, height) == SIZE
    assert len(times) >= 8
    assert times == pytest.approx([number / 20 for number in range(len(times))], abs=0.001)
    assert list(into.parent.iterdir()) == [into]


# --- what can go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"cameras": []}, ("no_camera", "No camera is connected")),
        ({"cameras": [["C270", "/base/usb@7e980000/usb-1.3"]]}, ("no_camera", "No camera is")),
        (
            {"raises": "Failed to acquire camera: Device or resource busy"},
            ("busy", "Another program uses the camera."),
        ),
        (
            {"raises": "camera.acquire() returned unexpected code: -13"},
            ("permission", "Add its user to the group video"),
        ),
        ({"raises": "what nobody knows"}, ("failed", "what nobody knows")),
        ({"missing": True}, ("missing_program", "The package python3-picamera2 is not installed")),
    ],
)
def test_what_picamera2_says_becomes_words(
    system_python: FakePicamera2,
    camera: Picamera2Camera,
    into: Path,
    wishes: dict[str, object],
    expected: tuple[str, str],
) -> None:
    system_python.behave(**wishes)
    error = failure(camera, into, order("jpg"))
    assert error.code == expected[0]
    assert expected[1] in str(error)
    assert error.contract == "Command failed (python3) with exit 1"
    assert not list(into.parent.iterdir())


def test_a_camera_that_hangs_is_ended_after_its_time(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    system_python.behave(hangs=True)
    error = failure(camera, into, order("jpg", timeout_ms=900))
    assert error.code == "timeout"
    assert error.contract == "Command timed out after 900ms: python3"
    assert all_gone(system_python.pids())


def test_the_time_counts_from_when_the_camera_is_opened(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    """The oldest Pis take ten seconds to import picamera2: no camera is to blame for that."""
    system_python.behave(imports_after_s=1.2)
    take(camera, into, order("jpg", duration_ms=1, timeout_ms=1_100))
    assert into.exists()


def test_a_python_that_never_gets_there_is_ended_too(
    system_python: FakePicamera2,
    camera: Picamera2Camera,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picamera2, "START_MS", 300)
    system_python.behave(imports_after_s=1_000)
    assert failure(camera, into, order("jpg", timeout_ms=300)).code == "timeout"
    assert all_gone(system_python.pids())


def test_a_capture_that_is_not_wanted_any_more_ends(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    is_wanted = Cancelled(lambda: ["open", 0] in system_python.asked())
    wanted = order("mp4", duration_ms=60_000, timeout_ms=64_000)
    error = failure(camera, into, wanted, is_wanted=is_wanted)
    assert error.code == "cancelled"
    assert time.monotonic() - is_wanted.at_s < 0.5
    assert all_gone(system_python.pids())
    assert not list(into.parent.iterdir())


def test_a_camera_that_sends_nothing_gives_no_video(
    system_python: FakePicamera2, camera: Picamera2Camera, into: Path
) -> None:
    system_python.behave(stops_after_s=0)
    error = failure(camera, into, order("h264"))
    assert error.code == "unplugged"
    assert "sent no picture" in str(error)


@pytest.mark.parametrize("kind", ["jpg", "mp4"])
def test_a_full_disk_is_called_one(
    system_python: FakePicamera2, camera: Picamera2Camera, small_disk: Path, kind: str
) -> None:
    """A video is written by a thread of picamera2's, whose exceptions nobody hears."""
    duration_ms = 500 if kind == "jpg" else 20_000
    big = order(kind, width=1920, height=1080, fps=30, duration_ms=duration_ms, timeout_ms=24_000)
    began = time.monotonic()
    error = failure(camera, small_disk / ".part", big)
    assert (error.code, str(error)) == ("disk_full", "The disk is full: nothing was kept.")
    assert time.monotonic() - began < 10.0


def test_without_a_python_of_the_system_there_is_no_picamera2(
    camera: Picamera2Camera, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera2, "PYTHON_PATH", str(tmp_path))
    assert failure(camera, into, order("jpg")).code == "missing_program"
    assert (
        camera.look().checks[0].sentence == "The program python3 is not installed on this machine."
    )


# --- looking --------------------------------------------------------------------------------------


def test_it_sees_a_camera_and_no_usb_camera(
    system_python: FakePicamera2, camera: Picamera2Camera
) -> None:
    system_python.behave(
        cameras=[["imx708", "/base/soc/i2c@1/imx708@1a"], ["C270", "/base/usb@7e98/usb-1.3"]]
    )
    found = camera.look()
    assert list(found.cameras) == [("0", "imx708")]
    assert [check.name for check in found.checks] == ["helper", "permission", "camera"]
    assert all_gone(system_python.pids())


@pytest.mark.parametrize(
    ("wishes", "sentence", "advice"),
    [
        ({"cameras": []}, "No camera is connected to this Pi's camera port.", "ribbon cable"),
        (
            {"missing": True},
            "The package python3-picamera2 is not",
            "apt install python3-picamera2",
        ),
    ],
)
def test_a_look_says_what_is_missing(
    system_python: FakePicamera2,
    camera: Picamera2Camera,
    wishes: dict[str, object],
    sentence: str,
    advice: str,
) -> None:
    system_python.behave(**wishes)
    found = camera.look()
    assert not found.is_there
    assert found.sentence.startswith(sentence)
    assert advice in found.checks[-1].advice


def test_a_look_that_hangs_ends(
    system_python: FakePicamera2, camera: Picamera2Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera2, "LIST_MS", 400)
    system_python.behave(imports_after_s=1_000)
    assert [check.is_ok for check in camera.look().checks] == [None]
    assert all_gone(system_python.pids())


# --- the helper itself ----------------------------------------------------------------------------


def test_the_recorders_own_python_is_never_asked() -> None:
    assert Path(picamera2.PYTHON_PATH.split(":")[0]) != Path(sys.executable).parent
    assert all(each.startswith("/usr/") for each in picamera2.PYTHON_PATH.split(":"))


def test_the_helper_stands_alone_and_is_understood_by_an_old_python() -> None:
    tree = ast.parse(HELPER.read_text(), feature_version=(3, 9))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        str(node.module).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= sys.stdlib_module_names
