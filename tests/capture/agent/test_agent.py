"""Wanted sources against running ones, and the conversation that says which are wanted."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from capture.agent import agent as agents
from capture.agent import source as life
from capture.agent.agent import Agent, Order, UnknownKey
from capture.agent.protocol import Driver, Sink, SourceError, SourceSpec
from capture.agent.recorder import Recorder, RecorderError
from tests.capture.agent.conftest import running
from tests.capture.agent.sinks import ScriptedDriver, spec
from tests.capture.web import eventually


class StandIn(ThreadingHTTPServer):
    """A stand-in for `/api/v1/agent/sync/`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wanted: list[SourceSpec] = []
        self.status = 200
        self.body: bytes | None = None
        self.said: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.is_cutting = False
        self.is_hanging = False
        self.may_answer = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.said.append(json.loads(body))
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if server.is_hanging:
            server.may_answer.wait(20)
        document = {"sources": [asdict(each) for each in server.wanted], "door": "/ws"}
        answer = json.dumps(document).encode() if server.body is None else server.body
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(answer)
        if server.is_cutting:  # after the answer, without a word: what a restart looks like
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "SYNC_S", 0.05)
    monkeypatch.setattr(life, "BACK_OFF_S", (0.02, 0.1))
    monkeypatch.setattr(life, "DRAIN_S", 0.0)


class Drivers:
    """Notes which runs began and ended."""

    def __init__(self) -> None:
        self.began: list[SourceSpec] = []
        self.ended: list[SourceSpec] = []
        self.crashing: set[int] = set()

    def open(self, wanted: SourceSpec, *, lock_fd: int) -> Driver:
        async def script(sink: Sink) -> None:
            self.began.append(wanted)
            if wanted.id in self.crashing:
                raise ZeroDivisionError("a bug")
            try:
                await asyncio.sleep(3600)
            finally:
                self.ended.append(wanted)

        return ScriptedDriver(script)

    @property
    def open_ids(self) -> list[int]:
        ids = [each.id for each in self.began]
        for each in self.ended:
            ids.remove(each.id)
        return sorted(ids)


def order(stand_in: StandIn, tmp_path: Path, **fields: object) -> Order:
    known = {
        "url": stand_in.url, "key": "k" * 64, "tls": None, "run_dir": tmp_path,
        "is_local": False, "version": "test", **fields,
    }  # fmt: skip
    return Order(**known)  # type: ignore[arg-type]  # a test's own fields


async def test_what_is_wanted_runs_and_what_is_not_does_not(
    stand_in: StandIn, tmp_path: Path
) -> None:
    drivers = Drivers()
    stand_in.wanted = [spec(1), spec(2)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1, 2])
        stand_in.wanted = [spec(2), spec(3)]
        await eventually(lambda: drivers.open_ids == [2, 3])
    assert drivers.open_ids == []


async def test_only_the_source_that_changed_is_started_again(
    stand_in: StandIn, tmp_path: Path
) -> None:
    drivers = Drivers()
    stand_in.wanted = [spec(1), spec(2)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1, 2])
        stand_in.wanted = [spec(1), spec(2, version=2, password="new")]
        await eventually(lambda: len(drivers.began) == 3)
        assert drivers.began[-1].version == 2
        assert [each.id for each in drivers.ended] == [2]


async def test_a_bad_source_does_not_disturb_another(stand_in: StandIn, tmp_path: Path) -> None:
    drivers = Drivers()
    drivers.crashing = {1}
    stand_in.wanted = [spec(1), spec(2)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: [each.id for each in drivers.began].count(1) >= 3)
        assert [each.id for each in drivers.began].count(2) == 1
        assert drivers.ended == []


async def test_states_are_reported(stand_in: StandIn, tmp_path: Path) -> None:
    def refused(wanted: SourceSpec, *, lock_fd: int) -> Driver:
        raise SourceError("refused", "The camera refused the password.")

    stand_in.wanted = [spec(7, version=3)]
    async with running(order(stand_in, tmp_path), refused):
        await eventually(lambda: stand_in.said and stand_in.said[-1]["sources"])
        await eventually(lambda: stand_in.said[-1]["sources"][0]["state"] == "retrying")
    said = stand_in.said[-1]
    report = said["sources"][0]
    assert (report["id"], report["version"], report["code"]) == (7, 3, "refused")
    assert report["sentence"] == "The camera refused the password."
    assert (said["usb"], said["pi"], said["version"]) == ([], [], "test")
    assert stand_in.headers[-1]["x-api-key"] == "k" * 64


async def test_it_keeps_one_connection_to_the_recorder(stand_in: StandIn, tmp_path: Path) -> None:
    async with running(order(stand_in, tmp_path), Drivers().open):
        await eventually(lambda: len(stand_in.said) >= 5)
    assert stand_in.connections == 1


async def test_a_connection_that_was_cut_meanwhile_is_no_trouble(
    stand_in: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.is_cutting = True
    async with running(order(stand_in, tmp_path), Drivers().open):
        await eventually(lambda: len(stand_in.said) >= 4)
    assert stand_in.connections >= 4
    assert "does not answer" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"sources": []}', b'{"door": "/ws"}', b'{"sources": 5, "door": "/ws"}',
     b'{"sources": [{}], "door": "/ws"}', b'{"sources": [], "door": "ws://elsewhere"}', b"[" * 9999],
)  # fmt: skip
async def test_an_answer_that_means_nothing_leaves_things_as_they_are(
    stand_in: StandIn, tmp_path: Path, body: bytes
) -> None:
    drivers = Drivers()
    stand_in.wanted = [spec(1)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1])
        stand_in.body = body
        asked = len(stand_in.said)
        await eventually(lambda: len(stand_in.said) >= asked + 3)
        assert drivers.open_ids == [1]


async def test_a_recorder_that_is_away_stops_nothing(stand_in: StandIn, tmp_path: Path) -> None:
    drivers = Drivers()
    stand_in.wanted = [spec(1)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1])
        stand_in.status = 503
        stand_in.wanted = []
        asked = len(stand_in.said)
        await eventually(lambda: len(stand_in.said) >= asked + 3)
        assert drivers.open_ids == [1]
        stand_in.status = 200
        await eventually(lambda: drivers.open_ids == [])


async def test_fields_of_a_newer_recorder_are_left_out(stand_in: StandIn, tmp_path: Path) -> None:
    drivers = Drivers()
    described = {**asdict(spec(1)), "mood": "good"}
    stand_in.body = json.dumps({"sources": [described], "door": "/ws", "more": 1}).encode()
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1])


async def test_the_local_agent_ends_when_its_key_is_unknown(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "UNKNOWN_KEY_S", 0.2)
    stand_in.status = 401
    agent = Agent(
        order(stand_in, tmp_path, is_local=True),
        open_driver=Drivers().open,
        find_cameras=lambda: {"usb": [], "pi": []},
    )
    with pytest.raises(UnknownKey):
        async with asyncio.timeout(5):
            await agent.run(asyncio.Event(), lambda: None)
    assert len(stand_in.said) > 2, "not at the first refusal: the recorder may be starting"


async def test_another_machines_agent_stops_its_sources_and_asks_on(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "UNKNOWN_KEY_S", 0.2)
    drivers = Drivers()
    stand_in.wanted = [spec(1)]
    async with running(order(stand_in, tmp_path), drivers.open):
        await eventually(lambda: drivers.open_ids == [1])
        stand_in.status = 401
        await eventually(lambda: drivers.open_ids == [])
        stand_in.status = 200
        await eventually(lambda: drivers.open_ids == [1])


async def test_it_ends_at_once_though_the_recorder_hangs(stand_in: StandIn, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    stand_in.is_hanging = True
    async with running(order(stand_in, tmp_path), Drivers().open) as (_, stop):
        await eventually(lambda: stand_in.said)
        began = loop.time()
        stop.set()
    assert loop.time() - began < 1.0
    assert len(stand_in.said) == 1, "it was still waiting for its first answer"
    stand_in.may_answer.set()


async def test_passwords_and_the_key_are_in_no_words_of_its_own(
    stand_in: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.wanted = [spec(1, username="admin", password="canary")]
    told = order(stand_in, tmp_path)
    drivers = Drivers()
    drivers.crashing = {1}
    async with running(told, drivers.open):
        await eventually(lambda: len(drivers.began) >= 2)
    assert drivers.began[0].password == "canary", "or this test shows nothing"
    assert "driver failed" in caplog.text
    words = caplog.text + repr(told) + repr(drivers.began[0])
    assert "canary" not in words
    assert "kkkk" not in words


async def test_nobody_listening_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    recorder = Recorder(f"http://127.0.0.1:{port}", None, {})
    with pytest.raises(
        RecorderError, match=f"127.0.0.1:{port} does not answer: Connection refused"
    ):
        await recorder.sync({})
    recorder.close()


async def test_cameras_are_looked_for_when_a_device_comes_or_goes(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "DEVICES_S", 0.02)
    devices = ["video0"]
    asked = []

    def find() -> dict[str, list[dict[str, Any]]]:
        asked.append(list(devices))
        if len(asked) == 2:
            raise OSError("a camera that is pulled out at this moment")
        return {"usb": [{"url": f"usb:/dev/{name}", "name": name} for name in devices], "pi": []}

    agent = Agent(
        order(stand_in, tmp_path),
        open_driver=Drivers().open, find_cameras=find, list_devices=lambda: list(devices),
    )  # fmt: skip
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop, lambda: None))
    await eventually(lambda: stand_in.said and len(stand_in.said[-1]["usb"]) == 1)
    await asyncio.sleep(0.1)
    assert asked == [["video0"]], "nothing has changed since"
    devices.append("video1")
    await eventually(lambda: len(asked) == 2)
    devices.append("video2")
    await eventually(lambda: len(stand_in.said[-1]["usb"]) == 3)
    stop.set()
    await task
