"""When pictures are decoded and shown, and how sound is laid beside them. Milliseconds throughout.

Cameras send times that repeat, run backwards or jump; what is written has to rise all the same, or
players stop. Nothing is thrown away here: a frame whose time makes no sense gets the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Sound whose time strays further than this from the pictures it came with has a wrong time.
STRAY_MS = 5_000
# A hole of so many access units is filled with silence; a smaller one is jitter, and the unit before
# it lasts longer. Players count the samples they play: a hole would shift all later sound.
HOLE_UNITS = 2


def shown(times_ms: Sequence[int], after_ms: int) -> tuple[list[int], list[int]]:
    """(decode times, offsets) of one GOP from presentation times in decode order.

    Decode times are the presentation times sorted, made to rise strictly from above `after_ms` on;
    presentation time is decode time plus offset.
    """
    order = sorted(range(len(times_ms)), key=times_ms.__getitem__)
    decoded: list[int] = []
    for number in order:
        after_ms = max(times_ms[number], after_ms + 1)
        decoded.append(after_ms)
    offsets = [0] * len(order)
    for place, number in enumerate(order):
        offsets[number] = decoded[place] - decoded[number]
    return decoded, offsets


class Wanted(NamedTuple):
    """When an access unit should sound, and the span of the pictures it came with; media time."""

    at_ms: int
    pictures_ms: int
    pictures_end_ms: int


class Laid(NamedTuple):
    """One sample of sound; `number` of the access unit, None for silence."""

    at_ms: int
    duration_ms: int
    number: int | None


def lay_sound(
    wanted: Sequence[Wanted], *, unit_ms: float, from_ms: int, until_ms: int, has_silence: bool
) -> list[Laid]:
    """Sound without a hole from `from_ms` (where the sound before ended, or pictures begin) up to
    about `until_ms` (where pictures end). Without silence a hole makes the unit before it longer.

    What would have to sound before `from_ms` is left out: there is no picture, or other sound.
    """
    starts: list[tuple[int, int | None]] = []
    at = float(from_ms)  # where what is laid so far ends
    for number, (aim_ms, pictures_ms, pictures_end_ms) in enumerate(wanted):
        is_stray = not pictures_ms - STRAY_MS <= aim_ms <= pictures_end_ms + STRAY_MS
        aim = at if is_stray else float(aim_ms)
        if not starts and aim < from_ms - unit_ms / 2:
            continue
        if aim - at >= HOLE_UNITS * unit_ms:
            if has_silence:
                starts += [
                    (round(at + n * unit_ms), None) for n in range(int((aim - at) / unit_ms))
                ]
            place = round(aim)
        else:
            place = round(aim) if starts else from_ms
        if starts:
            place = max(place, starts[-1][0] + 1)
        starts.append((place, number))
        at = place + unit_ms
    if has_silence and until_ms - at >= HOLE_UNITS * unit_ms:
        starts += [(round(at + n * unit_ms), None) for n in range(int((until_ms - at) / unit_ms))]
    ends = [place for place, _ in starts[1:]]
    if starts:
        ends.append(starts[-1][0] + max(1, round(unit_ms)))
    return [
        Laid(place, end - place, number) for (place, number), end in zip(starts, ends, strict=True)
    ]
