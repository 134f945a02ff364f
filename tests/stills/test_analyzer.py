"""What becomes of a file after capture-and-analyze: our own analyses, or a program at ANALYZE_URL.

That program is a real HTTP server on loopback.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.test import AsyncClient, Client
from pytest_django import Settings

from stills import analyzer, files, lease, services, tasks
from stills.models import Analysis, Capture, State
from tests.factories import make_capture, make_device, make_token, make_user
from tests.stills.asking import StandIn, assert_error, make_seen, post, until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("data_dir", "trusted_clients"),
]
BOTH, STATUS, ANALYZE = "/api/camera/capture-and-analyze", "/api/camera/status", "/api/analyze"
transactional = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-the-environment"


@dataclass
class Analyser:
    """A program that answers as a test wants it, and remembers what it was asked."""

    port: int = 0
    status: int = 200
    answer: bytes = b'{"jobId": "job-7"}'
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    before: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jobs?from=roost"


@pytest.fixture
def program(settings: Settings) -> Iterator[Analyser]:
    program = Analyser()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            program.asked.append((self.path, dict(self.headers), json.loads(body)))
            try:
                program.before(self)
                self.send_response(program.status)
                for name, value in program.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(program.answer)
            except OSError:
                program.left.set()

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        program.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        settings.NVR = replace(settings.NVR, analyze_url=program.url)
        yield program
        server.shutdown()
        thread.join()


def hang(until_s: float = 10.0) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers never; ends when the client goes away."""

    def before(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.settimeout(until_s)
        assert handler.connection.recv(1) == b""
        raise ConnectionResetError

    return before


# --- our own ---------------------------------------------------------------------------------------


@transactional
async def test_without_an_address_the_analysis_is_our_own(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[uuid.UUID] = []

    def queue_analysis(pk: uuid.UUID) -> bool:
        queued.append(pk)
        return True

    monkeypatch.setattr(tasks, "queue_analysis", queue_analysis)
    response = await post(BOTH, {"filename": "golf.jpg"})
    analysis = await Analysis.objects.aget()
    assert response.status_code == 200
    assert response.json() == {
        "ok": True,
        "jobId": str(analysis.pk),
        "filename": "golf.jpg",
        "url": "/uploads/golf.jpg",
        "status": "queued",
    }
    assert (analysis.filename, analysis.state) == ("golf.jpg", Analysis.State.QUEUED)
    assert queued == [analysis.pk]


@transactional
async def test_a_database_that_does_not_answer_keeps_the_file(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(capture: Capture) -> Analysis:
        raise DatabaseError("the disk is on fire")

    monkeypatch.setattr(services, "request_analysis", away)
    text = "Analyze request failed: the database does not answer"
    assert_error(await post(BOTH, {"filename": "golf.jpg"}), 500, text)
    assert files.existing("golf.jpg").stat().st_size > 0


# --- another program ------------------------------------------------------------------------------


@transactional
async def test_a_program_is_told_which_file_while_the_camera_is_still_taken(
    camera: StandIn, program: Analyser
) -> None:
    was_held: list[bool] = []
    program.before = lambda handler: was_held.append(lease.is_held())
    response = await post(BOTH, {"filename": "golf.jpg"})
    assert response.json() == {
        "ok": True,
        "jobId": "job-7",
        "filename": "golf.jpg",
        "url": "/uploads/golf.jpg",
        "status": "queued",
    }
    [(path, headers, document)] = program.asked
    assert path == "/jobs?from=roost"
    assert document == {"filename": "golf.jpg", "path": "/uploads/golf.jpg"}
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert was_held == [True]
    assert not lease.is_held()
    assert not await Analysis.objects.aexists()


@transactional
@pytest.mark.parametrize(
    ("answer", "job"),
    [
        (b'{"jobId": "a", "id": "b"}', "a"),
        (b'{"id": "b"}', "b"),
        (b'{"id": 12}', 12),
        (b'{"jobId": null, "id": "b"}', "b"),
        (b'{"jobId": {"x": 1}}', None),
        (b'{"jobId": true}', None),
        (b"{}", None),
        (b"[1]", None),
        (b"accepted", None),
        (b"", None),
        (b"[" * 60_000, None),
        (b"\xff\xfe", None),
    ],
)
async def test_the_job_is_what_the_program_calls_it(
    program: Analyser, answer: bytes, job: object
) -> None:
    program.answer = answer
    program.status = 202
    capture = await database_sync_to_async(make_capture)()
    assert await analyzer.hand_over(capture) == job


@transactional
@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"status": 500}, "it answered 500 Internal Server Error"),
        ({"status": 401}, "it answered 401 Unauthorized"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "it answered 302 Found"),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}},
         "it answered 307 Temporary Redirect"),
        ({"answer": b"x" * 65_537}, "its answer has more than 64 KB"),
        ({"answer": b"short", "headers": {"Content-Length": "100"}}, "its answer was cut off"),
    ],
)  # fmt: skip
async def test_what_it_refuses_is_told_and_the_file_is_kept(
    camera: StandIn, program: Analyser, how: dict[str, Any], text: str
) -> None:
    for name, value in how.items():
        setattr(program, name, value)
    await database_sync_to_async(make_seen)()
    said = f"Analyze request failed: {text}"
    assert_error(await post(BOTH, {"filename": "golf.jpg"}), 500, said)
    assert len(program.asked) == 1, "no redirect is followed"
    assert files.existing("golf.jpg").stat().st_size > 0
    assert (await Capture.objects.aget()).state == State.READY
    assert not lease.is_held()
    assert (await AsyncClient().get(STATUS)).json()["lastError"] == said
    assert (await post("/api/camera/capture")).status_code == 200
    assert (await AsyncClient().get(STATUS)).json()["lastError"] is None


@transactional
async def test_a_program_that_is_not_there_is_said_in_words(
    camera: StandIn, settings: Settings
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.NVR = replace(settings.NVR, analyze_url=f"http://anna:secret@127.0.0.1:{port}/")
    text = "Analyze request failed: Connection refused"
    assert_error(await post(BOTH), 500, text)


@transactional
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http:///", "http://x\u00fc..invalid/", "http://[::1/"]
)
async def test_an_address_that_is_none_is_said_in_words(settings: Settings, url: str) -> None:
    settings.NVR = replace(settings.NVR, analyze_url=url)
    capture = await database_sync_to_async(make_capture)()
    with pytest.raises(analyzer.AnalyzerError):
        await analyzer.hand_over(capture)


@transactional
async def test_one_that_never_answers_is_given_up_and_holds_nobody_up(
    camera: StandIn, program: Analyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyzer, "TOTAL_S", 0.5)
    program.before = hang()
    await database_sync_to_async(make_seen)()
    asked = asyncio.create_task(post(BOTH))
    await asyncio.to_thread(until, lambda: program.asked)
    began_s = time.monotonic()
    status = await AsyncClient().get(STATUS)
    assert status.json()["busy"] is True
    assert time.monotonic() - began_s < 0.4
    assert_error(await asked, 500, "Analyze request failed: it did not answer in time")
    assert await asyncio.to_thread(program.left.wait, 10), "its connection is closed"


@transactional
@pytest.mark.parametrize("part", ["head", "body"])
async def test_one_that_answers_a_byte_at_a_time_is_given_up_too(
    program: Analyser, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if part == "body" else b"X: "))
        for _ in range(2_000):
            handler.wfile.write(b"x")
            time.sleep(0.01)

    monkeypatch.setattr(analyzer, "TOTAL_S", 0.3)
    program.before = drip
    capture = await database_sync_to_async(make_capture)()
    with pytest.raises(analyzer.AnalyzerError, match="in time"):
        await analyzer.hand_over(capture)
    assert await asyncio.to_thread(program.left.wait, 10)


@transactional
async def test_a_client_that_goes_away_meanwhile_leaves_file_and_camera(
    camera: StandIn, program: Analyser
) -> None:
    program.before = hang()
    asked = asyncio.create_task(post(BOTH, {"filename": "golf.jpg"}))
    await asyncio.to_thread(until, lambda: program.asked)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await asyncio.to_thread(program.left.wait, 10)
    assert not lease.is_held()
    assert files.existing("golf.jpg").stat().st_size > 0


# --- whose token ----------------------------------------------------------------------------------


@transactional
async def test_a_program_on_this_machine_is_sent_our_token(
    program: Analyser, settings: Settings
) -> None:
    settings.NVR = replace(settings.NVR, auth_token=TOKEN)
    await analyzer.hand_over(await database_sync_to_async(make_capture)())
    assert program.asked[0][1]["Authorization"] == f"Bearer {TOKEN}"


@transactional
async def test_a_log_in_in_the_address_is_used_instead(
    program: Analyser, settings: Settings
) -> None:
    url = program.url.replace("http://", "http://anna:p%40ss@")
    settings.NVR = replace(settings.NVR, auth_token=TOKEN, analyze_url=url)
    await analyzer.hand_over(await database_sync_to_async(make_capture)())
    pair = base64.b64encode(b"anna:p@ss").decode()
    assert program.asked[0][1]["Authorization"] == f"Basic {pair}"


class Connected(socket.socket):
    """Stands in for a connection between two addresses that this test's machine does not have."""

    def __init__(self, peer: str, own: str) -> None:
        super().__init__()
        self.close()
        self._peer, self._own = peer, own

    def getpeername(self) -> Any:
        return (self._peer, 80)

    def getsockname(self) -> Any:
        return (self._own, 40_000)


@pytest.mark.parametrize(
    ("peer", "own", "is_sent"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("192.168.1.5", "192.168.1.5", True),
        ("192.168.1.7", "192.168.1.5", False),
        ("93.184.216.34", "192.168.1.5", False),
        ("fe80::7%eth0", "fe80::5%eth0", False),
    ],
)
def test_our_token_never_leaves_this_machine(
    settings: Settings, peer: str, own: str, is_sent: bool
) -> None:
    settings.NVR = replace(settings.NVR, auth_token=TOKEN)
    parts = urlsplit("http://analyser.lan/")
    expected = {"Authorization": f"Bearer {TOKEN}"} if is_sent else {}
    assert analyzer._credentials(parts, Connected(peer, own)) == expected


# --- POST /api/analyze ----------------------------------------------------------------------------


def ask(client: Client, fields: object, **headers: str) -> Any:
    body = json.dumps(fields)
    return client.post(ANALYZE, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    "fields",
    [
        {"filename": "golf.jpg", "path": "/uploads/golf.jpg"},
        {"path": "/uploads/golf.jpg"},
        {"path": "/uploads/golf"},
        {"filename": "golf.jpg"},
        {"filename": "golf.jpg", "path": None},
    ],
)
def test_a_file_of_ours_is_analysed_on_request(client: Client, fields: object) -> None:
    capture = make_capture(filename="golf.jpg")
    response = ask(client, fields)
    analysis = Analysis.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "ok": True,
        "jobId": str(analysis.pk),
        "id": str(analysis.pk),
        "status": "queued",
        "filename": "golf.jpg",
        "url": f"/api/v1/analyses/{analysis.pk}/",
    }
    assert analysis.capture == capture
    operator = {"Authorization": f"Bearer {make_token(make_user(role='operator'))}"}
    assert client.get(response.json()["url"], headers=operator, secure=True).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [{"filename": "nothing.jpg"}, {"path": "/uploads/../roost.sqlite3"}, {"path": "/etc/passwd"},
     {"path": "golf.jpg/"}, {"filename": "golf.jpg", "path": "/uploads/nothing.jpg"}, {"path": ""},
     {"filename": "old.jpg"}, {"filename": "\ud800.jpg"}, {"filename": "a\0.jpg"}],
)  # fmt: skip
def test_what_is_no_file_of_ours_is_not_found(client: Client, fields: object) -> None:
    make_capture(filename="golf.jpg")
    (files.directory() / "old.jpg").write_bytes(b"no row knows it")
    assert_error(ask(client, fields), 404, "Not found")


@pytest.mark.parametrize(
    "fields", [{}, {"filename": 7}, {"path": ["a"]}, {"filename": 7, "path": "/uploads/golf.jpg"}]
)
def test_a_question_without_a_file_is_told_what_is_missing(client: Client, fields: object) -> None:
    make_capture(filename="golf.jpg")
    text = 'Say which file: {"filename": "name.jpg", "path": "/uploads/name.jpg"}'
    assert_error(ask(client, fields), 400, text)
    assert not Analysis.objects.exists()


def test_an_operator_has_only_what_they_may_see_analysed(
    client: Client, settings: Settings
) -> None:
    settings.NVR = replace(settings.NVR, trusted_networks=())
    make_capture(make_device(), filename="other.jpg")
    token = make_token(make_user(role="operator"))
    response = ask(client, {"filename": "other.jpg"}, Authorization=f"Bearer {token}")
    assert_error(response, 404, "Not found")
