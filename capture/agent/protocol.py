"""What the capture agent and its drivers say to each other.

A driver takes in one source and gives what it takes to a sink until it fails; it never retries,
sends or stores. The agent starts it, watches it, starts it again, and carries the packets away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from recordings.media.matroska import Track


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One wanted source as the recorder describes it. `password` never leaves this object but
    towards the camera; `repr` does not show it.
    """

    id: int
    mac: str
    name: str = field(compare=False)  # a camera that gets another name goes on as it is
    kind: str  # rtsp, http, usb, picamera, simulated
    url: str  # without log-in
    username: str = ""
    password: str = field(default="", repr=False)
    rate_fps: float = 0.0  # snapshots: how often to ask; else 0, what the camera gives
    transport: str = "tcp"  # rtsp: tcp or udp
    wants_audio: bool = True
    version: int = 0  # changes with every change of the above: the agent starts the source again
    options: Mapping[str, Any] = field(default_factory=dict)


class Packet(NamedTuple):
    """One coded picture or one AAC access unit, as `docs/design/interfaces.md` has it.

    `capture_us`: presentation time in this machine's CLOCK_MONOTONIC, microseconds.
    """

    capture_us: int
    payload: bytes
    is_key: bool = True
    is_audio: bool = False


class Sink(Protocol):
    """Where a driver's packets go. Neither call blocks; both on the event loop."""

    def stream(self, track: Track) -> None:
        """New parameters; the next picture is a key picture. Called before the first packet.

        MJPEG: width and height may be 0, the pictures say them.
        """

    def packet(self, packet: Packet) -> None: ...


class Driver(Protocol):
    """One source being taken in. `stage`, what it is at: resolving, connecting, asking (logs in,
    learns what there is), waiting (for the first picture); source tests show it.
    """

    @property
    def stage(self) -> str: ...

    async def run(self, sink: Sink) -> None:
        """Until it fails (SourceError) or is cancelled; leaves no process and no socket behind."""


class SourceError(Exception):
    """Why a source gives no video: `code` for programs, `str()` one sentence for people.

    `detail`: the last words of a program, for the log and for better sentences. None of them ever
    holds a password.
    """

    def __init__(self, code: str, sentence: str, *, detail: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.detail = detail
