"""The head of a clip: what FFmpeg and PyAV make of the file, times exact to the millisecond."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest

from recordings.media import mp4, timing
from recordings.media.matroska import Block, Track
from recordings.media.mp4 import AUDIO_TRACK, VIDEO_TRACK, Run, Sample
from tests.recordings.footage import Coded, coded

WALL_MS = 1_790_000_400_123
PROGRAMS = [
    program for program in (shutil.which("ffmpeg"), imageio_ffmpeg.get_ffmpeg_exe()) if program
]


def picture_runs(blocks: Sequence[Block], at_ms: int = 0, chunk: int = 7) -> list[Run]:
    """Chunks of a few pictures each, 40 ms a picture."""
    times, offsets = timing.shown([at_ms + block.time_ms for block in blocks], at_ms - 1)
    samples = [
        Sample(40, len(block.payload), block.is_key, offset)
        for block, offset in zip(blocks, offsets, strict=True)
    ]
    return [
        Run(
            VIDEO_TRACK,
            times[at],
            samples[at : at + chunk],
            [b.payload for b in blocks[at : at + chunk]],
        )
        for at in range(0, len(blocks), chunk)
    ]


def sound_run(footage: Coded, at_ms: int) -> Run:
    units = [block for block in footage.blocks if block.is_audio]
    return Run(
        AUDIO_TRACK, at_ms, [Sample(21 + number % 2, len(unit.payload), True)
                             for number, unit in enumerate(units)], [unit.payload for unit in units],
    )  # fmt: skip


def write(path: Path, track: Track, runs: Sequence[Run], **options: Any) -> bytes:
    head = mp4.plain_file(track, runs, wall_ms=WALL_MS, **options)
    data = head + b"".join(payload for run in runs for payload in run.payload)
    path.write_bytes(data)
    return data


def packets(path: Path, kind: str) -> list[tuple[float, bool, bytes]]:
    """(presentation time in ms, is a key, bytes) in decode order."""
    with av.open(str(path)) as container:
        found = []
        for packet in container.demux(container.streams.get({kind: 0})[0]):
            if packet.size:
                assert packet.pts is not None
                assert packet.time_base is not None
                time_ms = float(1000 * packet.pts * packet.time_base)
                found.append((time_ms, packet.is_keyframe, bytes(packet)))
        return found


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("sound_from_ms", [None, 0, 37])
def test_players_find_every_sample_at_its_time(
    tmp_path: Path, program: str, codec: str, b_frames: int, sound_from_ms: int | None
) -> None:
    footage = coded(codec, b_frames=b_frames, has_sound=sound_from_ms is not None)
    runs = picture_runs(footage.pictures)
    if sound_from_ms is not None:
        runs.insert(2, sound_run(footage, sound_from_ms))
    path = tmp_path / "clip.mp4"
    write(path, footage.track, runs)
    assert packets(path, "video") == [
        (block.time_ms, block.is_key, block.payload) for block in footage.pictures
    ]
    if sound_from_ms is not None:
        heard = packets(path, "audio")
        assert heard[0][0] == sound_from_ms
        assert [data for _, _, data in heard] == [b.payload for b in footage.blocks if b.is_audio]
    argv = [program, "-v", "warning", "-i", str(path), "-f", "null", "-"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.frames, video.duration, video.time_base) == (50, 2_000, Fraction(1, 1000))
        shown = [round(1000 * (frame.time or 0)) for frame in container.decode(video)]
    assert shown == list(range(0, 2_000, 40))


def test_it_says_when_it_was_and_stands_before_the_pictures(tmp_path: Path) -> None:
    footage = coded()
    path = tmp_path / "clip.mp4"
    data = write(path, footage.track, picture_runs(footage.pictures))
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        assert container.metadata["creation_time"].startswith("2026-09-21T14:20:00")


def test_pictures_of_several_files_go_on_in_one(tmp_path: Path) -> None:
    first, second = coded(b_frames=2), coded(b_frames=2, counter=50)
    runs = [*picture_runs(first.pictures), *picture_runs(second.pictures, 2_000, chunk=50)]
    path = tmp_path / "clip.mp4"
    write(path, first.track, runs)
    found = packets(path, "video")
    assert [time_ms for time_ms, _, _ in found] == [
        *(block.time_ms for block in first.pictures),
        *(2_000 + block.time_ms for block in second.pictures),
    ]
    assert sorted(time_ms for time_ms, *_ in found) == list(range(0, 4_000, 40))


def test_a_file_beyond_four_gigabytes_has_a_long_mdat() -> None:
    footage = coded()
    block = footage.pictures[0]
    big = Run(VIDEO_TRACK, 0, [Sample(40, 1 << 31, True)] * 3, ())
    head = mp4.plain_file(footage.track, [big], wall_ms=WALL_MS)
    assert struct.unpack(">I4sQ", head[-16:]) == (1, b"mdat", 3 * (1 << 31) + 16)
    last = Run(VIDEO_TRACK, 120, [Sample(40, len(block.payload), True)], ())
    head = mp4.plain_file(footage.track, [big, last], wall_ms=WALL_MS)
    at = head.index(b"co64") + 8
    assert struct.unpack_from(">IQQ", head, at)[1:] == (len(head), len(head) + 3 * (1 << 31))


def test_nothing_to_show_is_refused() -> None:
    footage = coded(has_sound=True)
    for runs in ([], [sound_run(footage, 0)], [Run(VIDEO_TRACK, 0, [], [])]):
        with pytest.raises(ValueError, match="no clip"):
            mp4.plain_file(footage.track, runs, wall_ms=WALL_MS)
    with pytest.raises(ValueError, match="MP4 needs"):
        mp4.plain_file(Track("mjpeg", 640, 480), picture_runs(footage.pictures), wall_ms=WALL_MS)
