from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from devices.livestate import LiveDevice
from devices.models import Device, Node, Source
from devices.wording import sentence, since, source_sentence

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
AT = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_utc() -> Any:
    with timezone.override(UTC):
        yield


def live(**facts: Any) -> LiveDevice:
    values: dict[str, Any] = {
        "presence": "streaming", "since_ms": int(AT.timestamp() * 1000), "fps": 9.8, "bytes_per_second": 0.0,
        "dropped": 0, "is_recording": True, "synced_ms": 0, "error": "", "viewers": 0,
    }  # fmt: skip
    return LiveDevice(**{**values, **facts})


def say(
    presence: str = "offline", seen: datetime = AT, *, waits: bool = False, **facts: Any
) -> str:
    device = Device(presence=presence, presence_since=AT, last_seen_at=seen)
    return sentence(device, live(**facts) if facts else None, is_waiting=waits, now=NOW)


def test_each_state_has_its_sentence() -> None:
    assert say("registered") == "Registered at 14:02, has not connected yet"
    assert say("asleep") == "Asleep since 14:02, wakes on motion"
    assert say("offline") == "Offline since 14:02"
    assert say("offline", NOW - timedelta(days=3)) == "Offline, last seen 17 Nov, 14:30"
    assert say("streaming") == "Offline, last seen 14:02"
    assert say(waits=True) == "Waits for approval since 14:02"


def test_a_connected_camera_is_described_by_what_is_seen_of_it() -> None:
    assert say("offline", fps=9.8) == "Live and recorded, 10 frames a second"
    assert say("offline", fps=0.0) == "Live and recorded"
    assert say(is_recording=False) == "Live, not recorded yet"
    assert say(error="The disk is full.") == "Not recording: The disk is full"
    assert say(is_stalled=True) == "Connected, but no picture since 14:02"


def test_a_connected_camera_without_pictures_says_so() -> None:
    device = Device(presence="online", presence_since=AT, last_seen_at=AT)
    facts = live(presence="online", is_recording=False)
    said = sentence(device, facts, is_waiting=False, now=NOW)
    assert said == "Connected since 14:02, sends no picture"


def test_moments_of_other_days_have_their_date() -> None:
    assert since(NOW - timedelta(days=1), NOW) == "19 Nov, 14:30"


class TestSource:
    def say(self, state: str, said: str = "", *, alive: bool = True, **facts: Any) -> str:
        node = Node(pk=1, name="Shed", last_seen_at=AT, is_local=False)
        source = Source(node=node, state=state, sentence=said, state_since=AT, **facts)
        return source_sentence(source, {1} if alive else (), NOW)

    def test_trouble_is_said_with_since_when(self) -> None:
        question = "Nothing answers at 192.168.1.20:554. Is it switched on?"
        assert self.say("retrying", question) == f"Since 14:02: {question}"
        assert self.say("retrying", "It ended.") == "Since 14:02: It ended"
        assert self.say("retrying") == "Since 14:02: it failed"

    def test_each_other_state_has_its_sentence(self) -> None:
        assert self.say("connecting") == "Connecting"
        assert self.say("running") == "Running since 14:02"
        assert self.say("running", "It sends few key pictures.") == "It sends few key pictures"
        assert self.say("retrying", "x", is_enabled=False) == "Switched off since 14:02"
        silent = self.say("retrying", "x", alive=False)
        assert silent == "Waits for Shed, which last called 14:02"

    def test_a_connected_camera_is_described_by_what_is_seen_of_it(self) -> None:
        device = Device(presence="offline", presence_since=AT, last_seen_at=AT)
        device.source = Source(node=Node(pk=1), state="retrying", sentence="No.", state_since=AT)
        said = sentence(device, None, is_waiting=False, now=NOW, alive_nodes={1})
        assert said == "Since 14:02: No"
        said = sentence(device, live(), is_waiting=False, now=NOW, alive_nodes={1})
        assert said == "Live and recorded, 10 frames a second"


def test_a_camera_that_sleeps_for_more_than_a_day_is_missing() -> None:
    slept = NOW - timedelta(hours=24)
    assert say("asleep", slept + timedelta(seconds=1)) == "Asleep since 14:02, wakes on motion"
    assert say("asleep", slept) == "Missing: asleep since 14:02 and not heard of"
