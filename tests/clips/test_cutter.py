"""Real clips by the real packager and FFmpeg, every frame counted."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest
from django.conf import settings
from django.db import connection

from clips import catalog, cutter, files, services, tasks
from clips.models import Clip, State, moment
from devices.models import Device, DeviceEvent
from recordings import footage, packager
from recordings.models import Recording, RecordingPolicy
from tests.clips.clips import names_on_disk
from tests.factories import make_device
from tests.instruments.counting import sightings
from tests.recordings.footage import every, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

# 10:20:00 in every whole-hour zone; 10 frames a second, so that frame n is at START + 100 n.
START = 1_790_000_400_000
HOUR_TURN = START + 40 * 60_000


@pytest.fixture(autouse=True)
def _small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run tests may be nearly full; the reserve has a test of its own."""
    monkeypatch.setattr(cutter, "RESERVE_BYTES", 0)


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


def spool(device: Device) -> Path:
    return Path(settings.SPOOL_DIR) / device.directory


def span(device: Device, start_ms: int, end_ms: int) -> Clip:
    clip = services.export_span(device=device, start_ms=start_ms, end_ms=end_ms, by="anna")
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    return clip


def counters(clip: Clip) -> list[int]:
    """Of every frame of the clip, which must all be readable and in their right places in time."""
    seen = list(sightings(files.path_of(clip.pk, ".mp4")))
    stamps = [one.stamp for one in seen]
    assert None not in stamps
    return [stamp.counter for stamp in stamps if stamp is not None]


def media_ms(clip: Clip) -> list[int]:
    return [round(one.media_ms) for one in sightings(files.path_of(clip.pk, ".mp4"))]


def within(walls: Sequence[int], start_ms: int, end_ms: int) -> list[int]:
    return [number for number, wall in enumerate(walls) if start_ms <= wall < end_ms]


def check(clip: Clip, walls: Sequence[int]) -> None:
    """`walls`: of every frame there ever was, by counter."""
    assert clip.state == State.READY, clip.reason
    wanted = within(walls, clip.start_ms, clip.end_ms)
    assert counters(clip) == wanted
    first = walls[wanted[0]]
    assert (clip.actual_start_ms, media_ms(clip)) == (first, [walls[n] - first for n in wanted])
    assert clip.actual_end_ms is not None
    assert clip.actual_end_ms <= clip.end_ms
    path = files.existing(clip.pk, ".mp4")
    assert path.stat().st_size == clip.size_bytes
    with av.open(str(path)) as container:
        assert (container.duration or 0) // 1000 == clip.duration_ms
        assert container.streams.video[0].codec_context.width == clip.width


def packaged(device: Device, segments: Sequence[Sequence[int]], *, rest: int = 0) -> list[int]:
    """Segments of frames at these times, all but the last `rest` of them packaged and gone from the
    spool; returns every frame's time.
    """
    walls = [wall for segment in segments for wall in segment]
    counter = 0
    for number, segment in enumerate(segments):
        if number == len(segments) - rest:
            packager.package(device)
        write_segment(spool(device), segment, counter=counter)
        counter += len(segment)
    if not rest:
        packager.package(device)
    return walls


def minutes(start_ms: int, segments: int) -> list[list[int]]:
    """Segments of 4 s that follow each other without a gap."""
    return [every(100, 40, start_ms=start_ms + 4_000 * number) for number in range(segments)]


PLACES = {
    "spool": (START, 5, 5),
    "hour file": (START, 5, 0),
    "both": (START, 6, 2),
    "hour turn": (HOUR_TURN - 12_000, 6, 0),
    "hour turn and spool": (HOUR_TURN - 12_000, 6, 2),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_clip_holds_exactly_the_frames_of_its_window(device: Device, place: str) -> None:
    start_ms, segments, rest = PLACES[place]
    walls = packaged(device, minutes(start_ms, segments), rest=rest)
    assert bool(Recording.objects.count()) == (rest < segments)
    dice = random.Random(f"windows in {place}")
    end_ms = walls[-1] + 100
    for _ in range(4):
        first = dice.randrange(start_ms, end_ms - 1_000)
        clip = span(device, first, dice.randrange(first + 500, min(end_ms, first + 15_000)))
        check(clip, walls)
        assert clip.reason == ""


def test_a_window_inside_one_gop_holds_its_frames(device: Device) -> None:
    walls = packaged(device, minutes(START, 2))
    clip = span(device, START + 550, START + 950)
    check(clip, walls)
    assert counters(clip) == [6, 7, 8, 9]
    assert clip.duration_ms == 350  # the last one ends with the window
    assert clip.has_thumbnail


def test_uneven_frames_keep_their_times(device: Device) -> None:
    dice = random.Random("uneven")
    walls = [START]
    while len(walls) < 120:
        walls.append(walls[-1] + dice.choice((40, 70, 130, 900)))
    packaged(device, [walls[:50], walls[50:90], walls[90:]], rest=1)
    check(span(device, walls[7] + 1, walls[-3]), walls)


def test_overlapping_windows_are_independent_clips(device: Device) -> None:
    walls = packaged(device, minutes(START, 5), rest=2)
    clips = [span(device, START + 1_000 * n, START + 1_000 * n + 9_000) for n in range(4)]
    for clip in clips:
        check(clip, walls)
    services.delete(clip=clips[0])
    check(clips[1], walls)
    assert len(names_on_disk()) == 9


def test_a_clip_outlives_the_recording(device: Device) -> None:
    walls = packaged(device, minutes(START, 3))
    clip = span(device, START, START + 8_000)
    row = Recording.objects.get()
    (Path(settings.RECORDINGS_DIR) / row.path).unlink()
    row.delete()
    check(clip, walls)


def test_the_encoders_settings_may_change_within_a_clip(device: Device) -> None:
    """Then the parameter sets differ, and the clip is encoded as a whole."""
    walls = [wall for segment in minutes(START, 4) for wall in segment]
    write_segment(spool(device), walls[:80])
    packager.package(device)
    RecordingPolicy.objects.update_or_create(pk=1, defaults={"preset": "veryfast"})
    write_segment(spool(device), walls[80:], counter=80)
    check(span(device, START + 3_050, START + 14_000), walls)


def test_a_camera_that_changes_its_picture_size_gives_one_clip_of_the_first(
    device: Device,
) -> None:
    walls = [wall for segment in minutes(START, 4) for wall in segment]
    write_segment(spool(device), walls[:80], size=(320, 240))
    write_segment(spool(device), walls[80:120], counter=80, size=(640, 480))
    packager.package(device)
    assert Recording.objects.count() == 2
    write_segment(spool(device), walls[120:], counter=120, size=(640, 480))
    clip = span(device, START + 5_000, START + 15_000)
    assert (clip.state, clip.width, clip.height) == (State.READY, 320, 240)
    assert clip.duration_ms == 10_000
    seen = list(sightings(files.path_of(clip.pk, ".mp4")))
    assert len(seen) == 100
    # The counter is readable where the picture was not scaled.
    own = [one.stamp.counter for one in seen if one.stamp is not None]
    assert own[:30] == list(range(50, 80))


def test_frames_that_are_no_pictures_are_left_out(device: Device) -> None:
    walls = every(100, 100, start_ms=START)
    write_segment(spool(device), walls, broken=[10, 11, 50])
    clip = span(device, START + 1_000, START + 9_000)
    assert clip.state == State.READY
    assert counters(clip) == [n for n in range(10, 90) if n not in (10, 11, 50)]
    assert clip.actual_start_ms == walls[12]


def test_what_is_missing_is_said(device: Device) -> None:
    first, second = every(100, 50, start_ms=START), every(100, 50, start_ms=START + 15_000)
    walls = packaged(device, [first, second])
    clip = span(device, START - 5_000, START + 20_000)
    assert clip.state == State.READY
    assert counters(clip) == list(range(100))
    assert clip.duration_ms == 10_000
    assert clip.reason.startswith("15 s of 25 s are missing")
    assert clip.actual_start_ms == walls[0]


def test_without_any_footage_it_fails_in_words_and_for_good(device: Device) -> None:
    packaged(device, minutes(START, 2))
    clip = span(device, START + 60_000, START + 120_000)
    assert clip.state == State.FAILED
    assert re.search(r"(?i)no video between \d\d:21:00 and \d\d:22:00\.$", clip.reason)
    assert clip.due_ms is None
    assert names_on_disk() == []


def test_why_something_is_missing_is_said_where_it_is_known(device: Device) -> None:
    Device.objects.update(created_at=moment(START))  # before that there is nothing to miss
    first, second = every(100, 50, start_ms=START), every(100, 50, start_ms=START + 15_000)
    packaged(device, [first, second])
    event = {"device": device, "at": moment(START + 5_100)}
    DeviceEvent.objects.create(**event, kind=DeviceEvent.Kind.ASLEEP)
    clip = span(device, START, START + 20_000)
    assert clip.reason == "10 s of 20 s are missing: the camera was asleep."
    clip = span(device, START + 7_000, START + 14_000)
    assert clip.state == State.FAILED
    assert clip.reason.startswith("The camera was asleep: no video between ")


def test_a_short_buffer_gives_a_short_clip(device: Device) -> None:
    walls = packaged(device, [every(100, 50, start_ms=START)], rest=1)
    clip = span(device, START - 30_000, START + 5_000)
    check(clip, walls)
    assert clip.duration_ms == 5_000
    assert clip.reason.startswith("30 s of 35 s are missing")


def test_a_clip_of_a_removed_camera_fails_in_words(device: Device) -> None:
    packaged(device, minutes(START, 1))
    clip = services.export_span(device=device, start_ms=START, end_ms=START + 1_000, by="")
    Recording.objects.all().delete()
    device.delete()
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    assert (clip.state, clip.due_ms) == (State.FAILED, None)
    assert "removed" in clip.reason


# --- the disk -------------------------------------------------------------------------------------


def test_recording_comes_first_on_a_disk_that_is_nearly_full(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls = packaged(device, minutes(START, 2))
    monkeypatch.setattr(cutter, "RESERVE_BYTES", 1 << 60)
    clip = span(device, START, START + 5_000)
    assert (clip.state, names_on_disk()) == (State.FAILED, [])
    assert "kept for recording" in clip.reason
    assert clip.due_ms is not None
    monkeypatch.setattr(cutter, "RESERVE_BYTES", 0)
    services.retry(clip=clip)
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    check(clip, walls)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_nothing_half_done(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls = packaged(device, minutes(START, 5), rest=2)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=False
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        monkeypatch.setattr(settings, "CLIPS_DIR", tmp_path)
        filler = tmp_path / "filler"
        filler.write_bytes(bytes(220 * 1024))
        clip = span(device, START + 1_000, START + 19_000)
        assert clip.state == State.FAILED
        assert "No space left" in clip.reason or "nearly full" in clip.reason
        assert names_on_disk() == ["filler"]
        filler.unlink()
        Clip.objects.update(due_ms=0)
        tasks.cut_overdue()
        tasks.cut_clip(str(clip.pk))
        clip.refresh_from_db()
        check(clip, walls)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_fifty_triggers_at_once_give_fifty_clips(device: Device) -> None:
    walls = packaged(device, minutes(START, 3), rest=1)
    clips = [
        services.export_span(device=device, start_ms=START + n, end_ms=START + 4_000 + n, by="")
        for n in range(50)
    ]

    def work(clip: Clip) -> None:
        try:
            tasks.cut_clip(str(clip.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, clips))
    for clip in clips:
        clip.refresh_from_db()
        assert clip.state == State.READY, clip.reason
    for clip in clips[::10]:
        check(clip, walls)
    assert len(names_on_disk()) == 150


def test_footage_that_moves_meanwhile_is_collected_again(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packager takes a segment out of the spool between listing and reading."""
    walls = [wall for segment in minutes(START, 3) for wall in segment]
    write_segment(spool(device), walls)
    collect = footage.collect
    looks: list[int] = []

    def and_package(asked: Device, start_ms: int, end_ms: int) -> list[footage.Stretch]:
        found = collect(asked, start_ms, end_ms)
        looks.append(len(found))
        if len(looks) == 1:
            packager.package(asked)
            assert not list(spool(asked).iterdir())
        return found

    monkeypatch.setattr(footage, "collect", and_package)
    check(span(device, START + 1_000, START + 9_000), walls)
    assert len(looks) == 2


def test_words_changed_while_it_is_cut_are_in_row_and_sidecar(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(device, minutes(START, 1))
    store = catalog.store
    stored: list[str] = []

    def and_rename(clip: Clip) -> None:
        store(clip)
        stored.append(clip.name)
        if len(stored) == 1:
            services.update(clip=Clip.objects.get(), name="Parcel", is_locked=True)

    monkeypatch.setattr(catalog, "store", and_rename)
    clip = span(device, START, START + 2_000)
    assert (clip.state, clip.name, clip.is_locked) == (State.READY, "Parcel", True)
    assert stored[-1] == "Parcel"
    Clip.objects.all().delete()
    catalog.reindex()
    assert Clip.objects.get().is_locked


def test_footage_that_never_stands_still_is_said(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(device, minutes(START, 1))

    def vanish(*args: object) -> None:
        raise FileNotFoundError("gone")

    monkeypatch.setattr(footage, "read", vanish)
    clip = span(device, START, START + 2_000)
    assert (clip.state, clip.due_ms is not None) == (State.FAILED, True)
    assert "was moved" in clip.reason
