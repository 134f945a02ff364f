"""The Pi's camera by rpicam-* and libcamera-*: fakes of the programs, real processes and files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from stills.cameras import checks
from stills.cameras import rpicam as rpicam_module
from stills.cameras.rpicam import RpicamCamera
from stills.media import dng
from tests.instruments.rpicam_programs import RpicamPrograms
from tests.stills.cameras.conftest import (
    SIZE,
    Cancelled,
    all_gone,
    at_once,
    failure,
    open_files,
    order,
    pictures_of_h264,
    raw_picture,
    take,
    video,
)


@pytest.fixture(params=["rpicam", "libcamera"])
def camera(request: pytest.FixtureRequest) -> RpicamCamera:
    return RpicamCamera(request.param)


@pytest.fixture
def rpicam() -> RpicamCamera:
    return RpicamCamera("rpicam")


@pytest.fixture(autouse=True)
def least_look_ms(monkeypatch: pytest.MonkeyPatch) -> int:
    """What it really is; the cameras of these tests have no exposure to find."""
    real = rpicam_module._LEAST_LOOK_MS
    monkeypatch.setattr(rpicam_module, "_LEAST_LOOK_MS", 50)
    return real


# --- what it takes --------------------------------------------------------------------------------


def test_it_takes_a_picture(programs: RpicamPrograms, camera: RpicamCamera, into: Path) -> None:
    take(camera, into, order("jpg"))
    with Image.open(into) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("JPEG", SIZE)
    assert programs.asked() == [
        [
            f"{camera.name}-still", "-o", f"{into.name}.jpg", "--width", "320",
            "--height", "240", "-t", "50", "-n",
        ]
    ]  # fmt: skip
    assert list(into.parent.iterdir()) == [into]


def test_a_camera_looks_half_a_second_at_least_and_odd_sides_are_made_even(
    programs: RpicamPrograms,
    rpicam: RpicamCamera,
    into: Path,
    least_look_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The programs refuse odd ones."""
    monkeypatch.setattr(rpicam_module, "_LEAST_LOOK_MS", least_look_ms)
    take(rpicam, into, order("jpg", width=321, height=241, duration_ms=1))
    with Image.open(into) as picture:
        assert picture.size == SIZE
    assert programs.asked()[0][-3:] == ["-t", "500", "-n"]


def test_it_takes_a_raw_picture_and_leaves_no_other_beside_it(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    take(rpicam, into, order("dng"))
    assert into.read_bytes() == raw_picture()
    assert dng.size_of(into) == (64, 48)
    assert programs.asked() == [
        ["rpicam-still", "--raw", "-o", f"{into.name}.jpg", "-t", "50", "-n"]
    ]
    assert list(into.parent.iterdir()) == [into]


def test_it_takes_a_video(programs: RpicamPrograms, rpicam: RpicamCamera, into: Path) -> None:
    take(rpicam, into, order("mp4", duration_ms=1_000))
    width, height, times = video(into)
    assert (width, height) == SIZE
    assert times == pytest.approx([number / 20 for number in range(20)], abs=0.001)
    assert programs.asked() == [
        [
            "rpicam-vid", "-t", "1000", "--width", "320", "--height", "240", "--framerate", "20",
            "--inline", "-o", f"{into.name}.h264", "-n",
        ]
    ]  # fmt: skip
    assert list(into.parent.iterdir()) == [into]


def test_a_video_has_the_rate_asked_for_whatever_its_stream_claims(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    """Coders of newer Pis write a rate into the stream that is none of the camera's."""
    programs.behave(claims_fps=5)
    take(rpicam, into, order("mp4", duration_ms=1_000))
    assert video(into)[2] == pytest.approx([number / 20 for number in range(20)], abs=0.001)


def test_it_takes_a_video_without_a_container(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    take(rpicam, into, order("h264", duration_ms=1))
    assert programs.asked()[0][1:3] == ["-t", "1000"]  # a second at least
    assert pictures_of_h264(into) == (*SIZE, 20)


def test_the_program_inherits_the_cameras_lock_and_is_named_in_it(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path, tmp_path: Path
) -> None:
    path = tmp_path / "camera.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    seen: list[bool] = []

    def is_wanted() -> bool:
        for pid in programs.pids():
            links = open_files(pid)
            is_named = f"{pid} " in path.read_text()
            seen.append(path in links and is_named)
        return True

    take(rpicam, into, order("jpg", duration_ms=600), lock_fd=descriptor, is_wanted=is_wanted)
    assert any(seen)
    assert [line.split()[0] for line in path.read_text().splitlines()] == [str(os.getpid())]
    os.close(descriptor)


def test_the_program_sees_little_of_the_environment(
    programs: RpicamPrograms,
    rpicam: RpicamCamera,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NVR_SECRET_KEY", "a secret of the recorder")
    seen: list[bytes] = []

    def is_wanted() -> bool:
        with contextlib.suppress(OSError):  # it may end between two looks
            seen.extend(Path(f"/proc/{pid}/environ").read_bytes() for pid in programs.pids())
        return True

    take(rpicam, into, order("jpg", duration_ms=600), is_wanted=is_wanted)
    assert any(b"PATH=" in each for each in seen)
    assert not any(b"secret of the recorder" in each for each in seen)


# --- what can go wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpg", "mp4"])
def test_a_program_that_hangs_is_ended_after_its_time(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path, kind: str
) -> None:
    programs.behave(hangs=True)
    error = failure(rpicam, into, order(kind, timeout_ms=600))
    assert error.code == "timeout"
    what = "still" if kind == "jpg" else "vid"
    assert error.contract == f"Command timed out after 600ms: rpicam-{what}"
    assert "did not finish within 0.6 s" in str(error)
    assert all_gone(programs.pids())


def test_a_program_that_ignores_sigterm_is_killed_with_its_children(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    programs.behave(hangs=True, ignores_sigterm=True, leaves_child=True)
    began = time.monotonic()
    assert failure(rpicam, into, order("jpg", timeout_ms=600)).code == "timeout"
    took_s = time.monotonic() - began
    assert 2.1 <= took_s < 4.0  # 0.6 s, then 1.5 s to say goodbye
    assert len(programs.pids()) == 2
    assert all_gone(programs.pids())


def test_what_a_program_leaves_behind_is_ended_after_a_good_end_too(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    programs.behave(leaves_child=True)
    take(rpicam, into, order("jpg"))
    assert len(programs.pids()) == 2
    assert all_gone(programs.pids())


def test_a_capture_that_is_not_wanted_any_more_ends(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    is_wanted = Cancelled(programs.pids)
    error = failure(
        rpicam, into, order("mp4", duration_ms=60_000, timeout_ms=64_000), is_wanted=is_wanted
    )
    assert error.code == "cancelled"
    assert time.monotonic() - is_wanted.at_s < 0.5
    assert all_gone(programs.pids())


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        ("no camera", ("no_camera", "Check the ribbon cable")),
        ("busy", ("busy", "Another program uses the camera")),
        ("permission", ("permission", "Add its user to the group video")),
        ("odd", ("failed", "ERROR: *** failed to start camera ***")),
    ],
)
def test_what_a_program_says_becomes_words(
    programs: RpicamPrograms,
    rpicam: RpicamCamera,
    into: Path,
    fails: str,
    expected: tuple[str, str],
) -> None:
    code, sentence = expected
    programs.behave(fails=fails)
    error = failure(rpicam, into, order("jpg"))
    assert error.code == code
    assert sentence in str(error)
    assert error.contract == "Command failed (rpicam-still) with exit 255"
    assert "ERROR: ***" in error.detail
    assert str(into.parent) not in str(error) + error.contract


def test_any_other_exit_is_a_failure(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    programs.behave(status=3)
    error = failure(rpicam, into, order("jpg"))
    assert (error.code, error.contract) == ("failed", "Command failed (rpicam-still) with exit 3")
    assert not list(into.parent.iterdir())


@pytest.mark.parametrize(
    ("kind", "writes"),
    [("jpg", "empty"), ("jpg", "half"), ("dng", "nothing"), ("h264", "half")],
)
def test_an_exit_without_an_error_is_not_believed(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path, kind: str, writes: str
) -> None:
    programs.behave(writes=writes)
    error = failure(rpicam, into, order(kind))
    assert error.code == "failed"
    assert "ended without an error, but wrote" in str(error)
    assert not into.exists()


@pytest.mark.parametrize("kind", ["jpg", "mp4"])
def test_a_camera_that_is_pulled_out_ends_the_capture_at_once(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path, kind: str
) -> None:
    """rpicam-apps would try again for ever."""
    programs.behave(unplugged_after_s=0.3)
    began = time.monotonic()
    error = failure(rpicam, into, order(kind, duration_ms=60_000, timeout_ms=64_000))
    assert error.code == "unplugged"
    assert time.monotonic() - began < 5.0
    assert all_gone(programs.pids())


def test_a_missing_program_is_named(
    rpicam: RpicamCamera, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failure(rpicam, into, order("mp4"))
    assert error.code == "missing_program"
    assert str(error) == "The program rpicam-vid is not installed on this machine."


@pytest.mark.parametrize("kind", ["jpg", "mp4"])
def test_a_full_disk_is_called_one(
    programs: RpicamPrograms, rpicam: RpicamCamera, small_disk: Path, kind: str
) -> None:
    """The programs themselves only say that they could not write."""
    big = order(kind, width=1920, height=1080, fps=30)
    error = failure(rpicam, small_disk / ".part", big)
    assert (error.code, str(error)) == ("disk_full", "The disk is full: nothing was kept.")


def test_a_second_step_that_fails_is_a_failure(
    programs: RpicamPrograms, rpicam: RpicamCamera, into: Path
) -> None:
    programs.behave(writes="zeros")  # which FFmpeg cannot read
    error = failure(rpicam, into, order("mp4"))
    assert error.code == "failed"
    assert error.contract.startswith("Command failed (ffmpeg")
    assert not into.with_name(f"{into.name}.h264").exists()


def test_two_captures_do_not_disturb_each_other(
    programs: RpicamPrograms, rpicam: RpicamCamera, place: Path
) -> None:
    """Of two cameras, that is: one camera has one capture at a time by its lock."""
    paths = [place / ".one.part", place / ".two.part"]
    at_once([lambda path=path: take(rpicam, path, order("jpg")) for path in paths])  # type: ignore[misc]
    assert sorted(place.iterdir()) == paths


# --- looking --------------------------------------------------------------------------------------


def test_it_sees_a_camera(programs: RpicamPrograms, camera: RpicamCamera) -> None:
    programs.behave(cameras=["imx708_wide", "ov5647"])
    found = camera.look()
    assert list(found.cameras) == [("0", "imx708_wide 4608x2592"), ("1", "ov5647 4608x2592")]
    assert found.sentence == f"imx708_wide 4608x2592 by {camera.name}."
    assert [(check.name, check.is_ok) for check in found.checks if check.name != "permission"] == [
        ("program", True),
        ("camera", True),
    ]


def test_an_answer_that_names_no_camera_is_no_camera(
    programs: RpicamPrograms, rpicam: RpicamCamera
) -> None:
    programs.behave(cameras=[])
    found = rpicam.look()
    assert not found.is_there
    assert found.checks[-1].sentence == "No camera is connected to this Pi's camera port."
    assert "ribbon cable" in found.checks[-1].advice


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        ("permission", "The system does not let the recorder see the camera."),
        ("busy", "Another program uses the camera."),
        ("legacy", "This Pi is set to the old camera system, which is not supported."),
        ("no Pi", "The program that looks for cameras failed: ERROR: rpicam-apps currently only"),
    ],
)
def test_a_look_says_why_no_camera_is_seen(
    programs: RpicamPrograms, rpicam: RpicamCamera, fails: str, sentence: str
) -> None:
    programs.behave(fails=fails)
    check = rpicam.look().checks[-1]
    assert (check.name, check.is_ok) == ("camera", False)
    assert check.sentence.startswith(sentence)
    assert check.advice


def test_a_look_names_the_package_that_is_missing(
    rpicam: RpicamCamera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = rpicam.look().checks
    assert (check.name, check.is_ok) == ("program", False)
    assert check.advice == "On Raspberry Pi OS run: sudo apt install rpicam-apps."


def test_without_hello_the_still_program_is_asked(
    programs: RpicamPrograms, rpicam: RpicamCamera
) -> None:
    (programs.directory / "rpicam-hello").unlink()
    assert rpicam.look().is_there
    assert programs.asked() == [["rpicam-still", "--list-cameras"]]


def test_a_look_that_hangs_ends(
    programs: RpicamPrograms, rpicam: RpicamCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stills.cameras.rpicam.LIST_MS", 300)
    programs.behave(lists_after_s=1_000)
    found = rpicam.look()
    assert not found.is_there
    assert found.checks[-1].is_ok is None
    assert all_gone(programs.pids())


def test_a_look_says_what_may_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "DEVICES", tmp_path)
    assert checks.permission().is_ok is None
    (tmp_path / "media0").touch()
    assert checks.permission().is_ok is True
    monkeypatch.setattr("os.access", lambda *_: False)
    refused = checks.permission()
    assert (refused.is_ok, refused.sentence) == (
        False,
        f"The recorder may not open {tmp_path}/media0.",
    )
    assert "usermod -aG video" in refused.advice
