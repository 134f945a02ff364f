"""The short chain for programs: as safe as the long one, and without its threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from capture.plain import is_for_older_clients
from nvr_project.asgi import application
from stills import contract_views
from system.programs import ProgramsHandler, is_of_a_program

CAPTURE = "/api/camera/capture"
WISH = b'{"width": 320, "height": 240}'
JSON = {"content-type": "application/json"}


def scope_of(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> dict[str, Any]:
    sent = {"host": "127.0.0.1", "content-length": str(len(body)), **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ["127.0.0.1", 50000],
        "server": ["127.0.0.1", 8080],
    }


class Caller:
    """One request in an ASGI server's words; `gone` is set when its client hangs up."""

    def __init__(self, body: bytes = b"") -> None:
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): text.decode() for name, text in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def ask(
    app: Any, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Caller:
    caller = Caller(body)
    await app(scope_of(method, path, headers or {}, body), caller.receive, caller.send)
    return caller


@pytest.fixture
def _trusted(settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, trusted_networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_views._news, "is_taking", True)


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called in a thread."""
    called: list[str] = []
    original = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(getattr(self.func, "__qualname__", repr(self.func)))
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)
    return called


@pytest.fixture
def finished() -> Iterator[list[object]]:
    """Who said that a request is over: Django gives back its database connections then."""
    said: list[object] = []

    def note(sender: object, **_: Any) -> None:
        said.append(sender)

    request_finished.connect(note)
    yield said
    request_finished.disconnect(note)


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.usefixtures("_trusted", "_busy")
async def test_a_busy_camera_is_refused_without_a_thread_and_without_the_database(
    hops: list[str],
) -> None:
    refused = await ask(application, "POST", CAPTURE, JSON, WISH)  # no database in this test
    assert (refused.status, json.loads(refused.body)["error"]) == (409, "Camera busy")
    assert hops == []


@pytest.mark.usefixtures("_busy")
async def test_so_is_one_with_the_environments_token_and_no_query_is_even_made_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, hops: list[str]
) -> None:
    settings.NVR = replace(settings.NVR, auth_token="a-token-of-the-environment")
    monkeypatch.delattr("stills.models.CaptureQuerySet.for_user")  # most of the cost, once
    headers = {**JSON, "authorization": "Bearer a-token-of-the-environment"}
    refused = await ask(application, "POST", CAPTURE, headers, WISH)
    assert (refused.status, hops) == (409, [])


async def test_health_is_answered_without_a_thread(hops: list[str]) -> None:
    answer = await ask(application, "GET", "/health")
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "healthy")
    assert hops == []


@pytest.mark.usefixtures("_trusted", "_busy")
async def test_the_pages_chain_is_the_one_that_changes_threads(hops: list[str]) -> None:
    """Or the counting above counts nothing."""
    await ask(ASGIHandler(), "POST", CAPTURE, JSON, WISH)
    assert len(hops) > 10


# --- what it must not lose ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", CAPTURE, {}),
        ("POST", CAPTURE, JSON),  # a body that is no JSON object
        ("POST", CAPTURE, {"origin": "http://foreign.example"}),
        ("POST", CAPTURE, {"origin": "http://listed.example"}),
        ("POST", CAPTURE, {"host": "rebound.example"}),
        ("POST", CAPTURE, {"authorization": "Bearer wrong"}),
        ("POST", CAPTURE.upper() + "/", {}),
        ("GET", CAPTURE, {}),
        ("OPTIONS", CAPTURE, {"origin": "http://listed.example"}),
        ("OPTIONS", "/images", {"origin": "http://listed.example"}),
        ("HEAD", "/api/nothing", {}),
        ("GET", "/api/nothing", {"accept": "text/html"}),
        ("GET", "/uploads/nothing.jpg", {}),
        ("GET", "/logs", {"host": "rebound.example"}),
        ("GET", "/videos/nothing.mp4", {}),
        ("GET", "/videos/nothing.mp4", {"host": "rebound.example"}),
        ("POST", "/api/devices/register", JSON),
        ("POST", "/health", {}),
    ],
)
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_trusted", "_busy", "data_dir")
async def test_both_chains_answer_alike(
    settings: Settings, method: str, path: str, headers: dict[str, str]
) -> None:
    settings.NVR = replace(settings.NVR, cors_origin=("http://listed.example",))
    body = b"[]" if headers is JSON else b""
    short = await ask(ProgramsHandler(), method, path, headers, body)
    long = await ask(ASGIHandler(), method, path, headers, body)
    assert (short.status, short.body, short.headers) == (long.status, long.body, long.headers)
    assert short.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [CAPTURE, "/health", "/images", "/videos/nothing.mp4"])
async def test_a_host_that_is_no_name_is_refused_alike(path: str) -> None:
    short = await ask(ProgramsHandler(), "GET", path, {"host": "bad host"})
    long = await ask(ASGIHandler(), "GET", path, {"host": "bad host"})
    assert (short.status, short.body) == (400, long.body)
    assert long.headers.items() <= short.headers.items()  # and those of the inner middleware


def test_a_request_with_cookies_and_a_page_take_the_long_chain() -> None:
    assert is_of_a_program(scope_of("POST", CAPTURE, {}))
    assert is_of_a_program(scope_of("GET", "/health", {}))
    assert not is_of_a_program(scope_of("POST", CAPTURE, {"cookie": "roost_session=x"}))
    for path_of_people in ("/", "/login/", "/admin/", "/api/v1/devices/", "/api/docs/"):
        assert not is_of_a_program(scope_of("GET", path_of_people, {}))


def views(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        text = str(pattern.pattern).replace("\\", "").lstrip("^").rstrip("$")
        if isinstance(pattern, URLResolver):
            yield from views(pattern, before + text)
        elif isinstance(pattern, URLPattern):
            yield before + text, pattern.callback


def test_no_view_of_the_short_chain_relies_on_djangos_csrf_check() -> None:
    seen = 0
    for route, view in views(get_resolver()):
        # "[aA][pP][iI]/" is "api/" in any case
        plain = "".join(part[1:] if part[:1].isalpha() else part for part in route.split("["))
        spelt = "/" + "".join(ch for ch in plain.replace("]", "") if ch != "?")
        if is_for_older_clients(spelt) and "api/v1" not in spelt:
            seen += 1
            assert getattr(view, "csrf_exempt", False), route
    assert seen > 15


# --- what it leaves behind ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_a_connection_to_the_database_is_given_back_where_one_was_made(
    finished: list[object],
) -> None:
    await ask(ProgramsHandler(), "GET", "/health")
    assert finished == []
    answer = await ask(ProgramsHandler(), "GET", "/stats", {"x-api-key": "0" * 64})
    assert answer.status == 401
    assert finished == [ProgramsHandler]


async def test_a_view_ends_when_its_client_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait_for_ever(_: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    handler, caller = ProgramsHandler(), Caller()
    monkeypatch.setattr(handler, "_view", wait_for_ever)
    scope = scope_of("GET", "/status", {})
    asking = asyncio.create_task(handler(scope, caller.receive, caller.send))
    await asyncio.wait_for(begun.wait(), 10)
    caller.gone.set()
    await asyncio.wait_for(asking, 10)
    assert ended.is_set()
    assert caller.sent == []


async def test_a_view_that_the_server_cancels_stays_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()

    async def wait_for_ever(_: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    handler, caller = ProgramsHandler(), Caller()
    monkeypatch.setattr(handler, "_view", wait_for_ever)
    scope = scope_of("GET", "/status", {})
    asking = asyncio.create_task(handler(scope, caller.receive, caller.send))
    await asyncio.wait_for(begun.wait(), 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_view_that_fails_is_answered_with_500(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Any) -> Any:
        raise ValueError("for once")

    handler = ProgramsHandler()
    monkeypatch.setattr(handler, "_view", fail)
    answer = await ask(handler, "GET", CAPTURE)
    assert (answer.status, json.loads(answer.body)["ok"]) == (500, False)
