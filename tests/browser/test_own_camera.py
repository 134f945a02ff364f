"""This machine's camera: what was found, what is missing and what to do, and a page without one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Visitor

pytestmark = [pytest.mark.stack, pytest.mark.browser]

LOOK_LIMIT_MS = 30_000
OWN = "This machine's camera"
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_NO_CAMERA: dict[str, Any] = {
    "node_id": "camera_node_pi", "setting": "auto", "backend": "", "is_there": False, "is_busy": False,
    "sentence": "The system does not let the recorder see the camera.", "cameras": [],
    "checks": [
        {"name": "rpicam camera", "is_ok": False, "sentence": "The system does not let the recorder see the camera.",
         "advice": "Run: sudo usermod -aG video <the recorder's user>, then restart the recorder."},
        {"name": "rpicam program", "is_ok": True, "sentence": "rpicam-still is installed.", "advice": ""},
        {"name": "v4l2 permission", "is_ok": None, "sentence": "The system has no camera device at all.", "advice": ""},
    ],
    "looked_at": "2026-11-20T12:00:00Z", "last_capture_at": None, "last_error": "", "device": None,
}  # fmt: skip


def _open(visitor: Visitor, path: str = "/captures") -> Page:
    page = visitor.open(path)
    page.wait_for_load_state("networkidle")
    return page


def test_the_self_test_says_what_is_there_and_looks_again(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor)
    page.get_by_role("link", name=f"{OWN}: Ready").click()
    page.wait_for_url(re.compile("view=camera"))
    expect(page.get_by_role("heading", name=OWN)).to_be_focused()
    expect(page.get_by_text("FFmpeg is installed.")).to_be_visible()
    expect(page.get_by_text("NVR_CAMERA=simulated")).to_be_visible()
    expect(page.get_by_text("5,000 MB, then the oldest go (NVR_CAPTURES_MB)")).to_be_visible()
    before = visitor.api("GET", "camera/")["looked_at"]
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_role("button", name="Looking…")).to_be_disabled()
    expect(page.get_by_role("button", name="Look again")).to_be_enabled(timeout=LOOK_LIMIT_MS)
    assert visitor.api("GET", "camera/")["looked_at"] > before
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Captures")).to_be_visible()


def test_the_self_test_says_what_is_missing_and_what_to_do(visit: Any) -> None:
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="light")
    page = visitor.page
    page.route("**/api/v1/camera/", lambda route: route.fulfill(json=_NO_CAMERA))
    _open(visitor, "/captures?view=camera")
    trouble = page.locator(".check-line.is-bad")
    expect(trouble).to_contain_text("Camera by rpicam")
    expect(trouble).to_contain_text("sudo usermod -aG video")
    expect(page.locator(".check-line.is-unknown")).to_contain_text("no camera device at all")
    expect(page.get_by_role("heading", name="To get a Raspberry Pi camera going")).to_be_visible()
    visitor.shoot("own-camera-missing-phone-light")
    assert page.evaluate(_TOO_WIDE) <= 0


def test_without_any_capture_or_camera_the_page_explains_itself(visit: Any) -> None:
    visitor = visit()
    page = visitor.page
    nothing: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    page.route("**/api/v1/captures/?*", lambda route: route.fulfill(json=nothing))
    page.route("**/api/v1/camera/", lambda route: route.fulfill(json=_NO_CAMERA))
    _open(visitor)
    expect(page.get_by_role("heading", name="Pictures and short videos")).to_be_visible()
    chosen = page.get_by_label("Camera", exact=True).locator("option:checked")
    expect(chosen).to_contain_text("Simulated camera")  # not the one that is not there
    page.get_by_label("Camera", exact=True).select_option("own")
    expect(page.locator(".taking")).to_contain_text("does not let the recorder see the camera")
    page.get_by_role("link", name="Set up this machine's camera").click()
    expect(page.get_by_role("heading", name=OWN)).to_be_visible()
