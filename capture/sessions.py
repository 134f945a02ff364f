"""Every camera that is connected to this process: at most one session each.

All of it runs on the event loop; nothing here waits. One timer watches the deadlines of all
sessions by monotonic time: the wall clock may step, the server's pings are not used.
"""

from __future__ import annotations

import asyncio
import logging
import time

from capture.budget import Limits
from capture.exceptions import Refused
from capture.hub import KEEP_NEWEST_MS, Hub, hub
from capture.packet_session import PacketSession
from capture.session import Event, Events, News, Send, Session, Spool
from devices.models import Presence
from devices.services import (
    RECORDER_STOPPED,
    CameraFacts,
    Identity,
    PresenceChange,
    TelemetryReport,
)
from devices.updates_steps import UpdateReport

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
STALLED_NS = 5_000_000_000  # no frame
SILENT_NS = 10_000_000_000  # nothing at all: the camera is gone, its socket does not know
TAKEOVER_NS = 2_000_000_000  # another key may replace a connection silent for this long

CLOSE_REPLACED, CLOSE_SILENT, CLOSE_LIMIT = 4409, 4408, 4429


class Registry:
    """The live sessions, at most one per camera."""

    def __init__(self, hub_: Hub = hub, limits: Limits | None = None) -> None:
        self.hub = hub_
        self.limits = limits or Limits()
        self.spool: Spool | None = None
        self.news: News | None = None
        self._live: dict[int, Session] = {}
        self._last_words: dict[int, tuple[str, int]] = {}  # presence and since_ms, once seen

    def live(self, device_pk: int) -> Session | None:
        return self._live.get(device_pk)

    def open(self, identity: Identity, address: str | None, send: Send) -> Session:
        """The newest connection wins, except over a living one that holds another key.

        Raises Refused: a stranger who registered a known MAC must not take a live camera over.
        """
        pk = identity.device_pk
        earlier = self._live.get(pk)
        if earlier is not None:
            is_same_key = earlier.identity.key_pk == identity.key_pk
            if not is_same_key and earlier.silent_ns < TAKEOVER_NS:
                self.tell(earlier, Events.LIMIT, "A second key tried to connect meanwhile.")
                raise Refused(403, "Forbidden")
            self._leave(earlier)
            earlier.kick(CLOSE_REPLACED, "replaced by a newer connection")
        kind = PacketSession if identity.is_agent else Session
        session = kind(self, identity, address, send)
        self._live[pk] = session
        self.changed(session, is_connect=True)
        self.tell(session, Events.CONNECTED, address or "")
        return session

    def close(self, session: Session, why: str = "") -> None:
        """The connection ended. Of a session that was replaced or ended before: nothing changes."""
        if session.is_over:
            return
        self._leave(session)
        is_asleep = session.presence == Presence.ASLEEP
        if is_asleep:
            self.tell(session, Events.ASLEEP, "")
        else:
            session.presence = Presence.OFFLINE
            session.since_ms = time.time_ns() // 1_000_000
            self.tell(session, Events.DISCONNECTED, why)
        self.changed(session)

    def end(self, session: Session, code: int, reason: str) -> None:
        """Close from our side."""
        if not session.is_over:
            self.close(session, reason)
            session.kick(code, reason)

    def end_all(self) -> None:
        for session in list(self._live.values()):
            self.close(session, RECORDER_STOPPED)

    def _leave(self, session: Session) -> None:
        session.is_over = True
        session.is_recording = False
        if self._live.get(session.identity.device_pk) is session:
            del self._live[session.identity.device_pk]
        session.close_track()

    # --- telling ----------------------------------------------------------------------------------

    def changed(self, session: Session, *, is_connect: bool = False) -> None:
        pk = session.identity.device_pk
        self._last_words[pk] = (session.presence, session.since_ms)
        self.hub.nudge(pk)
        if self.news is not None:
            last_seen_ms = time.time_ns() // 1_000_000 - session.silent_ns // 1_000_000
            self.news.note_presence(
                PresenceChange(
                    device_pk=pk,
                    presence=session.presence,
                    at_ms=session.since_ms,
                    last_seen_ms=last_seen_ms,
                    address=session.address,
                    is_new_connection=is_connect,
                    key_pk=session.identity.key_pk if is_connect else None,
                )
            )

    def tell(self, session: Session, kind: str, detail: str) -> None:
        self.note(session.identity.device_pk, kind, detail, session.report.rssi_dbm)

    def note(self, device_pk: int, kind: str, detail: str, rssi_dbm: int | None = None) -> None:
        if self.news is not None:
            at_ms = time.time_ns() // 1_000_000
            self.news.note_event(Event(device_pk, kind, detail, at_ms, rssi_dbm))

    def describe(self, facts: CameraFacts) -> None:
        if self.news is not None:
            self.news.note_facts(facts)

    def note_update(self, report: UpdateReport) -> None:
        if self.news is not None:
            self.news.note_update(report)

    def last_words(self, device_pk: int) -> tuple[str, int] | None:
        """Presence and since_ms of a camera seen since this process started."""
        return self._last_words.get(device_pk)

    # --- the one timer ----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Called every SWEEP_SECONDS; also measures, and lets old stills go."""
        now_ns = time.monotonic_ns()
        for session in list(self._live.values()):
            silent_ns = now_ns - session.last_message_ns
            if silent_ns >= SILENT_NS:
                self.end(session, CLOSE_SILENT, "silent for 10 s")
                continue
            is_late = now_ns - session.last_frame_ns >= STALLED_NS
            if session.presence == Presence.STREAMING and is_late:
                session.become(Presence.ONLINE, is_stalled=True)
                self.tell(session, Events.STALLED, "No picture for 5 s.")
            session.watch_recording(now_ns)
            session.measure(now_ns)
            session.steer(now_ns)
            if self.news is not None and session.telemetry_due(now_ns):
                self.news.note_telemetry(_telemetry(session))
        self.hub.forget_older_than(time.time_ns() // 1_000_000 - KEEP_NEWEST_MS)

    async def watch(self) -> None:
        """One task for the life of the process."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self.sweep()
            except Exception:  # a loop's edge: one camera's trouble must not end the watch
                logger.exception("Looking after the cameras failed once")

    def facts(self) -> dict[str, dict[str, object]]:
        """What run/web.json says of every camera that is connected."""
        return {str(pk): self._facts_of(pk, session) for pk, session in self._live.items()}

    def _facts_of(self, pk: int, session: Session) -> dict[str, object]:
        return {
            "presence": session.presence,
            "since_ms": session.since_ms,
            "is_stalled": session.is_stalled,
            "fps": session.fps,
            "bytes_per_second": session.bytes_per_second,
            "dropped": session.dropped,
            "rejected": session.rejected,
            "is_recording": session.is_recording,
            "synced_ms": session.synced_ms,
            "error": session.error,
            "viewers": self.hub.viewer_count(pk),
            "rssi": session.report.rssi_dbm,
            "uptime_ms": session.report.uptime_ms,
            "free_heap": session.report.free_heap_bytes,
        }


def _telemetry(session: Session) -> TelemetryReport:
    return TelemetryReport(
        device_pk=session.identity.device_pk,
        at_ms=time.time_ns() // 1_000_000,
        uptime_ms=session.report.uptime_ms,
        free_heap_bytes=session.report.free_heap_bytes,
        boot_count=session.report.boot_count,
        rssi_dbm=session.report.rssi_dbm,
        drops=session.report.drops,
        temperature_c=session.report.temperature_c,
        battery_mv=session.report.battery_mv,
        received_fps=session.fps,
        received_bytes_per_second=float(session.bytes_per_second),
        dropped_frames=session.dropped,
    )


registry = Registry()
