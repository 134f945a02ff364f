"""Adobe DNG 1.4: raw pictures as a sensor measured them.

Written: a JPEG in the first directory for everybody who only wants to see, the raw picture below it
as Adobe recommends; without a JPEG the raw picture is the first. Read: what cameras of a Raspberry
Pi, and others, leave: a JPEG preview, or uncompressed values that are developed here.
"""

from __future__ import annotations

import contextlib
import io
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from stills.media import bayer, tiff
from stills.media.bayer import Sensor
from stills.media.tiff import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Directory,
    Entry,
)

# Its colours are those of sRGB; as of most sensors, green is the most sensitive.
NEUTRAL = (0.5, 1.0, 0.625)
SENSOR = Sensor(
    black=4096,
    white=65535,
    neutral=NEUTRAL,
    xyz_to_camera=tuple(
        tuple(value * answer for value in line)
        for line, answer in zip(bayer.XYZ_TO_SRGB, NEUTRAL, strict=True)
    ),
)
MAX_PREVIEW_BYTES = 32 * 1024**2
MAX_SIDE = 20_000  # pixels; no sensor has that many
MAX_JPEG_PIXELS = 100_000_000
MAX_THUMBNAIL_PIXELS = 4_000_000
# By its name, row by row: 0 red, 1 green, 2 blue.
_PATTERNS = {"RGGB": (0, 1, 1, 2), "BGGR": (2, 1, 1, 0), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1)}
_UNCOMPRESSED, _OLD_JPEG, _JPEG = 1, 6, 7
_RGB, _YCBCR, _CFA = 2, 6, 32803
_D65 = 21
_DENOMINATOR = 10_000


@dataclass(frozen=True, slots=True)
class Raw:
    """One raw picture and what is known of it. `values`: 16 bits each, little-endian, by rows."""

    values: bytes
    width: int
    height: int
    when: datetime  # aware
    model: str
    sensor: Sensor = SENSOR
    pattern: str = "RGGB"


class _Places(NamedTuple):
    """Where in the file something begins."""

    exif: int = 0
    below: int = 0
    preview: int = 0
    raw: int = 0


def write_dng(into: Path | BinaryIO, raw: Raw, preview_jpeg: bytes | None = None) -> None:
    """`preview_jpeg`: one whole JPEG, its colours halved both ways (4:2:0). Raises OSError, and
    ValueError for what does not fit together.
    """
    if len(raw.values) != 2 * raw.width * raw.height or raw.pattern not in _PATTERNS:
        raise ValueError(f"{len(raw.values)} bytes are no {raw.width}x{raw.height} {raw.pattern}")
    preview = preview_jpeg or b""
    # Directories name places behind them: the first round only measures how long they are.
    _, places = _head(raw, preview, _Places())
    head, places = _head(raw, preview, places)
    gap = bytes(places.raw - len(head) - len(preview))
    with _opened(into, "wb") as file:
        for part in (head, preview, gap, raw.values):
            file.write(part)


def preview_of(source: Path | BinaryIO) -> bytes | None:
    """The largest JPEG that the file has for those who only want to see; None without one.

    Raises OSError only: what is no DNG has no preview.
    """
    best: bytes | None = None
    with _opened(source, "rb") as file, contextlib.suppress(tiff.TiffError):
        for directory in tiff.directories(file):  # never more than two in memory
            data = _jpeg_in(directory)
            if data and (best is None or _area(data) > _area(best)):
                best = data
    return best


def size_of(source: Path | BinaryIO) -> tuple[int, int]:
    """Of the raw picture, in pixels. Raises ValueError where there is none, OSError."""
    with _opened(source, "rb") as file:
        directory = _raw_in(tiff.directories(file))
        return _sides(directory)


def render(source: Path | BinaryIO, *, max_width: int) -> Image.Image | None:
    """The raw picture developed, or the uncompressed thumbnail where it is compressed or packed;
    None where neither can be shown. Raises OSError only.
    """
    with _opened(source, "rb") as file:
        try:
            found = tiff.directories(file)
        except tiff.TiffError:
            return None
        with contextlib.suppress(tiff.TiffError, ArithmeticError):
            return _developed(_raw_in(found), found[0], max_width)
        for directory in found:
            with contextlib.suppress(tiff.TiffError):
                return _thumbnail(directory)
    return None


# --- written --------------------------------------------------------------------------------------


def _head(raw: Raw, preview: bytes, places: _Places) -> tuple[bytes, _Places]:
    """All directories, with `places` in them, and where everything then is."""
    if preview:
        first = [*_preview_entries(preview, places), Entry(tiff.SUB_IFDS, LONG, (places.below,))]
    else:
        first = _raw_entries(raw, places)
    head = b"II*\0\x08\0\0\0"
    head += tiff.encode([*first, *_camera_entries(raw, places)], len(head))
    exif = len(head)
    head += tiff.encode(_exif_entries(raw), exif)
    below = len(head)
    if preview:
        head += tiff.encode(_raw_entries(raw, places), below)
    end = len(head) + len(preview)
    return head, _Places(exif, below, len(head), end + end % 2)


def _preview_entries(preview: bytes, places: _Places) -> list[Entry]:
    width, height = _jpeg_size(preview)
    return [
        Entry(254, LONG, (1,)),  # NewSubfileType: a smaller version of another picture
        Entry(256, LONG, (width,)),
        Entry(257, LONG, (height,)),
        Entry(258, SHORT, (8, 8, 8)),
        Entry(259, SHORT, (_JPEG,)),
        Entry(262, SHORT, (_YCBCR,)),
        Entry(273, LONG, (places.preview,)),  # StripOffsets
        Entry(277, SHORT, (3,)),  # SamplesPerPixel
        Entry(278, LONG, (height,)),  # RowsPerStrip
        Entry(279, LONG, (len(preview),)),  # StripByteCounts
        Entry(284, SHORT, (1,)),  # PlanarConfiguration
        Entry(530, SHORT, (2, 2)),  # YCbCrSubSampling
        Entry(532, RATIONAL, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),  # full range
    ]


def _raw_entries(raw: Raw, places: _Places) -> list[Entry]:
    return [
        Entry(254, LONG, (0,)),  # the main picture
        Entry(256, LONG, (raw.width,)),
        Entry(257, LONG, (raw.height,)),
        Entry(258, SHORT, (16,)),
        Entry(259, SHORT, (_UNCOMPRESSED,)),
        Entry(262, SHORT, (_CFA,)),
        Entry(273, LONG, (places.raw,)),
        Entry(277, SHORT, (1,)),
        Entry(278, LONG, (raw.height,)),
        Entry(279, LONG, (len(raw.values),)),
        Entry(284, SHORT, (1,)),
        Entry(33421, SHORT, (2, 2)),  # CFARepeatPatternDim
        Entry(33422, BYTE, _PATTERNS[raw.pattern]),
        Entry(50710, BYTE, (0, 1, 2)),  # CFAPlaneColor
        Entry(50711, SHORT, (1,)),  # CFALayout: a square grid
        Entry(50713, SHORT, (1, 1)),  # BlackLevelRepeatDim
        Entry(50714, LONG, (raw.sensor.black,)),
        Entry(50717, LONG, (raw.sensor.white,)),
    ]


def _camera_entries(raw: Raw, places: _Places) -> list[Entry]:
    """What belongs in the first directory, whatever picture that describes."""
    matrix = [value for line in raw.sensor.xyz_to_camera for value in line]
    return [
        _text(271, raw.model.partition(" ")[0]),
        _text(272, raw.model),
        Entry(274, SHORT, (1,)),  # Orientation: as it lies
        _text(305, "Roost"),
        _text(306, f"{raw.when:%Y:%m:%d %H:%M:%S}"),
        Entry(34665, LONG, (places.exif,)),
        Entry(50706, BYTE, (1, 4, 0, 0)),  # DNGVersion
        Entry(50707, BYTE, (1, 1, 0, 0)),  # DNGBackwardVersion: nothing newer is used
        _text(50708, raw.model),  # UniqueCameraModel
        Entry(50721, SRATIONAL, _rationals(matrix)),  # ColorMatrix1
        Entry(50728, RATIONAL, _rationals(raw.sensor.neutral)),  # AsShotNeutral
        Entry(50778, SHORT, (_D65,)),  # CalibrationIlluminant1
    ]


def _exif_entries(raw: Raw) -> list[Entry]:
    zone = f"{raw.when:%z}"
    return [
        Entry(36864, UNDEFINED, tuple(b"0231")),  # ExifVersion
        _text(36867, f"{raw.when:%Y:%m:%d %H:%M:%S}"),  # DateTimeOriginal
        _text(36881, f"{zone[:3]}:{zone[3:5]}"),  # OffsetTimeOriginal
        _text(37521, f"{raw.when.microsecond // 1000:03d}"),  # SubSecTimeOriginal
    ]


def _text(tag: int, text: str) -> Entry:
    return Entry(tag, ASCII, tuple(text.encode("ascii", "replace") + b"\0"))


def _rationals(values: Iterable[float]) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * _DENOMINATOR), _DENOMINATOR))


# --- read -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(file: Path | BinaryIO, mode: str) -> Iterator[BinaryIO]:
    if isinstance(file, Path):
        with file.open(mode) as opened:
            yield cast("BinaryIO", opened)
    else:
        yield file


def _jpeg_in(directory: Directory) -> bytes | None:
    """One whole JPEG. What is compressed as JPEG without loss, as raw pictures are, is none."""
    try:
        if directory.number(259) == _JPEG and directory.number(262) in (_RGB, _YCBCR):
            places, sizes = directory.numbers(273), directory.numbers(279)
        elif directory.number(259, _OLD_JPEG) == _OLD_JPEG:
            places, sizes = directory.numbers(513), directory.numbers(514)
        else:
            return None
        if len(places) != 1 or len(sizes) != 1 or not 4 < sizes[0] <= MAX_PREVIEW_BYTES:
            return None
        data = directory.bytes_at(int(places[0]), int(sizes[0]))
    except tiff.TiffError:
        return None
    return data if _area(data) else None


def _raw_in(found: Sequence[Directory]) -> Directory:
    """Raises TiffError where there is none."""
    for directory in found:
        with contextlib.suppress(tiff.TiffError):
            if directory.number(262) == _CFA and directory.number(254) == 0:
                return directory
    raise tiff.TiffError("There is no raw picture in this file.")


def _sides(directory: Directory) -> tuple[int, int]:
    width, height = directory.number(256), directory.number(257)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise tiff.TiffError(f"A picture of {width}x{height}.")
    return width, height


class _Rows:
    """The rows of an uncompressed picture, wherever its strips are (or its tiles of full width)."""

    def __init__(self, directory: Directory, row_bytes: int) -> None:
        if directory.number(259, _UNCOMPRESSED) != _UNCOMPRESSED:
            raise tiff.TiffError("The picture is compressed.")
        width, height = _sides(directory)
        is_tiled = 324 in directory.entries
        if is_tiled and directory.number(322) != width:
            raise tiff.TiffError("The picture is cut into tiles.")
        self._directory = directory
        self._row_bytes = row_bytes
        self._places = directory.numbers(324 if is_tiled else 273)
        self._rows_each = directory.number(323 if is_tiled else 278, height)
        if self._rows_each < 1 or len(self._places) * self._rows_each < height:
            raise tiff.TiffError("The picture has too few strips.")

    def row(self, y: int) -> bytes:
        strip, inside = divmod(y, self._rows_each)
        place = int(self._places[strip]) + inside * self._row_bytes
        return self._directory.bytes_at(place, self._row_bytes)


def _developed(directory: Directory, first: Directory, max_width: int) -> Image.Image:
    """Raises TiffError, and ArithmeticError for figures that cannot be calculated with."""
    width, height = _sides(directory)
    pattern = tuple(int(value) for value in directory.numbers(33422))
    if (
        min(width, height) < 2
        or directory.numbers(258) != (16,)
        or pattern not in _PATTERNS.values()
    ):
        raise tiff.TiffError("Only values of 16 bits in a pattern of 2x2 are developed.")
    rows = _Rows(directory, 2 * width)
    is_swapped = (directory.order == "<") != (sys.byteorder == "little")

    def row(y: int) -> array[int]:
        values = array("H", rows.row(y))
        if is_swapped:
            values.byteswap()
        return values

    matrix, neutral = first.numbers(50721), first.numbers(50728)
    sensor = Sensor(
        black=directory.number(50714),
        white=directory.number(50717, 65535),
        neutral=_three(neutral) if len(neutral) == 3 else NEUTRAL,
        xyz_to_camera=(
            (_three(matrix[:3]), _three(matrix[3:6]), _three(matrix[6:]))
            if len(matrix) == 9
            else SENSOR.xyz_to_camera
        ),
    )
    return bayer.develop(row, (width, height), pattern, sensor, max_width=max_width)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _thumbnail(directory: Directory) -> Image.Image:
    """Raises TiffError where it is none of three colours, or compressed."""
    width, height = _sides(directory)
    is_rgb = directory.number(262) == _RGB and directory.numbers(258) == (8, 8, 8)
    if not is_rgb or width * height > MAX_THUMBNAIL_PIXELS:
        raise tiff.TiffError("That is no thumbnail.")
    rows = _Rows(directory, 3 * width)
    return Image.frombytes("RGB", (width, height), b"".join(map(rows.row, range(height))))


def _area(data: bytes) -> int:
    """Of a JPEG, in pixels; 0 for what is none or unbelievably large."""
    try:
        width, height = _jpeg_size(data)
    except (OSError, SyntaxError, ValueError):
        return 0
    return width * height if width * height <= MAX_JPEG_PIXELS else 0


def _jpeg_size(data: bytes) -> tuple[int, int]:
    with JpegImageFile(io.BytesIO(data)) as image:  # only its head is read
        return image.size
