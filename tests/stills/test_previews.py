"""A preview of whatever was captured, and none of what cannot be shown."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from stills import decoding, previews
from stills.media import dng
from tests.stills import captured


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One file of each kind."""
    place = tmp_path_factory.mktemp("good")
    source = "testsrc2=size=800x600:rate=10"
    return {
        "jpg": captured.jpeg(captured.painted()),
        "dng": captured.raw(),
        "mp4": captured.video(place / "a.mp4", source, frames=5).read_bytes(),
        "h264": captured.video(place / "a.h264", source, frames=5).read_bytes(),
    }


def preview(tmp_path: Path, kind: str, data: bytes) -> Image.Image | None:
    """None where there is none, and then nothing must lie there either."""
    path, into = tmp_path / "captured", tmp_path / "previews" / "one.jpg"
    into.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    if not previews.make_preview(path, kind, into):
        assert list(into.parent.iterdir()) == []
        return None
    assert list(into.parent.iterdir()) == [into]
    image = Image.open(io.BytesIO(into.read_bytes()), formats=("JPEG",))
    image.load()
    return image


def halves(picture: Image.Image) -> tuple[list[float], list[float]]:
    middle = picture.width // 2
    return (
        ImageStat.Stat(picture.crop((0, 0, middle, picture.height))).mean,
        ImageStat.Stat(picture.crop((middle, 0, picture.width, picture.height))).mean,
    )


@pytest.mark.parametrize("kind", ["jpg", "dng", "mp4", "h264"])
def test_every_kind_has_one_640_pixels_wide(
    kind: str, good: dict[str, bytes], tmp_path: Path
) -> None:
    image = preview(tmp_path, kind, good[kind])
    assert image is not None
    assert image.size == (640, 480)


def test_a_small_picture_stays_as_it_is(tmp_path: Path) -> None:
    image = preview(tmp_path, "jpg", captured.jpeg(captured.painted((320, 200))))
    assert image is not None
    assert image.size == (320, 200)


def test_a_small_picture_that_is_cut_off_has_none(tmp_path: Path) -> None:
    data = captured.jpeg(captured.painted((320, 200)))
    assert preview(tmp_path, "jpg", data[: len(data) // 2]) is None


@pytest.mark.parametrize("has_preview", [True, False], ids=["embedded", "developed"])
def test_a_raw_picture_shows_its_colours(has_preview: bool, tmp_path: Path) -> None:
    image = preview(tmp_path, "dng", captured.raw(has_preview=has_preview))
    assert image is not None
    for found, wanted in zip(halves(image), halves(captured.painted()), strict=True):
        assert found == pytest.approx(wanted, abs=4)


def test_a_raw_picture_whose_own_preview_is_broken_is_developed(tmp_path: Path) -> None:
    data = bytearray(captured.raw())
    shown = dng.preview_of(io.BytesIO(bytes(data)))
    assert shown is not None
    at = bytes(data).index(shown)
    data[at + len(shown) // 2 : at + len(shown)] = bytes(len(shown) - len(shown) // 2)
    path = tmp_path / "captured"
    path.write_bytes(bytes(data))
    image = preview(tmp_path, "dng", bytes(data))
    assert image is not None
    assert image.size == (400, 300), "developed: one pixel of each cell of 2x2"


def test_bad_files_have_none(good: dict[str, bytes], tmp_path: Path) -> None:
    for kind, data in captured.bad_files(good):
        if kind == "h264" and data == good["mp4"]:
            continue  # start codes are sought anywhere, and now and then one is found
        assert preview(tmp_path, kind, data) is None, (kind, data[:20])


def test_a_file_that_is_missing_has_none(tmp_path: Path) -> None:
    for kind in ("jpg", "dng", "mp4", "h264"):
        assert not previews.make_preview(tmp_path / "missing", kind, tmp_path / "one.jpg")


def test_it_is_not_waited_for_longer_than_that(
    good: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PICTURE_S", 0.001)
    assert preview(tmp_path, "mp4", good["mp4"]) is None
    with pytest.raises(ChildProcessError):  # nobody is left, not even a zombie
        os.waitpid(-1, os.WNOHANG)


def test_where_it_cannot_be_written_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "captured"
    path.write_bytes(captured.jpeg(captured.painted()))
    assert not previews.make_preview(path, "jpg", tmp_path / "missing" / "one.jpg")
