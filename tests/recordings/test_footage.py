"""Footage for clips: every frame of a span once, wherever it lies at that moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from devices.models import Device
from recordings import footage, packager
from recordings.footage import Stretch
from recordings.models import Recording
from recordings.segments import SegmentWriter, list_segments
from tests.factories import make_device
from tests.recordings.footage import Coded, coded, every, jpeg, write_coded, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

START = 1_790_000_400_000
SEGMENT_MS = 2_000  # of coded()


@pytest.fixture
def device() -> Device:
    return make_device()


def spool(device: Device) -> Path:
    return settings.SPOOL_DIR / device.directory


def recent() -> int:
    """A start so near to now that packaged segments stay in the spool."""
    return time.time_ns() // 1_000_000 // 60_000 * 60_000 - 20_000


def pictures(stretches: list[Stretch]) -> list[tuple[int, bytes]]:
    """(wall ms, bytes) in the order given."""
    found: list[tuple[int, bytes]] = []
    for stretch in stretches:
        shots = [shot for shot in stretch.shots if not shot.is_audio]
        found += zip([shot.wall_ms for shot in shots], footage.read(stretch, shots), strict=True)
    return found


def sound(stretches: list[Stretch]) -> list[bytes]:
    return [
        data
        for stretch in stretches
        for data in footage.read(stretch, [shot for shot in stretch.shots if shot.is_audio])
    ]


def sent(*takes: tuple[Coded, int]) -> list[tuple[int, bytes]]:
    """What went in: (wall ms, bytes) in decode order."""
    return [(start + one.time_ms, one.payload) for take, start in takes for one in take.pictures]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("is_packaged", [False, True])
def test_a_stream_begins_with_the_key_picture_before_and_has_every_picture_once(
    device: Device, codec: str, b_frames: int, is_packaged: bool
) -> None:
    takes = [
        (
            coded(codec, b_frames=b_frames, has_sound=True, counter=50 * number),
            START + 2_000 * number,
        )
        for number in range(3)
    ]
    for take, start in takes:
        write_coded(spool(device), take, start)
    if is_packaged:
        packager.package(device)
        assert not list_segments(spool(device))
    found = footage.collect(device, START + 1_500, START + 4_300)
    assert len(found) == (1 if is_packaged else 3)
    assert [one.is_exact for one in found] == ([False] if is_packaged else [False, True, True])
    assert not any(one.was_jpeg for one in found)
    assert {one.track for one in found} == {takes[0][0].track}
    everything = sent(*takes)
    # GOPs of a second: from 1.0 s on, up to the last one before 4.3 s in decode order.
    first = next(n for n, (wall_ms, _) in enumerate(everything) if wall_ms == START + 1_000)
    last = max(n for n, (wall_ms, _) in enumerate(everything) if wall_ms < START + 4_300)
    assert pictures(found) == everything[first : last + 1]
    heard = sound(found)
    units = 3_300 * 48 // 1_024
    assert units <= len(heard) <= units + 6  # each take's first and last overlap its neighbour's
    assert set(heard) <= {one.payload for take, _ in takes for one in take.blocks if one.is_audio}
    assert all(shot.wall_ms < START + 4_300 for one in found for shot in one.shots if shot.is_audio)


@pytest.mark.parametrize("wanted", [(0, 6_000), (2_000, 4_000), (1_999, 2_001), (730, 731)])
def test_jpegs_in_the_spool_are_exact(device: Device, wanted: tuple[int, int]) -> None:
    for number in range(3):
        walls = every(100, 20, start_ms=START + 2_000 * number)
        write_segment(spool(device), walls, counter=20 * number)
    found = footage.collect(device, START + wanted[0], START + wanted[1])
    expected = [
        (START + 100 * number, jpeg(number, START + 100 * number))
        for number in range(60)
        if wanted[0] <= 100 * number < wanted[1]
    ]
    assert pictures(found) == expected
    assert all(one.is_exact and one.was_jpeg and one.track.codec == "mjpeg" for one in found)


def test_what_the_packager_made_of_jpegs_says_so(device: Device) -> None:
    write_segment(spool(device), every(100, 60, start_ms=START))
    packager.package(device)
    (found,) = footage.collect(device, START + 2_550, START + 5_050)
    walls = [wall_ms - START for wall_ms, _ in pictures([found])]
    assert walls == list(range(2_000, 5_100, 100))
    assert (found.was_jpeg, found.is_exact, found.track.codec) == (True, False, "h264")
    assert [shot.wall_ms - START for shot in found.shots if shot.is_key] == [2_000, 4_000]
    (exact,) = footage.collect(device, START + 4_000, START + 5_000)
    assert exact.is_exact


def test_half_in_the_hour_file_and_half_in_the_spool_is_all_of_it_once(device: Device) -> None:
    start = recent()
    takes = [(coded(counter=50 * n), start + 2_000 * n) for n in range(4)]
    for take, at in takes[:2]:
        write_coded(spool(device), take, at)
    packager.package(device)
    for take, at in takes[2:]:
        write_coded(spool(device), take, at)
    assert len(list_segments(spool(device))) == 4, "the pre-roll keeps what is packaged"
    found = footage.collect(device, start, start + 8_000)
    assert pictures(found) == sent(*takes)
    assert len(found) == 3


def test_a_file_that_is_longer_than_its_row_and_one_without_a_row_are_read(device: Device) -> None:
    takes = [(coded(counter=50 * n), START + 2_000 * n) for n in range(2)]
    write_coded(spool(device), takes[0][0], takes[0][1])
    packager.package(device)
    behind = Recording.objects.values().get()
    write_coded(spool(device), takes[1][0], takes[1][1])
    packager.package(device)
    Recording.objects.filter(pk=behind["id"]).update(**behind)
    assert pictures(footage.collect(device, START, START + 4_000)) == sent(*takes)
    Recording.objects.all().delete()
    assert pictures(footage.collect(device, START, START + 4_000)) == sent(*takes)


def test_an_open_segment_is_footage_and_newest_says_how_far_it_reaches(device: Device) -> None:
    assert footage.newest_ms(device) == 0
    first, take = coded(b_frames=2), coded(b_frames=2, counter=50)
    write_coded(spool(device), first, START - 2_000)
    writer = SegmentWriter(spool(device), START, take.track)
    walls = sorted(wall_ms for wall_ms, _ in sent((first, START - 2_000), (take, START)))
    for number, block in enumerate(take.blocks, start=1):
        writer.append_blocks([block])
        reach = footage.newest_ms(device)
        held = [START + one.time_ms for one in take.blocks[:number]]
        # Everything before it is there, and it is not far behind what is there.
        assert {ms for ms in walls if START <= ms < reach} <= set(held)
        assert reach >= max(held) - 100
    assert pictures(footage.collect(device, START, START + 2_000)) == sent((take, START))
    writer.finish()
    packager.package(device)
    assert footage.newest_ms(device) == START + 2_000
    assert not list_segments(spool(device))


def test_the_hours_turn_two_files_an_hour_and_a_gap(device: Device) -> None:
    turn = START + 40 * 60_000
    small = coded(size=(176, 144), counter=100)
    takes = [(coded(), turn - 60_000), (coded(counter=50), turn - 2_000), (small, turn)]
    for take, start in takes:
        write_coded(spool(device), take, start)
    write_coded(spool(device), coded(counter=150), turn + 2_000)
    packager.package(device)
    assert Recording.objects.count() == 3
    found = footage.collect(device, turn - 61_000, turn + 10_000)
    assert [one.path.name[2:] for one in found] == [".mp4", ".mp4", "-2.mp4"]
    assert pictures(found) == sent(*takes, (coded(counter=150), turn + 2_000))
    # In the gap nothing is, and a start in it needs no picture from before it.
    assert footage.collect(device, turn - 50_000, turn - 10_000) == []
    (after, *_) = footage.collect(device, turn - 30_000, turn)
    assert after.is_exact
    assert after.shots[0].wall_ms == turn - 2_000


def test_what_a_sender_repeats_is_there_once(device: Device) -> None:
    take = coded(frames=75)
    write_coded(spool(device), take, START, run=7, first_us=1_000_000)
    rest = take._replace(
        blocks=[b._replace(time_ms=b.time_ms - 2_000) for b in take.blocks if b.time_ms >= 2_000]
    )
    write_coded(spool(device), rest, START + 2_000, run=7, first_us=3_000_000)
    found = footage.collect(device, START, START + 3_000)
    assert pictures(found) == sent((take, START))


def test_reading_says_when_the_video_is_gone_or_cut(device: Device) -> None:
    write_coded(spool(device), coded(), START)
    (found,) = footage.collect(device, START, START + 2_000)
    with found.path.open("r+b") as file:
        file.truncate(found.shots[-1].offset_bytes)
    with pytest.raises(FileNotFoundError, match="cut short"):
        list(footage.read(found, found.shots))
    found.path.unlink()
    with pytest.raises(FileNotFoundError):
        list(footage.read(found, found.shots))


def test_a_segment_that_got_its_final_name_meanwhile_is_still_read(device: Device) -> None:
    take = coded()
    writer = SegmentWriter(spool(device), START, take.track)
    writer.append_blocks(take.blocks)
    found = footage.collect(device, START, START + 2_000)
    assert found[0].path.suffix == ".part"
    writer.finish()
    assert pictures(found) == sent((take, START))


def test_it_starts_over_when_the_packager_was_there_in_between(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = coded()
    writer = SegmentWriter(spool(device), START, take.track)
    writer.append_blocks(take.blocks)
    real: Callable[..., Iterator[Any]] = footage._hour_files
    tries = []

    def packaged_after_listing(*args: Any) -> Iterator[Any]:
        tries.append(1)
        if len(tries) == 1:
            writer.finish()
            packager.package(device)
        yield from real(*args)

    monkeypatch.setattr(footage, "_hour_files", packaged_after_listing)
    assert pictures(footage.collect(device, START, START + 2_000)) == sent((take, START))
    assert len(tries) == 2


def test_a_spool_that_never_stands_still_is_an_error_not_a_loop(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_coded(spool(device), coded(), START)
    real, lists = list_segments, iter(range(100))

    def other_every_time(directory: Path) -> Any:
        return [
            one._replace(path=one.path.with_name(f"{next(lists)}.mkv")) for one in real(directory)
        ]

    monkeypatch.setattr(footage, "list_segments", other_every_time)
    with pytest.raises(FileNotFoundError):
        footage.collect(device, START, START + 2_000)


def test_random_spans_while_it_is_packaged_step_by_step(device: Device) -> None:
    start, chance = recent(), random.Random(3)
    takes = [(coded(counter=50 * n, b_frames=2), start + 2_000 * n) for n in range(6)]
    everything = sent(*takes)
    for take, at in takes:
        write_coded(spool(device), take, at)
        if chance.random() < 0.5:
            packager.package(device)
        for _ in range(8):
            first = chance.randrange(at + 2_000 - start)
            end = first + 1 + chance.randrange(at + 2_000 - start - first)
            got = pictures(footage.collect(device, start + first, start + end))
            there = [one for one in everything if one[0] < at + 2_000]
            key = start + first // 1_000 * 1_000
            lowest = next(n for n, one in enumerate(there) if one[0] == key)
            last = max(n for n, one in enumerate(there) if one[0] < start + end)
            assert got == there[lowest : last + 1], (first, end)
