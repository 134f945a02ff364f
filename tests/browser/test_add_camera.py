"""A camera is added in the browser: tried, seen, named, live; and every failure is said in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import PHONE, Visitor, log_in, new_visitor
from tests.capture.onvif_device import Device, served
from tests.instruments import rtsp_server
from tests.instruments.firmware import FirmwareClient
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

TEST_LIMIT_MS = 30_000
LIVE_LIMIT_MS = 40_000
PASSWORD = "north wind & 7 geese"

_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

needs_rtsp = pytest.mark.skipif(bool(rtsp_server.missing()), reason=rtsp_server.missing())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A recorder of its own: what is added here would stand in other tests' pictures."""
    tmp = tmp_path_factory.mktemp("adding")
    env = {"NVR_SEGMENT_SECONDS": "4", "NVR_ALLOW_LOOPBACK_CAMERAS": "1"}
    with Stack(tmp, env=env) as stack:
        yield stack


@pytest.fixture
def arrive(chromium: Browser, empty: Stack) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def arrive_(**options: Any) -> Visitor:
        visitor = new_visitor(chromium, empty.url, **options)
        visitors.append(visitor)
        log_in(visitor)
        return visitor

    yield arrive_
    for visitor in visitors:
        for camera in visitor.api("GET", "devices/")["results"]:
            visitor.api("DELETE", f"devices/{camera['id']}/?recordings=delete")
        visitor.context.close()
    assert [trouble for visitor in visitors for trouble in visitor.troubles] == []


def _choose(page: Page, kind: str) -> None:
    page.get_by_role("link", name=re.compile(f"^{kind}")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(kind)


def _expect_live(page: Page) -> None:
    page.wait_for_url(re.compile(r"\?added=\d+"))
    expect(page.locator(".tile")).to_have_class(re.compile("has-picture"), timeout=LIVE_LIMIT_MS)
    expect(page.locator(".added .state").last).to_have_text("Recording", timeout=LIVE_LIMIT_MS)


def test_a_simulated_network_camera_is_tried_named_and_live(
    arrive: Callable[..., Visitor],
) -> None:
    visitor = arrive()
    page = visitor.open("/cameras")
    page.get_by_role("link", name="Add a camera").first.click()
    _choose(page, "Simulated camera")
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_role("heading", name="It works")).to_be_visible(timeout=TEST_LIMIT_MS)
    picture = page.get_by_role("img", name="The first picture")
    wait_until(
        lambda: picture.evaluate("(one) => one.naturalWidth > 100"), limit_s=10, what="a picture"
    )
    expect(page.locator(".trial-picture")).to_contain_text("H.264")
    expect(page.get_by_label("Record its sound")).to_be_checked()
    page.get_by_label("Name", exact=True).fill("Test pattern")
    page.get_by_role("button", name="Add this camera").click()
    _expect_live(page)
    visitor.shoot("added-desk-dark")
    (camera,) = visitor.api("GET", "devices/")["results"]
    assert camera["name"] == "Test pattern"
    assert camera["source"]["state"] == "running"

    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Test pattern")


@needs_rtsp
def test_an_rtsp_camera_with_a_password_goes_from_its_address_to_live(
    arrive: Callable[..., Visitor],
) -> None:
    with rtsp_server.RtspServer(username="admin", password=PASSWORD) as camera:
        visitor = arrive()
        page = visitor.open("/cameras/add")
        _choose(page, "Network camera")
        page.get_by_label("Address", exact=True).fill(camera.url)
        page.get_by_label("User name", exact=True).fill("admin")
        page.get_by_label("Password", exact=True).fill("wrong")
        page.get_by_role("button", name="Test").click()
        expect(page.locator(".trial")).to_contain_text(
            re.compile("refused the password", re.IGNORECASE), timeout=TEST_LIMIT_MS
        )
        page.get_by_role("button", name="Change what was put in").click()
        expect(page.get_by_label("Address", exact=True)).to_have_value(camera.url)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_role("heading", name="It works")).to_be_visible(timeout=TEST_LIMIT_MS)
        expect(page.locator(".trial-picture")).to_contain_text("H.264, 640x360")
        page.get_by_label("Name", exact=True).fill("Back yard")
        page.get_by_role("button", name="Add this camera").click()
        _expect_live(page)

        page.get_by_role("link", name="Its settings").click()
        card = page.get_by_role("region", name="Where its picture comes from")
        expect(card).to_contain_text("H.264, 640x360")
        expect(card).to_contain_text("admin")
        assert PASSWORD not in page.content()
        expect(page.get_by_role("region", name="Camera settings")).to_have_count(0)
        expect(page.get_by_role("button", name="Restart")).to_have_count(0)

        camera.kill()
        expect(page.locator(".state-line")).to_contain_text(
            re.compile("answers|listens|connection|ended|refuse", re.IGNORECASE),
            timeout=LIVE_LIMIT_MS,
        )
        camera.start()
        card.get_by_role("button", name="Try now").click()
        expect(card).to_contain_text("Runs since", timeout=LIVE_LIMIT_MS)

        card.get_by_role("button", name="Switch off").click()
        expect(card).to_contain_text("Switched off since")
        expect(page.locator(".state").first).to_have_text("Switched off", timeout=LIVE_LIMIT_MS)
        card.get_by_role("button", name="Switch on").click()
        expect(card).to_contain_text("Runs since", timeout=LIVE_LIMIT_MS)


@needs_rtsp
def test_a_camera_that_says_where_its_streams_are_needs_only_its_host_and_log_in(
    arrive: Callable[..., Visitor],
) -> None:
    with rtsp_server.RtspServer(username="admin", password=PASSWORD) as camera:
        streams = {"main": camera.url, "sub": f"{camera.url}?sub=1"}
        with served(Device(password=PASSWORD, streams=streams)) as onvif:
            visitor = arrive()
            page = visitor.open("/cameras/add?kind=network")
            page.get_by_label("Address", exact=True).fill(f"127.0.0.1:{onvif.port}")
            page.get_by_role("button", name="Test").click()
            expect(page.get_by_text("This camera wants a log-in.")).to_be_visible()
            page.get_by_label("User name", exact=True).fill("admin")
            page.get_by_label("Password", exact=True).fill(PASSWORD)
            page.get_by_role("button", name="Ask again").click()
            expect(page.get_by_role("radiogroup", name="Stream")).to_contain_text(
                re.compile("1280 . 720")
            )
            page.get_by_role("button", name="Test").click()
            works = page.get_by_role("heading", name="It works")
            expect(works).to_be_visible(timeout=TEST_LIMIT_MS)
            visitor.forgive(400)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file:///etc/passwd", "rtsp"),
        ("rtsp://169.254.169.254/latest", "169.254.169.254"),
        ("rtsp://127.0.0.1:9/live", "nothing listens on port 9"),
    ],
)
def test_a_bad_address_is_answered_in_words(
    arrive: Callable[..., Visitor], address: str, words: str
) -> None:
    visitor = arrive()
    page = visitor.open("/cameras/add?kind=network")
    page.get_by_label("Address", exact=True).fill(address)
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible(
        timeout=TEST_LIMIT_MS
    )
    expect(page.locator(".trial .notice")).to_contain_text(words)
    assert visitor.api("GET", "devices/")["count"] == 0
    if any("status of 400" in trouble for trouble in visitor.troubles):
        visitor.forgive(400)


def test_a_reload_keeps_the_address_and_forgets_the_password(
    arrive: Callable[..., Visitor],
) -> None:
    page = arrive().open("/cameras/add?kind=network")
    page.get_by_label("Address", exact=True).fill("rtsp://admin:hidden@192.168.7.7/live")
    page.get_by_label("User name", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.reload()
    expect(page.get_by_label("Address", exact=True)).to_have_value("rtsp://192.168.7.7/live")
    expect(page.get_by_label("User name", exact=True)).to_have_value("admin")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    kept = page.evaluate("JSON.stringify([history.state, {...localStorage}, {...sessionStorage}])")
    assert PASSWORD not in kept
    assert "hidden" not in kept

    page.get_by_role("link", name="Back", exact=True).click()
    expect(page.get_by_role("link", name=re.compile("^USB camera"))).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Address", exact=True)).to_have_value("rtsp://192.168.7.7/live")


def test_an_esp32_appears_by_itself_and_is_named_where_it_appears(
    arrive: Callable[..., Visitor], empty: Stack
) -> None:
    visitor = arrive()
    page = visitor.open("/cameras/add?kind=esp32")
    expect(page.get_by_text("It appears here as soon as it registers.")).to_be_visible()
    FirmwareClient("127.0.0.1", empty.port, empty.ca_path).register("24:6F:28:AA:BB:CC")
    name = page.get_by_label("Name of 24:6F:28:AA:BB:CC")
    expect(name).to_be_visible()
    name.fill("Bird table")
    name.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Named Bird table")
    (camera,) = visitor.api("GET", "devices/")["results"]
    assert camera["name"] == "Bird table"


def test_one_more_simulated_camera_is_followed_and_not_one_that_streams(visit: Any) -> None:
    visitor = visit()
    cameras = visitor.api("GET", "devices/?kind=simulated")["results"]
    newest = max(camera["id"] for camera in cameras if camera["presence"] == "streaming")

    def before_it_streams(route: Route) -> None:
        answer = route.fetch()
        listed = answer.json()
        for camera in listed["results"]:
            if camera["id"] == newest:
                camera["presence"] = "registered"
        route.fulfill(response=answer, json=listed)

    page = visitor.open("/cameras/add?kind=simulated")
    page.route("**/api/v1/devices/?kind=simulated", before_it_streams)
    page.route("**/api/v1/simulated-cameras/", lambda route: route.fulfill(json={"count": 4}))
    page.get_by_role("button", name="Start a simulated camera").click()
    expect(page).to_have_url(re.compile(rf"\?added={newest}$"))


def test_the_whole_way_by_keyboard_alone(arrive: Callable[..., Visitor]) -> None:
    page = arrive().open("/cameras/add")
    expect(page.get_by_role("link", name=re.compile("^Network camera"))).to_be_visible()
    _tab_to(page, "Simulated camera")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Test")).to_be_visible()
    _tab_to(page, "Test")
    page.keyboard.press("Enter")
    name = page.get_by_label("Name", exact=True)
    expect(name).to_be_focused(timeout=TEST_LIMIT_MS)
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    _expect_live(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")


def _tab_to(page: Page, text: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith(text):
            return
    raise AssertionError(f"no tab leads to {text}")


def test_every_step_fits_a_phone(arrive: Callable[..., Visitor]) -> None:
    phone = arrive(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="light")
    narrow = arrive(viewport={"width": 360, "height": 740})
    for kind in ("", "?kind=network", "?kind=esp32", "?kind=usb", "?kind=pi", "?kind=simulated"):
        for visitor in (phone, narrow):
            page = visitor.open(f"/cameras/add{kind}")
            expect(page.locator("#add .card, #add .kind").first).to_be_visible()
            if visitor is phone:
                visitor.shoot(f"add{kind.replace('?kind=', '-')}-phone-light")
            else:
                page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert page.evaluate(_TOO_WIDE) <= 0, f"{kind} scrolls sideways"


def test_a_machine_that_fetches_gets_a_key_that_is_shown_once(
    arrive: Callable[..., Visitor],
) -> None:
    visitor = arrive()
    page = visitor.open("/cameras")
    page.get_by_role("button", name="Add a machine").click()
    page.get_by_label("Its name").fill("Shed")
    page.get_by_role("button", name="Make its key").click()
    key = page.locator(".dialog .copy code").first.inner_text()
    assert re.fullmatch("[0-9a-f]{64}", key)
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".dialog")).to_have_count(0)
    row = page.get_by_role("row", name=re.compile("Shed"))
    expect(row).to_contain_text("Never called")
    assert key not in page.content()
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
