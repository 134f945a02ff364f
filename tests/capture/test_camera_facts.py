"""What cameras with Roost's own firmware say of themselves, from the wire to the columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capture import wire
from capture.session import Event
from tests.capture.world import PICTURE, Clock, World

SAID = {
    "type": "heartbeat",
    "uptime": 61_000,
    "rssi": -84,
    "reset_reason": "brownout",
    "drops": 3,
    "temperature": 51,
    "battery_mv": 3870,
    "firmware": "1.2.0",
    "board": "ai-thinker",
    "update_key": "0123456789abcdef",
}


def said(**changes: Any) -> bytes:
    return json.dumps(SAID | changes).encode()


def test_it_reads_what_the_firmware_says() -> None:
    assert wire.read_report(said()) == wire.Report(
        type="heartbeat",
        uptime_ms=61_000,
        rssi_dbm=-84,
        reset_reason="brownout",
        drops=3,
        temperature_c=51.0,
        battery_mv=3870,
        firmware="1.2.0",
        board="ai-thinker",
        update_key="0123456789abcdef",
    )


@pytest.mark.parametrize("name", [name for name in SAID if name not in ("type", "uptime", "rssi")])
@pytest.mark.parametrize(
    "junk", [None, True, [], {}, "", "a b", "x" * 200, "\n", "\u00e4", -(10**400), 10**400, 1e9]
)
def test_junk_is_not_taken_and_nothing_else_suffers(name: str, junk: Any) -> None:
    report = wire.read_report(said(**{name: junk}))
    assert report is not None
    assert report.uptime_ms == 61_000
    field = {"temperature": "temperature_c"}.get(name, name)
    assert getattr(report, field) in (None, "")


@pytest.mark.parametrize("key", ["0123456789abcde", "0123456789abcdefa", "0123456789abcdeg"])
def test_an_update_key_is_sixteen_hex_digits(key: str) -> None:
    report = wire.read_report(said(update_key=key))
    assert report is not None
    assert report.update_key == ""


def test_a_temperature_may_have_a_fraction_and_is_no_nan() -> None:
    assert wire.read_report('{"type":"heartbeat","temperature":-3.5}') == wire.Report(
        type="heartbeat", temperature_c=-3.5
    )
    assert wire.read_report('{"type":"heartbeat","temperature":NaN}') == wire.Report(
        type="heartbeat"
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    clock = Clock()
    monkeypatch.setattr("capture.session.time", clock)
    monkeypatch.setattr("capture.sessions.time", clock)
    return World(clock)


async def test_a_camera_says_once_a_connection_what_it_is(world: World) -> None:
    session = world.connect()
    for _ in range(3):
        session.take(said())
        world.clock.pass_seconds(5)
    (facts,) = world.news.facts
    assert (facts.firmware, facts.board, facts.update_key) == (
        "1.2.0", "ai-thinker", "0123456789abcdef",
    )  # fmt: skip
    assert (facts.reset_reason, facts.uptime_ms) == ("brownout", 61_000)
    world.registry.close(session, "the connection ended")
    world.connect().take(said(firmware="1.3.0"))
    assert world.news.facts[-1].firmware == "1.3.0"


async def test_what_it_said_stays_said_when_a_heartbeat_is_short(world: World) -> None:
    session = world.connect()
    session.take(said())
    session.take(b'{"type":"heartbeat","firmware":7}')
    assert len(world.news.facts) == 1
    session.take(said(firmware="1.3.0", update_key=None))
    assert world.news.facts[-1].firmware == "1.3.0"
    assert world.news.facts[-1].update_key == "0123456789abcdef"


async def test_its_figures_are_in_the_telemetry_of_the_minute(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    for _ in range(3):
        session.take(said())
        world.sweep_for(5)
    sample = world.news.telemetry[0]
    assert (sample.drops, sample.temperature_c, sample.battery_mv) == (3, 51.0, 3870)


async def test_an_event_carries_the_signal_that_was_heard_last(world: World) -> None:
    session = world.connect()
    session.take(said())
    world.registry.close(session, "the connection ended")
    connected, ended = world.news.events
    assert isinstance(ended, Event)
    assert (connected.rssi_dbm, ended.kind, ended.rssi_dbm) == (None, "disconnected", -84)
