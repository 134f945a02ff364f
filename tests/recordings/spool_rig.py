"""A spool writer without threads, driven by hand with clocks that a test moves."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from recordings.media.matroska import Track
from recordings.segments import SegmentFile, list_segments, read_frames
from recordings.spool import SpoolTrack, SpoolWriter

START = 1_790_000_400_000
DEVICE = "AA-BB-CC-00-00-01"
SECOND = 1_000_000_000


class Clock:
    """Both clocks of a machine; `step` moves the wall alone, as NTP or a person does."""

    def __init__(self, wall_ms: int = START) -> None:
        self.mono = 5 * SECOND
        self.offset = wall_ms * 1_000_000 - self.mono

    def wall_ns(self) -> int:
        return self.mono + self.offset

    def mono_ns(self) -> int:
        return self.mono

    def step(self, seconds: float) -> None:
        self.offset += int(seconds * SECOND)


class Rig:
    """A spool writer without threads, driven by hand."""

    def __init__(
        self, directory: Path, *, wall_ms: int = START, seconds: int = 10, zone: str = "UTC"
    ) -> None:
        self.clock = Clock(wall_ms)
        self.closed: list[str] = []
        self.directory = directory / DEVICE
        self.writer = SpoolWriter(
            directory,
            seconds,
            self.closed.append,
            zone=ZoneInfo(zone),
            wall_ns=self.clock.wall_ns,
            mono_ns=self.clock.mono_ns,
            has_threads=False,
        )
        self.track = self.open()
        self.sent = 0

    def open(self) -> SpoolTrack:
        return self.writer.open(DEVICE, Track("mjpeg", 160, 120))

    def frames(self, count: int, *, fps: int = 10) -> None:
        """Frames at a steady rate, each drained as it comes."""
        for _ in range(count):
            self.track.append(self.clock.mono, b"frame %d" % self.sent)
            self.sent += 1
            self.writer.drain()
            self.clock.mono += SECOND // fps

    def end(self) -> None:
        self.track.close()
        self.writer.drain()
        self.writer.sync()

    def segments(self) -> list[SegmentFile]:
        return list_segments(self.directory)

    def payloads(self) -> list[bytes]:
        return [frame.payload for segment in self.segments() for frame in read_frames(segment)]

    def all_sent(self) -> list[bytes]:
        return [b"frame %d" % number for number in range(self.sent)]
