"""The certificate rules of the firmware (mbedTLS 2.28) and of browsers, with openssl and Python."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from system import pki
from system.exceptions import SetupFailed

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
NAMES = pki.Names(["192.168.1.10", "10.0.0.7", "127.0.0.1"], ["pi", "pi.local", "localhost"])
DAY = dt.timedelta(days=1)


def ensure(directory: Path, now: dt.datetime = NOW, names: pki.Names = NAMES) -> bool:
    directory.mkdir(exist_ok=True)
    return pki.ensure(directory, names=names, now=now)


def served(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "server.pem").read_bytes())


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- our own authority --------------------------------------------------------------------------


def test_every_address_is_in_it_as_name_and_as_address(tmp_path: Path) -> None:
    """mbedTLS 2.28 compares an address with dNSName entries, Python and browsers with iPAddress."""
    ensure(tmp_path)
    names = served(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {*NAMES.addresses, *NAMES.host_names}
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ipaddress.IPv4Address(text) for text in NAMES.addresses
    }


def test_openssl_accepts_it_for_every_address_and_name(tmp_path: Path) -> None:
    ensure(tmp_path)
    at = ["-attime", str(int(NOW.timestamp()))]
    trusted = ["openssl", "verify", "-x509_strict", *at, "-CAfile", str(tmp_path / "ca.pem")]
    for check in ("-verify_ip", "192.168.1.10"), ("-verify_hostname", "pi.local"):
        subprocess.run([*trusted, *check, tmp_path / "server.pem"], check=True)
    refused = subprocess.run(
        [*trusted, "-verify_ip", "192.168.1.11", tmp_path / "server.pem"],
        check=False,
        capture_output=True,
    )
    assert refused.returncode != 0, "another address must not pass"


def test_python_connects_by_address_and_by_name(tmp_path: Path) -> None:
    ensure(tmp_path, now=dt.datetime.now(dt.UTC))
    for host in ("127.0.0.1", "localhost", "192.168.1.10"):
        handshake(tmp_path, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, "192.168.1.11")


def handshake(directory: Path, host: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem", directory / "server.key")
    client = ssl.create_default_context(cafile=directory / "ca.pem")
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client.wrap_socket(near, server_hostname=host).close()
    finally:
        near.close()
        thread.join()


def test_keys_are_private_and_of_a_kind_that_an_esp32_knows(tmp_path: Path) -> None:
    ensure(tmp_path)
    assert mode_of(tmp_path / "server.key") == mode_of(tmp_path / "authority.key") == 0o600
    assert mode_of(tmp_path / "ca.pem") == 0o644
    key = served(tmp_path).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048


def test_it_changes_nothing_that_is_still_good(tmp_path: Path) -> None:
    assert ensure(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert not ensure(tmp_path, NOW + 300 * DAY)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("later", "names"),
    [
        (NOW + 370 * DAY, NAMES),
        (NOW, pki.Names(["192.168.1.99", "127.0.0.1"], NAMES.host_names)),
        (NOW - 40 * DAY, NAMES),
    ],
    ids=["near its end", "another address", "made by a clock that was ahead"],
)
def test_it_renews_the_leaf_under_the_same_authority(
    tmp_path: Path, later: dt.datetime, names: pki.Names
) -> None:
    ensure(tmp_path)
    authority, key = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "server.key").read_bytes()
    old = served(tmp_path).serial_number
    assert ensure(tmp_path, later, names)
    assert served(tmp_path).serial_number != old
    assert (tmp_path / "ca.pem").read_bytes() == authority, "cameras have pinned it"
    assert (tmp_path / "server.key").read_bytes() == key
    served(tmp_path).verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    ensure(tmp_path)
    shutil.copy(tmp_path / "authority.key", tmp_path / "server.key")
    assert ensure(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")


def test_a_machine_whose_clock_says_1970_gets_one_that_is_good_today(tmp_path: Path) -> None:
    ensure(tmp_path, dt.datetime(1970, 1, 2, tzinfo=dt.UTC))
    assert served(tmp_path).not_valid_after_utc > dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


# --- the operator's own -------------------------------------------------------------------------


def operators(
    directory: Path, *, common_name: str = "192.168.1.10", ends: dt.datetime = NOW + 100 * DAY
) -> pki.OperatorFiles:
    """As the Pi Camera Server made them: self-signed, CN is the address, no subjectAltName."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW - 300 * DAY)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    files = pki.OperatorFiles(directory / "cert.pem", directory / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def with_operators(directory: Path, files: pki.OperatorFiles) -> bool:
    return pki.ensure(directory, names=NAMES, now=NOW, operator=files)


def test_the_operators_pair_is_presented_byte_for_byte(tmp_path: Path) -> None:
    files = operators(tmp_path)
    assert with_operators(tmp_path, files)
    assert (tmp_path / "server.pem").read_bytes() == files.certificate.read_bytes()
    assert (tmp_path / "server.key").read_bytes() == files.key.read_bytes()
    assert (tmp_path / "ca.pem").read_bytes() == files.certificate.read_bytes()
    assert mode_of(tmp_path / "server.key") == 0o600
    assert not with_operators(tmp_path, files), "nothing changed"


@pytest.mark.parametrize(
    ("common_name", "ends"),
    [("192.168.1.10", NOW - DAY), ("192.168.1.200", NOW + 100 * DAY)],
    ids=["it has expired", "the address has changed"],
)
def test_a_leaf_signed_with_it_takes_over(
    tmp_path: Path, common_name: str, ends: dt.datetime
) -> None:
    """Cameras that pinned the old one still accept that (measured with mbedTLS 2.28.3)."""
    files = operators(tmp_path, common_name=common_name, ends=ends)
    pinned = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    with_operators(tmp_path, files)
    leaf = served(tmp_path)
    leaf.verify_directly_issued_by(pinned)
    assert leaf.not_valid_after_utc > NOW
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.168.1.10" in names.get_values_for_type(x509.DNSName)
    assert (tmp_path / "ca.pem").read_bytes() == files.certificate.read_bytes()
    assert (tmp_path / "server.key").read_bytes() != files.key.read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    assert not with_operators(tmp_path, files), "nothing changed"


def test_our_own_authority_comes_back_when_the_operator_takes_theirs_away(tmp_path: Path) -> None:
    ensure(tmp_path)
    authority = (tmp_path / "ca.pem").read_bytes()
    with_operators(tmp_path, operators(tmp_path))
    assert (tmp_path / "ca.pem").read_bytes() != authority
    assert ensure(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == authority
    served(tmp_path).verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_it_says_what_is_wrong_with_the_operators_files(tmp_path: Path) -> None:
    files = operators(tmp_path)
    missing = pki.OperatorFiles(tmp_path / "nowhere.pem", files.key)
    with pytest.raises(SetupFailed, match=r"nowhere\.pem"):
        with_operators(tmp_path, missing)
    files.key.write_text("not a key")
    with pytest.raises(SetupFailed, match="PEM"):
        with_operators(tmp_path, files)
    (other := tmp_path / "other").mkdir()
    stranger = operators(other)
    with pytest.raises(SetupFailed, match="not the key"):
        with_operators(tmp_path, pki.OperatorFiles(stranger.certificate, operators(tmp_path).key))
