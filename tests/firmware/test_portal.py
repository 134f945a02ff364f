"""The set-up portal: a phone's requests to the host build, which serves it on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, expect, sync_playwright

from tests.firmware.bad_recorder import BadRecorder
from tests.firmware.build import OUTPUT, Programs
from tests.firmware.certificates import Authority
from tests.firmware.host import HostCamera, camera, times
from tests.firmware.images import Signer
from tests.firmware.phone import PORTAL, Phone, base64url
from tests.stack import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "canary of Wi-Fi"
HOSTILE = "<script>document.title=1</script"  # 32 bytes, as long as a name may be
QUICK = times(backoff=100, longest=300, linger=200, request=1500)


@pytest.fixture
def recorder(authority: Authority, tmp_path: Path) -> Iterator[BadRecorder]:
    with BadRecorder(authority.issue(tmp_path, "leaf")) as running:
        yield running


@pytest.fixture
def unboxed(programs: Programs, pictures: Path, tmp_path: Path) -> Iterator[HostCamera]:
    with open_portal(programs, pictures, tmp_path) as running:
        yield running


@contextmanager
def open_portal(
    programs: Programs, pictures: Path, folder: Path, *arguments: str
) -> Iterator[HostCamera]:
    flash = folder / "flash"
    flash.mkdir(exist_ok=True)
    (flash / "networks").write_text(f'home\n{HOSTILE}\n"><b>\n')
    portal = (*PORTAL, "--sleep", "wait", *QUICK, *arguments)
    with camera(programs, flash, pictures, *portal) as running:
        running.wait_for("portal: join")
        yield running


def for_recorder(recorder: BadRecorder, authority: Authority) -> dict[str, str]:
    """What a recorder's QR code says."""
    return {
        "ssid": "home",
        "password": PASSWORD,
        "server": "127.0.0.1",
        "port": str(recorder.port),
        "ca": base64url(authority.certificate.public_bytes(Encoding.DER)),
        "mode": "always",
    }


def test_a_phone_sets_the_camera_up_and_it_finds_its_recorder(
    unboxed: HostCamera, recorder: BadRecorder, authority: Authority
) -> None:
    assert "Roost-4F5354" in unboxed.log()
    phone, signer = Phone(unboxed), Signer()
    assert phone.resolve("connectivitycheck.gstatic.com") == "127.0.0.1"
    assert phone.ask("GET", "/generate_204")[:2] == (302, phone.url)
    status, _, page = phone.ask("GET")
    assert status == 200
    assert 'name="ssid"' in page
    fields = for_recorder(recorder, authority)
    status, page = phone.fill_in(**fields, update_key=base64url(signer.der()))
    assert status == 200
    wait_until(lambda: recorder.pictures() > 2, limit_s=30, what="pictures")
    assert recorder.enrolments == 1
    wait_until(
        lambda: any(signer.fingerprint() in text for text in recorder.texts()),
        limit_s=20, what="a heartbeat with the update key",
    )  # fmt: skip
    with suppress(ConnectionError), phone.connect():
        raise AssertionError("the portal is still there")
    unboxed.type("show")
    unboxed.wait_for('wifi "home", password set')
    assert PASSWORD not in page + unboxed.log()
    unboxed.finish()


def test_networks_are_shown_as_text_and_secrets_not_at_all(
    programs: Programs, pictures: Path, tmp_path: Path, recorder: BadRecorder, authority: Authority
) -> None:
    set_up = ("--set", f'wifi home "{PASSWORD}"', "--ca", str(authority.path))
    at = ("--server", f"127.0.0.1:{recorder.port}", "--set", "mode always")
    with camera(programs, tmp_path / "flash", pictures, *set_up, *at, *QUICK) as running:
        wait_until(recorder.pictures, limit_s=20, what="a picture")
        running.finish()
    with camera(
        programs, tmp_path / "flash", pictures, *PORTAL, "--sleep", "wait", *QUICK
    ) as running:
        (tmp_path / "flash" / "networks").write_text(f'{HOSTILE}\n"><b>\n')
        running.wait_for("-> stream")
        running.type("portal")
        running.wait_for("portal: join")
        phone = Phone(running)
        _, _, page = phone.ask("GET")
        assert "&lt;script&gt;document.title" in page
        assert "&quot;&gt;&lt;b&gt;" in page
        assert PASSWORD not in page
        # The password of the network that is set up need not be typed again.
        status, page = phone.fill_in(
            ssid="home", server="127.0.0.1", port=str(recorder.port), mode="always"
        )
        assert status == 200, page
        shown = recorder.pictures()
        wait_until(lambda: recorder.pictures() > shown, limit_s=30, what="a picture")
        running.type("show")
        running.wait_for('wifi "home", password set')
        running.finish()


def test_it_closes_by_itself_when_the_camera_is_set_up(
    programs: Programs, pictures: Path, tmp_path: Path, recorder: BadRecorder, authority: Authority
) -> None:
    set_up = ("--set", "wifi home password1", "--ca", str(authority.path), "--set", "mode always")
    at = ("--server", f"127.0.0.1:{recorder.port}", *PORTAL, *times(portal=300))
    with camera(programs, tmp_path / "flash", pictures, *set_up, *at, *QUICK) as running:
        running.wait_for("-> stream")
        running.type("portal")
        running.wait_for("portal: nobody used it")
        running.wait_for("-> stream", times=2)
        running.finish()


def test_what_no_tls_library_reads_is_refused(unboxed: HostCamera, authority: Authority) -> None:
    der = authority.certificate.public_bytes(Encoding.DER)
    key = Signer().der()
    phone = Phone(unboxed)
    # Whole as their lengths say, and neither a certificate nor a point of the curve.
    status, page = phone.fill_in(
        ssid="home",
        ca=base64url(der[:4] + b"\0" * (len(der) - 4)),
        update_key=base64url(key[:-1] + bytes([key[-1] ^ 1])),
    )
    assert status == 422
    assert "Certificate: this is not one whole certificate." in page
    assert "Update key: this is not a public key of P-256." in page
    status, page = phone.fill_in(ssid="home", ca=authority.path.read_text()[:-200])
    assert (status, "Certificate: this is not one" in page) == (422, True)
    assert not (unboxed.folder / "ssid").exists()
    unboxed.finish()


def test_bad_company_holds_nobody_up(
    unboxed: HostCamera, recorder: BadRecorder, authority: Authority
) -> None:
    phone = Phone(unboxed)
    with ExitStack() as lines:
        for _ in range(12):
            lines.enter_context(phone.connect())
        slow = lines.enter_context(phone.connect())
        slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\nssid=")
        rude = lines.enter_context(phone.connect())
        rude.sendall(b"\x16\x03\x01\x02\x00\x01\x00\n\n")
        assert rude.recv(100).startswith(b"HTTP/1.0 400")
        status, _, _ = phone.ask("POST", body="ca=" + "A" * 50_000)
        assert status == 413
        status, page = phone.fill_in(**for_recorder(recorder, authority))
        assert (status, "Saved" in page) == (200, True)
    wait_until(recorder.pictures, limit_s=30, what="a picture")
    unboxed.finish()


@pytest.fixture
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("the portal's page needs chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": 390, "height": 844})
        finally:
            browser.close()


def test_a_qr_code_fills_the_page_in(
    unboxed: HostCamera, recorder: BadRecorder, authority: Authority, page: Page
) -> None:
    url = Phone(unboxed).url
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    fields = {**for_recorder(recorder, authority), "password": "short"}
    page.goto(f"{url}#{urlencode(fields)}")
    expect(page.locator("[name=ssid]")).to_have_value("home")
    expect(page.locator("[name=port]")).to_have_value(str(recorder.port))
    expect(page.locator("[name=mode]")).to_have_value("always")
    assert page.url == url, "the password is not left in the phone's history"
    page.screenshot(path=OUTPUT.parent / "portal.png", full_page=True)
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("Password: it has 8 to 63 characters")
    expect(page.locator("[name=ca]")).to_have_value(fields["ca"])
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("Saved")
    page.screenshot(path=OUTPUT.parent / "portal-saved.png")
    assert page.title() == "Roost camera"
    assert troubles == []
    wait_until(recorder.pictures, limit_s=30, what="a picture")
    unboxed.finish()
