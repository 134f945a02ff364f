"""The camera-capture server's HTTP API as its clients use it: captures and status."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.core.asgi import get_asgi_application
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import resolve
from pytest_django import Settings

from stills import contract_views, files, lease, services, taking, tasks
from stills.exceptions import CaptureError
from stills.models import Capture, State
from tests.stills.asking import JSON, StandIn, assert_error, make_seen, post, until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("data_dir", "trusted_clients"),
]
transactional = pytest.mark.django_db(transaction=True)
CAPTURE, BOTH, STATUS = (
    "/api/camera/capture", "/api/camera/capture-and-analyze", "/api/camera/status",
)  # fmt: skip


# --- capture --------------------------------------------------------------------------------------


@transactional
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (None, r"\d{8}_\d{6}_1920x1080_30fps_1s\.jpg"),
        (
            {"format": "jpg", "durationSec": 0.5, "width": 640, "height": 360, "fps": 5},
            r"\d{8}_\d{6}_640x360_30fps_0\.5s\.jpg",
        ),
        (
            {"format": "MP4", "width": "320", "height": "240", "fps": "10", "durationSec": "1"},
            r"\d{8}_\d{6}_320x240_10fps_1s\.mp4",
        ),
        (
            {"format": "h264", "filename": "../golf 1.type.mov", "width": 320, "height": 240,
             "durationSec": 1},
            r"golf_1\.type\.h264",
        ),
    ],
)  # fmt: skip
async def test_a_capture_is_answered_when_its_file_is_there(fields: Any, name: str) -> None:
    """By the simulated camera, with real files."""
    response = await post(CAPTURE, fields)
    answer = response.json()
    assert response.status_code == 200, answer
    assert re.fullmatch(name, answer["filename"])
    assert answer == {
        "ok": True,
        "filename": answer["filename"],
        "url": f"/uploads/{answer['filename']}",
    }
    assert files.existing(answer["filename"]).stat().st_size > 1000
    row = await Capture.objects.aget()
    assert (row.system, row.created_by, row.state) == ("stills", "camera-capture API", State.READY)
    assert not lease.is_held()


@transactional
async def test_a_name_that_is_taken_is_not_overwritten(camera: StandIn) -> None:
    names = [(await post(CAPTURE, {"filename": "a.jpg"})).json()["filename"] for _ in range(2)]
    assert names == ["a.jpg", "a-2.jpg"]


@pytest.mark.parametrize(
    "value",
    [0, -1, "", "x", "-5", "0", None, True, False, [7], {"a": 1}, "NaN", "Infinity", 1e999,
     float("nan"), 10**400, "1_000", 1e-9, "9" * 500, "9" * 500_000 + "x"],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_what_is_no_number_above_zero_is_the_default(value: object) -> None:
    fields = dict.fromkeys(("width", "height", "fps", "durationSec"), value)
    wish = contract_views._wish({"format": "mp4", **fields})
    assert (wish.width, wish.height, wish.fps, wish.duration_ms) == (1920, 1080, 30, 3_000)


@pytest.mark.parametrize("value", [720, 720.4, "720", " 720 ", "7.2e2", "+720.", 719.6])
def test_numbers_may_be_texts_and_are_rounded(value: object) -> None:
    wish = contract_views._wish({"height": value, "durationSec": "1.5"})
    assert (wish.height, wish.duration_ms) == (720, 1_500)


@transactional
async def test_the_settings_say_what_the_defaults_are(camera: StandIn, settings: Settings) -> None:
    settings.NVR = replace(
        settings.NVR, default_width=800, default_height=600, default_fps=12,
        default_still_seconds=0.5, default_video_seconds=7.0,
    )  # fmt: skip
    answer = (await post(CAPTURE)).json()
    assert answer["filename"].endswith("_800x600_12fps_0.5s.jpg")
    await post(CAPTURE, {"format": "h264"})
    assert [order.duration_ms for order in camera.orders] == [500, 7_000]


@transactional
async def test_no_body_and_other_bodies_are_all_defaults(camera: StandIn) -> None:
    for body, content_type in (
        ("", JSON),
        (" ", JSON),
        ("{}", f"{JSON}; charset=utf-8"),
        ('{"format": null, "filename": null}', JSON),
        ('{"format": "", "filename": ""}', JSON),
        ("", "text/plain"),
        ("{nonsense", "text/plain"),
        ("format=mp4", "application/x-www-form-urlencoded"),
    ):
        response = await AsyncClient().post(CAPTURE, body, content_type=content_type)
        assert response.status_code == 200, body
        assert camera.orders.pop().kind == "jpg"


@pytest.mark.parametrize(
    "value", ["dng", "avi", " jpg", 7, 0, True, False, ["jpg"], [], {}], ids=repr
)
def test_other_formats_are_refused(client: Client, value: object) -> None:
    response = client.post(CAPTURE, {"format": value}, content_type=JSON)
    assert_error(response, 400, "Invalid format. Use jpg, h264, or mp4")
    assert not Capture.objects.exists()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"filename": 7}, "Invalid filename. Use text"),
        ({"filename": ["a"]}, "Invalid filename. Use text"),
        ({"filename": False}, "Invalid filename. Use text"),
        ({"width": 20_000}, "Invalid width. It must be between 16 and 16384 pixels."),
        ({"height": "1e300"}, "Invalid height. It must be between 16 and 16384 pixels."),
        ({"format": "mp4", "fps": 300}, "Invalid fps. It must be between 1 and 240 pictures a second."),
        ({"format": "mp4", "durationSec": 31_536_000},
         "Invalid durationSec. It can last at most 3600 s."),
        ({"durationSec": 61}, "Invalid durationSec. It can last at most 60 s."),
    ],
)  # fmt: skip
def test_what_no_camera_should_do_is_refused_before_it_is_asked(
    client: Client, fields: object, text: str
) -> None:
    for path in (CAPTURE, BOTH):
        assert_error(client.post(path, fields, content_type=JSON), 400, text)
    assert not Capture.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("{nonsense", 400, "The body is not valid JSON"),
        ("[" * 100_000, 400, "The body is not valid JSON"),
        ('{"width": ' + "9" * 5_000 + "}", 400, "The body is not valid JSON"),
        ("[]", 400, "The body must be a JSON object"),
        ('"jpg"', 400, "The body must be a JSON object"),
        ('{"filename": "' + "x" * 1024 * 1024 + '"}', 413, "The body may have 1 MB at the most"),
    ],
    ids=["nonsense", "deep", "digits", "list", "text", "large"],
)
def test_bodies_that_are_no_json_object_are_refused(
    client: Client, body: str, status: int, text: str
) -> None:
    assert_error(client.post(CAPTURE, body, content_type=JSON), status, text)
    assert not lease.is_held()


@transactional
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (CaptureError("timeout", "It took too long.", contract="Command timed out after 5000ms: x"),
         504, "Command timed out after 5000ms: x"),
        (CaptureError("failed", "It failed.", contract="Command failed (x) with exit 1"),
         500, "Command failed (x) with exit 1"),
        (CaptureError("no_camera", "There is no camera."), 500, "There is no camera."),
        (CaptureError("disk_full", "The disk is full."), 500, "The disk is full."),
        (CaptureError("busy", "Another program has it."), 409, "Camera busy"),
    ],
)  # fmt: skip
async def test_a_failure_is_told_in_the_contracts_words_and_in_the_status(
    camera: StandIn, error: CaptureError, status: int, text: str
) -> None:
    camera.error = error
    await database_sync_to_async(make_seen)()
    assert_error(await post(CAPTURE), status, text)
    assert (await AsyncClient().get(STATUS)).json()["lastError"] == error.contract
    camera.error = None
    assert (await post(CAPTURE)).status_code == 200, "the camera is free again"
    document = (await AsyncClient().get(STATUS)).json()
    assert (document["lastError"], document["busy"]) == (None, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["lastCaptureAt"])


@transactional
async def test_a_broker_that_is_away_is_said_in_words(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "queue_next", lambda: False)
    text = "The recorder's workers cannot be reached just now. Try again in a moment."
    assert_error(await post(CAPTURE), 500, text)
    assert not lease.is_held()
    await database_sync_to_async(make_seen)()
    assert (await AsyncClient().get(STATUS)).json()["lastError"] == text


@transactional
async def test_a_camera_that_turns_out_to_be_gone_is_looked_for(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def queue_look() -> bool:
        asked.set()
        return True

    monkeypatch.setattr(tasks, "queue_look", queue_look)
    for code, is_asked in (("failed", False), ("unplugged", True)):
        camera.error = CaptureError(code, "It went.")
        await post(CAPTURE)
        assert await asyncio.to_thread(asked.wait, 10 if is_asked else 0) is is_asked


@transactional
async def test_a_worker_that_never_comes_is_not_waited_for(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "queue_next", lambda: True)
    monkeypatch.setattr(contract_views, "BEGIN_S", 0.2)
    response = await post(CAPTURE, {"durationSec": 30})
    assert response.status_code == 504
    assert response.json()["error"].startswith("The camera did not answer in time")
    assert (await Capture.objects.aget()).state == State.CANCELLED
    assert not lease.is_held()
    await database_sync_to_async(make_seen)()
    assert (await AsyncClient().get(STATUS)).json()["lastError"] == response.json()["error"]


@transactional
async def test_one_that_begins_may_take_longer_than_its_beginning(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract_views, "BEGIN_S", 0.2)
    camera.go_on.clear()
    asked = asyncio.create_task(post(CAPTURE))
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await asyncio.sleep(0.5)
    assert not asked.done()
    camera.go_on.set()
    assert (await asked).status_code == 200


@transactional
@pytest.mark.parametrize(
    ("end", "text"),
    [
        (services.cancel, "It was cancelled."),
        (services.delete, "The capture was deleted right after it was asked for"),
    ],
)
async def test_one_that_somebody_ends_says_so(
    camera: StandIn, end: Callable[[Capture], None], text: str
) -> None:
    camera.go_on.clear()
    asked = asyncio.create_task(post(CAPTURE))
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await database_sync_to_async(end)(await Capture.objects.aget())
    assert_error(await asked, 500, text)


# --- one at a time --------------------------------------------------------------------------------


async def timed(call: Awaitable[Any]) -> tuple[float, Any]:
    began_s = time.monotonic()
    response = await call
    return time.monotonic() - began_s, response


@transactional
@pytest.mark.parametrize("token", ["", "a-token-of-the-environment"])
async def test_of_a_hundred_at_once_one_gets_the_camera_and_the_others_know_at_once(
    camera: StandIn, settings: Settings, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    settings.NVR = replace(settings.NVR, auth_token=token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    await database_sync_to_async(make_seen)()
    await post(CAPTURE, **headers)  # the first one imports and connects
    camera.has_begun.clear()
    camera.go_on.clear()
    view, asked = resolve(CAPTURE).func, AsyncRequestFactory()
    requests = [asked.post(CAPTURE, headers=headers) for _ in range(100)]
    calls = [asyncio.create_task(timed(view(request))) for request in requests]
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    refused = [await call for call in calls if call.done()]
    assert len(refused) == 99
    for _, response in refused:
        assert_error(response, 409, "Camera busy")
    whole = [await timed(post(path, **headers)) for path in (CAPTURE, BOTH) for _ in range(5)]
    assert {response.status_code for _, response in whole} == {409}
    status_s, status = await timed(AsyncClient().get(STATUS, headers=headers))
    assert status.json()["busy"] is True
    camera.go_on.set()
    answers = [(await call)[1].status_code for call in calls]
    assert sorted(answers) == [200, *[409] * 99]
    assert len(camera.orders) == 2
    slowest_ms, one_ms = (1000 * max(seconds for seconds, _ in some) for some in (refused, whole))
    usual_ms = 1000 * statistics.median(seconds for seconds, _ in refused)
    with capsys.disabled():
        print(
            f"\n409: {usual_ms:.1f} ms in the view, at most {slowest_ms:.1f};"
            f" {one_ms:.1f} ms with all middleware; status meanwhile {1000 * status_s:.1f} ms"
        )
    assert usual_ms < 50
    assert max(slowest_ms, one_ms, 1000 * status_s) < 500, "this machine does other things as well"


@transactional
async def test_a_camera_that_another_program_has_is_busy(camera: StandIn) -> None:
    await database_sync_to_async(make_seen)()
    facts = {"pid": 1, "createdAt": 0, "expiresAt": 1000 * time.time() + 60_000, "note": "other"}
    lease.lock_path().write_text(json.dumps(facts))
    assert_error(await post(CAPTURE), 409, "Camera busy")
    assert (await AsyncClient().get(STATUS)).json()["busy"] is True
    lease.lock_path().write_text(json.dumps({**facts, "expiresAt": 1000 * time.time() - 1}))
    assert (await post(CAPTURE)).status_code == 200, "its time is over"


@transactional
async def test_a_client_that_goes_away_leaves_the_camera_free(camera: StandIn) -> None:
    camera.go_on.clear()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": CAPTURE,
        "query_string": b"",
        "headers": [(b"host", b"192.168.1.5:3000")],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 3000),
    }
    asking: Any = ApplicationCommunicator(get_asgi_application(), scope)  # type: ignore[no-untyped-call]
    await asking.send_input({"type": "http.request", "body": b"", "more_body": False})
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    await asking.send_input({"type": "http.disconnect"})
    await asking.wait(timeout=10)
    assert (await Capture.objects.aget()).state == State.CANCELLED
    assert not lease.is_held()
    await asyncio.to_thread(until, lambda: not taking._running)
    camera.go_on.set()
    assert (await post(CAPTURE)).status_code == 200
    assert len(list(files.listed())) == 1


@transactional
async def test_a_client_that_goes_away_while_it_gets_the_camera_gives_it_back(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_getting, go_on = threading.Event(), threading.Event()
    acquire = lease.acquire

    def slowly(note: str, seconds: float) -> str:
        is_getting.set()
        assert go_on.wait(10)
        return acquire(note, seconds)

    monkeypatch.setattr(lease, "acquire", slowly)
    asked = asyncio.create_task(post(CAPTURE))
    assert await asyncio.to_thread(is_getting.wait, 10)
    asked.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not lease.is_held()
    assert not await Capture.objects.aexists()


@transactional
async def test_whoever_waits_elsewhere_comes_next(camera: StandIn) -> None:
    camera.go_on.clear()
    asked = asyncio.create_task(post(CAPTURE))
    assert await asyncio.to_thread(camera.has_begun.wait, 10)
    own = await database_sync_to_async(services.request)(services.Wish("jpg"), by="anna")
    camera.go_on.set()
    assert (await asked).status_code == 200
    await asyncio.to_thread(until, lambda: not taking._running)
    assert (await Capture.objects.aget(pk=own.pk)).state == State.READY
