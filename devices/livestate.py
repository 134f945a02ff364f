"""What only the web process knows about connected cameras, read from the file it writes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from devices.models import CONNECTED, Device, Presence

# The file is written every 2 s; five missed writes mean that its writer is gone or stuck.
STALE_AFTER_MS = 10_000


@dataclass(frozen=True, slots=True)
class LiveDevice:
    """One connected camera; times are epoch milliseconds."""

    presence: str
    since_ms: int
    fps: float
    bytes_per_second: float
    dropped: int
    is_recording: bool
    synced_ms: int
    error: str
    viewers: int
    is_stalled: bool = False


def read(*, now_ms: int | None = None) -> dict[int, LiveDevice]:
    """Connected cameras by primary key; empty when the web process is not running.

    Never raises: a file that is missing, half written or from a dead process says "nothing is
    connected", which is what is known then.
    """
    now = int(time.time() * 1000) if now_ms is None else now_ms
    try:
        document = json.loads((settings.RUN_DIR / "web.json").read_bytes())
        # A clock that was set back makes the file look like the future: as unsure as an old one.
        if abs(now - document["at_ms"]) > STALE_AFTER_MS:
            return {}
        return {int(pk): _device(facts) for pk, facts in document["devices"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def last_published() -> dict[int, datetime]:
    """Which cameras were connected when the file was written last, however long ago, and when."""
    try:
        document = json.loads((settings.RUN_DIR / "web.json").read_bytes())
        at = datetime.fromtimestamp(document["at_ms"] / 1000, tz=UTC)
        return dict.fromkeys(map(int, document["devices"]), at)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return {}


def _device(facts: dict[str, Any]) -> LiveDevice:
    return LiveDevice(
        presence=str(facts["presence"]),
        since_ms=int(facts["since_ms"]),
        fps=float(facts.get("fps") or 0.0),
        bytes_per_second=float(facts.get("bytes_per_second") or 0.0),
        dropped=int(facts.get("dropped") or 0),
        is_recording=bool(facts.get("is_recording")),
        synced_ms=int(facts.get("synced_ms") or 0),
        error=str(facts.get("error") or ""),
        viewers=int(facts.get("viewers") or 0),
        is_stalled=bool(facts.get("is_stalled")),
    )


def presence_of(device: Device, live: LiveDevice | None) -> str:
    """What the web process sees, else the row, which may lag: nobody writes it down in a crash."""
    if live is not None:
        return live.presence
    return Presence.OFFLINE.value if device.presence in CONNECTED else device.presence
