"""Parameter sets of H.264 and H.265, checked against what FFmpeg says of the same streams."""

from __future__ import annotations

import contextlib
import io
import random
import time
from fractions import Fraction
from functools import cache
from typing import NamedTuple, cast

import av
import pytest
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from recordings.media import nal
from tests.recordings.footage import aac, coded


class Stream(NamedTuple):
    """What FFmpeg's Matroska muxer made of a stream, and what it says of it."""

    codec: str
    config: bytes
    size: tuple[int, int]
    packets: list[bytes]


@cache
def encoded(
    encoder: str, size: tuple[int, int], pixels: str, options: tuple[tuple[str, str], ...] = ()
) -> Stream:
    quiet = (
        (("x265-params", "log-level=none:pools=none"), ("preset", "ultrafast"))
        if encoder == "libx265"
        else ()
    )
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as container:
        stream = container.add_stream(encoder, rate=25, options={**dict(quiet), **dict(options)})
        context = cast("VideoCodecContext", stream.codec_context)
        context.width, context.height, context.pix_fmt = (*size, pixels)
        context.flags |= Flags.global_header
        for number in range(4):
            frame = av.VideoFrame(*size, pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(context.encode(frame))
        container.mux(context.encode(None))
    data.seek(0)
    with av.open(data, "r") as container:
        video = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(video) if packet.size]
        shown = (video.codec_context.width, video.codec_context.height)
        config = video.codec_context.extradata or b""
        return Stream(video.codec_context.name, config, shown, packets)


X264 = [
    ((320, 240), "yuv420p", ()),
    ((1918, 1078), "yuv420p", ()),
    ((322, 182), "yuv420p", (("profile", "baseline"),)),
    ((322, 182), "yuv420p", (("profile", "main"),)),
    ((640, 358), "yuv422p", ()),
    ((641, 359), "yuv444p", ()),
    ((320, 240), "yuv422p10le", ()),
    ((320, 240), "gray", ()),
    ((320, 240), "yuv420p", (("x264-params", "cqm=jvt"),)),  # scaling lists
    ((320, 248), "yuv420p", (("x264-params", "interlaced=1"),)),
    ((320, 240), "yuv420p", (("level", "5.1"), ("x264-params", "ref=4"))),
]
X265 = [
    ((320, 240), "yuv420p", ()),
    ((1918, 1078), "yuv420p", ()),
    ((642, 358), "yuv420p10le", ()),
    ((322, 182), "yuv444p", ()),
    ((322, 182), "yuv422p", ()),
    ((320, 240), "yuv420p", (("x265-params", "log-level=none:high-tier=1:level-idc=5.1"),)),
    ((320, 240), "yuv420p", (("x265-params", "log-level=none:temporal-layers=3:bframes=3"),)),
]


@pytest.mark.parametrize(("size", "pixels", "options"), X264)
def test_avcc_is_what_ffmpeg_writes(
    size: tuple[int, int], pixels: str, options: tuple[tuple[str, str], ...]
) -> None:
    stream = encoded("libx264", size, pixels, options)
    made = nal.config_of("h264", nal.sets_of("h264", stream.config))
    assert made == stream.config
    assert nal.size_of("h264", made) == stream.size == size
    assert nal.codec_string("h264", made) == f"avc1.{stream.config[1:4].hex()}"


@pytest.mark.parametrize(("size", "pixels", "options"), X265)
def test_hvcc_says_what_ffmpeg_writes(
    size: tuple[int, int], pixels: str, options: tuple[tuple[str, str], ...]
) -> None:
    stream = encoded("libx265", size, pixels, options)
    made = nal.config_of("hevc", nal.sets_of("hevc", stream.config))
    assert made[:22] == stream.config[:22]
    assert made[22] == 3, "VPS, SPS, PPS; FFmpeg keeps the encoder's banner as well"
    assert nal.sets_of("hevc", made) == nal.sets_of("hevc", stream.config)
    assert nal.size_of("hevc", made) == stream.size == size


def test_codec_strings_are_those_of_the_standard() -> None:
    """ISO/IEC 14496-15 annex E gives hvc1.1.6.L93.B0 for this one: Main, level 3.1, B0."""
    general = bytes.fromhex("01 60000000 b00000000000 5d".replace(" ", ""))
    sps = coded("hevc", frames=2).track.config
    units = nal.sets_of("hevc", sps)
    assert nal.codec_string("hevc", sps).startswith("hvc1.1.6.L")
    escaped = general.replace(b"\0\0\0", b"\0\0\3\0")
    changed = [
        unit[:3] + escaped_general(escaped, unit) if unit[0] >> 1 == 33 else unit for unit in units
    ]
    assert nal.codec_string("hevc", nal.config_of("hevc", changed)) == "hvc1.1.6.L93.B0"
    assert nal.codec_string("h264", coded(frames=2).track.config) == "avc1.64000b"
    assert nal.audio_codec_string(aac(100)[0].config) == "mp4a.40.2"
    assert nal.audio_codec_string(b"\xf8\xe8\x50\x00") == "mp4a.40.39"  # an escaped type


def escaped_general(general: bytes, unit: bytes) -> bytes:
    """The rest of an SPS with another general profile, tier and level before it."""
    plain = unit.replace(b"\0\0\3", b"\0\0")
    return (general.replace(b"\0\0\3", b"\0\0") + plain[15:]).replace(b"\0\0\0", b"\0\0\3\0")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_decoder_takes_start_codes_with_nothing_else(codec: str) -> None:
    footage = coded(codec, frames=50, b_frames=2)
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    frames = []
    for block in footage.pictures:
        data = nal.to_annexb(codec, footage.track.config, block.payload)
        assert nal.from_annexb(data)[-len(block.payload) :] == block.payload
        frames += decoder.decode(av.Packet(data))
    frames += decoder.decode(None)
    assert len(frames) == 50
    assert (frames[0].width, frames[0].height) == footage.track[1:3]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parameter_sets_in_the_stream_are_found(codec: str) -> None:
    footage = coded(codec, frames=5)
    picture = footage.pictures[0].payload
    sets = nal.sets_of(codec, footage.track.config)
    in_band = nal.from_annexb(nal.to_annexb(codec, footage.track.config, picture))
    assert nal.parameter_sets(codec, in_band) == sets
    assert nal.parameter_sets(codec, in_band + in_band) == sets
    assert nal.parameter_sets(codec, picture) == []
    assert nal.config_of(codec, nal.parameter_sets(codec, in_band)) == footage.track.config


def test_start_codes_of_three_and_four_bytes_and_zeros_between_them_part_units() -> None:
    data = b"\0\0\1\x67sps\0\0\0\1\x68pps\0\0\0\0\0\1\x65picture"
    assert list(nal.units(nal.from_annexb(data))) == [b"\x67sps", b"\x68pps", b"\x65picture"]


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"no code", b"\0\0\1", b"\0\0\1\0\0\1"])
def test_what_has_no_unit_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="start code"):
        nal.from_annexb(data)


@pytest.mark.parametrize(
    "packet",
    [b"\0\0\0", b"\0\0\0\0", b"\0\0\0\5\x65ab", b"\xff\xff\xff\xff\x65", b"\0\0\0\1\x65\0"],
)
def test_lengths_that_do_not_add_up_are_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match="add up"):
        list(nal.units(packet))


def test_a_missing_or_endless_parameter_set_is_refused() -> None:
    sps, pps = nal.sets_of("h264", coded(frames=2).track.config)
    for sets in ([sps], [pps], [], [sps, pps, b"\x65"], [sps + bytes(5000), pps], [sps, pps, b""]):
        with pytest.raises(ValueError, match="parameter set"):
            nal.config_of("h264", sets)
    with pytest.raises(ValueError, match="parameter sets"):
        nal.config_of("h264", [sps, *(pps + bytes((n,)) for n in range(40))])
    with pytest.raises(ValueError, match="SPS"):
        nal.size_of("h264", b"\x01\x64\x00\x1f\xff\xe0\x00")


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_nonsense_is_a_value_error_in_bounded_time(codec: str) -> None:
    chance = random.Random(3)
    config = coded(codec, frames=2).track.config
    calls = {
        "size": lambda data: nal.size_of(codec, data),
        "string": lambda data: nal.codec_string(codec, data),
        "sets": lambda data: nal.config_of(codec, nal.sets_of(codec, data)),
        "found": lambda data: nal.parameter_sets(codec, data),
        "framed": lambda data: nal.to_annexb(codec, data, data),
        "sound": nal.audio_codec_string,
    }
    slowest = 0.0
    for _ in range(1_500):
        data = bytearray(config)
        match chance.randrange(3):
            case 0:
                data = data[: chance.randrange(len(data))]
            case 1:
                for _ in range(chance.randint(1, 8)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
            case _:
                data = bytearray(chance.randbytes(chance.randrange(300)))
                data[:1] = b"\1"
        for call in calls.values():
            began = time.thread_time()
            with contextlib.suppress(ValueError):
                call(bytes(data))
            slowest = max(slowest, time.thread_time() - began)
    assert slowest < 0.1


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_large_nonsense_takes_no_longer_than_its_length(codec: str) -> None:
    for data in (bytes(4_000_000), b"\0\0\1" * 1_000_000, b"\0\0\0\1\x67" * 800_000):
        began = time.thread_time()
        for call in (nal.from_annexb, lambda data: nal.parameter_sets(codec, data)):
            with contextlib.suppress(ValueError):
                call(data)
        assert time.thread_time() - began < 5
