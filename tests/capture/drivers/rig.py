"""A driver run by a test: what reaches the sink, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from capture.agent.protocol import Driver, Packet, SourceError, SourceSpec
from capture.drivers import open_driver
from recordings.media.matroska import Track

SOON_S = 15.0


@dataclass
class Bucket:
    """The sink of a test."""

    tracks: list[Track] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    came_at: list[float] = field(default_factory=list)
    track_at: list[int] = field(default_factory=list)  # number of packets before each track

    def stream(self, track: Track) -> None:
        self.tracks.append(track)
        self.track_at.append(len(self.packets))

    def packet(self, packet: Packet) -> None:
        self.packets.append(packet)
        self.came_at.append(time.monotonic())

    @property
    def pictures(self) -> list[Packet]:
        return [packet for packet in self.packets if not packet.is_audio]

    @property
    def sounds(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.is_audio]


def spec(url: str, **changes: Any) -> SourceSpec:
    return SourceSpec(id=1, mac="06:52:4F:53:00:01", name="Test", kind="", url=url, **changes)


def driver_for(url: str, **changes: Any) -> Driver:
    return open_driver(spec(url, **changes), lock_fd=-1)


async def take(
    url: str,
    enough: Callable[[Bucket], bool] = lambda bucket: len(bucket.pictures) >= 10,
    **changes: Any,
) -> Bucket:
    """Runs the driver until there is enough, then cancels it. Raises what it raises before."""
    bucket = Bucket()
    task = asyncio.create_task(driver_for(url, **changes).run(bucket))
    deadline = time.monotonic() + SOON_S
    try:
        while not enough(bucket):
            if task.done():
                await task
                raise AssertionError("the driver returned")
            assert time.monotonic() < deadline, f"after {len(bucket.packets)} packets"
            await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return bucket


async def until(condition: Callable[[], bool], seconds: float = SOON_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def failure(url: str, bucket: Bucket | None = None, **changes: Any) -> SourceError:
    """How it fails; an AssertionError if it does not within SOON_S."""
    try:
        async with asyncio.timeout(SOON_S):
            await driver_for(url, **changes).run(bucket or Bucket())
    except SourceError as error:
        return error
    except TimeoutError:
        raise AssertionError("it goes on and on") from None
    raise AssertionError("the driver returned")
