"""Frames a second by situation: what a camera is told, and when."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from capture import wire
from capture.hub import Show
from capture.pace import HOLD_NS, SPACING_NS, Pace, Situation
from devices.framerates import FrameRates
from devices.sensor import DEFAULT_CONFIG
from tests.capture.world import SECOND, Clock, World

RATES = FrameRates(idle=2, watched=10, motion=15)
IDLE, WATCHED, MOTION = Situation
BEAT = b'{"type":"heartbeat","uptime":4000,"reset_reason":"power_on"}'


class Told:
    """What a camera was told, as (second, frames a second), asked every half second."""

    def __init__(self, rates: FrameRates | None = RATES) -> None:
        self.pace, self.now_ns, self.told = Pace(), 100 * SECOND, list[tuple[float, int]]()
        self.pace.adopt(DEFAULT_CONFIG, rates)

    def be(self, situation: Situation, seconds: float) -> list[tuple[float, int]]:
        """What came in that time; seconds since its beginning."""
        begun_ns, before = self.now_ns, len(self.told)
        for _ in range(round(seconds * 2)):
            config = self.pace.follow(situation, self.now_ns)
            if config is not None:
                assert config | {"framerate": 10} == DEFAULT_CONFIG
                self.told.append(((self.now_ns - begun_ns) / SECOND, config["framerate"]))
            self.now_ns += SECOND // 2
        return self.told[before:]


def test_it_is_told_at_once_when_somebody_watches_and_late_when_nobody_does() -> None:
    camera = Told()
    assert camera.be(IDLE, 30) == [(0, 2)]
    assert camera.be(WATCHED, 30) == [(0, 10)]
    assert camera.be(IDLE, 30) == [(HOLD_NS / SECOND - 0.5, 2)], "since it was last watched"


def test_a_viewer_who_comes_and_goes_changes_nothing() -> None:
    camera = Told()
    camera.be(WATCHED, 10)
    for _ in range(20):
        assert camera.be(IDLE, 9) == []
        assert camera.be(WATCHED, 1) == []


def test_motion_wins_and_ends_in_what_is_the_case_then() -> None:
    camera = Told()
    camera.be(WATCHED, 10)
    assert camera.be(MOTION, 10) == [(0, 15)]
    assert [fps for _, fps in camera.be(WATCHED, 20)] == [10]


def test_two_messages_are_five_seconds_apart_whatever_happens() -> None:
    told_ns: list[int] = []
    pace, now_ns = Pace(), 0
    pace.adopt(DEFAULT_CONFIG, RATES)
    for step in range(600):
        now_ns += SECOND // 2
        if pace.follow(Situation(step // 3 % 3), now_ns) is not None:
            told_ns.append(now_ns)
    assert len(told_ns) > 1
    assert min(b - a for a, b in pairwise(told_ns)) >= SPACING_NS


def test_without_rates_it_is_told_its_settings_once() -> None:
    camera = Told(rates=None)
    assert camera.be(IDLE, 10) == [(0, 10)]
    assert camera.be(MOTION, 60) == []
    assert camera.be(IDLE, 60) == []


def test_new_settings_are_told_at_once_with_the_rate_of_now() -> None:
    camera = Told()
    camera.be(WATCHED, 10)
    camera.pace.adopt(DEFAULT_CONFIG, FrameRates(idle=1, watched=12, motion=12))
    assert camera.be(WATCHED, 10) == [(0, 12)]
    camera.pace.adopt(DEFAULT_CONFIG, None)
    assert camera.be(WATCHED, 30) == [(0, 10)]


# --- in a session ---------------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    clock = Clock()
    monkeypatch.setattr("capture.session.time", clock)
    monkeypatch.setattr("capture.sessions.time", clock)
    return World(clock)


async def rates_told(world: World) -> list[int]:
    messages: list[dict[str, Any]] = [json.loads(text) for text in await world.said()]
    for message in messages:
        assert set(message["config"]) == set(wire.CONFIG_KEYS)
    return [message["config"]["framerate"] for message in messages]


async def test_who_watches_decides(world: World) -> None:
    session = world.connect()
    session.take(BEAT)
    await session.configure(DEFAULT_CONFIG, RATES)
    assert await rates_told(world) == [2]
    with world.hub.watch(1, Show.STILLS):
        for _ in range(3):
            session.take(BEAT)
            world.sweep_for(5)
        assert await rates_told(world) == [2, 10]
    for _ in range(4):
        session.take(BEAT)
        world.sweep_for(5)
    assert await rates_told(world) == [2, 10, 2]


async def test_a_viewer_of_another_camera_is_none_of_its_business(world: World) -> None:
    session = world.connect()
    session.take(BEAT)
    await session.configure(DEFAULT_CONFIG, RATES)
    with world.hub.watch(2, Show.STILLS):
        world.sweep_for(9)
    assert await rates_told(world) == [2]


async def test_a_camera_that_motion_woke_is_told_that_rate_first(world: World) -> None:
    session = world.connect()
    await session.configure(DEFAULT_CONFIG, RATES)
    world.sweep_for(0.5)
    assert await rates_told(world) == [], "what woke it is not known yet"
    session.take(b'{"type":"heartbeat","uptime":900,"reset_reason":"motion"}')
    world.sweep_for(0.5)
    assert await rates_told(world) == [15]


async def test_a_camera_that_says_nothing_is_not_waited_for(world: World) -> None:
    session = world.connect()
    await session.configure(DEFAULT_CONFIG, RATES)
    world.sweep_for(7)
    assert await rates_told(world) == [2]


async def test_without_rates_it_is_told_its_settings_at_once_and_no_more(world: World) -> None:
    session = world.connect()
    await session.configure(DEFAULT_CONFIG, None)
    assert await rates_told(world) == [10]
    with world.hub.watch(1, Show.STILLS):
        session.take(BEAT)
        world.sweep_for(8)
    assert await rates_told(world) == [10]
