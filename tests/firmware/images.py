"""Image files of new firmware, and the key that signs them: the format of docs/firmware.md, written
independently of the recorder's own signer.
"""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NEWER = "99.0.1"
BOARD = "host"
HEAD_BYTES = 182
SIGNED_BYTES = 108


class Signer:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def der(self) -> bytes:
        """Of the public key."""
        return self._public(serialization.Encoding.DER)

    def fingerprint(self) -> str:
        return hashlib.sha256(self.der()).hexdigest()[:16]

    def lines(self) -> list[str]:
        """What is typed on the serial line of a camera that shall trust it."""
        pem = self._public(serialization.Encoding.PEM).decode().splitlines()
        return ["update-key <<PEM", *pem, "PEM"]

    def image(self, program: bytes, *, version: str = NEWER, board: str = BOARD) -> bytes:
        """The whole file."""
        head = struct.pack(
            "<8s32s32sI32s", b"ROOSTFW1", board.encode(), version.encode(), len(program),
            hashlib.sha256(program).digest(),
        )  # fmt: skip
        signature = self._key.sign(head, ec.ECDSA(hashes.SHA256()))
        return head + struct.pack("<H72s", len(signature), signature) + program

    def _public(self, encoding: serialization.Encoding) -> bytes:
        return self._key.public_key().public_bytes(
            encoding, serialization.PublicFormat.SubjectPublicKeyInfo
        )
