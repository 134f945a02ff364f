"""The benchmark's arithmetic: a wrong percentile would be believed."""

from __future__ import annotations

import pytest

from bench.table import Row, percentile, render


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.95, 5.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
        ([float(n) for n in range(100, 0, -1)], 0.5, 50.0),
        ([float(n) for n in range(1, 21)], 0.95, 19.0),
        ([1.0, 2.0, 3.0], 1.0, 3.0),
        ([1.0, 2.0, 3.0], 0.0, 1.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_the_table_lines_up_whatever_is_missing() -> None:
    lines = render([Row("start", "< 5 s", "3.0 s"), Row("cpu", "", "4 ms", "3 ms", "1.3")]).split(
        "\n"
    )
    assert lines[0].split() == ["what", "goal", "measured", "floor", "ratio"]
    assert lines[2] == "start  < 5 s  3.0 s"
    assert lines[3].index("4 ms") == lines[2].index("3.0 s")
