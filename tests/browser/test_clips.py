"""Clips: kept by one click, followed to the end, watched, named, locked, sent and deleted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PHONE, Visitor, new_visitor
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

KEPT_LIMIT_MS = 40_000  # window, packager and cutter on two shared cores
BEFORE_S, AFTER_S = 4, 3

_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def _cameras(visitor: Visitor) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = visitor.api("GET", "devices/?ordering=id")["results"]
    return found


def _clip(visitor: Visitor, pk: str) -> dict[str, Any]:
    clip: dict[str, Any] = visitor.api("GET", f"clips/{pk}/")
    return clip


def _keep(visitor: Visitor, camera: int, **fields: Any) -> dict[str, Any]:
    made = visitor.api("POST", "clips/", {"device": camera, **fields})
    clip: dict[str, Any] = made["clips"][0]
    return clip


def _ready(visitor: Visitor, **fields: Any) -> dict[str, Any]:
    """A short clip of the first camera's past that is cut already."""
    camera = _cameras(visitor)[0]["id"]
    end = visitor.spans(camera)[0][0][1]
    asked = {"start_ms": end - 5000, "end_ms": end - 1000, **fields}
    clip = _keep(visitor, camera, **asked)
    is_over = lambda: _clip(visitor, clip["id"])["state"] in ("ready", "failed")  # noqa: E731
    wait_until(is_over, limit_s=40, what="a clip that is cut")
    clip = _clip(visitor, clip["id"])
    assert clip["state"] == "ready", clip["sentence"]
    return clip


def _card(page: Page, clip: dict[str, Any]) -> Locator:
    return page.locator(f".clip[data-shot='{clip['id']}']")


def _plays(page: Page) -> bool:
    moved: bool = page.evaluate(
        "() => { const v = document.querySelector('video'); return v && v.readyState >= 2 && v.videoWidth > 0 && v.currentTime > 0.3; }"
    )
    return moved


@pytest.fixture
def keeper(visit: Any) -> Iterator[Visitor]:
    """Whose first two cameras keep short moments."""
    visitor: Visitor = visit()
    window = {"before_seconds": BEFORE_S, "after_seconds": AFTER_S}
    cameras = _cameras(visitor)[:2]
    for camera in cameras:
        visitor.api("PUT", f"clip-windows/{camera['id']}/", window)
    yield visitor
    for camera in cameras:
        none = {"before_seconds": None, "after_seconds": None}
        visitor.api("PUT", f"clip-windows/{camera['id']}/", none)


def test_one_click_on_a_live_picture_keeps_it_and_the_note_leads_to_the_clip(
    keeper: Visitor,
) -> None:
    page = keeper.open("/")
    camera = _cameras(keeper)[0]
    tile = page.locator(f".tile[data-camera='{camera['id']}']")
    expect(tile).to_have_class(re.compile("has-picture"))
    tile.hover()
    tile.get_by_role("button", name="Keep this moment").click()
    note = page.locator(".toast.is-staying")
    expect(note).to_contain_text(f"Keeping {camera['name']}: 4 s before, 3 s after")
    expect(note).to_contain_text("Kept:", timeout=KEPT_LIMIT_MS)

    note.get_by_role("link", name="Watch").click()
    page.wait_for_url(re.compile(r"/clips/[0-9a-f-]{36}$"))
    wait_until(lambda: _plays(page), limit_s=15, what="the clip plays")
    length = page.evaluate("document.querySelector('video').duration")
    assert length == pytest.approx(BEFORE_S + AFTER_S, abs=0.6)


def test_the_note_goes_along_to_another_page(keeper: Visitor) -> None:
    page = keeper.open("/")
    expect(page.locator(".tile.has-picture").first).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("c")
    expect(page.locator(".toast.is-staying")).to_contain_text("Keeping Simulated camera")
    keeper.open("/system")
    expect(page.locator(".toast.is-staying")).to_contain_text("Kept:", timeout=KEPT_LIMIT_MS)


def test_other_lengths_and_all_cameras_are_in_the_menu(visit: Any) -> None:
    page = visit().open("/")
    expect(page.locator(".tile.has-picture").first).to_be_visible()
    tile = page.locator(".tile").first
    tile.hover()
    tile.get_by_role("button", name="Keep this moment").click(button="right")
    menu = page.get_by_role("dialog", name="Keep this moment")
    expect(menu.get_by_role("button", name="30 s before, 30 s after")).to_be_visible()
    menu.get_by_label("All cameras").check()
    menu.get_by_label("Seconds before").fill("2")
    menu.get_by_label("Seconds after").fill("1")
    menu.get_by_role("button", name="Keep", exact=True).click()
    note = page.locator(".toast.is-staying")
    expect(note).to_contain_text("Keeping 4 cameras: 2 s before, 1 s after")
    expect(note).to_contain_text("4 clips are kept", timeout=KEPT_LIMIT_MS)
    note.get_by_role("link", name="Watch").click()
    page.wait_for_url(re.compile("group="))
    expect(page.locator(".clip")).to_have_count(4)


def test_a_clip_on_its_way_becomes_ready_in_the_gallery_without_a_reload(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/clips")
    camera = _cameras(visitor)[1]["id"]
    clip = _keep(visitor, camera, before_seconds=2, after_seconds=6)
    visitor.open("/clips")
    card = _card(page, clip)
    expect(card).to_contain_text(re.compile(r"Recording, \d s to go"))
    expect(card.locator("img")).to_be_visible(timeout=KEPT_LIMIT_MS)
    expect(card.locator(".shot-badge")).to_have_text("0:08")


def test_camera_day_and_search_are_in_the_address(visit: Any) -> None:
    visitor = visit()
    word = f"heron{time.time_ns() % 100_000}"
    clip = _ready(visitor, name=f"A {word} at the pond")
    first, second = _cameras(visitor)[:2]
    page = visitor.open("/clips")
    page.get_by_label("Camera", exact=True).select_option(str(first["id"]))
    page.wait_for_url(re.compile(f"camera={first['id']}"))
    page.get_by_label("Search names and notes").fill(word)
    page.wait_for_url(re.compile(f"search={word}"))
    expect(page.locator(".clip")).to_have_count(1)
    expect(_card(page, clip)).to_contain_text(f"A {word} at the pond")

    page.reload()
    expect(page.get_by_label("Search names and notes")).to_have_value(word)
    expect(page.locator(".clip")).to_have_count(1)
    page.get_by_label("Camera", exact=True).select_option(str(second["id"]))
    expect(page.get_by_text(f"No clip says “{word}”.")).to_be_visible()
    page.go_back()
    expect(page.locator(".clip")).to_have_count(1)

    visitor.open("/clips?day=2020-02-02")
    expect(page.get_by_text("No clip was kept that fits.")).to_be_visible()
    page.get_by_role("button", name="Show all clips").click()
    expect(_card(page, clip)).to_be_visible()


def test_name_note_and_lock_are_kept(visit: Any) -> None:
    visitor = visit()
    clip = _ready(visitor)
    page = visitor.open(f"/clips/{clip['id']}")
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    page.keyboard.press("n")
    page.get_by_label("Name of the clip").fill("Fox <b>by</b> the gate")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Fox <b>by</b> the gate")).to_be_visible()
    page.get_by_label("Note", exact=True).fill("It came twice")
    page.get_by_label("Note", exact=True).press("Tab")
    expect(page.get_by_text("Saved")).to_be_visible()
    page.get_by_role("button", name="Lock, so").click()
    expect(page.get_by_role("button", name="Delete: unlock it first")).to_be_disabled()

    kept = _clip(visitor, clip["id"])
    assert (kept["name"], kept["note"]) == ("Fox <b>by</b> the gate", "It came twice")
    assert kept["is_locked"] is True
    visitor.open("/clips?locked=1")
    expect(_card(page, clip).get_by_text("Locked")).to_be_attached()
    visitor.api("PATCH", f"clips/{clip['id']}/", {"is_locked": False})


def test_a_deleted_clip_comes_back_by_undo_and_goes_for_good_without(visit: Any) -> None:
    visitor = visit()
    clip = _ready(visitor)
    page = visitor.open("/clips")
    _card(page, clip).locator("a").focus()
    page.keyboard.press("Delete")
    expect(_card(page, clip)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(_card(page, clip)).to_be_visible()
    assert _clip(visitor, clip["id"])["state"] == "ready"

    _card(page, clip).locator("a").focus()
    page.keyboard.press("Delete")
    expect(_card(page, clip)).to_have_count(0)
    visitor.open("/system")  # whoever leaves did not take it back

    def is_gone() -> bool:
        answer = visitor.context.request.get(f"{visitor.url}/api/v1/clips/{clip['id']}/")
        return bool(answer.status == 404)

    wait_until(is_gone, limit_s=10, what="deleted")


def test_keys_reach_the_dialog_over_a_clip_and_not_the_clip(visit: Any) -> None:
    visitor = visit()
    clip = _ready(visitor, name="Below a dialog")
    page = visitor.open(f"/clips/{clip['id']}")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator(".dialog .copy code")).to_be_visible()
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Delete")
    page.keyboard.press("Escape")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(page.locator(".viewer")).to_be_visible()
    expect(page.get_by_role("heading", name="Below a dialog")).to_be_visible()


def test_a_link_shows_one_clip_to_a_stranger_until_it_is_taken_back(
    visit: Any, chromium: Browser
) -> None:
    visitor = visit()
    clip = _ready(visitor, name="For the neighbour")
    page = visitor.open(f"/clips/{clip['id']}")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.locator(".dialog .copy code").inner_text()
    assert re.fullmatch(rf"{re.escape(visitor.url)}/shared/[\w-]{{40,}}/", link), "a link of ours"

    stranger = new_visitor(chromium, visitor.url)
    theirs = stranger.page
    theirs.goto(link)
    expect(theirs.get_by_role("heading", name="For the neighbour")).to_be_visible()
    theirs.evaluate("document.querySelector('video').muted = true")
    theirs.evaluate("document.querySelector('video').play()")
    wait_until(lambda: _plays(theirs), limit_s=15, what="the sent clip plays")
    assert theirs.evaluate(_TOO_WIDE) <= 0
    with theirs.expect_download() as download:
        theirs.get_by_role("link", name="Download").click()
    assert download.value.path().stat().st_size == clip["size_bytes"]
    assert stranger.context.request.get(f"{visitor.url}/api/v1/clips/").status in (401, 403)

    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("No link to this clip works now.")).to_be_visible()
    theirs.goto(link)
    expect(theirs.get_by_role("heading", name="This link works no longer")).to_be_visible()
    stranger.forgive(410)
    stranger.context.close()
    assert stranger.troubles == []


def test_a_clip_of_a_gap_says_why_there_is_none(visit: Any) -> None:
    visitor = visit()
    camera = _cameras(visitor)[0]["id"]
    (_, gap), (after, _) = visitor.spans(camera)[0][:2]
    clip = _keep(visitor, camera, start_ms=gap + 1500, end_ms=after - 1500)
    page = visitor.open("/clips")
    card = _card(page, clip)
    expect(card).to_contain_text("no video between", timeout=KEPT_LIMIT_MS, ignore_case=True)
    with page.expect_response("**/retry/"):  # or it is deleted before it is tried again
        card.get_by_role("button", name="Try again").click()
    expect(card).to_contain_text("no video between", timeout=KEPT_LIMIT_MS, ignore_case=True)
    visitor.api("DELETE", f"clips/{clip['id']}/")


def test_a_span_marked_on_the_timeline_becomes_a_clip_and_a_mark(visit: Any) -> None:
    visitor = visit()
    camera = _cameras(visitor)[2]["id"]
    start, end = visitor.spans(camera)[0][0]
    middle = (start + end) // 2
    # A span ends at now at the latest, and this test may be the first one that runs.
    wait_until(
        lambda: time.time() * 1000 > middle + 31_000, limit_s=40, what="half a minute after it"
    )
    page = visitor.open(f"/timeline?camera={camera}&at={middle}&view=120")
    wait_until(
        lambda: page.evaluate("document.querySelector('video')?.readyState >= 2"),
        limit_s=20,
        what="a picture",
    )
    page.keyboard.press("m")
    bar = page.get_by_role("group", name="Marked span")
    expect(bar).to_contain_text("1 min")
    handle = page.get_by_role("slider", name="Start of the span")
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")  # ten seconds later each
    page.get_by_role("slider", name="End of the span").focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    expect(bar).to_contain_text("10 s")
    bar.get_by_role("button", name="Save as clip").click()
    expect(page.locator(".toast.is-staying")).to_contain_text("Kept:", timeout=KEPT_LIMIT_MS)
    mark = page.get_by_role("link", name=re.compile("Clip: "))
    mark.first.click()
    page.wait_for_url(re.compile("/clips/"))
    wait_until(lambda: _plays(page), limit_s=15, what="the clip plays")


def test_c_on_the_timeline_keeps_the_moment_under_the_playhead(keeper: Visitor) -> None:
    camera = _cameras(keeper)[0]["id"]
    start, end = keeper.spans(camera)[0][0]
    wanted = (start + end) // 2
    page = keeper.open(f"/timeline?camera={camera}&at={wanted}")
    wait_until(
        lambda: page.evaluate("document.querySelector('video')?.readyState >= 2"),
        limit_s=20,
        what="a picture",
    )
    with page.expect_response(lambda answer: answer.request.method == "POST") as made:
        page.keyboard.press("c")
    (clip,) = made.value.json()["clips"]
    assert abs((clip["start_ms"] + BEFORE_S * 1000) - wanted) <= 1000
    expect(page.locator(".toast.is-staying")).to_contain_text("Kept:", timeout=KEPT_LIMIT_MS)


def test_from_live_to_a_named_clip_by_keyboard_alone(keeper: Visitor) -> None:
    page = keeper.open("/")
    expect(page.locator(".tile.has-picture").first).to_be_visible()
    for key in ("2", "c"):
        page.keyboard.press(key)
    expect(page.locator(".toast.is-staying")).to_contain_text("Kept:", timeout=KEPT_LIMIT_MS)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Watch":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/clips/"))
    wait_until(lambda: _plays(page), limit_s=15, what="the clip plays")
    page.keyboard.press("n")
    page.get_by_label("Name of the clip").press_sequentially("Kept by hand alone")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Kept by hand alone")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Clips")).to_be_visible()
    expect(page.get_by_role("link", name="Kept by hand alone")).to_be_focused()


def test_a_clip_fits_a_phone(visit: Any) -> None:
    clip = _ready(visit())
    visitor = visit(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="light")
    page = visitor.open(f"/clips/{clip['id']}")
    wait_until(
        lambda: page.evaluate("document.querySelector('video')?.readyState >= 1"),
        limit_s=15,
        what="the clip",
    )
    visitor.shoot("clip-phone-light")
    assert page.evaluate(_TOO_WIDE) <= 0


def test_the_gallery_explains_itself_while_it_is_empty(visit: Any) -> None:
    visitor = visit()
    page = visitor.page
    nothing: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    page.route("**/api/v1/clips/?*", lambda route: route.fulfill(json=nothing))
    visitor.open("/clips")
    expect(page.get_by_role("heading", name="Keep the half minute")).to_be_visible()
    page.get_by_role("link", name="Go to live").click()
    expect(page.locator(".tile").first).to_be_visible()


_VIEWER = """
from django.contrib.auth import get_user_model
from devices.models import Device
viewer = get_user_model().objects.create_user("guest", password={password!r})
Device.objects.get(pk={camera}).people.add(viewer)
"""


def test_who_may_only_watch_sees_the_clips_of_their_camera_and_keeps_none(
    visit: Any, recorder: Stack, chromium: Browser
) -> None:
    admin = visit()
    first, second = _cameras(admin)[:2]
    clip = _ready(admin)
    other = _keep(admin, second["id"], before_seconds=2, after_seconds=0)
    code = _VIEWER.format(password=Stack.password, camera=first["id"])
    recorder.manage("shell", "-c", code)

    visitor = new_visitor(chromium, recorder.url)
    page = visitor.open("/login/")
    page.fill("[name=username]", "guest")
    page.fill("[name=password]", Stack.password)
    page.click("button[type=submit]")
    expect(page.locator(".tile.has-picture")).to_have_count(1)
    page.locator(".tile").hover()
    expect(page.get_by_role("link", name="Save this picture")).to_be_visible()
    expect(page.get_by_role("button", name="Keep this moment")).to_have_count(0)

    visitor.open("/clips")
    _card(page, clip).get_by_role("link").click()
    wait_until(lambda: _plays(page), limit_s=15, what="the clip plays")
    for name in ("Rename", "Send", "Delete", "Lock"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    visitor.open(f"/clips/{other['id']}")
    expect(page.locator("#toasts")).to_contain_text("does not exist")
    visitor.forgive(404)
    visitor.context.close()
    assert visitor.troubles == []
