"""Counted pictures as JPEG, H.264, H.265 (with AAC), and spool segments made of them, for tests of
what becomes of every frame.
"""

from __future__ import annotations

import functools
import io
import math
from array import array
from collections.abc import Sequence
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, cast

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from PIL import Image

from capture.media import counting
from recordings.media import nal
from recordings.media.matroska import Audio, Block, Origin, Track
from recordings.segments import SegmentFile, SegmentWriter, list_segments

SIZE = (160, 120)


def jpeg(counter: int, wall_ms: int, *, size: tuple[int, int] = SIZE, chroma: int = 1) -> bytes:
    """`chroma` is Pillow's: 0 4:4:4, 1 4:2:2 (what an ESP32 sends), 2 4:2:0."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    counting.paint(image, counting.Stamp(counter, 1, wall_ms))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80, subsampling=chroma)
    return data.getvalue()


def every(step_ms: int, frames: int, *, start_ms: int) -> list[int]:
    return [start_ms + step_ms * number for number in range(frames)]


def write_segment(
    directory: Path,
    walls: Sequence[int],
    *,
    counter: int = 0,
    size: tuple[int, int] = SIZE,
    chroma: int = 1,
    broken: Sequence[int] = (),
) -> SegmentFile:
    """A closed segment with frames at `walls` (epoch ms) and counters from `counter` on.

    Frames whose number is in `broken` are no pictures.
    """
    writer = SegmentWriter(directory, walls[0], Track("mjpeg", *size))
    assert writer.start_ms == walls[0], "the name was taken"
    pictures = [
        b"\xff\xd8 not a picture \xff\xd9"
        if number in broken
        else jpeg(counter + number, wall_ms, size=size, chroma=chroma)
        for number, wall_ms in enumerate(walls)
    ]
    writer.append(
        [(wall_ms - walls[0], data) for wall_ms, data in zip(walls, pictures, strict=True)]
    )
    path = writer.finish()
    return next(segment for segment in list_segments(directory) if segment.path == path)


class Coded(NamedTuple):
    """Footage as a camera that encodes sends it: decode order, presentation times in ms from the
    first picture's; sound stands where a muxer would put it and may begin below 0.
    """

    track: Track
    blocks: list[Block]

    @property
    def pictures(self) -> list[Block]:
        return [block for block in self.blocks if not block.is_audio]


@functools.cache
def coded(
    codec: str = "h264",
    *,
    frames: int = 50,
    fps: int = 25,
    gop: int = 25,
    b_frames: int = 0,
    size: tuple[int, int] = SIZE,
    has_sound: bool = False,
    counter: int = 0,
    options: tuple[tuple[str, str], ...] = (),
) -> Coded:
    """Counted pictures, really encoded by x264 or x265, with a tone in AAC where asked for.

    Kept for the whole test run: do not change what it gives.
    """
    encoder = cast(
        "VideoCodecContext",
        av.CodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w"),
    )
    encoder.width, encoder.height, encoder.pix_fmt = (*size, "yuv420p")
    encoder.time_base = Fraction(1, 1000)
    encoder.framerate = Fraction(fps)
    encoder.flags |= Flags.global_header
    if codec == "h264":
        encoder.options = {
            "preset": "veryfast", "g": str(gop), "bf": str(b_frames), "sc_threshold": "0",
            "crf": "30", "threads": "1", **dict(options),
        }  # fmt: skip
    else:
        encoder.options = {
            "preset": "ultrafast", "crf": "30", "x265-params": f"keyint={gop}:min-keyint={gop}:"
            f"scenecut=0:bframes={b_frames}:b-adapt=0:open-gop=0:pools=none:frame-threads=1:log-level=none",
            **dict(options),
        }  # fmt: skip
    packets = []
    for number in range(frames):
        image = Image.linear_gradient("L").resize(size).convert("RGB")
        counting.paint(image, counting.Stamp(counter + number, 1, 1000 * number // fps))
        picture = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
        picture.pts, picture.time_base = 1000 * number // fps, Fraction(1, 1000)
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    sets = nal.parameter_sets(codec, nal.from_annexb(encoder.extradata or b""))
    config = nal.config_of(codec, sets)
    blocks = [
        (
            packet.dts or 0,
            Block(packet.pts or 0, nal.from_annexb(bytes(packet)), packet.is_keyframe),
        )
        for packet in packets
    ]
    audio = None
    if has_sound:
        audio, sound = aac(1000 * frames // fps)
        blocks = sorted([*blocks, *((block.time_ms, block) for block in sound)], key=itemgetter(0))
    return Coded(Track(codec, *size, config, audio), [block for _, block in blocks])


@functools.cache
def aac(length_ms: int, *, rate_hz: int = 48_000) -> tuple[Audio, list[Block]]:
    """A tone of 440 Hz, mono; the encoder's priming begins below 0."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate_hz, "mono", "fltp"
    encoder.time_base = Fraction(1, rate_hz)
    encoder.flags |= Flags.global_header
    packets = []
    for first in range(0, length_ms * rate_hz // 1000, 1024):
        wave = [
            0.3 * math.sin(2 * math.pi * 440 * at / rate_hz) for at in range(first, first + 1024)
        ]
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(array("f", wave).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, first, Fraction(1, rate_hz)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    blocks = [
        Block(round(1000 * (packet.pts or 0) / rate_hz), bytes(packet), True, True)
        for packet in packets
    ]
    return Audio("aac", rate_hz, 1, encoder.extradata or b""), blocks


def write_coded(
    directory: Path, footage: Coded, start_ms: int, *, run: int = 0, first_us: int = 0
) -> SegmentFile:
    """All of it in one closed segment that begins at `start_ms` (epoch)."""
    origin = Origin(run, first_us) if run else None
    writer = SegmentWriter(directory, start_ms, footage.track, origin)
    assert writer.start_ms == start_ms, "the name was taken"
    writer.append_blocks(footage.blocks)
    path = writer.finish()
    return next(segment for segment in list_segments(directory) if segment.path == path)
