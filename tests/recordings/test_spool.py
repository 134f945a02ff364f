"""The spool: nothing lost, nothing turned round, and a bad disk costs only what it must."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

import av
import pytest

from recordings import segments
from recordings.media.matroska import Track
from recordings.segments import (
    SegmentWriter,
    adopt,
    list_segments,
    read_extent,
    read_frames,
    read_track,
)
from recordings.spool import QUEUE_BYTES, SpoolWriter
from tests.recordings.spool_rig import DEVICE, SECOND, START, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_segment_is_named_by_the_wall_time_of_its_first_frame(rig: Rig) -> None:
    rig.frames(25)
    rig.end()
    (segment,) = rig.segments()
    assert segment.path.name == f"{START}.mkv"
    assert [frame.wall_ms for frame in read_frames(segment)] == list(
        range(START, START + 2500, 100)
    )
    assert rig.payloads() == rig.all_sent()
    assert read_track(segment.path) == Track("mjpeg", 160, 120)
    assert rig.closed == [DEVICE]


def test_other_programs_read_a_segment(tmp_path: Path) -> None:
    from tests.recordings.footage import every, write_segment

    segment = write_segment(tmp_path, every(100, 7, start_ms=START))
    with av.open(str(segment.path)) as container:
        stream = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        size = stream.codec_context.width, stream.codec_context.height
    assert (stream.codec_context.name, size) == ("mjpeg", (160, 120))
    assert times == list(range(0, 700, 100))


def test_every_written_frame_can_be_read_while_the_segment_is_open(rig: Rig) -> None:
    rig.frames(7)
    (segment,) = rig.segments()
    assert segment.is_open
    assert rig.payloads() == rig.all_sent()


def test_a_segment_ends_after_its_length_and_the_next_is_there_first(rig: Rig) -> None:
    seen: list[bool] = []
    rig.writer._on_closed = lambda _: seen.append(any(one.is_open for one in rig.segments()))
    rig.frames(250)
    rig.writer.sync()
    starts = [segment.start_ms - START for segment in rig.segments()]
    assert starts == [0, 10_000, 20_000]
    assert seen == [True, True]
    assert rig.payloads() == rig.all_sent()


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 0.8, -0.8])
def test_a_clock_step_begins_a_new_segment_and_loses_nothing(rig: Rig, step_s: float) -> None:
    rig.frames(20)
    rig.clock.step(step_s)
    rig.frames(20)
    rig.end()
    assert sorted(rig.payloads()) == sorted(rig.all_sent())
    starts = sorted(segment.start_ms - START for segment in rig.segments())
    assert starts == sorted([0, 2_000 + int(step_s * 1000)])
    for segment in rig.segments():
        walls = [frame.wall_ms for frame in read_frames(segment)]
        assert walls[-1] - walls[0] == 1_900


def test_slow_drift_is_no_step(rig: Rig) -> None:
    for _ in range(100):
        rig.clock.step(-0.000_5)  # 1000 ppm, far more than a quartz is off
        rig.frames(5)
    rig.end()
    walls = [frame.wall_ms for segment in rig.segments() for frame in read_frames(segment)]
    assert walls == sorted(set(walls))
    assert len(walls) == 500
    assert abs(walls[-1] - rig.clock.wall_ns() // 1_000_000) < 120


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_the_local_hours_turn_begins_a_new_segment(tmp_path: Path, zone: str) -> None:
    noon = datetime(2026, 6, 1, 12, 0, tzinfo=ZoneInfo(zone))
    turn = int(noon.timestamp() * 1000)
    rig = Rig(tmp_path, wall_ms=turn - 1_000, zone=zone)
    rig.frames(20)
    rig.end()
    assert [segment.start_ms for segment in rig.segments()] == [turn - 1_000, turn]


def test_the_end_of_summer_time_begins_a_new_segment(tmp_path: Path) -> None:
    turn = int(datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp() * 1000)  # 03:00 becomes 02:00
    rig = Rig(tmp_path, wall_ms=turn - 1_000, zone="Europe/Berlin")
    rig.frames(20)
    rig.end()
    assert [segment.start_ms for segment in rig.segments()] == [turn - 1_000, turn]


def test_a_silent_camera_ends_its_segment(rig: Rig) -> None:
    rig.frames(10)
    rig.clock.mono += 6 * SECOND
    rig.writer.drain()
    rig.writer.sync()
    assert [segment.is_open for segment in rig.segments()] == [False]
    rig.frames(10)
    assert [segment.is_open for segment in rig.segments()] == [False, True]


def test_frames_of_one_millisecond_get_rising_times(rig: Rig) -> None:
    for number in range(5):
        rig.track.append(rig.clock.mono, b"%d" % number)
    rig.writer.drain()
    (segment,) = rig.segments()
    assert [frame.wall_ms - START for frame in read_frames(segment)] == [0, 1, 2, 3, 4]


def test_a_taken_name_moves_by_a_millisecond(tmp_path: Path) -> None:
    (tmp_path / DEVICE).mkdir()
    (tmp_path / DEVICE / f"{START}.mkv").write_bytes(b"taken")
    (tmp_path / DEVICE / f"{START + 1}.mkv.part").write_bytes(b"taken too")
    rig = Rig(tmp_path)
    rig.frames(1)
    assert (tmp_path / DEVICE / f"{START + 2}.mkv.part").exists()
    assert (tmp_path / DEVICE / f"{START}.mkv").read_bytes() == b"taken"


def test_the_queue_drops_the_oldest_beyond_two_seconds_and_counts_them(rig: Rig) -> None:
    for number in range(40):
        rig.track.append(rig.clock.mono, b"%d" % number)
        rig.clock.mono += SECOND // 10
    assert rig.track.dropped_frames == 19
    rig.writer.drain()
    assert rig.payloads() == [b"%d" % number for number in range(19, 40)]


def test_a_process_that_stood_still_sheds_nothing(rig: Rig) -> None:
    """Its writer thread stood still as well, and drains a moment after the next frame."""
    rig.frames(3)
    rig.track.append(rig.clock.mono, b"before")
    rig.clock.mono += 8 * SECOND
    assert rig.track.append(rig.clock.mono, b"after")
    rig.writer.drain()
    assert rig.payloads()[-2:] == [b"before", b"after"]
    assert rig.track.dropped_frames == 0


def test_the_queue_is_bounded_in_bytes(rig: Rig) -> None:
    big = bytes(QUEUE_BYTES // 4)
    results = [rig.track.append(rig.clock.mono + number, big) for number in range(6)]
    assert results == [True, True, True, True, False, False]
    assert rig.track.dropped_frames == 2


def test_a_closed_track_takes_no_more(rig: Rig) -> None:
    rig.frames(3)
    rig.end()
    assert not rig.track.append(rig.clock.mono, b"late")
    assert rig.payloads() == rig.all_sent()


def test_two_tracks_of_one_device_do_not_mix(rig: Rig) -> None:
    other = rig.open()
    rig.track.append(rig.clock.mono, b"old")
    other.append(rig.clock.mono, b"new")
    rig.writer.drain()
    assert sorted(rig.payloads()) == [b"new", b"old"]
    assert len(rig.segments()) == 2


def test_an_unknown_codec_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match="not 'theora'"):
        rig.writer.open(DEVICE, Track("theora", 160, 120))


def test_synced_ms_follows_the_syncs(rig: Rig) -> None:
    rig.frames(10)
    assert rig.track.synced_ms == 0
    rig.writer.sync()
    assert rig.track.synced_ms == START + 900
    rig.frames(5)
    assert rig.track.synced_ms == START + 900
    rig.end()
    assert rig.track.synced_ms == START + 1_400


def test_synced_ms_goes_on_from_where_a_clock_was_set_back_to(rig: Rig) -> None:
    rig.frames(10)
    rig.writer.sync()
    rig.clock.step(-3600)
    rig.frames(10)
    rig.writer.sync()
    assert rig.track.synced_ms == START - 3_600_000 + 1_900
    rig.frames(5)
    rig.writer.sync()
    assert rig.track.synced_ms == START - 3_600_000 + 2_400


def refuse(number: int) -> Callable[..., NoReturn]:
    def refusal(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return refusal


def test_a_failed_sync_is_said_and_begins_a_new_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.frames(10)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse(errno.EIO))
        rig.writer.sync()
    assert "Input/output error" in rig.track.error
    assert rig.track.synced_ms == 0
    rig.frames(10)
    assert len(rig.segments()) == 2
    rig.writer.sync()
    assert rig.track.error == ""
    assert rig.track.synced_ms == START + 1_900


def test_a_full_disk_keeps_whole_frames_and_recovers_by_itself(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rig.open()
    rig.frames(10)
    real = os.write

    def short_then_full(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse(errno.ENOSPC))
        return real(fd, data[: len(data) - 3])

    monkeypatch.setattr(os, "write", short_then_full)
    for number in range(4):
        rig.track.append(rig.clock.mono + number, b"frame %d" % rig.sent)
        rig.sent += 1
    rig.writer.drain()
    assert "No space left" in rig.track.error
    assert other.error == ""
    rig.clock.mono += SECOND
    rig.frames(1)  # the pause before another try is over, the disk is full still
    assert "No space left" in rig.track.error
    monkeypatch.setattr(os, "write", real)
    other.append(rig.clock.mono, b"other")
    rig.clock.mono += SECOND * 9 // 10  # two seconds since the first failure: the queue's bound
    rig.frames(1)
    rig.writer.sync()
    assert rig.track.error == ""
    assert rig.track.dropped_frames == 0
    assert sorted(rig.payloads()) == sorted([*rig.all_sent(), b"other"])
    assert rig.track.written_frames == rig.track.appended_frames == rig.sent


def test_a_disk_that_stays_full_costs_the_oldest_and_they_are_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse(errno.ENOSPC))
        rig.frames(100)
    assert rig.track.dropped_frames > 50
    rig.clock.mono += 6 * SECOND
    rig.frames(5)
    rig.end()
    kept = rig.payloads()
    assert len(kept) + rig.track.dropped_frames == rig.sent
    assert kept == rig.all_sent()[-len(kept) :]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_really_full_disk_is_left_with_whole_segments(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        rig = Rig(tmp_path, seconds=2)
        for number in range(40):
            rig.track.append(rig.clock.mono, bytes(20_000) + b"%d" % number)
            rig.writer.drain()
            rig.writer.sync()
            rig.clock.mono += SECOND // 10
        assert "No space left" in rig.track.error
        assert rig.track.written_frames > 5
        for segment in rig.segments():
            extent = read_extent(segment.path)
            assert extent.frames
            assert extent.end_bytes == segment.size_bytes
        oldest = rig.segments()[0]
        oldest.path.unlink()
        rig.clock.mono += 6 * SECOND
        rig.frames(1)
        assert rig.track.error == ""
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_the_threads_write_sync_and_stop(tmp_path: Path) -> None:
    closed: list[str] = []
    writer = SpoolWriter(tmp_path, 10, closed.append, zone=ZoneInfo("UTC"))
    track = writer.open(DEVICE, Track("mjpeg", 160, 120))
    for number in range(50):
        assert track.append(time.monotonic_ns(), b"frame %d" % number)
    deadline = time.monotonic() + 10
    while not track.synced_ms and time.monotonic() < deadline:
        time.sleep(0.01)
    assert track.synced_ms
    assert writer.close()
    (segment,) = list_segments(tmp_path / DEVICE)
    assert not segment.is_open
    assert len(list(read_frames(segment))) == 50
    assert closed == [DEVICE]
    assert not [one for one in threading.enumerate() if one.name.startswith("spool")]


def test_a_listener_that_fails_does_not_stop_the_spool(tmp_path: Path) -> None:
    rig = Rig(tmp_path, seconds=2)
    rig.writer._on_closed = refuse(errno.ECONNREFUSED)
    rig.frames(50)
    rig.end()
    assert rig.payloads() == rig.all_sent()


# --- crashes -------------------------------------------------------------------------------------

WRITE_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from zoneinfo import ZoneInfo
from django.conf import settings
settings.configure(USE_TZ=True)
from recordings.media.matroska import Track
from recordings.spool import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), 10, lambda name: None, zone=ZoneInfo("UTC"))
track = writer.open(sys.argv[2], Track("mjpeg", 160, 120))
number = 0
while True:
    track.append(time.monotonic_ns(), b"%07d" % number + bytes(20_000))
    number += 1
    print(track.written_frames, flush=True)
    time.sleep(0.002)
"""


def test_a_killed_writer_loses_nothing_it_has_written_and_is_adopted(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, tmp_path, DEVICE],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    written = 0
    while written < 100:
        line = child.stdout.readline()
        assert line, "the writer died by itself"
        written = int(line)
    assert adopt(tmp_path / DEVICE) == 0, "its writer lives"
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.stdout.close()
    child.wait()
    written = int(rest.split()[-1]) if rest.split() else written
    assert adopt(tmp_path / DEVICE) == 1
    assert adopt(tmp_path / DEVICE) == 0
    (segment,) = list_segments(tmp_path / DEVICE)
    assert not segment.is_open
    numbers = [int(frame.payload[:7]) for frame in read_frames(segment)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= written


def test_a_torn_last_frame_is_cut_off_when_adopted(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, START, Track("mjpeg", 160, 120))
    writer.append([(0, b"first"), (100, b"second")])
    part = next(tmp_path.iterdir())
    os.close(writer._fd)  # what kill -9 does
    whole = part.stat().st_size
    with part.open("r+b") as file:
        file.truncate(whole - 1)
    assert adopt(tmp_path) == 1
    (segment,) = list_segments(tmp_path)
    assert [frame.payload for frame in read_frames(segment)] == [b"first"]
    assert read_extent(segment.path).end_bytes == segment.size_bytes


def test_an_orphan_without_a_frame_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{START}.mkv.part").write_bytes(b"")
    (tmp_path / f"{START + 1}.mkv.part").write_bytes(b"\x1a\x45\xdf\xa3")
    assert adopt(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_a_name_stolen_between_open_and_lock_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = segments._lock
    calls = iter(range(10))

    def adopter_comes_first(fd: int) -> bool:
        if next(calls) == 0:
            next(tmp_path.iterdir()).unlink()
        return real(fd)

    monkeypatch.setattr(segments, "_lock", adopter_comes_first)
    writer = SegmentWriter(tmp_path, START, Track("mjpeg", 160, 120))
    writer.append([(0, b"frame")])
    assert writer.finish() == tmp_path / f"{START + 1}.mkv"
