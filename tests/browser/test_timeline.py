"""The timeline: plays, seeks, crosses gaps, joins live, and keeps its state in the address."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visitor
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]


def _query(page: Page) -> dict[str, list[str]]:
    return parse_qs(page.evaluate("location.search.slice(1)"))


def _at(page: Page) -> int:
    """The playhead, as the slider says it to assistive technology, epoch ms. It is about noon: the
    day that is shown is the one that the browser has."""
    seconds = int(
        page.get_by_role("slider", name="Time of day").get_attribute("aria-valuenow") or 0
    )
    midnight: int = page.evaluate("new Date().setHours(0, 0, 0, 0)")
    return midnight + seconds * 1000


def _spans(visitor: Visitor, device: int) -> list[list[int]]:
    return visitor.spans(device)[0]


def _first_camera(visitor: Visitor) -> int:
    camera: int = visitor.api("GET", "devices/?ordering=id")["results"][0]["id"]
    return camera


def _has_picture(page: Page) -> bool:
    ready: bool = page.evaluate(
        "[...document.querySelectorAll('video')].every((one) => one.readyState >= 2 && one.videoWidth > 0)"
    )
    return ready


def _open(visitor: Visitor, query: str) -> Page:
    page = visitor.open(f"/timeline?{query}")
    page.wait_for_selector("video")
    wait_until(lambda: _has_picture(page), limit_s=20, what="a picture")
    return page


def test_it_is_about_noon_for_the_browser_and_for_the_recorder(visit: Any) -> None:
    visitor = visit()
    assert visitor.page.evaluate("new Date().getHours()") in range(12, 24)
    camera = _first_camera(visitor)
    newest = visitor.api("GET", f"recordings/?device={camera}")["results"][0]
    assert newest["hour"] in range(12, 24)


def test_it_opens_with_the_newest_minute_and_plays(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    page = _open(visitor, f"camera={camera}")
    before = _at(page)
    page.get_by_role("button", name="Play", exact=True).click()
    wait_until(lambda: _at(page) >= before + 2000, limit_s=15, what="two seconds played")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert page.evaluate("document.querySelector('video').paused")


def test_a_moment_in_the_address_is_shown_exactly(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    start, end = _spans(visitor, camera)[0]
    wanted = (start + end) // 2
    page = _open(visitor, f"camera={camera}&at={wanted}")
    assert abs(_at(page) - wanted) <= 1000
    wait_until(lambda: _query(page).get("at") == [str(wanted)], limit_s=15, what="the address")


def test_playback_crosses_a_gap_by_itself(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    before, after = _spans(visitor, camera)[:2]
    page = _open(visitor, f"camera={camera}&at={before[1] - 2000}")
    page.keyboard.press(" ")
    wait_until(lambda: _at(page) >= after[0] - 1000, limit_s=20, what="video after the gap")
    assert page.locator(".player.is-empty").count() == 0


def test_a_gap_is_named_and_not_shown_as_an_old_picture(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    before, after = _spans(visitor, camera)[:2]
    assert after[0] - before[1] > 5000, "the recorder fixture made a gap"
    page = _open(visitor, f"camera={camera}&at={before[1] - 7000}")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".player-message")).to_contain_text("Nothing was recorded at")


def test_the_bar_says_how_long_nothing_was_recorded_and_why(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    before, after = _spans(visitor, camera)[:2]
    # A busy recorder takes its time to take the cameras in again.
    view = max(60, 2 * (after[0] - before[1]) // 1000)
    # The bar ends at now: until then the playhead is further right than where the view keeps it.
    shown_whole = before[1] - 2000 + 800 * view + 2000
    wait_until(lambda: time.time() * 1000 > shown_whole, limit_s=view, what="a bar long enough")
    page = _open(visitor, f"camera={camera}&at={before[1] - 2000}&view={view}")
    bar = page.get_by_role("slider", name="Time of day")
    box = bar.bounding_box()
    assert box is not None
    playhead = 0.2 * box["width"]  # where the view keeps it
    middle = playhead + (sum((before[1], after[0])) / 2 - _at(page)) / (1000 * view) * box["width"]
    assert 0 < middle < box["width"], (before, after, _at(page))
    tip = page.locator(".scrub-tip")

    def says_why() -> bool:
        bar.hover(position={"x": middle, "y": box["height"] - 12})
        # Its first heartbeat after the start says why it had not been connected.
        text = tip.text_content() or ""
        return "Not connected" in text or "Its simulator was stopped" in text

    wait_until(says_why, limit_s=15, what="the cause")
    expect(tip).to_contain_text(
        re.compile(r"nothing recorded for .*, from [\d:]{8} to [\d:]{8} · ")
    )


def _tell(page: Page, gap: dict[str, Any]) -> None:
    page.route("**/api/v1/gaps/?*", lambda route: route.fulfill(json={"gaps": [gap]}))


def test_a_gap_over_midnight_is_told_whole_and_of_a_lasting_one_since_when(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    before, after = _spans(visitor, camera)[:2]
    noon = visitor.page.evaluate("new Date(2025, 10, 19, 12).getTime()")
    told = {
        "start_ms": before[1],
        "end_ms": after[0],
        "cause": "power",
        "sentence": "It lost its power",
    }
    for ended_ms, times in [
        (None, "since Wed,? 19 Nov 12:00:00"),
        (after[0], r"from Wed,? 19 Nov 12:00:00 to [\d:]{8}"),
    ]:
        gap = {**told, "began_ms": noon, "ended_ms": ended_ms}
        _tell(visitor.page, gap)
        page = _open(visitor, f"camera={camera}&at={before[1] - 7000}")
        said = re.compile(rf"Nothing was recorded at [\d:]{{8}} \({times}\): It lost its power")

        def says_when(page: Page = page, said: re.Pattern[str] = said) -> bool:
            message = page.locator(".player-message")
            page.keyboard.press("ArrowRight")
            expect(message).to_contain_text("Nothing was recorded at")
            is_said = said.search(message.text_content() or "") is not None
            page.keyboard.press("ArrowLeft")
            expect(message).to_be_hidden()
            return is_said

        wait_until(says_when, limit_s=20, what=times)
        page.unroute("**/api/v1/gaps/?*")


def _play_only_until(page: Page, limit_ms: int) -> None:
    """The timeline as it is while what came after `limit_ms` is not in its hour file yet."""

    def cut(route: Route) -> None:
        answer = route.fetch()
        document = answer.json()
        for device in document["devices"]:
            known = [[start, min(end, limit_ms)] for start, end in device["spans"]]
            device["spans"] = [span for span in known if span[0] < span[1]]
        route.fulfill(response=answer, json=document)

    page.route("**/api/v1/timeline/?*", cut)


def test_what_is_recorded_and_not_filed_yet_is_no_gap(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)

    def long_span() -> int:
        start, end = _spans(visitor, camera)[-1]
        return start if end - start > 13_000 else 0

    limit_ms = 2000 + wait_until(long_span, limit_s=60, what="13 s that are filed in truth")
    _play_only_until(visitor.page, limit_ms)
    page = _open(visitor, f"camera={camera}&at={limit_ms - 1000}&view=120")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".player-message")).to_contain_text("still being filed")
    bar = page.get_by_role("slider", name="Time of day")
    box = bar.bounding_box()
    assert box is not None
    told = set()
    for tenth in range(10):
        bar.hover(position={"x": box["width"] * (tenth + 0.5) / 10, "y": box["height"] - 12})
        told.add((page.locator(".scrub-tip").text_content() or "").partition(": ")[2])
    assert "recorded, not filed yet" in told, told
    page.unroute_all(behavior="wait")
    expect(page.locator(".player-message")).to_be_hidden(timeout=30_000)  # the picture, by itself


def test_before_anything_can_be_played_the_timeline_is_live(visit: Any) -> None:
    visitor = visit()
    _play_only_until(visitor.page, 0)
    page = visitor.open(f"/timeline?camera={_first_camera(visitor)}")
    page.wait_for_selector(".stage .tile.has-picture")
    wait_until(lambda: _query(page).get("at") == ["now"], limit_s=15, what="the address")
    page.unroute_all(behavior="wait")


def test_the_bar_shows_what_was_and_little_of_what_is_to_come(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor, f"camera={_first_camera(visitor)}")
    bar = page.get_by_role("slider", name="Time of day")
    box = bar.bounding_box()
    assert box is not None
    bar.click(position={"x": box["width"] / 2, "y": box["height"] - 12})
    assert page.locator(".stage .tile").count() == 0, "half of the bar is the future"


def test_arrow_keys_step_and_clicking_the_bar_seeks(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    start, end = _spans(visitor, camera)[-1]
    page = _open(visitor, f"camera={camera}&at={end - 2000}&view=120")
    page.keyboard.press("Shift+ArrowLeft")
    assert abs(_at(page) - (end - 62_000)) <= 1000
    page.keyboard.press("Home")
    wait_until(lambda: _at(page) < start, limit_s=15, what="the day's first video")
    bar = page.get_by_role("slider", name="Time of day")
    box = bar.bounding_box()
    assert box is not None
    bar.click(position={"x": box["width"] * 0.25, "y": box["height"] - 12})
    quarter = _at(page)
    bar.click(position={"x": box["width"] * 0.3, "y": box["height"] - 12})
    assert _at(page) - quarter == pytest.approx(0.05 * 120_000, abs=1500)


def test_the_wheel_zooms_and_the_zoom_is_in_the_address(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor, f"camera={_first_camera(visitor)}&view=3600")
    page.get_by_role("slider", name="Time of day").hover()
    for _ in range(30):
        page.mouse.wheel(0, -240)
    wait_until(lambda: _query(page).get("view") == ["60"], limit_s=15, what="one minute shown")


def test_n_joins_live_and_the_bar_leads_back(visit: Any) -> None:
    visitor = visit()
    camera = _first_camera(visitor)
    page = _open(visitor, f"camera={camera}")
    page.keyboard.press("n")
    page.wait_for_selector(".stage .tile.has-picture")
    assert _query(page)["at"] == ["now"]
    page.keyboard.press("Shift+ArrowLeft")
    wait_until(
        lambda: page.locator("video").count() and _has_picture(page), limit_s=20, what="past"
    )
    assert _query(page)["at"] != ["now"]


def test_two_cameras_stay_at_the_same_moment(visit: Any) -> None:
    visitor = visit()
    first, second = (one["id"] for one in visitor.api("GET", "devices/?ordering=id")["results"][:2])
    start = max(spans[-1][0] for spans in visitor.spans(first, second)) + 1000
    page = _open(visitor, f"camera={first}&camera={second}&at={start}")
    assert page.locator("video").count() == 2
    page.keyboard.press(" ")
    wait_until(lambda: _at(page) >= start + 3000, limit_s=20, what="three seconds of both")
    assert page.locator(".player.is-empty").count() == 0
    page.get_by_role("button", name="Simulated camera", pressed=True).last.click()
    expect(page.locator("video")).to_have_count(1)


def test_speed_is_kept_in_the_address(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor, f"camera={_first_camera(visitor)}")
    page.get_by_label("Speed").select_option("4")
    page.keyboard.press(" ")
    wait_until(
        lambda: page.evaluate("document.querySelector('video').playbackRate") == 4,
        limit_s=15,
        what="four times as fast",
    )
    wait_until(lambda: _query(page).get("speed") == ["4"], limit_s=15, what="the address")


def test_the_calendar_marks_days_with_video(visit: Any) -> None:
    visitor = visit()
    page = _open(visitor, f"camera={_first_camera(visitor)}")
    page.get_by_role("button", name="Today").click()
    today = page.locator(".day[aria-current]")
    expect(today).to_have_class("day has-video is-chosen")
    expect(today).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".day-controls")).not_to_contain_text("Today")
    expect(page.locator(".player-message")).to_contain_text("Nothing was recorded")
    page.get_by_role("button", name="Live").click()
    expect(page.locator(".day-controls")).to_contain_text("Today")
