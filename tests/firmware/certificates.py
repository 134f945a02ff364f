"""Authorities and the server certificates that they sign, good and bad ones."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    path: Path  # its certificate

    def issue(
        self,
        folder: Path,
        name: str,
        *,
        names: tuple[str, ...] = ("127.0.0.1",),
        starts: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
    ) -> ssl.SSLContext:
        """A server with a certificate for `names`, valid from and to so far from now."""
        key = rsa.generate_private_key(65537, 2048)
        entries: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
        entries += [x509.IPAddress(ipaddress.ip_address(n)) for n in names if n[0].isdigit()]
        now = dt.datetime.now(dt.UTC)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(_named(names[0]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName(entries), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return _context(folder / name, leaf, key)


def authority(folder: Path, name: str) -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(65537, 2048)
    certificate = _self_signed(key, _named(name), is_authority=True)
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(PEM))
    return Authority(certificate, key, path)


def old_server(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """The Pi Camera Server's own: signed by itself, CN is the address, no subjectAltName."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = _self_signed(key, _named(address), is_authority=False)
    return _context(folder / "old", certificate, key), folder / "old.pem"


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _self_signed(
    key: rsa.RSAPrivateKey, name: x509.Name, *, is_authority: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
    if is_authority:
        basic = x509.BasicConstraints(ca=True, path_length=0)
        builder = builder.add_extension(basic, critical=True)
    return builder.sign(key, hashes.SHA256())


def _context(path: Path, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> ssl.SSLContext:
    pem, secret = path.with_suffix(".pem"), path.with_suffix(".key")
    pem.write_bytes(certificate.public_bytes(PEM))
    form = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context
