"""`manage.py signfirmware`: a key that is its owner's only, and files that cameras take."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from devices import firmware_image


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("signfirmware", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "update.key"
    run("newkey", path)
    return path


@pytest.fixture
def build(tmp_path: Path) -> Path:
    path = tmp_path / "firmware.bin"
    path.write_bytes(b"a program" * 100)
    return path


def sign(build: Path, key: Path, out: Path, version: str = "1.3.0") -> str:
    return run("image", build, "--key", key, "--board", "host", "--version", version, "--out", out)


def test_a_new_key_is_for_its_owner_only_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "update.key"
    said = run("newkey", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = firmware_image.read_private_key(path.read_bytes()).public_key()
    assert firmware_image.public_pem(public) in said
    assert firmware_image.short_id(public) in said
    assert "PRIVATE" not in said
    before = path.read_bytes()
    with pytest.raises(CommandError, match="not overwritten"):
        run("newkey", path)
    assert path.read_bytes() == before


def test_the_key_does_not_lie_in_the_data_directory() -> None:
    path = Path(settings.DATA_DIR) / "update.key"
    with pytest.raises(CommandError, match="data directory"):
        run("newkey", path)
    assert not path.exists()


def test_an_image_is_signed_whole(tmp_path: Path, build: Path, key: Path) -> None:
    out = tmp_path / "new.roost"
    said = sign(build, key, out)
    data = out.read_bytes()
    header = firmware_image.read(data)
    assert (header.board, header.version) == ("host", "1.3.0")
    assert data[firmware_image.HEADER_BYTES :] == build.read_bytes()
    public = firmware_image.read_private_key(key.read_bytes()).public_key()
    assert firmware_image.signer_of(header, [public]) is not None
    assert firmware_image.short_id(public) in said
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_what_cannot_be_signed_is_said_in_a_sentence(
    tmp_path: Path, build: Path, key: Path
) -> None:
    out = tmp_path / "new.roost"
    with pytest.raises(CommandError, match=r"MAJOR\.MINOR\.PATCH"):
        sign(build, key, out, version="1.3")
    with pytest.raises(CommandError, match="No such file"):
        sign(tmp_path / "nowhere.bin", key, out)
    with pytest.raises(CommandError, match="no private key"):
        sign(build, build, out)
    build.write_bytes(bytes(firmware_image.MAX_FILE_BYTES + 1))
    with pytest.raises(CommandError, match="more than"):
        sign(build, key, out)
    assert not out.exists()
