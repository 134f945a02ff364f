"""Registration, keys and approval."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from devices import services
from devices.exceptions import (
    BadMac,
    RegistrationRefused,
    SettingIsFixed,
    UnknownDevice,
)
from devices.models import (
    MAX_UNUSED_KEYS_PER_DEVICE,
    Device,
    DeviceEvent,
    DeviceKey,
    Enrolment,
    Presence,
)
from devices.reports import MAX_REGISTRATIONS_AN_HOUR
from devices.sensor import DEFAULT_CONFIG
from tests.devices.channel import listen
from tests.factories import make_device, make_key

MAC = "AA:BB:CC:DD:EE:FF"


def who(key: str) -> services.Identity:
    identity = services.identify(key)
    assert identity is not None
    return identity


@pytest.mark.django_db
class TestRegister:
    @pytest.mark.parametrize(
        "spelling", [MAC, MAC.lower(), MAC.replace(":", "-"), "aa-bb:CC-dd:EE-ff"]
    )
    def test_it_knows_a_mac_in_every_spelling(self, spelling: str) -> None:
        first = services.register(mac=MAC)
        again = services.register(mac=spelling)
        assert again.device == first.device
        assert again.device.registered_as == MAC
        assert Device.objects.get().mac == MAC

    def test_it_keeps_the_first_spelling(self) -> None:
        assert services.register(mac="aa-bb-cc-dd-ee-ff").device.registered_as == (
            "aa-bb-cc-dd-ee-ff"
        )
        assert services.register(mac=MAC).device.registered_as == "aa-bb-cc-dd-ee-ff"

    @pytest.mark.parametrize(
        "text",
        ["", "AA:BB:CC:DD:EE", MAC + "\n", MAC + ":00", "AABBCCDDEEFF", "GA:BB:CC:DD:EE:FF", 7, None,
         "ÀA:BB:CC:DD:EE:FF", "AA:BB:CC:DD:EE:F٣", ["AA"]],
    )  # fmt: skip
    def test_it_refuses_what_is_no_mac(self, text: object) -> None:
        with pytest.raises(BadMac):
            services.register(mac=text)
        assert not Device.objects.exists()

    def test_it_gives_a_known_mac_one_more_key_and_leaves_the_others_working(self) -> None:
        keys = [services.register(mac=MAC).key for _ in range(3)]
        assert len(set(keys)) == 3
        assert all(services.identify(key) is not None for key in keys)

    def test_the_key_is_64_lower_hex_and_stored_nowhere(self) -> None:
        key = services.register(mac=MAC).key
        assert len(key) == 64
        assert key == key.lower()
        int(key, 16)
        assert key not in str(list(DeviceKey.objects.values()))

    def test_it_refuses_the_device_above_the_limit_but_never_a_known_one(self) -> None:
        services.update_policy(max_devices=1)
        known = services.register(mac=MAC)
        with pytest.raises(RegistrationRefused, match="limit of 1 devices"):
            services.register(mac="AA:BB:CC:DD:EE:00")
        assert services.register(mac=MAC).device == known.device
        assert Device.objects.count() == 1

    def test_closed_it_refuses_strangers(self) -> None:
        services.update_policy(mode="closed")
        with pytest.raises(RegistrationRefused):
            services.register(mac=MAC)
        assert not Device.objects.exists()

    def test_closed_a_known_camera_that_lost_power_waits_for_a_click(self) -> None:
        old = services.register(mac=MAC)
        services.update_policy(mode="closed")
        new = services.register(mac=MAC)
        assert new.is_pending
        assert who(new.key).is_pending
        assert not who(old.key).is_pending
        services.approve(device_pk=old.device.pk)
        assert not who(new.key).is_pending

    def test_by_approval_it_gives_a_key_that_waits(self) -> None:
        services.update_policy(mode="approve")
        done = services.register(mac=MAC, address="192.0.2.7")
        assert done.is_pending
        identity = services.identify(done.key)
        assert identity is not None
        assert identity.is_pending
        assert "waits for approval" in DeviceEvent.objects.get().detail

    def test_by_approval_an_approved_camera_keeps_working_with_its_old_key(self) -> None:
        old = services.register(mac=MAC).key
        services.update_policy(mode="approve")
        new = services.register(mac=MAC).key
        assert not who(old).is_pending
        assert who(new).is_pending

    def test_the_environment_wins_over_the_row(self, settings: Settings) -> None:
        services.update_policy(mode="open")
        settings.NVR = replace(settings.NVR, registration="closed")
        assert services.policy().mode == "closed"
        with pytest.raises(RegistrationRefused):
            services.register(mac=MAC)
        with pytest.raises(SettingIsFixed):
            services.update_policy(mode="open")

    def test_a_flood_of_one_mac_prunes_unused_keys_only(self) -> None:
        used = services.register(mac=MAC).key
        services.note_use(who(used))
        flood = [services.register(mac=MAC).key for _ in range(MAX_UNUSED_KEYS_PER_DEVICE + 5)]
        assert DeviceKey.objects.never_used().count() == MAX_UNUSED_KEYS_PER_DEVICE
        assert services.identify(used) is not None
        assert services.identify(flood[-1]) is not None
        assert services.identify(flood[0]) is None

    def test_a_flood_of_one_mac_is_a_few_lines_of_its_history_an_hour(self) -> None:
        for _ in range(MAX_REGISTRATIONS_AN_HOUR + 5):
            device = services.register(mac=MAC, address="192.0.2.7").device
        events = device.events.order_by("pk")
        assert events.count() == MAX_REGISTRATIONS_AN_HOUR
        assert [one.detail for one in events][-2:] == [
            "from 192.0.2.7",
            "from 192.0.2.7, more of this hour are not listed",
        ]
        events.update(at=timezone.now() - timedelta(hours=1, seconds=1))
        services.register(mac=MAC)
        assert events.count() == MAX_REGISTRATIONS_AN_HOUR + 1, "the next hour has its own"

    def test_simulated_cameras_are_told_by_their_prefix_and_numbered(self) -> None:
        names = [
            services.register(mac=f"02-52-4f-53-54-0{number}").device.name for number in (5, 6)
        ]
        assert names == ["Simulated camera 5", "Simulated camera 6"]
        assert set(Device.objects.values_list("kind", flat=True)) == {"simulated"}


@pytest.mark.django_db(transaction=True)
def test_cameras_that_register_at_once_share_one_device_and_the_limit() -> None:
    services.update_policy(max_devices=2)
    macs = [MAC] * 4 + [f"AA:BB:CC:DD:EE:0{n}" for n in range(4)]
    keys: list[str] = []
    refused: list[str] = []

    def call(mac: str) -> None:
        try:
            keys.append(services.register(mac=mac).key)
        except RegistrationRefused:
            refused.append(mac)
        finally:
            connection.close()

    services.register(mac=MAC)
    threads = [threading.Thread(target=call, args=(mac,)) for mac in macs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert Device.objects.count() == 2
    assert len(keys) == 5  # four for the known MAC, one for the last place
    assert len(refused) == 3
    assert MAC not in refused
    assert all(services.identify(key) for key in keys)


@pytest.mark.django_db
class TestKeys:
    def test_identify_says_who_it_is(self) -> None:
        device = make_device(mac=MAC)
        identity = services.identify(make_key(device))
        assert identity is not None
        assert (identity.device_pk, identity.mac) == (device.pk, MAC)
        assert identity.directory == "AA-BB-CC-DD-EE-FF"
        assert identity.config == DEFAULT_CONFIG
        assert not identity.is_pending

    @pytest.mark.parametrize("text", ["", "x", "0" * 64, "A" * 64, "0" * 65, "\ud800" * 64])
    def test_identify_knows_no_other_text(self, text: str) -> None:
        make_key(make_device())
        assert services.identify(text) is None

    def test_use_is_noted_at_most_hourly(self) -> None:
        key = make_key(make_device())
        services.note_use(who(key))
        first = DeviceKey.objects.get().last_used_at
        services.note_use(who(key))
        assert first is not None
        assert DeviceKey.objects.get().last_used_at == first
        earlier = timezone.now() - timedelta(hours=2)
        DeviceKey.objects.update(last_used_at=earlier)
        services.note_use(who(key))
        assert DeviceKey.objects.get().last_used_at > earlier  # type: ignore[operator]

    def test_a_camera_is_let_in_although_its_use_cannot_be_noted(
        self, monkeypatch: pytest.MonkeyPatch, client: Client
    ) -> None:
        key = make_key(make_device())

        def fail(*args: object, **kwargs: object) -> int:
            raise DatabaseError("attempt to write a readonly database")

        monkeypatch.setattr("devices.models.DeviceKeyQuerySet.update", fail)
        headers = {"X-API-Key": key}
        assert client.get("/device/status", headers=headers).status_code == 200

    def test_a_camera_at_the_door_waits_for_one_read_only(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        key = make_key(make_device())
        with django_assert_num_queries(1):
            services.identify(key)

    def test_a_revoked_key_is_refused_and_its_connection_closed(
        self, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        device = make_device()
        key, other = make_key(device), make_key(device)
        key_pk = who(key).key_pk
        next_message = listen(device)
        with django_capture_on_commit_callbacks(execute=True):
            services.revoke_key(device_pk=device.pk, key_pk=key_pk)
        assert services.identify(key) is None
        assert services.identify(other) is not None
        message = next_message()
        assert message["type"] == "device.close"
        assert (message["code"], message["key_pk"]) == (4401, key_pk)

    def test_a_key_of_another_device_cannot_be_revoked_through_this_one(self) -> None:
        device, other = make_device(), make_device()
        key = make_key(other)
        with pytest.raises(UnknownDevice):
            services.revoke_key(device_pk=device.pk, key_pk=DeviceKey.objects.get().pk)
        assert services.identify(key) is not None


@pytest.mark.django_db
class TestApprove:
    def test_it_lets_the_device_and_its_newest_key_in(self) -> None:
        services.update_policy(mode="approve")
        strangers = services.register(mac=MAC)
        cameras = services.register(mac=MAC)
        services.approve(device_pk=cameras.device.pk)
        assert not who(cameras.key).is_pending
        assert who(strangers.key).is_pending

    def test_it_lets_a_chosen_key_in(self) -> None:
        services.update_policy(mode="approve")
        cameras, strangers = services.register(mac=MAC), services.register(mac=MAC)
        chosen = who(cameras.key).key_pk
        services.approve(device_pk=cameras.device.pk, key_pk=chosen)
        assert not who(cameras.key).is_pending
        assert who(strangers.key).is_pending

    def test_it_refuses_a_key_of_another_device(self) -> None:
        device, other = make_device(enrolment=Enrolment.PENDING), make_device()
        make_key(other, enrolment=Enrolment.PENDING)
        with pytest.raises(UnknownDevice):
            services.approve(device_pk=device.pk, key_pk=DeviceKey.objects.get().pk)
        device.refresh_from_db()
        assert device.enrolment == Enrolment.PENDING

    def test_waiting_is_told_from_a_strangers_key_while_the_camera_is_connected(self) -> None:
        device = make_device(presence=Presence.STREAMING)
        make_key(device)
        make_key(device, enrolment=Enrolment.PENDING)
        assert not Device.objects.with_waiting().get().is_waiting  # type: ignore[attr-defined]
        Device.objects.update(presence=Presence.OFFLINE)
        assert Device.objects.with_waiting().get().is_waiting  # type: ignore[attr-defined]
