"""Who asks to join is seen on every page and answered with a click; a flood is one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Visitor

pytestmark = [pytest.mark.stack, pytest.mark.browser]

OURS = "AA:BB:CC:EE:"
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def mac(number: int) -> str:
    return f"{OURS}{number >> 8:02X}:{number & 255:02X}"


@pytest.fixture
def asked(visit: Any) -> Iterator[Callable[..., Visitor]]:
    """`asked(mac, …)`: a visitor of a recorder that approves by hand, where these have asked."""
    cleaner = visit()
    cleaner.api("PATCH", "settings/", {"registration": {"mode": "approve"}})

    def asked_(*macs: str, **options: Any) -> Visitor:
        for one in macs:
            sent = cleaner.context.request.post(f"{cleaner.url}/register", data={"deviceId": one})
            assert sent.ok, sent.text()
        visitor: Visitor = visit(**options)
        return visitor

    yield asked_
    newest = cleaner.api("GET", "enrolment/")["results"]
    if newest:
        cleaner.api("POST", "enrolment/refuse/", {"up_to_key": newest[0]["key"]})
    while rows := cleaner.api("GET", "enrolment/refused/?page_size=500")["results"]:
        cleaner.api("POST", "enrolment/readmit/", {"devices": [row["device"] for row in rows]})
        for row in rows:
            cleaner.api("DELETE", f"devices/{row['device']}/")
    for row in cleaner.api("GET", f"devices/?search={OURS}")["results"]:
        cleaner.api("DELETE", f"devices/{row['id']}/")
    cleaner.api("PATCH", "settings/", {"registration": {"mode": "open"}})


def test_a_new_camera_is_counted_on_the_rail_refused_and_readmitted(
    asked: Callable[..., Visitor],
) -> None:
    visitor = asked(mac(1))
    page = visitor.open("/")
    badge = page.locator(".rail-count")
    expect(badge).to_have_text("1 asks to join")
    expect(page.locator(".tile")).not_to_have_count(0)
    visitor.shoot("enrolment-live-desk-dark")

    page.get_by_role("link", name=re.compile("^Cameras")).click()
    row = page.get_by_role("row").filter(has_text=mac(1))
    expect(row).to_contain_text("Signal not known yet")
    row.get_by_role("button", name="Refuse").click()
    expect(row).to_have_count(0)
    expect(badge).to_have_count(0)
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Refuse").click()
    page.get_by_text("1 refused").click()
    page.get_by_role("button", name=f"Let {mac(1)} ask again").click()
    row.get_by_role("button", name="Approve").click()
    expect(page.locator("#toasts")).to_contain_text("is let in")
    expect(page.get_by_role("region", name="Waiting for approval")).to_have_count(0)
    (camera,) = visitor.api("GET", f"devices/?search={OURS}")["results"]
    assert camera["enrolment"] == "approved"


def test_a_camera_that_was_just_set_up_is_let_in_and_named_where_it_was_set_up(
    asked: Callable[..., Visitor],
) -> None:
    visitor = asked()
    page = visitor.open("/cameras/add?kind=esp32")
    came = page.get_by_role("status", name="Cameras that came")
    expect(came).to_contain_text("It appears here as soon as it registers.")
    sent = visitor.context.request.post(f"{visitor.url}/register", data={"deviceId": mac(2)})
    assert sent.ok
    expect(came).to_contain_text("Asks to join from 127.0.0.1")
    visitor.shoot("enrolment-setup-desk-dark")
    came.get_by_role("button", name=f"Approve {mac(2)}").click()
    expect(came.get_by_label(f"Name of {mac(2)}")).to_be_visible()
    expect(came).not_to_contain_text("Asks to join")
    assert visitor.api("GET", "enrolment/")["count"] == 0


def test_who_asks_with_the_mac_of_a_connected_camera_is_told_apart_and_costs_it_nothing(
    asked: Callable[..., Visitor],
) -> None:
    visitor = asked()
    known = next(
        one for one in visitor.api("GET", "devices/")["results"] if one["presence"] == "streaming"
    )
    visitor = asked(known["mac"], color_scheme="light")
    page = visitor.open("/cameras")
    card = page.get_by_role("region", name="Waiting for approval")
    row = card.get_by_role("row").filter(has_text=known["mac"])
    expect(row).to_contain_text("Asks for a new key")
    expect(row).to_contain_text("The known camera is connected from 127.0.0.1")
    visitor.shoot("enrolment-stranger-desk-light")
    row.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The camera that is connected keeps its own")
    dialog.get_by_role("button", name="Cancel").click()
    row.get_by_role("button", name="Refuse").click()
    expect(page.locator("#toasts")).to_contain_text(f"{known['name']} keeps its key")
    expect(card).to_have_count(0)
    still = visitor.api("GET", f"devices/{known['id']}/")
    assert (still["is_connected"], still["connection_count"]) == (True, known["connection_count"])


def test_a_flood_is_one_line_with_pages_behind_it_and_refused_at_once(
    asked: Callable[..., Visitor],
) -> None:
    visitor = asked(
        *(mac(256 + number) for number in range(20)),
        viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="light",
    )  # fmt: skip
    page = visitor.open("/cameras")
    card = page.get_by_role("region", name="Waiting for approval")
    expect(card).to_contain_text("20 devices ask to join")
    expect(card.get_by_role("row")).to_have_count(0)
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)
    visitor.shoot("enrolment-flood-phone-light")
    assert page.evaluate(_TOO_WIDE) <= 0
    card.get_by_role("button", name="Show them").click()
    expect(card.get_by_role("row")).to_have_count(8)
    expect(card).to_contain_text(mac(256 + 19))
    card.get_by_role("button", name="Older").click()
    card.get_by_role("button", name="Older").click()
    expect(card.get_by_role("row")).to_have_count(4)
    expect(card).to_contain_text(mac(256))
    visitor.shoot("enrolment-page-phone-light")
    assert page.evaluate(_TOO_WIDE) <= 0
    card.get_by_role("button", name="Refuse all").click()
    page.get_by_role("dialog").get_by_role("button", name="Refuse all").click()
    expect(page.locator("#toasts")).to_contain_text("20 refused")
    expect(card).to_have_count(0)
    assert visitor.api("GET", "enrolment/")["count"] == 0
