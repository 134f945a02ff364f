"""`/api/v1/sources/` and `/api/v1/nodes/`: who may do what, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from devices import services, sources
from devices.environment_sources import apply_environment
from devices.models import Device, Node, Source
from tests.factories import make_device, make_source, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
API, NODES, DEVICES = "/api/v1/sources/", "/api/v1/nodes/", "/api/v1/devices/"
URL = "rtsp://192.168.1.20/live"
FIELDS = {
    "id", "device", "kind", "url", "username", "has_password", "rate_fps", "transport", "wants_audio",
    "is_enabled", "node", "node_name", "environment_name", "state", "code", "sentence", "state_since",
    "attempts", "found",
}  # fmt: skip
As = Callable[[str], Client]


@pytest.fixture
def source() -> Source:
    return make_source(url=URL, name="Door", username="admin", password="canary")


@pytest.fixture
def a(source: Source) -> As:
    """A browser logged in with a role; viewers and operators were given `source`'s camera."""

    def logged_in(role: str) -> Client:
        client = Client(headers={"Accept": "application/json"})
        cameras = () if role == "admin" else (source.device,)
        if role != "nobody":
            client.force_login(make_user(role=role, cameras=cameras))
        return client

    return logged_in


def send(client: Client, method: str, path: str, document: object = None) -> Any:
    body = "" if document is None else json.dumps(document)
    return client.generic(method, path, body, content_type="application/json")


def answers(node: Node) -> None:
    """As if its agent had called just now."""
    (settings.RUN_DIR / f"node-{node.pk}").touch()


class TestScope:
    @pytest.mark.parametrize(
        ("method", "path", "least"),
        [
            ("GET", API, "operator"),
            ("POST", API, "operator"),
            ("GET", API + "{pk}/", "operator"),
            ("PATCH", API + "{pk}/", "operator"),
            ("GET", NODES, "admin"),
            ("POST", NODES, "admin"),
            ("GET", NODES + "{node}/", "admin"),
            ("DELETE", NODES + "{node}/", "admin"),
        ],
    )
    def test_each_door_opens_for_its_role_and_those_above(
        self, a: As, source: Source, method: str, path: str, least: str
    ) -> None:
        roles = ["nobody", "viewer", "operator", "admin"]
        for role in roles:
            there = path.format(pk=source.pk, node=source.node_id)
            status = send(a(role), method, there, {}).status_code
            if role == "nobody":
                assert status == 401
            elif roles.index(role) < roles.index(least):
                assert status == 403
            else:
                assert status not in (401, 403)

    def test_somebody_elses_is_not_there_at_all(self, a: As, source: Source) -> None:
        other = make_source()
        operator = a("operator")
        assert [row["id"] for row in operator.get(API).json()["results"]] == [source.pk]
        assert operator.get(f"{API}{other.pk}/").status_code == 404
        assert send(operator, "PATCH", f"{API}{other.pk}/", {}).status_code == 404
        assert len(a("admin").get(API).json()["results"]) == 2
        services.remove_device(device_pk=other.device_id)
        assert len(a("admin").get(API).json()["results"]) == 1

    def test_a_source_itself_is_not_deleted(self, a: As, source: Source) -> None:
        assert a("admin").delete(f"{API}{source.pk}/").status_code == 405

    def test_a_viewer_learns_how_it_goes_and_not_where_it_is(self, a: As, source: Source) -> None:
        answers(source.node)
        Source.objects.update(
            state="retrying", code="refused", sentence="The camera refused the password."
        )
        response = a("viewer").get(f"{DEVICES}{source.device_id}/")
        at = timezone.localtime(source.state_since)
        words = f"Since {at:%H:%M}: The camera refused the password"
        assert response.json()["source"] == {
            "id": source.pk,
            "kind": "rtsp",
            "state": "retrying",
            "code": "refused",
            "sentence": words,
        }
        assert response.json()["sentence"] == words
        assert "192.168.1.20" not in response.content.decode()
        assert a("admin").get(f"{DEVICES}{make_device().pk}/").json()["source"] is None


class TestCost:
    def test_queries_do_not_grow_with_the_sources(
        self, a: As, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        admin = a("admin")
        for more in (0, 20):
            for _ in range(more):
                make_source()
            for path in (API, NODES, DEVICES):
                with django_assert_num_queries(4):  # session, person, count, page
                    assert admin.get(path).status_code == 200


class TestOne:
    def test_it_has_the_fields_of_the_interface_and_no_password(
        self, a: As, source: Source
    ) -> None:
        response = a("operator").get(f"{API}{source.pk}/")
        document = response.json()
        assert set(document) == FIELDS
        assert (document["url"], document["username"]) == (URL, "admin")
        assert document["has_password"] is True
        assert "canary" not in response.content.decode()
        assert source.sealed_password not in response.content.decode()

    def test_its_state_is_history_where_the_node_is_silent(self, a: As, source: Source) -> None:
        Source.objects.update(state="retrying", code="refused", sentence="No.")
        operator = a("operator")

        def said() -> tuple[str, str, str]:
            document = operator.get(f"{API}{source.pk}/").json()
            return document["state"], document["code"], document["sentence"]

        waits = "Waits for the recorder's capture agent, which does not answer"
        assert said() == ("waiting", "", waits)
        answers(source.node)
        assert said()[:2] == ("retrying", "refused")
        node, _ = sources.create_node(name="Shed")
        Source.objects.update(node=node)
        assert said() == ("waiting", "", "Waits for Shed, which has not called yet")
        Node.objects.update(last_seen_at=datetime.now(tz=UTC) - timedelta(minutes=3))
        assert said()[2].startswith("Waits for Shed, which last called ")

    def test_it_filters_by_kind_and_device(self, a: As, source: Source) -> None:
        usb = make_source(url="usb:/dev/video0")
        admin = a("admin")

        def ids(**query: Any) -> list[int]:
            return [row["id"] for row in admin.get(API, query).json()["results"]]

        assert ids(kind="usb") == [usb.pk]
        assert ids(device=source.device_id) == [source.pk]
        assert ids(search="192.168.1.20") == [source.pk]
        assert admin.get(API, {"kind": "telepathy"}).status_code == 400
        assert [row["id"] for row in admin.get(DEVICES, {"kind": "usb"}).json()["results"]] == [
            usb.device_id
        ]


class TestCreate:
    def test_a_camera_and_its_source_at_once(self, a: As) -> None:
        operator = a("operator")
        asked = {
            "name": "Gate",
            "url": "rtsp://u:canary-2@cam.example:8554/x",
            "wants_audio": False,
        }
        response = send(operator, "POST", API, asked)
        assert response.status_code == 201
        document = response.json()
        assert set(document) == FIELDS
        assert (document["url"], document["username"]) == ("rtsp://cam.example:8554/x", "u")
        assert (document["has_password"], document["wants_audio"]) == (True, False)
        assert "canary" not in response.content.decode()
        assert operator.get(f"{DEVICES}{document['device']}/").json()["name"] == "Gate"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"url": "file:///etc/passwd"}, "url"), ({"url": ""}, "url"), ({"url": 7}, "url"),
            ({"name": ""}, "name"), ({"name": "x" * 81}, "name"), ({"node": 999}, "node"),
            ({"node": 10**30}, "node"), ({"rate_fps": "fast"}, "rate_fps"), ({"rate_fps": 1e9}, "rate_fps"),
            ({"transport": "udp"}, "transport"), ({"wants_audio": "perhaps"}, "wants_audio"),
            ({"username": "x" * 121}, "username"), ({"password": "x" * 201}, "password"),
            ({"url": "rtsp://127.0.0.1/"}, "url"),
        ],
        ids=range(14),
    )  # fmt: skip
    def test_a_bad_wish_is_named_and_makes_nothing(
        self, a: As, change: dict[str, Any], field: str
    ) -> None:
        response = send(a("operator"), "POST", API, {"name": "Gate", "url": URL, **change})
        assert response.status_code == 400
        assert list(response.json()) == [field]
        assert Device.objects.count() == 1

    def test_a_full_recorder_says_so(self, a: As) -> None:
        services.update_policy(max_devices=1)
        response = send(a("operator"), "POST", API, {"name": "Gate", "url": URL})
        assert (response.status_code, "limit of 1" in response.json()["detail"]) == (409, True)

    def test_a_password_keeps_its_blanks(self, a: As) -> None:
        send(
            a("operator"),
            "POST",
            API,
            {"name": "G", "url": URL, "password": " p ", "username": "u"},
        )
        assert sources.password_of(Source.objects.latest("pk")) == " p "


class TestChange:
    def patch(self, a: As, source: Source, **changes: Any) -> Any:
        return send(a("operator"), "PATCH", f"{API}{source.pk}/", changes)

    def test_it_is_started_again_with_what_is_new(self, a: As, source: Source) -> None:
        answers(source.node)
        document = self.patch(a, source, url="rtsp://192.168.1.20/other").json()
        assert (document["url"], document["state"]) == ("rtsp://192.168.1.20/other", "connecting")
        assert document["has_password"] is True

    def test_switching_off_on_and_trying_again(self, a: As, source: Source) -> None:
        answers(source.node)
        off = self.patch(a, source, is_enabled=False).json()
        assert (off["state"], off["sentence"][:12]) == ("off", "Switched off")
        assert self.patch(a, source, is_enabled=True).json()["state"] == "connecting"
        assert self.patch(a, source, is_enabled=True).status_code == 200
        source.refresh_from_db()
        assert source.version == 4

    def test_another_host_needs_the_password_again(self, a: As, source: Source) -> None:
        response = self.patch(a, source, url="rtsp://192.168.1.21/live")
        assert response.status_code == 400
        assert "password again" in response.json()["password"][0]
        changes = {"url": "rtsp://192.168.1.21/live", "password": "typed"}
        assert self.patch(a, source, **changes).status_code == 200

    def test_it_moves_to_a_node_and_back(self, a: As, source: Source) -> None:
        node, _ = sources.create_node(name="Shed")
        moved = self.patch(a, source, node=node.pk, password="typed")
        assert moved.json()["node_name"] == "Shed"
        assert self.patch(a, source, wants_audio=False).json()["node_name"] == "Shed"
        assert self.patch(a, source, node=node.pk).json()["node_name"] == "Shed"
        back = self.patch(a, source, node=None, password="typed")
        assert back.json()["node_name"] == "This recorder"

    def test_another_machine_gets_no_stored_password(self, a: As, source: Source) -> None:
        """Whoever runs that machine could read it, and its network may have another camera there."""
        node, _ = sources.create_node(name="Shed")
        for changes in ({"node": node.pk}, {"node": node.pk, "wants_audio": False}):
            response = self.patch(a, source, **changes)
            assert response.status_code == 400
            assert "enter it again" in response.json()["password"][0]
        tested = send(
            a("admin"), "POST", "/api/v1/source-tests/", {"source": source.pk, "node": node.pk}
        )
        assert (tested.status_code, list(tested.json())) == (400, ["password"])
        source.refresh_from_db()
        assert source.node.is_local

    def test_what_a_variable_decides_is_said(self, a: As, source: Source) -> None:
        apply_environment({"RTSP_URL": "rtsp://192.168.1.50/live"})
        fixed = Source.objects.get(environment_name="RTSP_URL")
        admin = a("admin")
        refused = send(admin, "PATCH", f"{API}{fixed.pk}/", {"url": URL})
        assert refused.status_code == 400
        assert refused.json() == {"url": ["RTSP_URL decides the address of this camera."]}
        for query in ("", "?recordings=delete"):
            deleted = admin.delete(f"{DEVICES}{fixed.device_id}/{query}")
            assert (deleted.status_code, "RTSP_URL" in deleted.json()["detail"]) == (409, True)

    def test_a_sensor_it_does_not_have_is_not_set(self, a: As, source: Source) -> None:
        device = f"{DEVICES}{source.device_id}/"
        refused = send(a("operator"), "PATCH", device, {"config": {"quality": 20}})
        assert (refused.status_code, list(refused.json())) == (400, ["config"])
        assert send(a("operator"), "PATCH", device, {"name": "New"}).json()["name"] == "New"
        refused = send(a("operator"), "POST", f"{device}command/", {"action": "reboot"})
        assert (refused.status_code, list(refused.json())) == (400, ["action"])


class TestNodes:
    def test_a_key_is_shown_once(self, a: As) -> None:
        admin = a("admin")
        response = send(admin, "POST", NODES, {"name": "Shed"})
        assert response.status_code == 201
        assert response["Cache-Control"] == "no-store"
        document = response.json()
        assert sources.node_of(document.pop("key")) is not None
        assert admin.get(f"{NODES}{document['id']}/").json() == document
        assert document["source_count"] == 0
        assert document["is_alive"] is False
        again = send(admin, "POST", NODES, {"name": "Shed"})
        assert (again.status_code, "name" in again.json()["detail"]) == (409, True)
        assert send(admin, "POST", NODES, {"name": ""}).status_code == 400

    def test_one_in_use_stays(self, a: As, source: Source) -> None:
        admin = a("admin")
        node, key = sources.create_node(name="Shed")
        Source.objects.update(node=node)
        refused = admin.delete(f"{NODES}{node.pk}/")
        assert (refused.status_code, "Cameras come in" in refused.json()["detail"]) == (409, True)
        Source.objects.update(node=sources.local_node())
        assert admin.delete(f"{NODES}{node.pk}/").status_code == 204
        assert sources.node_of(key) is None
        assert admin.delete(f"{NODES}{sources.local_node().pk}/").status_code == 409

    def test_a_new_key_is_shown_once(self, a: As, source: Source) -> None:
        node, old = sources.create_node(name="Shed")
        assert send(a("operator"), "POST", f"{NODES}{node.pk}/key/", {}).status_code == 403
        response = send(a("admin"), "POST", f"{NODES}{node.pk}/key/", {})
        assert (response.status_code, response["Cache-Control"]) == (201, "no-store")
        assert sources.node_of(response.json()["key"]) == node
        assert sources.node_of(old) is None
        own = f"{NODES}{source.node_id}/key/"
        assert send(a("admin"), "POST", own, {}).status_code == 409

    def test_they_say_whether_they_answer(self, a: As, source: Source) -> None:
        answers(source.node)
        (document,) = a("admin").get(NODES).json()["results"]
        assert (document["is_alive"], document["is_local"], document["source_count"]) == (
            True,
            True,
            1,
        )


def test_the_schema_knows_every_door(a: As) -> None:
    schema = a("admin").get("/api/schema/", {"format": "json"}).json()
    paths = schema["paths"]
    for path in ("sources/", "sources/{id}/", "nodes/", "nodes/{id}/", "source-tests/",
                 "source-tests/{id}/", "source-tests/{id}/picture.jpg", "source-candidates/",
                 "onvif/", "onvif/streams/", "agent/sync/"):  # fmt: skip
        assert f"/api/v1/{path}" in paths, sorted(paths)
    assert {"apiKey"} <= {each["type"] for each in schema["components"]["securitySchemes"].values()}
    said = {
        name: shape["properties"]["password"]
        for name, shape in schema["components"]["schemas"].items()
        if "password" in shape.get("properties", {})
    }
    assert {name for name, field in said.items() if not field.get("writeOnly")} == {"Spec"}
    assert len(said) > 3
