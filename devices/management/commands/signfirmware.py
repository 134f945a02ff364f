"""`manage.py signfirmware`: makes the key that firmware is signed with, and signs images.

Best run on another machine than the recorder: whoever has the private key can put a program into
every camera. Neither the data directory nor the database ever sees it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import firmware_image
from devices.firmware_image import BadFirmware

_MAX_KEY_FILE_BYTES = 16 * 1024


class Command(BaseCommand):
    help = "Makes a key pair for firmware, or signs an image with it."
    requires_system_checks = ()  # no database, no recorder

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        newkey = kinds.add_parser("newkey", help="make a private key (ECDSA P-256, PEM, mode 0600)")
        newkey.add_argument("path", type=Path, help="the file to make; never overwritten")
        image = kinds.add_parser("image", help="sign an image")
        image.add_argument("image", type=Path, help="what the build made: firmware.bin")
        image.add_argument("--key", type=Path, required=True, help="the private key's file")
        image.add_argument("--board", required=True, help="as the camera names it: ai-thinker")
        image.add_argument("--version", required=True, dest="firmware_version", help="1.3.0")
        image.add_argument("--out", type=Path, required=True, help="the file to make: FILE.roost")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        try:
            if options["kind"] == "newkey":
                self._make_key(options["path"])
            else:
                self._sign(options)
        except BadFirmware as error:
            raise CommandError(f"{error}.") from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error

    def _make_key(self, path: Path) -> None:
        if path.resolve().is_relative_to(Path(settings.DATA_DIR).resolve()):
            raise CommandError("The private key must not lie in the recorder's data directory.")
        key = firmware_image.new_private_key()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise CommandError(f"{path} is there already and is not overwritten.") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(firmware_image.private_pem(key))
            file.flush()
            os.fsync(file.fileno())
        public = key.public_key()
        self.stdout.write(firmware_image.public_pem(public).rstrip())
        self.stdout.write(f"Short id: {firmware_image.short_id(public)}")

    def _sign(self, options: dict[str, Any]) -> None:
        key = firmware_image.read_private_key(_read(options["key"], _MAX_KEY_FILE_BYTES))
        data = firmware_image.write(
            _read(options["image"], firmware_image.MAX_FILE_BYTES),
            board=options["board"],
            version=options["firmware_version"],
            key=key,
        )
        out: Path = options["out"]
        part = out.with_name(out.name + ".part")
        part.write_bytes(data)
        part.replace(out)
        signer = firmware_image.short_id(key.public_key())
        self.stdout.write(
            f"{out}: {options['board']} {options['firmware_version']}, {len(data)} bytes,"
            f" signed with the key {signer}"
        )


def _read(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise CommandError(f"{path} has more than {max_bytes} bytes.")
    return data
