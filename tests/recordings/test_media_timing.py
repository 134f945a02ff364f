"""When pictures are shown and sound is heard: whatever times come in, what goes out rises."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import pytest

from recordings.media import aac, timing
from recordings.media.timing import Wanted, lay_sound


def wanted(*times_ms: int, end_ms: int = 10_000) -> list[Wanted]:
    return [Wanted(at_ms, 0, end_ms) for at_ms in times_ms]


def laid(
    *times_ms: int, from_ms: int = 0, until_ms: int = 0, has_silence: bool = True
) -> list[tuple[int, int, int | None]]:
    """With units of 20 ms."""
    found = lay_sound(
        wanted(*times_ms),
        unit_ms=20.0,
        from_ms=from_ms,
        until_ms=until_ms,
        has_silence=has_silence,
    )
    return [(one.at_ms, one.duration_ms, one.number) for one in found]


def test_pictures_in_their_order_have_no_offsets() -> None:
    assert timing.shown([100, 140, 180], 99) == ([100, 140, 180], [0, 0, 0])


def test_reordered_pictures_are_decoded_at_the_sorted_times() -> None:
    # I P B B: shown as I B B P.
    assert timing.shown([100, 220, 140, 180], 0) == ([100, 140, 180, 220], [0, 80, -40, -40])


def test_pictures_shown_before_the_key_come_first() -> None:
    assert timing.shown([200, 120, 160, 240], 0) == ([120, 160, 200, 240], [80, -40, -40, 0])


def test_any_times_become_times_that_rise_from_where_the_last_ones_ended() -> None:
    chance = random.Random(5)
    for _ in range(500):
        times = [chance.randrange(-50, 300) for _ in range(chance.randrange(1, 30))]
        after = chance.randrange(-100, 400)
        decoded, offsets = timing.shown(times, after)
        assert decoded[0] > after
        assert all(a < b for a, b in pairwise(decoded))
        shown = [time_ms + offset for time_ms, offset in zip(decoded, offsets, strict=True)]
        assert sorted(shown) == decoded
        assert [shown.index(ms) for ms in sorted(shown)] == sorted(
            range(len(times)), key=lambda n: (times[n], n)
        )


def test_sound_lies_where_it_belongs_and_has_no_hole() -> None:
    assert laid(0, 20, 41, 60) == [(0, 20, 0), (20, 21, 1), (41, 19, 2), (60, 20, 3)]


def test_it_goes_on_where_the_sound_before_ended() -> None:
    assert laid(103, 120, from_ms=100) == [(100, 20, 0), (120, 20, 1)]
    assert laid(97, 120, from_ms=100) == [(100, 20, 0), (120, 20, 1)]


def test_what_would_sound_before_there_is_a_picture_is_left_out() -> None:
    assert laid(-45, -25, -5, 15) == [(0, 15, 2), (15, 20, 3)]


def test_a_hole_becomes_silence() -> None:
    assert laid(0, 100) == [(0, 20, 0), *((at, 20, None) for at in (20, 40, 60, 80)), (100, 20, 1)]
    assert laid(0, until_ms=100)[1:] == [(at, 20, None) for at in (20, 40, 60, 80)]
    assert laid(50, 70)[:2] == [(0, 20, None), (20, 30, None)]


def test_without_silence_the_unit_before_a_hole_lasts_longer() -> None:
    assert laid(0, 100, has_silence=False) == [(0, 100, 0), (100, 20, 1)]
    assert laid(100, 120, has_silence=False) == [(100, 20, 0), (120, 20, 1)]


def test_jitter_is_no_hole() -> None:
    assert [number for *_, number in laid(0, 35, 40, 75, 80)] == [0, 1, 2, 3, 4]


def test_a_time_that_strays_from_the_pictures_is_not_believed() -> None:
    assert laid(0, 20, 5_000_000, 60, -5_000_000) == [
        (0, 20, 0), (20, 20, 1), (40, 20, 2), (60, 20, 3), (80, 20, 4),
    ]  # fmt: skip


def test_no_sound_at_all_is_silence_beside_the_pictures() -> None:
    assert laid(until_ms=60) == [(0, 20, None), (20, 20, None), (40, 20, None)]
    assert laid(until_ms=60, has_silence=False) == []


@pytest.mark.parametrize("has_silence", [True, False])
def test_any_sound_is_laid_side_by_side_and_each_unit_once(has_silence: bool) -> None:
    chance = random.Random(6)
    for _ in range(500):
        at, times = 0, []
        for _ in range(chance.randrange(40)):
            at += chance.choice([20, 20, 20, 21, 0, -30, 400, 90_000, -90_000])
            times.append(at)
        from_ms = chance.randrange(200)
        found = laid(*times, from_ms=from_ms, until_ms=1_000, has_silence=has_silence)
        assert all(a[0] + a[1] == b[0] for a, b in pairwise(found))
        assert all(duration > 0 for _, duration, _ in found)
        assert not found or found[0][0] >= from_ms
        numbers = [number for *_, number in found if number is not None]
        assert numbers == sorted(set(numbers))
        assert numbers == list(range(len(times)))[-len(numbers) :] or not numbers


@pytest.mark.parametrize(
    ("config", "channels", "rate_hz"),
    [("1408", 1, 16_000), ("1190", 2, 48_000), ("1210", 2, 44_100), ("1588", 1, 8_000)],
)
def test_silence_is_what_a_decoder_takes_for_it(config: str, channels: int, rate_hz: int) -> None:
    data = bytes.fromhex(config)
    assert aac.core_rate_hz(data) == rate_hz
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = data
    for _ in range(3):
        (frame,) = decoder.decode(av.Packet(aac.silence(data, channels)))
        assert isinstance(frame, av.AudioFrame)
        assert (frame.samples, frame.sample_rate) == (1024, rate_hz)
        assert len(frame.layout.channels) == channels
        assert not any(bytes(frame.planes[0])[: 1024 * 4])


def test_silence_is_not_made_up_for_what_is_not_known() -> None:
    assert aac.silence(b"\x14\x08", 6) == b""
    assert aac.silence(b"\x0c\x08", 1) == b""  # AAC Main
    assert aac.silence(b"", 1) == b""


@pytest.mark.parametrize("config", [b"", b"\x17", b"\x17\x80", b"\x16\x80"])
def test_a_config_without_a_rate_is_refused(config: bytes) -> None:
    with pytest.raises(ValueError, match="no sampling rate"):
        aac.unit_ms(config)


def test_a_rate_may_be_written_out() -> None:
    explicit = (2 << 35 | 15 << 31 | 12_345 << 7 | 1 << 3).to_bytes(5, "big")
    assert aac.core_rate_hz(explicit) == 12_345
