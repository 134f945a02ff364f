"""Sessions without servers: a spool, a ledger and a clock in the test's hands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from capture.budget import Limits
from capture.hub import Hub
from capture.session import Event, Session
from capture.sessions import Registry
from devices.sensor import DEFAULT_CONFIG
from devices.services import CameraFacts, Identity, PresenceChange, TelemetryReport
from devices.updates_steps import UpdateReport
from recordings.media import matroska
from tests.capture.firmware import jpeg

SECOND = 1_000_000_000
PICTURE = jpeg()


class Appended(NamedTuple):
    mono_ns: int
    payload: bytes
    is_key: bool
    is_audio: bool
    capture_us: int
    number: int


class FakeTrack:
    """Keeps what it is given; `write` says up to which number it is in the file."""

    def __init__(self, track: matroska.Track, run: int) -> None:
        self.track, self.run = track, run
        self.synced_ms = self.written_frames = self.written_number = self.dropped_frames = 0
        self.error = ""
        self.appended: list[Appended] = []
        self.is_closed = False

    @property
    def size(self) -> tuple[int, int]:
        return self.track.width, self.track.height

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return [(one.mono_ns, one.payload) for one in self.appended]

    def append(
        self,
        mono_ns: int,
        payload: bytes,
        *,
        is_key: bool = True,
        is_audio: bool = False,
        capture_us: int = 0,
        number: int = 0,
    ) -> bool:
        self.appended.append(Appended(mono_ns, payload, is_key, is_audio, capture_us, number))
        return True

    def close(self) -> None:
        self.is_closed = True


class FakeSpool:
    def __init__(self) -> None:
        self.tracks: list[FakeTrack] = []

    def open(self, device_directory: str, track: matroska.Track, *, run: int = 0) -> FakeTrack:
        self.tracks.append(FakeTrack(track, run))
        return self.tracks[-1]


@dataclass
class FakeNews:
    presence: list[PresenceChange] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    telemetry: list[TelemetryReport] = field(default_factory=list)
    facts: list[CameraFacts] = field(default_factory=list)
    updates: list[UpdateReport] = field(default_factory=list)

    def note_presence(self, note: PresenceChange) -> None:
        self.presence.append(note)

    def note_event(self, note: Event) -> None:
        self.events.append(note)

    def note_telemetry(self, note: TelemetryReport) -> None:
        self.telemetry.append(note)

    def note_facts(self, note: CameraFacts) -> None:
        self.facts.append(note)

    def note_update(self, note: UpdateReport) -> None:
        self.updates.append(note)

    def states(self) -> list[str]:
        return [note.presence for note in self.presence]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class Clock:
    """Stands in for the `time` module; the wall clock may jump while the monotonic one cannot."""

    def __init__(self) -> None:
        self.mono, self.wall = 100 * SECOND, 1_800_000_000 * SECOND

    def monotonic_ns(self) -> int:
        return self.mono

    def time_ns(self) -> int:
        return self.wall

    def pass_seconds(self, seconds: float) -> None:
        self.mono += int(seconds * SECOND)
        self.wall += int(seconds * SECOND)


class World:
    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self.clock, self.hub = clock, Hub()
        self.registry = Registry(self.hub, limits)
        self.spool, self.news = FakeSpool(), FakeNews()
        self.registry.spool, self.registry.news = self.spool, self.news
        self.sent: list[dict[str, Any]] = []

    def connect(self, *, pk: int = 1, key_pk: int = 10, is_agent: bool = False) -> Session:
        identity = Identity(
            device_pk=pk, key_pk=key_pk, mac="AA:BB:CC:DD:EE:01", directory="AA-BB-CC-DD-EE-01",
            name="Camera", config=dict(DEFAULT_CONFIG), is_pending=False,
            is_agent=is_agent,
        )  # fmt: skip

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        return self.registry.open(identity, "10.0.0.7", send)

    def sweep_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.clock.pass_seconds(0.5)
            self.registry.sweep()

    async def said(self) -> list[str]:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [message.get("text", message["type"]) for message in self.sent]
