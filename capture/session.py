"""One connection of one camera: its frames, its reports, and what is known about it right now.

All of it runs on the event loop, and the per-frame path waits for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from capture import wire
from capture.budget import Budget, Limits
from capture.hub import Hub, LiveFrame
from capture.media import jpeg
from capture.pace import Pace, Situation
from devices.framerates import FrameRates
from devices.models import DeviceEvent, Presence
from devices.services import CameraFacts, Identity, PresenceChange, TelemetryReport
from devices.updates_steps import REPORTED_STATES, UpdateReport
from recordings.media import matroska

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0
TELEMETRY_NS = 60_000_000_000
FIRST_TELEMETRY_NS = 10_000_000_000  # when there is something measured to say
COMPLAINT_NS = 60_000_000_000
HEARD_NS = 6_000_000_000  # every camera sends its first heartbeat within 5 s
SYNC_STALE_NS = 10_000_000_000  # the spool syncs every 2 s
MAX_UPDATE_NOTES = 20  # a connection or an announcement; a good update has three
NOT_RECORDING = "Failed to start recording"

Send = Callable[[Any], Awaitable[None]]
Events = DeviceEvent.Kind


class Event(NamedTuple):
    """What happened to a camera, for its page (devices.services.record_event)."""

    device_pk: int
    kind: str
    detail: str
    at_ms: int
    rssi_dbm: int | None = None  # of the last heartbeat before it


class Track(Protocol):
    """One camera's open segment (recordings.spool.SpoolTrack)."""

    synced_ms: int
    written_frames: int
    written_number: int
    dropped_frames: int
    error: str

    def append(
        self,
        mono_ns: int,
        payload: bytes,
        *,
        is_key: bool = True,
        is_audio: bool = False,
        capture_us: int = 0,
        number: int = 0,
    ) -> bool: ...
    def close(self) -> None: ...


class Spool(Protocol):
    """Where tracks are opened (recordings.spool.SpoolWriter)."""

    def open(self, device_directory: str, track: matroska.Track, *, run: int = 0) -> Track: ...


class News(Protocol):
    """Who is told what changed (capture.ledger.Ledger)."""

    def note_presence(self, note: PresenceChange) -> None: ...
    def note_event(self, note: Event) -> None: ...
    def note_telemetry(self, note: TelemetryReport) -> None: ...
    def note_facts(self, note: CameraFacts) -> None: ...
    def note_update(self, note: UpdateReport) -> None: ...


class Keeper(Protocol):
    """Who keeps the sessions (capture.sessions.Registry)."""

    hub: Hub
    limits: Limits
    spool: Spool | None

    def changed(self, session: Session, *, is_connect: bool = False) -> None: ...
    def tell(self, session: Session, kind: str, detail: str) -> None: ...
    def note_update(self, report: UpdateReport) -> None: ...
    def describe(self, facts: CameraFacts) -> None: ...


class Session:
    """One connection of one camera. `is_over` once it was closed or replaced."""

    def __init__(
        self,
        registry: Keeper,
        identity: Identity,
        address: str | None,
        send: Send,
        limits: Limits | None = None,
    ) -> None:
        now_ns = time.monotonic_ns()
        self.registry = registry
        self.identity = identity
        self.address = address
        self.is_over = False
        self.presence: str = Presence.ONLINE
        self.since_ms = time.time_ns() // 1_000_000
        self.is_stalled = False
        self.is_recording = False
        self.connected_ns = self.last_message_ns = now_ns
        self.last_frame_ns = 0
        self.frames = self.received_bytes = self.rejected = 0
        self.fps = self.bytes_per_second = 0.0
        self.report = wire.Report(type="heartbeat")
        self._facts: CameraFacts | None = None
        self._pace = Pace()
        self.size: tuple[int, int] | None = None
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()
        self._budget = Budget(limits or registry.limits, now_ns)
        self._track: Track | None = None
        self._dropped_before = 0  # by earlier tracks of this session, and with none open
        self._synced_ms = self._synced_ns = 0
        self._is_acknowledged = self._is_failure_told = False
        self._complained_ns = 0
        self._update_said, self._updates_left = ("", ""), MAX_UPDATE_NOTES
        self._telemetry_ns = now_ns - TELEMETRY_NS + FIRST_TELEMETRY_NS
        self._measured = (now_ns, 0, 0)

    # --- the per-frame path: no database, no thread, no await -----------------------------------

    def take(self, payload: bytes) -> str:
        """One message of the camera. Empty, or what budget it overdrew."""
        now_ns = time.monotonic_ns()
        self.last_message_ns = now_ns
        is_frame = payload.startswith(jpeg.SOI)
        if excess := self._budget.spend(now_ns, len(payload), is_frame=is_frame):
            return excess
        if is_frame:
            self._take_frame(payload, now_ns)
        else:
            self._take_report(payload)
        return ""

    def _take_frame(self, payload: bytes, now_ns: int) -> None:
        try:
            size = jpeg.size_of(payload)
        except jpeg.BadFrame as error:
            self._reject(f"A frame was dropped: {error}.", now_ns)
            return
        self.frames += 1
        self.received_bytes += len(payload)
        self.last_frame_ns = now_ns
        if size != self.size or self._track is None:
            self._open_track(size)
        if self._track is None or not self._track.append(now_ns, payload):
            self._dropped_before += self._track is None
        captured_ms = time.time_ns() // 1_000_000
        self.registry.hub.put(self.identity.device_pk, LiveFrame(captured_ms, payload))
        if self.presence != Presence.STREAMING or self.is_stalled:
            self.become(Presence.STREAMING)

    def _open_track(self, size: tuple[int, int]) -> None:
        self.close_track()
        self.size = size
        if self.registry.spool is not None:
            self._track = self.registry.spool.open(
                self.identity.directory, matroska.Track("mjpeg", *size)
            )

    def _reject(self, complaint: str, now_ns: int) -> None:
        """Weather on an ESP32: counted, said once a minute, never a ban."""
        self.rejected += 1
        if now_ns - self._complained_ns >= COMPLAINT_NS or not self._complained_ns:
            self._complained_ns = now_ns
            logger.warning("%s: %s", self.identity.name, complaint)
            self.registry.tell(self, Events.ERROR, complaint)

    # --- what it reports ------------------------------------------------------------------------

    def _take_report(self, payload: bytes) -> None:
        report = wire.read_report(payload)
        if report is None:
            self._reject(
                "It sent something that is neither a JPEG nor a report.", time.monotonic_ns()
            )
        elif report.type == "heartbeat":
            self._take_heartbeat(report)
        elif report.type == "status_update":
            self._take_status(report.status)
        elif report.type == "error":
            self.registry.tell(self, Events.ERROR, report.message or "It reported an error.")
        elif report.type == "update":
            self._take_update(report)
        else:
            logger.debug("%s sent %r, which means nothing here", self.identity.name, report.type)

    def _take_heartbeat(self, report: wire.Report) -> None:
        """Never touches the presence: it would end "streaming"."""
        self.report = report
        before = self._facts or CameraFacts(
            device_pk=self.identity.device_pk,
            at_ms=time.time_ns() // 1_000_000,
            uptime_ms=report.uptime_ms,
        )
        facts = replace(  # what it said once of itself stays said
            before,
            reset_reason=report.reset_reason or before.reset_reason,
            firmware=report.firmware or before.firmware,
            board=report.board or before.board,
            update_key=report.update_key or before.update_key,
        )
        if facts != self._facts:
            self._facts = facts
            self.registry.describe(facts)

    def _take_update(self, report: wire.Report) -> None:
        """Said once however often the camera repeats it; states of newer firmware mean nothing here."""
        said = (report.state, report.version)
        if report.state not in REPORTED_STATES or not report.version or said == self._update_said:
            return
        if self._updates_left <= 0:
            return
        self._update_said, self._updates_left = said, self._updates_left - 1
        at_ms = time.time_ns() // 1_000_000
        self.registry.note_update(
            UpdateReport(self.identity.device_pk, *said, report.detail, at_ms)
        )

    async def announce_update(self, version: str, size_bytes: int, path: str) -> None:
        """Not to a camera that has not named its firmware in this connection: the row may be old."""
        facts = self._facts
        if facts is not None and facts.firmware and facts.board:
            # It may fail in the same words again.
            self._update_said, self._updates_left = ("", ""), MAX_UPDATE_NOTES
            await self.say(wire.update(version, size_bytes, path))

    def _take_status(self, status: str) -> None:
        known = {
            "online": Presence.ONLINE,
            "streaming": Presence.STREAMING,
            "entering_sleep": Presence.ASLEEP,
            "offline": Presence.OFFLINE,
        }
        presence = known.get(status)
        if presence is not None and presence != self.presence:
            self.become(presence)

    def become(self, presence: str, *, is_stalled: bool = False) -> None:
        self.presence, self.is_stalled = presence, is_stalled
        self.since_ms = time.time_ns() // 1_000_000
        self.registry.changed(self)

    # --- what the recorder tells it -------------------------------------------------------------

    async def say(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def configure(self, config: dict[str, Any], rates: FrameRates | None) -> None:
        """Its stored settings as they are now; `steer` follows them from here on."""
        self._pace.adopt(config, rates)
        told = self._told_by_pace(time.monotonic_ns())
        if told is not None:
            await self.say(wire.config_update(told))

    def kick(self, code: int, reason: str) -> None:
        """Close from our side; what still arrives on the old socket is ignored."""
        self._in_background(
            self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})
        )

    async def settle(self) -> None:
        """Wait for what is being said: a server may cut the connection when its consumer ends."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SETTLE_SECONDS)

    def _in_background(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  the socket may be gone already
                logger.debug("could not reach %s: %s", self.identity.name, error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def silent_ns(self) -> int:
        return time.monotonic_ns() - self.last_message_ns

    # --- looked at by the sweep -----------------------------------------------------------------

    @property
    def dropped(self) -> int:
        return self._dropped_before + (self._track.dropped_frames if self._track else 0)

    @property
    def error(self) -> str:
        return self._track.error if self._track else ""

    @property
    def synced_ms(self) -> int:
        return self._synced_ms

    def watch_recording(self, now_ns: int) -> None:
        """ "Recording" is said only while synced bytes advance; a failure is told once."""
        track = self._track
        if track is None:
            self.is_recording = False
            return
        if track.synced_ms not in (0, self._synced_ms):  # a clock may be set back
            self._synced_ms, self._synced_ns = track.synced_ms, now_ns
        was_recording = self.is_recording
        is_fresh = now_ns - self._synced_ns < SYNC_STALE_NS and self._synced_ns > 0
        self.is_recording = is_fresh and not track.error
        if track.error and not self._is_failure_told:
            self._is_failure_told, self._is_acknowledged = True, False
            self._in_background(self.say(wire.error(NOT_RECORDING)))
            self.registry.tell(self, Events.ERROR, f"Not recording: {track.error}")
        elif not track.error and track.written_frames > 0 and not self._is_acknowledged:
            self._is_acknowledged, self._is_failure_told = True, False
            self._in_background(self.say(wire.recording_started()))
        if was_recording != self.is_recording:
            self.registry.hub.nudge(self.identity.device_pk)

    def steer(self, now_ns: int) -> None:
        """The frame rate that fits who watches, where the camera has more than one."""
        told = self._told_by_pace(now_ns)
        if told is not None:
            self._in_background(self.say(wire.config_update(told)))

    def _told_by_pace(self, now_ns: int) -> dict[str, Any] | None:
        if self._pace.has_rates and self._facts is None and now_ns - self.connected_ns < HEARD_NS:
            return None  # its first word tells what woke it
        situation = Situation.IDLE
        if self.report.reset_reason == "motion":  # it is awake because of that
            situation = Situation.MOTION
        elif self.registry.hub.viewer_count(self.identity.device_pk):
            situation = Situation.WATCHED
        return self._pace.follow(situation, now_ns)

    def measure(self, now_ns: int) -> None:
        """Frames and bytes a second over the last two seconds."""
        then_ns, frames, received = self._measured
        elapsed = (now_ns - then_ns) / 1e9
        if elapsed >= 2:
            self.fps = round((self.frames - frames) / elapsed, 2)
            self.bytes_per_second = round((self.received_bytes - received) / elapsed)
            self._measured = (now_ns, self.frames, self.received_bytes)

    def telemetry_due(self, now_ns: int) -> bool:
        """True at most once a minute; the first time when its figures are measured."""
        if now_ns - self._telemetry_ns < TELEMETRY_NS:
            return False
        self._telemetry_ns = now_ns
        return True

    def close_track(self) -> None:
        if self._track is not None:
            self._dropped_before += self._track.dropped_frames
            self._track.close()
            self._track = None
