"""The camera node's HTTP API as its clients use it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import DatabaseError, connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from nvr_project.environment import read_environment
from stills import cameras, files, node_views, services, streamed, taking, tasks
from stills.cameras.protocol import Found, Order
from stills.exceptions import CaptureError
from stills.media import dng
from stills.models import Capture, State
from tests.factories import make_device, make_token, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
transactional = pytest.mark.django_db(transaction=True)
RAW = bytes(range(256)) * 40
AT = datetime(2025, 1, 30, 12, 26, 1, 345_678).astimezone()
FOREIGN = "https://page.example.com"


@pytest.fixture(autouse=True)
def _trusted(settings: Settings) -> None:
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(settings.NVR, trusted_networks=networks, node_id="camera_1")


@pytest.fixture
def stranger(settings: Settings) -> Client:
    """From a network that is not trusted."""
    settings.NVR = replace(settings.NVR, trusted_networks=())
    return Client()


def make_raw(name: str = "capture_20250130_122601.dng", **fields: Any) -> Capture:
    """A finished raw picture and its file."""
    values: dict[str, Any] = {
        "kind": "dng",
        "state": State.READY,
        "wanted_name": name,
        "filename": name,
        "width": 1,
        "height": 1,
        "fps": 1,
        "duration_ms": 1000,
        "size_bytes": len(RAW),
        "created_at": AT,
        "finished_at": AT + timedelta(seconds=1),
    }
    capture = Capture.objects.create(**{**values, **fields})
    if capture.filename:
        (files.directory() / capture.filename).write_bytes(RAW)
    return capture


def bearer(role: str, **how: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(make_user(role=role, **how))}"}


def body_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)

    async def gather() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    return asyncio.run(gather())


def assert_detail(response: Any, status: int, text: str) -> None:
    assert response.status_code == status
    assert json.loads(response.content) == {"detail": text}
    assert response.headers["Content-Type"] == "application/json"


# --- capture --------------------------------------------------------------------------------------


class StandIn:
    """A camera that writes a small real DNG, at once or when it is told to go on."""

    name, address = "stand-in", ""

    def __init__(self) -> None:
        self.taken = self.at_once = self.most_at_once = 0
        self.has_begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.error: CaptureError | None = None

    def look(self) -> Found:
        return Found(self.name, [("0", "stand-in")], [])

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.has_begun.set()
        try:
            while not self.go_on.wait(0.02):
                if not is_wanted():
                    raise CaptureError("cancelled", "It was cancelled.")
            if self.error:
                raise self.error
            dng.write_dng(into, dng.Raw(bytes(2 * 32 * 32), 32, 32, timezone.now(), self.name))
            self.taken += 1
        finally:
            self.at_once -= 1


def until(question: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """This machine's camera; what is queued is begun at once, as a worker would."""

    def queue_next() -> bool:
        taking.start_due()
        return True

    stand_in = StandIn()
    monkeypatch.setattr(cameras, "chosen", lambda: stand_in)
    monkeypatch.setattr(streamed, "device_of", lambda address: None)
    monkeypatch.setattr(taking, "WANTED_EVERY_S", 0.02)
    monkeypatch.setattr(tasks, "queue_next", queue_next)
    yield stand_in
    stand_in.go_on.set()
    until(lambda: not taking._running)


@transactional
async def test_a_capture_is_answered_with_what_was_taken(camera: StandIn) -> None:
    response = await AsyncClient().post("/capture")
    answer = response.json()
    row = await Capture.objects.aget()
    name, size = row.filename, row.size_bytes
    assert response.status_code == 200
    match = re.fullmatch(r"capture_(\d{8}_\d{6})\.dng", str(name))
    assert match is not None
    assert answer == {
        "status": "success",
        "file_info": {
            "filename": name,
            "filepath": f"captured_photos/{name}",
            "timestamp": match[1],
            "size": size,
        },
        "node_id": "camera_1",
    }
    assert files.existing(str(name)).stat().st_size == size > 0
    assert (row.system, row.created_by, row.device_id) == ("node", "camera node API", None)


@transactional
@pytest.mark.parametrize("word", ["True", "true", "1", "yes", "ON", "t", "Y"])
async def test_the_file_itself_is_sent_to_who_asks_for_it(camera: StandIn, word: str) -> None:
    response: Any = await AsyncClient().post(f"/capture?return_file={word}")
    name = (await Capture.objects.aget()).filename
    sent = b"".join([chunk async for chunk in response.streaming_content])
    response.close()
    assert response.status_code == 200
    assert sent == files.existing(str(name)).read_bytes()
    assert response.headers["Content-Type"] == "image/x-adobe-dng"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@transactional
@pytest.mark.parametrize("word", ["False", "0", "no", "off", "F", "n"])
async def test_or_what_is_known_of_it(camera: StandIn, word: str) -> None:
    response = await AsyncClient().post(f"/capture?return_file={word}")
    assert response.json()["status"] == "success"


@pytest.mark.parametrize("word", ["maybe", "", "2", " true", "None"])
def test_what_is_neither_true_nor_false_is_refused(client: Client, word: str) -> None:
    response = client.post("/capture", query_params={"return_file": word})
    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "bool_parsing",
                "loc": ["query", "return_file"],
                "msg": "Input should be a valid boolean, unable to interpret input",
                "input": word,
            }
        ]
    }
    assert not Capture.objects.exists()


@transactional
async def test_twenty_at_once_all_succeed_in_turn_and_the_status_answers_meanwhile(
    camera: StandIn,
) -> None:
    camera.go_on.clear()
    asked = [asyncio.create_task(AsyncClient().post("/capture")) for _ in range(20)]
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await AsyncClient().get("/status")  # the first one looks at the processor for a moment
    began_s = time.monotonic()
    status = await AsyncClient().get("/status")
    took_s = time.monotonic() - began_s
    assert (status.status_code, status.json()["status"]) == (200, "online")
    assert took_s < 0.5, "100 ms are promised; this machine does other things as well"
    assert not any(task.done() for task in asked)
    camera.go_on.set()
    answers = [await task for task in asked]
    assert [answer.status_code for answer in answers] == [200] * 20
    names = {answer.json()["file_info"]["filename"] for answer in answers}
    assert len(names) == 20
    assert (camera.taken, camera.most_at_once) == (20, 1)
    assert {name for name, _ in files.listed()} == names


@transactional
async def test_a_failure_is_told_once_and_in_words(camera: StandIn) -> None:
    camera.error = CaptureError("unplugged", "The camera was unplugged.", contract="other words")
    assert_detail(await AsyncClient().post("/capture"), 500, "The camera was unplugged.")
    camera.error = None
    assert (await AsyncClient().post("/capture")).status_code == 200


@transactional
async def test_one_that_somebody_cancelled_says_so(camera: StandIn) -> None:
    camera.go_on.clear()
    asked = asyncio.create_task(AsyncClient().post("/capture"))
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await database_sync_to_async(services.cancel)(await Capture.objects.aget())
    assert_detail(await asked, 500, "It was cancelled.")


@transactional
async def test_a_broker_that_is_away_is_said_in_words(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "queue_next", lambda: False)
    text = "The recorder's workers cannot be reached just now. Try again in a moment."
    assert_detail(await AsyncClient().post("/capture"), 500, text)


@transactional
async def test_nobody_waits_for_ever(camera: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "queue_next", lambda: True)  # a worker that never comes
    monkeypatch.setattr(node_views, "WAIT_S", 0.2)
    response = await AsyncClient().post("/capture")
    assert response.status_code == 500
    assert "was not taken within" in response.json()["detail"]
    assert (await Capture.objects.aget()).state == State.CANCELLED


@transactional
async def test_one_that_is_deleted_meanwhile_is_said_to_be(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.go_on.clear()
    asked = asyncio.create_task(AsyncClient().post("/capture"))
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await database_sync_to_async(services.delete)(await Capture.objects.aget())
    assert_detail(await asked, 500, node_views.GONE)


async def post_capture() -> Any:
    """A call that can be broken off, as a server hands it to Django."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/capture",
        "query_string": b"",
        "headers": [(b"host", b"192.168.1.5:5003")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 5003),
    }
    asking: Any = ApplicationCommunicator(get_asgi_application(), scope)  # type: ignore[no-untyped-call]
    await asking.send_input({"type": "http.request", "body": b"", "more_body": False})
    return asking


@transactional
async def test_a_client_that_goes_away_takes_its_capture_with_it(camera: StandIn) -> None:
    camera.go_on.clear()
    asking = await post_capture()
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await asking.send_input({"type": "http.disconnect"})
    await asking.wait(timeout=10)
    assert (await Capture.objects.aget()).state == State.CANCELLED
    await asyncio.to_thread(until, lambda: not taking._running)
    assert list(files.listed()) == []


@transactional
async def test_a_client_that_goes_away_at_once_leaves_no_capture_either(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, go_on = threading.Event(), threading.Event()
    request = services.request

    def slow_request(*wish: Any, **how: Any) -> Capture:
        has_begun.set()
        assert go_on.wait(10)
        return request(*wish, **how)

    camera.go_on.clear()
    monkeypatch.setattr(services, "request", slow_request)
    asking = await post_capture()
    assert await asyncio.to_thread(has_begun.wait, 10)
    await asking.send_input({"type": "http.disconnect"})
    await asyncio.sleep(0)
    go_on.set()
    await asking.wait(timeout=10)
    assert (await Capture.objects.aget()).state == State.CANCELLED


# --- images ---------------------------------------------------------------------------------------


def test_images_are_listed_newest_first(client: Client) -> None:
    assert client.get("/images").json() == []
    older = make_raw()
    newer = make_raw("capture_20250130_122601-2.dng", finished_at=AT + timedelta(seconds=2))
    make_raw("a.jpg", kind="jpg")
    make_raw("b.dng", filename=None, state=State.TAKING)
    path = files.existing(str(older.filename))
    os.utime(path, (AT.timestamp(), AT.timestamp()))
    listed = client.get("/images").json()
    assert [row["filename"] for row in listed] == [newer.filename, older.filename]
    local = timezone.localtime(AT).replace(tzinfo=None)
    assert listed[1] == {
        "filename": "capture_20250130_122601.dng",
        "size": len(RAW),
        "created": (local + timedelta(seconds=1)).isoformat(),
        "modified": local.isoformat(),
    }


def test_times_always_have_microseconds(client: Client) -> None:
    make_raw(finished_at=AT.replace(microsecond=0))
    assert client.get("/images").json()[0]["created"].endswith(".000000")


def test_what_is_no_longer_on_disk_or_is_somebody_elses_is_not_listed(client: Client) -> None:
    gone = make_raw()
    files.existing(str(gone.filename)).unlink()
    (files.directory() / "foreign.dng").write_bytes(RAW)
    assert client.get("/images").json() == []


def test_the_list_asks_the_database_once(client: Client) -> None:
    for number in range(12):
        make_raw(f"capture_20250130_1226{number:02}.dng")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(client.get("/images").json()) == 12
    assert len(queries) == 1


def test_an_image_is_sent_whole(client: Client) -> None:
    name = make_raw().filename
    response = client.get(f"/images/{name}")
    assert body_of(response) == RAW
    headers = response.headers
    assert headers["Content-Type"] == "image/x-adobe-dng"
    assert headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert headers["Content-Length"] == str(len(RAW))
    assert headers["Accept-Ranges"] == "bytes"
    assert {"ETag", "Last-Modified"} <= set(headers)
    # As the client that came with the node finds its name.
    assert headers["Content-Disposition"].split("filename=")[1].strip(" \"'") == name


def test_a_part_of_an_image_is_sent_to_who_asks_for_one(client: Client) -> None:
    name = make_raw().filename
    response = client.get(f"/images/{name}", headers={"Range": "bytes=256-511"})
    assert (response.status_code, body_of(response)) == (206, RAW[256:512])
    assert response.headers["Content-Range"] == f"bytes 256-511/{len(RAW)}"
    beyond = client.get(f"/images/{name}", headers={"Range": f"bytes={len(RAW)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(RAW)}"


def test_an_image_that_is_known_is_not_sent_again(client: Client) -> None:
    name = make_raw().filename
    first = client.get(f"/images/{name}")
    etag = first.headers["ETag"]
    assert body_of(first) == RAW
    assert client.get(f"/images/{name}", headers={"If-None-Match": etag}).status_code == 304


def test_head_is_get_without_the_body(client: Client) -> None:
    name = make_raw().filename
    for path in (f"/images/{name}", "/images", "/status", "/logs"):
        response = client.head(path)
        assert (response.status_code, body_of(response)) == (200, b""), path
        assert int(response.headers["Content-Length"]) > 0 or path == "/logs"


BAD_NAMES = [
    "nothing.dng",
    "..",
    ".",
    "%2e%2e",
    "..%5Csecret.key",
    "secret.key",
    ".hidden.dng",
    "a%00.dng",
    "capture_20250130_122601.dng%00",
    "capture_20250130_122601.dng%0a",
    "x" * 300 + ".dng",
    "%C3%BC%F0%9F%93%B7.dng",
    "%ff%fe.dng",
    "link.dng",
    "foreign.dng",
    "picture.jpg",
    "directory.dng",
]


@pytest.fixture
def _temptations() -> None:
    """What lies about in the directory and is not for these clients."""
    make_raw()
    directory = files.directory()
    outside = settings.DATA_DIR / "secret.key"
    outside.write_bytes(b"a secret")
    (directory / "link.dng").symlink_to(outside)
    make_raw("linked.dng", filename=None, state=State.FAILED)
    (directory / "foreign.dng").write_bytes(RAW)
    (directory / ".hidden.dng").write_bytes(RAW)
    (directory / "directory.dng").mkdir()
    make_raw("picture.jpg", kind="jpg")
    Capture.objects.create(
        kind="dng", state=State.READY, wanted_name="link.dng", filename="link.dng", width=1,
        height=1, fps=1, duration_ms=1, finished_at=AT,
    )  # fmt: skip


@pytest.mark.usefixtures("_temptations")
@pytest.mark.parametrize("name", BAD_NAMES)
def test_nothing_but_our_own_raw_pictures_is_sent_or_deleted(client: Client, name: str) -> None:
    before = {path.name for path in files.directory().iterdir()}
    assert_detail(client.get(f"/images/{name}"), 404, "Image not found")
    response = client.delete(f"/images/{name}")
    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], list(answer)) == ("not_found", ["status", "message"])
    assert re.fullmatch(r"File .* not found", answer["message"], re.DOTALL)
    assert {path.name for path in files.directory().iterdir()} == before
    assert (settings.DATA_DIR / "secret.key").read_bytes() == b"a secret"


@pytest.mark.usefixtures("_temptations")
@pytest.mark.parametrize("path", ["../secret.key", "..%2Fsecret.key", "a/b.dng", "%2Fetc%2Fpasswd"])
def test_a_name_with_a_slash_is_an_unknown_path(client: Client, path: str) -> None:
    assert_detail(client.get(f"/images/{path}"), 404, "Not Found")
    assert_detail(client.delete(f"/images/{path}"), 404, "Not Found")
    assert (settings.DATA_DIR / "secret.key").exists()


def test_delete_takes_file_row_and_preview(client: Client) -> None:
    capture = make_raw()
    preview = files.preview_path(capture.pk)
    preview.parent.mkdir(exist_ok=True)
    preview.write_bytes(b"a picture")
    response = client.delete(f"/images/{capture.filename}")
    assert response.status_code == 200
    assert response.json() == {"status": "success", "message": f"Deleted {capture.filename}"}
    assert not Capture.objects.exists()
    assert list(files.listed()) == []
    assert not preview.exists()
    again = client.delete(f"/images/{capture.filename}")
    assert again.status_code == 200
    assert again.json() == {
        "status": "not_found",
        "message": f"File {capture.filename} not found",
    }


def test_a_disk_that_refuses_is_said_and_the_row_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(pk: uuid.UUID, name: str | None) -> None:
        raise PermissionError(13, "Permission denied")

    capture = make_raw()
    monkeypatch.setattr(files, "remove", refuses)
    response = client.delete(f"/images/{capture.filename}")
    assert_detail(response, 500, "The image could not be deleted")
    assert Capture.objects.exists()


def test_a_database_that_does_not_answer_is_a_500_in_shape(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(captures: object) -> None:
        raise DatabaseError("the disk is on fire")

    monkeypatch.setattr(node_views, "_raws", away)
    assert_detail(client.get("/images"), 500, "The list of images could not be read")
    record = next(record for record in caplog.records if record.name == "camera_node")
    assert record.exc_info, "system errors are logged with their traceback"


# --- who may call ---------------------------------------------------------------------------------

EVERYTHING = [
    ("POST", "/capture"),
    ("GET", "/images"),
    ("GET", "/images/capture_20250130_122601.dng"),
    ("DELETE", "/images/capture_20250130_122601.dng"),
    ("GET", "/status"),
    ("GET", "/logs"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_strangers_learn_nothing(stranger: Client, method: str, path: str) -> None:
    make_raw()
    response = stranger.generic(method, path, headers={"Origin": FOREIGN})
    assert response.status_code == 401
    assert response.json()["detail"].startswith("Not allowed: log in")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert Capture.objects.count() == 1


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_a_name_that_somebody_else_registered_is_a_stranger(
    client: Client, method: str, path: str
) -> None:
    """A page that makes its own name lead here (DNS rebinding) still names itself in Host."""
    make_raw()
    assert client.generic(method, path, headers={"Host": "evil.example"}).status_code == 401
    assert Capture.objects.count() == 1


def test_a_viewer_reads_what_is_theirs_and_changes_nothing(stranger: Client) -> None:
    device = make_device(name="Door")
    own = make_raw(device=device)
    make_raw("capture_20250130_122602.dng")
    headers = bearer("viewer", cameras=[device])
    listed = stranger.get("/images", headers=headers).json()
    assert [row["filename"] for row in listed] == [own.filename]
    other = stranger.get("/images/capture_20250130_122602.dng", headers=headers)
    assert_detail(other, 404, "Image not found")
    for method, path in (("POST", "/capture"), ("DELETE", f"/images/{own.filename}")):
        refused = stranger.generic(method, path, headers=headers)
        assert_detail(refused, 403, "This needs an operator")
    assert Capture.objects.count() == 2


def test_an_operator_deletes(stranger: Client) -> None:
    name = make_raw().filename
    assert len(stranger.get("/images", headers=bearer("operator")).json()) == 1
    response = stranger.delete(f"/images/{name}", headers=bearer("operator"))
    assert response.json()["status"] == "success"


def test_the_environments_token_is_an_operator(stranger: Client, settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, auth_token="a-token-of-the-environment")
    headers = {"Authorization": "Bearer a-token-of-the-environment"}
    make_raw()
    assert len(stranger.get("/images", headers=headers).json()) == 1


def test_a_log_in_counts_for_our_own_pages_only(stranger: Client) -> None:
    stranger.force_login(make_user(role="operator"))
    name = make_raw().filename
    for origin in (FOREIGN, "http://hub.lan", "null", "https://testserver"):
        for method, path in EVERYTHING:
            response = stranger.generic(
                method, path, headers={"Origin": origin, "Host": "testserver"}
            )
            assert response.status_code == 401, (origin, path)
            allowed = response.headers.get("Access-Control-Allow-Origin")
            assert allowed is None or origin not in (FOREIGN, "null")
    own = {"Origin": "http://testserver", "Host": "testserver"}
    assert stranger.get("/images", headers=own).status_code == 200
    assert stranger.delete(f"/images/{name}", headers=own).json()["status"] == "success"


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://93.184.216.34", "chrome-extension://abc", "http://[::1"]
)
def test_a_page_of_the_internet_gains_nothing_by_a_browser_at_home(
    client: Client, method: str, path: str, origin: str
) -> None:
    make_raw()
    for cookie in ({}, {"Cookie": "roost_session=x"}):
        response = client.generic(method, path, headers={"Origin": origin, **cookie})
        assert response.status_code == 403
        assert list(response.json()) == ["detail"]
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert Capture.objects.count() == 1


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8000",
        "http://hub.local:5001",
        "http://192.168.1.7",
        "http://[fd00::7]:80",
        "https://camera-hub",
        "https://listed.example.org",
    ],
)
def test_local_and_listed_pages_may_do_what_programs_may(
    client: Client, settings: Settings, origin: str
) -> None:
    settings.NVR = replace(settings.NVR, cors_origins=("https://listed.example.org",))
    name = make_raw().filename
    response = client.get("/images", headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in response.headers["Vary"]
    named = client.get("/images", headers={"Origin": origin, "Cookie": "a=b"})
    assert named.headers["Access-Control-Allow-Origin"] == origin
    deleted = client.delete(f"/images/{name}", headers={"Origin": origin})
    assert deleted.json()["status"] == "success"


def test_a_foreign_page_with_a_credential_of_its_own_may_read(client: Client) -> None:
    make_raw()
    headers = {"Origin": FOREIGN, **bearer("operator")}
    response = client.get("/images", headers=headers)
    assert len(response.json()) == 1
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    viewer = client.post("/capture", headers={"Origin": FOREIGN, **bearer("viewer")})
    assert viewer.status_code == 403, "as a viewer, not as a trusted peer"


def test_programs_get_no_cors_headers(client: Client) -> None:
    response = client.get("/images")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("path", ["/capture", "/images/a.dng", "/images/", "/logs/nothing"])
def test_a_preflight_is_answered_without_a_log_in(stranger: Client, path: str) -> None:
    headers = {
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization, x-anything",
    }
    response = stranger.options(path, headers=headers)
    assert (response.status_code, response.content) == (200, b"OK")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.headers["Access-Control-Max-Age"] == "600"
    assert response.headers["Access-Control-Allow-Headers"] == "authorization, x-anything"
    assert response.headers["Access-Control-Allow-Origin"] == FOREIGN
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    methods = set(response.headers["Access-Control-Allow-Methods"].split(", "))
    assert methods == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


# --- methods and paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/capture", "POST"),
        ("HEAD", "/capture", "POST"),
        ("POST", "/images", "GET, HEAD"),
        ("DELETE", "/images", "GET, HEAD"),
        ("PUT", "/images/a.dng", "DELETE, GET, HEAD"),
        ("POST", "/status", "GET, HEAD"),
        ("PATCH", "/logs", "GET, HEAD"),
        ("OPTIONS", "/status", "GET, HEAD"),
        ("BREW", "/status", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    client: Client, method: str, path: str, allowed: str
) -> None:
    response = client.generic(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    if method != "HEAD":
        assert_detail(response, 405, "Method Not Allowed")


@pytest.mark.parametrize("path", ["/capture/x", "/status/x", "/logs/x/y", "/images/a/b"])
def test_an_unknown_path_below_them_is_not_found(client: Client, path: str) -> None:
    response = client.get(path, headers={"Accept": "text/html", "Origin": "http://hub.local"})
    assert_detail(response, 404, "Not Found")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/images/", "/status/", "/logs/", "/Status", "/IMAGES"])
def test_a_slash_at_the_end_and_the_case_make_no_difference(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_an_image_with_a_slash_at_the_end_is_the_image(client: Client) -> None:
    name = make_raw().filename
    assert body_of(client.get(f"/images/{name}/")) == RAW


def test_posts_need_no_token_of_a_form_and_mind_no_body() -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/capture?return_file=x", "{nonsense", content_type="application/json")
    assert response.status_code == 422
