"""Packaging: every frame once, at its own time, in the right file."""

from __future__ import annotations

import os
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import av
import pytest
from django.conf import settings
from django.utils import timezone

from devices.models import Device
from recordings import assembly, encoder, hourfile, packager
from recordings.exceptions import DiskError, EncodeError, EncoderMissingError
from recordings.media import index, mp4
from recordings.media.matroska import Block, Track
from recordings.models import Recording, RecordingPolicy
from recordings.reindex import file_of_row, reindex
from recordings.segments import SegmentWriter, list_segments
from tests.factories import make_device
from tests.instruments.counting import Report, examine
from tests.recordings.footage import aac, every, jpeg, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

# 10:20:00 in every whole-hour zone; old enough that its spool files may go at once.
START = 1_790_000_400_000


@pytest.fixture
def device() -> Device:
    return make_device()


def spool(device: Device) -> Path:
    return settings.SPOOL_DIR / device.directory


def files(device: Device) -> list[Path]:
    return sorted(
        (settings.RECORDINGS_DIR / row.path for row in Recording.objects.filter(device=device)),
        key=lambda path: (
            Recording.objects.get(path=path.relative_to(settings.RECORDINGS_DIR)).started_at
        ),
    )


def count(device: Device, frames: int) -> Report:
    report = examine(*files(device), first=0, last=frames - 1)
    assert report.is_whole, report
    assert report.frames == frames
    return report


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


def moment(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC)


def test_it_keeps_every_frame_of_several_segments_in_one_file(device: Device) -> None:
    for number in range(3):
        walls = every(100, 50, start_ms=START + 5_000 * number)
        write_segment(spool(device), walls, counter=50 * number)
    outcome = packager.package(device)
    assert (outcome.segments, outcome.frames, outcome.has_more) == (3, 150, False)
    report = count(device, 150)
    assert report.time_error_ms < 0.01
    row = Recording.objects.get()
    assert row.started_at == moment(START)
    assert row.ended_at == moment(START + 15_000)
    assert (row.duration_ms, row.frame_count) == (15_000, 150)
    assert (row.width, row.height, row.codecs[:5]) == (160, 120, "avc1.")
    local = timezone.localtime(row.started_at)
    assert row.path == f"{device.directory}/{local:%Y-%m-%d}/{local:%H}.mp4"
    assert row.size_bytes == (settings.RECORDINGS_DIR / row.path).stat().st_size


@pytest.mark.parametrize(("step_ms", "frames"), [(1000, 60), (100, 200), (40, 250), (3700, 12)])
def test_a_minute_of_video_is_a_minute_at_any_frame_rate(
    device: Device, step_ms: int, frames: int
) -> None:
    walls = [
        START + step_ms * number + (number * 7919) % (step_ms // 3) for number in range(frames)
    ]
    walls[0] = START
    half = frames // 2
    write_segment(spool(device), walls[:half])
    write_segment(spool(device), walls[half:], counter=half)
    packager.package(device)
    assert count(device, frames).time_error_ms < 0.01
    spoken_s = (walls[-1] - walls[0] + step_ms) / 1000
    assert duration_s(files(device)[0]) == pytest.approx(spoken_s, abs=max(0.2, step_ms / 2000))


def test_the_init_segment_depends_on_neither_rate_nor_chroma(device: Device) -> None:
    for number, (step_ms, chroma) in enumerate([(1000, 0), (100, 1), (40, 2), (2500, 1)]):
        walls = every(step_ms, 20, start_ms=START + 60_000 * number)
        write_segment(spool(device), walls, counter=20 * number, chroma=chroma)
        packager.package(device)
    assert Recording.objects.count() == 1
    count(device, 80)


def test_jpegs_with_sound_are_encoded_and_keep_it(device: Device) -> None:
    audio, units = aac(5_000)
    for number in range(2):
        start = START + 5_000 * number
        walls = every(100, 50, start_ms=start)
        blocks = [Block(at - start, jpeg(50 * number + n, at)) for n, at in enumerate(walls)] + [
            unit for unit in units if unit.time_ms < 5_000
        ]
        writer = SegmentWriter(spool(device), start, Track("mjpeg", 160, 120, b"", audio))
        writer.append_blocks(sorted(blocks, key=lambda block: block.time_ms))
        writer.finish()
    assert packager.package(device).frames == 100
    assert count(device, 100).time_error_ms < 0.01
    row = Recording.objects.get()
    assert (row.frame_count, row.codecs.endswith(",mp4a.40.2")) == (100, True)
    with av.open(str(files(device)[0])) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.size]
    assert abs(len(sound) - 10_000 * 48 // 1_024) <= 3
    assert packager.package(device).segments == 0


def test_a_gap_is_no_media_time_and_its_edges_are_right(device: Device) -> None:
    write_segment(spool(device), every(100, 30, start_ms=START))
    write_segment(spool(device), every(100, 30, start_ms=START + 60_000), counter=30)
    packager.package(device)
    row = Recording.objects.get()
    assert row.duration_ms == 6_000  # the last frame before a gap lasts the usual 100 ms
    fragments = index.decode(row.fragment_index, started_ms=START, init_bytes=row.init_bytes)
    ends = [fragment.wall_ms + fragment.duration_ms for fragment in fragments]
    assert START + 3_000 in ends
    assert START + 60_000 in [fragment.wall_ms for fragment in fragments]
    assert row.ended_at == moment(START + 63_000)


def test_the_last_frame_lasts_until_the_open_segment_that_follows(device: Device) -> None:
    write_segment(spool(device), every(100, 30, start_ms=START))
    (spool(device) / f"{START + 4_400}.mkv.part").write_bytes(b"")
    packager.package(device)
    assert Recording.objects.get().duration_ms == 4_400


def test_frames_that_are_no_pictures_shift_nobody(device: Device) -> None:
    walls = every(137, 60, start_ms=START)
    write_segment(spool(device), walls, broken=[0, 1, 20, 21, 40, 59])
    outcome = packager.package(device)
    assert (outcome.frames, outcome.undecodable_frames) == (54, 6)
    report = examine(*files(device))
    assert (report.lost, report.frames) == (3, 54)  # 20, 21, 40; 0, 1 and 59 are at the edges
    assert report.time_error_ms < 0.01
    assert packager.package(device).segments == 0


def test_a_segment_without_a_picture_goes_aside_and_holds_nothing_up(device: Device) -> None:
    write_segment(spool(device), every(100, 5, start_ms=START), broken=range(5))
    write_segment(spool(device), every(100, 5, start_ms=START + 20_000))
    packager.package(device)
    count(device, 5)
    assert [path.name for path in spool(device).iterdir()] == [f"{START}.mkv.bad"]


def test_what_is_no_segment_goes_aside(device: Device) -> None:
    spool(device).mkdir(parents=True)
    (spool(device) / f"{START}.mkv").write_bytes(b"\0" * 4096)
    packager.package(device)
    assert [path.name for path in spool(device).iterdir()] == [f"{START}.mkv.bad"]
    assert not Recording.objects.exists()


def test_it_appends_to_the_growing_hour(device: Device) -> None:
    write_segment(spool(device), every(100, 30, start_ms=START))
    packager.package(device)
    before = files(device)[0].read_bytes()
    write_segment(spool(device), every(100, 30, start_ms=START + 3_000), counter=30)
    packager.package(device)
    after = files(device)[0].read_bytes()
    assert after[: len(before)] == before
    assert Recording.objects.count() == 1
    assert count(device, 60).time_error_ms <= 100


def test_a_new_size_opens_another_file_and_stays_there(device: Device) -> None:
    sizes = [(160, 120), (320, 240), (320, 240)]
    for number, size in enumerate(sizes):
        walls = every(100, 20, start_ms=START + 2_000 * number)
        write_segment(spool(device), walls, counter=20 * number, size=size)
    packager.package(device)
    assert [path.name[2:] for path in files(device)] == [".mp4", "-2.mp4"]
    count(device, 60)
    assert [file_of_row(row).frame_count for row in Recording.objects.all()] == [20, 40]


def test_odd_sizes_are_cut_to_even_ones(device: Device) -> None:
    write_segment(spool(device), every(100, 10, start_ms=START), size=(161, 121))
    packager.package(device)
    row = Recording.objects.get()
    assert (row.width, row.height) == (160, 120)


def test_the_hours_turn_begins_a_new_file(device: Device) -> None:
    turn = START + 40 * 60_000
    write_segment(spool(device), every(100, 10, start_ms=turn - 1_000))
    write_segment(spool(device), every(100, 10, start_ms=turn), counter=10)
    packager.package(device)
    first, second = Recording.objects.order_by("started_at")
    assert (second.hour - first.hour) % 24 == 1
    assert first.ended_at == second.started_at
    count(device, 20)


def test_a_clock_that_goes_back_opens_another_file(device: Device) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START + 600_000))
    packager.package(device)
    write_segment(spool(device), every(100, 20, start_ms=START), counter=20)
    packager.package(device)
    assert {path.name[2:] for path in files(device)} == {".mp4", "-2.mp4"}
    assert sum(row.frame_count for row in Recording.objects.all()) == 40


def test_the_same_milliseconds_again_after_a_clock_step_are_not_taken_for_packaged(
    device: Device,
) -> None:
    walls = every(100, 20, start_ms=START)
    write_segment(spool(device), walls)
    packager.package(device)
    assert not list_segments(spool(device)), "packaged and old: the spool is clear"
    write_segment(spool(device), walls, counter=20)
    packager.package(device)
    assert sum(row.frame_count for row in Recording.objects.all()) == 40


def test_the_second_pass_through_an_hour_has_its_own_file(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "get_default_timezone", lambda: ZoneInfo("Europe/Berlin"))
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
    second = first + 3_600_000
    write_segment(spool(device), every(100, 20, start_ms=first))
    write_segment(spool(device), every(100, 20, start_ms=second), counter=20)
    packager.package(device)
    paths = [path.relative_to(settings.RECORDINGS_DIR / device.directory) for path in files(device)]
    assert [str(path) for path in paths] == ["2026-10-25/02.mp4", "2026-10-25/02-2.mp4"]
    count(device, 40)


def test_it_keeps_packaged_segments_for_the_pre_roll_and_packages_them_once(
    device: Device,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    for number in range(2):
        walls = every(50, 20, start_ms=now_ms - 10_000 + 1_000 * number)
        write_segment(spool(device), walls, counter=20 * number)
    for _ in range(3):
        packager.package(device)
    assert len(list_segments(spool(device))) == 2
    count(device, 40)
    Recording.objects.all().delete()  # the database is lost: the file still says what it holds
    packager.package(device)
    count(device, 40)


def test_old_segments_leave_the_spool(device: Device) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    packager.package(device)
    assert not list_segments(spool(device))


def test_an_open_segment_is_left_alone(device: Device) -> None:
    segment = write_segment(spool(device), every(100, 20, start_ms=START))
    part = segment.path.rename(segment.path.with_name(segment.path.name + ".part"))
    assert packager.package(device).segments == 0
    assert part.exists()


def test_a_device_is_packaged_by_one_at_a_time(device: Device) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    with hourfile.device_lock(settings.RUN_DIR, device.directory) as is_ours:
        assert is_ours
        assert packager.package(device).is_busy
    assert packager.package(device).segments == 1


def test_a_torn_tail_is_cut_and_packaged_again(device: Device) -> None:
    now_ms = time.time_ns() // 1_000_000 - 20_000
    write_segment(spool(device), every(100, 60, start_ms=now_ms))
    packager.package(device)
    path = files(device)[0]
    Recording.objects.all().delete()
    whole = hourfile.scan(path)
    assert whole is not None
    assert whole.fragments == 3
    with path.open("r+b") as file:
        file.truncate(whole.size_bytes - 10)
    outcome = packager.package(device)
    assert 0 < outcome.frames < 60  # the two whole fragments were adopted
    count(device, 60)


def test_damage_in_the_middle_is_not_cut_away(device: Device) -> None:
    now_ms = time.time_ns() // 1_000_000 - 20_000
    write_segment(spool(device), every(100, 60, start_ms=now_ms))
    packager.package(device)
    path = files(device)[0]
    row = Recording.objects.get()
    second = index.decode(row.fragment_index, started_ms=now_ms, init_bytes=row.init_bytes)[1]
    with path.open("r+b") as file:
        file.seek(second.offset_bytes)
        file.write(b"\0" * 32)
    size_bytes = path.stat().st_size
    Recording.objects.all().delete()
    packager.package(device)
    assert path.stat().st_size == size_bytes
    assert path.with_name(f"{path.stem}-2.mp4").exists()
    assert sum(row.frame_count for row in Recording.objects.all()) == 60


def test_a_foreign_file_in_the_place_of_an_hour_file_is_left_alone(device: Device) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    local = timezone.localtime(moment(START))
    path = settings.RECORDINGS_DIR / device.directory / f"{local:%Y-%m-%d}" / f"{local:%H}.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's own video")
    packager.package(device)
    assert path.read_bytes() == b"somebody's own video"
    assert files(device) == [path.with_name(f"{local:%H}-2.mp4")]


def test_a_failing_encoder_leaves_everything_in_the_spool(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    monkeypatch.setattr(settings, "NVR_FFMPEG", "/bin/false")
    with pytest.raises(EncodeError):
        packager.package(device)
    monkeypatch.setattr(settings, "NVR_FFMPEG", "no-such-program")
    with pytest.raises(EncoderMissingError):
        packager.package(device)
    assert len(list_segments(spool(device))) == 1
    monkeypatch.setattr(settings, "NVR_FFMPEG", "")
    packager.package(device)
    count(device, 20)


def test_an_encoder_that_fails_once_changes_no_order(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    write_segment(spool(device), every(100, 20, start_ms=START + 60_000), counter=20)
    real, calls = encoder.encode, iter(range(10))

    def fails_once(*args: Any, **kwargs: Any) -> encoder.Encoded:
        if next(calls) == 0:
            raise EncodeError("killed by the kernel")
        return real(*args, **kwargs)

    monkeypatch.setattr(encoder, "encode", fails_once)
    packager.package(device)
    assert len(files(device)) == 1
    count(device, 40)


def test_one_bad_segment_does_not_hold_up_the_others(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        walls = every(100, 20, start_ms=START + 2_000 * number)
        write_segment(spool(device), walls, counter=20 * number)
    real = assembly.feed

    def chokes(run: Any, *args: Any) -> Any:
        if any(piece.segment.start_ms == START + 2_000 for piece in run):
            raise EncodeError("this one kills FFmpeg")
        return real(run, *args)

    with monkeypatch.context() as patched:
        patched.setattr(packager, "feed", chokes)
        with pytest.raises(EncodeError, match="this one"):
            packager.package(device)
    assert Recording.objects.get().frame_count == 40
    assert [segment.start_ms for segment in list_segments(spool(device))] == [START + 2_000]
    packager.package(device)
    assert sum(row.frame_count for row in Recording.objects.all()) == 60


def test_a_picture_of_another_size_in_between_is_kept(device: Device) -> None:
    writer = SegmentWriter(spool(device), START, Track("mjpeg", 160, 120))
    sizes = [(160, 120)] * 5 + [(320, 240)] + [(160, 120)] * 5
    pictures = [jpeg(number, START, size=size) for number, size in enumerate(sizes)]
    writer.append([(100 * number, data) for number, data in enumerate(pictures)])
    writer.finish()
    assert packager.package(device).frames == 11
    assert (Recording.objects.get().width, Recording.objects.get().duration_ms) == (160, 1_100)


def test_hardware_that_fails_midway_gives_way_to_software(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordingPolicy(encoder=RecordingPolicy.Encoder.AUTO).save()
    monkeypatch.setattr(encoder, "hardware_encoder", lambda program: "h264_nvenc")
    monkeypatch.setattr(encoder, "_distrusted", set())
    write_segment(spool(device), every(100, 20, start_ms=START))
    packager.package(device)  # there is no NVIDIA card here: the real encoder fails
    count(device, 20)
    assert encoder.choose("auto", "superfast", 23).is_software


def test_a_full_disk_changes_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    packager.package(device)
    path = files(device)[0]
    before = path.read_bytes()
    write_segment(spool(device), every(100, 20, start_ms=START + 2_000), counter=20)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return real(fd, data)  # FFmpeg's pipe
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DiskError, match="No space left"):
            packager.package(device)
    assert path.read_bytes() == before
    assert Recording.objects.get().size_bytes == len(before)
    packager.package(device)
    count(device, 40)


def test_every_byte_up_to_the_rows_length_is_whole_fragments(device: Device) -> None:
    write_segment(spool(device), every(100, 100, start_ms=START))
    packager.package(device)
    row = Recording.objects.get()
    data = files(device)[0].read_bytes()[: row.size_bytes]
    fragments = index.decode(row.fragment_index, started_ms=START, init_bytes=row.init_bytes)
    media_ms = 0
    for fragment in fragments:
        head = mp4.read_fragment(
            lambda at, size: data[at : at + size], fragment.offset_bytes, len(data)
        )
        assert head is not None
        assert head.size_bytes == fragment.size_bytes
        assert (head.wall_ms, head.duration_ms) == (fragment.wall_ms, fragment.duration_ms)
        assert head.media_ms == fragment.media_ms == media_ms
        media_ms += head.duration_ms
    assert fragments[-1].offset_bytes + fragments[-1].size_bytes == len(data)
    assert media_ms == row.duration_ms


def test_reindex_beside_a_packager_touches_nothing_of_its_device(device: Device) -> None:
    write_segment(spool(device), every(100, 20, start_ms=START))
    packager.package(device)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with hourfile.device_lock(settings.RUN_DIR, device.directory):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    report = reindex()
    release.set()
    thread.join()
    assert (report.devices_busy, report.rows_right) == (1, 0)
    assert reindex().rows_right == 1
