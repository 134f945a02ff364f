"""Canaries: secrets that must not come out of the filter, and words that must."""

from __future__ import annotations

import io
import logging
import logging.config
import time
from pathlib import Path

import pytest
from django.conf import settings

from devices.redaction import RedactingFilter, redact
from system import errorlog
from system.errorlog import ErrorFile

KEY = "3f" * 32


@pytest.mark.parametrize(
    "line",
    [
        "rtsp://admin:canary@192.168.1.5/stream: 401 Unauthorized",
        "postgres://roost:canary@db:5432/roost",
        "redis://:canary@cache:6379/0",
        "Authorization: Bearer canarycanarycanary",
        "X-API-Key: canary",
        "{'x-api-key': 'canary'}",
        '{"apiKey": "canary", "success": true}',
        "GET /api?token=canary&x=1",
        "password=canary",
        "NVR_ADMIN_PASSWORD: canary",
        "AUTH_TOKEN=canary",
        "Cookie: roost_session=canary; csrftoken=canary",
        "(b'x-api-key', b'canary')",
        "rtsp://admin:half@canary@192.168.1.5/stream",
        '{"password": "half, a canary", "name": "x"}',
        "{'password': 'half canary'}",
        r'{"password": "half\" canary"}',
    ],
)
def test_a_credential_does_not_come_out(line: str) -> None:
    assert "canary" in line, "the canary has to be there to be looked for"
    assert "canary" not in redact(line)
    assert "[hidden]" in redact(line)


def test_a_device_key_does_not_come_out_wherever_it_stands() -> None:
    assert KEY not in redact(f"unknown device {KEY} at the door")
    assert KEY.upper() not in redact(KEY.upper())


@pytest.mark.parametrize(
    "line",
    [
        "GET /health 200 92 bytes 39 ms",
        "rtsp://192.168.1.5:554/stream answers",
        "Packaged 02-52-4F-53-54-02: 1 segments, 300 frames",
        "https://127.0.0.1:3443/recordings?date=2026-11-20",
        "sha256 of the file: " + "a" * 63,
        "the camera at 10.0.0.7 sent no key",
    ],
)
def test_ordinary_words_come_out_as_they_were(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize(
    "piece", ["a", "a.", "token ", "a://", "password'", "password:'", "Bearer ", "/shared/a", "0f"]
)
def test_a_line_from_a_stranger_costs_by_its_length_alone(piece: str) -> None:
    line = "/" + piece * (60_000 // len(piece))
    began_s = time.process_time()
    redact(line)
    assert time.process_time() - began_s < 1  # 12 s where each letter may begin a scheme


def test_the_filter_sees_arguments_and_tracebacks() -> None:
    sink = io.StringIO()
    handler = logging.StreamHandler(sink)
    handler.addFilter(RedactingFilter())
    log = logging.Logger("canary")
    log.addHandler(handler)
    try:
        raise ValueError("no answer from rtsp://admin:canary@camera/1")
    except ValueError:
        log.exception("stream %s failed", "rtsp://admin:canary@camera/1")
    log.error("%d frames", "not a number: password=canary")
    assert "canary" not in sink.getvalue()
    assert "ValueError" in sink.getvalue()
    assert "stream rtsp://admin:[hidden]@camera/1 failed" in sink.getvalue()


def test_every_handler_of_the_settings_has_the_filter() -> None:
    handlers = settings.LOGGING["handlers"]
    assert set(handlers) == {"stderr", "errors"}
    assert handlers["stderr"]["filters"] == ["redacting"]
    assert isinstance(ErrorFile("/nowhere").filters[0], RedactingFilter)


# --- the errors of the system page --------------------------------------------------------------


def write(path: Path, *lines: str) -> None:
    handler = ErrorFile(path)
    log = logging.Logger("capture")
    log.addHandler(handler)
    for line in lines:
        log.error(line)


def test_it_keeps_warnings_newest_first_and_redacted(tmp_path: Path) -> None:
    path = tmp_path / "errors.jsonl"
    write(path, "first", "second: password=canary")
    entries = errorlog.recent(path, since_ms=0)
    assert {entry["message"] for entry in entries} == {"first", "second: password=[hidden]"}
    assert entries[0]["at_ms"] >= entries[1]["at_ms"]
    assert errorlog.recent(path, since_ms=entries[0]["at_ms"] + 1) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "errors.jsonl"
    for number in range(1500):
        write(path, f"{number} " + "x" * 480)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert sum(sizes) < 2.1 * errorlog.LIMIT_BYTES
    assert errorlog.recent(path, since_ms=0, limit=1)[0]["message"].startswith("1499 ")


def test_a_line_cut_by_a_crash_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "errors.jsonl"
    path.write_text('{"at_ms": 5, "level": "ERR')
    with path.open("a") as file:
        file.write("\n")
    write(path, "after the crash")
    assert [entry["message"] for entry in errorlog.recent(path, since_ms=0)] == ["after the crash"]


def test_a_full_disk_costs_the_entry_and_nothing_else() -> None:
    write(Path("/dev/full"), "no room for this")
    write(Path("/nowhere/at/all"), "nor here")
