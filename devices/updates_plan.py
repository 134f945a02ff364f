"""The plan of a roll-out: which camera is in which stage. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

MAX_STAGES = 10
MAX_SOAK_MINUTES = 30 * 24 * 60


class Stage(TypedDict, total=False):
    """How many cameras have it at the end of the stage, as `count` or as `percent` of all (of
    those that can take it), and how long they must run well before the next stage begins."""

    count: int
    percent: int
    soak_minutes: int


DEFAULT_STAGES: tuple[Stage, ...] = (
    {"count": 1, "soak_minutes": 60},
    {"percent": 10, "soak_minutes": 24 * 60},
    {"percent": 100, "soak_minutes": 0},
)


class BadPlan(ValueError):
    """`str()` is a sentence without a full stop."""


def checked(stages: Sequence[Mapping[str, object]]) -> list[Stage]:
    """Raises BadPlan. The last stage must reach every camera."""
    if not 1 <= len(stages) <= MAX_STAGES:
        raise BadPlan(f"There must be 1 to {MAX_STAGES} stages")
    plan = [_stage(given) for given in stages]
    if plan[-1].get("percent") != 100:
        raise BadPlan("The last stage must be 100 percent")
    return plan


def stages_of(total: int, stages: Sequence[Stage]) -> list[int]:
    """The stage of each of `total` cameras, in their order. A stage that adds none is just empty.

    Every stage reaches at least one camera, and no stage fewer than the one before.
    """
    answer: list[int] = []
    for index, stage in enumerate(stages):
        rounded_up = -(-total * stage.get("percent", 0) // 100)
        reached = stage.get("count", rounded_up)
        answer += [index] * (min(reached, total) - len(answer))
    return answer


def in_words(stage: Stage) -> str:
    if "count" in stage:
        return "one camera" if stage["count"] == 1 else f"{stage['count']} cameras"
    return "all cameras" if stage["percent"] == 100 else f"{stage['percent']} % of the cameras"


def _stage(given: Mapping[str, object]) -> Stage:
    soak = _whole(given.get("soak_minutes", 0), 0, MAX_SOAK_MINUTES, "soak_minutes")
    has_count, has_percent = given.get("count") is not None, given.get("percent") is not None
    if has_count == has_percent:
        raise BadPlan("A stage needs either count or percent")
    if has_count:
        return {"count": _whole(given["count"], 1, 10_000, "count"), "soak_minutes": soak}
    return {"percent": _whole(given["percent"], 1, 100, "percent"), "soak_minutes": soak}


def _whole(value: object, low: int, high: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadPlan(f"{name} must be a whole number from {low} to {high}")
    return value
