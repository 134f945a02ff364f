"""The fakes of rpicam-* refuse what the real programs refuse, or they would prove nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recordings.ffmpeg import find_ffmpeg
from tests.instruments.rpicam_programs import RpicamPrograms


@pytest.fixture
def programs(tmp_path: Path) -> RpicamPrograms:
    return RpicamPrograms(tmp_path, ffmpeg=find_ffmpeg())


def run(programs: RpicamPrograms, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs.directory / name), *arguments]
    return subprocess.run(
        command, cwd=programs.directory, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("rpicam-still", ["--frobnicate"], "unrecognised option '--frobnicate'"),
        ("rpicam-still", ["--inline"], "unrecognised option '--inline'"),
        ("rpicam-vid", ["--raw"], "unrecognised option '--raw'"),
        ("libcamera-still", ["-o"], "the required argument for option '--output' is missing"),
        (
            "rpicam-vid",
            ["--width", "wide"],
            "the argument ('wide') for option '--width' is invalid",
        ),
        ("rpicam-still", ["picture.jpg"], "too many positional options"),
        ("rpicam-still", ["-n", "-n"], "option '--nopreview' cannot be specified more than once"),
        ("rpicam-still", ["--width", "321", "-t", "1", "-o", "a.jpg"], "must be even"),
        ("rpicam-vid", ["-t", "100", "-o", "a.part"], "cannot allocate output context"),
    ],
)
def test_what_the_real_ones_refuse_is_refused(
    programs: RpicamPrograms, name: str, arguments: list[str], words: str
) -> None:
    done = run(programs, name, *arguments)
    assert done.returncode == 255
    assert words in done.stderr
    assert done.stderr.strip().startswith("ERROR: *** ")


def test_a_name_is_cut_off_and_read_as_a_format(programs: RpicamPrograms) -> None:
    run(programs, "rpicam-still", "-t", "1", "-o", "a%04d.jpg")
    assert (programs.directory / "a0000.jpg").exists()
    run(programs, "rpicam-still", "-t", "1", "-o", "b" * 140 + ".jpg")
    assert (programs.directory / ("b" * 127)).exists()


def test_a_raw_picture_lies_beside_the_other(programs: RpicamPrograms) -> None:
    done = run(programs, "rpicam-still", "--raw", "-t", "1", "-o", "a.b.jpg", "-n")
    assert done.returncode == 0
    assert (programs.directory / "a.b.dng").read_bytes()[:4] == b"II*\0"
    assert (programs.directory / "a.b.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
