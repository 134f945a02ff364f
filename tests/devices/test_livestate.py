from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings

from devices import livestate

pytestmark = pytest.mark.usefixtures("data_dir")
NOW_MS = 1_800_000_000_000
FACTS: dict[str, Any] = {
    "presence": "streaming", "since_ms": NOW_MS - 5000, "fps": 9.8, "bytes_per_second": 200_000, "dropped": 2,
    "is_recording": True, "synced_ms": NOW_MS - 900, "error": "", "viewers": 1, "is_stalled": False,
    "something_new": {},
}  # fmt: skip


def write(document: object) -> None:
    (settings.RUN_DIR / "web.json").write_text(json.dumps(document))


def test_it_reads_what_the_web_process_wrote() -> None:
    write({"at_ms": NOW_MS, "pid": 1, "devices": {"7": FACTS}})
    live = livestate.read(now_ms=NOW_MS + 9_999)
    assert live[7].fps == 9.8
    assert live[7].is_recording
    assert live[7].synced_ms == NOW_MS - 900


@pytest.mark.parametrize("age_ms", [10_001, -10_001])
def test_a_file_that_is_stale_or_from_the_future_says_nothing(age_ms: int) -> None:
    write({"at_ms": NOW_MS, "devices": {"7": FACTS}})
    assert livestate.read(now_ms=NOW_MS + age_ms) == {}


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"at_ms": "x", "devices": {}}, {"at_ms": NOW_MS}, {"at_ms": NOW_MS, "devices": []},
     {"at_ms": NOW_MS, "devices": {"x": FACTS}}, {"at_ms": NOW_MS, "devices": {"7": {}}},
     {"at_ms": NOW_MS, "devices": {"7": None}}],
)  # fmt: skip
def test_a_damaged_file_says_nothing(document: object) -> None:
    write(document)
    assert livestate.read(now_ms=NOW_MS) == {}


def test_half_a_file_and_no_file_say_nothing() -> None:
    assert livestate.read(now_ms=NOW_MS) == {}
    (settings.RUN_DIR / "web.json").write_bytes(b'{"at_ms": 18\xff')
    assert livestate.read(now_ms=NOW_MS) == {}
