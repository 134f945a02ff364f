"""The reader of live Matroska: whatever FFmpeg may write, in whatever pieces it comes."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator

import pytest

from recordings.media.livemkv import (
    MAX_BLOCK_BYTES,
    Found,
    LiveBlock,
    LiveMatroska,
    LiveTrack,
)
from tests.capture.agent import matroska as made
from tests.instruments import ffmpegs


def read(data: bytes, *, step: int = 1 << 20) -> list[Found]:
    reader = LiveMatroska()
    return [
        found for at in range(0, len(data), step) for found in reader.feed(data[at : at + step])
    ]


def blocks(data: bytes, *, step: int = 1 << 20) -> list[LiveBlock]:
    return [found for found in read(data, step=step) if isinstance(found, LiveBlock)]


def some_stream() -> bytes:
    return (
        made.head(made.video(), made.sound())
        + made.cluster(0, made.simple(b"key"), made.simple(b"tone", track=2, relative=7))
        + made.cluster(1000, made.group(b"next", relative=-40, is_key=False), is_unknown=True)
        + made.element(0xEC, b"\0" * 300)  # Void
        + made.cluster(2000, made.group(b"key again"))
    )


EXPECTED = [
    LiveBlock(1, 0, b"key", True),
    LiveBlock(2, 7_000, b"tone", True),
    LiveBlock(1, 960_000, b"next", False),
    LiveBlock(1, 2_000_000, b"key again", True),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 100_000])
def test_it_reads_the_same_in_whatever_pieces_it_comes(step: int) -> None:
    assert blocks(some_stream(), step=step) == EXPECTED


def test_a_packet_is_there_with_its_last_byte() -> None:
    reader = LiveMatroska()
    stream = made.head(made.video()) + made.cluster(0, made.simple(b"picture"))
    assert len(reader.feed(stream[:-1])) == 1  # the tracks
    assert reader.feed(stream[-1:]) == [LiveBlock(1, 0, b"picture", True)]


def test_it_says_what_the_tracks_are() -> None:
    tracks = read(made.head(made.video(), made.sound()))[0]
    assert tracks == [
        LiveTrack(1, "V_MPEG4/ISO/AVC", b"avcC", width=640, height=480),
        LiveTrack(2, "A_AAC", b"\x11\x90", is_audio=True, rate_hz=48_000, channels=2),
    ]


def test_subtitles_are_left_out() -> None:
    subtitle = made.element(0xAE, made.number(0xD7, 3) + made.number(0x83, 17))
    tracks = read(made.head(made.video(), subtitle))[0]
    assert isinstance(tracks, list)
    assert [track.number for track in tracks] == [1]


def test_sizes_may_be_longer_than_they_need_to_be() -> None:
    inside = made.number(0xE7, 5) + made.element(0xA3, made.block(b"picture"), width=8)
    stream = made.head(made.video()) + made.CLUSTER + made.size(len(inside), 8) + inside
    assert blocks(stream) == [LiveBlock(1, 5_000, b"picture", True)]


def test_a_segment_of_known_size_is_entered_all_the_same() -> None:
    stream = made.head(made.video(), segment=made.size(123_456, 8))
    assert blocks(stream + made.cluster(1, made.simple(b"picture")))


def test_the_time_scale_is_respected() -> None:
    stream = made.head(made.video(), scale_ns=20_000) + made.cluster(50, made.simple(b"picture"))
    assert blocks(stream)[0].time_us == 1_000


def test_what_an_encoder_put_before_the_sound_is_taken_off() -> None:
    stream = made.head(made.video(), made.sound(delay_ns=21_333_333))
    assert blocks(stream + made.cluster(30, made.simple(b"tone", track=2)))[0].time_us == 8_667


@pytest.mark.parametrize(
    "stream",
    [
        b"RIFF....AVI LIST",
        b"\0" * 64,
        made.EBML + made.SEGMENT + made.UNKNOWN + b"\0\0\0\0",
        made.head(made.video()) + made.CLUSTER + made.UNKNOWN + b"\xa3\xff",  # no size
        made.head(made.video()) + made.cluster(0, made.element(0xA3, b"\x81\0")),  # too short
        made.head(made.video()) + made.cluster(0, made.element(0xA3, made.block(b"x", flags=0x82))),
        made.head(made.video()) + b"\xa3" + made.size(MAX_BLOCK_BYTES + 1, 8),
        made.head(made.video()) + b"\xe7" + made.size(9) + b"\0" * 9,
        made.head(made.video() + made.element(0xAE, b"\x83\x88\x01")),  # longer than its parent
        made.head(made.sound(extra=made.element(0x6D80, b""))),  # compressed
        made.head(*[made.video(n) for n in range(1, 19)]),
        made.head(made.video(), scale_ns=0),
    ],
)
def test_nonsense_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r"[a-z]{4,}"):
        read(stream)


def test_what_nobody_reads_is_skipped_without_being_kept() -> None:
    reader = LiveMatroska()
    reader.feed(made.head(made.video()) + b"\xec" + made.size(1 << 40, 8))
    for _ in range(200):
        assert reader.feed(b"\xa3" * 100_000) == []
    assert len(reader._buffer) == 0


def mutations(seed: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    stream = some_stream()
    for _ in range(400):
        damaged = bytearray(stream)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(damaged))
            match dice.randint(0, 3):
                case 0:
                    damaged[at] = dice.randrange(256)
                case 1:
                    del damaged[at : at + dice.randint(1, 9)]
                case 2:
                    damaged[at:at] = dice.randbytes(dice.randint(1, 9))
                case _:
                    damaged[at] ^= 1 << dice.randrange(8)
        yield bytes(damaged)


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_a_value_error_or_nothing(seed: int) -> None:
    """Neither another exception nor memory without bound, and the loop comes to an end."""
    refused = 0
    for stream in mutations(seed):
        reader = LiveMatroska()
        try:
            for at in range(0, len(stream), 31):
                reader.feed(stream[at : at + 31])
        except ValueError:
            refused += 1
        assert len(reader._buffer) <= len(stream)
    assert 0 < refused < 400


@ffmpegs.needs_ffprobe
@pytest.mark.parametrize("program", ffmpegs.BOTH)
def test_it_reads_what_ffmpeg_writes(program: str) -> None:
    """Against ffprobe's own account of the same bytes, B-pictures and sound included."""
    written = subprocess.run(
        [
            program, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=3",
            "-f", "lavfi", "-i", "sine=r=48000:d=3", "-c:v", "libx264", "-bf", "2", "-g", "10",
            "-c:a", "aac", "-f", "matroska", "-cluster_time_limit", "0", "-live", "1", "-",
        ],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    asked = "packet=stream_index,pts_time,size,flags"
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", asked, "-of", "csv=p=0", "-"],
        input=written, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    expected = []
    for line in told.split():
        stream, time_s, size, flags = line.split(",")[:4]
        expected.append((int(stream) + 1, round(float(time_s) * 1000), int(size), "K" in flags))
    found = [
        (each.track, round(each.time_us / 1000), len(each.payload), each.is_key)
        for each in blocks(written, step=4096)
    ]
    assert len(found) > 150
    assert found == expected
