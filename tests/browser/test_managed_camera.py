"""What a camera with Roost's firmware adds to its page: charts, boots, frame rates, its sleep."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import PHONE, Visitor
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]
MINUTE = 60


def _camera(visitor: Visitor) -> dict[str, Any]:
    """The third: other tests look at the others."""
    devices = visitor.api("GET", "devices/")["results"]
    found: dict[str, Any] = sorted(devices, key=lambda one: int(one["id"]))[2]
    return found


def _at(now: float, minutes: float) -> str:
    return datetime.fromtimestamp(now - minutes * MINUTE, UTC).isoformat()


def _six_hours(page: Page) -> None:
    """What such a camera reports in six hours, of which no test has the time; restarted twice."""
    now = time.time()
    samples = [
        {
            "at": _at(now, n), "uptime_ms": 1, "free_heap_bytes": 150_000 + n * 37 % 4000, "boot_count": 1,
            "rssi_dbm": -58 - n // 12 - n % 3, "drops": (200 - n) if n < 200 else (360 - n) // 2,
            "temperature_c": 48 + n % 40 / 5, "battery_mv": 3700 + n, "received_fps": 9.5,
            "received_bytes_per_second": 90_000.0, "dropped_frames": 0,
        }
        for n in range(360)
    ]  # fmt: skip
    events: list[dict[str, Any]] = [
        {"at": _at(now, 10), "kind": "update", "detail": "Runs 1.3.0", "rssi_dbm": -60},
        {"at": _at(now, 20), "kind": "booted", "detail": "motion", "rssi_dbm": None},
        {"at": _at(now, 200), "kind": "booted", "detail": "brownout", "rssi_dbm": -71},
        {"at": _at(now, 300), "kind": "booted", "detail": "watchdog", "rssi_dbm": -71},
    ]

    def answer(rows: list[dict[str, Any]]) -> Any:
        body = {"count": len(rows), "next": None, "previous": None, "results": rows}
        return lambda route: route.fulfill(
            status=200, content_type="application/json", body=json.dumps(body)
        )

    page.route("**/telemetry/**", answer(samples))
    page.route("**/events/**", answer(events))


@pytest.mark.parametrize("name", ["desk", "phone"])
def test_its_health_is_drawn_with_the_starts_that_nobody_asked_for(visit: Any, name: str) -> None:
    look = {"viewport": PHONE, "color_scheme": "light"} if name == "phone" else {}
    visitor = visit(**look)
    _six_hours(visitor.page)
    page = visitor.open(f"/cameras/{_camera(visitor)['id']}")
    for chart in ("Chip temperature", "Battery", "Wi-Fi signal", "Pictures given up"):
        expect(page.get_by_role("img", name=re.compile(chart))).to_be_visible()
    battery = page.get_by_role("img", name=re.compile("Battery"))
    expect(battery.locator("line.mark")).to_have_count(2)
    expect(page.locator(".chart-marks")).to_contain_text("its supply voltage fell too low")
    expect(page.locator(".chart-marks")).not_to_contain_text("motion")
    events = page.get_by_role("list", name="Events")
    expect(events).to_contain_text("Woke up · motion")
    expect(events).to_contain_text("Started anew · its firmware hung")
    expect(events).to_contain_text("Firmware · Runs 1.3.0")
    expect(page.locator(".facts")).to_contain_text("Last updateRuns 1.3.0")
    battery.scroll_into_view_if_needed()
    visitor.shoot(f"managed-charts-{name}")


def test_a_real_report_is_in_its_facts(visit: Any) -> None:
    visitor = visit()
    camera = _camera(visitor)
    path = f"devices/{camera['id']}/"
    wait_until(
        lambda: visitor.api("GET", path)["firmware_version"], limit_s=30, what="its first heartbeat"
    )
    page = visitor.open(f"/cameras/{camera['id']}")
    expect(page.locator(".facts")).to_contain_text("1.0.0 for simulated")
    expect(page.get_by_role("list", name="Events")).to_contain_text("Started anew")


@pytest.mark.parametrize("name", ["desk", "phone"])
def test_frame_rates_are_switched_on_changed_and_off(visit: Any, name: str) -> None:
    look = {"viewport": PHONE, "color_scheme": "light"} if name == "phone" else {}
    visitor = visit(**look)
    camera = _camera(visitor)
    path = f"devices/{camera['id']}/"
    visitor.api("PATCH", path, {"frame_rates": None})
    page = visitor.open(f"/cameras/{camera['id']}")
    expect(page.get_by_label("Pictures a second", exact=True)).to_be_visible()
    page.get_by_label("Another frame rate when somebody watches").check()
    idle = page.get_by_label("Nobody watches")
    expect(idle).to_have_value("2")
    expect(page.get_by_label("Pictures a second", exact=True)).to_have_count(0)
    idle.press("ArrowRight")
    wait_until(
        lambda: (visitor.api("GET", path)["frame_rates"] or {}).get("idle") == 3,
        limit_s=15,
        what="the rate that was set",
    )
    expect(page.get_by_role("status").filter(has_text="Applied")).to_be_visible()
    page.get_by_label("Another frame rate").scroll_into_view_if_needed()
    visitor.shoot(f"managed-rates-{name}")
    page.get_by_label("Another frame rate when somebody watches").uncheck()
    expect(page.get_by_label("Pictures a second", exact=True)).to_be_visible()
    assert visitor.api("GET", path)["frame_rates"] is None


def test_a_camera_asleep_for_too_long_is_missing(visit: Any) -> None:
    """As the API says it: no test can wait for a day. The browser's time zone is not the server's."""
    visitor = visit(timezone_id="Asia/Tokyo")
    camera = _camera(visitor)

    def with_one_missing(route: Route) -> None:
        answer = route.fetch()
        document = answer.json()
        for one in document["results"]:
            if one["id"] == camera["id"]:
                one |= {
                    "presence": "asleep", "is_inactive": True, "is_connected": False,
                    "presence_since": "2025-11-19T20:02:00Z",
                    "sentence": "Missing: asleep since 19 Nov, 14:02 and not heard of",
                }  # fmt: skip
        route.fulfill(response=answer, json=document)

    visitor.page.route(re.compile(r"/api/v1/devices/\?"), with_one_missing)
    page = visitor.open("/cameras")
    row = page.get_by_role("row").filter(has_text=camera["name"])
    expect(row).to_contain_text("Missing")
    news = f"{re.escape(camera['name'])} went to sleep and is missing since Thu,? 20 Nov 05:02$"
    expect(page.get_by_text(re.compile(news))).to_be_visible()
    visitor.shoot("managed-missing")
