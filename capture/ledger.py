"""What the web process tells the database, in batches, by one thread, and never in a frame's way.

The database may be down for hours: presence and facts keep only the latest words per camera, events
and telemetry are bounded and lose their oldest. What could not be written is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, close_old_connections

from capture.session import Event
from devices import services as devices
from devices.services import CameraFacts, PresenceChange, TelemetryReport
from devices.updates_steps import UpdateReport, record_updates

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.1  # several changes of one moment become one transaction
RETRY_SECONDS = (1, 2, 5, 10, 30)
MAX_KEPT = 2000
MAX_CHANGES = 8  # of one camera's presence


class Ledger:
    """`note_*` on the event loop; `run` is one task for the life of the process."""

    def __init__(self) -> None:
        self._presence: dict[int, list[PresenceChange]] = {}
        self._events: deque[Event | UpdateReport] = deque(maxlen=MAX_KEPT)
        self._telemetry: deque[TelemetryReport] = deque(maxlen=MAX_KEPT)
        self._facts: dict[int, CameraFacts] = {}
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        # One thread of its own: a database that answers slowly holds up nobody else.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def note_presence(self, note: PresenceChange) -> None:
        _add(self._presence.setdefault(note.device_pk, []), note)
        self._news.set()

    def note_event(self, note: Event) -> None:
        self._events.append(note)
        self._news.set()

    def note_update(self, note: UpdateReport) -> None:
        """In one line with the events: what it says must be written in its order."""
        self._events.append(note)
        self._news.set()

    def note_telemetry(self, note: TelemetryReport) -> None:
        self._telemetry.append(note)
        self._news.set()

    def note_facts(self, note: CameraFacts) -> None:
        self._facts[note.device_pk] = note
        self._news.set()

    async def run(self) -> None:
        failures = 0
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            # Shielded: what was taken out to be written must not be lost when the process stops.
            if await asyncio.shield(self.flush()):
                failures = 0
                continue
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1

    async def flush(self) -> bool:
        """Write what there is; False where the database would not take it (it is kept)."""
        async with self._one_at_a_time:  # so that the last flush ends after all others
            return await self._flush()

    async def _flush(self) -> bool:
        self._news.clear()
        presence, self._presence = self._presence, {}
        events, telemetry = list(self._events), list(self._telemetry)
        facts, self._facts = self._facts, {}
        self._events.clear()
        self._telemetry.clear()
        if not (presence or events or telemetry or facts):
            return True
        changes = [change for of_device in presence.values() for change in of_device]
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, _write, changes, events, telemetry, list(facts.values())
            )
        except (DatabaseError, InterfaceError, OSError) as error:
            logger.warning("The database takes no news of cameras now (%s); it is kept.", error)
            newer, self._presence = self._presence, presence
            for of_device in newer.values():
                for change in of_device:
                    self.note_presence(change)
            self._events = deque([*events, *self._events], MAX_KEPT)  # the oldest go
            self._telemetry = deque([*telemetry, *self._telemetry], MAX_KEPT)
            self._facts = {**facts, **self._facts}
            self._news.set()
            return False
        return True

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _add(changes: list[PresenceChange], note: PresenceChange) -> None:
    """Of each connection only its beginning and the latest word are kept, of few connections.

    The beginning matters: it counts, and it is what wakes a camera that was asleep.
    """
    if changes and not changes[-1].is_new_connection and not note.is_new_connection:
        changes[-1] = note
    else:
        changes.append(note)
    del changes[:-MAX_CHANGES]


def _write(
    presence: list[PresenceChange],
    events: list[Event | UpdateReport],
    telemetry: list[TelemetryReport],
    facts: list[CameraFacts],
) -> None:
    """Runs in the ledger's thread."""
    close_old_connections()
    try:
        if presence:
            devices.record_presence(presence)
        if telemetry:
            devices.record_telemetry(telemetry)
        if facts:
            devices.record_facts(facts)
        for event in events:
            if isinstance(event, UpdateReport):
                record_updates([event])
            else:
                devices.record_event(**event._asdict())
    finally:
        close_old_connections()
