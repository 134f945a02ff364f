"""Who asks to join, and what a person answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from devices import enrolment, services
from devices.enrolment import Request
from devices.exceptions import RegistrationRefused
from devices.models import Device, DeviceKey, Enrolment, TelemetrySample
from tests.factories import make_device, make_key, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

MAC = "AA:BB:CC:DD:EE:FF"
ROOT = "/api/v1/enrolment/"


@pytest.fixture(autouse=True)
def by_approval() -> None:
    services.update_policy(mode="approve")


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(make_user(role="admin"))
    return client


def ask(mac: str = MAC, address: str = "192.0.2.7") -> services.Registration:
    return services.register(mac=mac, address=address)


def key_of(registration: services.Registration) -> int:
    identity = services.identify(registration.key)
    assert identity is not None
    return identity.key_pk


def is_let_in(registration: services.Registration) -> bool:
    identity = services.identify(registration.key)
    return identity is not None and not identity.is_pending


def known_camera() -> tuple[Device, str]:
    device = make_device(mac=MAC, last_address="192.0.2.1")
    return device, make_key(device)


def connect(device: Device) -> None:
    now_ms = int(time.time() * 1000)
    facts = {"presence": "streaming", "since_ms": now_ms}
    web = {"at_ms": now_ms, "devices": {str(device.pk): facts}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(web))


def listed(client: Client, path: str = "", **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(ROOT + path, query).json()["results"]
    return rows


def send(client: Client, path: str, document: object) -> Any:
    return client.post(ROOT + path, json.dumps(document), content_type="application/json")


class TestList:
    def test_a_new_camera_waits_with_what_is_known_of_it(self, admin: Client) -> None:
        ask(address="192.0.2.6")
        newest = ask()
        (row,) = listed(admin)
        assert row["mac"] == MAC
        assert row["is_new"] is True
        assert row["key"] == key_of(newest)
        assert (row["asked_from"], row["ask_count"], row["address_count"]) == ("192.0.2.7", 2, 2)
        assert row["first_asked_at"] < row["asked_at"]
        assert row["connected_from"] is None
        assert row["rssi_dbm"] is None

    def test_who_asks_with_the_mac_of_a_connected_camera_is_shown_as_that(
        self, admin: Client
    ) -> None:
        camera, _ = known_camera()
        TelemetrySample.objects.create(device=camera, at=camera.created_at, rssi_dbm=-61)
        connect(camera)
        ask(address="192.0.2.66")
        (row,) = listed(admin)
        assert row["is_new"] is False
        assert (row["connected_from"], row["asked_from"]) == ("192.0.2.1", "192.0.2.66")
        assert row["rssi_dbm"] == -61

    def test_what_was_asked_before_an_approval_waits_no_longer(self, admin: Client) -> None:
        ask(), ask()
        newest = ask()
        services.approve(device_pk=newest.device.pk)
        assert listed(admin) == []
        ask()
        (row,) = listed(admin)
        assert (row["is_new"], row["ask_count"]) == (False, 1)

    def test_the_newest_request_comes_first_and_pages_cost_the_same(
        self, admin: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        macs = [f"AA:BB:CC:00:00:{number:02X}" for number in range(30)]
        for mac in macs:
            ask(mac)
        ask(macs[3])
        with django_assert_num_queries(4):  # session, person, count, page
            rows = listed(admin, page_size=8)
        assert [row["mac"] for row in rows[:2]] == [macs[3], macs[29]]
        assert len(rows) == 8

    def test_only_admins_are_asked(self) -> None:
        for role in ("viewer", "operator"):
            client = Client()
            client.force_login(make_user(role=role))
            assert client.get(ROOT).status_code == 403
            for path in ("approve/", "refuse/", "readmit/"):
                assert send(client, path, {}).status_code == 403
        assert Client().get(ROOT).status_code == 401


class TestApprove:
    def test_many_are_let_in_at_once_and_what_is_gone_is_not_counted(self, admin: Client) -> None:
        first, second = ask("AA:BB:CC:00:00:01"), ask("AA:BB:CC:00:00:02")
        shown = [{"device": one.device.pk, "key": key_of(one)} for one in (first, second)]
        Device.objects.filter(pk=second.device.pk).delete()
        answer = send(admin, "approve/", {"requests": shown})
        assert answer.json() == {"count": 1}
        assert is_let_in(first)

    def test_the_key_that_was_shown_is_let_in_and_not_one_that_came_meanwhile(self) -> None:
        shown = ask()
        strangers = ask(address="192.0.2.66")
        enrolment.approve_requests([Request(shown.device.pk, key_of(shown))])
        assert is_let_in(shown)
        assert not is_let_in(strangers)

    def test_the_connected_cameras_key_is_good_before_and_after_the_new_one_is_used(self) -> None:
        camera, old = known_camera()
        asked = ask()
        enrolment.approve_requests([Request(camera.pk, key_of(asked))])
        new = services.identify(asked.key)
        assert new is not None
        assert services.identify(old) is not None
        services.note_use(new)
        assert services.identify(old) is not None
        assert not DeviceKey.objects.exclude(revoked_at=None).exists()

    def test_a_device_from_open_times_with_an_approved_key_can_be_let_in(self) -> None:
        asked = ask()
        services.update_policy(mode="open")
        newer = ask()
        (row,) = enrolment.requests()
        assert row.key_pk == key_of(newer)  # type: ignore[attr-defined]
        assert enrolment.approve_requests([Request(asked.device.pk, key_of(newer))]) == 1
        assert is_let_in(newer)

    def test_nothing_to_approve_is_refused_in_words(self, admin: Client) -> None:
        assert send(admin, "approve/", {"requests": []}).status_code == 400
        assert send(admin, "approve/", {"requests": [{"device": 1}]}).status_code == 400


class TestRefuse:
    def test_a_new_camera_is_gone_from_sight_and_gets_no_other_key(self, admin: Client) -> None:
        asked = ask()
        answer = send(admin, "refuse/", {"devices": [asked.device.pk]})
        assert answer.json() == {"count": 1}
        assert listed(admin) == []
        assert admin.get("/api/v1/devices/").json()["count"] == 0
        assert services.identify(asked.key) is None
        for mode in ("approve", "open"):
            services.update_policy(mode=mode)
            with pytest.raises(RegistrationRefused, match="was refused"):
                ask()
        (row,) = listed(admin, "refused/")
        assert (row["device"], row["mac"]) == (asked.device.pk, MAC)

    def test_a_refused_camera_waits_again_when_a_person_says_so(self, admin: Client) -> None:
        old, newest = ask(), ask()
        send(admin, "refuse/", {"devices": [newest.device.pk]})
        assert send(admin, "readmit/", {"devices": [newest.device.pk]}).json() == {"count": 1}
        (row,) = listed(admin)
        assert row["key"] == key_of(newest)
        assert services.identify(old.key) is None
        assert not is_let_in(newest)
        assert ask().is_pending

    def test_of_a_known_camera_only_the_waiting_keys_are_revoked(self, admin: Client) -> None:
        camera, old = known_camera()
        strangers = ask(address="192.0.2.66")
        assert enrolment.refuse(device_pks=[camera.pk]) == 1
        assert services.identify(strangers.key) is None
        assert services.identify(old) is not None
        assert listed(admin) == []
        assert admin.get(f"/api/v1/devices/{camera.pk}/").status_code == 200
        assert ask().is_pending  # it may be the camera that lost power

    def test_all_that_was_seen_is_refused_and_nothing_that_came_later(self, admin: Client) -> None:
        seen = [ask(f"AA:BB:CC:00:00:{number:02X}") for number in range(20)]
        later = ask("AA:BB:CC:00:01:00")
        assert enrolment.refuse(up_to_key=key_of(seen[-1])) == 20
        assert [row["device"] for row in listed(admin)] == [later.device.pk]

    def test_the_refused_take_no_place_from_others_and_are_not_kept_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment, "MAX_REFUSED", 2)
        services.update_policy(max_devices=3)
        flood = [ask(f"AA:BB:CC:00:00:{number:02X}") for number in range(3)]
        with pytest.raises(RegistrationRefused, match="limit of 3"):
            ask()
        for one in flood:
            enrolment.refuse(device_pks=[one.device.pk])
        assert [row.pk for row in enrolment.refused()] == [flood[2].device.pk, flood[1].device.pk]
        assert ask().is_pending

    def test_somebody_who_was_let_in_cannot_be_refused(self) -> None:
        camera, old = known_camera()
        assert enrolment.refuse(device_pks=[camera.pk]) == 0
        assert enrolment.readmit(device_pks=[camera.pk]) == 0
        assert services.identify(old) is not None

    @pytest.mark.parametrize("document", [{}, {"devices": [1], "up_to_key": 1}, {"devices": "x"}])
    def test_an_unclear_wish_is_not_guessed_at(self, admin: Client, document: object) -> None:
        asked = ask()
        assert send(admin, "refuse/", document).status_code == 400
        assert services.identify(asked.key) is not None

    @pytest.mark.parametrize(
        ("path", "document"),
        [
            ("approve/", {"requests": [{"device": 10**30, "key": 10**30}]}),
            ("refuse/", {"devices": [10**30]}),
            ("refuse/", {"up_to_key": 10**30}),
            ("readmit/", {"devices": [10**30]}),
        ],
    )
    def test_a_number_that_no_row_can_have_is_refused(
        self, admin: Client, path: str, document: object
    ) -> None:
        assert send(admin, path, document).status_code == 400


def test_pages_can_leave_new_cameras_out(admin: Client) -> None:
    known_camera()
    new = make_device(enrolment=Enrolment.PENDING)

    def ids(is_new: str) -> list[int]:
        rows = admin.get("/api/v1/devices/", {"is_new": is_new}).json()["results"]
        return [row["id"] for row in rows]

    assert ids("true") == [new.pk]
    assert new.pk not in ids("false")
    assert len(ids("false")) == 1
