"""The landscapes that simulated cameras look at: eight, told apart at a glance.

Only drawing: a `Scene` is a still background and one moving thing. Everything is placed in
fractions of the picture's height, so one description serves every size from QQVGA to UXGA.
`phase` runs from 0 to 1 and ends where it began, so a scene can be played in a loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from capture.simulator_movers import MOVERS

Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw

_SUPERSAMPLE = 2  # drawn twice as large and reduced: Pillow's shapes have hard edges
_GRAIN_SIGMA, _GRAIN_SHARE = 70, 0.010  # well under one grey level of noise, as a sensor by day has
_GRAIN_TILES = 5


@dataclass(frozen=True, slots=True)
class Place:
    sky: tuple[Colour, Colour]  # zenith, horizon
    sun: tuple[float, float, float, Colour]  # x in widths, y and radius in heights, colour
    far: Colour
    near: Colour
    ground: Colour
    lamp: Colour  # windows
    mover: str
    paint: Colour  # the mover's
    seed: float  # shapes the hills
    has_house: bool = True
    has_water: bool = False


PLACES = (
    Place(
        ((92, 156, 214), (222, 236, 240)), (0.80, 0.20, 0.060, (255, 246, 206)),
        (136, 168, 176), (98, 140, 112), (120, 160, 92), (178, 208, 222), "walker", (52, 92, 160), 0.4,
    ),
    Place(
        ((44, 52, 104), (244, 158, 112)), (0.26, 0.50, 0.075, (255, 214, 150)),
        (112, 84, 120), (64, 58, 92), (56, 62, 72), (255, 214, 128), "car", (206, 74, 62), 1.7,
    ),
    Place(
        ((116, 178, 222), (240, 244, 236)), (0.18, 0.16, 0.055, (255, 250, 222)),
        (140, 176, 190), (92, 138, 130), (88, 142, 172), (220, 230, 232), "boat", (228, 106, 84), 2.9, False, True,
    ),
    Place(
        ((10, 16, 40), (44, 58, 98)), (0.74, 0.20, 0.050, (232, 236, 246)),
        (34, 46, 78), (22, 32, 56), (26, 38, 48), (255, 206, 112), "car", (222, 176, 70), 4.1,
    ),
    Place(
        ((150, 190, 226), (248, 232, 214)), (0.60, 0.30, 0.055, (255, 240, 206)),
        (198, 188, 190), (206, 168, 120), (214, 184, 112), (236, 226, 206), "balloon", (214, 84, 70), 5.3,
    ),
    Place(
        ((122, 150, 182), (228, 234, 240)), (0.40, 0.22, 0.050, (255, 252, 242)),
        (186, 202, 216), (206, 220, 230), (232, 238, 244), (255, 222, 158), "walker", (178, 62, 74), 6.6,
    ),
    Place(
        ((92, 58, 116), (252, 186, 140)), (0.68, 0.52, 0.090, (255, 226, 172)),
        (130, 88, 124), (88, 66, 104), (70, 92, 128), (255, 220, 150), "boat", (236, 190, 96), 7.8, False, True,
    ),
    Place(
        ((128, 160, 172), (216, 222, 208)), (0.30, 0.24, 0.050, (250, 246, 226)),
        (150, 160, 140), (176, 118, 74), (136, 116, 72), (244, 216, 160), "balloon", (64, 120, 150), 9.0,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tuning:
    """The sensor's own -2…2 sliders, as `config_update` sends them."""

    brightness: int = 0
    contrast: int = 0
    saturation: int = 0

    def apply(self, image: Image.Image) -> Image.Image:
        for enhancer, value in (
            (ImageEnhance.Brightness, self.brightness),
            (ImageEnhance.Contrast, self.contrast),
            (ImageEnhance.Color, self.saturation),
        ):
            if value:
                image = enhancer(image).enhance(1 + 0.2 * value)
        return image


class Scene:
    """Not thread-safe while it is made; `draw` may then be called from any thread.

    `mover` (RGBA) is what moves over `still`; `path` gives its upper left corner at a phase.
    """

    def __init__(self, number: int, width: int, height: int, tuning: Tuning) -> None:
        self._place = PLACES[number % len(PLACES)]
        self._size = (width, height)
        self._tuning = tuning
        self.still = tuning.apply(_background(self._place, width, height))
        self.mover, self.path = _mover(self._place, width, height)
        self._grain = [
            Image.effect_noise(self._size, _GRAIN_SIGMA).convert("RGB") for _ in range(_GRAIN_TILES)
        ]

    def draw(self, phase: float, index: int) -> Image.Image:
        """A new RGB picture; `index` only chooses the grain."""
        picture = self.still.copy()
        x, y = self.path(phase)
        picture.paste(self.mover, (round(x), round(y)), self.mover)
        # The tiles are shifted by a different amount each time, or the eye sees them return.
        tile = ImageChops.offset(self._grain[index % _GRAIN_TILES], 37 * index, 61 * index)
        return Image.blend(picture, tile, _GRAIN_SHARE)


def _background(place: Place, width: int, height: int) -> Image.Image:
    w, h = width * _SUPERSAMPLE, height * _SUPERSAMPLE
    picture = _gradient(place.sky, w, round(h * 0.66))
    canvas = Image.new("RGB", (w, h), place.ground)
    canvas.paste(picture, (0, 0))
    _sun(canvas, place)
    _clouds(canvas, place)
    _ridge(canvas, place.far, 0.56, 0.075, place.seed)
    _ridge(canvas, _mix(place.far, place.near, 0.5), 0.61, 0.055, place.seed * 2.3)
    draw = ImageDraw.Draw(canvas)
    if place.has_water:
        _water(canvas, place)
    else:
        _ridge(canvas, place.near, 0.66, 0.035, place.seed * 3.1)
        _meadow(canvas, place)
        _road(draw, place, w, h)
    _trees(draw, place, w, h)
    if place.has_house:
        _house(draw, place, w, h)
    return canvas.resize((width, height), Image.Resampling.LANCZOS)


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue


def _gradient(colours: tuple[Colour, Colour], width: int, height: int) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    for y in range(64):
        column.putpixel((0, y), _mix(*colours, (y / 63) ** 1.3))
    return column.resize((width, height), Image.Resampling.BICUBIC)


def _sun(canvas: Image.Image, place: Place) -> None:
    x, y, radius, colour = place.sun
    h = canvas.height
    cx, cy, r = round(x * canvas.width), round(y * h), round(radius * h)
    glow = ImageChops.invert(Image.radial_gradient("L")).resize((r * 9, r * 9))
    glow = glow.point([round(255 * 0.55 * max(0.0, (v - 70) / 185) ** 1.6) for v in range(256)])
    corner = (cx - glow.width // 2, cy - glow.height // 2)
    canvas.paste(Image.new("RGB", glow.size, colour), corner, glow)
    ImageDraw.Draw(canvas).ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)


def _clouds(canvas: Image.Image, place: Place) -> None:
    w, h = canvas.size
    mask = Image.new("L", canvas.size)
    draw = ImageDraw.Draw(mask)
    for cloud in range(4):
        spot = place.seed + cloud * 1.9
        cx = (0.12 + 0.25 * cloud + 0.02 * math.sin(spot * 5)) * w
        cy = (0.20 + 0.12 * math.sin(spot * 3)) * h
        size = (0.75 + 0.35 * math.sin(spot * 4)) * h
        for puff, radius in enumerate((0.020, 0.034, 0.046, 0.036, 0.026)):
            px, r = cx + (puff - 2) * 0.044 * size, radius * size
            draw.ellipse((px - r, cy - r, px + r, cy + r), fill=150)
        # A flat base, as fair-weather clouds have.
        draw.rectangle(
            (cx - 0.13 * size, cy + 0.010 * size, cx + 0.13 * size, cy + 0.06 * size), fill=0
        )
    mask = mask.filter(ImageFilter.GaussianBlur(h * 0.004))
    light = _mix(place.sky[1], (255, 255, 255), 0.35)
    canvas.paste(Image.new("RGB", canvas.size, light), (0, 0), mask)


def _ridge(canvas: Image.Image, colour: Colour, level: float, swing: float, seed: float) -> None:
    w, h = canvas.size
    line = [
        (
            x,
            h * (level - swing * (0.55 * math.sin(x / h * 2.1 + seed * 3)
                                  + 0.30 * math.sin(x / h * 4.7 + seed * 7)
                                  + 0.08 * math.sin(x / h * 17 + seed * 5))),
        )
        for x in range(0, w + 8, 8)
    ]  # fmt: skip
    ImageDraw.Draw(canvas).polygon([*line, (w, h), (0, h)], fill=colour)


def _meadow(canvas: Image.Image, place: Place) -> None:
    """Grass: a gradient with soft streaks, which also gives a JPEG its usual weight."""
    w, h = canvas.size
    top = round(h * 0.70)
    near, far = _mix(place.ground, (20, 26, 16), 0.28), place.ground
    field = _gradient((far, near), w, h - top)
    streaks = Image.effect_noise((w // 22, (h - top) // 9), 90).resize(field.size).convert("RGB")
    field = Image.blend(field, streaks, 0.06)
    fade = (
        Image.linear_gradient("L").resize((w, h - top)).point([min(255, v * 6) for v in range(256)])
    )
    canvas.paste(field, (0, top), fade)


def _road(draw: Draw, place: Place, w: int, h: int) -> None:
    asphalt = _mix(place.ground, (70, 70, 76), 0.75)
    draw.rectangle((0, h * 0.805, w, h * 0.885), fill=asphalt)
    draw.rectangle((0, h * 0.805, w, h * 0.809), fill=_mix(asphalt, (255, 255, 255), 0.25))
    dash = round(h * 0.09)
    for x in range(0, w, 2 * dash):
        box = (x, h * 0.842, x + dash, h * 0.848)
        draw.rectangle(box, fill=_mix(asphalt, (255, 255, 255), 0.45))


def _water(canvas: Image.Image, place: Place) -> None:
    w, h = canvas.size
    top = round(h * 0.64)
    canvas.paste(
        _gradient((_mix(place.sky[1], place.ground, 0.45), place.ground), w, h - top), (0, top)
    )
    draw = ImageDraw.Draw(canvas)
    for line in range(34):
        depth = (line / 33) ** 1.5
        y = top + 4 + depth * (h - top)
        for part in range(6):
            x = ((math.sin(line * 12.9 + part * 4.1) + 1) * 0.5) * w
            length = (0.02 + 0.09 * depth) * h
            draw.line((x, y, x + length, y), fill=_mix(place.ground, place.sky[1], 0.55), width=3)
    sun_x = place.sun[0] * w
    for line in range(16):
        y = top + 6 + line * (h - top) * 0.045
        half = h * (0.05 - 0.002 * line) * (1 + 0.4 * math.sin(line * 2.2))
        draw.line(
            (sun_x - half, y, sun_x + half, y), fill=_mix(place.ground, place.sun[3], 0.7), width=5
        )


def _trees(draw: Draw, place: Place, w: int, h: int) -> None:
    dark = _mix(place.near, (12, 26, 22), 0.45)
    for tree in range(9):
        x = ((math.sin(place.seed * 7 + tree * 2.4) + 1) * 0.5) * w
        size = h * (0.07 + 0.035 * math.sin(tree * 1.7 + place.seed))
        foot = h * (0.70 if not place.has_water else 0.645)
        for tier in range(3):
            half, top = size * (0.34 - 0.07 * tier), foot - size * (0.25 + 0.33 * tier)
            draw.polygon(
                [(x - half, top), (x + half, top), (x, top - size * 0.5)],
                fill=_mix(dark, place.sky[1], 0.05 * tier),
            )
        draw.rectangle((x - size * 0.04, foot - size * 0.25, x + size * 0.04, foot), fill=dark)


def _house(draw: Draw, place: Place, w: int, h: int) -> None:
    left, foot, size = w * (0.52 + 0.12 * math.sin(place.seed)), h * 0.775, h * 0.21
    wall = _mix(_mix(place.near, (236, 226, 212), 0.6), place.sky[0], 0.25)
    roof = _mix(place.near, (92, 52, 48), 0.65)
    right, eaves = left + size * 1.35, foot - size * 0.62
    draw.rectangle((left, eaves, right, foot), fill=wall)
    draw.polygon(
        [(left - size * 0.1, eaves), (right + size * 0.1, eaves), (right - size * 0.32, foot - size * 1.12),
         (left + size * 0.32, foot - size * 1.12)],
        fill=roof,
    )  # fmt: skip
    for column in (0.16, 0.98):
        x, y = left + size * column, eaves + size * 0.16
        draw.rectangle((x, y, x + size * 0.22, y + size * 0.22), fill=place.lamp)
        draw.line((x + size * 0.11, y, x + size * 0.11, y + size * 0.22), fill=wall, width=3)
    x = left + size * 0.58
    draw.rectangle((x, foot - size * 0.4, x + size * 0.2, foot), fill=_mix(roof, (30, 30, 40), 0.3))


def _mover(
    place: Place, width: int, height: int
) -> tuple[Image.Image, Callable[[float], tuple[float, float]]]:
    """Its picture with transparency, and where its corner is at a phase (pixels)."""
    shape = Image.new("RGBA", (round(height * 0.24) * _SUPERSAMPLE,) * 2)
    MOVERS[place.mover](ImageDraw.Draw(shape), shape.width, place.paint)
    shape = shape.resize((shape.width // _SUPERSAMPLE,) * 2, Image.Resampling.LANCZOS)
    side = shape.width

    def across(level: float) -> Callable[[float], tuple[float, float]]:
        # Out of sight at both ends of the loop, so that its turn is not seen.
        return lambda phase: (-side + phase * (width + side), height * level - side)

    paths: dict[str, Callable[[float], tuple[float, float]]] = {
        "car": across(0.868),
        "walker": across(0.800),
        "boat": across(0.780),
        "balloon": lambda phase: (
            width * (0.40 + 0.22 * math.sin(2 * math.pi * phase)) - side / 2,
            height * (0.24 + 0.05 * math.sin(4 * math.pi * phase)),
        ),
    }
    return shape, paths[place.mover]
