"""Every packet once, wherever a writer dies and however often its sender has to begin again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from recordings import repeats
from recordings.media.matroska import Block, Origin, Place, Track
from recordings.repeats import is_settled, own_frames
from recordings.segments import (
    SegmentFile,
    SegmentWriter,
    adopt,
    list_segments,
    read_frames,
    read_places,
)
from tests.recordings.footage import coded
from tests.recordings.spool_rig import DEVICE, START, Rig
from tests.recordings.test_spool_packets import CAPTURED_US, H264, RUN, Camera, made_up


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sync: it is kill -9 that is tried here, a thousand times, not a power cut."""
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    _forget()


def _forget() -> None:
    """Tests write other segments under the same names."""
    repeats._read_origin.cache_clear()
    repeats._read_take.cache_clear()


def own_payloads(directory: Path) -> list[bytes]:
    found = []
    segments = list_segments(directory)
    for segment in segments:
        frames = [frame.payload for frame in read_frames(segment)]
        found += frames[: own_frames(segment, segments)]
    return found


class Sender(Camera):
    """An agent: numbers its packets and, to a new writer, repeats from the last key picture at or
    before the first one that was not acknowledged.
    """

    def __init__(self, rig: Rig, track: Track, blocks: Sequence[Block]) -> None:
        super().__init__(rig, track)
        self.blocks = blocks
        self.acknowledged = 0
        self.at = 0

    def deliver(self, until: int) -> None:
        self.send(self.blocks[self.at : until])
        self.at = until

    def reconnect(self, rig: Rig) -> None:
        rig.clock.mono = max(rig.clock.mono, self.rig.clock.mono)
        self.rig = rig
        self.track = rig.writer.open(DEVICE, self.track._track, run=RUN)
        first = min(self.acknowledged, len(self.blocks) - 1)
        while self.blocks[first].is_audio or not self.blocks[first].is_key:
            first -= 1
        self.at = self.number = first


def kill(rig: Rig, *, torn_bytes: int = 0) -> None:
    """What kill -9 leaves: the file as far as it was written, and no lock."""
    for track in rig.writer._tracks:
        segment = track.segment
        if segment is None:
            continue
        os.close(segment._fd)
        if torn_bytes:
            with segment._part.open("r+b") as file:
                file.truncate(segment.size_bytes - torn_bytes)
    rig.writer._tracks.clear()
    rig.writer.sync()  # segments that had ended were finished by another thread in time


def restarted(rig: Rig, *, step_s: float = 0.0) -> Rig:
    adopt(rig.directory)
    again = Rig(rig.directory.parent, seconds=1)
    again.writer.mono_ns, again.writer.wall_ns = rig.clock.mono_ns, rig.clock.wall_ns
    again.clock = rig.clock
    again.clock.step(step_s)
    return again


FOOTAGE = coded(frames=40, gop=10, b_frames=2, has_sound=True)


@pytest.mark.parametrize("step_s", [0.0, -3600.0])
@pytest.mark.parametrize("is_late_ack", [False, True])
def test_every_packet_is_own_to_one_segment_wherever_the_writer_dies(
    tmp_path: Path, step_s: float, is_late_ack: bool
) -> None:
    blocks = FOOTAGE.blocks
    for cut in range(1, len(blocks)):
        directory = tmp_path / str(cut)
        first = Rig(directory, seconds=1)
        sender = Sender(first, FOOTAGE.track, blocks)
        sender.deliver(cut)
        # The acknowledgement of the last half second may not have arrived.
        sender.acknowledged = max(0, cut - 30) if is_late_ack else first_unwritten(sender)
        kill(first, torn_bytes=5 if cut % 3 == 0 else 0)
        second = restarted(first, step_s=step_s)
        sender.reconnect(second)
        sender.deliver(len(blocks))
        sender.end()
        assert sorted(own_payloads(first.directory)) == sorted(b.payload for b in blocks), cut
        shutil.rmtree(directory)
        _forget()


def first_unwritten(sender: Sender) -> int:
    return max(0, sender.track.written_number - 1)


@pytest.mark.parametrize("seed", range(40))
def test_every_packet_is_own_to_one_segment_after_several_deaths(tmp_path: Path, seed: int) -> None:
    """Also where a second one leaves the newer segment shorter than the older."""
    chance = random.Random(seed)
    blocks = FOOTAGE.blocks
    rig = Rig(tmp_path, seconds=chance.choice([1, 2, 10]))
    sender = Sender(rig, FOOTAGE.track, blocks)
    reached = 0
    for _ in range(chance.randint(2, 7)):
        until = min(len(blocks), sender.at + chance.randint(1, 60))
        sender.deliver(until)
        reached = max(reached, until)
        sender.acknowledged = max(sender.acknowledged, until - chance.randint(1, 20))
        kill(rig)
        rig = restarted(rig, step_s=chance.choice([0.0, 0.0, 0.7, 3600.0, -100.0]))
        _forget()
        assert sorted(own_payloads(rig.directory)) == sorted(b.payload for b in blocks[:reached])
        sender.reconnect(rig)
    sender.deliver(len(blocks))
    sender.end()
    assert sorted(own_payloads(rig.directory)) == sorted(b.payload for b in blocks)


def test_while_the_newer_segment_is_written_each_frame_is_own_to_one(tmp_path: Path) -> None:
    blocks = FOOTAGE.blocks
    first = Rig(tmp_path, seconds=10)
    sender = Sender(first, FOOTAGE.track, blocks)
    sender.deliver(60)
    sender.acknowledged = 45
    kill(first)
    second = restarted(first)
    sender.reconnect(second)
    for until in range(sender.at + 1, len(blocks) + 1):
        sender.deliver(until)
        expected = blocks[: max(60, until)]
        assert sorted(own_payloads(first.directory)) == sorted(b.payload for b in expected)


SEND_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from zoneinfo import ZoneInfo
from django.conf import settings
settings.configure(USE_TZ=True)
from recordings.media.matroska import Track
from recordings.spool import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), 1, lambda name: None, zone=ZoneInfo("UTC"))
track = writer.open(sys.argv[2], Track("h264", 160, 120, b"config"), run=int(sys.argv[3]))
began = time.monotonic_ns()
number = 0
while True:
    at_us = 4_000 * number
    number += 1
    track.append(
        began + 1000 * at_us, b"%07d" % (number - 1) + bytes(9_000), is_key=number % 25 == 1,
        capture_us=int(sys.argv[4]) + at_us, number=number,
    )
    print(track.written_number, flush=True)
    time.sleep(0.002)
"""


def test_a_really_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SEND_UNTIL_KILLED, tmp_path, DEVICE, str(RUN), str(CAPTURED_US)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    acknowledged = 0
    while acknowledged < 300:
        line = child.stdout.readline()
        assert line, "the writer died by itself"
        acknowledged = int(line)
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.stdout.close()
    child.wait()
    acknowledged = int(rest[-1]) if rest else acknowledged
    adopt(tmp_path / DEVICE)
    found = [
        int(frame.payload[:7])
        for segment in list_segments(tmp_path / DEVICE)
        for frame in read_frames(segment)
    ]
    assert found == list(range(len(found)))
    assert len(found) >= acknowledged
    rig = Rig(tmp_path, seconds=1)
    rig.clock.mono = time.monotonic_ns()
    track = rig.writer.open(DEVICE, H264, run=RUN)
    first = acknowledged // 25 * 25
    for number in range(first, len(found) + 100):
        mono_ns = rig.clock.mono + 4_000_000 * (number - first)
        track.append(
            mono_ns, b"%07d" % number, is_key=number % 25 == 0,
            capture_us=CAPTURED_US + 4_000 * number, number=number + 1,
        )  # fmt: skip
    track.close()
    rig.writer.drain()
    rig.writer.sync()
    own = sorted(int(payload[:7]) for payload in own_payloads(tmp_path / DEVICE))
    assert own == list(range(len(found) + 100))


def test_without_a_run_every_frame_is_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, seconds=2)
    rig.frames(50)
    rig.end()
    segments = rig.segments()
    assert [own_frames(segment, segments) for segment in segments] == [None] * 3
    assert all(is_settled(segment, segments) for segment in segments)


def test_segments_of_another_run_change_nothing(tmp_path: Path) -> None:
    for number, run in enumerate((RUN, RUN + 1)):
        writer = SegmentWriter(tmp_path, START + number, H264, Origin(run, CAPTURED_US))
        writer.append_blocks(made_up(2_000))
        writer.finish()
    segments = list_segments(tmp_path)
    assert [own_frames(segment, segments) for segment in segments] == [None, None]


def test_times_that_differ_by_a_millisecond_are_the_same_picture(tmp_path: Path) -> None:
    for start_ms, first_us in ((START, CAPTURED_US), (START + 1_000, CAPTURED_US + 1_000_900)):
        writer = SegmentWriter(tmp_path, start_ms, H264, Origin(RUN, first_us))
        writer.append_blocks(made_up(3_000))
        writer.finish()
    segments = list_segments(tmp_path)
    assert [own_frames(segment, segments) for segment in segments] == [25, None]


def test_a_head_that_is_on_its_way_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / f"{START}.mkv.part"
    path.write_bytes(b"")
    segments = list_segments(tmp_path)
    assert own_frames(segments[0], segments) is None
    path.unlink()
    writer = SegmentWriter(tmp_path, START, H264, Origin(RUN, CAPTURED_US))
    writer.append_blocks(made_up(1_000))
    other = SegmentWriter(tmp_path, START + 1, H264, Origin(RUN, CAPTURED_US))
    other.append_blocks(made_up(2_000))
    segments = list_segments(tmp_path)
    assert [own_frames(segment, segments) for segment in segments] == [0, None]


def written(directory: Path, *, at_ms: int, length_ms: int) -> SegmentFile:
    writer = SegmentWriter(directory, START + at_ms, H264, Origin(RUN, CAPTURED_US + 1000 * at_ms))
    writer.append_blocks(made_up(length_ms))
    path = writer.finish()
    return next(one for one in list_segments(directory) if one.path == path)


def test_a_segment_is_settled_when_its_run_goes_on_behind_it(tmp_path: Path) -> None:
    first = written(tmp_path, at_ms=0, length_ms=10_000)
    assert not is_settled(first, list_segments(tmp_path))
    writer = SegmentWriter(tmp_path, START + 10_000, H264, Origin(RUN, CAPTURED_US + 10_000_000))
    writer.append_blocks(made_up(1_000))
    assert not is_settled(first, list_segments(tmp_path))
    writer.append_blocks(made_up(4_040, start_ms=1_000))
    segments = list_segments(tmp_path)
    assert is_settled(first, segments)
    assert not is_settled(segments[1], segments), "it is being written"


def test_a_last_segment_is_settled_when_its_sender_cannot_repeat_it_any_more(
    tmp_path: Path,
) -> None:
    segment = written(tmp_path, at_ms=0, length_ms=1_000)
    segments = list_segments(tmp_path)
    assert not is_settled(segment, segments)
    past = time.time() - repeats.HOLD_SECONDS - 1
    os.utime(segment.path, (past, past))
    assert is_settled(segment, segments)
    future = time.time() + 3_600  # the clock was set back: its age cannot be told
    os.utime(segment.path, (future, future))
    assert is_settled(segment, segments)


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    segment = written(tmp_path, at_ms=0, length_ms=1_000)
    other = written(tmp_path, at_ms=500, length_ms=1_000)
    segments = list_segments(tmp_path)
    other.path.unlink()
    assert own_frames(segment, segments) is None
    segment.path.unlink()
    assert own_frames(segment, segments) is None
    assert is_settled(segment, segments)
    assert len(segments) == 2


def test_reading_a_long_spool_looks_at_its_neighbours_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = [written(tmp_path, at_ms=1_000 * n, length_ms=1_000) for n in range(200)]
    reads: list[str] = []

    def counted(path: Path) -> list[Place]:
        reads.append(path.name)
        return read_places(path)

    monkeypatch.setattr(repeats, "read_places", counted)
    assert own_frames(segments[100], segments) is None
    assert len(reads) <= 12
