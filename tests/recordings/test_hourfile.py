"""Hour files: names, growing, and what is made of one after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from recordings import hourfile, locks
from recordings.exceptions import BadHourFileError, BadSegmentError, DiskError
from recordings.hourfile import Addition, HourFile
from recordings.media import mp4
from recordings.media.index import Entry
from recordings.media.matroska import Track
from recordings.media.mp4 import Mark, Sample
from recordings.segments import SegmentFile
from tests.recordings.test_media_mp4 import AVCC

START = 1_790_000_400_000
DAY = date(2026, 9, 21)
INIT = mp4.init_segment(Track("h264", 800, 600, AVCC), is_full_range=True)


def additions(*numbers: int) -> list[Addition]:
    """Fragments of 2 s and two frames each; two make one segment of 200 bytes."""
    made = []
    for number in numbers:
        wall_ms = START + 2_000 * number
        first = 2 * (number % 2)
        fragment = mp4.fragment(
            sequence=number + 1,
            media_ms=2_000 * number,
            wall_ms=wall_ms,
            samples=[Sample(1_000, 5, True), Sample(1_000, 5)],
            payload=[b"12345", b"67890"],
            mark=Mark(START + 4_000 * (number // 2), 200, first, first + 2, 4),
        )
        made.append(Addition(fragment, Entry(len(fragment), wall_ms, 2_000), 2))
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return hourfile.hour_path(tmp_path / "AA-BB-CC-00-00-01", DAY, 9, 1)


@pytest.fixture
def made(path: Path) -> HourFile:
    return hourfile.create(path, INIT, additions(0, 1))


def test_names_go_both_ways(tmp_path: Path) -> None:
    for hour, number, name in [(9, 1, "09.mp4"), (23, 2, "23-2.mp4"), (0, 14, "00-14.mp4")]:
        path = hourfile.hour_path(tmp_path, DAY, hour, number)
        assert path == tmp_path / "2026-09-21" / name
        assert hourfile.parse_path(path) == (DAY, hour, number)


@pytest.mark.parametrize(
    "name", ["24.mp4", "9.mp4", "09-1.mp4", "09-0.mp4", "09.mp4.lock", "a.mp4"]
)
def test_other_names_are_no_hour_files(tmp_path: Path, name: str) -> None:
    assert hourfile.parse_path(tmp_path / "2026-09-21" / name) is None
    assert hourfile.parse_path(tmp_path / "not-a-date" / "09.mp4") is None


def test_files_of_an_hour_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        hourfile.create(hourfile.hour_path(tmp_path, DAY, 9, number), INIT, additions(0))
    hourfile.create(hourfile.hour_path(tmp_path, DAY, 10, 1), INIT, additions(0))
    names = [path.name for path in hourfile.existing(tmp_path, DAY, 9)]
    assert names == ["09.mp4", "09-2.mp4", "09-10.mp4"]


def test_what_create_and_append_say_is_what_a_scan_finds(made: HourFile) -> None:
    assert hourfile.scan(made.path) == made
    grown = hourfile.append(made, additions(2, 3))
    assert hourfile.scan(made.path) == grown
    assert (grown.fragments, grown.frame_count, grown.duration_ms) == (4, 8, 8_000)
    assert (grown.started_ms, grown.ended_ms) == (START, START + 8_000)
    assert grown.size_bytes == made.path.stat().st_size


def test_an_existing_file_is_never_made_anew(made: HourFile) -> None:
    before = made.path.read_bytes()
    with pytest.raises(FileExistsError):
        hourfile.create(made.path, INIT, additions(0))
    assert made.path.read_bytes() == before


def test_a_file_changed_by_another_hand_is_not_appended_to(made: HourFile) -> None:
    hourfile.append(made, additions(2))
    with pytest.raises(BadHourFileError):
        hourfile.append(made, additions(2))


def test_recovering_believes_the_row_and_reads_only_what_is_behind_it(made: HourFile) -> None:
    grown = hourfile.append(made, additions(2, 3))
    assert hourfile.recover(made.path, grown) is grown
    assert hourfile.recover(made.path, made) == grown
    assert hourfile.recover(made.path, None) == grown
    with made.path.open("r+b") as file:  # what the row speaks for is not even looked at
        file.seek(len(INIT))
        file.write(b"\0" * 8)
    assert hourfile.recover(made.path, made) == grown


@pytest.mark.parametrize("has_row", [True, False])
def test_a_tail_torn_anywhere_is_cut_behind_the_last_whole_fragment(
    made: HourFile, has_row: bool
) -> None:
    whole = made.path.read_bytes()
    tail = additions(2, 3)
    first_bytes = tail[0].entry.size_bytes
    data = tail[0].data + tail[1].data
    for cut in range(1, len(data), 7):
        made.path.write_bytes(whole + data[:cut])
        found = hourfile.recover(made.path, made if has_row else None)
        assert found is not None
        assert found.fragments == (3 if cut >= first_bytes else 2)
        assert made.path.stat().st_size == found.size_bytes
        assert hourfile.scan(made.path) == found


def test_a_tail_of_zeros_is_cut(made: HourFile) -> None:
    with made.path.open("ab") as file:
        file.write(bytes(3 << 20))
    assert hourfile.recover(made.path, None) == made
    assert made.path.stat().st_size == made.size_bytes


def test_whole_fragments_behind_damage_are_left_where_they_are(made: HourFile) -> None:
    grown = hourfile.append(made, additions(2, 3))
    with made.path.open("r+b") as file:
        file.seek(made.size_bytes)
        file.write(b"\0" * 30)
    found = hourfile.recover(made.path, None)
    assert found == made
    assert made.path.stat().st_size == grown.size_bytes
    assert not hourfile.is_whole(found)
    assert not hourfile.accepts(found, INIT, START + 60_000)


def test_a_file_shorter_than_its_row_is_believed(made: HourFile) -> None:
    grown = hourfile.append(made, additions(2, 3))
    os.truncate(made.path, made.size_bytes + 5)
    assert hourfile.recover(made.path, grown) == made
    assert made.path.stat().st_size == made.size_bytes


@pytest.mark.parametrize("kept", [0, 1, 10, len(mp4.FTYP), len(INIT) - 1, len(INIT)])
def test_a_file_that_never_got_its_first_fragment_goes(path: Path, kept: int) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(INIT[:kept])
    assert hourfile.recover(path, None) is None
    assert not path.exists()


def test_a_foreign_file_is_refused_and_left(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0\0\0\x18ftypisom, a video of somebody's")
    with pytest.raises(BadHourFileError, match="not written by this recorder"):
        hourfile.recover(path, None)
    assert path.exists()


def test_only_what_fits_is_accepted(made: HourFile) -> None:
    assert hourfile.accepts(made, INIT, START + 4_000)
    assert hourfile.accepts(made, INIT, START + 2_001), "the last frame's length was a guess"
    assert not hourfile.accepts(made, INIT, START + 2_000), "fragments must rise in time"
    assert not hourfile.accepts(
        made, mp4.init_segment(Track("h264", 640, 480, AVCC)), START + 4_000
    )


def segment(start_ms: int, size_bytes: int = 200) -> SegmentFile:
    return SegmentFile(Path("unused"), start_ms, size_bytes, is_open=False)


def test_a_file_knows_how_much_of_a_segment_it_holds(made: HourFile) -> None:
    grown = hourfile.append(made, additions(2))
    assert hourfile.packaged_frames(grown, segment(START)) == (4, True)
    assert hourfile.packaged_frames(grown, segment(START + 4_000)) == (2, False)
    assert hourfile.packaged_frames(grown, segment(START + 8_000)) == (0, False)
    assert hourfile.packaged_frames(grown, segment(START - 5)) == (0, False)
    assert hourfile.packaged_frames(grown, segment(START, size_bytes=201)) == (0, False)


def test_a_failed_create_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_sync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", no_sync)
    with pytest.raises(DiskError, match="Input/output error"):
        hourfile.create(path, INIT, additions(0))
    assert not path.exists()


def test_a_failed_append_leaves_the_file_as_it_was(
    made: HourFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.path.read_bytes()

    def no_sync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", no_sync)
    with pytest.raises(DiskError, match="Input/output error"):
        hourfile.append(made, additions(2))
    assert made.path.read_bytes() == before


def test_fragments_that_cannot_be_made_leave_everything_as_it_was(
    made: HourFile, path: Path
) -> None:
    def ends_midway() -> Iterator[Addition]:
        yield from additions(2)
        raise BadSegmentError("it cannot be read")

    before = made.path.read_bytes()
    with pytest.raises(BadSegmentError):
        hourfile.append(made, ends_midway())
    assert made.path.read_bytes() == before
    other = path.with_name("10.mp4")
    with pytest.raises(BadSegmentError):
        hourfile.create(other, INIT, ends_midway())
    assert not other.exists()


def test_the_lock_lies_beside_the_file(made: HourFile) -> None:
    assert not locks.has_lock_marker(made.path)
    for is_locked in (True, True, False, False):
        locks.set_lock_marker(made.path, is_locked=is_locked)
        assert locks.has_lock_marker(made.path) == is_locked


def test_a_device_lock_is_held_once_and_freed(tmp_path: Path) -> None:
    with (
        hourfile.device_lock(tmp_path, "A") as first,
        hourfile.device_lock(tmp_path, "A") as second,
    ):
        assert (first, second) == (True, False)
        with hourfile.device_lock(tmp_path, "B") as other:
            assert other
    with hourfile.device_lock(tmp_path, "A") as again:
        assert again
