"""Streams that are copied: every picture and every sound once, at its own time, without an encoder."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from django.conf import settings

from devices.models import Device
from recordings import assembly, encoder, hourfile, packager
from recordings.exceptions import DiskError
from recordings.ffmpeg import find_ffmpeg
from recordings.footage import collect
from recordings.media import aac, index, mp4
from recordings.media.matroska import Audio, Block
from recordings.models import Recording
from recordings.reindex import reindex
from recordings.segments import SegmentWriter, adopt, list_segments
from recordings.spool import SpoolTrack, SpoolWriter
from tests.factories import make_device
from tests.instruments import ffmpegs
from tests.instruments.counting import examine
from tests.recordings.footage import Coded, coded, every, write_coded
from tests.recordings.test_footage import pictures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

START = 1_790_000_400_000  # 10:20:00 in every whole-hour zone


@pytest.fixture
def device() -> Device:
    return make_device()


@pytest.fixture(autouse=True)
def _nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a stream that is copied needs no encoder")

    monkeypatch.setattr(encoder, "encode", refuse)


def spool(device: Device) -> Path:
    return settings.SPOOL_DIR / device.directory


def files(device: Device) -> list[Path]:
    rows = Recording.objects.filter(device=device).order_by("started_at")
    return [settings.RECORDINGS_DIR / row.path for row in rows]


def complaints(path: Path, program: str = "") -> str:
    """What FFmpeg says when it decodes all of it; nothing is what a right file gets."""
    ends = ("-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-f", "null", "-")
    argv = [program or find_ffmpeg(), "-v", "warning", "-i", str(path), *ends]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stderr


def packets(path: Path) -> tuple[list[bytes], list[bytes]]:
    """(pictures, units of sound) in the file, as bytes in decode order."""
    with av.open(str(path)) as container:
        found: dict[str, list[bytes]] = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.size:
                found[packet.stream.type].append(bytes(packet))
    return found["video"], found["audio"]


def write_all(device: Device, footage: Coded, *starts_ms: int) -> None:
    for start_ms in starts_ms:
        write_coded(spool(device), footage, start_ms)


def part_of(data: bytes, at: int, size: int) -> bytes:
    return data[at : at + size]


def check_files(device: Device, *, is_in_order: bool = True) -> None:
    """Every byte is whole fragments that say what the row says, sound has no hole, and all of it can
    be decoded. `is_in_order`: pictures were sent in an order in which they can be shown.
    """
    for row in Recording.objects.filter(device=device):
        path = settings.RECORDINGS_DIR / row.path
        data = path.read_bytes()
        assert len(data) == row.size_bytes
        read = partial(part_of, data)
        entries = index.decode(
            row.fragment_index,
            started_ms=round(row.started_at.timestamp() * 1000),
            init_bytes=row.init_bytes,
        )
        assert all(a.wall_ms < b.wall_ms for a, b in pairwise(entries))
        media_ms, sound_ms = 0, None
        for entry in entries:
            head = mp4.read_fragment(read, entry.offset_bytes, len(data))
            assert head is not None
            assert (head.size_bytes, head.wall_ms) == (entry.size_bytes, entry.wall_ms)
            assert head.media_ms == media_ms
            assert head.duration_ms == entry.duration_ms > 0
            assert head.runs[0].keys[0]
            media_ms += head.duration_ms
            if len(head.runs) > 1:
                assert sound_ms in (None, head.runs[1].media_ms)
                sound_ms = head.runs[1].end_ms
        assert media_ms == row.duration_ms
        if is_in_order:
            assert complaints(path) == ""
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == row.frame_count


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("has_sound", [False, True])
def test_what_comes_in_is_in_the_file_byte_for_byte_and_at_its_time(
    device: Device, codec: str, b_frames: int, has_sound: bool
) -> None:
    first = coded(codec, b_frames=b_frames, has_sound=has_sound)
    second = coded(codec, b_frames=b_frames, has_sound=has_sound, counter=50)
    write_coded(spool(device), first, START)
    write_coded(spool(device), second, START + 2_000)
    outcome = packager.package(device)
    assert (outcome.segments, outcome.frames) == (2, 100)
    row = Recording.objects.get()
    assert (row.frame_count, row.duration_ms) == (100, 4_000)
    assert row.started_at == datetime.fromtimestamp(START / 1000, UTC)
    assert row.codecs.startswith("avc1." if codec == "h264" else "hvc1.")
    assert row.codecs.endswith(",mp4a.40.2") == has_sound
    report = examine(files(device)[0], first=0, last=99)
    assert report.is_whole, report
    pictures, _ = packets(files(device)[0])
    assert pictures == [block.payload for block in (*first.pictures, *second.pictures)]
    check_files(device)


def walls_of(device: Device) -> list[int]:
    """Presentation times of all pictures, as fragments say them, in their order."""
    found = []
    for row in Recording.objects.filter(device=device).order_by("started_at"):
        data = (settings.RECORDINGS_DIR / row.path).read_bytes()
        at = row.init_bytes
        while head := mp4.read_fragment(partial(part_of, data), at, len(data)):
            run = head.runs[0]
            decoded = [head.wall_ms + sum(run.durations_ms[:n]) for n in range(head.samples)]
            found += [wall + offset for wall, offset in zip(decoded, run.offsets_ms, strict=True)]
            at += head.size_bytes
    return sorted(found)


def write_blocks(device: Device, footage: Coded, start_ms: int, blocks: list[Block]) -> None:
    writer = SegmentWriter(spool(device), start_ms, footage.track)
    writer.append_blocks(blocks)
    writer.finish()


def retimed(footage: Coded, times_ms: list[int]) -> list[Block]:
    """Its pictures at other times."""
    return [
        block._replace(time_ms=time_ms)
        for block, time_ms in zip(footage.pictures, times_ms, strict=True)
    ]


@pytest.mark.parametrize("program", ffmpegs.BOTH)
def test_both_ffmpegs_read_reordered_pictures_with_sound_without_a_word(
    device: Device, program: str
) -> None:
    for codec in ("h264", "hevc"):
        write_all(device, coded(codec, b_frames=2, has_sound=True), START)
        packager.package(device)
        assert complaints(files(device)[-1], program) == ""


@pytest.mark.parametrize(
    ("gop", "fragments"), [(5, 2), (25, 2), (20, 3), (30, 3), (50, 2), (100, 1)]
)
def test_short_gops_share_a_fragment_of_two_seconds_and_long_ones_have_their_own(
    device: Device, gop: int, fragments: int
) -> None:
    write_all(device, coded(frames=100, gop=gop), START)
    (spool(device) / f"{START + 4_000}.mkv.part").write_bytes(b"")
    packager.package(device)
    row = Recording.objects.get()
    assert len(row.fragment_index) // index.ENTRY_BYTES == fragments
    check_files(device)


def test_a_gop_of_twenty_seconds_is_one_fragment(device: Device) -> None:
    footage = coded(frames=100, fps=5, gop=100)
    write_all(device, footage, START)
    packager.package(device)
    row = Recording.objects.get()
    assert (len(row.fragment_index) // index.ENTRY_BYTES, row.duration_ms) == (1, 20_000)
    check_files(device)


def test_time_goes_on_over_packages(device: Device) -> None:
    """The last sound of one run and the first of the next lie side by side."""
    footage = coded(b_frames=2, has_sound=True)
    for number in range(4):
        write_all(device, footage, START + 2_000 * number)
        packager.package(device)
    assert walls_of(device) == every(40, 200, start_ms=START)
    assert Recording.objects.get().duration_ms == 8_000
    check_files(device)


@pytest.mark.parametrize("change", ["size", "config", "sound", "codec"])
def test_another_kind_of_stream_opens_another_file(device: Device, change: str) -> None:
    other = {
        "size": coded(size=(176, 144), has_sound=True),
        "config": coded(b_frames=2, has_sound=True),
        "sound": coded(),
        "codec": coded("hevc", has_sound=True),
    }[change]
    first = coded(has_sound=True)
    for number, footage in enumerate((first, other, other, first)):
        write_all(device, footage, START + 2_000 * number)
    packager.package(device)
    assert [path.name[2:] for path in files(device)] == [".mp4", "-2.mp4", "-3.mp4"]
    assert [row.frame_count for row in Recording.objects.order_by("started_at")] == [50, 100, 50]
    check_files(device)


def test_the_hours_turn_and_a_gap(device: Device) -> None:
    turn = START + 40 * 60_000
    footage = coded(has_sound=True)
    write_all(device, footage, turn - 62_000, turn - 2_000, turn)
    packager.package(device)
    first, second = Recording.objects.order_by("started_at")
    assert (first.duration_ms, second.duration_ms) == (4_000, 2_000)
    assert first.ended_at == second.started_at
    check_files(device)


# --- what cameras send -----------------------------------------------------------------------------


def test_sound_that_pauses_is_filled_with_silence_and_stays_beside_its_pictures(
    device: Device,
) -> None:
    footage = coded(frames=250, has_sound=True, gop=50)
    blocks = [b for b in footage.blocks if not (b.is_audio and 3_000 < b.time_ms < 7_500)]
    write_blocks(device, footage, START, blocks)
    packager.package(device)
    check_files(device)
    pictures, heard = packets(files(device)[0])
    assert len(pictures) == 250
    audio = footage.track.audio
    assert audio is not None
    silent = aac.silence(audio.config, audio.channels)
    assert abs(heard.count(silent) - 4_500 * 48 // 1_024) <= 2
    with av.open(str(files(device)[0])) as container:
        times = [
            float(1000 * packet.pts * packet.time_base)
            for packet in container.demux(container.streams.audio[0])
            if packet.size and packet.pts is not None and packet.time_base
        ]
    late = [b.time_ms for b in blocks if b.is_audio and b.time_ms > 7_500]
    assert all(abs(a - b) <= 1 for a, b in zip(times[-len(late) :], late, strict=True))


def test_pictures_without_sound_though_sound_was_promised(device: Device) -> None:
    footage = coded(has_sound=True)
    write_blocks(device, footage, START, footage.pictures)
    write_all(device, footage, START + 2_000)
    packager.package(device)
    assert Recording.objects.get().frame_count == 100
    check_files(device)


def test_sound_alone_goes_aside_and_holds_nothing_up(device: Device) -> None:
    footage = coded(has_sound=True)
    write_blocks(device, footage, START, [b for b in footage.blocks if b.is_audio])
    write_all(device, footage, START + 20_000)
    packager.package(device)
    assert Recording.objects.get().frame_count == 50
    assert [path.name for path in spool(device).iterdir()] == [f"{START}.mkv.bad"]


def test_sound_that_cannot_be_played_is_left_out_and_the_pictures_are_kept(device: Device) -> None:
    footage = coded(has_sound=True)
    bad = footage.track._replace(audio=Audio("aac", 48_000, 1, b"\x17"))
    write_all(device, footage._replace(track=bad), START)
    packager.package(device)
    row = Recording.objects.get()
    assert (row.frame_count, "mp4a" in row.codecs) == (50, False)
    check_files(device)


def test_sound_with_wild_times_is_kept_beside_its_pictures(device: Device) -> None:
    footage = coded(has_sound=True)
    blocks = [
        b._replace(time_ms=b.time_ms + (3_600_000 if n % 5 == 0 else 0)) if b.is_audio else b
        for n, b in enumerate(footage.blocks)
    ]
    write_blocks(device, footage, START, blocks)
    packager.package(device)
    row = Recording.objects.get()
    assert row.duration_ms == 2_000
    check_files(device)
    assert len(packets(files(device)[0])[1]) >= 90


def test_a_segment_that_begins_without_a_key_begins_at_the_first_one(device: Device) -> None:
    footage = coded()
    write_blocks(device, footage, START, footage.pictures[5:])
    packager.package(device)
    assert Recording.objects.get().frame_count == 25
    assert packager.package(device).segments == 0
    check_files(device)


def test_a_segment_without_a_key_goes_aside(device: Device) -> None:
    footage = coded()
    write_blocks(device, footage, START, footage.pictures[1:20])
    packager.package(device)
    assert [path.name for path in spool(device).iterdir()] == [f"{START}.mkv.bad"]


def test_parameters_that_make_no_sense_go_aside(device: Device) -> None:
    footage = coded()
    nonsense = footage.track._replace(config=b"\x01nonsense")
    write_all(device, footage._replace(track=nonsense), START)
    write_all(device, footage, START + 20_000)
    packager.package(device)
    assert Recording.objects.get().frame_count == 50
    assert [path.name for path in spool(device).iterdir()] == [f"{START}.mkv.bad"]


@pytest.mark.parametrize(
    "times",
    [
        [0] * 50,  # all the same
        [40 * (n // 2) for n in range(50)],  # pairs
        [40 * n if n < 30 else 40 * n - 900 for n in range(50)],  # a step back within a GOP
        [40 * n if n < 25 else 40 * n - 800 for n in range(50)],  # a step back at a key picture
        [40 * n if n < 30 else 40 * n + 4_000 for n in range(50)],  # a step forward
        [40 * n if n % 10 else 39 * n for n in range(50)],  # jitter
        [max(0, 2_000 - 40 * n) for n in range(50)],  # backwards all the way
    ],
)
def test_times_that_do_not_rise_make_a_file_whose_times_do(
    device: Device, times: list[int]
) -> None:
    footage = coded()
    write_blocks(device, footage, START, retimed(footage, times))
    write_all(device, footage, START + 10_000)
    packager.package(device)
    assert sum(row.frame_count for row in Recording.objects.all()) == 100
    assert packager.package(device).segments == 0
    second_gop = times[25:]
    check_files(device, is_in_order=second_gop in (sorted(second_gop), sorted(second_gop)[::-1]))


def test_a_segment_that_is_cut_short_while_it_is_read_goes_aside(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = coded(frames=100)
    write_all(device, footage, START)
    write_all(device, coded(counter=100), START + 4_000)
    real = assembly.copied_groups

    def cut_meanwhile(run: Any) -> Any:
        groups = real(run)
        if run[0].segment.start_ms == START:
            os.truncate(run[0].segment.path, run[0].segment.size_bytes // 2)
        return groups

    monkeypatch.setattr(packager, "copied_groups", cut_meanwhile)
    packager.package(device)
    assert (spool(device) / f"{START}.mkv.bad").exists()
    assert Recording.objects.get().frame_count == 50
    check_files(device)


# --- nothing lost, nothing twice -------------------------------------------------------------------


def repeated(footage: Coded, from_ms: int) -> Coded:
    blocks = [
        b._replace(time_ms=b.time_ms - from_ms) for b in footage.blocks if b.time_ms >= from_ms
    ]
    return footage._replace(blocks=blocks)


def test_what_a_later_segment_of_the_run_repeats_is_packaged_once(device: Device) -> None:
    footage = coded(frames=250, b_frames=2)
    older = footage._replace(blocks=footage.blocks[:130])
    write_coded(spool(device), older, START, run=5, first_us=10_000_000)
    write_coded(spool(device), repeated(footage, 4_000), START + 4_003, run=5, first_us=14_000_000)
    for path in spool(device).iterdir():
        os.utime(path, (time.time() - 100,) * 2)
    packager.package(device)
    report = examine(*files(device), first=0, last=249)
    assert report.is_whole, report
    assert packager.package(device).segments == 0
    check_files(device)


def test_a_segment_that_another_one_repeats_wholly_is_left_to_that_one(device: Device) -> None:
    footage = coded(frames=150, b_frames=2)
    write_coded(spool(device), coded(b_frames=2), START, run=5, first_us=10_000_000)
    write_coded(spool(device), footage, START + 3, run=5, first_us=10_000_000)
    assert packager.package(device).segments == 0
    assert len(list_segments(spool(device))) == 2
    for path in spool(device).iterdir():
        os.utime(path, (time.time() - 100,) * 2)
    assert packager.package(device).segments == 1
    assert not list_segments(spool(device))
    report = examine(*files(device), first=0, last=149)
    assert report.is_whole, report


def test_the_newest_segment_of_a_run_waits_until_nobody_can_repeat_it(device: Device) -> None:
    footage = coded()
    write_coded(spool(device), footage, START, run=5, first_us=1_000_000)
    write_coded(spool(device), footage, START + 600_000, run=6, first_us=601_000_000)
    assert packager.package(device).segments == 0
    path = spool(device) / f"{START}.mkv"
    os.utime(path, (time.time() - 46,) * 2)
    assert packager.package(device).segments == 1
    assert not path.exists()
    # Its run goes on: the second one is settled.
    write_coded(spool(device), footage, START + 610_000, run=6, first_us=611_000_000)
    assert packager.package(device).segments == 1


def test_a_lost_database_changes_nothing(device: Device) -> None:
    now_ms = time.time_ns() // 1_000_000 // 3_600_000 * 3_600_000 - 10_000
    footage = coded(b_frames=2, has_sound=True)
    write_all(device, footage, now_ms - 10_000)
    packager.package(device)
    before = list(Recording.objects.values())
    Recording.objects.all().delete()
    assert reindex().rows_made == 1
    again = [{**row, "id": before[0]["id"]} for row in Recording.objects.values()]
    assert again == before
    assert packager.package(device).segments == 0


def test_a_torn_tail_is_cut_and_packaged_again(device: Device) -> None:
    now_ms = time.time_ns() // 1_000_000 - 20_000
    footage = coded(frames=150, b_frames=2, has_sound=True)
    write_all(device, footage, now_ms)
    packager.package(device)
    path = files(device)[0]
    whole = path.read_bytes()
    known = hourfile.scan(path)
    assert known is not None
    assert known.fragments == 3
    Recording.objects.all().delete()
    for cut in (10, known.last.size_bytes - 100, known.last.size_bytes + 10):
        path.write_bytes(whole[:-cut])
        packager.package(device)
        report = examine(path, first=0, last=149)
        assert report.is_whole, report
        check_files(device)
        Recording.objects.all().delete()


def test_a_full_disk_changes_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    footage = coded(b_frames=2, has_sound=True)
    write_all(device, footage, START)
    packager.package(device)
    path = files(device)[0]
    before = path.read_bytes()
    write_all(device, coded(b_frames=2, has_sound=True, counter=50), START + 2_000)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DiskError, match="No space left"):
            packager.package(device)
    assert path.read_bytes() == before
    packager.package(device)
    report = examine(path, first=0, last=99)
    assert report.is_whole, report
    check_files(device)


def test_from_the_agents_packets_to_the_hour_file(device: Device) -> None:
    """The spool's own writer, a web process that dies, and a sender that repeats."""
    footage = coded(frames=300, b_frames=2, has_sound=True)
    began_ns = time.monotonic_ns() - 30_000_000_000
    began_ms = time.time_ns() // 1_000_000 - 30_000

    def send(blocks: list[Block]) -> SpoolTrack:
        writer = SpoolWriter(settings.SPOOL_DIR, 4, lambda _: None, has_threads=False)
        track = writer.open(device.directory, footage.track, run=99)
        for number, block in enumerate(footage.blocks):
            if block in blocks:
                track.append(
                    began_ns + block.time_ms * 1_000_000,
                    block.payload,
                    is_key=block.is_key,
                    is_audio=block.is_audio,
                    capture_us=500_000_000 + block.time_ms * 1000,
                    number=number + 1,
                )
            if number % 50 == 0:
                writer.drain()
        writer.drain()
        writer.sync()
        return track

    killed = send(footage.blocks[:400])
    assert killed.segment is not None
    os.close(killed.segment._fd)  # all that kill -9 leaves is a .part that nobody holds
    assert adopt(spool(device)) == 1
    key = max(n for n, b in enumerate(footage.blocks[:390]) if b.is_key and not b.is_audio)
    track = send(footage.blocks[key:])
    span = (began_ms - 1_000, began_ms + 60_000)
    found = pictures(collect(device, *span))
    assert [data for _, data in found] == [block.payload for block in footage.pictures]
    assert len(list_segments(spool(device))) >= 4
    track.close()
    track.drain()
    for number in range(2):  # the newest segment is open, and nobody says that it ends
        for path in spool(device).iterdir():
            os.utime(path, (time.time() - 100,) * 2)
        packager.package(device)
        assert pictures(collect(device, *span)) == found, number
    report = examine(*files(device), first=0)
    assert report.is_whole, report
    check_files(device)
