"""Counts what became of a counting camera's frames: in files, clips or a live stream.

    report = examine(hour_file)
    assert (report.lost, report.duplicated, report.out_of_order) == (0, 0, 0)

One camera process's counter only grows, over reconnects too; a restart of the simulator starts
again at 0 and has to be examined apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.frame import VideoFrame

from capture.media import counting

RUN_GAP_MS = 5_000  # a longer silence is a new run: media time in hour files is gapless


@dataclass(frozen=True)
class Sighting:
    """One decoded frame: its counter (None where unreadable) and its media time."""

    stamp: counting.Stamp | None
    media_ms: float


@dataclass(frozen=True)
class Report:
    """`time_error_ms`: by how much media time strays from the camera's clock within a run."""

    frames: int
    unreadable: int
    lost: int
    duplicated: int
    out_of_order: int
    longest_gap_ms: float
    time_error_ms: float
    first: int
    last: int
    span_ms: int  # of the camera's clock, from the earliest frame to the newest
    cameras: frozenset[int]
    missing: tuple[int, ...]  # the first 20 lost counters

    @property
    def is_whole(self) -> bool:
        return not (self.unreadable or self.lost or self.duplicated or self.out_of_order)


def examine(*paths: Path, first: int | None = None, last: int | None = None) -> Report:
    """Decodes the files in the order given as one stream: media time goes on from file to file, as
    it does when the hour turns.

    `first` and `last` (inclusive) say which counters must be there; by default the smallest and the
    largest that were seen, which cannot notice a loss at either end.
    """
    return judge(sightings(*paths), first=first, last=last)


def sightings(*paths: Path) -> Iterator[Sighting]:
    before_ms = 0.0  # media time of the files before
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                yield Sighting(_stamp(frame), before_ms + 1000 * float(frame.time or 0.0))
            before_ms += (container.duration or 0) / 1000


def _stamp(frame: VideoFrame) -> counting.Stamp | None:
    luma = frame.planes[0]
    return counting.read_luma(luma, stride=luma.line_size, width=frame.width)


def of_jpegs(jpegs: Iterable[tuple[bytes, float]]) -> Iterator[Sighting]:
    """From (whole JPEG, arrival in ms)."""
    for data, at_ms in jpegs:
        yield Sighting(counting.read_jpeg(data), at_ms)


def judge(seen: Iterable[Sighting], *, first: int | None = None, last: int | None = None) -> Report:
    """Raises ValueError when there is no readable frame: an empty stream is not a whole one."""
    frames = unreadable = duplicated = out_of_order = 0
    gap = error = 0.0
    known: set[int] = set()
    cameras: set[int] = set()
    times: list[int] = []
    newest = -1
    before: tuple[counting.Stamp, float] | None = None
    anchor: tuple[counting.Stamp, float] | None = None
    for sighting in seen:
        frames += 1
        stamp = sighting.stamp
        if stamp is None:
            unreadable += 1
            continue
        cameras.add(stamp.camera)
        times.append(stamp.time_ms)
        if stamp.counter in known:
            duplicated += 1
        elif stamp.counter < newest:
            out_of_order += 1
        known.add(stamp.counter)
        newest = max(newest, stamp.counter)
        step_ms = stamp.time_ms - before[0].time_ms if before else 0
        gap = max(gap, step_ms)
        if anchor is None or not 0 <= step_ms <= RUN_GAP_MS:
            anchor = (stamp, sighting.media_ms)
        error = max(
            error,
            abs((sighting.media_ms - anchor[1]) - (stamp.time_ms - anchor[0].time_ms)),
        )
        before = (stamp, sighting.media_ms)
    if not known:
        raise ValueError(f"no readable counter in {frames} frames")
    low, high = first if first is not None else min(known), last if last is not None else newest
    missing = [counter for counter in range(low, high + 1) if counter not in known]
    return Report(
        frames, unreadable, len(missing), duplicated, out_of_order, gap, error,
        min(known), newest, max(times) - min(times), frozenset(cameras), tuple(missing[:20]),
    )  # fmt: skip
