"""Both FFmpegs that users have: the machine's own (Debian's), and the one that is installed with Roost."""

from __future__ import annotations

import shutil

import imageio_ffmpeg
import pytest

BUNDLED: str = imageio_ffmpeg.get_ffmpeg_exe()
needs_own = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="this machine has no FFmpeg of its own"
)
needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe here")
# For pytest.mark.parametrize: the program's path.
BOTH = (pytest.param("ffmpeg", id="own", marks=needs_own), pytest.param(BUNDLED, id="bundled"))
