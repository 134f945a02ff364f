"""The real web process over TLS, with cameras and people in its database; for tests and benchmarks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.capture.firmware import Camera
from tests.instruments.certificates import Pki

ROOT = Path(__file__).resolve().parents[2]
FIRST_PORT, LAST_PORT = 41200, 41299
START_SECONDS = 40.0
CAMERAS = 24
PULLED = 12  # cameras that the node `node_key` brings

# One person sees camera 1 and no other; `waiting` has a good key that nobody approved.
POPULATE = f"""
import json
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.auth import HASH_SESSION_KEY, BACKEND_SESSION_KEY, SESSION_KEY
from devices import sources
from devices.models import Enrolment
from tests import factories

def cookie(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key

devices = [factories.make_device() for _ in range({CAMERAS})]
keys = [factories.make_key(device) for device in devices]
waiting = factories.make_device(enrolment=Enrolment.PENDING)
viewer = factories.make_user(cameras=[devices[0]])
admin = factories.make_user(role="admin")
node, node_key = sources.create_node(name="attic")
_, foreign_key = sources.create_node(name="cellar")
pulled = [factories.make_source(node=node).device for _ in range({PULLED})]
print("WORLD " + json.dumps({{
    "devices": [device.pk for device in devices],
    "directories": [device.directory for device in devices],
    "keys": keys,
    "second_keys": [factories.make_key(device) for device in devices],
    "waiting": factories.make_key(waiting, enrolment=Enrolment.PENDING),
    "node_key": node_key,
    "foreign_key": foreign_key,
    "pulled": [[device.pk, device.mac, device.directory] for device in pulled],
    "viewer_pk": viewer.pk,
    "viewer_cookie": cookie(viewer),
    "viewer_token": factories.make_token(viewer),
    "admin_cookie": cookie(admin),
    "admin_token": factories.make_token(admin),
}}))
"""


def free_port() -> int:
    """One of this suite's range, a different part of it for each xdist worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    span = LAST_PORT - FIRST_PORT + 1
    for offset in range(span):
        port = FIRST_PORT + (offset + 25 * int(worker)) % span
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class Web:
    """`manage.py runweb` as its own process."""

    def __init__(self, data: Path, pki: Pki, server: str, **env: str) -> None:
        self.data, self.pki, self.server = data, pki, server
        self.port = free_port()
        self.log = data / "web.log"
        self.certificate = data / "pki" / "server.pem"
        self.install(pki)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NVR_")},
            "DJANGO_SETTINGS_MODULE": "nvr_project.settings",
            "NVR_DATA_DIR": str(data),
            "NVR_BIND": "127.0.0.1",
            "NVR_PORT": str(self.port),
            "NVR_ASGI_SERVER": server,
            "NVR_SECRET_KEY": "a key for tests, forty characters and more",
            "NVR_SEGMENT_SECONDS": "2",
            **env,
        }
        self.world: dict[str, Any] = json.loads((data / "world.json").read_text())
        self.process: subprocess.Popen[bytes] | None = None

    def install(self, pki: Pki) -> None:
        """Where first-run set-up would leave them."""
        self.certificate.parent.mkdir(exist_ok=True)
        shutil.copy(pki.cert, self.certificate)
        shutil.copy(pki.key, self.certificate.with_suffix(".key"))

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.pki.ca))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, attempts: int = 3) -> None:
        """Raises AssertionError with the log. Somebody's outgoing connection may get our port."""
        for left in reversed(range(attempts)):
            try:
                self._start()
            except AssertionError as error:
                if not left or "already in use" not in str(error):
                    raise
                self.port = free_port()
                self.env["NVR_PORT"] = str(self.port)
            else:
                return

    def _start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "runweb"],
                env=self.env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while f"ready {self.server} " not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise AssertionError(self.log.read_text())
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None
        return code

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.data / "roost.sqlite3", timeout=20)) as database:
            return database.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> None:
        with (
            closing(sqlite3.connect(self.data / "roost.sqlite3", timeout=20)) as database,
            database,
        ):
            database.execute(sql, values)

    def facts(self, camera: int) -> dict[str, Any] | None:
        document = json.loads((self.data / "run" / "web.json").read_text())
        found: dict[str, Any] | None = document["devices"].get(str(self.world["devices"][camera]))
        return found

    def presence(self, camera: int) -> str:
        pk = self.world["devices"][camera]
        return str(self.rows("SELECT presence FROM devices_device WHERE id = ?", pk)[0][0])

    def events(self, camera: int, kind: str) -> list[str]:
        pk = self.world["devices"][camera]
        sql = "SELECT detail FROM devices_deviceevent WHERE device_id = ? AND kind = ? ORDER BY id"
        return [str(row[0]) for row in self.rows(sql, pk, kind)]

    async def dial(self, camera: int, **how: Any) -> Camera:
        """Camera number `camera`, past its welcome."""
        key = self.world["keys"][camera]
        connection = await Camera.dial(self.port, key, context=self.context, **how)
        assert (await connection.receive_json())["type"] == "welcome"
        return connection

    async def http(self, request: bytes, *, limit: int = 1_000_000) -> tuple[int, str, bytes]:
        """(status, head, body) of one request that ends with the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                answer = await reader.read(limit)
                while b"\r\n\r\n" not in answer or not reader.at_eof():
                    more = await reader.read(limit)
                    if not more or len(answer) > limit:
                        break
                    answer += more
        finally:
            writer.transport.abort()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body

    async def get(self, path: str, *, token: str = "", cookie: str = "") -> tuple[int, str, bytes]:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if cookie:
            lines.append(f"Cookie: roost_session={cookie}")
        return await self.http("\r\n".join([*lines, "", ""]).encode())


async def eventually(question: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true answer; fails with the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r}"
        await asyncio.sleep(0.05)


def populate(data: Path) -> None:
    """A migrated database with cameras and people; who they are is in `world.json`."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NVR_")},
        "DJANGO_SETTINGS_MODULE": "nvr_project.settings",
        "NVR_DATA_DIR": str(data),
        "NVR_SECRET_KEY": "a key for tests, forty characters and more",
    }

    def manage(*arguments: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    out = manage("shell", "--no-imports", "-c", POPULATE)
    line = next(line for line in out.splitlines() if line.startswith("WORLD "))
    (data / "world.json").write_text(line.removeprefix("WORLD "))
