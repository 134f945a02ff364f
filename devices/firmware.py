"""The firmware catalogue: signed images, and the keys that are trusted; the only writer of both.

The file is on the disk before its row is committed: without a row nobody is given a file, and a
file that was left over is replaced when the same image is uploaded again. Synchronous: call from a thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from devices import firmware_image
from devices.exceptions import FirmwareInUse, FirmwareRefused, UnknownFirmware
from devices.firmware_image import MAX_FILE_BYTES, BadFirmware, Header
from devices.firmware_models import UNDER_WAY, FirmwareImage, Rollout, UpdateKey, firmware_directory

MAX_KEYS = 20
MAX_IMAGES = 100  # 400 MB at the very most


def add_key(*, name: str, pem: str, by: str) -> UpdateKey:
    """Firmware signed with it may be uploaded from now on. Raises FirmwareRefused."""
    try:
        key = firmware_image.read_public_key(pem)
    except BadFirmware as error:
        raise FirmwareRefused("pem", str(error)) from error
    short_id = firmware_image.short_id(key)
    with transaction.atomic():
        known = UpdateKey.objects.filter(short_id=short_id).first()
        if known is not None:
            raise FirmwareRefused("pem", f"This key is trusted already, as {known.name}")
        if UpdateKey.objects.count() >= MAX_KEYS:
            raise FirmwareRefused("pem", f"There are {MAX_KEYS} keys already; delete one first")
        return UpdateKey.objects.create(
            name=name, short_id=short_id, public_pem=firmware_image.public_pem(key), added_by=by
        )


def delete_key(*, key_pk: int) -> None:
    """What it signed is given to no camera any more. Raises UnknownFirmware, and FirmwareInUse
    while such an image is being rolled out.
    """
    with transaction.atomic():
        key = UpdateKey.objects.filter(pk=key_pk).first()
        if key is None:
            raise UnknownFirmware("There is no such key")
        used = Rollout.objects.filter(state__in=UNDER_WAY, image__signer=key.short_id)
        if used.exists():
            raise FirmwareInUse(
                "Firmware signed with this key is being rolled out; stop that first"
            )
        key.delete()


def add_image(*, file: BinaryIO, size_bytes: int, notes: str, by: str) -> FirmwareImage:
    """Kept only when its signature is of a trusted key. Raises FirmwareRefused with the reason, and
    OSError where the disk refuses; nothing is left behind then.
    """
    if size_bytes > MAX_FILE_BYTES:
        raise FirmwareRefused("file", f"The file has more than {MAX_FILE_BYTES} bytes")
    data = file.read(MAX_FILE_BYTES + 1)
    try:
        header = firmware_image.read(data)
    except BadFirmware as error:
        raise FirmwareRefused("file", str(error)) from error
    signer = _trusted_signer(header)
    if FirmwareImage.objects.count() >= MAX_IMAGES:
        raise FirmwareRefused("file", f"There are {MAX_IMAGES} images already; delete one first")
    image = FirmwareImage(
        board=header.board,
        version=header.version,
        size_bytes=header.file_bytes,
        sha256=header.sha256.hex(),
        signer=signer,
        notes=notes,
        uploaded_by=by,
    )
    try:
        # The row first: it says whether the name is free, also to whoever uploads at the same time.
        with transaction.atomic():
            image.save()
            _write(image.path, data)
    except IntegrityError as error:
        raise FirmwareRefused(
            "file",
            f"{image} is in the catalogue already; give a new build a new version, as cameras take"
            " only what is newer than theirs",
        ) from error
    return image


def delete_image(*, image_pk: int) -> None:
    """With its file and the history of its roll-outs. Raises UnknownFirmware, and FirmwareInUse
    while it is being rolled out.
    """
    with transaction.atomic():
        image = FirmwareImage.objects.select_for_update().filter(pk=image_pk).first()
        if image is None:
            raise UnknownFirmware("There is no such firmware")
        if image.rollouts.filter(state__in=UNDER_WAY).exists():
            raise FirmwareInUse("This firmware is being rolled out; stop that first")
        path = image.path
        image.rollouts.all().delete()
        try:
            image.delete()
        except ProtectedError as error:  # a roll-out began in between
            raise FirmwareInUse("This firmware is being rolled out; stop that first") from error
        # A file without a row is given to nobody, so it may also outlive a crash here.
        transaction.on_commit(lambda: path.unlink(missing_ok=True))


def _trusted_signer(header: Header) -> str:
    keys = [firmware_image.read_public_key(row.public_pem) for row in UpdateKey.objects.all()]
    if not keys:
        raise FirmwareRefused(
            "file", "No update key is trusted yet: add the public key that it was signed with first"
        )
    signer = firmware_image.signer_of(header, keys)
    if signer is None:
        raise FirmwareRefused(
            "file", "It was signed with none of the trusted update keys, or changed after that"
        )
    return firmware_image.short_id(signer)


def _write(path: Path, data: bytes) -> None:
    directory = firmware_directory()
    directory.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
