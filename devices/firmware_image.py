"""Firmware files, `*.roost`: a signed header, then the image as the camera's flash takes it.

Pure: no Django, no files. Little-endian:

      0  8 bytes   "ROOSTFW1"
      8  32 bytes  board, UTF-8, NUL padded
     40  32 bytes  version MAJOR.MINOR.PATCH, likewise
     72  u32       size of the image
     76  32 bytes  SHA-256 of the image
    108            (what is signed ends here)
    108  u16       length of the signature
    110  72 bytes  signature, ECDSA P-256 with SHA-256, DER, zero padded
    182            the image
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MAGIC = b"ROOSTFW1"
_SIGNED = struct.Struct("<8s32s32sI32s")
_SIGNATURE = struct.Struct("<H72s")
SIGNED_BYTES = _SIGNED.size
HEADER_BYTES = _SIGNED.size + _SIGNATURE.size
# Of the whole file. The boards have 4 MiB of flash for two images and everything else.
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_PEM_CHARACTERS = 4096  # that of a P-256 public key has 178
# 31 bytes at most: the last one of the field stays NUL, for whoever reads it as a C string.
_BOARD = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})")
_SHORT_ID = re.compile(r"[0-9a-f]{16}")

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


class BadFirmware(ValueError):
    """The file, the key or a value cannot be used; `str()` is a sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Header:
    """`signed` are the bytes that `signature` (DER) is of; sizes in bytes, of the image alone."""

    board: str
    version: str
    image_bytes: int
    sha256: bytes
    signature: bytes
    signed: bytes

    @property
    def file_bytes(self) -> int:
        return HEADER_BYTES + self.image_bytes


def parse_version(text: str) -> tuple[int, int, int]:
    """Comparable. Raises BadFirmware for anything but MAJOR.MINOR.PATCH, each at most 99999."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BadFirmware("The version must be MAJOR.MINOR.PATCH, such as 1.3.0")
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def is_newer(version: str, than: str) -> bool:
    """False where one of the two is no version: such a camera is left alone."""
    try:
        return parse_version(version) > parse_version(than)
    except BadFirmware:
        return False


def check_board(text: str) -> None:
    """Raises BadFirmware for what no board is called."""
    if _BOARD.fullmatch(text) is None:
        raise BadFirmware(
            "The board must be at most 31 small letters, digits, dots and dashes, such as ai-thinker"
        )


def write(image: bytes, *, board: str, version: str, key: PrivateKey) -> bytes:
    """The whole file. Raises BadFirmware for a board, version, size or key that cannot be."""
    check_board(board)
    parse_version(version)
    if not isinstance(key.curve, ec.SECP256R1):
        raise BadFirmware("The key must be an ECDSA key on the curve P-256")
    if not 0 < len(image) <= MAX_FILE_BYTES - HEADER_BYTES:
        raise BadFirmware(
            f"The image must have 1 to {MAX_FILE_BYTES - HEADER_BYTES} bytes, not {len(image)}"
        )
    digest = hashlib.sha256(image).digest()
    signed = _SIGNED.pack(MAGIC, board.encode(), version.encode(), len(image), digest)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return signed + _SIGNATURE.pack(len(signature), signature) + image


def read_header(data: bytes) -> Header:
    """Of a file, or of its first HEADER_BYTES. Raises BadFirmware; checks no signature."""
    if not data.startswith(MAGIC):
        raise BadFirmware("This is not a firmware file of Roost (it does not begin with ROOSTFW1)")
    if len(data) < HEADER_BYTES:
        raise BadFirmware("The file ends within its header")
    _, board, version, image_bytes, digest = _SIGNED.unpack_from(data)
    length, field = _SIGNATURE.unpack_from(data, SIGNED_BYTES)
    if not 0 < length <= len(field) or any(field[length:]):
        raise BadFirmware("The field of the signature is damaged")
    header = Header(
        board=_text(board),
        version=_text(version),
        image_bytes=image_bytes,
        sha256=digest,
        signature=field[:length],
        signed=bytes(data[:SIGNED_BYTES]),
    )
    check_board(header.board)
    parse_version(header.version)
    if image_bytes == 0 or header.file_bytes > MAX_FILE_BYTES:
        raise BadFirmware(f"The size in the header, {image_bytes} bytes, cannot be")
    return header


def read(data: bytes) -> Header:
    """Of a whole file, whose size and SHA-256 must be as the header says. Raises BadFirmware."""
    header = read_header(data)
    if len(data) != header.file_bytes:
        raise BadFirmware(
            f"The file has {len(data)} bytes and should have {header.file_bytes}: it is cut or longer"
        )
    if hashlib.sha256(memoryview(data)[HEADER_BYTES:]).digest() != header.sha256:
        raise BadFirmware("The image does not match the SHA-256 in its header: it is damaged")
    return header


def signer_of(header: Header, keys: Iterable[PublicKey]) -> PublicKey | None:
    """Whose signature it is; None where it is of none of them."""
    for key in keys:
        try:
            key.verify(header.signature, header.signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return key
    return None


def short_id(key: PublicKey) -> str:
    """As a camera names its key: 16 hex digits of the SHA-256 of the DER SubjectPublicKeyInfo."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:16]


def is_short_id(text: str) -> bool:
    return _SHORT_ID.fullmatch(text) is not None


def public_pem(key: PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def read_public_key(pem: str) -> PublicKey:
    """Raises BadFirmware, also for a private key: that one stays off the recorder."""
    if "PRIVATE KEY" in pem:
        raise BadFirmware(
            "This is the private key, which must not be given away: only the public key is needed"
        )
    try:
        key = serialization.load_pem_public_key(pem[:MAX_PEM_CHARACTERS].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadFirmware("This is not a public key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadFirmware("The key must be an ECDSA key on the curve P-256")
    return key


def new_private_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey) -> bytes:
    """Not encrypted: its file is for its owner only."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_private_key(pem: bytes) -> PrivateKey:
    """Raises BadFirmware."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadFirmware("The key file holds no private key in PEM without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadFirmware("The key must be an ECDSA key on the curve P-256")
    return key


def _text(field: bytes) -> str:
    text, _, padding = field.partition(b"\0")
    if any(padding):
        raise BadFirmware("A text in the header is damaged")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadFirmware("A text in the header is damaged") from error
