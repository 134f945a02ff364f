"""The segments' Matroska: read back whole, however it was torn."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import subprocess
from pathlib import Path

import pytest

from recordings.media import matroska
from recordings.media.matroska import Audio, Block, Extent, Head, Origin, Track
from tests.instruments import ffmpegs
from tests.recordings.footage import coded, write_coded

TRACK = Track("mjpeg", 800, 600)
PAYLOADS = [b"first picture", b"x", b"the third one, a little longer" * 10]


def segment() -> bytes:
    blocks = b"".join(
        matroska.block_header(100 * number, len(data)) + data
        for number, data in enumerate(PAYLOADS)
    )
    return matroska.head(TRACK, 1_790_000_400_123) + blocks


def read(data: bytes) -> list[Block]:
    file = io.BytesIO(data)
    assert matroska.read_head(file).track == TRACK
    return list(matroska.read_blocks(file))


def extent(data: bytes) -> Extent:
    file = io.BytesIO(data)
    matroska.read_head(file)
    return matroska.extent(file, len(data))


def test_what_is_written_is_read_back() -> None:
    assert [block.payload for block in read(segment())] == PAYLOADS
    assert [block.time_ms for block in read(segment())] == [0, 100, 200]
    assert all(block.is_key for block in read(segment()))
    assert extent(segment()) == Extent(3, 200, len(segment()))


def test_a_head_alone_is_a_segment_without_frames() -> None:
    head = matroska.head(TRACK, 0)
    assert read(head) == []
    assert extent(head) == Extent(0, 0, len(head))


def test_a_segment_cut_anywhere_gives_its_whole_frames() -> None:
    data = segment()
    head_bytes = len(matroska.head(TRACK, 0))
    ends = [head_bytes]
    for payload in PAYLOADS:
        ends.append(ends[-1] + matroska.BLOCK_HEADER_BYTES + len(payload))
    for cut in range(head_bytes, len(data) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert len(read(data[:cut])) == whole
        assert extent(data[:cut]) == Extent(whole, max(0, 100 * (whole - 1)), ends[whole])


def test_a_cut_head_is_an_error() -> None:
    head = matroska.head(TRACK, 0)
    for cut in range(len(head)):
        with pytest.raises(ValueError, match=r"head|Matroska|track"):
            matroska.read_head(io.BytesIO(head[:cut]))


def test_a_tail_of_zeros_ends_the_segment() -> None:
    assert len(read(segment() + bytes(5_000))) == 3


def test_no_bytes_at_all_make_it_hang_or_fail_otherwise() -> None:
    chance = random.Random(7)
    data = segment()
    for _ in range(3_000):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file = io.BytesIO(bytes(damaged))
        try:
            matroska.read_head(file)
        except ValueError:
            continue
        assert len(list(matroska.read_blocks(file))) <= 3


FULL = Track(
    "hevc", 1920, 1080, b"\x01" + bytes(range(256)) * 20, Audio("aac", 48_000, 2, b"\x11\x90")
)
ORIGIN = Origin(2**64 - 1, 12_345_678)


def test_configuration_sound_and_origin_are_read_back() -> None:
    for track in (FULL, FULL._replace(audio=None), FULL._replace(codec="h264", config=b"")):
        for origin in (ORIGIN, None):
            data = matroska.head(track, 1_790_000_400_123, origin)
            file = io.BytesIO(data + matroska.block_header(0, 1) + b"x")
            assert matroska.read_head(file) == Head(track, origin)
            assert file.tell() == len(data)


def test_a_head_says_where_jpegs_of_a_camera_that_dials_in_come_from_as_before() -> None:
    """Segments that wait in the spool over an upgrade are read, and are written the same."""
    data = matroska.head(TRACK, 1_790_000_400_123) + matroska.block_header(5, 3) + b"abc"
    digest = "139b9837b97148175131a2c1f5ab95290c61483112d91b8b215aef9e7cfd1fb6"
    assert hashlib.sha256(data).hexdigest() == digest


def test_a_configuration_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="configuration"):
        matroska.head(FULL._replace(config=bytes(matroska.MAX_CONFIG_BYTES + 1)), 0)
    longest = FULL._replace(config=bytes(matroska.MAX_CONFIG_BYTES))
    assert matroska.read_head(io.BytesIO(matroska.head(longest, 0))).track == longest


def test_a_long_head_that_is_cut_or_damaged_is_an_error_or_a_head() -> None:
    chance = random.Random(11)
    head = matroska.head(FULL, 0, ORIGIN)
    for cut in range(0, len(head), 7):
        with pytest.raises(ValueError, match=r"head|Matroska|track"):
            matroska.read_head(io.BytesIO(head[:cut]))
    for _ in range(3_000):
        damaged = bytearray(head)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(300)] = chance.randrange(256)
        with contextlib.suppress(ValueError):
            matroska.read_head(io.BytesIO(bytes(damaged) + bytes(64)))


def test_blocks_say_what_they_are_and_may_lie_before_the_first() -> None:
    blocks = [
        Block(0, b"key"),
        Block(-40, b"leading", is_key=False),
        Block(matroska.MIN_TIME_MS, b"early", is_audio=True),
        Block(2**32 - 1, b"late", is_key=False),
        Block(80, b"sound", is_key=True, is_audio=True),
    ]
    data = matroska.head(FULL, 0)
    ends = [len(data)]
    for block in blocks:
        track = matroska.AUDIO_TRACK if block.is_audio else matroska.VIDEO_TRACK
        data += matroska.block_header(
            block.time_ms, len(block.payload), is_key=block.is_key, track=track
        )
        data += block.payload
        ends.append(len(data))
    file = io.BytesIO(data)
    matroska.read_head(file)
    assert list(matroska.read_blocks(file)) == blocks
    file.seek(ends[0])
    places = list(matroska.places(file, len(data)))
    assert [data[at.offset_bytes : at.offset_bytes + at.size_bytes] for at in places] == [
        block.payload for block in blocks
    ]
    assert [(at.time_ms, at.is_key, at.is_audio) for at in places] == [
        (block.time_ms, block.is_key, block.is_audio) for block in blocks
    ]


def test_the_extent_of_a_segment_is_where_its_pictures_reach() -> None:
    data = matroska.head(FULL, 0)
    for at, is_audio in ((0, False), (120, False), (40, False), (80, False), (130, True)):
        track = matroska.AUDIO_TRACK if is_audio else matroska.VIDEO_TRACK
        data += matroska.block_header(at, 1, track=track) + b"x"
    file = io.BytesIO(data)
    matroska.read_head(file)
    assert matroska.extent(file, len(data)) == Extent(5, 120, len(data))


@pytest.mark.parametrize("program", ffmpegs.BOTH)
@pytest.mark.parametrize(("codec", "b_frames"), [("h264", 3), ("h264", 0), ("hevc", 2)])
def test_ffmpeg_reads_pictures_and_sound_without_a_word(
    tmp_path: Path, program: str, codec: str, b_frames: int
) -> None:
    footage = coded(codec, frames=50, b_frames=b_frames, has_sound=True)
    segment = write_coded(tmp_path, footage, 1_790_000_400_000, run=7, first_us=9)
    command = [program, "-nostdin", "-v", "warning", "-i", str(segment.path)]
    said = subprocess.run(
        [*command, "-map", "0", "-f", "framecrc", "-"], capture_output=True, text=True, check=True
    )
    assert said.stderr == ""
    streams = [line.split(",")[0] for line in said.stdout.splitlines() if line[0] != "#"]
    assert streams.count("0") == 50
    assert streams.count("1") > 90
