"""Coded video in the spool: segments begin with key pictures and nothing is lost or turned round."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import av
import pytest

from recordings import spool_packets
from recordings.media.matroska import Block, Origin, Track
from recordings.segments import Frame, SegmentFile, read_frames, read_origin, read_track
from recordings.spool import SpoolTrack
from tests.recordings.footage import SIZE, Coded, coded
from tests.recordings.spool_rig import DEVICE, SECOND, START, Rig
from tests.recordings.test_spool import refuse

MS = 1_000_000
RUN = 0x0123_4567_89AB_CDEF
CAPTURED_US = 77_000_000  # the sender's clock at the first picture


class Camera:
    """Sends packets to a track: `mono` is when the picture of time 0 was taken."""

    def __init__(self, rig: Rig, track: Track, *, run: int = RUN) -> None:
        self.rig = rig
        self.track: SpoolTrack = rig.writer.open(DEVICE, track, run=run)
        self.mono = rig.clock.mono
        self.number = 0
        self.sent: list[bytes] = []

    def send(self, blocks: Iterable[Block], *, is_late: bool = False) -> None:
        """Each is drained when it comes; `is_late`: all at once, now."""
        for block in blocks:
            if not is_late:
                self.rig.clock.mono = max(self.rig.clock.mono, self.mono + block.time_ms * MS)
            self.number += 1
            self.sent.append(block.payload)
            self.track.append(
                self.mono + block.time_ms * MS,
                block.payload,
                is_key=block.is_key,
                is_audio=block.is_audio,
                capture_us=CAPTURED_US + block.time_ms * 1000,
                number=self.number,
            )
            if not is_late:
                self.rig.writer.drain()
        self.rig.writer.drain()

    def end(self) -> None:
        self.track.close()
        self.rig.writer.drain()
        self.rig.writer.sync()


def kept(rig: Rig) -> list[Frame]:
    """In the order of their segments' names, which are their starts."""
    return [frame for segment in rig.segments() for frame in read_frames(segment)]


def payloads(rig: Rig) -> list[bytes]:
    return [frame.payload for frame in kept(rig)]


def walls(segment: SegmentFile) -> list[int]:
    return [frame.wall_ms - START for frame in read_frames(segment) if not frame.is_audio]


def made_up(
    length_ms: int, *, gop_ms: int = 1000, step_ms: int = 40, size: int = 20, start_ms: int = 0
) -> list[Block]:
    """Pictures that are none: what they hold is their time."""
    return [
        Block(at, b"%d " % at + bytes(size), (at - start_ms) % gop_ms == 0)
        for at in range(start_ms, start_ms + length_ms, step_ms)
    ]


H264 = Track("h264", *SIZE, b"\x01config")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path, seconds=10)
    made.track.close()  # the camera that dials in
    made.writer.drain()
    return made


@pytest.mark.parametrize(
    "footage",
    [
        pytest.param(lambda: coded(frames=75, b_frames=3, has_sound=True), id="h264"),
        pytest.param(lambda: coded("hevc", frames=75, b_frames=2, has_sound=True), id="hevc"),
    ],
)
def test_other_programs_read_what_was_sent(rig: Rig, footage: object) -> None:
    made: Coded = footage()  # type: ignore[operator]
    camera = Camera(rig, made.track)
    camera.send(made.blocks)
    camera.end()
    (segment,) = rig.segments()
    assert read_track(segment.path) == made.track
    assert read_origin(segment.path) == Origin(RUN, CAPTURED_US)
    with av.open(str(segment.path)) as container:
        pictures = [frame.pts for frame in container.decode(video=0)]
    with av.open(str(segment.path)) as container:
        sound = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert pictures == list(range(0, 3000, 40))
    assert sound == [block.time_ms for block in made.blocks if block.is_audio]


def test_every_packet_is_kept_with_its_exact_time_in_decode_order(rig: Rig) -> None:
    made = coded(frames=500, b_frames=3, has_sound=True)
    camera = Camera(rig, made.track)
    camera.send(made.blocks)
    camera.end()
    frames = kept(rig)
    assert [frame.payload for frame in frames] == camera.sent
    # What follows the last key picture of a segment in the stream may be shown before it.
    assert [(frame.wall_ms - START, frame.is_key, frame.is_audio) for frame in frames] == [
        (block.time_ms, block.is_key, block.is_audio) for block in made.blocks
    ]
    assert [segment.start_ms - START for segment in rig.segments()] == [0, 10_000]
    assert camera.track.dropped_frames == 0
    assert camera.track.written_number == camera.number


def test_segments_begin_with_key_pictures(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(30_000, gop_ms=4_000))
    camera.end()
    assert payloads(rig) == camera.sent
    assert [segment.start_ms - START for segment in rig.segments()] == [0, 12_000, 24_000]
    for segment in rig.segments():
        assert next(read_frames(segment)).is_key
        found = read_origin(segment.path)
        assert found == Origin(RUN, CAPTURED_US + 1000 * (segment.start_ms - START))


def test_nothing_is_written_before_the_first_key_picture(rig: Rig) -> None:
    camera = Camera(rig, H264)
    early = [Block(at, b"early", is_key=False) for at in range(0, 400, 40)]
    sound = [Block(10, b"sound", is_audio=True)]
    camera.send([*early, *sound])
    assert not rig.segments()
    assert camera.track.dropped_frames == 11
    assert camera.track.written_number == 11
    camera.send(made_up(1_000, start_ms=400))
    assert payloads(rig) == camera.sent[11:]


def test_a_stream_without_key_pictures_leaves_nothing_on_disk(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(Block(at, b"x", is_key=False) for at in range(0, 60_000, 40))
    camera.end()
    assert not rig.segments()
    assert camera.track.dropped_frames == 1500


def test_leading_pictures_and_early_sound_lie_before_their_segment(rig: Rig) -> None:
    """As x265 makes them by default: shown before the key picture that they follow."""
    options = "keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0:open-gop=1:log-level=none"
    made = coded("hevc", frames=300, options=(("x265-params", options),), has_sound=True)
    camera = Camera(rig, made.track)
    camera.send(made.blocks)
    camera.end()
    first, second = rig.segments()
    times = walls(second)
    assert times[0] == second.start_ms - START
    assert min(times) < times[0]
    assert [frame.payload for frame in kept(rig)] == camera.sent
    assert sorted(walls(first) + times) == list(range(0, 12_000, 40))


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_step_waits_for_the_key_picture_and_loses_nothing(rig: Rig, step_s: float) -> None:
    camera = Camera(rig, H264)
    blocks = made_up(8_000, gop_ms=2_000)
    camera.send(blocks[:60])
    rig.clock.step(step_s)
    camera.send(blocks[60:])
    camera.end()
    assert sorted(payloads(rig)) == sorted(camera.sent)
    starts = sorted(segment.start_ms - START for segment in rig.segments())
    assert starts == sorted([0, 4_000 + int(step_s * 1000)])


def test_the_hours_turn_waits_for_the_key_picture(tmp_path: Path) -> None:
    turn = int(datetime(2026, 6, 1, 12, 0, tzinfo=UTC).timestamp() * 1000)
    rig = Rig(tmp_path, wall_ms=turn - 5_000)
    camera = Camera(rig, H264)
    camera.send(made_up(10_000, gop_ms=2_000))
    assert [segment.start_ms - turn for segment in rig.segments()] == [-5_000, 1_000]
    assert payloads(rig) == camera.sent


def test_a_late_packet_is_filed_under_its_own_time(rig: Rig) -> None:
    """A backlog of 25 s that comes in at once after a lost connection."""
    camera = Camera(rig, H264)
    camera.send(made_up(5_000))
    rig.clock.mono += 25 * SECOND
    for batch in range(5):
        camera.send(made_up(5_000, start_ms=5_000 + 5_000 * batch), is_late=True)
    camera.end()
    assert payloads(rig) == camera.sent
    assert [frame.wall_ms - START for frame in kept(rig)] == list(range(0, 30_000, 40))
    assert camera.track.dropped_frames == 0


def test_a_backlog_after_the_connection_was_lost_goes_on_in_the_middle_of_a_gop(rig: Rig) -> None:
    camera = Camera(rig, H264)
    blocks = made_up(20_000, gop_ms=20_000)
    camera.send(blocks[:100])
    for _ in range(20):
        rig.clock.mono += SECOND
        rig.writer.drain()
        rig.writer.sync()
    camera.send(blocks[100:], is_late=True)
    camera.end()
    assert payloads(rig) == camera.sent
    assert len(rig.segments()) == 1


def test_a_gap_ends_the_segment(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send([*made_up(2_000), *made_up(2_000, start_ms=8_000)])
    assert [segment.start_ms - START for segment in rig.segments()] == [0, 8_000]
    assert payloads(rig) == camera.sent


def test_a_camera_silent_for_long_ends_its_segment(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(1_000))
    rig.clock.mono += 36 * SECOND
    rig.writer.drain()
    rig.writer.sync()
    assert [segment.is_open for segment in rig.segments()] == [False]


# --- times that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("jump_ms", [-3_600_000, -3_000, 60_000, 3_600_000])
def test_times_that_jump_begin_a_new_segment_at_the_next_key_picture(
    rig: Rig, jump_ms: int
) -> None:
    camera = Camera(rig, H264)
    blocks = made_up(6_000, gop_ms=2_000)
    jumped = [block._replace(time_ms=block.time_ms + jump_ms) for block in blocks[75:]]
    rig.clock.mono += 3600 * SECOND  # so that the past is still after the start of this machine
    camera.mono = rig.clock.mono
    camera.send([*blocks[:75], *jumped])
    camera.end()
    assert sorted(payloads(rig)) == sorted(camera.sent)
    by_start = {
        segment.start_ms: [frame.wall_ms for frame in read_frames(segment)]
        for segment in rig.segments()
    }
    lengths = sorted(len(times) for times in by_start.values())
    assert lengths == [50, 100]  # the rest of the GOP stays where it began
    for times in by_start.values():
        assert all(0 < after - before <= 80 for before, after in pairwise(times))


def test_times_that_run_backwards_cost_no_picture_and_not_a_file_each(rig: Rig) -> None:
    camera = Camera(rig, Track("mjpeg", *SIZE))
    rig.clock.mono += 100 * SECOND
    camera.mono = rig.clock.mono
    blocks = [Block(-700 * number, b"%d" % number) for number in range(100)]
    for block in blocks:
        rig.clock.mono += SECOND // 25
        camera.send([block], is_late=True)
    camera.end()
    assert sorted(payloads(rig)) == sorted(camera.sent)
    assert len(rig.segments()) <= 4 + spool_packets.JUMPS_TO_SPARE + 1


def test_times_that_stand_still_are_told_apart(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(Block(0, b"%d" % number, number == 0) for number in range(50))
    camera.end()
    (segment,) = rig.segments()
    assert walls(segment) == list(range(50))
    assert payloads(rig) == camera.sent


def test_jpegs_of_one_millisecond_get_rising_times(rig: Rig) -> None:
    camera = Camera(rig, Track("mjpeg", *SIZE))
    camera.send([Block(at, b"%d %d" % (at, n)) for n, at in enumerate([0, 0, 0, 1, 40, 40, 80])])
    camera.end()
    (segment,) = rig.segments()
    assert walls(segment) == [0, 1, 2, 3, 40, 41, 80]


def test_sound_of_another_time_is_left_out_and_counted(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(400))
    camera.send([Block(60_000, b"sound", is_audio=True)], is_late=True)
    camera.send([Block(-60_000, b"sound", is_audio=True)], is_late=True)
    camera.send([Block(390, b"in time", is_audio=True)], is_late=True)
    assert payloads(rig) == [*camera.sent[:10], b"in time"]
    assert camera.track.dropped_frames == 2
    assert camera.track.written_number == 13


def test_clocks_that_are_compared_again_do_not_move_pictures(rig: Rig) -> None:
    """What a sender repeats is known by its own clock."""
    camera = Camera(rig, H264)
    blocks = made_up(3_000)
    camera.send(blocks[:30])
    camera.mono += 7 * MS
    camera.send(blocks[30:])
    camera.end()
    (segment,) = rig.segments()
    assert walls(segment) == list(range(0, 3_000, 40))


def test_a_capture_time_that_was_not_believed_counts_by_our_clock(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(400))
    camera.track.append(rig.clock.mono, b"x", is_key=False, capture_us=5, number=11)
    rig.writer.drain()
    (segment,) = rig.segments()
    assert walls(segment)[-2:] == [360, 361], "now, which another picture has"


def test_a_time_that_is_no_time_counts_as_now(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.track.append(2**63, b"picture")
    rig.writer.drain()
    (segment,) = rig.segments()
    assert segment.start_ms == START


@pytest.mark.parametrize("seed", range(60))
def test_nothing_a_camera_sends_breaks_a_segment(tmp_path: Path, seed: int) -> None:
    """Any times, any order of keys and sound, steps of both clocks, pauses of the writer."""
    chance = random.Random(seed)
    rig = Rig(tmp_path, seconds=2)
    rig.clock.mono += 1_000 * SECOND
    camera = Camera(rig, H264)
    at_ms = 0
    for _ in range(400):
        at_ms += chance.choice([40, 40, 40, 40, 0, 1, -80, 120])
        if chance.random() < 0.03:
            at_ms += chance.choice([-700_000, -6_000, -900, 900, 6_000, 80_000])
        if chance.random() < 0.02:
            rig.clock.step(chance.choice([-3_600, -0.6, 0.6, 3_600]))
        is_audio = chance.random() < 0.3
        is_key = is_audio or chance.random() < 0.08
        block = Block(at_ms, b"%d" % camera.number, is_key=is_key, is_audio=is_audio)
        camera.send([block], is_late=chance.random() < 0.9)
        rig.clock.mono += chance.choice([0, 0, 40, 40, 40, 400, 7_000]) * MS
    camera.end()
    kept_payloads = payloads(rig)
    assert camera.track.error in ("", spool_packets.TOO_FEW_KEYS)
    assert camera.track.written_number == camera.number
    assert len(kept_payloads) == len(set(kept_payloads)) == camera.track.written_frames
    assert camera.track.written_frames + camera.track.dropped_frames == camera.number
    for segment in rig.segments():
        assert not segment.is_open
        frames = list(read_frames(segment))
        assert frames[0].is_key
        assert not frames[0].is_audio
        assert frames[0].wall_ms == segment.start_ms
        assert [int(frame.payload) for frame in frames] == sorted(int(f.payload) for f in frames)
        reach = max(frame.wall_ms for frame in frames) - segment.start_ms
        assert reach <= 4 * 2_000 + 5_000


# --- bounds --------------------------------------------------------------------------------------


def test_a_gop_that_does_not_end_ends_the_segment_and_waits(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(60_000, gop_ms=70_000))
    assert "key picture" in camera.track.error
    assert camera.track.dropped_frames == 20_000 // 40
    (segment,) = rig.segments()
    assert walls(segment)[-1] == 40_000 - 40
    camera.send(made_up(1_000, start_ms=60_000))
    assert camera.track.error == ""
    assert [one.start_ms - START for one in rig.segments()] == [0, 60_000]


def test_a_segment_has_a_largest_size(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_packets, "MAX_SEGMENT_BYTES", 100_000)
    camera = Camera(rig, H264)
    camera.send(made_up(4_000, size=5_000, gop_ms=200), is_late=True)
    assert all(segment.size_bytes <= 100_000 for segment in rig.segments())
    assert payloads(rig) == camera.sent
    camera.send(made_up(2_000, size=5_000, gop_ms=2_000, start_ms=4_000), is_late=True)
    assert all(segment.size_bytes <= 100_000 for segment in rig.segments())
    assert "key picture" in camera.track.error


def test_the_queue_sheds_to_the_next_key_picture(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(1_000))
    blocks = made_up(6_000, start_ms=1_000)
    for block in blocks:  # the writer stands still meanwhile
        rig.clock.mono = camera.mono + block.time_ms * MS
        camera.number += 1
        camera.track.append(
            rig.clock.mono, block.payload, is_key=block.is_key, number=camera.number
        )
    rig.writer.drain()
    kept_times = [frame.wall_ms - START for frame in kept(rig)]
    # Two seconds are kept, from the first key picture in them.
    assert kept_times == [*range(0, 1_000, 40), *range(5_000, 7_000, 40)]
    assert camera.track.dropped_frames == 100
    assert camera.track.written_number == camera.number == 175


def test_a_process_that_stood_still_sheds_nothing(rig: Rig) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(1_480))
    blocks = [*made_up(40, start_ms=1_480, gop_ms=9_000), *made_up(40, start_ms=9_480)]
    blocks[0] = blocks[0]._replace(is_key=False)
    for block in blocks:  # eight seconds lie between them, and nobody drains
        rig.clock.mono = camera.mono + block.time_ms * MS
        camera.number += 1
        camera.sent.append(block.payload)
        assert camera.track.append(
            rig.clock.mono, block.payload, is_key=block.is_key, number=camera.number
        )
    rig.writer.drain()
    assert payloads(rig) == camera.sent
    assert camera.track.dropped_frames == 0


def test_a_backlog_of_packets_may_be_larger_than_one_of_jpegs(rig: Rig) -> None:
    camera = Camera(rig, H264)
    big = bytes(4 * 1024 * 1024)
    results = [camera.track.append(rig.clock.mono, big, number=n) for n in range(10)]
    assert results == [True] * 8 + [False] * 2
    plain = rig.writer.open(DEVICE, H264)
    assert [plain.append(rig.clock.mono, big) for _ in range(3)] == [True, True, False]


def test_what_a_full_disk_refused_is_written_later_into_the_same_gop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(rig, H264)
    blocks = made_up(3_000, gop_ms=6_000)
    camera.send(blocks[:25])
    real = os.write

    def short_then_full(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse(errno.ENOSPC))
        return real(fd, data[: len(data) - 3])

    monkeypatch.setattr(os, "write", short_then_full)
    camera.send(blocks[25:40], is_late=True)
    assert "No space left" in camera.track.error
    assert camera.track.written_number == 39, "all but the one that was torn"
    rig.clock.mono += SECOND
    monkeypatch.setattr(os, "write", real)
    camera.send(blocks[40:], is_late=True)
    camera.end()
    assert camera.track.error == ""
    assert payloads(rig) == camera.sent
    assert camera.track.dropped_frames == 0


def test_a_disk_that_stays_full_drops_up_to_a_key_picture(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(1_000))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse(errno.ENOSPC))
        camera.send(made_up(9_000, start_ms=1_000))
    rig.clock.mono += 5 * SECOND  # the longest pause before another try
    camera.mono += 5 * SECOND
    camera.send(made_up(1_000, start_ms=10_000))
    camera.end()
    frames = kept(rig)
    assert len(frames) + camera.track.dropped_frames == camera.number
    assert camera.track.written_number == camera.number
    groups = _split_where(frames, 1_000)
    assert all(group[0].is_key for group in groups)
    assert camera.track.error == ""


def _split_where(frames: Sequence[Frame], gap_ms: int) -> list[list[Frame]]:
    groups: list[list[Frame]] = [[frames[0]]]
    for before, after in pairwise(frames):
        if after.wall_ms - before.wall_ms > gap_ms:
            groups.append([])
        groups[-1].append(after)
    return groups


def test_a_failed_sync_begins_a_new_file_at_the_next_key_picture(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(rig, H264)
    blocks = made_up(4_000, gop_ms=2_000)
    camera.send(blocks[:25])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse(errno.EIO))
        rig.writer.sync()
    camera.send(blocks[25:])
    assert [segment.start_ms - START for segment in rig.segments()] == [0, 2_000]
    assert payloads(rig) == camera.sent


def test_numbers_are_acknowledged_only_when_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(rig, H264)
    camera.send(made_up(400))
    assert camera.track.written_number == 10
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse(errno.ENOSPC))
        camera.send(made_up(400, start_ms=400), is_late=True)
    assert camera.track.written_number == 10


def test_a_camera_without_a_run_has_no_origin(rig: Rig) -> None:
    camera = Camera(rig, H264, run=0)
    camera.send(made_up(1_000))
    (segment,) = rig.segments()
    assert read_origin(segment.path) is None
