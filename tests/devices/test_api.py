"""`/api/v1/devices/`: who may do what, and what is answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from devices import services
from devices.models import Device, DeviceKey, Enrolment, Presence, TelemetrySample
from devices.sensor import DEFAULT_CONFIG
from tests.devices.channel import listen
from tests.factories import make_device, make_key, make_recording, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
LIST = "/api/v1/devices/"
FIELDS = {
    "id", "mac", "name", "kind", "enrolment", "presence", "presence_since", "last_seen_at", "is_inactive",
    "is_connected", "is_recording", "received_fps", "config", "position", "address", "connection_count",
    "frame_rates", "firmware_version", "firmware_board", "update_key", "last_reset_reason", "sentence", "source",
}  # fmt: skip
As = Callable[[str], Client]


@pytest.fixture
def camera() -> Device:
    return make_device(name="Door")


@pytest.fixture
def a(camera: Device) -> As:
    """A browser logged in with a role; viewers and operators were given `camera`."""

    def logged_in(role: str) -> Client:
        client = Client(headers={"Accept": "application/json"})
        if role != "nobody":
            client.force_login(make_user(role=role, cameras=() if role == "admin" else (camera,)))
        return client

    return logged_in


def one(device: Device, rest: str = "") -> str:
    return f"{LIST}{device.pk}/{rest}"


def send(client: Client, method: str, path: str, document: object = None) -> Any:
    body = "" if document is None else json.dumps(document)
    return client.generic(method, path, body, content_type="application/json")


def connect(device: Device, **facts: Any) -> None:
    now_ms = int(time.time() * 1000)
    document = {"presence": "streaming", "since_ms": now_ms, "fps": 9.84, "is_recording": True}
    web = {"at_ms": now_ms, "devices": {str(device.pk): {**document, **facts}}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(web))


class TestScope:
    def test_everyone_sees_the_cameras_given_to_them(self, a: As, camera: Device) -> None:
        make_device(name="Somebody else's")
        for role, names in {
            "viewer": ["Door"],
            "operator": ["Door"],
            "admin": ["Door", "Somebody else's"],
        }.items():
            assert [row["name"] for row in a(role).get(LIST).json()["results"]] == names

    def test_another_camera_is_not_there_at_all(self, a: As) -> None:
        other = make_device()
        make_key(other)
        key_pk = DeviceKey.objects.get().pk
        for role in ("viewer", "operator"):
            client = a(role)
            assert client.get(one(other)).status_code == 404
            assert client.get(one(other, "telemetry/")).status_code == 404
            assert client.get(one(other, "events/")).status_code == 404
        operator = a("operator")
        assert send(operator, "PATCH", one(other), {"name": "mine"}).status_code == 404
        assert (
            send(operator, "POST", one(other, "command/"), {"action": "reboot"}).status_code == 404
        )
        assert operator.get(one(other, "keys/")).status_code == 403
        assert operator.delete(one(other, f"keys/{key_pk}/")).status_code == 403

    @pytest.mark.parametrize(
        ("method", "rest", "least"),
        [
            ("GET", "", "viewer"),
            ("GET", "telemetry/", "viewer"),
            ("GET", "events/", "viewer"),
            ("PATCH", "", "operator"),
            ("POST", "command/", "operator"),
            ("DELETE", "", "admin"),
            ("POST", "approve/", "admin"),
            ("GET", "keys/", "admin"),
            ("DELETE", "keys/1/", "admin"),
        ],
    )
    def test_each_door_opens_for_its_role_and_those_above(
        self, a: As, camera: Device, method: str, rest: str, least: str
    ) -> None:
        roles = ["nobody", "viewer", "operator", "admin"]
        for role in roles:
            status = send(a(role), method, one(camera, rest), {}).status_code
            if role == "nobody":
                assert status == 401
            elif roles.index(role) < roles.index(least):
                assert status == 403
            else:
                assert status not in (401, 403)

    def test_a_session_needs_a_csrf_token_to_change_anything(self, camera: Device) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_user(role="admin"))
        assert send(client, "PATCH", one(camera), {"name": "x"}).status_code == 403
        client.get("/login/")
        client.cookies["csrftoken"] = "a" * 32
        body = json.dumps({"name": "x"})
        headers = {"X-CSRFToken": "a" * 32}
        patched = client.patch(one(camera), body, content_type="application/json", headers=headers)
        assert patched.status_code == 200

    def test_a_number_that_no_row_can_have_is_not_found(self, a: As) -> None:
        assert a("admin").get(f"{LIST}{10**30}/").status_code == 404


class TestList:
    def test_its_queries_do_not_grow_with_the_cameras(
        self, a: As, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        admin = a("admin")
        for _ in range(3):
            make_key(make_device())
        with django_assert_num_queries(4):  # session, person, count, page
            admin.get(LIST)
        for _ in range(30):
            make_key(make_device())
        with django_assert_num_queries(4):
            assert admin.get(LIST).json()["count"] == 34

    @pytest.mark.parametrize("rest", ["telemetry/", "events/", "keys/"])
    def test_a_cameras_lists_cost_the_same_for_one_and_for_many(
        self, a: As, camera: Device, rest: str, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        admin = a("admin")
        for _ in range(20):
            make_key(camera)
            services.record_event(device_pk=camera.pk, kind="connected")
            services.record_telemetry([services.TelemetryReport(camera.pk, 1_800_000_000_000)])
        with django_assert_num_queries(5):  # session, person, camera, count, page
            assert len(admin.get(one(camera, rest)).json()["results"]) == 20

    def test_it_filters_by_what_the_rows_say(self, a: As, camera: Device) -> None:
        long_ago = timezone.now() - timedelta(days=2)
        asleep = make_device(name="Shed", presence=Presence.ASLEEP, last_seen_at=long_ago)
        waiting = make_device(name="New", enrolment=Enrolment.PENDING, kind="simulated")
        admin = a("admin")

        def ids(**query: Any) -> list[int]:
            return [row["id"] for row in admin.get(LIST, query).json()["results"]]

        assert ids(presence="asleep") == [asleep.pk]
        assert ids(enrolment="pending") == [waiting.pk]
        assert waiting.pk not in ids(enrolment="approved")
        assert ids(kind="simulated") == [waiting.pk]
        assert ids(is_inactive="true") == [asleep.pk]
        assert asleep.pk not in ids(is_inactive="false")
        assert ids(search="hed") == [asleep.pk]
        assert ids(search=camera.mac) == [camera.pk]
        assert ids(ordering="-name")[0] == asleep.pk
        assert admin.get(LIST, {"presence": "dancing"}).status_code == 400


class TestOne:
    def test_it_has_the_fields_of_the_interface(self, a: As, camera: Device) -> None:
        document = a("viewer").get(one(camera)).json()
        assert set(document) == FIELDS
        assert document["config"] == DEFAULT_CONFIG
        assert (document["is_connected"], document["is_recording"]) == (False, False)

    def test_it_says_what_the_web_process_sees(self, a: As, camera: Device) -> None:
        Device.objects.update(last_seen_at=timezone.now() - timedelta(days=3))
        connect(camera)
        document = a("viewer").get(one(camera)).json()
        assert (document["presence"], document["received_fps"]) == ("streaming", 9.8)
        assert (document["is_connected"], document["is_recording"]) == (True, True)
        assert document["is_inactive"] is False
        assert document["sentence"] == "Live and recorded, 10 frames a second"

    def test_a_row_that_lags_is_not_believed(self, a: As, camera: Device) -> None:
        Device.objects.update(presence=Presence.STREAMING)
        assert a("viewer").get(one(camera)).json()["presence"] == "offline"

    def test_a_patch_stores_tells_the_camera_and_answers_with_the_whole(
        self,
        a: As,
        camera: Device,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        next_message = listen(camera)
        changes = {"name": "Gate", "position": 3, "config": {"quality": 20}, "mac": "x"}
        with django_capture_on_commit_callbacks(execute=True):
            document = send(a("operator"), "PATCH", one(camera), changes).json()
        assert (document["name"], document["position"]) == ("Gate", 3)
        assert document["mac"] == camera.mac
        assert document["config"] == {**DEFAULT_CONFIG, "quality": 20}
        assert next_message()["config"] == document["config"]

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"config": {"quality": 1}}, "config.quality"),
            ({"config": {"zoom": 1}}, "config.zoom"),
            ({"config": []}, "object"),
            ({"name": ""}, "blank"),
            ({"name": "x" * 81}, "80"),
            ({"position": -1}, "0"),
        ],
    )
    def test_a_bad_patch_is_named_and_changes_nothing(
        self, a: As, camera: Device, changes: dict[str, Any], named: str
    ) -> None:
        changes = {"position": 7, **changes}
        response = send(a("operator"), "PATCH", one(camera), changes)
        assert response.status_code == 400
        assert named in str(response.json())
        camera.refresh_from_db()
        assert (camera.name, camera.position, camera.config) == ("Door", 0, DEFAULT_CONFIG)

    def test_malformed_json_is_a_400(self, a: As, camera: Device) -> None:
        response = a("operator").patch(one(camera), "{", content_type="application/json")
        assert response.status_code == 400
        assert "detail" in response.json()

    def test_it_is_deleted_only_without_recordings(self, a: As, camera: Device) -> None:
        recording = make_recording(camera)
        admin = a("admin")
        refused = admin.delete(one(camera))
        assert refused.status_code == 409
        assert "recordings" in refused.json()["detail"]
        recording.delete()
        assert admin.delete(one(camera)).status_code == 204
        assert admin.get(one(camera)).status_code == 404


class TestCommand:
    def test_it_is_sent_to_a_connected_camera(self, a: As, camera: Device) -> None:
        connect(camera)
        next_message = listen(camera)
        response = send(a("operator"), "POST", one(camera, "command/"), {"action": "sleep"})
        assert response.status_code == 202
        assert next_message()["action"] == "sleep"

    def test_it_is_refused_for_one_that_is_away(self, a: As, camera: Device) -> None:
        response = send(a("operator"), "POST", one(camera, "command/"), {"action": "sleep"})
        assert response.status_code == 409
        assert response.json() == {"detail": "The camera is not connected."}

    def test_an_unknown_action_is_a_400(self, a: As, camera: Device) -> None:
        connect(camera)
        response = send(a("operator"), "POST", one(camera, "command/"), {"action": "explode"})
        assert response.status_code == 400
        assert "action" in response.json()


class TestKeysAndApproval:
    def test_one_click_lets_a_waiting_camera_in(self, a: As) -> None:
        services.update_policy(mode="approve")
        done = services.register(mac="AA:BB:CC:DD:EE:FF", address="192.0.2.7")
        admin = a("admin")
        assert admin.get(one(done.device)).json()["enrolment"] == "pending"
        approved = send(admin, "POST", one(done.device, "approve/")).json()
        assert approved["enrolment"] == "approved"
        assert not services.identify(done.key).is_pending  # type: ignore[union-attr]

    def test_keys_are_listed_without_secrets_and_revoked(self, a: As, camera: Device) -> None:
        key = make_key(camera)
        admin = a("admin")
        (row,) = admin.get(one(camera, "keys/")).json()["results"]
        assert set(row) == {
            "id", "enrolment", "issued_to", "created_at", "last_used_at", "revoked_at",
        }  # fmt: skip
        assert admin.delete(one(camera, f"keys/{row['id']}/")).status_code == 204
        assert services.identify(key) is None
        assert admin.delete(one(camera, f"keys/{row['id']}/")).status_code == 404


class TestHistory:
    @pytest.mark.parametrize("form", ["ms", "iso"])
    def test_since_takes_milliseconds_and_iso(self, a: As, camera: Device, form: str) -> None:
        now = timezone.now()
        for minutes in (1, 90):
            TelemetrySample.objects.create(device=camera, at=now - timedelta(minutes=minutes))
        since = now - timedelta(hours=1)
        text = since.isoformat() if form == "iso" else str(int(since.timestamp() * 1000))
        document = a("viewer").get(one(camera, "telemetry/"), {"since": text}).json()
        assert document["count"] == 1

    @pytest.mark.parametrize("text", ["yesterday", "-1", "9" * 30, "²"])
    def test_another_since_is_a_400(self, a: As, camera: Device, text: str) -> None:
        response = a("viewer").get(one(camera, "events/"), {"since": text})
        assert response.status_code == 400
        assert "since" in response.json()

    def test_a_day_of_telemetry_comes_in_one_answer(self, a: As, camera: Device) -> None:
        now = timezone.now()
        TelemetrySample.objects.bulk_create(
            TelemetrySample(device=camera, at=now - timedelta(minutes=n)) for n in range(1440)
        )
        document = a("viewer").get(one(camera, "telemetry/")).json()
        assert len(document["results"]) == 1440
