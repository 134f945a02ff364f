"""The private authority and the server's certificate.

Cameras pin what lies in `ca.pem` and check the server by its IPv4 address as text. mbedTLS 2.28
(the ESP32's) compares that text with dNSName entries only, and ignores the CN as soon as there is
a subjectAltName, so every address is in the certificate twice: as DNS name and as IP address.

    authority.pem|key   this recorder's own authority, made once, valid ten years
    ca.pem              what a camera or browser has to trust (public; GET /ca.pem)
    server.pem|key      what the web process presents
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from system.exceptions import SetupFailed

AUTHORITY_LIFE = dt.timedelta(days=3652)
LEAF_LIFE = dt.timedelta(days=397)  # the longest that browsers accept
RENEW_BEFORE = dt.timedelta(days=30)
# A Pi has no clock of its own: a certificate "from 1970" would have ended before it was used.
EARLIEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KEY_BITS = 2048  # an ESP32 needs 0.1 s for it, and 3 s for 4096

SigningKey = rsa.RSAPrivateKey


@dataclass(frozen=True)
class OperatorFiles:
    """NVR_TLS_CERT and NVR_TLS_KEY: PEM files of the operator, never written to."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Names:
    """What the certificate has to be good for."""

    addresses: Sequence[str]  # IPv4, as text
    host_names: Sequence[str]


def ensure(
    directory: Path, *, names: Names, now: dt.datetime, operator: OperatorFiles | None = None
) -> bool:
    """Brings `server.pem`, `server.key` and `ca.pem` up to date; True when one of them changed.

    Raises SetupFailed when the operator's files cannot be used, OSError when the disk refuses.
    """
    if operator is None:
        return _ensure_own(directory, names, now)
    return _ensure_operators(directory, names, now, operator)


# --- our own authority --------------------------------------------------------------------------


def _ensure_own(directory: Path, names: Names, now: dt.datetime) -> bool:
    changed = False
    authority = _read_certificate(directory / "authority.pem")
    authority_key = _read_key(directory / "authority.key")
    if (
        authority is None
        or not isinstance(authority_key, rsa.RSAPrivateKey)
        or not _belongs(authority, authority_key)
        or authority.not_valid_after_utc - now < RENEW_BEFORE
    ):
        authority_key = _new_key(directory / "authority.key")
        authority = _sign_authority(authority_key, now)
        _write(directory / "authority.pem", _pem(authority), 0o644)
        changed = True
    changed |= _write(directory / "ca.pem", _pem(authority), 0o644)
    return changed | _ensure_leaf(directory, names, now, authority, authority_key)


def _ensure_leaf(
    directory: Path,
    names: Names,
    now: dt.datetime,
    authority: x509.Certificate,
    authority_key: SigningKey,
) -> bool:
    leaf = _read_certificate(directory / "server.pem")
    key = _read_key(directory / "server.key")
    if (
        leaf is not None
        and key is not None
        and _belongs(leaf, key)
        and _is_issued_by(leaf, authority)
        and not _needs_renewal(leaf, names, now)
    ):
        return False
    # The key is kept over renewals unless it was the operator's own.
    is_ours = isinstance(key, rsa.RSAPrivateKey) and not _belongs(authority, key)
    if not isinstance(key, rsa.RSAPrivateKey) or not is_ours:
        key = _new_key(directory / "server.key")
    leaf = _sign_leaf(key, names, now, authority, authority_key)
    _write(directory / "server.pem", _pem(leaf), 0o644)
    return True


def _needs_renewal(leaf: x509.Certificate, names: Names, now: dt.datetime) -> bool:
    """Near its end, from the future (the clock was wrong), or not good for today's addresses."""
    if leaf.not_valid_after_utc - now < RENEW_BEFORE or leaf.not_valid_before_utc > now:
        return True
    return set(_alternative_names(names)) != set(_names_of(leaf))


def _sign_authority(key: SigningKey, now: dt.datetime) -> x509.Certificate:
    # The serial in the name keeps two recorders' authorities apart in a browser's store.
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Roost"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Roost private CA {serial % 0xFFFFFF:06x}"),
        ]
    )
    start = max(now, EARLIEST) - dt.timedelta(days=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), serial)
        .not_valid_before(start)
        .not_valid_after(start + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_leaf(
    key: SigningKey,
    names: Names,
    now: dt.datetime,
    authority: x509.Certificate,
    authority_key: SigningKey,
) -> x509.Certificate:
    common_name = names.addresses[0] if names.addresses else names.host_names[0]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    start = max(now, EARLIEST) - dt.timedelta(days=1)
    authority_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        authority_key.public_key()
    )
    return (
        x509.CertificateBuilder(
            authority.subject, subject, key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(start)
        .not_valid_after(start + LEAF_LIFE)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority_identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _alternative_names(names: Names) -> list[x509.GeneralName]:
    as_names = [x509.DNSName(text) for text in (*names.addresses, *names.host_names)]
    as_addresses = [x509.IPAddress(ipaddress.IPv4Address(text)) for text in names.addresses]
    return [*as_names, *as_addresses]


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_encipherment=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


# --- the operator's own certificate -------------------------------------------------------------


def _ensure_operators(
    directory: Path, names: Names, now: dt.datetime, operator: OperatorFiles
) -> bool:
    """The operator's pair is presented byte for byte; copied, so that renewals are noticed.

    Cameras may have pinned a self-signed one. When such a one has expired, or names an address
    that this machine no longer has, they still accept a leaf signed with it (mbedTLS 2.28.3).
    """
    try:
        pem, key_pem = operator.certificate.read_bytes(), operator.key.read_bytes()
    except OSError as error:
        raise SetupFailed(
            f"NVR_TLS_CERT or NVR_TLS_KEY cannot be read: {error.filename} ({error.strerror})."
        ) from error
    certificate, key = _parse_certificate(pem), _parse_key(key_pem)
    if certificate is None or key is None:
        raise SetupFailed("NVR_TLS_CERT and NVR_TLS_KEY must be PEM files, the key unencrypted.")
    if not _belongs(certificate, key):
        raise SetupFailed("NVR_TLS_KEY is not the key of the certificate in NVR_TLS_CERT.")
    changed = _write(directory / "ca.pem", pem, 0o644)
    is_self_signed = certificate.issuer == certificate.subject
    if is_self_signed and isinstance(key, rsa.RSAPrivateKey) and _is_outdated(
        certificate, names, now
    ):  # fmt: skip
        return changed | _ensure_leaf(directory, names, now, certificate, key)
    changed |= _write(directory / "server.key", key_pem, 0o600)
    return changed | _write(directory / "server.pem", pem, 0o644)


def _is_outdated(certificate: x509.Certificate, names: Names, now: dt.datetime) -> bool:
    if certificate.not_valid_after_utc <= now:
        return True
    if _names_of(certificate):
        return False
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common_name = str(common_names[0].value) if common_names else ""
    try:
        ipaddress.IPv4Address(common_name)
    except ValueError:
        return False
    return common_name not in names.addresses


# --- files --------------------------------------------------------------------------------------


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except x509.ExtensionNotFound:
        return []


def _is_issued_by(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _belongs(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """False after a crash between writing a key and its certificate."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def _new_key(path: Path) -> SigningKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,  # what older tools read too
        serialization.NoEncryption(),
    )
    _write(path, pem, 0o600)
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _read_certificate(path: Path) -> x509.Certificate | None:
    return _parse_certificate(path.read_bytes()) if path.exists() else None


def _parse_certificate(pem: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def _read_key(path: Path) -> PrivateKeyTypes | None:
    return _parse_key(path.read_bytes()) if path.exists() else None


def _parse_key(pem: bytes) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        return None


def _write(path: Path, content: bytes, mode: int) -> bool:
    """Whole or not at all; False when the file already says so."""
    if path.exists() and path.read_bytes() == content:
        return False
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(mode)
    part.rename(path)
    return True
