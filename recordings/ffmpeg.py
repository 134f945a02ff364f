"""Where the FFmpeg program is. No PyAV, no Pillow: the capture agent asks as well."""

from __future__ import annotations

import shutil

import imageio_ffmpeg
from django.conf import settings

from recordings.exceptions import EncoderMissingError


def find_ffmpeg() -> str:
    """NVR_FFMPEG, else PATH, else imageio-ffmpeg's. Raises EncoderMissingError."""
    wanted: str = settings.NVR_FFMPEG
    if wanted:
        if path := shutil.which(wanted):
            return path
        raise EncoderMissingError(f"NVR_FFMPEG is {wanted!r}, but there is no such program.")
    if path := shutil.which("ffmpeg"):
        return path
    try:
        bundled: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise EncoderMissingError("No FFmpeg was found: install it or set NVR_FFMPEG.") from error
    return bundled
