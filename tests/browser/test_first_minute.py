"""A new recorder: from the log-in to the first picture, and what is said when it goes away."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, log_in, new_visitor
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser]


@pytest.fixture
def newcomer(chromium: Browser, tmp_path: object) -> Iterator[Visitor]:
    with Stack(tmp_path, is_first_start=True) as stack:  # type: ignore[arg-type]
        visitor = new_visitor(chromium, stack.url)
        yield visitor
        visitor.context.close()
        assert visitor.troubles == []


def test_one_click_on_an_empty_recorder_brings_a_picture(newcomer: Visitor) -> None:
    log_in(newcomer)
    page = newcomer.page
    expect(page.get_by_role("heading", name="No camera yet")).to_be_visible()
    expect(page.get_by_role("link", name="Certificate")).to_have_attribute("href", "/ca.pem")
    newcomer.shoot("empty")

    page.get_by_role("button", name="Start a simulated camera").click()
    expect(page.get_by_text("Asked the recorder to start it")).to_be_visible()
    page.wait_for_selector(".tile.has-picture", timeout=40_000)
    expect(page.locator(".tile-state")).to_have_text("Recording", timeout=15_000)

    newcomer.api("PUT", "simulated-cameras/", {"count": 0})
    veil = page.locator(".tile-veil")
    expect(veil.locator("strong")).to_have_text(
        re.compile("Offline since|No picture since"), timeout=20_000
    )
    expect(page.locator(".tile")).to_have_class(re.compile("is-stale"))
    expect(veil.locator("p")).not_to_be_empty()
    newcomer.shoot("offline")


def test_a_wrong_password_is_answered_in_words_and_ten_pause_the_log_in(newcomer: Visitor) -> None:
    page = newcomer.open("/system")
    assert "next=/system" in page.url
    for _ in range(10):
        page.fill("[name=username]", "stranger")
        page.fill("[name=password]", "wrong")
        page.click("button[type=submit]")
        if page.get_by_role("heading", name="Log-in is paused").is_visible():
            break
        expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_role("heading", name="Log-in is paused")).to_be_visible()
    if any("429" in trouble for trouble in newcomer.troubles):
        newcomer.forgive(429)

    log_in(newcomer)  # somebody else is not locked out with the stranger
    expect(page.get_by_role("heading", name="Live")).to_be_attached()
