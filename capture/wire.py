"""The JSON a camera and the recorder exchange on /ws, exactly as the firmware knows it.

To a camera: an object with a string `type`, and small, because the firmware parses into
300 bytes of ArduinoJson 6 and silently loses what does not fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CONFIG_KEYS = ("resolution", "framerate", "quality", "brightness", "contrast", "saturation")
MAX_REPORT_BYTES = 4096  # the longest report of the firmware has about 120
_MAX_TEXT = 300
_MAX_DETAIL = 120  # of an update
_VISIBLE = re.compile(r"[!-~]+")
_UPDATE_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Report:
    """One text message of a camera; what it did not send, or not as it should be, is None or ""."""

    type: str
    status: str = ""
    message: str = ""
    state: str = ""  # of an update, with the version that is being installed and a detail
    version: str = ""
    detail: str = ""
    uptime_ms: int | None = None
    free_heap_bytes: int | None = None
    boot_count: int | None = None
    rssi_dbm: int | None = None
    reset_reason: str = ""  # why it booted: power_on, motion, brownout …
    drops: int | None = None  # pictures it gave up since then
    temperature_c: float | None = None  # of its chip
    battery_mv: int | None = None
    firmware: str = ""  # version
    board: str = ""
    update_key: str = ""  # first 16 hex digits of its SHA-256


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _compact(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))


def welcome(mac: str) -> str:
    text = "Connected to Pi Camera Server"
    return _compact({"type": "welcome", "message": text, "deviceId": mac, "timestamp": _now()})


def recording_started() -> str:
    return _compact({"type": "recording_started", "timestamp": _now()})


def error(message: str) -> str:
    return _compact({"type": "error", "message": message, "timestamp": _now()})


def config_update(config: Mapping[str, Any]) -> str:
    """Only the six keys: with a timestamp and the device id as well it would not fit."""
    known = {key: config[key] for key in CONFIG_KEYS if key in config}
    return _compact({"type": "config_update", "config": known})


def command(action: str) -> str:
    """`action` is never missing: the firmware compares it without looking for null."""
    return _compact({"type": "command", "action": action})


def update(version: str, size_bytes: int, path: str) -> str:
    """Only for firmware that named itself: the old sketch compares an `action`, which is not here."""
    what = {"version": version, "size": size_bytes, "path": path}
    return _compact({"type": "command", "command": "update", **what})


def read_object(payload: bytes | str, max_bytes: int) -> dict[str, Any] | None:
    """A JSON object with a string `type`; None for anything else."""
    if len(payload) > max_bytes:
        return None
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    return message


def read_report(payload: bytes | str) -> Report | None:
    """None for what is not a report: no JSON, no object, no type, or far too long."""
    message = read_object(payload, MAX_REPORT_BYTES)
    if message is None:
        return None
    return Report(
        type=message["type"][:40],
        status=_text(message.get("status")),
        message=_text(message.get("message")),
        state=_word(message.get("state"), 40),
        version=_word(message.get("version"), 32),
        detail=_text(message.get("detail"))[:_MAX_DETAIL],
        uptime_ms=_count(message.get("uptime")),
        free_heap_bytes=_count(message.get("free_heap")),
        boot_count=_count(message.get("boot_count")),
        rssi_dbm=_dbm(message.get("rssi")),
        reset_reason=_word(message.get("reset_reason"), 40),
        drops=_count(message.get("drops")),
        temperature_c=_celsius(message.get("temperature")),
        battery_mv=_millivolts(message.get("battery_mv")),
        firmware=_word(message.get("firmware"), 32),
        board=_word(message.get("board"), 32),
        update_key=_update_key(message.get("update_key")),
    )


def _text(value: object) -> str:
    """Without control characters: PostgreSQL takes no NUL, a page no line."""
    if not isinstance(value, str):
        return ""
    return "".join(one if one.isprintable() else " " for one in value[:_MAX_TEXT])


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None  # type: ignore[return-value]


def _dbm(value: object) -> int | None:
    is_dbm = isinstance(value, int) and not isinstance(value, bool) and -150 <= value <= 50
    return value if is_dbm else None  # type: ignore[return-value]


def _word(value: object, longest: int) -> str:
    """Visible ASCII without blanks, as versions and names are."""
    is_word = isinstance(value, str) and len(value) <= longest and _VISIBLE.fullmatch(value)
    return value if is_word else ""  # type: ignore[return-value]


def _update_key(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    return text if _UPDATE_KEY.fullmatch(text) else ""


def _celsius(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # No chip works outside of these; NaN, which Python's JSON has, is outside of everything.
    return float(value) if is_number and -60 <= value <= 200 else None  # type: ignore[arg-type, operator]


def _millivolts(value: object) -> int | None:
    number = _count(value)
    return number if number is not None and number <= 100_000 else None
