"""Raw pictures as LibRaw and ExifTool read them, and files that are none."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
import sys
from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageStat

from stills.media import bayer, dng, tiff
from stills.media.bayer import Sensor
from stills.media.tiff import BYTE, LONG, SHORT, Entry

SIZE = (96, 64)
WHEN = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
PATCHES = ((200, 60, 40), (60, 170, 70), (50, 80, 190), (128, 128, 128))
# As of a real sensor: each of its colours sees some of the others.
MIXING = Sensor(
    black=1024,
    white=60_000,
    neutral=(0.55, 1.0, 0.7),
    xyz_to_camera=((0.70, -0.13, -0.09), (-0.43, 1.23, 0.21), (-0.09, 0.24, 0.51)),
)


def painted() -> Image.Image:
    """Four fields side by side."""
    picture = Image.new("RGB", SIZE)
    draw = ImageDraw.Draw(picture)
    for number, colour in enumerate(PATCHES):
        draw.rectangle((24 * number, 0, 24 * number + 23, SIZE[1]), fill=colour)
    return picture


def jpeg(size: tuple[int, int] = (48, 32)) -> bytes:
    data = io.BytesIO()
    painted().resize(size).save(data, "JPEG", subsampling="4:2:0")
    return data.getvalue()


def written(preview: bytes | None = None, sensor: Sensor = dng.SENSOR) -> bytes:
    values = bayer.mosaic(painted(), sensor)
    data = io.BytesIO()
    dng.write_dng(data, dng.Raw(values, *SIZE, WHEN, "Roost test camera", sensor), preview)
    return data.getvalue()


def fields(picture: Image.Image) -> list[list[float]]:
    """The mean colour of each field, away from its edges."""
    wide = picture.width // 4
    boxes = [
        (wide * number + wide // 4, 2, wide * number + 3 * wide // 4, picture.height - 2)
        for number in range(4)
    ]
    return [ImageStat.Stat(picture.crop(box)).mean for box in boxes]


def is_near(found: list[list[float]], wanted: Any, tolerance: float) -> bool:
    return all(
        abs(a - b) <= tolerance
        for one, other in zip(found, wanted, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def rawpy() -> Any:
    return pytest.importorskip("rawpy", reason="there is no LibRaw for this processor")


def by_libraw(data: bytes) -> Image.Image:
    with rawpy().imread(io.BytesIO(data)) as raw:
        # The curve of sRGB (IEC 61966-2-1).
        shown = raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92))
    return Image.fromarray(shown)


def file_of(*directories: list[Entry], beyond: bytes = b"") -> io.BytesIO:
    """A TIFF whose first directory names the others as those below it; `beyond` is at 4096."""
    at, bodies = 8, b""
    places = []
    rest = directories[1:]
    first = [*directories[0], Entry(tiff.SUB_IFDS, LONG, (0,) * len(rest))]
    at += len(tiff.encode(first, at))
    for entries in rest:
        places.append(at)
        body = tiff.encode(entries, at)
        bodies += body
        at += len(body)
    if rest:
        first[-1] = Entry(tiff.SUB_IFDS, LONG, tuple(places))
    else:
        first.pop()
    data = b"II*\0\x08\0\0\0" + tiff.encode(first, 8) + bodies
    assert len(data) <= 4096
    return io.BytesIO(data.ljust(4096, b"\0") + beyond)


def raw_entries(*, compression: int = 1, rows_per_strip: int = SIZE[1]) -> list[Entry]:
    """As LibTIFF writes them for libcamera: as many strips as rows where that is asked for."""
    strips = -(-SIZE[1] // rows_per_strip)
    strip_bytes = 2 * SIZE[0] * rows_per_strip
    return [
        Entry(254, LONG, (0,)),
        Entry(256, LONG, (SIZE[0],)),
        Entry(257, LONG, (SIZE[1],)),
        Entry(258, SHORT, (16,)),
        Entry(259, SHORT, (compression,)),
        Entry(262, SHORT, (32803,)),
        Entry(273, LONG, tuple(4096 + strip_bytes * number for number in range(strips))),
        Entry(278, SHORT, (rows_per_strip,)),
        Entry(279, LONG, (strip_bytes,) * strips),
        Entry(33421, SHORT, (2, 2)),
        Entry(33422, BYTE, (0, 1, 1, 2)),
        Entry(50714, SHORT, (dng.SENSOR.black,) * 4),
        Entry(50717, LONG, (dng.SENSOR.white,)),
    ]


def jpeg_entries(data: bytes, offset: int) -> list[Entry]:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        width, height = image.size
    return [
        Entry(254, LONG, (1,)),
        Entry(256, LONG, (width,)),
        Entry(257, LONG, (height,)),
        Entry(259, SHORT, (7,)),
        Entry(262, SHORT, (6,)),
        Entry(273, LONG, (4096 + offset,)),
        Entry(279, LONG, (len(data),)),
    ]


# --- as others read them --------------------------------------------------------------------------


@pytest.mark.parametrize("preview", [None, jpeg()], ids=["alone", "with a preview"])
def test_libraw_sees_the_colours_that_were_painted(preview: bytes | None) -> None:
    data = written(preview)
    with rawpy().imread(io.BytesIO(data)) as raw:
        assert raw.raw_image.shape == (SIZE[1], SIZE[0])
        assert raw.raw_pattern.tolist() == [[0, 1], [3, 2]]
        assert raw.black_level_per_channel == [dng.SENSOR.black] * 4
        assert raw.white_level == dng.SENSOR.white
    assert is_near(fields(by_libraw(data)), PATCHES, 3)


def test_libraw_finds_the_preview_byte_for_byte_up_to_its_head() -> None:
    preview = jpeg()
    with rawpy().imread(io.BytesIO(written(preview))) as raw:
        thumb = raw.extract_thumb()
    assert preview[2:][-500:] == thumb.data[-500:]  # LibRaw puts Exif data at the beginning


@pytest.mark.parametrize("preview", [None, jpeg()], ids=["alone", "with a preview"])
def test_exiftool_has_nothing_to_complain_of(preview: bytes | None, tmp_path: Path) -> None:
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        pytest.skip("this machine has no ExifTool (Debian: libimage-exiftool-perl)")
    path = tmp_path / "picture.dng"
    path.write_bytes(written(preview))
    asked = [
        "-validate",
        "-warning",
        "-error",
        "-DateTimeOriginal",
        "-OffsetTimeOriginal",
        "-Model",
    ]
    said = subprocess.run(
        [exiftool, "-a", "-s3", *asked, path], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == ["OK", "2026:03:04 05:06:07", "+00:00", "Roost test camera"]


def test_a_picture_is_developed_as_libraw_does_it() -> None:
    """For a sensor whose colours are mixtures, so that its matrix matters."""
    data = written(sensor=MIXING)
    developed = dng.render(io.BytesIO(data), max_width=640)
    assert developed is not None
    assert developed.size == (SIZE[0] // 2, SIZE[1] // 2)
    wanted = fields(by_libraw(data))
    assert not is_near(wanted, PATCHES, 15), "the matrix changes nothing, so this proves nothing"
    assert is_near(fields(developed), wanted, 4)


# --- what is read from them -----------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    preview = jpeg()
    path = tmp_path / "picture.dng"
    path.write_bytes(written(preview))
    assert dng.size_of(path) == SIZE
    assert dng.preview_of(path) == preview
    developed = dng.render(path, max_width=640)
    assert developed is not None
    assert is_near(fields(developed), PATCHES, 2)


def test_without_a_preview_there_is_none() -> None:
    assert dng.preview_of(io.BytesIO(written())) is None


def test_the_largest_of_several_previews_is_taken() -> None:
    small, large = jpeg((32, 24)), jpeg((64, 48))
    file = file_of(
        jpeg_entries(small, 0),
        jpeg_entries(large, len(small)),
        jpeg_entries(small, 0),
        beyond=small + large,
    )
    assert dng.preview_of(file) == large


def test_a_raw_picture_compressed_as_jpeg_is_no_preview() -> None:
    data = jpeg()
    lossless = [
        Entry(262, SHORT, (32803,)) if entry.tag == 262 else entry
        for entry in jpeg_entries(data, 0)
    ]
    assert dng.preview_of(file_of(lossless, beyond=data)) is None


@pytest.mark.parametrize("rows_per_strip", [1, 7, SIZE[1]])
def test_strips_of_any_height_are_read(rows_per_strip: int) -> None:
    values = bayer.mosaic(painted(), dng.SENSOR)
    strip_bytes = 2 * SIZE[0] * rows_per_strip
    file = file_of(
        raw_entries(rows_per_strip=rows_per_strip),
        beyond=values.ljust(-(-len(values) // strip_bytes) * strip_bytes, b"\0"),
    )
    developed = dng.render(file, max_width=640)
    assert developed is not None
    assert is_near(fields(developed), PATCHES, 2)


def test_a_big_endian_file_is_read() -> None:
    values = array("H", bayer.mosaic(painted(), dng.SENSOR))
    if sys.byteorder == "little":
        values.byteswap()
    body = b""
    beyond = b""
    entries = raw_entries()
    layouts = {BYTE: "B", SHORT: "H", LONG: "I"}
    for tag, kind, numbers in entries:
        packed = struct.pack(f">{len(numbers)}{layouts[kind]}", *numbers)
        if len(packed) > 4:
            place = struct.pack(">I", 1024 + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(4, b"\0")
        body += struct.pack(">HHI", tag, kind, len(numbers)) + place
    head = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + body + bytes(4)
    file = io.BytesIO((head.ljust(1024, b"\0") + beyond).ljust(4096, b"\0") + values.tobytes())
    assert dng.size_of(file) == SIZE
    developed = dng.render(file, max_width=640)
    assert developed is not None
    assert is_near(fields(developed), PATCHES, 2)


def test_the_thumbnail_is_shown_where_the_raw_picture_is_compressed() -> None:
    thumbnail = painted().resize((24, 16), Image.Resampling.NEAREST)
    shown = [
        Entry(254, LONG, (1,)),
        Entry(256, LONG, (24,)),
        Entry(257, LONG, (16,)),
        Entry(258, SHORT, (8, 8, 8)),
        Entry(262, SHORT, (2,)),
        Entry(273, LONG, (4096,)),
    ]
    file = file_of(shown, raw_entries(compression=7), beyond=thumbnail.tobytes())
    assert dng.size_of(file) == SIZE
    found = dng.render(file, max_width=640)
    assert found is not None
    assert found.tobytes() == thumbnail.tobytes()


def test_a_large_picture_is_developed_small() -> None:
    picture = painted().resize((1400, 80)).filter(ImageFilter.BoxBlur(3))
    data = io.BytesIO()
    values = bayer.mosaic(picture, dng.SENSOR)
    dng.write_dng(data, dng.Raw(values, 1400, 80, WHEN, "Roost test camera"))
    developed = dng.render(data, max_width=200)
    assert developed is not None
    assert developed.width == 200
    assert is_near(fields(developed), PATCHES, 2)


def test_what_blinded_the_sensor_is_white() -> None:
    values = b"\xff\xff" * (SIZE[0] * SIZE[1])
    data = io.BytesIO()
    dng.write_dng(data, dng.Raw(values, *SIZE, WHEN, "Roost test camera", MIXING))
    developed = dng.render(data, max_width=640)
    assert developed is not None
    assert developed.getextrema() == ((255, 255),) * 3


# --- files that are none --------------------------------------------------------------------------


def look_at(data: bytes, *, is_developed: bool) -> None:
    """What is asked of a file; only a refusal in words may come of it. Developing takes 10 ms."""
    file = io.BytesIO(data)
    dng.preview_of(file)
    if is_developed:
        dng.render(file, max_width=32)
    try:
        width, height = dng.size_of(file)
    except ValueError:
        return
    assert 0 < width <= dng.MAX_SIDE
    assert 0 < height <= dng.MAX_SIDE


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0", b"\xff\xd8\xff\xe0", b"not a picture" * 9])
def test_what_is_no_dng_has_nothing(data: bytes) -> None:
    file = io.BytesIO(data)
    assert dng.preview_of(file) is None
    assert dng.render(file, max_width=640) is None
    with pytest.raises(ValueError):
        dng.size_of(file)


def test_a_file_may_end_anywhere() -> None:
    whole = written(jpeg())
    for length in (*range(1200), *range(1200, len(whole), 97)):
        look_at(whole[:length], is_developed=length % 5 == 0)


def test_any_byte_of_its_directories_may_be_wrong() -> None:
    chance = random.Random(20260304)
    whole = written(jpeg())
    for number in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(900)] = chance.choice(
                (0, 1, 127, 128, 255, chance.randrange(256))
            )
        look_at(bytes(data), is_developed=number % 10 == 0)


def test_directories_that_name_each_other_are_walked_once() -> None:
    entries = [Entry(tiff.SUB_IFDS, LONG, (8, 8, 8)), Entry(256, LONG, (1,))]
    body = tiff.encode(entries, 8)
    following = 8 + 2 + 12 * 2
    data = bytearray(b"II*\0\x08\0\0\0" + body)
    data[following : following + 4] = struct.pack("<I", 8)
    assert len(tiff.directories(io.BytesIO(bytes(data)))) == 1


def test_a_count_that_no_file_can_hold_is_refused() -> None:
    body = struct.pack("<HHHII", 1, 273, LONG, 0xFFFFFFFF, 8) + bytes(4)
    (directory,) = tiff.directories(io.BytesIO(b"II*\0\x08\0\0\0" + body))
    with pytest.raises(tiff.TiffError, match="claims"):
        directory.numbers(273)


def test_a_picture_of_unbelievable_size_is_refused() -> None:
    entries = [
        Entry(256, LONG, (0xFFFF_FFFF,)) if entry.tag == 256 else entry for entry in raw_entries()
    ]
    file = file_of(entries)
    with pytest.raises(tiff.TiffError, match="4294967295"):
        dng.size_of(file)
    assert dng.render(file, max_width=640) is None


def test_values_that_do_not_fit_the_size_are_not_written() -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match="96x64"):
        dng.write_dng(file, dng.Raw(b"\0" * 100, *SIZE, WHEN, "Roost test camera"))
    assert file.getvalue() == b""
