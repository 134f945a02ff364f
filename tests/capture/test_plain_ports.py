"""The plain HTTP ports for older clients, on both servers."""

from __future__ import annotations

import http.client
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capture.plain import is_for_older_clients
from tests.capture.web import Web, free_port
from tests.instruments.certificates import Pki


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def web(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    populated: Path,
    pki: Pki,
) -> Iterator[Web]:
    """A web process that also listens on a plain port."""
    data = tmp_path_factory.mktemp(request.param) / "data"
    shutil.copytree(populated, data)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        plain = probe.getsockname()[1]
    running = Web(
        data,
        pki,
        request.param,
        NVR_HTTP_PORTS=str(plain),
        NVR_TRUSTED_NETWORKS="127.0.0.0/8",
    )
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


def ask(web: Web, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", int(web.env["NVR_HTTP_PORTS"]), timeout=10)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_an_older_clients_path_answers_without_tls(web: Web) -> None:
    status, body = ask(web, "/health")
    assert (status, '"status":"healthy"' in body) == (200, True)


@pytest.mark.parametrize(
    "path", ["/", "/login/", "/admin/", "/api/v1/me/", "/register", "/device/status", "/stats"]
)
def test_everything_that_has_a_log_in_or_a_key_stays_encrypted(web: Web, path: str) -> None:
    status, body = ask(web, path)
    assert status == 404
    assert f"use https and port {web.port}" in body


def test_a_caller_does_not_say_where_the_recorder_is_mounted(web: Web) -> None:
    """Daphne believes this header: the path would be another one for Django than for the check."""
    status, body = ask(web, "/videos/login/", **{"Daphne-Root-Path": "/videos"})
    assert (status, "password" in body) == (404, False)


def test_a_camera_cannot_send_its_key_in_the_clear(web: Web) -> None:
    status, _ = ask(
        web,
        "/ws",
        **{
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "X-API-Key": web.world["keys"][0],
        },
    )
    assert status == 403


async def test_the_encrypted_port_still_answers_everything(web: Web) -> None:
    status, _, body = await web.get("/api/v1/me/", token=web.world["viewer_token"])
    assert (status, b'"role":"viewer"' in body) == (200, True)


def test_a_taken_port_is_one_sentence(populated: Path, pki: Pki, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(populated, data)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        web = Web(data, pki, "daphne", NVR_HTTP_PORTS=str(port))
        web.port = free_port()
        with pytest.raises(AssertionError, match=f"Cannot listen on 127.0.0.1 port {port}"):
            web.start(attempts=1)


def test_the_older_systems_paths_are_known() -> None:
    assert all(
        is_for_older_clients(path)
        for path in ("/api/health", "/videos/a.mp4", "/api/camera/status", "/capture", "/images/x")
    )
    assert not any(
        is_for_older_clients(path) for path in ("/api/v1/me/", "/ws", "/recordings", "/ca.pem")
    )
