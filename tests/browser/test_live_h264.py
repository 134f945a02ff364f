"""Live H.264 and H.265 in a real Chromium: it plays, close behind the camera, with sound, beside JPEGs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from capture.media import counting
from tests.browser.conftest import CAMERAS, PHONE, Visitor, new_visitor
from tests.instruments.agent_client import Feeder
from tests.recordings.footage import Coded, coded
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

FPS = 25
LENGTH_MS = 4000
H264 = {"frames": 100, "fps": FPS, "gop": 50, "size": (640, 480)}

_FACTS = """(camera) => {
  const video = document.querySelector(`.tile[data-camera="${camera}"] video`);
  if (!video) return null;
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return { at: video.currentTime, frames: totalVideoFrames, dropped: droppedVideoFrames, width: video.videoWidth,
    isMuted: video.muted, sound: video.webkitAudioDecodedByteCount, isShown: video.classList.contains("is-shown") };
}"""

_PICTURE = """(camera) => {
  const video = document.querySelector(`.tile[data-camera="${camera}"] video`);
  const copy = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  copy.getContext("2d").drawImage(video, 0, 0);
  return copy.toDataURL("image/png").split(",")[1];
}"""


@pytest.fixture(scope="module")
def pulled(
    chromium: Browser, recorder: Stack
) -> Iterator[Callable[[str, Coded], tuple[int, Feeder]]]:
    """`pulled(name, footage)` is a camera that an agent elsewhere brings: its id and the agent."""
    session = recorder.data_dir.parent / "session.json"
    visitor = new_visitor(chromium, recorder.url, storage_state=session)
    node = visitor.api("POST", "nodes/", {"name": "elsewhere"})
    found: list[tuple[int, Feeder]] = []

    def pulled_(name: str, footage: Coded) -> tuple[int, Feeder]:
        wanted = {"name": name, "url": "rtsp://192.168.77.7/live", "node": node["id"]}
        source = visitor.api("POST", "sources/", wanted)
        device = visitor.api("GET", f"devices/{source['device']}/")
        door = (recorder.port, node["key"], device["mac"])
        feeder = Feeder(door, recorder.tls(), footage, LENGTH_MS)
        feeder.start()
        found.append((device["id"], feeder))
        is_streaming = lambda: _presence(visitor, device["id"]) == "streaming"  # noqa: E731
        wait_until(is_streaming, limit_s=15, what="the agent's packets")
        return found[-1]

    yield pulled_
    for device_id, feeder in found:
        feeder.stop()
        visitor.api("DELETE", f"devices/{device_id}/?recordings=delete")
    visitor.context.close()


def _presence(visitor: Visitor, device_id: int) -> str:
    return str(visitor.api("GET", f"devices/{device_id}/")["presence"])


@pytest.fixture(scope="module")
def door(pulled: Any) -> tuple[int, Feeder]:
    """A camera with sound."""
    return pulled("Door", coded("h264", has_sound=True, **H264))  # type: ignore[no-any-return]


def _facts(page: Page, camera: int) -> Any:
    return page.evaluate(_FACTS, camera)


def _shows(page: Page, camera: int) -> None:
    """Waits for its moving picture."""
    shown = f".tile.has-picture[data-camera='{camera}'] video.is-shown"
    page.wait_for_selector(shown, state="attached")


def _plays(page: Page, camera: int, seconds: float = 2.0) -> dict[str, Any]:
    """What went on within so many seconds, after asserting that it did."""
    before = _facts(page, camera)
    page.wait_for_timeout(seconds * 1000)  # the time over which is measured
    after = _facts(page, camera)
    assert after["at"] - before["at"] == pytest.approx(seconds, abs=0.25 * seconds)
    assert after["frames"] - before["frames"] > 0.7 * FPS * seconds
    return {**after, "newly_dropped": after["dropped"] - before["dropped"]}


def _shown_ms(page: Page, camera: int) -> int:
    """When within the footage the shown picture lies, read off the picture."""
    picture = Image.open(io.BytesIO(base64.b64decode(page.evaluate(_PICTURE, camera)))).convert(
        "RGB"
    )
    stamp = counting.read_image(picture)
    assert stamp is not None, "the picture carries its number"
    return stamp.counter * 1000 // FPS


def _behind_ms(page: Page, camera: int, feeder: Feeder) -> int:
    """How old the shown picture is, by the numbers in the pictures: sent meanwhile counts too."""
    before_ms = feeder.newest_ms
    behind_ms = (before_ms - _shown_ms(page, camera)) % LENGTH_MS
    return behind_ms if behind_ms < LENGTH_MS / 2 else behind_ms - LENGTH_MS


def test_it_plays_soon_smoothly_and_close_behind_the_camera(
    visit: Any, door: tuple[int, Feeder]
) -> None:
    device_id, feeder = door
    page = visit().open(f"/cameras/{device_id}")
    _shows(page, device_id)
    first_ms = page.evaluate("performance.now()")
    assert first_ms < 5000, f"{first_ms:.0f} ms, and the goal is 1000 on a machine that is free"
    page.wait_for_timeout(1000)  # past the beginning, when the delay settles
    facts = _plays(page, device_id, 3)
    assert facts["newly_dropped"] <= 0.2 * 3 * FPS
    behind_ms = sorted(_behind_ms(page, device_id, feeder) for _ in range(5))
    print(f"first picture {first_ms:.0f} ms, behind the camera {behind_ms} ms, {facts}")
    assert -200 < behind_ms[2] < 1000
    expect(page.locator(".tile-age:visible")).to_have_count(0)


def test_it_stands_in_the_grid_beside_jpegs(visit: Any, door: tuple[int, Feeder]) -> None:
    device_id, _ = door
    page = visit().open("/")
    _shows(page, device_id)
    tile = page.locator(f".tile[data-camera='{device_id}']")
    box = tile.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(640 / 480, rel=0.02)
    _plays(page, device_id)
    jpegs = page.locator(".tile.has-picture:not(:has(video))")
    # At least: a camera that another test has added may stand there too.
    expect(jpegs.nth(CAMERAS - 1)).to_be_visible(timeout=20_000)


def test_sound_is_off_until_somebody_wants_it(visit: Any, door: tuple[int, Feeder]) -> None:
    device_id, _ = door
    page = visit().open("/")
    _shows(page, device_id)
    assert _facts(page, device_id)["isMuted"]
    assert not _facts(page, device_id)["sound"]
    page.locator(f".tile[data-camera='{device_id}']").hover()
    button = page.get_by_role("button", name="Sound of Door")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    wait_until(
        lambda: _turn(page) and _facts(page, device_id)["sound"] > 2000, limit_s=10, what="sound"
    )
    page.wait_for_timeout(1000)
    facts = _plays(page, device_id)
    assert not facts["isMuted"]
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    wait_until(
        lambda: _turn(page) and _facts(page, device_id)["isMuted"], limit_s=5, what="silence"
    )
    jpeg = page.locator(".tile:not(:has(video))").first
    assert jpeg.get_by_role("button", name=re.compile("Sound of")).count() == 0


def _turn(page: Page) -> bool:
    """Playwright delivers events while it waits."""
    page.wait_for_timeout(50)
    return True


def test_a_camera_that_paused_is_shown_as_it_is_again(visit: Any, door: tuple[int, Feeder]) -> None:
    device_id, feeder = door
    page = visit().open(f"/cameras/{device_id}")
    _shows(page, device_id)
    feeder.pause(is_paused=True)
    try:
        expect(page.locator(".tile.is-stale")).to_have_count(1, timeout=10_000)
        expect(page.locator(".tile-veil")).to_contain_text("No picture since")
    finally:
        feeder.pause(is_paused=False)
    expect(page.locator(".tile.is-stale")).to_have_count(0, timeout=10_000)
    page.wait_for_timeout(1000)
    _plays(page, device_id)
    assert -200 < _behind_ms(page, device_id, feeder) < 1000


def test_other_parameters_are_played_without_a_reload(visit: Any, pulled: Any) -> None:
    device_id, feeder = pulled("Gate", coded("h264", **H264))
    page = visit().open(f"/cameras/{device_id}")
    _shows(page, device_id)
    assert _facts(page, device_id)["width"] == 640
    feeder.change(coded("h264", **{**H264, "size": (320, 240)}), LENGTH_MS)
    wait_until(
        lambda: _turn(page) and _facts(page, device_id)["width"] == 320, limit_s=10, what="new size"
    )
    wait_until(
        lambda: _turn(page) and _facts(page, device_id)["isShown"],
        limit_s=10,
        what="a picture of it",
    )
    _plays(page, device_id)


def test_pictures_out_of_order_play_in_order(visit: Any, pulled: Any) -> None:
    device_id, _ = pulled("Yard", coded("h264", b_frames=3, **H264))
    page = visit().open(f"/cameras/{device_id}")
    _shows(page, device_id)
    page.wait_for_timeout(2000)  # past the beginning, when the delay settles
    _plays(page, device_id)


def test_what_the_browser_cannot_play_is_said_and_shown_as_stills(visit: Any, pulled: Any) -> None:
    device_id, _ = pulled("Barn", coded("hevc", **H264))
    visitor = visit()
    page = visitor.open(f"/cameras/{device_id}")
    if page.evaluate("""MediaSource.isTypeSupported('video/mp4; codecs="hvc1.1.6.L93.B0"')"""):
        pytest.skip("this Chromium plays H.265")
    page.wait_for_selector(".tile.has-picture")
    expect(page.locator(".tile-note")).to_have_text(
        "This browser cannot play H.265. Recording goes on; Safari, Edge with the HEVC extension "
        "and VLC can."
    )
    width = page.evaluate("document.querySelector('.tile canvas').width")
    assert width == 640, "a key picture"
    expect(page.locator(".tile.is-stale")).to_have_count(0)
    assert page.get_by_role("button", name=re.compile("Sound of")).count() == 0


def test_out_of_sight_it_costs_no_decoder_and_in_sight_it_plays_again(
    visit: Any, door: tuple[int, Feeder]
) -> None:
    device_id, _ = door
    page = visit(viewport=PHONE).open("/")
    tile = page.locator(f".tile[data-camera='{device_id}']")
    tile.scroll_into_view_if_needed()
    expect(tile.locator("video.is-shown")).to_have_count(1, timeout=15_000)
    page.evaluate("scrollTo(0, 0)")
    source = (
        f"document.querySelector('.tile[data-camera=\"{device_id}\"] video').getAttribute('src')"
    )
    wait_until(lambda: _turn(page) and not page.evaluate(source), limit_s=10, what="let go")
    tile.scroll_into_view_if_needed()
    expect(tile.locator("video.is-shown")).to_have_count(1, timeout=15_000)
    _plays(page, device_id)
