"""Capture times: the camera's own spacing on this machine's clock, whatever the network does."""

from __future__ import annotations

import itertools
import random

import pytest

from capture.agent.clock import PacketClock

SECOND = 1_000_000
FRAME = 66_667  # 15 a second
START = 5_000 * SECOND  # the machine has been up for a while


def play(
    clock: PacketClock, seconds: float, *, ppm: float = 0, jitter_us: int = 0, seed: int = 1
) -> list[tuple[float, int]]:
    """(true time, capture time) of every picture. `ppm`: how much too slow the camera's clock is."""
    dice = random.Random(seed)
    seen = []
    newest = 0
    for number in range(int(seconds * SECOND / FRAME)):
        pts = number * FRAME
        true = START + pts * (1 + ppm / 1e6)
        # TCP delivers in order: what is delayed delays what comes after it.
        newest = max(newest, round(true) + dice.randint(0, jitter_us))
        seen.append((true, clock.capture(newest, pts)))
    return seen


def test_without_jitter_it_says_when_packets_came() -> None:
    assert all(abs(captured - true) <= 1 for true, captured in play(PacketClock(), 60))


def test_spacing_stays_the_cameras_under_jittery_arrival() -> None:
    settled = [captured for _, captured in play(PacketClock(), 120, jitter_us=200_000)][40 * 15 :]
    steps = [later - earlier for earlier, later in itertools.pairwise(settled)]
    assert max(abs(step - FRAME) for step in steps) < 1_000
    # Not only from picture to picture: over every ten seconds too.
    far = [later - earlier for earlier, later in zip(settled, settled[150:], strict=False)]
    assert max(abs(step - 150 * FRAME) for step in far) < 10_000


def test_jitter_costs_no_more_than_milliseconds_in_the_end() -> None:
    settled = play(PacketClock(), 120, jitter_us=200_000)[40 * 15 :]
    assert max(abs(captured - true) for true, captured in settled) < 15_000


@pytest.mark.parametrize("ppm", [500, -500])
def test_a_clock_that_is_off_is_followed(ppm: int) -> None:
    """After an hour it would be 1.8 s off."""
    clock = PacketClock()
    seen = play(clock, 3600, ppm=ppm, jitter_us=30_000)[60 * 15 :]
    assert max(abs(captured - true) for true, captured in seen) < 25_000
    assert clock.anchors == 1


def test_picture_and_sound_stay_together() -> None:
    clock = PacketClock()
    pairs = []
    for number in range(600):
        arrival = START + number * FRAME
        pairs.append(
            (clock.capture(arrival, number * FRAME), clock.capture(arrival + 9, number * FRAME))
        )
    assert max(abs(sound - picture) for picture, sound in pairs) < 100


def test_b_pictures_keep_their_places() -> None:
    """Decode order 0 2 1 4 3 …: time stamps fall, capture times with them."""
    clock = PacketClock()
    captured = {}
    for at, number in enumerate(n for k in range(0, 300, 2) for n in (k + 2, k + 1)):
        captured[number] = clock.capture(START + at * FRAME, number * FRAME)
    steps = [captured[number + 1] - captured[number] for number in range(30, 299)]
    assert max(abs(step - FRAME) for step in steps) < 3_000
    assert clock.anchors == 1


def test_a_stall_with_its_backlog_costs_no_time() -> None:
    """Three seconds of silence, then everything at once: it was captured evenly all the same."""
    clock = PacketClock()
    captured = []
    for number in range(450):
        due = START + number * FRAME
        is_held_up = 20 * SECOND <= number * FRAME < 23 * SECOND
        captured.append(clock.capture(START + 23 * SECOND if is_held_up else due, number * FRAME))
    steps = [later - earlier for earlier, later in itertools.pairwise(captured)]
    assert max(abs(step - FRAME) for step in steps) < 500
    assert clock.anchors == 1


def test_pictures_that_never_came_leave_a_hole_of_their_length() -> None:
    clock = PacketClock()
    before = clock.capture(START, 0)
    assert clock.capture(START + 8 * SECOND, 8 * SECOND) - before == 8 * SECOND
    assert clock.anchors == 1


@pytest.mark.parametrize("jump_us", [3 * SECOND, 3600 * SECOND, -5 * SECOND, -4000 * SECOND])
def test_time_stamps_that_jump_are_anchored_anew(jump_us: int) -> None:
    clock = PacketClock()
    captured = []
    for number in range(300):
        pts = 5000 * SECOND + number * FRAME + (jump_us if number >= 150 else 0)
        captured.append(clock.capture(START + number * FRAME, pts))
    assert clock.anchors == 2
    steps = [later - earlier for earlier, later in itertools.pairwise(captured)]
    assert min(steps) > 0, "a recording never runs backwards"
    assert max(abs(step - FRAME) for step in steps) < 2_000


def test_time_stamps_that_begin_again_with_every_picture_are_survived() -> None:
    clock = PacketClock()
    captured = [clock.capture(START + n * SECOND, (n % 2) * 100 * SECOND) for n in range(100)]
    assert captured == sorted(captured)
    assert abs(captured[-1] - (START + 99 * SECOND)) < 5 * SECOND


def test_a_camera_that_answers_later_and_later_is_brought_back() -> None:
    """Its buffer grew to four seconds: that is a delay now, and no longer lateness."""
    clock = PacketClock()
    captured = 0
    for number in range(900):
        late = 4 * SECOND if number > 300 else 0
        captured = clock.capture(START + number * FRAME + late, number * FRAME)
    assert abs(captured - (START + 899 * FRAME + 4 * SECOND)) < 50_000
    assert clock.anchors == 2


def test_a_burst_at_the_beginning_is_laid_into_the_past() -> None:
    """A second of pictures comes at once: the last of them is the one that was not delayed."""
    clock = PacketClock()
    arrivals = [(START, number * FRAME) for number in range(15)]
    clock.anchor(START, min(arrival - pts for arrival, pts in arrivals))
    captured = [clock.capture(*each) for each in arrivals]
    assert captured[-1] == START
    assert [START - each for each in captured] == [(14 - n) * FRAME for n in range(15)]
