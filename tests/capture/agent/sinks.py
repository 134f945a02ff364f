"""Sinks, drivers and recorders of the tests' own, at the agent's seams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from capture.agent.child import run_ffmpeg
from capture.agent.protocol import Packet, Sink, SourceError, SourceSpec
from recordings.ffmpeg import find_ffmpeg
from recordings.media.matroska import Track

# A camera that FFmpeg simulates: counted pictures at their own pace, with a tone.
SIMULATED = (
    "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=15",
    "-re", "-f", "lavfi", "-i", "sine=r=48000", "-c:v", "libx264", "-preset", "ultrafast",
    "-tune", "zerolatency", "-g", "15", "-c:a", "aac",
)  # fmt: skip


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.packets: list[Packet] = []
        self.track_of: list[Track] = []  # of each packet
        self.came_s: list[float] = []

    def stream(self, track: Track) -> None:
        self.tracks.append(track)

    def packet(self, packet: Packet) -> None:
        self.packets.append(packet)
        self.track_of.append(self.tracks[-1])
        self.came_s.append(time.monotonic())

    @property
    def pictures(self) -> list[Packet]:
        return [packet for packet in self.packets if not packet.is_audio]


class Tee:
    """Passes on, and keeps a copy."""

    def __init__(self, sink: Sink, kept: Kept) -> None:
        self._sink, self._kept = sink, kept

    def stream(self, track: Track) -> None:
        self._kept.stream(track)
        self._sink.stream(track)

    def packet(self, packet: Packet) -> None:
        self._kept.packet(packet)
        self._sink.packet(packet)


class SimulatedDriver:
    """One FFmpeg child on lavfi: everything but the camera is real."""

    stage = "waiting"

    def __init__(self, lock_fd: int, kept: Kept | None = None) -> None:
        self._lock_fd, self._kept = lock_fd, kept

    async def run(self, sink: Sink) -> None:
        into = Tee(sink, self._kept) if self._kept else sink
        await run_ffmpeg([find_ffmpeg(), *SIMULATED], into, lock_fd=self._lock_fd)


class ScriptedDriver:
    """Does what a test's function does."""

    stage = "waiting"

    def __init__(self, script: Callable[[Sink], object]) -> None:
        self._script = script

    async def run(self, sink: Sink) -> None:
        result = self._script(sink)
        if asyncio.iscoroutine(result):
            await result
        raise SourceError("ended", "The script is over.")


def spec(number: int = 1, **fields: object) -> SourceSpec:
    known = {
        "id": number,
        "mac": f"06:52:4F:53:00:{number:02X}",
        "name": f"camera {number}",
        "kind": "simulated",
        "url": "simulated:h264",
        **fields,
    }
    return SourceSpec(**known)  # type: ignore[arg-type]  # a test's own fields
