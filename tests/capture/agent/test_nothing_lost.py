"""The promise: whatever the web process does, every packet is in the spool exactly once.

Real web process, real TLS, real spool; FFmpeg's lavfi stands in for the camera.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from functools import partial

import pytest

from capture.agent import source
from capture.agent.agent import Agent
from recordings.repeats import own_frames
from recordings.segments import Frame, list_segments, read_frames
from tests.capture.agent.conftest import SOURCES, Recorder, running
from tests.capture.agent.sinks import Kept
from tests.capture.web import eventually

FRAME_MS = 1000 / 15


def recorded(recorder: Recorder, source: int = 0) -> list[Frame]:
    """Every segment's own frames, in the order of their times."""
    segments = list_segments(recorder.spool(source))
    assert segments
    frames = []
    for segment in segments:
        frames += list(read_frames(segment))[: own_frames(segment, segments)]
    return sorted(frames, key=lambda frame: frame.wall_ms)


def check(frames: list[Frame], kept: Kept) -> None:
    for is_audio in (False, True):
        found = [frame.payload for frame in frames if frame.is_audio == is_audio]
        sent = [packet.payload for packet in kept.packets if packet.is_audio == is_audio]
        assert len(found) == len(sent)
        assert found == sent
    times = [frame.wall_ms for frame in frames if not frame.is_audio]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(steps) < 1.5 * FRAME_MS, "no gap"
    assert min(steps) > 0.5 * FRAME_MS, "and no overlap"


def has_more(kept: Kept, than: int) -> bool:
    return len(kept.packets) > than


async def has_taken_all(agent: Agent) -> None:
    """Until every source's packets of this moment are on the recorder's disk. A connection that
    was being opened when the web process stood still is tried again after 13 s.
    """
    carriers = [running._carrier for running, _ in agent._running.values()]
    assert len(carriers) == SOURCES
    marks = [(box, box.newest) for carrier in carriers for box in carrier._boxes]
    await eventually(lambda: all(box.acked >= newest for box, newest in marks), 25)


async def test_web_killed_three_times_and_stopped_once(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the end the supervisor waits no longer for an agent than this; here nobody hurries.
    monkeypatch.setattr(source, "DRAIN_S", 8.0)
    web = recorder.web
    async with running(recorder.order(), recorder.simulated) as (agent, _):
        kept = await eventually(lambda: recorder.kept.get(recorder.sources[0][0]), 20)
        await eventually(partial(has_more, kept, 100), 20)
        for _kill in range(3):
            seen = len(kept.packets)
            web.stop(signal.SIGKILL)
            await asyncio.sleep(1.0)  # video that nobody takes meanwhile
            await asyncio.to_thread(web.start)
            await eventually(partial(has_more, kept, seen + 250), 20)
            await has_taken_all(agent)
        os.kill(web.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(8.0)
        finally:
            os.kill(web.pid, signal.SIGCONT)
        seen = len(kept.packets)
        await eventually(partial(has_more, kept, seen + 150), 20)
        await has_taken_all(agent)
    assert web.stop() == 0
    for number, (pk, *_) in enumerate(recorder.sources):
        check(recorded(recorder, number), recorder.kept[pk])
