"""Playlists: their text against RFC 8216, and what FFmpeg makes of them over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from recordings.media import index
from recordings.media.playlist import HourFile, render
from recordings.playback import playlist
from recordings.timeline import to_ms
from tests.factories import make_device, make_recording
from tests.recordings.hourfiles import make_indexed_hours

ZERO = 1_790_000_000_000  # epoch ms


def hour(
    *durations: int, gap_after: int = -1, gap_ms: int = 0, number: int = 1, **kwargs: object
) -> HourFile:
    entries, wall = [], ZERO
    for position, duration in enumerate(durations):
        entries.append(index.Entry(100 + position, wall, duration))
        wall += duration + (gap_ms if position == gap_after else 0)
    values = {"uri": f"/{number}", "started_ms": ZERO, "init_bytes": 700, "is_open": False}
    return HourFile(**{**values, **kwargs}, fragment_index=index.encode(entries, ZERO))  # type: ignore[arg-type]


def text_of(*files: HourFile, start: int = 0, end: int = 10**9, is_growing: bool = False) -> str:
    return render(files, start_ms=ZERO + start, end_ms=ZERO + end, is_growing=is_growing)


def segments(text: str) -> list[tuple[float, int, int, str]]:
    """(seconds, bytes, offset, uri)."""
    found = re.findall(r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\d+)@(\d+)\n([^\s?]+)", text)
    return [(float(s), int(n), int(at), uri) for s, n, at, uri in found]


def test_it_groups_fragments_to_six_seconds() -> None:
    assert segments(text_of(hour(*[2000] * 6))) == [
        (6.0, 100 + 101 + 102, 700, "/1"),
        (6.0, 103 + 104 + 105, 1003, "/1"),
    ]


def test_neighbours_have_different_addresses() -> None:
    assert re.findall(r"^/.*", text_of(hour(*[2000] * 9)), re.MULTILINE) == ["/1", "/1?2", "/1"]


def test_a_finished_span_is_a_vod_with_an_end() -> None:
    lines = text_of(hour(2000)).splitlines()
    assert lines[0] == "#EXTM3U"
    assert "#EXT-X-VERSION:7" in lines
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in lines
    assert '#EXT-X-MAP:URI="/1",BYTERANGE="700@0"' in lines
    assert "#EXT-X-PROGRAM-DATE-TIME:2026-09-21T14:13:20.000Z" in lines
    assert lines[-1] == "#EXT-X-ENDLIST"


def test_a_growing_span_is_an_event_without_an_end() -> None:
    text = text_of(hour(*[2000] * 3, is_open=True), is_growing=True)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text
    assert "ENDLIST" not in text


@pytest.mark.parametrize("gap_ms", [0, 9000])
def test_a_growing_playlist_is_only_ever_appended_to(gap_ms: int) -> None:
    before = ""
    for count in range(1, 40):
        file = hour(*[2000] * count, gap_after=7, gap_ms=gap_ms, is_open=True)
        text = text_of(file, is_growing=True)
        assert text.startswith(before)
        before = text
    assert len(segments(before)) >= 12


def test_the_last_seconds_of_a_closed_file_are_there() -> None:
    assert [s for s, *_ in segments(text_of(hour(*[2000] * 4)))] == [6.0, 2.0]


def test_a_gap_is_a_new_date_and_no_discontinuity() -> None:
    text = text_of(hour(*[2000] * 4, gap_after=1, gap_ms=60_000))
    assert [s for s, *_ in segments(text)] == [4.0, 4.0]
    assert re.findall(r"DATE-TIME:\S+T(\S+)Z", text) == ["14:13:20.000", "14:14:24.000"]
    assert "DISCONTINUITY" not in text


def test_strays_that_add_up_become_a_new_date() -> None:
    entries = [index.Entry(100, ZERO + number * 2030, 2000) for number in range(60)]
    file = HourFile("/1", ZERO, 700, index.encode(entries, ZERO))
    text = text_of(file)
    dates = re.findall(r"DATE-TIME:(\S+)Z", text)
    assert len(dates) == 1 + 59 * 30 // 270
    shown = sum(s for s, *_ in segments(text))
    assert shown == pytest.approx(120.0)


def test_another_file_is_a_discontinuity_with_its_own_init() -> None:
    text = text_of(hour(2000), hour(2000, number=2, init_bytes=900))
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="/2",BYTERANGE="900@0"\n' in text


def test_it_begins_with_the_fragment_that_covers_the_start() -> None:
    text = text_of(hour(*[2000] * 9), start=5000, end=9000)
    assert segments(text) == [(6.0, 102 + 103 + 104, 700 + 100 + 101, "/1")]


def test_a_start_inside_a_gap_begins_after_it() -> None:
    text = text_of(hour(*[2000] * 4, gap_after=1, gap_ms=60_000), start=30_000)
    assert segments(text)[0][2] == 700 + 100 + 101


@pytest.mark.parametrize(
    ("fragment_ms", "target"), [(2_000, 8), (6_000, 8), (8_499, 8), (8_500, 16), (20_000, 32)]
)
def test_gops_of_any_length_fit_the_target_duration(fragment_ms: int, target: int) -> None:
    text = text_of(hour(*[fragment_ms] * 5))
    assert f"#EXT-X-TARGETDURATION:{target}\n" in text
    assert all(seconds + 0.5 < target + 1 for seconds, *_ in segments(text))
    shown = sum(seconds for seconds, *_ in segments(text))
    assert shown == pytest.approx(5 * fragment_ms / 1000)


def test_the_target_duration_stays_while_gops_differ_a_little() -> None:
    targets = set()
    for count in range(1, 20):
        lengths = [9_000 + 137 * number % 5_000 for number in range(count)]
        text = text_of(hour(*lengths, is_open=True), is_growing=True)
        targets |= set(re.findall(r"TARGETDURATION:(\d+)", text))
    assert targets == {"16"}


@pytest.mark.parametrize("span", [(-5000, -1), (100_000, 200_000), (2500, 2600)])
def test_a_span_without_video_gives_nothing(span: tuple[int, int]) -> None:
    file = hour(2000, 2000, gap_after=0, gap_ms=9000)
    assert text_of(file, start=span[0], end=span[1]) == ""


@pytest.mark.django_db
def test_a_day_is_one_query_and_every_byte_is_in_it_once() -> None:
    device = make_device()
    start = datetime(2026, 11, 19, tzinfo=UTC)
    make_indexed_hours(device, start, 24, gaps=3)
    with CaptureQueriesContext(connection) as queries:
        text = playlist(
            device.pk,
            to_ms(start),
            to_ms(start + timedelta(days=1)),
            now=start + timedelta(days=3),
            uri_of=lambda pk: f"/{pk}",
        )
    assert len(queries) == 1
    found = segments(text)
    assert sum(seconds for seconds, *_ in found) == pytest.approx(24 * (3600 - 30))
    for (_, size, offset, uri), (_, _, following, next_uri) in pairwise(found):
        assert following == (offset + size if uri == next_uri else 700)
    assert text.count("#EXT-X-MAP") == 24
    assert text.count("#EXT-X-DISCONTINUITY") == 23
    assert text.endswith("#EXT-X-ENDLIST\n")


@pytest.mark.django_db
def test_only_the_newest_file_keeps_its_unfinished_group_back() -> None:
    device = make_device()
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number in range(2):
        at = start + timedelta(seconds=8 * number)
        entries = [index.Entry(10, to_ms(at) + n * 2000, 2000) for n in range(4)]
        make_recording(
            device,
            started_at=at,
            seconds=8,
            path=f"{device.directory}/2026-11-20/12-{number}.mp4",
            fragment_index=index.encode(entries, to_ms(at)),
        )
    text = playlist(
        device.pk,
        to_ms(start),
        to_ms(start + timedelta(hours=1)),
        now=start + timedelta(seconds=30),
        uri_of=str,
    )
    assert [s for s, *_ in segments(text)] == [6.0, 2.0, 6.0]
    assert "EVENT" in text
