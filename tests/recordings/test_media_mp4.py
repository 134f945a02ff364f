"""The hour files' MP4: written, read back, and refused wherever it is not whole."""

from __future__ import annotations

import hashlib
import random

import pytest

from recordings.media import index, mp4
from recordings.media.index import Entry
from recordings.media.matroska import Audio, Track
from recordings.media.mp4 import AUDIO_TRACK, VIDEO_TRACK, Init, Mark, Run, Sample

AVCC = bytes.fromhex(
    "0164001fffe100186764001facb406409bf2c2000003000200000fa01e30654001000568ef0472c0fdf8f800"
)
WALL_MS = 1_790_000_400_123
MARK = Mark(WALL_MS - 500, 123_456, 10, 12, 300)


def one(wall_ms: int = WALL_MS, samples: int = 2) -> bytes:
    payload = [bytes([number]) * (50 + number) for number in range(samples)]
    return mp4.fragment(
        sequence=3,
        media_ms=2**33 + 5,
        wall_ms=wall_ms,
        samples=[Sample(100 + n, len(data), not n) for n, data in enumerate(payload)],
        payload=payload,
        mark=MARK,
    )


def reordered() -> bytes:
    """Pictures shown in another order than they are decoded, two of them keys, and sound."""
    pictures = [Sample(40, 9, True), Sample(40, 5, False, 80), Sample(41, 4, False, -40),
                Sample(39, 3, False, -40), Sample(40, 8, True)]  # fmt: skip
    sound = Run(AUDIO_TRACK, 2**33 - 16, [Sample(21, 6), Sample(22, 7)], [b"s" * 6, b"t" * 7])
    return mp4.fragment(
        sequence=4, media_ms=2**33, wall_ms=WALL_MS, samples=pictures,
        payload=[b"v" * sample.size_bytes for sample in pictures], mark=MARK, sound=sound,
    )  # fmt: skip


def parse(data: bytes, at: int = 0) -> mp4.FragmentHead | None:
    return mp4.read_fragment(lambda start, size: data[start : start + size], at, len(data))


def test_what_earlier_versions_wrote_is_still_written_byte_by_byte() -> None:
    """A growing hour goes on after an upgrade: its head must be the same, its fragments readable."""
    init = mp4.init_segment(Track("h264", 800, 600, AVCC), is_full_range=True)
    assert hashlib.sha256(init).hexdigest() == (
        "9fd6645c236f2fba7a3644f2d8b9277a943d3f20043403586f3bdf10773ac5cb"
    )
    assert hashlib.sha256(one(samples=3)).hexdigest() == (
        "9721c85db7686d3487848fb80812a96766b9aa644344faf669e0bee3e9e7e712"
    )


def test_a_fragment_is_read_back_as_it_was_written() -> None:
    data = one()
    head = parse(data)
    assert head is not None
    assert head[:-1] == (len(data), WALL_MS, 2**33 + 5, 201, 2, MARK)
    assert head.runs == (
        mp4.StoredRun(VIDEO_TRACK, 2**33 + 5, len(data) - 101, (100, 101), (50, 51),
                      [True, False], (0, 0)),
    )  # fmt: skip
    assert parse(b"xyz" + data, 3) == head


def test_order_keys_and_sound_are_read_back() -> None:
    data = reordered()
    head = parse(data)
    assert head is not None
    assert head[:-1] == (len(data), WALL_MS, 2**33, 200, 5, MARK)
    pictures, sound = head.runs
    assert pictures.keys == [True, False, False, False, True]
    assert pictures.offsets_ms == (0, 80, -40, -40, 0)
    assert (sound.track_id, sound.media_ms, sound.end_ms) == (AUDIO_TRACK, 2**33 - 16, 2**33 + 27)
    held = [data[at : at + size] for run in head.runs
            for at, size in zip(mp4.places(run), run.sizes_bytes, strict=True)]  # fmt: skip
    assert held == [b"v" * 9, b"v" * 5, b"v" * 4, b"v" * 3, b"v" * 8, b"s" * 6, b"t" * 7]


def test_a_live_fragment_is_the_same_without_what_names_its_segment() -> None:
    run = Run(VIDEO_TRACK, 7, [Sample(40, 3)], [b"abc"])
    data = mp4.moof_mdat(9, [run])
    assert data[4:8] == b"moof"
    assert data.endswith(b"\0\0\0\x0bmdatabc")
    whole = mp4.fragment(sequence=9, media_ms=7, wall_ms=0, samples=run.samples,
                         payload=run.payload, mark=MARK)  # fmt: skip
    assert whole[mp4.PREFIX_BYTES :] == data


def test_wall_time_is_exact_to_the_millisecond() -> None:
    for wall_ms in [0, 1, 999, 1_000, *range(WALL_MS, WALL_MS + 1_000)]:
        head = parse(one(wall_ms, samples=1))
        assert head is not None
        assert head.wall_ms == wall_ms


def test_wall_time_survives_the_end_of_the_ntp_era() -> None:
    for wall_ms in (2_085_978_495_999, 2_085_978_496_000, 2_085_978_496_001):  # February 2036
        head = parse(one(wall_ms))
        assert head is not None
        assert head.wall_ms == wall_ms


def test_a_fragment_cut_anywhere_is_none() -> None:
    for data in (one(samples=5), reordered()):
        assert all(parse(data[:cut]) is None for cut in range(len(data)))


def test_damage_is_noticed_or_harmless() -> None:
    chance = random.Random(7)
    for data in (one(samples=20), reordered()):
        for _ in range(3_000):
            damaged = bytearray(data)
            damaged[chance.randrange(240)] ^= 1 << chance.randrange(8)
            head = parse(bytes(damaged))
            assert head is None or head.size_bytes == len(data)


def test_an_init_segment_says_what_it_holds() -> None:
    data = mp4.init_segment(Track("h264", 800, 600, AVCC))
    expected = Init(len(data), "avc1.64001f", 800, 600)
    assert mp4.read_init(data) == mp4.read_init(data + one()) == expected
    assert all(mp4.read_init(data[:cut]) is None for cut in range(len(data)))


def test_an_init_segment_with_sound_says_both_codecs_and_the_whole_track() -> None:
    for rate_hz, channels, config in (
        (16_000, 1, "1408"),
        (48_000, 2, "1190"),
        (96_000, 2, "1010"),
    ):
        track = Track(
            "h264", 640, 480, AVCC, Audio("aac", rate_hz, channels, bytes.fromhex(config))
        )
        data = mp4.init_segment(track)
        assert mp4.read_init(data) == Init(len(data), "avc1.64001f,mp4a.40.2", 640, 480)
        assert mp4.read_track(data + one()) == track
        assert b"colr" not in data  # a camera's stream says itself what its colours are


def test_a_damaged_init_segment_is_refused_and_nothing_else_is_raised() -> None:
    chance = random.Random(7)
    audio = Audio("aac", 16_000, 1, b"\x14\x08")
    data = mp4.init_segment(Track("h264", 640, 480, AVCC, audio))
    refused = 0
    for _ in range(5_000):
        damaged = bytearray(data)
        damaged[chance.randrange(len(mp4.FTYP), len(data))] ^= 1 << chance.randrange(8)
        try:
            mp4.read_init(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 500


def test_what_mp4_cannot_hold_is_refused() -> None:
    for track in (Track("mjpeg", 640, 480), Track("h264", 640, 480)):
        with pytest.raises(ValueError, match="MP4 needs"):
            mp4.init_segment(track)


def test_somebody_elses_file_is_refused() -> None:
    for foreign in (b"\0\0\0\x18ftypisom", b"RIFF", b"\0" * 100, mp4.FTYP + b"\0\0\0\x08mdat"):
        with pytest.raises(ValueError, match=r"begin|second box"):
            mp4.read_init(foreign)


def test_a_mark_is_found_wherever_it_stands() -> None:
    assert mp4.find_mark(b"torn" * 10 + one()) == 40
    assert mp4.find_mark(b"torn" * 10) == -1


# --- the index --------------------------------------------------------------------------------

ENTRIES = [Entry(1_000, WALL_MS, 2_000), Entry(900, WALL_MS + 2_000, 1_900),
           Entry(1_100, WALL_MS + 65_000, 2_100)]  # fmt: skip


def test_an_index_is_twelve_bytes_a_fragment_and_read_back_with_its_places() -> None:
    blob = index.encode(ENTRIES, WALL_MS)
    assert len(blob) == 36
    fragments = index.decode(blob, started_ms=WALL_MS, init_bytes=700)
    assert [tuple(fragment) for fragment in fragments] == [
        (700, 1_000, 0, WALL_MS, 2_000),
        (1_700, 900, 2_000, WALL_MS + 2_000, 1_900),
        (2_600, 1_100, 3_900, WALL_MS + 65_000, 2_100),
    ]
    assert index.last_entry(blob, WALL_MS) == ENTRIES[-1]
    assert index.last_entry(b"", WALL_MS) is None


def test_a_moment_is_found_in_the_index() -> None:
    walls = index.columns(index.encode(ENTRIES, WALL_MS)).wall_ms
    assert [index.position(walls, at) for at in (-1, 0, 1_999, 2_000, 60_000, 70_000)] == [
        -1, 0, 0, 1, 1, 2,
    ]  # fmt: skip


def test_a_torn_index_is_an_error() -> None:
    with pytest.raises(ValueError, match="not whole entries"):
        index.columns(b"\0" * 13)
