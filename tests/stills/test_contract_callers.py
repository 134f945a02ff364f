"""Who may call the camera-capture server's API, from which web pages, and what is none of its paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import AsyncClient, Client
from pytest_django import Settings

from stills.models import Capture
from tests.factories import make_token, make_user
from tests.stills.asking import StandIn, assert_error, make_seen, post

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("data_dir", "trusted_clients"),
]
transactional = pytest.mark.django_db(transaction=True)
CAPTURE, BOTH, STATUS = (
    "/api/camera/capture", "/api/camera/capture-and-analyze", "/api/camera/status",
)  # fmt: skip
PAGE = "https://app.example.com"
TOKEN = "a-token-of-the-environment"


# --- who may call ---------------------------------------------------------------------------------

GUARDED = [("GET", STATUS), ("POST", CAPTURE), ("POST", BOTH), ("POST", "/api/analyze")]


def with_token(settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, auth_token=TOKEN)


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "given",
    [None, "Bearer wrong", "Bearer", "Bearer ", f"bearer {TOKEN}", f"BEARER {TOKEN}", TOKEN,
     f"Basic {TOKEN}", f"Bearer {TOKEN} x", "Bearer \u00fc"],
)  # fmt: skip
def test_with_a_token_nobody_comes_in_without_it(
    client: Client, settings: Settings, method: str, path: str, given: str | None
) -> None:
    with_token(settings)
    headers = {"Authorization": given} if given else {}
    response = client.generic(method, path, headers=headers)
    assert_error(response, 401, "Unauthorized")
    assert "WWW-Authenticate" not in response.headers
    assert not Capture.objects.exists()


@transactional
async def test_the_token_and_an_operators_own_open_everything(
    camera: StandIn, settings: Settings
) -> None:
    with_token(settings)
    await database_sync_to_async(make_seen)()
    token = await database_sync_to_async(lambda: make_token(make_user(role="operator")))()
    for given in (TOKEN, token):
        headers = {"Authorization": f"Bearer {given}"}
        assert (await post(CAPTURE, {}, **headers)).status_code == 200
        status = await AsyncClient().get(STATUS, headers=headers)
        assert status.status_code == 200


def test_a_viewer_may_look_but_not_take(stranger: Client, settings: Settings) -> None:
    make_seen()
    headers = {"Authorization": f"Bearer {make_token(make_user())}"}
    for _ in range(2):
        assert stranger.get(STATUS, headers=headers).status_code == 200
        assert_error(stranger.post(CAPTURE, headers=headers), 403, "This needs an operator")
        with_token(settings)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_token_strangers_are_told_what_to_do(
    stranger: Client, method: str, path: str
) -> None:
    response = stranger.generic(method, path)
    assert response.status_code == 401
    assert response.json()["ok"] is False
    assert "NVR_TRUSTED_NETWORKS" in response.json()["error"]
    assert not Capture.objects.exists()


def test_a_name_that_somebody_else_registered_is_a_stranger(client: Client) -> None:
    assert client.post(CAPTURE, headers={"Host": "evil.example:3000"}).status_code == 401


@transactional
async def test_a_log_in_counts_for_our_own_pages_only(stranger: Client, camera: StandIn) -> None:
    browser = AsyncClient()
    await browser.aforce_login(await database_sync_to_async(make_user)(role="operator"))
    own = await browser.post(CAPTURE, headers={"Origin": "http://testserver"})
    assert own.status_code == 200
    for origin in (PAGE, "null", "http://testserver:8080", "https://testserver"):
        foreign = await browser.post(CAPTURE, headers={"Origin": origin})
        assert foreign.status_code == 401


# --- web pages ------------------------------------------------------------------------------------


def preflight(client: Client, path: str, origin: str = PAGE) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return client.options(path, headers=headers)


def cors_of(response: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("Access-Control") or name == "Vary"
    }


def test_no_page_of_others_may_do_anything_unless_a_setting_says_so(client: Client) -> None:
    make_seen()
    assert cors_of(client.get(STATUS, headers={"Origin": PAGE})) == {}
    for path in (CAPTURE, BOTH, "/api/analyze"):
        response = client.post(path, headers={"Origin": PAGE})
        text = "Requests from this web page are not allowed: add it to CORS_ORIGIN"
        assert_error(response, 403, text)
        assert cors_of(response) == {}
    response = preflight(client, CAPTURE)
    assert_error(response, 404, "Not found")
    assert cors_of(response) == {}
    assert not Capture.objects.exists()


@pytest.mark.parametrize("how", [{"cors_allow_all": True}, {"cors_origin": (PAGE, "http://b.lan")}])
@pytest.mark.parametrize("path", [CAPTURE, BOTH, STATUS, "/uploads/a.jpg", "/api/camera/nothing"])
def test_a_preflight_needs_no_log_in(
    stranger: Client, settings: Settings, how: dict[str, Any], path: str
) -> None:
    settings.NVR = replace(settings.NVR, auth_token=TOKEN, **how)
    response = preflight(stranger, path)
    assert (response.status_code, response.content) == (204, b"")
    cors = cors_of(response)
    assert set(cors.pop("Vary").split(", ")) == {"Origin", "Access-Control-Request-Headers"}
    assert cors == {
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
        "Access-Control-Allow-Headers": "authorization,content-type",
    }


@transactional
@pytest.mark.parametrize("how", [{"cors_allow_all": True}, {"cors_origin": (PAGE, "http://b.lan")}])
async def test_pages_that_a_setting_names_may_capture_and_read_every_answer(
    camera: StandIn, settings: Settings, how: dict[str, Any]
) -> None:
    settings.NVR = replace(settings.NVR, **how)
    expected = {"Access-Control-Allow-Origin": PAGE, "Vary": "Origin"}
    for fields, status in (({}, 200), ({"format": "x"}, 400)):
        response = await post(CAPTURE, fields, Origin=PAGE)
        assert (response.status_code, cors_of(response)) == (status, expected)
    with_token(settings)
    response = await post(CAPTURE, {}, Origin=PAGE)
    assert (response.status_code, cors_of(response)) == (401, expected)
    unknown = await AsyncClient().get("/api/camera/nothing", headers={"Origin": PAGE})
    assert (unknown.status_code, cors_of(unknown)) == (404, expected)


def test_a_page_that_is_not_listed_is_a_foreign_one(client: Client, settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, cors_origin=("http://b.lan",))
    make_seen()
    assert cors_of(client.get(STATUS, headers={"Origin": PAGE})) == {"Vary": "Origin"}
    assert client.post(CAPTURE, headers={"Origin": PAGE}).status_code == 403
    assert "Access-Control-Allow-Origin" not in preflight(client, CAPTURE).headers


# --- paths ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CAPTURE), ("HEAD", CAPTURE), ("PUT", CAPTURE), ("GET", BOTH), ("POST", STATUS),
     ("DELETE", STATUS), ("GET", "/api/analyze"), ("OPTIONS", STATUS), ("BREW", STATUS),
     ("GET", "/api/camera/"), ("GET", "/api/camera/stream.mjpeg"), ("POST", "/uploads/a.jpg"),
     ("GET", "/uploads/"), ("GET", "/uploads/a/b.jpg"), ("DELETE", "/uploads/a.jpg")],
)  # fmt: skip
def test_an_unknown_path_or_method_is_one_answer(client: Client, method: str, path: str) -> None:
    response = client.generic(method, path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    if method != "HEAD":
        assert_error(response, 404, "Not found")


@pytest.mark.parametrize("path", ["/api/camera/status/", "/API/Camera/Status"])
def test_case_and_a_trailing_slash_do_not_matter(client: Client, path: str) -> None:
    make_seen()
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200
