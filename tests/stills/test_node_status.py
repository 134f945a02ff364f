"""The camera node's figures of the machine, and its `/status`."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from nvr_project.environment import read_environment
from stills import files, node_status
from stills.node_status import Processor, temperature_c

MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def _trusted(settings: Settings) -> None:
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(
        settings.NVR, trusted_networks=networks, node_id="camera_1", node_storage_mb=3
    )


def ask(client: Client) -> dict[str, Any]:
    response = client.get("/status")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


@pytest.mark.usefixtures("data_dir")
class TestStatus:
    def test_it_is_the_contracts_document(self, client: Client) -> None:
        document = ask(client)
        at = document.pop("timestamp")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", at)
        local = timezone.localtime().replace(tzinfo=None)
        assert abs((local - datetime.fromisoformat(at)).total_seconds()) < 5
        assert {key: sorted(value) for key, value in document.items() if key == "system"} == {
            "system": ["cpu_percent", "cpu_temperature", "disk_usage", "memory_percent", "uptime"]
        }
        document.pop("system")
        assert document == {
            "status": "online",
            "storage": {"used_mb": 0.0, "limit_mb": 3, "available_mb": 3.0},
            "node_id": "camera_1",
        }

    def test_every_raw_picture_on_disk_counts_and_nothing_else(self, client: Client) -> None:
        (files.directory() / "ours or not.dng").write_bytes(bytes(MEGABYTE))
        (files.directory() / "b.dng").write_bytes(bytes(MEGABYTE // 3))
        (files.directory() / "a.jpg").write_bytes(bytes(MEGABYTE))
        (files.directory() / ".c.dng").write_bytes(bytes(MEGABYTE))
        assert ask(client)["storage"] == {"used_mb": 1.33, "limit_mb": 3, "available_mb": 1.67}

    def test_more_than_is_allowed_leaves_nothing(self, client: Client) -> None:
        (files.directory() / "a.dng").write_bytes(bytes(5 * MEGABYTE))
        assert ask(client)["storage"] == {"used_mb": 5.0, "limit_mb": 3, "available_mb": 0.0}

    def test_the_figures_are_plausible(self, client: Client) -> None:
        system = ask(client)["system"]
        assert 0 <= system["cpu_percent"] <= 100
        assert 0 < system["memory_percent"] <= 100
        assert 0 < system["disk_usage"] <= 100
        assert system["cpu_temperature"] is None or -40 < system["cpu_temperature"] < 130
        assert isinstance(system["uptime"], int)
        assert abs(system["uptime"] - (time.time() - psutil.boot_time())) < 60
        for name in ("cpu_percent", "memory_percent", "disk_usage"):
            assert round(system[name], 2) == system[name]

    def test_a_trusted_caller_costs_no_question_to_the_database(self, client: Client) -> None:
        """No `django_db` here: a query would fail."""
        assert ask(client)["status"] == "online"


class Times:
    """The kernel's counters, in seconds since the machine was started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.total, self.idle = 100.0, 1_000.0, 900.0
        self.slept_s: list[float] = []
        self.busy = 0.25
        monkeypatch.setattr(node_status, "_processor_seconds", lambda: (self.total, self.idle))
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.total += seconds
        self.idle += seconds * (1 - self.busy)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


class TestProcessor:
    def test_the_first_answer_is_of_now_and_takes_a_moment(self, times: Times) -> None:
        assert Processor().percent() == pytest.approx(25)
        assert sum(times.slept_s) <= 0.06

    def test_the_next_ones_are_of_the_time_between_and_wait_for_nothing(self, times: Times) -> None:
        processor = Processor()
        processor.percent()
        times.busy = 0.75
        times.pass_time(5)
        assert processor.percent() == pytest.approx(75)
        assert len(times.slept_s) == 1

    def test_two_who_ask_at_once_get_the_same(self, times: Times) -> None:
        processor = Processor()
        first = processor.percent()
        times.busy = 1.0
        times.pass_time(0.01)
        assert processor.percent() == first

    def test_after_a_long_silence_it_is_of_now_again(self, times: Times) -> None:
        processor = Processor()
        processor.percent()
        times.busy = 1.0
        times.pass_time(3_600)
        times.busy = 0.5
        assert processor.percent() == pytest.approx(50)

    def test_counters_that_stand_still_or_run_back_are_no_error(self, times: Times) -> None:
        processor = Processor()
        times.busy = 0.5
        processor.percent()
        times.now_s += 2
        assert processor.percent() == pytest.approx(50), "nothing was counted: as before"
        times.now_s += 2
        times.total += 1
        times.idle += 1.5
        assert processor.percent() == 0

    def test_real_work_is_seen(self) -> None:
        total, idle = node_status._processor_seconds()
        assert 0 < idle < total
        deadline = time.monotonic() + 10
        while node_status._processor_seconds() == (total, idle):
            assert time.monotonic() < deadline


def zone(zones: Path, number: int, kind: str, value: str | None) -> None:
    place = zones / f"thermal_zone{number}"
    place.mkdir()
    (place / "type").write_text(f"{kind}\n")
    if value is not None:
        (place / "temp").write_text(value)


class TestTemperature:
    def test_it_is_the_processors(self, tmp_path: Path) -> None:
        zone(tmp_path, 0, "battery", "20000\n")
        zone(tmp_path, 1, "cpu-thermal", "45678\n")
        assert temperature_c(tmp_path) == 45.678

    def test_else_the_first_that_has_one(self, tmp_path: Path) -> None:
        zone(tmp_path, 0, "cpu-thermal", None)
        zone(tmp_path, 1, "cpu-thermal", "switched off\n")
        zone(tmp_path, 2, "acpitz", "30000\n")
        zone(tmp_path, 3, "battery", "20000\n")
        assert temperature_c(tmp_path) == 30

    def test_a_machine_without_has_none(self, tmp_path: Path) -> None:
        assert temperature_c(tmp_path) is None
        assert temperature_c(tmp_path / "nothing") is None
