"""The list of recordings, the system page, and what a person may set."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CAMERAS

pytestmark = [pytest.mark.stack, pytest.mark.browser]


def test_a_lock_is_kept_and_forbids_deleting(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/library")
    row = page.locator("tbody tr").first
    row.get_by_role("button", name=re.compile("^Lock")).click()
    expect(row.get_by_role("button", name=re.compile("^Delete"))).to_be_disabled()
    page.reload()
    expect(row.get_by_role("button", name=re.compile("^Locked"))).to_have_attribute(
        "aria-pressed", "true"
    )
    row.get_by_role("button", name=re.compile("^Locked")).click()
    expect(row.get_by_role("button", name=re.compile("^Delete"))).to_be_enabled()


def test_a_recording_downloads_under_the_name_of_its_camera(visit: Any) -> None:
    page = visit().open("/library")
    with page.expect_download() as download:
        page.locator("tbody tr").first.get_by_role("link", name=re.compile("^Download")).click()
    assert download.value.path().read_bytes()[4:8] == b"ftyp"
    assert download.value.suggested_filename.endswith(".mp4")


def test_deleting_asks_first_and_leaves_the_file_when_told_so(visit: Any) -> None:
    page = visit().open("/library")
    count = page.locator("tbody tr").count() or page.locator("tbody tr").first.wait_for() or 1
    page.locator("tbody tr").first.get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.get_by_role("dialog")).to_contain_text("cannot be undone")
    page.keyboard.press("Escape")
    assert page.locator("tbody tr").count() >= count


def test_a_recording_leads_to_its_moment_in_the_timeline(visit: Any) -> None:
    page = visit().open("/library")
    page.locator("tbody tr").first.get_by_role("link", name=re.compile("^Play")).click()
    page.wait_for_url(re.compile(r"/timeline\?camera=\d+&at=\d+"))
    page.wait_for_selector("video")


def test_a_day_without_video_leads_to_one_with(visit: Any) -> None:
    page = visit().open("/library?date=2020-01-01")
    page.get_by_role("button", name=re.compile("^Go to")).click()
    expect(page.locator("tbody tr").first).to_be_visible()


def test_the_system_page_answers_whether_it_records(visit: Any) -> None:
    page = visit().open("/system")
    expect(page.locator(".verdict")).to_contain_text("Recording")
    for name in ("valkey", "web", "worker", "beat", "discovery", "capture"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    # At least: a camera that another test has added may be there too.
    expect(page.get_by_text("Recording", exact=True).nth(CAMERAS - 1)).to_be_visible()
    expect(page.get_by_role("heading", name="Last deleted")).to_be_visible()


def test_a_setting_is_saved_when_it_is_changed(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/settings")
    page.get_by_label("Keep recordings for").fill("30")
    page.keyboard.press("Tab")
    expect(
        page.get_by_role("region", name="How long recordings are kept").get_by_text("Saved")
    ).to_be_visible()
    page.reload()
    expect(page.get_by_label("Keep recordings for")).to_have_value("30")
    visitor.api("PATCH", "settings/", {"retention": {"days": 7}})


def test_a_number_out_of_range_is_refused_in_words(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/settings")
    page.get_by_label("Keep recordings for").fill("-3")
    page.keyboard.press("Tab")
    expect(page.locator("#toasts")).to_contain_text(
        "Keep recordings for: a whole number from 1 to 3650"
    )
    assert visitor.api("GET", "settings/")["retention"]["days"] == 7


def test_a_token_is_shown_once_and_works_until_it_is_deleted(visit: Any) -> None:
    visitor = visit()
    page = visitor.open("/settings")
    page.get_by_label("What the token is for").fill("Kitchen display")
    page.get_by_role("button", name="Create token").click()
    token = page.get_by_role("dialog").locator("code").first.text_content()
    page.keyboard.press("Escape")
    expect(page.get_by_text(token)).to_have_count(0)

    def status() -> int:
        fresh = visitor.context.browser.new_context(ignore_https_errors=True)
        answer = fresh.request.get(
            f"{visitor.url}/api/v1/devices/", headers={"Authorization": f"Bearer {token}"}
        )
        code: int = answer.status
        fresh.close()
        return code

    assert status() == 200
    page.get_by_role("row").filter(has_text="Kitchen display").get_by_role(
        "button", name="Delete"
    ).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#toasts")).to_contain_text("The token is deleted")
    assert status() in (401, 403)
