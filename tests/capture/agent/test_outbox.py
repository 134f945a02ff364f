"""What waits for the recorder: whole groups of pictures, bounded, counted, numbered without holes."""

from __future__ import annotations

import time

import pytest

from capture.agent import outbox
from capture.agent.outbox import MAX_PACKET_BYTES, Outbox
from capture.agent.protocol import Packet
from recordings.media.matroska import Track

TRACK = Track("h264", 640, 480, b"avcC")
KEY, DELTA, SOUND = (True, False), (False, False), (True, True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that boxes see, in the test's hands."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def filled(*kinds: tuple[bool, bool], size: int = 100) -> Outbox:
    box = Outbox()
    box.stream(TRACK)
    put(box, *kinds, size=size)
    return box


def put(box: Outbox, *kinds: tuple[bool, bool], size: int = 100) -> None:
    for is_key, is_audio in kinds:
        box.packet(Packet(box.newest * 1000, bytes(size), is_key, is_audio))


def numbers(box: Outbox, start: int) -> list[int]:
    """What a link would send from there on."""
    found = []
    while (item := box.get(start)) is not None:
        found.append(item.number)
        start = item.number + 1
    return found


def test_it_begins_with_a_key_picture() -> None:
    box = filled(DELTA, SOUND, KEY, SOUND, DELTA)
    assert numbers(box, box.resume_at()) == [1, 2, 3]
    assert box.dropped == 2
    item = box.get(1)
    assert item is not None
    assert item.packet.is_key
    assert not item.packet.is_audio


def test_a_packet_without_a_stream_is_a_drivers_mistake() -> None:
    with pytest.raises(ValueError, match="described"):
        Outbox().packet(Packet(0, b"x"))


def test_every_run_has_a_number_of_its_own() -> None:
    assert len({Outbox().run for _ in range(50)}) == 50
    assert all(0 < Outbox().run < 1 << 64 for _ in range(50))


def test_a_link_resumes_at_the_key_picture_before_what_is_not_acknowledged() -> None:
    box = filled(KEY, DELTA, DELTA, KEY, DELTA, DELTA)
    expected = {0: 1, 1: 1, 2: 1, 3: 4, 4: 4, 5: 4, 6: 4}
    for acked, resume in expected.items():
        box.ack(acked)
        assert box.resume_at() == resume, acked


def test_what_is_acknowledged_goes_in_whole_groups() -> None:
    box = filled(KEY, DELTA, SOUND, KEY, DELTA)
    before = box.size_bytes
    box.ack(2)
    assert box.size_bytes == before
    box.ack(3)
    assert numbers(box, 1) == [4, 5]
    assert box.dropped == 0
    box.ack(5)
    assert box.is_all_acked
    assert numbers(box, 4) == [4, 5], "the newest group stays: a new connection begins with it"


def test_an_acknowledgement_of_what_was_never_sent_is_bounded() -> None:
    box = filled(KEY, DELTA)
    box.ack(10**9)
    assert box.acked == 2
    put(box, DELTA)
    assert not box.is_all_acked


def test_the_newest_thirty_seconds_are_kept(clock: list[float]) -> None:
    box = filled()
    for _ in range(60):
        put(box, KEY, DELTA)
        clock[0] += 1
    kept = numbers(box, 1)
    assert kept[-1] == 120
    assert 30 * 2 <= len(kept) <= 32 * 2
    assert kept[0] % 2 == 1, "it begins with a key picture"
    assert box.dropped == 120 - len(kept)


def test_a_long_group_is_kept_until_the_door_would_not_take_it(clock: list[float]) -> None:
    box = filled(KEY)
    for _ in range(79):
        clock[0] += 1
        put(box, DELTA)
    assert len(numbers(box, 1)) == 80
    clock[0] += 3
    put(box, DELTA)
    assert numbers(box, 1) == []
    put(box, DELTA, KEY)
    assert len(numbers(box, 1)) == 1


def test_a_group_that_was_acknowledged_may_be_as_long_as_it_likes(clock: list[float]) -> None:
    box = filled(KEY)
    for _ in range(600):
        clock[0] += 1
        put(box, DELTA)
        box.ack(box.newest)
    assert box.dropped == 0
    assert box.resume_at() == 1


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_BYTES", 100_000)
    box = filled()
    for _ in range(100):
        put(box, KEY, DELTA, DELTA, size=5_000)
    assert box.size_bytes <= 100_000
    kept = numbers(box, 1)
    assert kept[-1] == 300
    assert box.dropped == 300 - len(kept)


def test_a_group_beyond_all_bounds_goes_whole_and_the_next_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MAX_BYTES", 20_000)
    box = filled(KEY, *[DELTA] * 10, size=5_000)
    assert numbers(box, 1) == []
    put(box, KEY)
    assert len(numbers(box, 1)) == 1
    assert box.dropped == 11


def test_a_sender_whose_place_was_dropped_goes_on_with_a_key_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = filled(KEY, DELTA, DELTA, KEY, DELTA)
    box.drop_oldest()
    item = box.get(2)
    assert item is not None
    assert item.number == 4


def test_a_picture_that_the_door_would_not_take_breaks_its_group_off() -> None:
    box = filled(KEY, DELTA)
    put(box, DELTA, size=MAX_PACKET_BYTES + 1)
    put(box, DELTA, SOUND, KEY)
    assert [item.packet.is_key for n in (1, 2, 3) if (item := box.get(n))] == [True, False, True]
    assert box.dropped == 3


def test_each_packet_knows_its_stream() -> None:
    box = filled(KEY)
    other = TRACK._replace(width=1920)
    box.stream(other)
    put(box, KEY)
    assert [item.track for n in (1, 2) if (item := box.get(n))] == [TRACK, other]
