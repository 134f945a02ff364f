"""A small JPEG of every captured file, for the gallery."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

from PIL.JpegImagePlugin import JpegImageFile

from recordings.exceptions import EncodeError, RecordingError
from recordings.stills import JPEG_QUALITY, scaled
from stills import decoding
from stills.media import dng

logger = logging.getLogger(__name__)

WIDTH = 640
MAX_JPEG_BYTES = 64 * 1024**2


def make_preview(path: Path, kind: str, into: Path) -> bool:
    """Writes a JPEG at most WIDTH pixels wide; False, and no file, where there is nothing to see."""
    part = into.with_name(f".{into.name}.part")
    try:
        data = picture_of(path, kind)
        part.write_bytes(data)
        part.replace(into)
    except (OSError, RecordingError) as error:
        logger.warning("There is no preview of %s: %s", path.name, error)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def picture_of(path: Path, kind: str) -> bytes:
    """What the file shows first: one JPEG that decodes, at most WIDTH pixels wide.

    Raises EncodeError, EncoderMissingError and OSError.
    """
    if kind in decoding.DEMUXERS:
        return decoding.first_picture(path, kind, width=WIDTH)
    if kind == "dng":
        return _of_raw(path)
    if path.stat().st_size > MAX_JPEG_BYTES:
        raise EncodeError("The picture is too large.")
    return _smaller(path.read_bytes())


def _of_raw(path: Path) -> bytes:
    """A preview inside the file is what the camera's own program made of it."""
    embedded = dng.preview_of(path)
    if embedded is not None:
        with contextlib.suppress(EncodeError):
            return _smaller(embedded)
    picture = dng.render(path, max_width=WIDTH)
    if picture is None:
        raise EncodeError("Nothing in this raw picture can be shown.")
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()


def _smaller(data: bytes) -> bytes:
    small = scaled(data, WIDTH)
    if small is data:  # which was not decoded, so nobody knows yet whether it can be
        try:
            with JpegImageFile(io.BytesIO(data)) as image:
                image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise EncodeError(f"That is no JPEG that can be decoded: {error}") from error
    return small
