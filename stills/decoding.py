"""What a captured video shows, decoded by an FFmpeg child.

A child can be ended, and whatever a broken file does to a decoder does not happen to the worker.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from recordings.exceptions import EncodeError
from recordings.ffmpeg import find_ffmpeg

DEMUXERS = {"mp4": "mov", "h264": "h264"}
# Of one picture: a decoder may have to keep 17 of them. The largest that is taken is 4096x3072.
MAX_PIXELS = 16_000_000
PICTURE_S = 5.0
_NICENESS = 5  # as encoding: taking frames in comes first


def first_picture(path: Path, kind: str, *, width: int) -> bytes:
    """One JPEG, at most so many pixels wide. Raises EncodeError, EncoderMissingError."""
    scaled = f"scale=w=min(iw\\,{width}):h=-2:out_range=pc,format=yuvj420p"
    output = ["-frames:v", "1", "-vf", scaled, "-c:v", "mjpeg", "-q:v", "3", "-f", "image2pipe"]
    return _run(path, kind, (), output, PICTURE_S, may_be_cut=False)


def grey_pictures(
    path: Path,
    kind: str,
    *,
    size: tuple[int, int],
    every: int,
    most: int,
    seconds: float,
    has_keys_only: bool = False,
) -> list[Image.Image]:
    """Each `every`-th of those that are decoded, `most` at most, made so small: mode L.

    `has_keys_only`: nothing but pictures that need no other is decoded. What was not after `seconds`
    is missing at the end. Raises EncodeError where nothing was, EncoderMissingError.
    """
    width, height = size
    skipped = ("-skip_frame", "nokey") if has_keys_only else ()
    scaled = (
        f"select=not(mod(n\\,{every})),scale={width}:{height}:flags=area:out_range=pc,format=gray"
    )
    output = [
        "-frames:v", str(most), "-fps_mode", "passthrough", "-vf", scaled, "-f", "rawvideo",
    ]  # fmt: skip
    data = _run(path, kind, skipped, output, seconds, may_be_cut=True)
    each = width * height
    return [
        Image.frombytes("L", size, data[start : start + each])
        for start in range(0, len(data) - each + 1, each)
    ]


def _run(
    path: Path,
    kind: str,
    reading: Sequence[str],
    output: Sequence[str],
    seconds: float,
    *,
    may_be_cut: bool,
) -> bytes:
    argv = [
        find_ffmpeg(), "-hide_banner", "-v", "error", "-nostats", "-nostdin",
        # A file may name others, or addresses, that are to be read in its place.
        "-protocol_whitelist", "file", "-max_pixels", str(MAX_PIXELS), "-threads", "1", *reading,
        "-f", DEMUXERS[kind], "-i", f"file:{path}", "-map", "0:v:0", "-an", *output, "pipe:1",
    ]  # fmt: skip
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise EncodeError(f"FFmpeg cannot be started: {error}") from error
    with child:  # its end waits for the child: no zombie stays
        with contextlib.suppress(ProcessLookupError):  # it may have failed already
            os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
        try:
            data, complaint = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            child.kill()
            data, complaint = child.communicate()
            if not may_be_cut:
                raise EncodeError(f"No picture came out within {seconds:g} s.") from error
        finally:
            child.kill()
    if not data:
        said = complaint.decode(errors="replace").replace(f"file:{path}", "it").strip().splitlines()
        raise EncodeError(f"The video cannot be decoded: {said[-1] if said else 'no reason'}")
    return data
