"""A picture of a stream as a JPEG, and nothing worse than an error for what is none."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from PIL import Image

from capture.media import counting
from recordings import stills
from recordings.exceptions import EncodeError
from recordings.media.matroska import Track
from recordings.stills import jpeg_of
from tests.recordings.footage import coded, jpeg

START = 1_790_000_400_000
PROGRAMS = ["ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.load()
    return image


def no_children_are_left() -> bool:
    """None of this process, not even a zombie."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("program", PROGRAMS, ids=["own", "bundled"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_key_picture_becomes_a_jpeg_of_the_same_picture(
    codec: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which(program):
        pytest.skip("this machine has no FFmpeg of its own")
    monkeypatch.setattr(stills, "find_ffmpeg", lambda: program)
    footage = coded(codec, frames=60, gop=25, b_frames=2, size=(322, 182), counter=700)
    keys = [block for block in footage.pictures if block.is_key]
    for number, block in enumerate(keys):
        image = opened(jpeg_of(footage.track, block.payload))
        assert image.size == (322, 182)
        stamp = counting.read_image(image)
        assert stamp is not None
        assert stamp.counter == 700 + 25 * number
    assert len(keys) == 3


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_it_is_made_smaller_but_never_larger(codec: str) -> None:
    footage = coded(codec, frames=2, size=(322, 182))
    payload = footage.pictures[0].payload
    assert opened(jpeg_of(footage.track, payload, width=100)).size == (100, 56)
    assert opened(jpeg_of(footage.track, payload, width=4_000)).size == (322, 182)


def test_a_jpeg_is_scaled_without_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    picture = jpeg(5, START, size=(640, 480))
    track = Track("mjpeg", 640, 480)
    assert jpeg_of(track, picture) == picture
    assert jpeg_of(track, picture, width=640) == picture
    assert opened(jpeg_of(track, picture, width=160)).size == (160, 120)


def test_grey_and_odd_jpegs_are_scaled_too() -> None:
    data = io.BytesIO()
    Image.new("L", (641, 1), 90).save(data, "JPEG")
    assert opened(jpeg_of(Track("mjpeg", 641, 1), data.getvalue(), width=64)).size == (64, 1)


def bomb() -> bytes:
    """A JPEG whose header claims 65,500 x 65,500 pixels."""
    picture = bytearray(jpeg(1, START))
    at = picture.index(b"\xff\xc0")
    picture[at + 5 : at + 9] = (65_500).to_bytes(2, "big") * 2
    return bytes(picture)


@pytest.mark.parametrize("width", [0, 100])
def test_a_header_that_claims_too_much_is_refused_before_it_is_decoded(width: int) -> None:
    began = time.process_time()
    with pytest.raises(EncodeError, match="too large"):
        jpeg_of(Track("mjpeg", 160, 120), bomb(), width=width)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "picture", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"no picture", jpeg(1, START)[:200]]
)
def test_what_is_no_jpeg_is_an_error(picture: bytes) -> None:
    with pytest.raises(EncodeError, match=r"no JPEG|too large"):
        jpeg_of(Track("mjpeg", 160, 120), picture, width=100)


def test_a_stream_that_claims_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    footage = coded(frames=2, size=(322, 182))
    payload = footage.pictures[0].payload
    monkeypatch.setattr(stills, "MAX_PIXELS", 322 * 182 - 1)
    with pytest.raises(EncodeError, match="too large"):
        jpeg_of(footage.track, payload)
    # The parameters in its head say less than the picture: FFmpeg itself refuses.
    small = coded(frames=2).track
    in_band = nal_with_parameters(footage.track, payload)
    with pytest.raises(EncodeError, match="cannot be decoded"):
        jpeg_of(small, in_band)


def nal_with_parameters(track: Track, payload: bytes) -> bytes:
    from recordings.media import nal

    return nal.from_annexb(nal.to_annexb(track.codec, track.config, payload))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_what_cannot_be_decoded_is_an_error_and_leaves_no_child(codec: str) -> None:
    track = coded(codec, frames=2).track
    for packet in (b"\0\0\0\4\x65abc", bytes(100), os.urandom(1000)):
        with pytest.raises(EncodeError, match="cannot be decoded"):
            jpeg_of(track, packet)
    for damaged in (track._replace(config=b""), track._replace(config=b"\1\2\3")):
        with pytest.raises(EncodeError, match="parameters"):
            jpeg_of(damaged, b"\0\0\0\4\x65abc")
    assert no_children_are_left()


def test_a_child_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "ffmpeg"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(stills, "find_ffmpeg", lambda: str(hanging))
    footage = coded(frames=2)
    began = time.monotonic()
    with pytest.raises(EncodeError, match="within"):
        jpeg_of(footage.track, footage.pictures[0].payload, timeout_seconds=0.2)
    assert time.monotonic() - began < 5
    assert no_children_are_left()


def test_a_program_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills, "find_ffmpeg", lambda: "/nonexistent/ffmpeg")
    footage = coded(frames=2)
    with pytest.raises(EncodeError, match="cannot be started"):
        jpeg_of(footage.track, footage.pictures[0].payload)
