"""What a camera says it is, on its row, and its boots as events."""

from __future__ import annotations

from typing import Any

import pytest

from devices import services
from devices.models import Device, DeviceEvent, TelemetrySample
from devices.services import CameraFacts, TelemetryReport
from tests.factories import make_device

pytestmark = pytest.mark.django_db
NOW_MS = 1_800_000_000_000


@pytest.fixture
def camera() -> Device:
    return make_device()


def hear(camera: Device, at_ms: int = NOW_MS, **said: Any) -> Device:
    usual: dict[str, Any] = {"uptime_ms": 60_000, "reset_reason": "power_on", "firmware": "1.2.0"}
    services.record_facts([CameraFacts(camera.pk, at_ms, **(usual | said))])
    camera.refresh_from_db()
    return camera


def boots(camera: Device) -> list[tuple[int, str]]:
    rows = camera.events.filter(kind=DeviceEvent.Kind.BOOTED).order_by("at")
    return [(round(row.at.timestamp() * 1000), row.detail) for row in rows]


def test_they_are_on_the_device_and_a_camera_that_says_nothing_has_none(camera: Device) -> None:
    hear(camera, board="ai-thinker", update_key="0123456789abcdef")
    assert (camera.firmware_version, camera.firmware_board) == ("1.2.0", "ai-thinker")
    assert (camera.update_key, camera.last_reset_reason) == ("0123456789abcdef", "power_on")
    hear(camera, firmware="", reset_reason="")  # the old sketch was put back
    assert (camera.firmware_version, camera.last_reset_reason) == ("", "")


def test_a_boot_is_an_event_at_the_moment_it_booted_and_once(camera: Device) -> None:
    hear(camera)
    hear(camera, NOW_MS + 300_000, uptime_ms=361_500)  # the same life, on another connection
    assert boots(camera) == [(NOW_MS - 60_000, "power_on")]
    hear(camera, NOW_MS + 600_000, uptime_ms=4_000, reset_reason="watchdog")
    assert boots(camera)[1:] == [(NOW_MS + 596_000, "watchdog")]


@pytest.mark.parametrize("uptime_ms", [None, 2**52])
def test_a_boot_that_cannot_be_dated_is_none(camera: Device, uptime_ms: int | None) -> None:
    hear(camera, uptime_ms=uptime_ms)
    assert boots(camera) == []
    assert camera.last_reset_reason == "power_on"


def test_a_device_that_is_gone_is_no_error() -> None:
    services.record_facts([CameraFacts(12345, NOW_MS, 5, "power_on", "1.2.0")])
    assert not DeviceEvent.objects.exists()


def test_telemetry_has_them_where_the_camera_has_them(camera: Device) -> None:
    services.record_telemetry(
        [
            TelemetryReport(camera.pk, NOW_MS, drops=7, temperature_c=51.5, battery_mv=3870),
            TelemetryReport(camera.pk, NOW_MS + 60_000),
        ]
    )
    full, empty = TelemetrySample.objects.order_by("at")
    assert (full.drops, full.temperature_c, full.battery_mv) == (7, 51.5, 3870)
    assert (empty.drops, empty.temperature_c, empty.battery_mv) == (None, None, None)
