"""Firmware from the page: trusted, uploaded, rolled out, paused, stopped, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from devices import firmware_image
from tests.browser.conftest import DESK, PHONE, Visitor
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser]

BOARD = "bench-board"
NAME = "Camera on the bench"
# Two cameras that never connect, so that nobody is told and nothing happens by itself meanwhile.
_ROWS = """
from devices.models import Device
for number, key in ((1, {key!r}), (2, "0123456789abcdef")):
    mac = f"AA:BB:CC:F1:00:0{{number}}"
    print("pk", Device.objects.create(
        mac=mac, registered_as=mac, name=f"{name} {{number}}", firmware_board={board!r},
        firmware_version="1.2.0", update_key=key, enrolment="approved").pk)
"""


@dataclass(frozen=True)
class Bench:
    """An administrator's window, and the key of whoever builds firmware."""

    visitor: Visitor
    key: firmware_image.PrivateKey


@pytest.fixture
def bench(recorder: Stack, visit: Any) -> Iterator[Bench]:
    """The public half of its key is the update key of one of two cameras of BOARD."""
    made = Bench(visit(), firmware_image.new_private_key())
    short_id = firmware_image.short_id(made.key.public_key())
    said = recorder.manage("shell", "-c", _ROWS.format(key=short_id, board=BOARD, name=NAME))
    yield made
    for pk in re.findall(r"pk (\d+)", said):
        made.visitor.api("DELETE", f"devices/{pk}/")


@pytest.fixture
def signed(bench: Bench, tmp_path: Path) -> Path:
    program = b"\xe9 a program" * 20_000
    data = firmware_image.write(program, board=BOARD, version="1.3.0", key=bench.key)
    path = tmp_path / "bench-1.3.0.roost"
    path.write_bytes(data)
    return path


def _trust(page: Page, key: firmware_image.PrivateKey) -> None:
    page.get_by_role("button", name="Add a key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Bench key")
    dialog.get_by_label("Public key").fill(firmware_image.private_pem(key).decode())
    dialog.get_by_role("button", name="Trust this key").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This is the private key")
    dialog.get_by_label("Public key").fill(firmware_image.public_pem(key.public_key()))
    dialog.get_by_role("button", name="Trust this key").click()
    expect(dialog).to_have_count(0)


def _upload(page: Page, path: Path) -> None:
    page.get_by_role("button", name="Upload firmware").click()
    page.get_by_label("Choose a .roost file").set_input_files(path)
    page.get_by_label("Notes").fill("Streams after a power cut, too")
    page.get_by_role("dialog").get_by_role("button", name="Upload").click()


def _agree(page: Page, action: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=action).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def _shoot(visitor: Visitor, name: str) -> None:
    """At the desk, then on a phone, where nothing may stick out."""
    page = visitor.page
    page.evaluate("document.querySelectorAll('.toast').forEach((one) => one.remove())")
    visitor.shoot(f"firmware-{name}-desk")
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    visitor.shoot(f"firmware-{name}-phone")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0, f"{name} scrolls sideways"
    page.set_viewport_size({"width": DESK["width"], "height": DESK["height"]})


def test_firmware_is_uploaded_rolled_out_paused_stopped_and_deleted(
    bench: Bench, signed: Path
) -> None:
    visitor = bench.visitor
    page = visitor.open("/firmware")
    expect(page.get_by_role("button", name="Upload firmware")).to_be_disabled()
    _shoot(visitor, "empty")
    _trust(page, bench.key)
    visitor.forgive(400)
    changed = signed.with_name("changed.roost")
    changed.write_bytes(signed.read_bytes()[:-1] + b"?")
    _upload(page, changed)
    expect(page.get_by_role("alert")).to_contain_text("does not match the SHA-256")
    visitor.forgive(400)
    _shoot(visitor, "upload")
    page.get_by_label("Choose a .roost file").set_input_files(signed)
    expect(page.get_by_role("alert")).to_be_empty()
    _agree(page, "Upload")

    page.get_by_role("button", name=f"Roll out 1.3.0 for {BOARD}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 camera of this board would take it. 1 camera with another")
    _shoot(visitor, "start")
    _agree(page, "Start the roll-out")
    card = page.get_by_role("region", name=f"Roll-out of 1.3.0 for {BOARD}")
    expect(card).to_contain_text("Stage 1 of 3 (one camera)")
    first = card.get_by_role("listitem").filter(has_text="One camera, then watched for 1 h")
    expect(first).to_contain_text(f"{NAME} 1Waits for its turn")
    expect(card).to_contain_text(f"{NAME} 2Has another update key")
    expect(page.get_by_role("button", name=f"Delete 1.3.0 for {BOARD}")).to_have_count(0)

    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("Paused by admin")
    _shoot(visitor, "paused")
    card.get_by_role("button", name="Resume").click()
    expect(card.get_by_role("button", name="Pause")).to_be_visible()
    card.get_by_role("button", name="Stop").click()
    _agree(page, "Stop it")
    expect(card).to_have_count(0)
    past = page.get_by_role("region", name="Earlier roll-outs")
    expect(past).to_contain_text("0 of 2 cameras updated")
    past.get_by_role("button", name="Details").click()
    expect(page.get_by_role("dialog")).to_contain_text("Not reached")
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    _shoot(visitor, "stopped")

    page.get_by_role("button", name=f"Delete 1.3.0 for {BOARD}").click()
    _agree(page, "Delete")
    expect(past).to_contain_text("Nothing was rolled out yet")
    page.get_by_role("button", name="Remove Bench key").click()
    _agree(page, "Remove key")
    expect(page.get_by_role("button", name="Upload firmware")).to_be_disabled()
