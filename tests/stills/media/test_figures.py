"""Figures of pictures whose figures are known."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFilter

from stills.media import figures


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("L", size, level)


def stripes(size: tuple[int, int] = (640, 480), width: int = 16) -> Image.Image:
    picture = Image.new("L", size, 60)
    draw = ImageDraw.Draw(picture)
    for x in range(0, size[0], 2 * width):
        draw.rectangle((x, 0, x + width - 1, size[1]), fill=190)
    return picture


def test_brightness_is_counted_pixel_by_pixel() -> None:
    picture = grey(100)
    picture.paste(0, (0, 0, 16, 48))
    picture.paste(255, (16, 0, 24, 48))
    found = figures.brightness([picture])
    assert found.mean == pytest.approx(40 * 100 / 64 + 8 * 255 / 64)
    assert (found.dark_percent, found.bright_percent) == (25.0, 12.5)


def test_brightness_is_that_of_all_pictures_together() -> None:
    assert figures.brightness([grey(0), grey(200)]) == (100.0, 50.0, 0.0)
    with pytest.raises(ValueError):
        figures.brightness([])


def test_an_even_picture_has_no_edges() -> None:
    assert figures.variance_of_laplacian(grey(77)) == pytest.approx(0)


def test_the_variance_is_that_of_the_laplacian_and_not_cut_off() -> None:
    """One white pixel on black: 4 neighbours of 255 and a middle of -1020."""
    picture = grey(0, (12, 12))
    picture.putpixel((6, 6), 255)
    mean_square = (4 * 255**2 + 1020**2) / 100
    assert figures.variance_of_laplacian(picture) == pytest.approx(mean_square)


def test_the_more_blurred_the_less_sharp() -> None:
    found = [
        figures.variance_of_laplacian(stripes().filter(ImageFilter.GaussianBlur(radius)))
        for radius in (0, 1, 2, 4)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 20 * found[2]


def test_sharpness_does_not_depend_on_the_size() -> None:
    small = figures.variance_of_laplacian(stripes())
    large = figures.variance_of_laplacian(stripes((1920, 1440), 48))
    assert large == pytest.approx(small, rel=0.05)


def test_a_picture_too_small_for_an_edge_is_refused() -> None:
    with pytest.raises(ValueError, match="2x40"):
        figures.variance_of_laplacian(grey(1, (2, 40)))


def test_motion_is_by_how_much_neighbours_differ() -> None:
    half = grey(10)
    half.paste(30, (0, 0, 32, 48))
    assert figures.motion([grey(10), grey(10), half]) == (5.0, 10.0, 2)
    assert figures.motion([half, half]) == (0.0, 0.0, 1)
    with pytest.raises(ValueError):
        figures.motion([half])
