"""Rows of the benchmark and how they are printed. Every figure is measured in the run that prints it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Row:
    """`floor`: what the same work costs at the least, measured in the same run; `ratio` to it."""

    what: str
    goal: str
    measured: str
    floor: str = ""
    ratio: str = ""


def render(rows: list[Row]) -> str:
    names = [field.name for field in fields(Row)]
    table = [names, *([getattr(row, name) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` (0-1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
