"""How every driver's FFmpeg command line begins."""

from __future__ import annotations

from capture.drivers import words
from recordings.exceptions import EncoderMissingError
from recordings.ffmpeg import find_ffmpeg


def command() -> list[str]:
    """Raises SourceError where there is no FFmpeg."""
    try:
        program = find_ffmpeg()
    except EncoderMissingError as error:
        raise words.missing_program("FFmpeg", "ffmpeg") from error
    return [program, "-hide_banner", "-nostdin", "-nostats", "-v", "error", "-threads", "1"]
