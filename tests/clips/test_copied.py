"""Clips of cameras that encode themselves: copied from the key picture on, sound included."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import pytest
from django.conf import settings

from clips import cutter, files, services, tasks
from clips.models import Clip, State
from devices.models import Device
from recordings import packager
from recordings.ffmpeg import find_ffmpeg
from recordings.media.matroska import Block, Track
from recordings.models import Recording
from recordings.segments import SegmentWriter
from tests.factories import make_device
from tests.instruments.counting import sightings
from tests.recordings.footage import Coded, aac, coded, every, jpeg, write_coded, write_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

START = 1_790_000_400_000
FRAME_MS = 40  # 25 frames a second, a key picture every second


@pytest.fixture(autouse=True)
def _small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter, "RESERVE_BYTES", 0)


@pytest.fixture
def device() -> Device:
    return make_device(kind=Device.Kind.NETWORK)


def spool(device: Device) -> Path:
    return Path(settings.SPOOL_DIR) / device.directory


def span(device: Device, start_ms: int, end_ms: int) -> Clip:
    clip = services.export_span(device=device, start_ms=start_ms, end_ms=end_ms, by="anna")
    tasks.cut_clip(str(clip.pk))
    clip.refresh_from_db()
    assert clip.state == State.READY, clip.reason
    # FFmpeg itself reads it through and has nothing to say.
    path = files.existing(clip.pk, ".mp4")
    ended = subprocess.run(
        [find_ffmpeg(), "-v", "error", "-i", str(path), "-f", "null", "-"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return clip


def shown(clip: Clip) -> tuple[list[int], list[int]]:
    """(counters, media ms) of every frame."""
    seen = list(sightings(files.path_of(clip.pk, ".mp4")))
    stamps = [one.stamp for one in seen]
    assert None not in stamps
    return [one.counter for one in stamps if one], [round(one.media_ms) for one in seen]


def payloads(path: Path) -> set[bytes]:
    with av.open(str(path)) as container:
        return {bytes(packet) for packet in container.demux(video=0) if packet.size}


def recorded(device: Device, *parts: Coded, is_packaged: bool) -> None:
    """Parts of two seconds, one a segment."""
    for number, part in enumerate(parts):
        write_coded(spool(device), part, START + 2_000 * number)
    if is_packaged:
        packager.package(device)
        for path in spool(device).iterdir():
            path.unlink(missing_ok=True)
        assert Recording.objects.exists()


def parts(number: int, **shape: Any) -> list[Coded]:
    return [coded(counter=50 * n, **shape) for n in range(number)]


@pytest.mark.parametrize("is_packaged", [False, True], ids=["spool", "hour file"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_it_begins_with_the_key_picture_at_or_before_the_start(
    device: Device, codec: str, b_frames: int, is_packaged: bool
) -> None:
    footage = parts(4, codec=codec, b_frames=b_frames)
    recorded(device, *footage, is_packaged=is_packaged)
    clip = span(device, START + 2_500, START + 6_700)
    counters, media_ms = shown(clip)
    # The key picture at 2,000 ms; the last frame in the window is number 167 (6,680 ms). Pictures
    # that it needs and that are shown after it may follow.
    assert counters == list(range(50, 50 + len(counters)))
    assert 168 <= 50 + len(counters) <= 168 + b_frames
    assert clip.actual_start_ms == START + 2_000
    assert media_ms == [FRAME_MS * n for n in range(len(counters))]
    assert clip.duration_ms == FRAME_MS * len(counters)
    assert clip.codecs.startswith("avc1." if codec == "h264" else "hvc1.")
    assert clip.has_thumbnail
    # Copied, not encoded again.
    sent = {block.payload for part in footage for block in part.pictures}
    assert payloads(files.path_of(clip.pk, ".mp4")) <= sent
    assert clip.reason == ""


@pytest.mark.parametrize("is_packaged", [False, True], ids=["spool", "hour file"])
def test_sound_is_copied_and_stays_with_its_picture(device: Device, is_packaged: bool) -> None:
    footage = coded(frames=250, has_sound=True)
    write_coded(spool(device), footage, START)
    if is_packaged:
        packager.package(device)
        for path in spool(device).iterdir():
            path.unlink()
    clip = span(device, START + 2_300, START + 7_000)
    assert clip.has_audio
    assert clip.codecs.endswith(",mp4a.40.2")
    path = files.path_of(clip.pk, ".mp4")
    with av.open(str(path)) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.size]
        times = [round(1000 * float((packet.pts or 0) * packet.time_base)) for packet in sound]
        length_ms = (container.duration or 0) // 1000
    assert abs(length_ms - clip.duration_ms) < 50
    sent = [block for block in footage.blocks if block.is_audio]
    # A tone repeats itself: what follows what is told by the order.
    first = next(n for n, block in enumerate(sent) if START + block.time_ms >= START + 2_000)
    for packet, at_ms, block in zip(sound[1:-2], times[1:-2], sent[first + 1 :], strict=False):
        assert bytes(packet) == block.payload
        assert abs(block.time_ms - 2_000 - at_ms) <= 45
    assert len(sound) > 200


@pytest.mark.parametrize("is_packaged", [False, True], ids=["spool", "hour file"])
def test_sound_goes_with_pictures_that_are_encoded(device: Device, is_packaged: bool) -> None:
    walls = every(100, 100, start_ms=START)
    audio, units = aac(10_000)
    writer = SegmentWriter(spool(device), START, Track("mjpeg", 160, 120, b"", audio))
    pictures = [Block(wall - START, jpeg(n, wall)) for n, wall in enumerate(walls)]
    heard = [unit for unit in units if unit.time_ms >= 0]
    writer.append_blocks(sorted([*pictures, *heard], key=lambda block: block.time_ms))
    writer.finish()
    if is_packaged:
        packager.package(device)
    clip = span(device, START + 1_350, START + 8_050)
    counters, media_ms = shown(clip)
    assert counters == list(range(14, 81))
    assert media_ms == [100 * n for n in range(67)]
    assert clip.codecs.endswith(",mp4a.40.2")
    with av.open(str(files.path_of(clip.pk, ".mp4"))) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.size]
        length_ms = 1000 * sum(float((one.duration or 0) * one.time_base) for one in sound)
    assert abs(length_ms - clip.duration_ms) < 60
    first = next(n for n, unit in enumerate(heard) if unit.time_ms >= 1_400)
    assert bytes(sound[2]) in {unit.payload for unit in heard[first : first + 4]}


def test_new_parameters_within_the_window_make_one_playable_clip(device: Device) -> None:
    recorded(device, *parts(2), is_packaged=True)
    write_coded(spool(device), coded(counter=100, size=(320, 240)), START + 4_000)
    write_coded(spool(device), coded(counter=150, codec="hevc"), START + 6_000)
    clip = span(device, START + 2_520, START + 7_000)
    assert (clip.width, clip.height, clip.duration_ms) == (160, 120, 4_480)
    seen = [one.stamp for one in sightings(files.path_of(clip.pk, ".mp4"))]
    assert len(seen) == 112
    # Encoded anew it begins with the window; scaled pictures cannot be read.
    assert [one.counter for one in seen[:37] if one] == list(range(63, 100))
    assert [one.counter for one in seen[87:] if one] == list(range(150, 175))


def test_a_camera_that_changes_from_jpeg_to_h264_gives_one_clip(device: Device) -> None:
    write_segment(spool(device), every(100, 40, start_ms=START))
    write_coded(spool(device), coded(counter=40), START + 4_000)
    clip = span(device, START + 1_000, START + 6_000)
    counters, _ = shown(clip)
    assert counters == list(range(10, 90))
    assert (clip.duration_ms, clip.reason) == (5_000, "")


def test_after_a_gap_it_begins_with_the_next_key_picture(device: Device) -> None:
    write_coded(spool(device), coded(), START)
    write_coded(spool(device), coded(counter=50), START + 60_000)
    clip = span(device, START + 50_000, START + 62_000)
    assert shown(clip)[0] == list(range(50, 100))
    assert clip.actual_start_ms == START + 60_000
    assert clip.reason.startswith("10 s of 12 s are missing")
