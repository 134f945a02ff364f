"""A colour picture as a sensor sees it (one colour a pixel, linear light), and back.

16 bits a value. Pillow and the standard library only: a picture of 12 megapixels is developed from
a sample of its rows, not from all of it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageMath

Matrix = Sequence[Sequence[float]]  # three rows of three

# IEC 61966-2-1: from XYZ (D65) to linear sRGB.
XYZ_TO_SRGB: Matrix = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)


@dataclass(frozen=True, slots=True)
class Sensor:
    """What raw values mean. `neutral`: how strongly each colour answers to white, 1 the most."""

    black: int
    white: int
    neutral: tuple[float, float, float]
    xyz_to_camera: Matrix


def mosaic(picture: Image.Image, sensor: Sensor) -> bytes:
    """What `sensor` would have measured of an sRGB picture with even sides: RGGB, little-endian."""
    width, height = picture.size
    if picture.mode != "RGB" or width % 2 or height % 2:
        raise ValueError(f"no {picture.mode} picture of {width}x{height} can become raw")
    planes = [
        _measured(band.tobytes(), sensor, answer)
        for band, answer in zip(picture.split(), sensor.neutral, strict=True)
    ]
    red, green, blue = planes
    values = array("H", bytes(2 * width * height))
    for y in range(height):
        start, end = y * width, (y + 1) * width
        first, second = (red, green) if y % 2 == 0 else (green, blue)
        values[start:end:2] = first[start:end:2]
        values[start + 1 : end : 2] = second[start + 1 : end : 2]
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def develop(
    row: Callable[[int], array[int]],
    size: tuple[int, int],
    pattern: tuple[int, ...],
    sensor: Sensor,
    *,
    max_width: int,
) -> Image.Image:
    """An RGB picture of a raw one, at most `max_width` pixels wide: each cell of 2x2 is one pixel.

    `pattern`: the colours of a cell row by row, 0 red, 1 green, 2 blue. `row(y)` gives the values
    of one row in this machine's byte order; of a large picture only some are asked for.
    """
    step = 2 * max(1, size[0] // 2 // max_width)
    columns, rows = size[0] // step, size[1] // step
    planes = [array("H") for _ in range(4)]
    for y in range(0, rows * step, step):
        upper, lower = row(y), row(y + 1)
        for plane, values, start in zip(
            planes, (upper, upper, lower, lower), (0, 1, 0, 1), strict=True
        ):
            plane.extend(values[start : columns * step : step])
    lights = [
        _light(plane, (columns, rows), sensor, sensor.neutral[colour])
        for plane, colour in zip(planes, pattern, strict=True)
    ]
    shares = srgb_of_camera(sensor)
    picture = Image.merge("RGB", [_mixed(lights, pattern, by_colour) for by_colour in shares])
    if columns <= max_width:
        return picture
    return picture.resize((max_width, max(1, rows * max_width // columns)), Image.Resampling.BOX)


def srgb_of_camera(sensor: Sensor) -> Matrix:
    """From camera colours that are already divided by `neutral`, to linear sRGB; white stays white.

    Raises ZeroDivisionError for a matrix that says nothing.
    """
    from_srgb = _product(sensor.xyz_to_camera, _inverse(XYZ_TO_SRGB))
    # A row's sum is how the camera answers to white, which is what was divided out already.
    return _inverse(tuple(tuple(value / sum(line) for value in line) for line in from_srgb))


def _measured(band: bytes, sensor: Sensor, answer: float) -> array[int]:
    """A byte table each for the low and the high half: a hundred times faster than one by one."""
    span = (sensor.white - sensor.black) * answer
    table = [round(sensor.black + span * _linear(level / 255)) for level in range(256)]
    both = bytearray(2 * len(band))
    both[::2] = band.translate(bytes(value & 255 for value in table))
    both[1::2] = band.translate(bytes(value >> 8 for value in table))
    values = array("H", bytes(both))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _light(plane: array[int], size: tuple[int, int], sensor: Sensor, answer: float) -> Image.Image:
    """Mode F: 0 is black, 1 what white gives, and the most: where the sensor was blinded, a colour
    that answers weakly would seem to go on, and white clouds become pink.
    """
    scale = 1 / (max(1, sensor.white - sensor.black) * max(answer, 0.01))
    image = Image.frombytes("I;16", size, plane.tobytes(), "raw", "I;16N").convert("F")
    image = image.point(lambda value: value * scale + -sensor.black * scale)
    limited: Image.Image = ImageMath.lambda_eval(lambda one: one["min"](one["x"], 1.0), x=image)
    return limited


def _mixed(
    lights: Sequence[Image.Image], pattern: Sequence[int], shares: Sequence[float]
) -> Image.Image:
    """Their sum by the shares of their colours, for people's eyes: 8 bits, sRGB's curve."""
    # Green is there twice in a cell.
    a, b, c, d = (65535 * shares[colour] / pattern.count(colour) for colour in pattern)
    named = dict(zip("abcd", lights, strict=True))
    light: Image.Image = ImageMath.lambda_eval(
        lambda one: one["a"] * a + one["b"] * b + one["c"] * c + one["d"] * d, **named
    )
    return light.convert("I").point(_curve(), "L")  # what is below 0 or above 65535 is clipped here


@cache
def _curve() -> list[int]:
    """From 16 bits of light."""
    return [round(255 * _curved(value / 65535)) for value in range(65536)]


def _curved(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _linear(shown: float) -> float:
    return shown / 12.92 if shown <= 0.04045 else ((shown + 0.055) / 1.055) ** 2.4


def _product(a: Matrix, b: Matrix) -> Matrix:
    columns = tuple(zip(*b, strict=True))
    return tuple(
        tuple(sum(x * y for x, y in zip(line, column, strict=True)) for column in columns)
        for line in a
    )


def _inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (
        ((e * i - f * h) / whole, (c * h - b * i) / whole, (b * f - c * e) / whole),
        ((f * g - d * i) / whole, (a * i - c * g) / whole, (c * d - a * f) / whole),
        ((d * h - e * g) / whole, (b * g - a * h) / whole, (a * e - b * d) / whole),
    )
