"""Every page at both sizes and in both themes: whole, named, light, and pictured in tests/output."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import CAMERAS, DESK, PHONE
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

PAGES = {
    "live": "/",
    "timeline": "/timeline",
    "clips": "/clips",
    "captures": "/captures",
    "own camera": "/captures?view=camera",
    "recordings": "/library",
    "cameras": "/cameras",
    "camera": "/cameras/1",
    "add": "/cameras/add",
    "add esp32": "/cameras/add?kind=esp32",
    "system": "/system",
    "settings": "/settings",
    "firmware": "/firmware",
}
SCRIPT_LIMIT_BYTES = 60_000  # as sent, compressed

_UNNAMED = """() => [...document.querySelectorAll("a, button, input, select, [role=slider]")]
  .filter((one) => one.checkVisibility() && one.type !== "hidden")
  .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
  .map((one) => one.outerHTML.slice(0, 200))"""

_TOO_WIDE = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""

_SMALL_TARGETS = """() => [...document.querySelectorAll(".button, .rail-link, .chip, .input, .select")]
  .filter((one) => one.checkVisibility() && one.offsetParent !== null)
  .filter((one) => one.getBoundingClientRect().height < 43.5)
  .map((one) => one.outerHTML.slice(0, 160))"""

_SCRIPT_SIZES = """() => Object.fromEntries(performance.getEntriesByType("resource")
  .filter((one) => /\\.m?js$/.test(one.name) && !one.name.includes("/vendor/"))
  .map((one) => [one.name, one.encodedBodySize]))"""

_FAINT_TEXT = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => { for (let e = one; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && !one.closest(".tile, .player, svg, :disabled, .unseen, [popover]"))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    .map((one) => { const a = light(parse(getComputedStyle(one).color)), b = light(ground(one));
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 140)]; })
    .filter(([ratio]) => ratio < 4.5);
}"""


def _settle(page: Page, name: str) -> None:
    if name == "live":
        wanted = CAMERAS if (page.viewport_size or DESK) == DESK else 1
        pictures = page.locator(".tile.has-picture")
        wait_until(lambda: pictures.count() >= wanted, limit_s=20, what="pictures")
    elif name == "timeline":
        ready = "document.querySelector('video')?.readyState >= 2"
        wait_until(lambda: page.evaluate(ready), limit_s=20, what="a picture of the past")
    else:
        page.wait_for_load_state("networkidle")
    kinds = (".card", ".kind", ".tile", ".shot", "video")
    shown = page.locator(", ".join(f"{kind}:visible" for kind in kinds))
    expect(shown.first).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_every_page_is_whole_named_and_readable(visit: Any, size: str, theme: str) -> None:
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    visitor = visit(color_scheme=theme, **(phone if size == "phone" else {"viewport": DESK}))
    for name, path in PAGES.items():
        page = visitor.open(path)
        _settle(page, name)
        visitor.shoot(f"{name}-{size}-{theme}")
        assert page.evaluate(_TOO_WIDE) <= 0, f"{name} scrolls sideways"
        assert page.evaluate(_UNNAMED) == [], name
        assert page.evaluate(_FAINT_TEXT) == [], name
        if size == "phone":
            assert page.evaluate(_SMALL_TARGETS) == [], name


def test_text_at_twice_its_size_still_fits_a_small_phone(visit: Any) -> None:
    visitor = visit(viewport={"width": 360, "height": 740})
    for name, path in PAGES.items():
        page = visitor.open(path)
        _settle(page, name)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert page.evaluate(_TOO_WIDE) <= 0, f"{name} scrolls sideways"


@pytest.mark.parametrize("path", PAGES.values())
def test_a_page_needs_less_than_60_kb_of_script(visit: Any, path: str) -> None:
    page = visit().open(path)
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate(_SCRIPT_SIZES)
    assert sizes, "no script was seen at all"
    assert min(sizes.values()) > 0
    assert sum(sizes.values()) < SCRIPT_LIMIT_BYTES, sizes


def test_the_theme_can_be_chosen_and_is_remembered(visit: Any) -> None:
    page = visit(color_scheme="dark").open("/system")
    for wanted in ("dark", "light"):
        page.get_by_role("navigation", name="Main").get_by_role("button", name="Theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") == wanted
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_tab_reaches_the_content_first_and_every_link_of_the_rail(visit: Any) -> None:
    page = visit().open("/system")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    for name in ("Live", "Timeline", "Clips", "Captures", "Cameras", "System"):
        assert name in reached


def test_an_unknown_page_says_so_and_leads_on(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/cameras/4711")
    expect(page.get_by_role("heading", name="Nothing is here")).to_be_visible()
    page.get_by_role("link", name="Live view").click()
    expect(page.get_by_role("heading", name="Live")).to_be_attached()
    visitor.forgive(404)
