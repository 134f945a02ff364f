"""The camera node's log: which lines get into its file, and what `/logs` tells of them."""

from __future__ import annotations

import logging
import logging.config
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from nvr_project import output
from nvr_project.environment import read_environment
from nvr_project.output import Output
from stills import nodelog
from stills.nodelog import Sorter, last_lines

HEAD = "2025-01-30 12:26:01,345 - camera_node - INFO - "
OTHER = "2025-01-30 12:26:01,345 - recordings.packager - INFO - "


@pytest.fixture
def log(settings: Settings, tmp_path: Path) -> Path:
    """The file that the supervisor writes; callers are trusted."""
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(settings.NVR, trusted_networks=networks)
    settings.LOG_DIR = tmp_path
    return tmp_path / nodelog.FILE_NAME


def lines(first: int, end: int) -> list[str]:
    return [f"{HEAD}line {number}" for number in range(first, end)]


def write(path: Path, written: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in written))


# --- what is answered -----------------------------------------------------------------------------


def test_the_last_hundred_lines_are_an_array(client: Client, log: Path) -> None:
    write(log, lines(0, 250))
    assert client.get("/logs").json() == lines(150, 250)
    assert client.get("/logs?lines=3").json() == lines(247, 250)
    assert client.get("/logs?lines=1000").json() == lines(0, 250)


def test_or_an_object_where_a_setting_says_so(
    client: Client, log: Path, settings: Settings
) -> None:
    settings.NVR = replace(settings.NVR, node_logs="object")
    write(log, lines(0, 2))
    assert client.get("/logs").json() == {"logs": [f"{line}\n" for line in lines(0, 2)]}
    log.unlink()
    assert client.get("/logs").json() == {"logs": []}


def test_before_anything_was_logged_there_are_no_lines(client: Client, log: Path) -> None:
    assert client.get("/logs").json() == []
    log.touch()
    assert client.get("/logs").json() == []


@pytest.mark.parametrize("text", ["0", "+0", " 0", "00", "0.0", "-0"])
def test_no_lines_are_no_lines(client: Client, log: Path, text: str) -> None:
    write(log, lines(0, 5))
    response = client.get("/logs", query_params={"lines": text})
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("text", ["7", "+7", " 7 ", "7.0", "0_7"])
def test_a_number_may_be_written_as_the_framework_read_it(
    client: Client, log: Path, text: str
) -> None:
    write(log, lines(0, 10))
    assert client.get("/logs", query_params={"lines": text}).json() == lines(3, 10)


def refused(client: Client, text: str) -> dict[str, Any]:
    response = client.get("/logs", query_params={"lines": text})
    assert response.status_code == 422
    (detail,) = response.json()["detail"]
    assert (detail.pop("loc"), detail.pop("input")) == (["query", "lines"], text)
    assert detail.pop("msg")
    found: dict[str, Any] = detail
    return found


@pytest.mark.parametrize("text", ["-1", "-100000"])
def test_a_negative_number_is_refused(client: Client, log: Path, text: str) -> None:
    write(log, lines(0, 5))
    assert refused(client, text) == {"type": "greater_than_equal", "ctx": {"ge": 0}}


@pytest.mark.parametrize(
    "text", ["", "many", "1.5", "1e3", "0x10", "\u0661", "1__0", "_1", "1,000"]
)
def test_what_is_no_number_is_refused(client: Client, log: Path, text: str) -> None:
    assert refused(client, text) == {"type": "int_parsing"}


def test_a_number_nobody_can_read_is_refused(client: Client, log: Path) -> None:
    assert refused(client, "9" * 5_000) == {"type": "int_parsing_size"}


@pytest.mark.parametrize("text", ["10001", "9" * 300])
def test_a_huge_number_gets_as_much_as_anybody(client: Client, log: Path, text: str) -> None:
    write(log, lines(0, 12_000))
    assert client.get(f"/logs?lines={text}").json() == lines(2_000, 12_000)


def test_a_log_that_cannot_be_read_is_a_500_in_shape(client: Client, log: Path) -> None:
    log.mkdir()
    response = client.get("/logs")
    assert response.status_code == 500
    assert response.json() == {"detail": "The log could not be read"}


# --- how the end of the file is read --------------------------------------------------------------


def test_what_the_file_lacks_is_in_the_one_before_it(log: Path) -> None:
    write(log.with_name(f"{log.name}.1"), lines(0, 50))
    write(log, lines(50, 60))
    assert last_lines(log.parent, 15) == lines(45, 60)
    assert last_lines(log.parent, 1_000) == lines(0, 60)
    log.unlink()
    assert last_lines(log.parent, 5) == lines(45, 50)


def test_a_file_that_is_rotated_in_this_moment_is_read_once(log: Path) -> None:
    write(log, lines(50, 60))
    log.with_name(f"{log.name}.1").hardlink_to(log)
    write(log.with_name(f"{log.name}.2"), lines(0, 50))
    assert last_lines(log.parent, 15) == lines(45, 60)


@pytest.mark.parametrize("size", [1, 2, 7, 64 * 1024])
def test_lines_may_lie_anywhere_in_the_blocks(
    log: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(nodelog, "_BLOCK", size)
    log.write_bytes("a\n\nüü\nlonger than a block\n".encode())
    assert last_lines(log.parent, 10) == ["a", "", "üü", "longer than a block"]
    log.write_bytes(b"whole\nhalf a li")
    assert last_lines(log.parent, 10) == ["whole", "half a li"]
    log.write_bytes(b"\n")
    assert last_lines(log.parent, 10) == [""]


def test_bytes_that_are_no_text_are_no_error(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\n")
    assert last_lines(log.parent, 1) == ["\ufffd\ufffd"]


def test_memory_stays_bounded_however_long_the_lines_are(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodelog, "MAX_BYTES", 10_000)
    write(log.with_name(f"{log.name}.1"), ["older " + "y" * 900] * 30)
    write(log, ["x" * 999] * 3)
    found = last_lines(log.parent, 10_000)
    assert sum(len(line) + 1 for line in found) <= 10_000
    assert found[-3:] == ["x" * 999] * 3
    assert found[0] == "older " + "y" * 900, "a line that is cut is left out"
    write(log, ["x" * 50_000])
    assert last_lines(log.parent, 10_000) == []


# --- what is written ------------------------------------------------------------------------------


def test_a_traceback_belongs_to_the_line_before_it() -> None:
    sorter = Sorter()
    told = [
        ("a banner before any line", False),
        (f"{OTHER}packaged", False),
        ("Traceback of another", False),
        (f"{HEAD}Capture failed", True),
        ("Traceback (most recent call last):", True),
        ('  File "x.py", line 1', True),
        ("OSError: [Errno 5] Input/output error", True),
        (f"{OTHER}about - camera_node - INFO - nothing", False),
        ("its own continuation", False),
    ]
    assert [(line, sorter.is_ours(line)) for line, _ in told] == told


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Output]:
    out = Output(tmp_path / "roost.log", tmp_path / "errors.jsonl")
    yield out
    out.close()


def until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def test_the_supervisor_keeps_the_nodes_lines_in_a_file_of_their_own(
    sink: Output, log: Path
) -> None:
    sink.line("worker", f"{HEAD}Capture failed: password=canary")
    sink.line("web", f"{OTHER}somebody else's")
    sink.line("worker", "Traceback (most recent call last):")
    sink.line("worker", '  File "x.py", line 1')
    sink.line("worker", f"{OTHER}again somebody else's")
    sink.say("the last line")
    everything = log.with_name("roost.log")
    until(lambda: everything.exists() and "the last line" in everything.read_text())
    assert last_lines(log.parent, 100) == [
        f"{HEAD}Capture failed: password=[hidden]",
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
    ]
    assert len(everything.read_text().splitlines()) == 6
    assert f"worker     | {HEAD}Capture failed" in everything.read_text()


def test_the_supervisors_own_lines_have_the_format_of_all(
    sink: Output, log: Path, tmp_path: Path
) -> None:
    sink.say("100% ready")
    sink.complain("valkey ended")
    everything = tmp_path / "roost.log"
    until(lambda: everything.exists() and "valkey ended" in everything.read_text())
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    said, complained = everything.read_text().splitlines()
    assert re.fullmatch(rf"supervisor \| {stamp} - supervisor - INFO - 100% ready", said)
    assert re.fullmatch(rf"supervisor \| {stamp} - supervisor - ERROR - valkey ended", complained)
    assert not log.exists()


def test_the_file_is_rotated_and_read_across_the_seam(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOG_BYTES", 2_000)
    sink = Output(log.with_name("roost.log"), log.with_name("errors.jsonl"))
    try:
        for line in lines(0, 400):
            sink.line("worker", line)
        until(lambda: last_lines(log.parent, 1) == lines(399, 400))
    finally:
        sink.close()
    found = {path.name for path in log.parent.glob("camera_node.log*")}
    assert found == {log.name, *(f"{log.name}.{number}" for number in range(1, 6))}
    assert last_lines(log.parent, 60) == lines(340, 400)


def test_what_a_process_logs_is_what_the_supervisor_looks_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The settings' format and the sorter's idea of it, tied together by a real record."""
    before = logging.root.handlers[:]
    handler = logging.config.dictConfigClass(
        {
            **settings.LOGGING,
            "handlers": {"stderr": settings.LOGGING["handlers"]["stderr"]},
            "root": {"handlers": ["stderr"], "level": "INFO"},
        }
    )
    try:
        handler.configure()
        try:
            raise OSError(5, "Input/output error")
        except OSError:
            logging.getLogger(nodelog.LOGGER).exception("Capture failed")
        logging.getLogger("recordings").info("packaged")
    finally:
        logging.root.handlers[:] = before
    printed = capsys.readouterr().err.splitlines()
    sorter = Sorter()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - camera_node - ERROR - Capture failed", printed[0]
    )
    assert printed[-2].startswith("OSError: [Errno 5]")
    assert [sorter.is_ours(line) for line in printed] == [True] * (len(printed) - 1) + [False]
