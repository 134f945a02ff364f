"""Firmware files: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from devices import firmware_image
from devices.firmware_image import BadFirmware

IMAGE = bytes(range(256)) * 5
KEY = firmware_image.new_private_key()


def a_file(image: bytes = IMAGE, *, board: str = "ai-thinker", version: str = "1.3.0") -> bytes:
    return firmware_image.write(image, board=board, version=version, key=KEY)


def test_the_file_is_laid_out_as_cameras_read_it() -> None:
    data = a_file()
    assert data[:8] == b"ROOSTFW1"
    assert data[8:40] == b"ai-thinker".ljust(32, b"\0")
    assert data[40:72] == b"1.3.0".ljust(32, b"\0")
    assert struct.unpack_from("<I", data, 72) == (len(IMAGE),)
    assert data[76:108] == hashlib.sha256(IMAGE).digest()
    (length,) = struct.unpack_from("<H", data, 108)
    assert data[110] == 0x30 and 8 < length <= 72  # a DER sequence
    assert not any(data[110 + length : 182])
    assert data[182:] == IMAGE


def test_what_was_written_is_read_and_its_signer_is_found_among_others() -> None:
    header = firmware_image.read(a_file(version="1.20.3"))
    assert (header.board, header.version, header.image_bytes) == ("ai-thinker", "1.20.3", 1280)
    other = firmware_image.new_private_key().public_key()
    found = firmware_image.signer_of(header, [other, KEY.public_key()])
    assert found is not None
    assert firmware_image.short_id(found) == firmware_image.short_id(KEY.public_key())
    assert firmware_image.signer_of(header, [other]) is None
    assert firmware_image.signer_of(header, []) is None


def test_one_flipped_bit_anywhere_is_noticed() -> None:
    """In the image and its figures by the checks, in the rest of the head by the signature."""
    data = a_file()
    chance = random.Random(5)
    places = [*range(182), *(chance.randrange(182, len(data)) for _ in range(40))]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        try:
            header = firmware_image.read(bytes(changed))
        except BadFirmware:
            continue
        assert firmware_image.signer_of(header, [KEY.public_key()]) is None, place


def test_every_length_but_the_right_one_is_refused() -> None:
    data = a_file()
    for length in [*range(200), len(data) - 1]:
        with pytest.raises(BadFirmware):
            firmware_image.read(data[:length])
    with pytest.raises(BadFirmware, match="cut or longer"):
        firmware_image.read(data + b"\0")


def test_noise_is_refused_with_words() -> None:
    chance = random.Random(7)
    for _ in range(300):
        noise = chance.randbytes(chance.randrange(400))
        for data in (noise, b"ROOSTFW1" + noise):
            with pytest.raises(BadFirmware) as refused:
                firmware_image.read(data)
            assert str(refused.value)


@pytest.mark.parametrize("size", [0, 2**32 - 1, firmware_image.MAX_FILE_BYTES])
def test_a_size_that_cannot_be_is_refused_before_anything_is_read(size: int) -> None:
    data = bytearray(a_file())
    struct.pack_into("<I", data, 72, size)
    with pytest.raises(BadFirmware, match="cannot be"):
        firmware_image.read_header(bytes(data[:182]))


@pytest.mark.parametrize(
    "version", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "1.2.3-rc", "1.2.100000", "1.2.٣"]
)
def test_a_version_is_three_numbers(version: str) -> None:
    with pytest.raises(BadFirmware, match=r"MAJOR\.MINOR\.PATCH"):
        a_file(version=version)


@pytest.mark.parametrize("board", ["", "../etc", "AI", "a b", "a" * 32, "a/b", "ä", ".a"])
def test_a_board_is_a_name_that_can_stand_in_a_path(board: str) -> None:
    with pytest.raises(BadFirmware):
        a_file(board=board)


def test_newer_goes_by_numbers() -> None:
    assert firmware_image.is_newer("1.10.0", "1.9.9")
    assert not firmware_image.is_newer("1.2.0", "1.2.0")
    assert not firmware_image.is_newer("1.1.9", "1.2.0")
    assert not firmware_image.is_newer("1.3.0", "")


def test_an_image_that_no_board_holds_is_not_signed() -> None:
    for image in (b"", bytes(firmware_image.MAX_FILE_BYTES - 181)):
        with pytest.raises(BadFirmware, match="must have"):
            a_file(image)


def test_only_p256_signs() -> None:
    with pytest.raises(BadFirmware, match="P-256"):
        firmware_image.write(
            IMAGE, board="host", version="1.0.0", key=ec.generate_private_key(ec.SECP384R1())
        )


def test_keys_come_as_pem_and_the_private_one_is_not_taken_for_the_public_one() -> None:
    public = firmware_image.public_pem(KEY.public_key())
    assert firmware_image.short_id(firmware_image.read_public_key(public)) == (
        firmware_image.short_id(KEY.public_key())
    )
    with pytest.raises(BadFirmware, match="private key"):
        firmware_image.read_public_key(firmware_image.private_pem(KEY).decode())
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    for pem in ("", "nonsense", public[:60], firmware_image.public_pem(rsa_key)):  # type: ignore[arg-type]
        with pytest.raises(BadFirmware):
            firmware_image.read_public_key(pem)
