"""Captures: taken by one click, followed to the end, looked at, analysed, deleted, put in a dark camera's place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import PHONE, Visitor, log_in, new_visitor
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

TAKEN_LIMIT_MS = 30_000  # camera, worker and browser on two shared cores
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
_SMALL_TARGETS = """() => [...document.querySelectorAll(".button, .input, .select, .segment")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 41.5)
  .map((one) => one.outerHTML.slice(0, 160))"""


def _camera(visitor: Visitor) -> dict[str, Any]:
    """The first one that streams."""
    found = visitor.api("GET", "devices/?ordering=id")["results"]
    camera: dict[str, Any] = next(one for one in found if one["presence"] == "streaming")
    return camera


def _capture(visitor: Visitor, pk: str) -> dict[str, Any]:
    capture: dict[str, Any] = visitor.api("GET", f"captures/{pk}/")
    return capture


def _taken(visitor: Visitor, **wish: Any) -> dict[str, Any]:
    """One that is over, by the API; small, to be quick."""
    small = {"kind": "jpg", "width": 320, "height": 240, "duration_seconds": 0.2}
    asked = visitor.api("POST", "captures/", {**small, **wish})
    is_over = lambda: _capture(visitor, asked["id"])["state"] not in ("waiting", "taking")  # noqa: E731
    wait_until(is_over, limit_s=30, what="a capture that is over")
    capture = _capture(visitor, asked["id"])
    assert capture["state"] == "ready", capture["sentence"]
    return capture


def _card(page: Page, capture: dict[str, Any]) -> Locator:
    return page.locator(f".capture[data-shot='{capture['id']}']")


def _newest(page: Page) -> Locator:
    return page.locator(".capture").first


def _take(page: Page, button: str) -> dict[str, Any]:
    """By the bar's button; the answer."""
    with page.expect_response(
        lambda answer: answer.url.endswith("/captures/") and answer.request.method == "POST"
    ) as made:
        page.get_by_role("button", name=button).click()
    capture: dict[str, Any] = made.value.json()
    return capture


def _kind(page: Page, name: str) -> Locator:
    return page.locator(".segment").get_by_text(name, exact=True)


def _choose(page: Page, kind: str) -> None:
    _kind(page, kind).click()


def _open(visitor: Visitor, path: str = "/captures") -> Page:
    page = visitor.open(path)
    expect(page.get_by_role("heading", level=1).first).to_be_attached()
    page.wait_for_load_state("networkidle")
    return page


def test_one_click_takes_a_picture_that_appears_on_top_and_is_shown_large(visit: Any) -> None:
    visitor = visit()
    _taken(visitor, name="before")
    page = _open(visitor)
    capture = _take(page, "Take picture")
    expect(_newest(page)).to_have_attribute("data-shot", capture["id"])
    expect(_newest(page).locator("img")).to_be_visible(timeout=TAKEN_LIMIT_MS)
    _newest(page).get_by_role("link").click()
    page.wait_for_url(re.compile(f"capture={capture['id']}"))
    picture = page.locator(".viewer-picture")
    wait_until(
        lambda: picture.evaluate("one => one.complete && one.naturalWidth") == 1920,
        limit_s=10,
        what="the whole picture, not the preview",
    )
    facts = page.locator(".facts")
    expect(facts).to_contain_text(re.compile("1920 . 1080"))
    expect(facts).to_contain_text("Taken by the camera")
    expect(facts).to_contain_text(Stack.username)
    page.keyboard.press("Escape")
    expect(_newest(page).get_by_role("link")).to_be_focused()


def test_a_video_says_how_long_it_still_takes_and_then_plays(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor)
    _choose(page, "Video")
    page.get_by_label("Size", exact=True).select_option("640x480")
    page.get_by_label("Length", exact=True).select_option("5")
    capture = _take(page, "Record video")
    card = _card(page, capture)
    expect(card).to_contain_text(re.compile(r"Recording, \d s to go"))
    expect(card.locator(".shot-bar")).to_be_visible()
    expect(card.locator(".shot-badge")).to_have_text("0:05", timeout=TAKEN_LIMIT_MS)
    card.get_by_role("link").click()
    playing = "() => { const v = document.querySelector('video'); return v && v.currentTime > 0.3 && v.videoWidth; }"
    page.evaluate("document.querySelector('video').muted = true")
    page.evaluate("document.querySelector('video').play()")
    assert wait_until(lambda: page.evaluate(playing), limit_s=15, what="it plays") == 640


def test_what_is_being_taken_can_be_cancelled_and_taken_after_all(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor)
    _choose(page, "Video")
    page.get_by_label("Size", exact=True).select_option("640x480")
    page.get_by_label("Length", exact=True).select_option("60")
    capture = _take(page, "Record video")
    _card(page, capture).get_by_role("button", name="Cancel").click()
    expect(_card(page, capture)).to_contain_text("It was cancelled.")
    assert _capture(visitor, capture["id"])["state"] == "cancelled"

    _card(page, capture).get_by_role("button", name="Take it after all").click()
    expect(_card(page, capture)).to_have_count(0)
    again = _newest(page)
    expect(again).to_contain_text(
        re.compile("Recording, (1 min|5. s) to go"), timeout=TAKEN_LIMIT_MS
    )
    again.get_by_role("button", name="Cancel").click()
    expect(again).to_contain_text("It was cancelled.")


def test_a_raw_picture_shows_its_preview_and_what_it_is(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor)
    _choose(page, "Raw")
    expect(page.get_by_label("Size", exact=True)).to_be_hidden()  # it is the sensor's
    capture = _take(page, "Take raw picture")
    expect(_card(page, capture).locator(".shot-badge")).to_have_text("Raw", timeout=TAKEN_LIMIT_MS)
    _card(page, capture).get_by_role("link").click()
    expect(page.get_by_text(re.compile(r"Raw picture, [\d.]+ MB"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == _capture(visitor, capture["id"])["filename"]
    assert download.value.path().read_bytes()[:4] == b"II*\0"


def test_a_picture_of_a_stream_is_as_large_as_the_stream_and_named_after_its_camera(
    visit: Any,
) -> None:
    visitor = visit()
    camera = _camera(visitor)
    page = _open(visitor)
    page.get_by_label("Camera", exact=True).select_option(str(camera["id"]))
    expect(_kind(page, "Raw")).to_be_hidden()  # a stream has none
    _choose(page, "Video")
    page.get_by_label("Length", exact=True).select_option("5")
    _choose(page, "Picture")
    expect(page.get_by_label("Size", exact=True)).to_have_value("")  # as it comes
    capture = _take(page, "Take picture")
    expect(_card(page, capture).locator("img")).to_be_visible(timeout=TAKEN_LIMIT_MS)
    expect(_card(page, capture).get_by_role("link")).to_have_text(camera["name"])
    done = _capture(visitor, capture["id"])
    assert (done["width"], done["height"]) == (800, 600)
    assert re.fullmatch(r"Simulated_camera_\d+_\d{8}_\d{6}(-\d+)?\.jpg", done["filename"])


def test_what_was_chosen_is_remembered(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor)
    _choose(page, "Video")
    page.get_by_label("Size", exact=True).select_option("other")
    page.get_by_label("Width in pixels").fill("400")
    page.get_by_label("Height in pixels").fill("300")
    page.get_by_label("Length", exact=True).select_option("other")
    page.get_by_label("Length in seconds").fill("1")
    capture = _take(page, "Record video")
    assert (capture["width"], capture["height"], capture["duration_ms"]) == (400, 300, 1000)
    page.reload()
    expect(page.get_by_role("button", name="Record video")).to_be_visible()
    expect(page.get_by_label("Width in pixels")).to_have_value("400")
    expect(page.get_by_label("Length in seconds")).to_have_value("1")


def test_why_it_cannot_be_asked_for_is_said_beside_the_button(visit: Any) -> None:
    visitor = visit()
    page = visitor.page

    def refuse(route: Route) -> None:
        if route.request.method != "POST":
            route.fallback()
            return
        route.fulfill(status=400, json={"width": ["A whole number from 16 to 16384 pixels."]})

    page.route("**/api/v1/captures/", refuse)
    _open(visitor)
    page.get_by_role("button", name="Take picture").click()
    expect(page.locator(".taking [role=alert]")).to_have_text(
        "A whole number from 16 to 16384 pixels."
    )
    expect(page.get_by_role("button", name="Take picture")).to_be_focused()
    visitor.forgive(400)


def test_camera_kind_and_day_are_in_the_address(visit: Any) -> None:
    visitor = visit()
    camera = _camera(visitor)
    own = _taken(visitor, name="own picture")
    streamed = _taken(visitor, device=camera["id"], name="streamed picture")
    page = _open(visitor)
    page.get_by_label("Show captures of").select_option("own")
    page.wait_for_url(re.compile("camera=own"))
    expect(_card(page, own)).to_be_visible()
    expect(_card(page, streamed)).to_have_count(0)
    page.get_by_label("Show captures of").select_option(str(camera["id"]))
    expect(_card(page, streamed)).to_be_visible()
    expect(_card(page, own)).to_have_count(0)

    page.get_by_label("Kind", exact=True).select_option("dng")
    expect(page.get_by_text("No capture fits.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Kind", exact=True)).to_have_value("dng")
    page.go_back()
    expect(_card(page, streamed)).to_be_visible()
    _open(visitor, "/captures?day=2020-02-02")
    page.get_by_role("button", name="Show all captures").click()
    expect(_card(page, own)).to_be_visible()


def test_what_is_taken_is_seen_even_where_the_gallery_shows_other_things(visit: Any) -> None:
    page = _open(visit(), "/captures?kind=dng&day=2020-02-02")
    capture = _take(page, "Take picture")
    expect(_card(page, capture)).to_be_visible()
    assert page.url.endswith("/captures")


def test_an_analysis_is_told_in_words(visit: Any) -> None:
    visitor = visit()
    capture = _taken(visitor, width=640, height=480)
    page = _open(visitor, f"/captures?capture={capture['id']}")
    page.get_by_role("button", name="Analyse").click()
    found = page.locator(".findings")
    expect(found).to_contain_text("The picture is well lit.", timeout=TAKEN_LIMIT_MS)
    expect(found).to_contain_text(re.compile(r"Brightness \d+ of 255"))
    expect(found).to_contain_text(re.compile("The picture is (sharp|soft)"))
    page.reload()  # it is kept
    expect(found).to_contain_text("The picture is well lit.")


def test_arrows_go_to_the_neighbours(visit: Any) -> None:
    visitor = visit()
    older, newer = _taken(visitor, name="older one"), _taken(visitor, name="newer one")
    page = _open(visitor, f"/captures?capture={newer['id']}")
    expect(page.get_by_role("heading", name="newer_one.jpg")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="older_one.jpg")).to_be_visible()
    assert f"capture={older['id']}" in page.url
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="newer_one.jpg")).to_be_visible()


def test_a_deleted_capture_comes_back_by_undo_and_goes_for_good_without(visit: Any) -> None:
    visitor = visit()
    capture = _taken(visitor)
    page = _open(visitor)
    _card(page, capture).get_by_role("link").focus()
    page.keyboard.press("Delete")
    expect(_card(page, capture)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(_card(page, capture)).to_be_visible()
    _card(page, capture).get_by_role("link").click()
    page.get_by_role("button", name="Delete").click()
    expect(_card(page, capture)).to_have_count(0)
    visitor.open("/system")  # whoever leaves did not take it back

    def is_gone() -> bool:
        answer = visitor.context.request.get(f"{visitor.url}/api/v1/captures/{capture['id']}/")
        return bool(answer.status == 404)

    wait_until(is_gone, limit_s=10, what="deleted")


def test_a_capture_that_is_gone_leads_to_the_others(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor, "/captures?capture=3f1c9a52-6f1e-4a55-9b7e-0e6d1f0a2b3c")
    expect(page.locator("#toasts")).to_contain_text("That capture does not exist any more")
    expect(page.get_by_role("heading", name="Captures")).to_be_visible()
    visitor.forgive(404)


def test_a_live_picture_is_taken_by_one_click_and_stands_for_its_camera_while_that_is_dark(
    visit: Any,
) -> None:
    visitor = visit()
    camera = _camera(visitor)
    page = visitor.open("/")
    tile = page.locator(f".tile[data-camera='{camera['id']}']")
    expect(tile).to_have_class(re.compile("has-picture"))
    tile.hover()
    tile.get_by_role("button", name="Take a picture").click()
    expect(page.locator("#toasts")).to_contain_text(
        f"Picture of {camera['name']} taken", timeout=TAKEN_LIMIT_MS
    )
    page.get_by_role("button", name="Open").click()
    page.get_by_role("button", name="Use as the camera's picture").click()
    expect(page.get_by_role("button", name="Is the camera's picture")).to_be_visible()

    gone = {"presence": "offline", "is_recording": False, "sentence": "Offline since 14:02"}
    answer = visitor.api("GET", "devices/?ordering=position&page_size=100")
    rows = [{**one, **gone} if one["id"] == camera["id"] else one for one in answer["results"]]
    page.route(
        "**/api/v1/devices/?*", lambda route: route.fulfill(json={**answer, "results": rows})
    )
    page.route_web_socket(
        re.compile(f"/ws/live/{camera['id']}"), lambda _: None
    )  # and it sends nothing
    visitor.open("/")
    expect(tile).to_have_class(re.compile("has-still"))
    expect(tile.locator(".tile-veil")).to_contain_text("Offline since 14:02")
    expect(tile.locator(".tile-still")).to_have_attribute(
        "src", re.compile(f"devices/{camera['id']}/picture.jpg")
    )
    expect(tile.get_by_role("button", name="Take a picture")).to_be_disabled()


def test_p_takes_a_picture_of_the_chosen_camera(visit: Any) -> None:
    page = visit().open("/")
    expect(page.locator(".tile.has-picture").first).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("p")
    expect(page.locator("#toasts")).to_contain_text("taken", timeout=TAKEN_LIMIT_MS)


def test_captures_fit_a_phone(visit: Any) -> None:
    capture = _taken(visit())
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    for path in ("/captures", f"/captures?capture={capture['id']}", "/captures?view=camera"):
        page = _open(visitor, path)
        assert page.evaluate(_TOO_WIDE) <= 0, path
        assert page.evaluate(_SMALL_TARGETS) == [], path
    page.goto(f"{visitor.url}/captures")
    _choose(page, "Video")
    for field in ("Size", "Length"):
        page.get_by_label(field, exact=True).select_option("other")
    assert page.evaluate(_TOO_WIDE) <= 0


_VIEWER = """
from django.contrib.auth import get_user_model
from devices.models import Device
viewer = get_user_model().objects.create_user("onlooker", password={password!r})
Device.objects.get(pk={camera}).people.add(viewer)
"""


def test_who_may_only_watch_looks_at_the_captures_of_their_camera_and_takes_none(
    visit: Any, recorder: Stack, chromium: Browser
) -> None:
    admin = visit()
    camera = _camera(admin)
    theirs = _taken(admin, device=camera["id"])
    own = _taken(admin)
    recorder.manage("shell", "-c", _VIEWER.format(password=Stack.password, camera=camera["id"]))

    visitor = new_visitor(chromium, recorder.url)
    log_in(visitor, "onlooker")
    page = visitor.page
    expect(page.locator(".tile.has-picture")).to_have_count(1)
    page.locator(".tile").hover()
    expect(page.get_by_role("button", name="Take a picture")).to_have_count(0)

    _open(visitor)
    expect(_card(page, theirs)).to_be_visible()
    expect(_card(page, own)).to_have_count(0)
    expect(page.locator(".taking")).to_have_count(0)
    _card(page, theirs).get_by_role("link").click()
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    for name in ("Delete", "Use as the camera's picture", "Analyse"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    _open(visitor, "/captures?view=camera")
    expect(page.get_by_text("FFmpeg is installed.")).to_be_visible()
    expect(page.get_by_role("button", name="Look again")).to_have_count(0)
    visitor.context.close()
    assert visitor.troubles == []
