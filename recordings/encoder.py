"""To H.264 by one FFmpeg child a run: frames in on stdin, packets out on stdout.

What comes in is MJPEG from cameras that send it; clips also give pictures that are coded already,
where they cannot be copied.

The child reads one Matroska stream and answers in Matroska, because that keeps every time stamp
exact to the millisecond even where a picture cannot be decoded and drops out. One thread serves
both pipes; a child that neither takes nor gives anything for a while is killed, and one whose
worker died finds its pipes closed and ends by itself.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, NamedTuple

from PIL import Image

from recordings.exceptions import EncodeError
from recordings.ffmpeg import find_ffmpeg
from recordings.media import matroska
from recordings.media.livemkv import LiveBlock, LiveMatroska

logger = logging.getLogger(__name__)

STALL_SECONDS = 60.0
STDERR_BYTES = 2000
READ_BYTES = 1 << 18
NICENESS = 5  # taking frames in comes before encoding them

# ISO/IEC 14496-10 table A-1: level, macroblocks a second, macroblocks a frame. x264 would choose
# by the frame rate it guesses, and the init segment would differ from run to run.
_LEVELS = (
    ("3.0", 40_500, 1_620), ("3.1", 108_000, 3_600), ("4.0", 245_760, 8_192),
    ("5.0", 589_824, 22_080), ("5.2", 2_073_600, 36_864), ("6.2", 16_711_680, 139_264),
)  # fmt: skip
_LEVEL_FPS = 30

# JPEG is full-range BT.601; so is what we write. Cameras differ in chroma (ESP32: 4:2:2), the
# output must not.
_FILTER = "scale=in_range=pc:out_range=pc:flags=fast_bilinear,format={pixels}"
# A camera's own stream says itself which of each it has.
_FILTER_CODED = (
    "scale={width}:{height}:in_range=auto:out_range=pc:in_color_matrix=auto:out_color_matrix=bt601"
    ":flags=fast_bilinear,setsar=1,format={pixels}"
)
# Where chroma lies follows the input; what is put together of several must say the same.
_SAME_CHROMA = ("-bsf:v", "h264_metadata=chroma_sample_loc_type=1")


@dataclass(frozen=True, slots=True)
class Encoder:
    """An FFmpeg program and the H.264 encoder in it that is used."""

    program: str
    name: str
    preset: str
    crf: int

    @property
    def is_software(self) -> bool:
        return self.name == "libx264"


class Packet(NamedTuple):
    """One encoded picture with AVCC lengths; `time_ms` is its input frame's."""

    time_ms: int
    payload: bytes
    is_key: bool


class Encoded(NamedTuple):
    """`avcc`: AVCDecoderConfigurationRecord. Input frames without a packet were undecodable."""

    avcc: bytes
    packets: list[Packet]


def choose(kind: str, preset: str, crf: int) -> Encoder:
    """`kind`: RecordingPolicy.Encoder. Raises EncoderMissingError."""
    program = find_ffmpeg()
    name = hardware_encoder(program) if kind == "auto" else ""
    if not name or name in _distrusted:
        name = "libx264"
    return Encoder(program, name, preset, crf)


def distrust(encoder: Encoder) -> Encoder:
    """Software from now on in this process, after hardware failed with real video."""
    logger.warning("Hardware encoder %s failed: using software from now on", encoder.name)
    _distrusted.add(encoder.name)
    return replace(encoder, name="libx264")


_distrusted: set[str] = set()
HARDWARE = ("h264_nvenc", "h264_qsv", "h264_vaapi", "h264_v4l2m2m")


@functools.lru_cache(maxsize=4)
def hardware_encoder(program: str) -> str:
    """The first hardware encoder that encodes a real try right, or ""; asked once a process."""
    for name in HARDWARE:
        try:
            _try_out(Encoder(program, name, "superfast", 23))
        except EncodeError as error:
            logger.info("Hardware encoder %s does not work here: %s", name, error)
        else:
            logger.info("Hardware encoder %s works and is used", name)
            return name
    return ""


def _try_out(encoder: Encoder) -> None:
    """Ten frames and two keyframes through the real path. Raises EncodeError."""
    frames = []
    for number in range(10):
        picture = io.BytesIO()
        Image.new("RGB", (640, 480), (25 * number, 90, 160)).save(picture, "JPEG")
        frames.append((100 * number, picture.getvalue()))
    encoded = encode(encoder, matroska.Track("mjpeg", 640, 480), frames, [0, 500])
    keys = [packet.time_ms for packet in encoded.packets if packet.is_key]
    if len(encoded.packets) != len(frames) or not {0, 500} <= set(keys):
        raise EncodeError(f"{len(encoded.packets)} of {len(frames)} frames, keyframes at {keys}")


def encode(
    encoder: Encoder,
    track: matroska.Track,
    frames: Iterable[tuple[int, bytes]],
    key_times_ms: Sequence[int],
    *,
    stall_seconds: float = STALL_SECONDS,
    niceness: int = NICENESS,
    size: tuple[int, int] | None = None,
) -> Encoded:
    """`frames`: (ms, picture as `track` says), times from 0 in decode order, the first one a key
    picture (each whole JPEG is); the first frame at or after each of `key_times_ms` becomes a
    keyframe. `size`: of the output in pixels where it is not the track's; then, and only then, the
    input may be of a camera that encodes itself.

    Raises EncodeError; what the iterator raises ends the child and comes through.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                arguments(encoder, track, key_times_ms, size),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )
        except OSError as error:
            raise EncodeError(f"FFmpeg cannot be started: {error}") from error
        try:
            if niceness:
                # Not by preexec_fn, which is unsafe beside threads.
                os.setpriority(os.PRIO_PROCESS, child.pid, niceness)
            output = _pump(child, _stream(track, frames), stall_seconds)
            status = child.wait(stall_seconds)
        except subprocess.TimeoutExpired as error:
            raise EncodeError(f"FFmpeg stood still for {stall_seconds:.0f} s") from error
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if status != 0:
            raise EncodeError(f"FFmpeg ended with {status}: {_tail(errors)}")
        if not output:
            raise EncodeError(f"FFmpeg wrote nothing: {_tail(errors)}")
    return _read_output(output)


def arguments(
    encoder: Encoder,
    track: matroska.Track,
    key_times_ms: Sequence[int],
    size: tuple[int, int] | None = None,
) -> list[str]:
    keys = ",".join(f"{time_ms // 1000}.{time_ms % 1000:03}" for time_ms in key_times_ms)
    width, height = map(even, size or (track.width, track.height))
    device, pixels, options, upload = _codec_options(encoder, width, height)
    if size is not None:
        filters = _FILTER_CODED.format(width=width, height=height, pixels=pixels) + upload
    else:
        filters = _FILTER.format(pixels=pixels) + upload
        if (width, height) != (track.width, track.height):
            filters = f"crop={width}:{height}:0:0," + filters  # 4:2:0 has no odd sizes
    return [
        encoder.program, "-hide_banner", "-v", "error", "-nostats", *device,
        "-threads", "1", "-f", "matroska", "-i", "pipe:0",
        "-map", "0:v:0", "-map_metadata", "-1", "-an", "-vf", filters,
        "-c:v", encoder.name, *options, *(_SAME_CHROMA if size else ()),
        "-bf", "0", "-g", "600", "-fps_mode", "passthrough", "-enc_time_base", "1:1000",
        "-force_key_frames", keys, "-color_range", "pc", "-colorspace", "smpte170m",
        "-fflags", "+bitexact", "-flush_packets", "0", "-f", "matroska", "pipe:1",
    ]  # fmt: skip


def even(pixels: int) -> int:
    return pixels // 2 * 2


def _codec_options(
    encoder: Encoder, width: int, height: int
) -> tuple[list[str], str, list[str], str]:
    """(arguments before the input, pixel format, encoder's own arguments, filter behind)."""
    crf, level = str(encoder.crf), _level(width, height)
    match encoder.name:
        case "libx264":
            options = ["-preset", encoder.preset, "-crf", crf, "-level", level]
            # One thread: more cost 10-20 % CPU, and other cameras use the other cores.
            return [], "yuvj420p", [*options, "-sc_threshold", "0", "-threads", "1"], ""
        case "h264_nvenc":
            options = ["-preset", "p2", "-rc", "vbr", "-cq", crf, "-b:v", "0", "-forced-idr", "1"]
            return [], "yuvj420p", options, ""
        case "h264_qsv":
            return [], "nv12", ["-preset", "veryfast", "-global_quality", crf], ""
        case "h264_vaapi":
            device = ["-vaapi_device", "/dev/dri/renderD128"]
            return device, "nv12", ["-qp", crf], ",hwupload"
        case _:
            # v4l2m2m knows no constant quality: bits by picture size, about 2 Mbit/s for 800x600.
            return [], "yuv420p", ["-b:v", str(width * height * 4)], ""


def _level(width: int, height: int) -> str:
    blocks = -(-width // 16) * -(-height // 16)
    for level, per_second, per_frame in _LEVELS:
        if blocks <= per_frame and blocks * _LEVEL_FPS <= per_second:
            return level
    return _LEVELS[-1][0]


def _stream(track: matroska.Track, frames: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    yield matroska.head(track, 0)
    for time_ms, payload in frames:
        yield matroska.block_header(time_ms, len(payload)) + payload


def _pump(child: subprocess.Popen[bytes], chunks: Iterator[bytes], stall_seconds: float) -> bytes:
    """Feed stdin and gather stdout at once; either alone would dead-lock on a full pipe."""
    assert child.stdin is not None  # noqa: S101  both are pipes
    assert child.stdout is not None  # noqa: S101
    stdin, stdout = child.stdin.fileno(), child.stdout.fileno()
    os.set_blocking(stdin, False)
    gathered: list[bytes] = []
    waiting: memoryview | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(stall_seconds)
            if not ready:
                raise subprocess.TimeoutExpired(child.args, stall_seconds)
            for key, _ in ready:
                if key.fd == stdout:
                    if data := os.read(stdout, READ_BYTES):
                        gathered.append(data)
                    else:
                        selector.unregister(stdout)
                    continue
                waiting = waiting or memoryview(next(chunks, b""))
                try:
                    waiting = waiting[os.write(stdin, waiting) :] if waiting else None
                except BrokenPipeError:  # it gave up; its status and stderr say why
                    waiting = None
                if waiting is None:
                    selector.unregister(stdin)
                    child.stdin.close()
    return b"".join(gathered)


def _read_output(output: bytes) -> Encoded:
    reader, avcc, packets = LiveMatroska(), b"", []
    try:
        # In pieces: it keeps what it was given until the element is whole.
        for at in range(0, len(output), READ_BYTES):
            for found in reader.feed(output[at : at + READ_BYTES]):
                if isinstance(found, LiveBlock):
                    packets.append(Packet(found.time_us // 1000, found.payload, found.is_key))
                elif found:
                    avcc = found[0].private
    except ValueError as error:
        raise EncodeError(f"FFmpeg's output cannot be read: {error}") from error
    if not packets or not avcc.startswith(b"\x01"):
        raise EncodeError("FFmpeg's output holds no H.264 video")
    return Encoded(avcc, packets)


def _tail(errors: IO[bytes]) -> str:
    """The end of FFmpeg's stderr in one line; it was given no URL, so it can hold no password."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - STDERR_BYTES))
    lines = errors.read().decode(errors="replace").splitlines()
    return " / ".join(line.strip() for line in lines if line.strip())


def can_decode(payloads: Iterable[bytes]) -> bool:
    """True when any of these JPEGs gives a picture (slow: only asked when FFmpeg had none)."""
    # Here: FFmpeg's libraries take 16 MB of every process that has ever loaded them.
    import av  # noqa: PLC0415
    from av.video.codeccontext import VideoCodecContext  # noqa: PLC0415

    for payload in payloads:
        decoder = VideoCodecContext.create("mjpeg", "r")
        try:
            if decoder.decode(av.Packet(payload)):
                return True
        except av.FFmpegError:
            continue
    return False
