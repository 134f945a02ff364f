"""The moving things of the simulated scenes, drawn facing right in a square `s` pixels wide."""

from __future__ import annotations

from collections.abc import Callable

from PIL import ImageDraw

Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw


def _car(draw: Draw, s: int, paint: Colour) -> None:
    draw.rounded_rectangle((s * 0.06, s * 0.66, s * 0.94, s * 0.90), s * 0.07, fill=paint)
    draw.polygon(
        [(s * 0.22, s * 0.67), (s * 0.33, s * 0.49), (s * 0.66, s * 0.49), (s * 0.80, s * 0.67)],
        fill=paint,
    )
    draw.polygon(
        [(s * 0.28, s * 0.66), (s * 0.36, s * 0.53), (s * 0.64, s * 0.53), (s * 0.73, s * 0.66)],
        fill=(150, 190, 210),
    )
    for x in (0.25, 0.75):
        draw.ellipse((s * (x - 0.1), s * 0.80, s * (x + 0.1), s * 1.0), fill=(24, 26, 30))
        draw.ellipse((s * (x - 0.04), s * 0.86, s * (x + 0.04), s * 0.94), fill=(170, 174, 180))
    draw.ellipse((s * 0.88, s * 0.70, s * 0.95, s * 0.77), fill=(255, 244, 196))


def _walker(draw: Draw, s: int, paint: Colour) -> None:
    draw.line((s * 0.50, s * 0.72, s * 0.44, s * 0.98), fill=(40, 44, 56), width=round(s * 0.06))
    draw.line((s * 0.50, s * 0.72, s * 0.57, s * 0.98), fill=(54, 58, 70), width=round(s * 0.06))
    draw.rounded_rectangle((s * 0.42, s * 0.46, s * 0.59, s * 0.76), s * 0.06, fill=paint)
    draw.ellipse((s * 0.44, s * 0.32, s * 0.57, s * 0.46), fill=(224, 184, 152))
    dog = (118, 84, 56)
    draw.line(
        (s * 0.57, s * 0.60, s * 0.76, s * 0.84),
        fill=(60, 60, 60),
        width=max(1, round(s * 0.01)),
    )
    draw.rounded_rectangle((s * 0.70, s * 0.82, s * 0.90, s * 0.90), s * 0.04, fill=dog)
    draw.ellipse((s * 0.86, s * 0.76, s * 0.96, s * 0.86), fill=dog)
    for x in (0.72, 0.86):
        draw.rectangle((s * x, s * 0.88, s * (x + 0.03), s * 0.98), fill=dog)


def _boat(draw: Draw, s: int, paint: Colour) -> None:
    draw.polygon(
        [(s * 0.46, s * 0.10), (s * 0.46, s * 0.74), (s * 0.14, s * 0.74)],
        fill=(250, 248, 240),
    )
    draw.polygon([(s * 0.52, s * 0.20), (s * 0.52, s * 0.74), (s * 0.80, s * 0.74)], fill=paint)
    draw.line(
        (s * 0.49, s * 0.06, s * 0.49, s * 0.84),
        fill=(90, 70, 60),
        width=max(1, round(s * 0.02)),
    )
    hull = [(s * 0.10, s * 0.80), (s * 0.88, s * 0.80), (s * 0.76, s * 0.96), (s * 0.22, s * 0.96)]
    draw.polygon(hull, fill=(70, 56, 62))


def _balloon(draw: Draw, s: int, paint: Colour) -> None:
    box = (s * 0.22, s * 0.04, s * 0.78, s * 0.66)
    for slice_ in range(6):
        colour = paint if slice_ % 2 else (246, 206, 112)
        inset = s * 0.28 * slice_ / 5.5
        draw.ellipse((box[0] + inset, box[1], box[2] - inset, box[3]), fill=colour)
    draw.polygon([(s * 0.34, s * 0.56), (s * 0.66, s * 0.56), (s * 0.55, s * 0.78), (s * 0.45, s * 0.78)],
                 fill=paint)  # fmt: skip
    draw.rounded_rectangle((s * 0.44, s * 0.82, s * 0.56, s * 0.92), s * 0.02, fill=(110, 78, 54))


MOVERS: dict[str, Callable[[Draw, int, Colour], None]] = {
    "car": _car,
    "walker": _walker,
    "boat": _boat,
    "balloon": _balloon,
}
