"""The Pi Camera Server's HTTP API as cameras in the field use it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from devices.contract import HEADERS
from devices.models import Device, Enrolment
from devices.sensor import DEFAULT_CONFIG
from tests.factories import make_device, make_key, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
MAC = "AA:BB:CC:DD:EE:FF"
TOO_DEEP = "[" * 200_000


@pytest.fixture
def camera() -> Device:
    return make_device(mac=MAC, registered_as="aa-bb-cc-dd-ee-ff")


@pytest.fixture
def key(camera: Device) -> str:
    return make_key(camera)


def post(client: Client, body: str | bytes, content_type: str = "application/json") -> Any:
    return client.post("/register", body, content_type=content_type)


def put(client: Client, key: str, config: object) -> Any:
    body = json.dumps({"config": config})
    return client.put(
        "/device/config", body, content_type="application/json", headers={"X-API-Key": key}
    )


def assert_manners(response: Any) -> None:
    """What every answer of this API carries, errors included."""
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r'W/"[^"]+"', response.headers["ETag"])
    assert "Transfer-Encoding" not in response.headers
    assert not any(name.startswith("Access-Control") for name in response.headers)


def assert_error(response: Any, status: int, error: str, message: str) -> None:
    assert response.status_code == status
    assert response.json() == {"error": error, "message": message}
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert_manners(response)


def arduino_json_bytes(document: object) -> int:
    """Memory of ArduinoJson 6 on 32 bit: 16 bytes a member, and every string with its NUL."""
    if isinstance(document, dict):
        members = document.items()
        return sum(16 + len(name) + 1 + arduino_json_bytes(value) for name, value in members)
    return len(document) + 1 if isinstance(document, str) else 0


class TestRegister:
    def test_it_answers_exactly_what_the_readme_documents(self, client: Client) -> None:
        response = post(client, json.dumps({"deviceId": MAC}))
        assert response.status_code == 200
        document = response.json()
        assert re.fullmatch("[0-9a-f]{64}", document.pop("apiKey"))
        assert document == {
            "success": True,
            "config": {"resolution": "SVGA", "framerate": 10, "quality": 12},
            "serverInfo": {"wsPort": settings.NVR_PORT, "wsPath": "/ws"},
        }
        assert_manners(response)
        assert int(response.headers["Content-Length"]) == len(response.content)

    def test_the_reply_fits_the_firmwares_json_document(self, client: Client) -> None:
        document = post(client, json.dumps({"deviceId": MAC})).json()
        assert arduino_json_bytes(document) == 294  # as measured with the library itself
        assert arduino_json_bytes({**document, "config": DEFAULT_CONFIG}) == 373
        longest = {**document["config"], "resolution": "HQVGA"}
        assert arduino_json_bytes({**document, "config": longest}) <= 300

    def test_a_known_camera_gets_its_own_configuration(self, client: Client) -> None:
        make_device(mac=MAC, config={**DEFAULT_CONFIG, "resolution": "UXGA"})
        document = post(client, json.dumps({"deviceId": MAC})).json()
        assert document["config"]["resolution"] == "UXGA"

    @pytest.mark.parametrize(
        "body", ["", "{}", '{"deviceId": null}', '{"deviceId": ""}', "[]", "7", '"x"', "   "]
    )
    def test_it_asks_for_a_missing_device_id(self, client: Client, body: str) -> None:
        assert_error(post(client, body), 400, "Bad Request", "deviceId is required")

    @pytest.mark.parametrize(
        "device_id", ["nonsense", 7, True, ["AA"], {"a": 1}, MAC + "\n", "\ud800", "AA:BB"]
    )
    def test_it_refuses_what_is_no_mac(self, client: Client, device_id: object) -> None:
        assert_error(
            post(client, json.dumps({"deviceId": device_id})),
            400,
            "Bad Request",
            "deviceId must be a valid MAC address (XX:XX:XX:XX:XX:XX)",
        )

    @pytest.mark.parametrize(
        "body", ["{", "{'a': 1}", b"\xff\xfe{", TOO_DEEP, '{"a": 1' + "0" * 9000 + "}"]
    )
    def test_it_refuses_malformed_json_in_the_same_shape(
        self, client: Client, body: str | bytes
    ) -> None:
        assert_error(post(client, body), 400, "Bad Request", "The body is not valid JSON")

    def test_it_takes_a_form_too(self, client: Client) -> None:
        response = post(client, f"deviceId={MAC}", "application/x-www-form-urlencoded")
        assert response.json()["success"] is True

    def test_a_form_with_thousands_of_fields_is_refused(self, client: Client) -> None:
        body = "&".join(f"f{n}=1" for n in range(5000))
        response = post(client, body, "application/x-www-form-urlencoded")
        assert_error(response, 400, "Bad Request", "The body has too many fields")

    def test_a_body_of_nine_megabytes_is_read_and_one_of_eleven_is_not(
        self, client: Client
    ) -> None:
        padded = json.dumps({"deviceId": MAC, "padding": "x" * 9_000_000})
        assert post(client, padded).status_code == 200
        response = post(client, "x" * 11_000_000)
        assert_error(response, 413, HTTPStatus(413).phrase, "The body is too large")

    def test_it_is_closed_when_a_person_closed_it(self, client: Client, settings: Settings) -> None:
        settings.NVR = replace(settings.NVR, registration="closed")
        response = post(client, json.dumps({"deviceId": MAC}))
        assert_error(response, 403, "Forbidden", "Registration is closed")

    def test_a_database_that_fails_is_a_500_in_shape(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(**_: object) -> None:
            raise DatabaseError("disk I/O error")

        monkeypatch.setattr("devices.views.services.register", fail)
        response = post(client, json.dumps({"deviceId": MAC}))
        assert_error(response, 500, "Internal Server Error", "Failed to register device")

    def test_it_asks_for_no_csrf_token_whatever_cookies_come_along(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_user(role="admin"))
        assert post(client, json.dumps({"deviceId": MAC})).status_code == 200

    def test_it_is_no_oracle_for_cookies(self, client: Client) -> None:
        response = post(client, json.dumps({"deviceId": MAC}))
        assert not response.cookies


class TestKey:
    PATHS = ("/device/status", "/DEVICE/Status/")

    @pytest.mark.parametrize("path", PATHS)
    def test_it_is_asked_for(self, client: Client, path: str) -> None:
        message = "API key is required. Please provide X-API-Key header."
        assert_error(client.get(path), 401, "Unauthorized", message)
        assert_error(client.get(path, {"apiKey": "x"}), 401, "Unauthorized", message)

    @pytest.mark.parametrize("text", ["x", "0" * 64, "é" * 64])
    def test_a_wrong_one_is_refused(self, client: Client, key: str, text: str) -> None:
        response = client.get("/device/status", headers={"X-API-Key": text})
        message = "Invalid API key. Device not found or not registered."
        assert_error(response, 401, "Unauthorized", message)

    @pytest.mark.parametrize("name", ["X-API-Key", "x-api-key", "X-Api-KEY"])
    def test_its_header_may_be_spelled_in_any_case(
        self, client: Client, key: str, name: str
    ) -> None:
        assert client.get("/device/status", headers={name: key}).status_code == 200

    def test_one_that_waits_for_approval_opens_nothing(
        self, client: Client, camera: Device
    ) -> None:
        waiting = make_key(camera, enrolment=Enrolment.PENDING)
        response = client.get("/device/status", headers={"X-API-Key": waiting})
        assert_error(response, 403, "Forbidden", "This device is waiting for approval.")


class TestStatus:
    def test_it_answers_for_a_camera_that_is_away(
        self, client: Client, camera: Device, key: str
    ) -> None:
        response = client.get("/device/status", headers={"X-API-Key": key})
        document = response.json()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document.pop("lastSeen"))
        assert document == {
            "deviceId": "aa-bb-cc-dd-ee-ff",
            "status": "registered",
            "config": DEFAULT_CONFIG,
            "isRecording": False,
            "totalConnections": 0,
        }
        assert_manners(response)

    def test_it_says_what_the_web_process_sees(
        self, client: Client, camera: Device, key: str
    ) -> None:
        now_ms = int(time.time() * 1000)
        facts = {"presence": "streaming", "since_ms": now_ms, "is_recording": True}
        web = {"at_ms": now_ms, "devices": {str(camera.pk): facts}}
        (settings.RUN_DIR / "web.json").write_text(json.dumps(web))
        document = client.get("/device/status", headers={"X-API-Key": key}).json()
        assert (document["status"], document["isRecording"]) == ("streaming", True)

    def test_head_is_get_without_a_body(self, client: Client, key: str) -> None:
        headers = {"X-API-Key": key}
        whole = client.get("/device/status", headers=headers)
        head = client.head("/device/status", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
        assert_manners(head)

    def test_an_etag_spares_the_body(self, client: Client, key: str) -> None:
        etag = client.get("/device/status", headers={"X-API-Key": key}).headers["ETag"]
        again = client.get("/device/status", headers={"X-API-Key": key, "If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")


class TestConfig:
    def test_any_subset_is_merged(self, client: Client, camera: Device, key: str) -> None:
        response = put(client, key, {"quality": 20, "resolution": "QVGA"})
        assert response.json() == {
            "success": True,
            "message": "Configuration updated successfully",
        }
        assert_manners(response)
        camera.refresh_from_db()
        assert camera.config == {**DEFAULT_CONFIG, "quality": 20, "resolution": "QVGA"}

    @pytest.mark.parametrize("config", [None, "", 7, []])
    def test_it_is_required(self, client: Client, key: str, config: object) -> None:
        assert_error(put(client, key, config), 400, "Bad Request", "config is required")

    def test_an_empty_one_changes_nothing(self, client: Client, key: str) -> None:
        assert put(client, key, {}).status_code == 200

    @pytest.mark.parametrize(
        ("config", "named"),
        [
            ({"framerate": 0}, "framerate"),
            ({"framerate": 10.5}, "framerate"),
            ({"framerate": True}, "framerate"),
            ({"quality": "12"}, "quality"),
            ({"quality": 64}, "quality"),
            ({"brightness": -3}, "brightness"),
            ({"resolution": "svga"}, "resolution"),
            ({"resolution": ["SVGA"]}, "resolution"),
            ({"__proto__": {}}, "__proto__"),
            ({"quality": 20, "gain": 1}, "gain"),
        ],
    )
    def test_what_is_unknown_or_out_of_range_is_named_and_changes_nothing(
        self, client: Client, camera: Device, key: str, config: dict[str, object], named: str
    ) -> None:
        response = put(client, key, config)
        assert response.status_code == 400
        assert response.json()["error"] == "Bad Request"
        assert f"config.{named} " in response.json()["message"]
        camera.refresh_from_db()
        assert camera.config == DEFAULT_CONFIG

    def test_a_form_may_nest_one_level(self, client: Client, camera: Device, key: str) -> None:
        response = client.put(
            "/device/config",
            "config[quality]=20&config[resolution]=VGA",
            content_type="application/x-www-form-urlencoded",
            headers={"X-API-Key": key},
        )
        assert response.status_code == 200
        camera.refresh_from_db()
        assert (camera.config["quality"], camera.config["resolution"]) == (20, "VGA")


class TestPaths:
    @pytest.mark.parametrize("path", ["/register", "/Register/", "/REGISTER"])
    def test_case_and_a_trailing_slash_do_not_matter(self, client: Client, path: str) -> None:
        body = json.dumps({"deviceId": MAC})
        assert client.post(path, body, content_type="application/json").status_code == 200

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", "/register"),
            ("delete", "/device/status"),
            ("get", "/device/config"),
            ("options", "/register"),
            ("get", "/nowhere"),
            ("post", "/nowhere/deeper"),
            ("get", "/register//"),
            ("get", "/..%2f..%2fetc/passwd"),
        ],
    )
    def test_wrong_methods_and_unknown_paths_are_not_found(
        self, client: Client, method: str, path: str
    ) -> None:
        response = getattr(client, method)(path)
        assert_error(response, 404, "Not Found", "Endpoint not found")

    def test_the_products_api_says_it_its_own_way(self, client: Client) -> None:
        response = client.get("/api/v1/nowhere/")
        assert response.status_code == 404
        assert response.json() == {"detail": "Not found."}

    def test_a_browser_gets_a_page(self, client: Client) -> None:
        response = client.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
        assert response.status_code == 404
        assert response.headers["Content-Type"].startswith("text/html")

    def test_a_bug_is_a_500_in_shape_and_tells_nothing(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(**_: object) -> None:
            raise ZeroDivisionError("secret")

        monkeypatch.setattr("devices.views.services.register", fail)
        client.raise_request_exception = False
        response = post(client, json.dumps({"deviceId": MAC}))
        message = "An unexpected error occurred"
        assert_error(response, 500, "Internal Server Error", message)
