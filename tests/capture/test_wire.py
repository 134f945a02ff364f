"""capture.wire: what the firmware can hold, and what a camera may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capture import wire
from devices.sensor import DEFAULT_CONFIG

MAC = "AA:BB:CC:DD:EE:FF"


def arduino_json_6_bytes(text: str) -> int:
    """What StaticJsonDocument needs on 32 bits: 16 for each member, and every string with its NUL.

    Reproduces the sizes measured with the library: welcome 177, config_update 219.
    """

    def of(value: Any) -> int:
        if isinstance(value, dict):
            return sum(16 + len(key) + 1 + of(each) for key, each in value.items())
        return len(value) + 1 if isinstance(value, str) else 0

    return of(json.loads(text))


def test_the_size_rule_reproduces_what_was_measured_with_the_library() -> None:
    assert arduino_json_6_bytes(wire.welcome(MAC)) == 177
    assert arduino_json_6_bytes(wire.config_update(DEFAULT_CONFIG)) == 219


@pytest.mark.parametrize(
    "text",
    [
        wire.welcome(MAC),
        wire.recording_started(),
        wire.error("Failed to start recording"),
        wire.config_update(DEFAULT_CONFIG | {"resolution": "HQVGA", "unknown": "x" * 300}),
        *(
            wire.command(action)
            for action in ("start_streaming", "stop_streaming", "reboot", "sleep")
        ),
    ],
    # Not the text: it holds the time, and xdist's workers have to name the tests alike.
    ids=lambda text: str(json.loads(text)["type"]),
)
def test_everything_sent_to_a_camera_fits_it_and_has_a_type(text: str) -> None:
    assert arduino_json_6_bytes(text) <= 300
    message = json.loads(text)
    assert isinstance(message["type"], str)
    assert message["type"] != "command" or isinstance(message["action"], str)


def test_a_configuration_carries_the_six_keys_only() -> None:
    message = json.loads(wire.config_update(DEFAULT_CONFIG | {"rotation": 90}))
    assert set(message) == {"type", "config"}
    assert set(message["config"]) == set(DEFAULT_CONFIG)


def test_it_reads_a_heartbeat() -> None:
    text = '{"type":"heartbeat","uptime":61000,"free_heap":180000,"boot_count":7,"rssi":-63}'
    report = wire.read_report(text)
    assert report == wire.Report(
        type="heartbeat", uptime_ms=61000, free_heap_bytes=180000, boot_count=7, rssi_dbm=-63
    )
    assert wire.read_report(text.encode()) == report


@pytest.mark.parametrize(
    "value", ["-1", "true", "1.5", '"61000"', "null", "[]", "1e400", "123456789012345678901"]
)
def test_a_number_that_is_none_is_not_taken(value: str) -> None:
    report = wire.read_report(f'{{"type":"heartbeat","uptime":{value}}}')
    assert report is not None
    assert report.uptime_ms is None


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"hello", b"{", b"[]", b"null", b"42", b'"heartbeat"', b"{}", b'{"type":1}',
        b"\xff\xfe\x00", b"[" * 4000, b'{"type":"heartbeat","x":"' + b"x" * 5000 + b'"}',
    ],
)  # fmt: skip
def test_what_is_no_report_is_none(payload: bytes) -> None:
    assert wire.read_report(payload) is None
