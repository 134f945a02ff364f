"""capture.ledger: what is told to the database, whether it listens or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError

from capture.ledger import MAX_KEPT, Ledger
from capture.session import Event
from devices import services
from devices.models import Device, DeviceEvent, TelemetrySample
from devices.services import PresenceChange, TelemetryReport
from tests.factories import make_device

pytestmark = pytest.mark.django_db(transaction=True)
AT_MS = 1_800_000_000_000


def change(pk: int, presence: str, at_ms: int = AT_MS, **fields: Any) -> PresenceChange:
    return PresenceChange(
        device_pk=pk, presence=presence, at_ms=at_ms, last_seen_ms=at_ms, **fields
    )


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.close()


async def test_it_writes_presence_events_and_telemetry(ledger: Ledger) -> None:
    device = await database_sync_to_async(make_device)()
    ledger.note_presence(change(device.pk, "online", address="10.0.0.7", is_new_connection=True))
    ledger.note_presence(change(device.pk, "streaming", AT_MS + 5))
    ledger.note_event(Event(device.pk, "connected", "10.0.0.7", AT_MS))
    ledger.note_telemetry(TelemetryReport(device_pk=device.pk, at_ms=AT_MS, uptime_ms=5))
    assert await ledger.flush()
    row = await Device.objects.aget(pk=device.pk)
    assert (row.presence, row.connection_count, row.last_address) == ("streaming", 1, "10.0.0.7")
    assert await DeviceEvent.objects.filter(device=device, kind="connected").acount() == 1
    assert await TelemetrySample.objects.filter(device=device).acount() == 1


async def test_a_database_that_is_down_loses_nothing_and_is_tried_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await database_sync_to_async(make_device)()
    real = services.record_presence

    def fail(_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(services, "record_presence", fail)
    ledger.note_presence(change(device.pk, "online", is_new_connection=True))
    ledger.note_event(Event(device.pk, "connected", "first", AT_MS))
    assert not await ledger.flush()
    ledger.note_presence(change(device.pk, "streaming", AT_MS + 5))
    ledger.note_event(Event(device.pk, "error", "second", AT_MS + 1))
    monkeypatch.setattr(services, "record_presence", real)
    assert await ledger.flush()
    row = await Device.objects.aget(pk=device.pk)
    assert (row.presence, row.connection_count) == ("streaming", 1)
    details = [e.detail async for e in DeviceEvent.objects.filter(device=device).order_by("at")]
    assert details == ["first", "second"]


async def test_what_it_keeps_is_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(services, "record_event", fail)
    for number in range(3 * MAX_KEPT):
        ledger.note_event(Event(1, "error", str(number), AT_MS))
    assert not await ledger.flush()
    for number in range(MAX_KEPT):
        ledger.note_event(Event(1, "error", f"later {number}", AT_MS))
    written: list[str] = []
    monkeypatch.setattr(services, "record_event", lambda **event: written.append(event["detail"]))
    assert await ledger.flush()
    assert len(written) == MAX_KEPT
    assert written[-1] == f"later {MAX_KEPT - 1}", "the newest are kept"
