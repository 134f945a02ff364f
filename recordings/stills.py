"""One picture as a JPEG: for thumbnails, snapshots and viewers that cannot play a codec.

A coded key picture goes through an FFmpeg child, which takes about a tenth of a second and can
be killed; a JPEG is scaled here. Both come from the network, so what a header claims is checked
before anything is decoded.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from recordings.exceptions import EncodeError
from recordings.ffmpeg import find_ffmpeg
from recordings.media import matroska, nal

TIMEOUT_SECONDS = 5.0
MAX_PIXELS = 40_000_000  # 8K and some; about 60 MB decoded
_NICENESS = 5  # as encoding: taking frames in comes first
JPEG_QUALITY = 85
_FFMPEG_QUALITY = "3"  # of 2 to 31, the lower the better


def jpeg_of(
    track: matroska.Track,
    packet: bytes,
    *,
    width: int = 0,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> bytes:
    """`packet`: one key picture of `track`. `width`: at most so many pixels wide; 0: as it is.

    Blocks for as long as it takes, so call it from a thread. Raises EncodeError, and
    EncoderMissingError where there is no FFmpeg.
    """
    if track.codec == "mjpeg":
        return scaled(packet, width)
    return _decoded(track, packet, width, timeout_seconds)


def scaled(picture: bytes, width: int) -> bytes:
    """A JPEG at most so many pixels wide; as it is, and not decoded, where it is no wider.

    Raises EncodeError.
    """
    try:
        # Not Image.open: that warns of large pictures, which is refused here before it decodes.
        with JpegImageFile(io.BytesIO(picture)) as image:
            if not 0 < image.width * image.height <= MAX_PIXELS:
                raise EncodeError(f"A picture of {image.width}x{image.height} is too large.")
            if not 0 < width < image.width:
                return picture
            size = (width, max(1, round(image.height * width / image.width)))
            image.draft("RGB", size)  # the decoder leaves out what is not wanted: 8 times faster
            small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError) as error:
        raise EncodeError(f"That is no JPEG that can be decoded: {error}") from error
    data = io.BytesIO()
    small.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()


def _decoded(track: matroska.Track, packet: bytes, width: int, timeout_seconds: float) -> bytes:
    try:
        size = nal.size_of(track.codec, track.config)
        head = matroska.head(track._replace(audio=None), 0)
    except (KeyError, ValueError) as error:
        raise EncodeError(f"The parameters of this stream cannot be read: {error}") from error
    if size[0] * size[1] > MAX_PIXELS:
        raise EncodeError(f"A picture of {size[0]}x{size[1]} is too large.")
    stream = head + matroska.block_header(0, len(packet)) + packet
    try:
        child = subprocess.Popen(
            _arguments(find_ffmpeg(), width),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise EncodeError(f"FFmpeg cannot be started: {error}") from error
    with child:  # its end waits for the child: no zombie stays
        with contextlib.suppress(ProcessLookupError):  # it may have failed already
            os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
        try:
            picture, complaint = child.communicate(stream, timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise EncodeError(f"No picture came out within {timeout_seconds:g} s.") from error
        finally:
            child.kill()
    if child.returncode or not picture:
        said = complaint.decode(errors="replace").strip().splitlines()
        raise EncodeError(f"The picture cannot be decoded: {said[-1] if said else 'no reason'}")
    return picture


def _arguments(program: str, width: int) -> list[str]:
    scale = f"scale=w=min(iw\\,{width}):h=-2" if width else "scale=w=iw:h=ih"
    return [
        program, "-hide_banner", "-v", "error", "-nostats",
        # What a picture really claims decides, not only what its head says.
        "-max_pixels", str(MAX_PIXELS), "-threads", "1", "-f", "matroska", "-i", "pipe:0",
        "-map", "0:v:0", "-frames:v", "1", "-vf", f"{scale}:out_range=pc,format=yuvj420p",
        "-c:v", "mjpeg", "-q:v", _FFMPEG_QUALITY, "-f", "image2pipe", "pipe:1",
    ]  # fmt: skip
