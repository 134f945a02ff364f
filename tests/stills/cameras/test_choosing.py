"""Which way to this machine's camera is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from stills import cameras
from stills.cameras.protocol import Check, Found
from stills.exceptions import CaptureError
from tests.instruments.fake_picamera2 import FakePicamera2
from tests.instruments.rpicam_programs import RpicamPrograms
from tests.stills.cameras.conftest import at_once

Set = Callable[[str], None]


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any camera, whatever this one has."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(cameras, "_remembered", None)
    monkeypatch.setattr("stills.cameras.picamera2.PYTHON_PATH", str(empty))
    monkeypatch.setattr("capture.drivers.v4l2.DEVICES", empty)
    monkeypatch.setattr("stills.cameras.checks.DEVICES", empty)


@pytest.fixture
def set_camera() -> Iterator[Set]:
    changes: list[override_settings] = []

    def set_to(camera: str) -> None:
        changes.append(override_settings(NVR=replace(settings.NVR, camera=camera)))
        changes[-1].enable()

    yield set_to
    for change in reversed(changes):
        change.disable()


@pytest.mark.parametrize(
    ("setting", "name", "address"),
    [
        ("picamera2", "picamera2", "picamera:0"),
        ("rpicam", "rpicam", "picamera:0"),
        ("libcamera", "libcamera", "picamera:0"),
        ("/dev/video7", "v4l2", "usb:/dev/video7"),
        ("simulated", "simulated", ""),
    ],
)
def test_a_way_that_is_named_is_taken_unseen(
    set_camera: Set, programs: RpicamPrograms, setting: str, name: str, address: str
) -> None:
    set_camera(setting)
    camera = cameras.chosen()
    assert (camera.name, camera.address) == (name, address)
    assert programs.asked() == []


def test_a_way_that_is_named_is_the_only_one(set_camera: Set, programs: RpicamPrograms) -> None:
    programs.behave(cameras=[])
    set_camera("libcamera")
    found = cameras.look()
    assert (found.backend, found.is_there) == ("libcamera", False)
    assert programs.asked() == [["libcamera-hello", "--list-cameras"]]
    assert [check.name for check in found.checks] == ["camera", "permission", "program"]


def test_a_camera_that_is_switched_off_is_none(set_camera: Set, programs: RpicamPrograms) -> None:
    set_camera("none")
    with pytest.raises(CaptureError) as caught:
        cameras.chosen()
    assert caught.value.code == "no_camera"
    assert "NVR_CAMERA=none" in str(caught.value)
    assert cameras.look().sentence == str(caught.value)
    assert programs.asked() == []


def test_picamera2_comes_first(
    set_camera: Set, programs: RpicamPrograms, system_python: FakePicamera2
) -> None:
    set_camera("auto")
    assert cameras.chosen().name == "picamera2"
    assert programs.asked() == []


def test_then_rpicam_then_libcamera(set_camera: Set, programs: RpicamPrograms) -> None:
    set_camera("auto")
    assert cameras.chosen().name == "rpicam"
    for what in ("hello", "still", "vid"):
        (programs.directory / f"rpicam-{what}").unlink()
    found = cameras.look()
    assert found.backend == "libcamera"
    assert cameras.chosen().name == "libcamera"


def test_a_look_tells_of_every_way_that_was_tried(
    set_camera: Set, programs: RpicamPrograms
) -> None:
    set_camera("auto")
    found = cameras.look()
    assert found.sentence == "imx708_wide 4608x2592 by rpicam."
    assert [(check.name, check.is_ok) for check in found.checks] == [
        ("picamera2 helper", False),
        ("rpicam program", True),
        ("rpicam permission", None),
        ("rpicam camera", True),
    ]
    assert found.checks[0].advice == ""  # it is not needed


def test_without_a_camera_the_most_telling_trouble_comes_first(
    set_camera: Set, programs: RpicamPrograms
) -> None:
    programs.behave(cameras=[])
    set_camera("auto")
    found = cameras.look()
    assert not found.is_there
    assert found.sentence == "No camera is connected to this Pi's camera port."
    assert {check.name for check in found.checks} >= {
        "picamera2 helper", "rpicam camera", "libcamera camera", "v4l2 camera",
    }  # fmt: skip
    with pytest.raises(CaptureError) as caught:
        cameras.chosen()
    assert (caught.value.code, str(caught.value)) == ("no_camera", found.sentence)


def test_what_was_found_is_remembered_for_a_minute(
    set_camera: Set, programs: RpicamPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_camera("auto")
    first = cameras.chosen()
    assert cameras.chosen() is first
    assert len(programs.asked()) == 1
    now_s = time.monotonic()
    monkeypatch.setattr("stills.cameras.time.monotonic", lambda: now_s + cameras.REMEMBERED_S)
    assert cameras.chosen() is not first
    assert len(programs.asked()) == 2


def test_a_look_is_always_a_new_one_and_is_remembered(
    set_camera: Set, programs: RpicamPrograms
) -> None:
    set_camera("auto")
    first = cameras.chosen()
    cameras.look()
    assert len(programs.asked()) == 2
    assert cameras.chosen() is not first
    programs.behave(cameras=[])
    assert not cameras.look().is_there
    with pytest.raises(CaptureError):
        cameras.chosen()


def test_another_setting_is_another_camera(set_camera: Set, programs: RpicamPrograms) -> None:
    set_camera("auto")
    assert cameras.chosen().name == "rpicam"
    set_camera("simulated")
    assert cameras.chosen().name == "simulated"


def test_of_many_that_ask_at_once_one_looks(set_camera: Set, programs: RpicamPrograms) -> None:
    programs.behave(lists_after_s=0.2)
    set_camera("auto")
    chosen: list[object] = []
    at_once([lambda: chosen.append(cameras.chosen())] * 8)
    assert len(chosen) == 8
    assert len(set(map(id, chosen))) == 1
    assert len(programs.asked()) == 1


def test_checks_of_the_same_look_have_the_same_names(set_camera: Set) -> None:
    set_camera("auto")
    names = [[check.name for check in cameras.look().checks] for _ in range(2)]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_every_trouble_has_words(set_camera: Set) -> None:
    set_camera("auto")
    found: Found = cameras.look()
    wrong: list[Check] = [check for check in found.checks if check.is_ok is False]
    assert wrong
    assert all(check.sentence.endswith(".") for check in found.checks)
