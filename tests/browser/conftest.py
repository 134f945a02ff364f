"""A running recorder with simulated cameras, and pages of a real Chromium that look at it.

Every page watches itself: console errors, failed scripts, answers 5xx and requests to another host
fail the test that opened it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.stack import PROJECT_DIR, Stack, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OUTPUT = PROJECT_DIR / "tests" / "output"
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
GAP_S = 8.0  # longer than the 5 s at which coverage is split
CAMERAS = 4
DAY_MS = 24 * 3600 * 1000
# Where it is noon now: recorder and browser live there, so no test meets a midnight.
NOON_ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
VIDEO_LIMIT_S = 120


@dataclass
class Visitor:
    """One logged-in browser window and everything that went wrong in it."""

    context: BrowserContext
    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def api(self, method: str, path: str, data: Any = None) -> Any:
        """A call as the page itself would make it; the parsed answer."""
        cookies = {cookie["name"]: cookie["value"] for cookie in self.context.cookies()}
        answer = self.context.request.fetch(
            f"{self.url}/api/v1/{path}",
            method=method,
            data=data,
            headers={"X-CSRFToken": cookies.get("csrftoken", ""), "Referer": self.url + "/"},
        )
        assert answer.ok, f"{method} {path}: {answer.status} {answer.text()[:300]}"
        return answer.json() if answer.body() else None

    def spans(self, *devices: int) -> list[list[list[int]]]:
        """What is playable of the last day, `[[start_ms, end_ms], …]` a device."""
        now_ms = time.time_ns() // 1_000_000
        query = "".join(f"device={device}&" for device in devices)
        span = f"start_ms={now_ms - DAY_MS}&end_ms={now_ms + DAY_MS}"
        answer = self.api("GET", f"timeline/?{query}{span}")
        return [device["spans"] for device in answer["devices"]]

    def shoot(self, name: str) -> Path:
        OUTPUT.mkdir(exist_ok=True)
        path = OUTPUT / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def forgive(self, status: int) -> None:
        """The test provoked this answer; Chromium reports it on the console all the same."""
        told = f"status of {status} "
        assert any(told in trouble for trouble in self.troubles), f"no answer {status} was seen"
        self.troubles = [trouble for trouble in self.troubles if told not in trouble]

    def watch(self) -> None:
        page, host = self.page, urlsplit(self.url).netloc

        def heard(message: Any) -> None:
            if message.type == "error":
                self.troubles.append(
                    f"console: {message.text} at {message.location.get('url', '')}"
                )

        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("blob", "data") and parts.netloc != host:
                self.troubles.append(f"request to another host: {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        page.on("request", asked)
        page.on(
            "response",
            lambda answer: (
                self.troubles.append(f"{answer.status} {answer.url}")
                if answer.status >= 500
                else None
            ),
        )


# Per package, not session: Playwright keeps an event loop running in this thread until it is closed,
# and no asynchronous test could run after it (tests/lanes.py keeps the package's tests together).
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def new_visitor(browser: Browser, url: str, **options: Any) -> Visitor:
    """A window that is not logged in yet; options are Playwright's for a context."""
    settings = {"viewport": DESK, "color_scheme": "dark", "ignore_https_errors": True}
    context = browser.new_context(**{**settings, "timezone_id": NOON_ZONE, **options})
    context.set_default_timeout(20_000)
    expect.set_options(timeout=15_000)  # two cores, shared with encoders and other tests
    visitor = Visitor(context, context.new_page(), url)
    visitor.watch()
    return visitor


def log_in(visitor: Visitor, username: str = Stack.username) -> None:
    """All of them have the same password."""
    page = visitor.open("/login/")
    page.fill("[name=username]", username)
    page.fill("[name=password]", Stack.password)
    page.click("button[type=submit]")
    page.wait_for_url(visitor.url + "/")


@pytest.fixture(scope="package")
def recorder(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four simulated cameras, some seconds of video on both sides of a gap, and going on; and a
    simulated camera of this machine, for captures.
    """
    tmp = tmp_path_factory.mktemp("recorder")
    env = {"NVR_SEGMENT_SECONDS": "4", "NVR_CAMERA": "simulated", "TZ": NOON_ZONE}
    with Stack(tmp, env=env) as stack:
        visitor = new_visitor(chromium, stack.url)
        log_in(visitor)
        visitor.api("POST", "camera/")  # its own one is looked at meanwhile
        visitor.api("PUT", "simulated-cameras/", {"count": CAMERAS})
        wait_until(
            lambda: _is_filed(visitor, 1), limit_s=VIDEO_LIMIT_S, what="the first hour files"
        )
        visitor.api("PUT", "simulated-cameras/", {"count": 0})
        visitor.page.wait_for_timeout(GAP_S * 1000)  # this wait is the gap, not a guess
        visitor.api("PUT", "simulated-cameras/", {"count": CAMERAS})
        wait_until(lambda: _is_filed(visitor, 2), limit_s=VIDEO_LIMIT_S, what="video after the gap")
        visitor.context.storage_state(path=tmp / "session.json")
        visitor.context.close()
        yield stack


def _is_filed(visitor: Visitor, spans: int) -> bool:
    devices = visitor.api("GET", "devices/")["results"]
    if len(devices) < CAMERAS:
        return False
    return all(
        len(found) >= spans and found[-1][1] - found[-1][0] > 6000
        for found in visitor.spans(*(device["id"] for device in devices))
    )


@pytest.fixture
def visit(
    chromium: Browser, recorder: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """`visit(viewport=…, color_scheme=…)` gives a Visitor who is logged in as the administrator."""
    session = recorder.data_dir.parent / "session.json"
    visitors: list[Visitor] = []

    def visit_(**options: Any) -> Visitor:
        visitor = new_visitor(chromium, recorder.url, storage_state=session, **options)
        visitors.append(visitor)
        return visitor

    yield visit_
    for visitor in visitors:
        visitor.context.close()
    assert [trouble for visitor in visitors for trouble in visitor.troubles] == []
