"""Figures of pictures: how bright, how sharp, how much moves. Grey pictures (mode L) in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageChops, ImageMath, ImageStat

DARK, BRIGHT = 24, 232  # grey levels: nothing can be made out below, and nothing above
SHARPNESS_WIDTH = 640  # pixels: an edge is as sharp as it is at this size
SMALL = (64, 48)  # of pictures that are compared: noise of single pixels is averaged away


class Brightness(NamedTuple):
    mean: float  # 0 to 255
    dark_percent: float  # how much of the picture is darker than DARK
    bright_percent: float


class Motion(NamedTuple):
    """Grey levels by which neighbours differ, each over a whole picture."""

    mean: float
    max: float
    pairs: int


def brightness(pictures: Sequence[Image.Image]) -> Brightness:
    """Of all of them together. Raises ValueError without one."""
    if not pictures:
        raise ValueError("no picture")
    levels = [sum(column) for column in zip(*(one.histogram() for one in pictures), strict=True)]
    pixels = sum(levels)
    return Brightness(
        mean=sum(level * count for level, count in enumerate(levels)) / pixels,
        dark_percent=100 * sum(levels[:DARK]) / pixels,
        bright_percent=100 * sum(levels[BRIGHT + 1 :]) / pixels,
    )


def variance_of_laplacian(picture: Image.Image) -> float:
    """The higher, the sharper the picture's edges; at SHARPNESS_WIDTH, so that sizes compare.

    Raises ValueError for a picture that is too small to have an edge inside.
    """
    if picture.width > SHARPNESS_WIDTH:
        height = max(1, round(picture.height * SHARPNESS_WIDTH / picture.width))
        picture = picture.resize((SHARPNESS_WIDTH, height), Image.Resampling.BOX)
    width, height = picture.size
    if min(width, height) < 3:
        raise ValueError(f"a picture of {width}x{height} has no edges")
    # Not ImageFilter.Kernel: it cuts its results off at 0 and 255, and the steepest edges with them.
    named = {
        name: picture.crop((1 + x, 1 + y, width - 1 + x, height - 1 + y)).convert("F")
        for name, (x, y) in {
            "middle": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)
        }.items()
    }  # fmt: skip
    curved = ImageMath.lambda_eval(
        lambda one: one["left"] + one["right"] + one["up"] + one["down"] - one["middle"] * 4,
        **named,
    )
    squares = ImageMath.lambda_eval(lambda one: one["x"] * one["x"], x=curved)
    return max(0.0, _mean(squares) - _mean(curved) ** 2)


def motion(pictures: Sequence[Image.Image]) -> Motion:
    """Between neighbours of one size. Raises ValueError for fewer than two."""
    differences = [
        ImageStat.Stat(ImageChops.difference(before, after)).mean[0]
        for before, after in itertools.pairwise(pictures)
    ]
    if not differences:
        raise ValueError("fewer than two pictures")
    return Motion(sum(differences) / len(differences), max(differences), len(differences))


def _mean(picture: Image.Image) -> float:
    """Of a picture of mode F."""
    return float(picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))  # type: ignore[arg-type]
