"""A frame counter painted into the picture itself, so that lost frames can be counted anywhere.

The top rows of a picture carry 80 bits as dark and light cells: counter (24), camera (8), time in
ms (32) and a CRC-16 (CCITT, start 0xFFFF). Cells are whole 8x8 JPEG blocks, at least one block
wide and high, which is what survives x264 at crf 40 (tests/capture/test_counting.py). A picture
whose check fails reads as None: damage is never mistaken for another number.
"""

from __future__ import annotations

import binascii
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

BLOCK = 8  # pixels: one JPEG block
BITS = 80
DARK, LIGHT = 28, 212  # luma; far apart enough for crf 40, without the glare of pure white
COUNTER_MODULO = 1 << 24  # 19 days at 10 frames/s
CAMERA_MODULO = 1 << 8
TIME_MODULO_MS = 1 << 32  # 49 days: the reader takes the moment nearest to its own clock
MIN_CONTRAST = 40  # luma between the lightest and the darkest cell


@dataclass(frozen=True, slots=True)
class Stamp:
    """`counter` and `camera` are modulo COUNTER_MODULO and CAMERA_MODULO; `time_ms` is epoch ms."""

    counter: int
    camera: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the cells are in a picture of this width; all lengths are multiples of BLOCK pixels."""

    columns: int
    rows: int
    cell_width: int
    cell_height: int

    @property
    def height(self) -> int:
        return self.rows * self.cell_height


def layout(width: int) -> Layout:
    """Raises ValueError below 160 pixels (QQVGA), where cells would be smaller than a block."""
    if width < 160:
        raise ValueError(f"a counter needs a picture at least 160 pixels wide, not {width}")
    columns = 40 if width >= 320 else 20
    return Layout(
        columns=columns,
        rows=BITS // columns,
        cell_width=width // columns // BLOCK * BLOCK,
        cell_height=BLOCK if width < 1024 else 2 * BLOCK,
    )


def encode(stamp: Stamp) -> str:
    """The 80 cells in reading order, "1" for light."""
    body = (
        (stamp.counter % COUNTER_MODULO).to_bytes(3, "big")
        + (stamp.camera % CAMERA_MODULO).to_bytes(1, "big")
        + (stamp.time_ms % TIME_MODULO_MS).to_bytes(4, "big")
    )
    code = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    return f"{int.from_bytes(code, 'big'):0{BITS}b}"


def decode(cells: str, *, now_ms: int | None = None) -> Stamp | None:
    """None where the check code does not fit. The time is the one nearest to `now_ms` (or now)."""
    code = int(cells, 2).to_bytes(BITS // 8, "big")
    body, check = code[:8], code[8:]
    if binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big") != check:
        return None
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    ahead = (int.from_bytes(body[4:], "big") - now) % TIME_MODULO_MS
    if ahead >= TIME_MODULO_MS // 2:
        ahead -= TIME_MODULO_MS
    return Stamp(counter=int.from_bytes(body[:3], "big"), camera=body[3], time_ms=now + ahead)


def paint(image: Image.Image, stamp: Stamp) -> None:
    """Over the top rows of an RGB or grey picture, in place."""
    grid = layout(image.width)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width - 1, grid.height - 1), fill=_grey(image, DARK))
    for cell, (x, y) in zip(encode(stamp), _corners(grid), strict=True):
        if cell == "1":
            box = (x, y, x + grid.cell_width - 1, y + grid.cell_height - 1)
            draw.rectangle(box, fill=_grey(image, LIGHT))


def _grey(image: Image.Image, level: int) -> int | tuple[int, int, int]:
    return level if image.mode == "L" else (level, level, level)


def _corners(grid: Layout) -> Iterator[tuple[int, int]]:
    for row in range(grid.rows):
        for column in range(grid.columns):
            yield column * grid.cell_width, row * grid.cell_height


def read_luma(luma: Any, *, stride: int, width: int, now_ms: int | None = None) -> Stamp | None:
    """From the 8-bit luma plane of a decoded frame (any buffer, `stride` bytes a row).

    `width` is the width at which the counter was painted: a scaled picture reads as None.
    """
    grid = layout(width)
    plane = memoryview(luma)
    # Only the middle half of a cell counts: its edges are where compression rings.
    inset_x, inset_y = grid.cell_width // 4, grid.cell_height // 4
    samples = (grid.cell_width - 2 * inset_x) * (grid.cell_height - 2 * inset_y)
    levels = []
    for x, y in _corners(grid):
        total = 0
        for row in range(y + inset_y, y + grid.cell_height - inset_y):
            start = row * stride + x
            total += sum(plane[start + inset_x : start + grid.cell_width - inset_x])
        levels.append(total / samples)
    low, high = min(levels), max(levels)
    if high - low < MIN_CONTRAST:
        return None
    middle = (low + high) / 2
    cells = "".join("1" if level > middle else "0" for level in levels)
    return decode(cells, now_ms=now_ms)


def read_image(image: Image.Image, *, now_ms: int | None = None) -> Stamp | None:
    grey = image.convert("L")
    top = grey.crop((0, 0, grey.width, layout(grey.width).height))
    return read_luma(top.tobytes(), stride=top.width, width=top.width, now_ms=now_ms)


def read_jpeg(data: bytes, *, now_ms: int | None = None) -> Stamp | None:
    """From one whole JPEG; None where it is too damaged to decode or carries no counter."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft("L", image.size)  # leaves the colours undecoded
            return read_image(image, now_ms=now_ms)
    except (OSError, ValueError, SyntaxError):
        return None
