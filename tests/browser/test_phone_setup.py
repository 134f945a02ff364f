"""What a camera has to know goes to it by codes that another program can read, and nowhere else."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OUTPUT, PHONE, Visitor
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser]

READER = shutil.which("zbarimg")
needs_reader = pytest.mark.skipif(READER is None, reason="no zbarimg on PATH (zbar-tools)")
NETWORK = 'Käfer & "Söhne" 5=#'
PASSWORD = "north wind & 7 geese #%+"
PAGE_CODE = "Code that opens the camera's page, filled in"
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def read_code(code: Locator, name: str) -> str:
    OUTPUT.mkdir(exist_ok=True)
    picture = OUTPUT / f"{name}.png"
    code.screenshot(path=picture)
    assert READER is not None
    command = [READER, "--raw", "-q", "-Sdisable", "-Sqrcode.enable", str(picture)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout.removesuffix("\n")


def told(address: str) -> dict[str, str]:
    """As the portal's page reads it: behind the #, which no request carries."""
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc, parts.path, parts.query) == (
        "http", "192.168.4.1", "/", "",
    )  # fmt: skip
    return {name: value for name, (value,) in parse_qs(parts.fragment, strict_parsing=True).items()}


def der_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ca_of(recorder: Stack) -> bytes:
    pem = Path(recorder.ca_path).read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def overheard(visitor: Visitor) -> list[str]:
    """Everything that leaves the page from now on."""
    sent: list[str] = []
    visitor.page.on("request", lambda one: sent.append(f"{one.url} {one.post_data} {one.headers}"))
    return sent


def link_of(page: Page) -> str:
    return str(page.get_by_role("link", name="Open the camera's page").get_attribute("href"))


@needs_reader
def test_both_codes_say_what_was_typed_and_nothing_of_it_reaches_the_recorder(
    visit: Any, recorder: Stack
) -> None:
    visitor: Visitor = visit()
    sent = overheard(visitor)
    page = visitor.open("/cameras/add?kind=esp32")
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    page.get_by_label("Wi-Fi name").fill(NETWORK)
    page.get_by_label("Wi-Fi password").fill(PASSWORD)
    page.get_by_text("More: its name").click()
    page.get_by_label("The end of the camera's hardware address").fill("24:6f:28:a1:b2:c3")
    page.get_by_label("Key for updates").fill(public_pem)
    page.get_by_label("The recorder is always at one address").check()
    page.get_by_label("Address", exact=True).fill("192.168.1.10")
    page.get_by_label("Port", exact=True).fill("3443")

    expected = {
        "ssid": NETWORK, "password": PASSWORD, "server": "192.168.1.10", "port": "3443",
    }  # fmt: skip
    code = page.get_by_role("img", name=PAGE_CODE)
    expect(code).to_be_visible()
    wait_until(
        lambda: "192.168.1.10" in link_of(page) and "3443" in link_of(page),
        limit_s=15, what="the last key stroke in the code",
    )  # fmt: skip
    scanned = read_code(code, "setup-code")
    assert scanned == link_of(page)
    values = told(scanned)
    assert der_of(values.pop("ca")) == ca_of(recorder)
    assert der_of(values.pop("update_key")) == public.public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert values == expected
    join = page.get_by_role("img", name="Code that joins Roost-A1B2C3")
    assert read_code(join, "setup-join") == "WIFI:T:nopass;S:Roost-A1B2C3;;"
    page.screenshot(path=OUTPUT / "setup-desk-dark.png", full_page=True)

    kept = page.evaluate("JSON.stringify([history.state, {...localStorage}, {...sessionStorage}])")
    assert PASSWORD not in kept + "".join(sent) + visitor.page.url
    page.reload()
    expect(page.get_by_label("Wi-Fi name")).to_have_value(NETWORK)
    expect(page.get_by_label("Wi-Fi password")).to_have_value("")
    assert not any("north" in one for one in sent)

    page.get_by_text("More: its name").click()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    page.get_by_label("Key for updates").fill(pem)
    expect(page.get_by_text("This is the private half")).to_be_visible()
    expect(page.get_by_label("Key for updates")).to_have_value("")
    assert not any("PRIVATE" in one for one in sent)


@needs_reader
def test_on_a_phone_the_code_still_reads_and_a_link_does_the_same(
    visit: Any, recorder: Stack
) -> None:
    visitor: Visitor = visit(
        viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True, color_scheme="light"
    )
    page = visitor.open("/cameras/add?kind=esp32")
    page.get_by_label("Wi-Fi name").fill("Garden")
    page.get_by_label("Wi-Fi password").fill("short")
    expect(page.get_by_text("A Wi-Fi password has 8 to 63 characters")).to_be_visible()
    expect(page.get_by_role("img", name=PAGE_CODE)).to_have_count(0)
    page.get_by_label("Wi-Fi password").fill(PASSWORD)
    code = page.get_by_role("img", name=PAGE_CODE)
    expect(code).to_be_visible()
    wait_until(lambda: "geese" in link_of(page), limit_s=15, what="the whole password in the code")
    scanned = read_code(code, "setup-code-phone")
    assert scanned == link_of(page)
    values = told(scanned)
    assert der_of(values.pop("ca")) == ca_of(recorder)
    assert values == {"ssid": "Garden", "password": PASSWORD}
    assert page.evaluate(_TOO_WIDE) <= 0
    page.screenshot(path=OUTPUT / "setup-phone-light.png", full_page=True)


def test_the_cable_gets_the_same_in_lines(visit: Any, recorder: Stack) -> None:
    visitor: Visitor = visit()
    page = visitor.open("/cameras/add?kind=esp32")
    page.get_by_label("Wi-Fi name").fill("My garden")
    page.get_by_label("Wi-Fi password").fill('half"quoted')
    page.get_by_text("By cable instead").click()
    pem = Path(recorder.ca_path).read_text().strip()
    lines = page.locator(".copy-lines code")
    expect(lines).to_contain_text('half"quoted')
    said = lines.text_content()
    assert said == f'wifi "My garden" half"quoted\nserver auto\nca <<PEM\n{pem}\nPEM'
    page.get_by_label("Wi-Fi password").fill('blank and "quote"')
    expect(page.get_by_text("The serial line has no way to say")).to_be_visible()
