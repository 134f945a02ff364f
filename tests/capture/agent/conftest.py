"""A real web process with a node and its sources, and agents that run in the test's own loop."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from capture.agent.agent import Agent, Order
from capture.agent.protocol import Driver, SourceSpec
from tests.capture.agent.sinks import Kept, SimulatedDriver
from tests.capture.web import ROOT, Web
from tests.instruments.certificates import Pki

SOURCES = 2
POPULATE = f"""
import json
from devices import sources
node, key = sources.create_node(name="test")
wish = sources.checked(url="simulated:h264")
rows = [sources.create_source(name=f"pulled {{n}}", wish=wish, node=node) for n in range({SOURCES})]
rows_of = [[row.pk, row.device_id, row.device.directory] for row in rows]
print("NODE " + json.dumps({{"key": key, "sources": rows_of}}))
"""


@dataclass
class Recorder:
    """A web process, and how an agent of its node is run."""

    web: Web
    key: str
    sources: list[tuple[int, int, str]]  # primary key, device's, directory
    run_dir: Path
    kept: dict[int, Kept] = field(default_factory=dict)  # what each source's driver gave

    def order(self, **fields: object) -> Order:
        known = {
            "url": f"https://127.0.0.1:{self.web.port}",
            "key": self.key,
            "tls": self.web.context,
            "run_dir": self.run_dir,
            "is_local": False,
            "version": "test",
            **fields,
        }
        return Order(**known)  # type: ignore[arg-type]  # a test's own fields

    def simulated(self, spec: SourceSpec, *, lock_fd: int) -> Driver:
        return SimulatedDriver(lock_fd, self.kept.setdefault(spec.id, Kept()))

    def spool(self, source: int = 0) -> Path:
        return self.web.data / "spool" / self.sources[source][2]

    def row(self, source: int = 0) -> tuple[str, str, str]:
        sql = "SELECT state, code, sentence FROM devices_source WHERE id = ?"
        state, code, sentence = self.web.rows(sql, self.sources[source][0])[0]
        return str(state), str(code), str(sentence)


def own_port() -> int:
    """Of these tests alone, a different part of them for each xdist worker."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for offset in range(50):
        port = 43150 + (offset + 25 * worker) % 50
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@asynccontextmanager
async def running(
    order: Order, open_driver: Callable[..., Driver]
) -> AsyncIterator[tuple[Agent, asyncio.Event]]:
    """An agent; `stop` is set at the end at the latest, and nothing may be left of it."""
    stop = asyncio.Event()
    agent = Agent(order, open_driver=open_driver, find_cameras=lambda: {"usb": [], "pi": []})
    task = asyncio.create_task(agent.run(stop, lambda: None))
    try:
        yield agent, stop
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


@pytest.fixture
def recorder(tmp_path: Path, populated: Path, pki: Pki) -> Iterator[Recorder]:
    data = tmp_path / "data"
    shutil.copytree(populated, data)
    web = Web(data, pki, "daphne")
    # Kept over kill -9: the agent knows no other. Other tests' servers take theirs elsewhere.
    web.port = own_port()
    web.env["NVR_PORT"] = str(web.port)
    made = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", POPULATE],
        env=web.env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    line = next(line for line in made.stdout.splitlines() if line.startswith("NODE "))
    node = json.loads(line.removeprefix("NODE "))
    web.start()
    run_dir = tmp_path / "agent"
    run_dir.mkdir()
    yield Recorder(web, node["key"], [tuple(each) for each in node["sources"]], run_dir)
    web.stop()
