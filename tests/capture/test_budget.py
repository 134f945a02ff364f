from __future__ import annotations

import pytest

from capture.budget import Budget, Limits

SECOND = 1_000_000_000
LIMITS = Limits(
    bytes_per_second=1000, frames_per_second=10, messages_per_second=5, burst_seconds=2.0
)


def overdrawn_at(budget: Budget, *, every_ns: int, size: int, is_frame: bool, count: int) -> int:
    """How many messages were taken before the first one too many, or `count`."""
    for number in range(count):
        if budget.spend(number * every_ns, size, is_frame=is_frame):
            return number
    return count


def test_it_lets_the_allowed_rate_go_on_for_ever() -> None:
    budget = Budget(LIMITS, 0)
    taken = overdrawn_at(budget, every_ns=SECOND // 10, size=100, is_frame=True, count=1000)
    assert taken == 1000


@pytest.mark.parametrize(
    ("size", "is_frame", "word", "allowed_at_once"),
    [(1, True, "frames", 20), (1, False, "messages", 10), (500, True, "bytes", 4)],
)
def test_it_allows_a_burst_and_names_what_was_overdrawn(
    size: int, is_frame: bool, word: str, allowed_at_once: int
) -> None:
    budget = Budget(LIMITS, 0)
    for _ in range(allowed_at_once):
        assert budget.spend(0, size, is_frame=is_frame) == ""
    assert word in budget.spend(0, size, is_frame=is_frame)


def test_five_times_the_budget_is_noticed_within_the_burst() -> None:
    budget = Budget(LIMITS, 0)
    taken = overdrawn_at(budget, every_ns=SECOND // 50, size=10, is_frame=True, count=1000)
    assert 20 <= taken <= 26


def test_a_pause_fills_the_bucket_but_not_above_its_brim() -> None:
    budget = Budget(LIMITS, 0)
    assert overdrawn_at(budget, every_ns=0, size=1, is_frame=True, count=100) == 20
    budget = Budget(LIMITS, 0)
    for _ in range(20):
        budget.spend(0, 1, is_frame=True)
    hour = 3600 * SECOND
    for _ in range(20):
        assert budget.spend(hour, 1, is_frame=True) == ""
    assert budget.spend(hour, 1, is_frame=True)
