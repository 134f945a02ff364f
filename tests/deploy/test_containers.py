"""deploy/compose.yaml and what it starts: its structure, and nginx with its real configuration.

Docker is not here: the images were never built. The server behind nginx is simulated.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from nvr_project import unit
from nvr_project.environment import PROJECT_DIR
from system import pki
from tests.stack import free_port, wait_until
from tests.test_docs import variables

DEPLOY = PROJECT_DIR / "deploy"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # a user's PATH lacks it
VIDEO = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return read


# --- structure ----------------------------------------------------------------------------------


def roles(compose: dict[str, Any]) -> dict[str, Any]:
    return {n: s for n, s in compose["services"].items() if s.get("image") == "roost"}


def test_every_process_has_a_container(compose: dict[str, Any]) -> None:
    commands = {
        service["command"][0] for service in roles(compose).values() if "command" in service
    }
    # Valkey has its own image, and without systemd nobody can be told of its units.
    assert commands == {"prepare", "manage", *unit.ROLES} - {"valkey", "control"}
    assert {"postgres", "valkey", "nginx"} <= set(compose["services"])


def test_what_it_names_is_there(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for wanted, how in service.get("depends_on", {}).items():
            assert wanted in compose["services"], name
            other = compose["services"][wanted]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in other, f"{name} waits for {wanted}"
            else:
                assert other["restart"] == "no", f"{name} waits for {wanted} to end"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            is_path = source.startswith((".", "$"))
            assert is_path or source in compose["volumes"], f"{name}: {volume}"
    for name in roles(compose):
        build = compose["services"][name]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_its_settings_are_settings(compose: dict[str, Any]) -> None:
    for name, service in roles(compose).items():
        assert set(service["environment"]) <= variables(), name


def test_only_two_ports_are_open_and_no_container_has_rights_to_spare(
    compose: dict[str, Any],
) -> None:
    open_ports = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert open_ports == {
        "web": ["${ROOST_PORT:-3443}:3443"],
        "nginx": ["${HTTPS_PORT:-443}:8443"],
    }
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
    for name in [*roles(compose), "nginx"]:
        assert compose["services"][name]["cap_drop"] == ["ALL"], name
        assert compose["services"][name]["read_only"] is True, name


def test_nginx_sees_video_and_no_key(compose: dict[str, Any]) -> None:
    volumes = compose["services"]["nginx"]["volumes"]
    assert all(volume.endswith(":ro") for volume in volumes)
    assert not any(volume.startswith("data:") for volume in volumes)


def test_every_variable_it_asks_for_is_in_the_example(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    example = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert asked == example


def test_the_image_holds_what_the_program_is_made_of_and_no_data() -> None:
    ignored = (PROJECT_DIR / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", "data", "node_modules", "deploy/.env"} <= set(ignored)
    packages = {path.parent.name for path in PROJECT_DIR.glob("*/__init__.py")} - {"tests", "bench"}
    assert not packages & set(ignored)
    copied = re.findall(r"^COPY (.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert copied[-1] == ". ."


# --- nginx --------------------------------------------------------------------------------------


class Behind(BaseHTTPRequestHandler):
    """Simulated recorder: hands a file to nginx, repeats what it was told, takes an upgrade."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.end_headers()
            self.wfile.write(self.connection.recv(100).upper())
            self.close_connection = True
            return
        self.send_response(200)
        if self.path == "/file":
            self.send_header("X-Accel-Redirect", "/protected/recordings/AA/14%20b.mp4")
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        said = "\n".join(f"{n.lower()}: {v}" for n, v in self.headers.items()).encode()
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@dataclass
class Front:
    port: int
    ca: Path

    def connect(self) -> http.client.HTTPSConnection:
        tls = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=20)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    place = tmp_path_factory.mktemp("nginx")
    names = pki.Names(addresses=["127.0.0.1"], host_names=["web"])
    pki.ensure(place, names=names, now=datetime.now(UTC))
    shutil.copy(place / "server.pem", place / "cert.pem")
    shutil.copy(place / "server.key", place / "key.pem")
    video = place / "recordings" / "AA" / "14 b.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(VIDEO)

    behind = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    behind.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(place / "server.pem", place / "server.key")
    behind.socket = tls.wrap_socket(behind.socket, server_side=True)
    threading.Thread(target=behind.serve_forever, daemon=True).start()

    port = free_port()
    # Only places and addresses are others than in a container.
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        (" /tmp/", f" {place}/t-"),
        ("server web:3443", f"server 127.0.0.1:{behind.server_address[1]}"),
        ("listen 8443", f"listen 127.0.0.1:{port}"),
        ("alias /protected/", f"alias {place}/"),
        ("/etc/nginx/tls", str(place)),
        ("/ca/ca.pem", str(place / "ca.pem")),
        ("/dev/stderr", str(place / "error.log")),
    ):
        assert old in text, old
        text = text.replace(old, new)
    config = place / "nginx.conf"
    config.write_text(f"daemon off;\n{_user()}{text}")
    tested = subprocess.run(
        [NGINX, "-t", "-c", str(config)], check=False, capture_output=True, text=True
    )
    assert tested.returncode == 0, tested.stderr
    process = subprocess.Popen([NGINX, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), limit_s=20, what="nginx")
        yield Front(port, place / "ca.pem")
    finally:
        process.terminate()
        process.wait(20)
        behind.shutdown()
        behind.server_close()


def _user() -> str:
    """Under root nginx would give its workers another user, who may not read pytest's directory."""
    return "user root;\n" if os.geteuid() == 0 else ""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_nginx_sends_the_file_itself_in_ranges(nginx: Front) -> None:
    status, body, headers = nginx.ask("GET", "/file")
    assert (status, body, headers["Content-Type"]) == (200, VIDEO, "video/mp4")
    status, body, headers = nginx.ask("GET", "/file", headers={"Range": "bytes=10-19"})
    assert (status, body) == (206, VIDEO[10:20])
    assert "X-Accel-Redirect" not in headers


def test_nobody_gets_a_file_without_asking_the_recorder(nginx: Front) -> None:
    for path in ("/protected/recordings/AA/14%20b.mp4", "/protected/../protected/server.key"):
        assert nginx.ask("GET", path)[0] == 404, path


def test_the_recorder_is_told_what_nginx_can_do_and_no_forged_address(nginx: Front) -> None:
    _, body, _ = nginx.ask(
        "GET", "/x", headers={"X-Forwarded-For": "10.0.0.1", "Origin": "https://a"}
    )
    assert b"x-sendfile-type: X-Accel-Redirect" in body
    assert b"x-forwarded-for" not in body
    assert f"host: 127.0.0.1:{nginx.port}".encode() in body
    assert b"origin: https://a" in body


def test_a_body_is_bounded(nginx: Front) -> None:
    assert nginx.ask("POST", "/x", body=b"x" * 1000)[0] == 204
    connection = nginx.connect()
    connection.putrequest("POST", "/x")
    connection.putheader("Content-Length", str(11 * 1024 * 1024))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_websocket_passes(nginx: Front) -> None:
    connection = nginx.connect()
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(
        b"GET /ws/live/1 HTTP/1.1\r\nHost: roost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    with connection.sock.makefile("rb") as answer:
        assert answer.readline().split()[1] == b"101"
        while answer.readline().strip():
            pass
        connection.sock.sendall(b"hello")
        assert answer.read(5) == b"HELLO"
    connection.close()


def test_an_address_that_opens_too_much_is_refused(nginx: Front) -> None:
    asked = [nginx.ask("GET", "/login/")[0] for _ in range(40)]
    assert asked[:15] == [200] * 15
    assert 429 in asked
