"""Presence, telemetry and events, written in batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from devices import services
from devices.models import (
    Device,
    DeviceEvent,
    Presence,
    TelemetrySample,
)
from devices.services import PresenceChange, TelemetryReport
from tests.factories import make_device, make_key

NOW_MS = 1_800_000_000_000


def change(device: Device, presence: str, at_ms: int = NOW_MS, **fields: Any) -> PresenceChange:
    fields.setdefault("last_seen_ms", at_ms)
    return PresenceChange(device_pk=device.pk, presence=presence, at_ms=at_ms, **fields)


@pytest.mark.django_db
class TestPresence:
    def test_changes_are_applied_in_order(self) -> None:
        device = make_device()
        services.record_presence(
            [
                change(
                    device, "online", NOW_MS, is_new_connection=True, address="::ffff:192.0.2.7"
                ),
                change(device, "streaming", NOW_MS + 500),
                change(device, "streaming", NOW_MS + 900),
            ]
        )
        device.refresh_from_db()
        assert device.presence == "streaming"
        assert device.presence_since.timestamp() * 1000 == NOW_MS + 500
        assert device.last_seen_at.timestamp() * 1000 == NOW_MS + 900
        assert (device.connection_count, device.last_address) == (1, "192.0.2.7")

    def test_a_new_connection_notes_the_use_of_its_key(self) -> None:
        device = make_device()
        key = make_key(device)
        make_key(device)
        used = services.identify(key).key_pk  # type: ignore[union-attr]
        services.record_presence(
            [
                change(device, "online", is_new_connection=True, key_pk=used),
                change(device, "online"),
            ]
        )
        assert list(device.keys.never_used()) == list(device.keys.exclude(pk=used))

    def test_asleep_survives_the_close(self) -> None:
        device = make_device(presence=Presence.STREAMING)
        services.record_presence(
            [change(device, "asleep"), change(device, "offline", NOW_MS + 100)]
        )
        device.refresh_from_db()
        assert device.presence == "asleep"
        services.record_presence([change(device, "online", NOW_MS + 9000)])
        device.refresh_from_db()
        assert device.presence == "online"

    def test_late_news_does_not_set_last_seen_back(self) -> None:
        seen = timezone.now() + timedelta(days=3650)
        device = make_device(last_seen_at=seen)
        services.record_presence([change(device, "offline")])
        device.refresh_from_db()
        assert device.last_seen_at == seen

    def test_a_deleted_device_does_not_spoil_the_batch(self) -> None:
        gone, device = make_device(), make_device()
        changes = [change(gone, "online"), change(device, "online")]
        gone.delete()
        services.record_presence(changes)
        device.refresh_from_db()
        assert device.presence == "online"

    def test_a_batch_costs_the_same_for_one_and_for_many(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        devices = [make_device() for _ in range(20)]
        with django_assert_num_queries(4):  # savepoint, read, write, release
            services.record_presence(change(device, "online") for device in devices)

    def test_after_a_crash_the_connected_are_offline_and_sleepers_sleep(self) -> None:
        streaming = make_device(presence=Presence.STREAMING)
        asleep = make_device(presence=Presence.ASLEEP)
        services.mark_disconnected()
        streaming.refresh_from_db()
        asleep.refresh_from_db()
        assert (streaming.presence, asleep.presence) == ("offline", "asleep")
        assert streaming.presence_since == streaming.last_seen_at


@pytest.mark.django_db
def test_telemetry_keeps_what_the_columns_hold_and_skips_deleted_devices() -> None:
    device, gone = make_device(), make_device()
    reports = [
        TelemetryReport(gone.pk, NOW_MS),
        TelemetryReport(device.pk, NOW_MS, uptime_ms=2**70, free_heap_bytes=-1, rssi_dbm=-61),
        TelemetryReport(device.pk, NOW_MS, boot_count=True, received_fps=9.8),
    ]
    gone.delete()
    services.record_telemetry(reports)
    first, second = TelemetrySample.objects.order_by("pk")
    assert (first.uptime_ms, first.free_heap_bytes, first.rssi_dbm) == (None, None, -61)
    assert (second.boot_count, second.received_fps) == (None, 9.8)


@pytest.mark.django_db
def test_an_event_is_cut_to_its_column_and_needs_a_device() -> None:
    device = make_device()
    services.record_event(device_pk=device.pk, kind="error", detail="x" * 5000, at_ms=NOW_MS)
    services.record_event(device_pk=device.pk + 1, kind="error")
    assert len(DeviceEvent.objects.get().detail) == 300


def test_the_environment_of_these_tests_decides_nothing() -> None:
    assert settings.NVR.registration is None
    assert Path(settings.RUN_DIR).is_dir()
