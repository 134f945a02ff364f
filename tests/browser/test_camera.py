"""The page of one camera and the list of all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CAMERAS, Visitor
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]


def _last_camera(visitor: Visitor) -> dict[str, Any]:
    """The fourth: other tests look at the first two."""
    devices = visitor.api("GET", "devices/")["results"]
    found: dict[str, Any] = max(devices, key=lambda one: one["id"])
    return found


def test_it_shows_the_picture_the_state_in_words_and_today(visit: Any) -> None:
    visitor = visit()
    camera = _last_camera(visitor)
    page = visitor.open(f"/cameras/{camera['id']}")
    page.wait_for_selector(".tile.has-picture")
    expect(page.locator(".state-line")).not_to_be_empty()
    expect(page.get_by_text(camera["mac"])).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Recorded today"))).to_be_visible()
    expect(page.get_by_role("list", name="Events")).to_contain_text("Connected")


def test_a_new_name_appears_at_once_and_stays(visit: Any) -> None:
    visitor = visit()
    camera = _last_camera(visitor)
    page = visitor.open(f"/cameras/{camera['id']}")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name of the camera").fill("Garden <b>gate</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Garden <b>gate</b>")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Garden <b>gate</b>")
    visitor.api("PATCH", f"devices/{camera['id']}/", {"name": camera["name"]})


def test_an_empty_name_is_refused_in_words(visit: Any) -> None:
    visitor = visit()
    page = visitor.open(f"/cameras/{_last_camera(visitor)['id']}")
    page.get_by_role("button", name="Rename").click()
    name = page.get_by_label("Name of the camera")
    name.fill("   ")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Name: ")
    expect(name).to_have_attribute("aria-invalid", "true")
    visitor.forgive(400)


def test_a_changed_setting_reaches_the_camera_and_says_so(visit: Any) -> None:
    visitor = visit()
    camera = _last_camera(visitor)
    device = f"devices/{camera['id']}/"
    wait_until(lambda: visitor.api("GET", device)["is_connected"], limit_s=20, what="connected")
    page = visitor.open(f"/cameras/{camera['id']}")
    page.wait_for_selector(".tile.has-picture")
    page.get_by_label("Picture size").select_option("QVGA")
    expect(page.get_by_text("Applied: the camera was told.")).to_be_visible()
    width = "document.querySelector('.tile canvas').width"
    wait_until(lambda: page.evaluate(width) == 320, limit_s=15, what="a picture 320 wide")
    page.get_by_label("Brightness").press("ArrowRight")
    expect(page.get_by_text("Applied: the camera was told.")).to_be_visible()
    config = visitor.api("GET", f"devices/{camera['id']}/")["config"]
    assert config["resolution"] == "QVGA"
    visitor.api("PATCH", f"devices/{camera['id']}/", {"config": camera["config"]})


def test_a_command_that_interrupts_asks_first(visit: Any) -> None:
    visitor = visit()
    camera = _last_camera(visitor)
    page = visitor.open(f"/cameras/{camera['id']}")
    page.get_by_role("button", name="Restart").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("stop for some seconds")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Restart").click()
    dialog.get_by_role("button", name="Restart").click()
    expect(page.locator("#toasts")).to_contain_text(f"Sent to {camera['name']}")


def test_deleting_says_what_goes_with_it_and_can_be_left(visit: Any) -> None:
    visitor = visit()
    camera = _last_camera(visitor)
    page = visitor.open(f"/cameras/{camera['id']}")
    page.get_by_role("button", name="Delete this camera").click()
    expect(page.get_by_role("dialog")).to_contain_text("recorded hour")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert visitor.api("GET", f"devices/{camera['id']}/")["id"] == camera["id"]


def test_the_list_shows_every_camera_with_its_state(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/cameras")
    # Another test may have added one, or just taken it away, which need not be recording.
    wait_until(
        lambda: page.locator("tbody a.name").count() == visitor.api("GET", "devices/")["count"],
        limit_s=15,
        what="a row for every camera",
    )
    expect(page.get_by_text("Recording", exact=True).nth(CAMERAS - 1)).to_be_visible()


def test_a_camera_that_waits_is_let_in_with_one_click(visit: Any) -> None:
    visitor = visit()
    visitor.api("PATCH", "settings/", {"registration": {"mode": "approve"}})
    try:
        mac = "AA:BB:CC:00:11:22"
        answer = visitor.context.request.post(f"{visitor.url}/register", data={"deviceId": mac})
        assert answer.ok, answer.text()
        page = visitor.open("/cameras")
        row = page.get_by_role("row").filter(has_text=mac)
        row.get_by_role("button", name="Approve").click()
        expect(page.locator("#toasts")).to_contain_text("is let in")
        expect(page.get_by_role("heading", name="Waiting for approval")).to_have_count(0)
    finally:
        visitor.api("PATCH", "settings/", {"registration": {"mode": "open"}})
        for device in visitor.api("GET", "devices/?search=AA:BB:CC:00:11:22")["results"]:
            visitor.api("DELETE", f"devices/{device['id']}/")
