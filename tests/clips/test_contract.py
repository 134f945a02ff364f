"""The clip buffer's HTTP API as its clients use it."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from clips import contract_views, files, policy, services
from clips.models import Clip, State
from devices.models import Device
from nvr_project.environment import read_environment
from recordings.media.matroska import Track
from recordings.segments import SegmentWriter
from tests.clips import clips
from tests.factories import make_device, make_source, make_token, make_user
from tests.recordings.footage import jpeg

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
TRIGGER_MS = 1_763_647_330_123
NOBODY = uuid.UUID(int=0xFEED)
VIDEO = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _trusted(settings: Settings) -> None:
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(settings.NVR, trusted_networks=networks)


@pytest.fixture
def camera() -> Device:
    return make_device(name="Door")


def make_clip(camera: Device, *, trigger_ms: int = TRIGGER_MS, **fields: Any) -> Clip:
    """A clip with a video that is worth ranges, or one in any other `state` without."""
    fields = {"duration_ms": 59_850, "size_bytes": len(VIDEO), "has_thumbnail": False, **fields}
    clip = clips.make_clip(camera, at_ms=trigger_ms, **fields)
    if clip.is_ready:
        files.path_of(clip.pk, ".mp4").write_bytes(VIDEO)
    return clip


def body_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)

    async def gather() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    return asyncio.run(gather())


def assert_error(response: Any, status: int, text: str) -> None:
    assert response.status_code == status
    assert json.loads(response.content) == {"error": text}
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


# --- health ---------------------------------------------------------------------------------------


def test_health_says_what_the_buffer_holds(client: Client, camera: Device) -> None:
    now_ms = time.time_ns() // 1_000_000
    writer = SegmentWriter(
        settings.SPOOL_DIR / camera.directory, now_ms - 21_500, Track("mjpeg", 160, 120)
    )
    writer.append([(500 * number, jpeg(number, now_ms)) for number in range(41)])
    writer.finish()
    (settings.RUN_DIR / "web.json").write_text(
        json.dumps(
            {
                "at_ms": now_ms,
                "devices": {
                    camera.pk: {
                        "presence": "streaming",
                        "since_ms": 1,
                        "synced_ms": 1,
                        "is_recording": True,
                    }
                },
            }
        )
    )
    document = client.get("/api/health").json()
    assert document.pop("timestamp").endswith("Z")
    assert document == {"status": "OK", "bufferStatus": True, "bufferDuration": 20}


def test_health_of_a_recorder_without_cameras_says_so(client: Client) -> None:
    document = client.get("/api/health").json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document.pop("timestamp"))
    assert document == {"status": "OK", "bufferStatus": False, "bufferDuration": 0}


def test_the_buffer_is_at_most_a_minute(client: Client, camera: Device) -> None:
    now_ms = time.time_ns() // 1_000_000
    writer = SegmentWriter(
        settings.SPOOL_DIR / camera.directory, now_ms - 200_000, Track("mjpeg", 160, 120)
    )
    writer.append([(1000 * number, jpeg(number, now_ms)) for number in range(205)])
    writer.finish()
    assert client.get("/api/health").json()["bufferDuration"] == 60


# --- clips ----------------------------------------------------------------------------------------


def test_a_finished_clip_is_a_row(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    row = {
        "id": str(clip.pk),
        "timestamp": "2025-11-20T14:02:10.123Z",
        "filename": f"clip_{TRIGGER_MS}.mp4",
        "duration": 60,
        "size": len(VIDEO),
        "thumbnail_path": None,
        "created_at": f"{clip.created_at:%Y-%m-%d %H:%M:%S}",
        "metadata": {"camera": "Door", "start": "2025-11-20T14:01:40.123Z"},
    }
    assert client.get("/api/videos").json() == [row]
    detail = client.get(f"/api/videos/{clip.pk}").json()
    assert detail == {**row, "path": f"/videos/clip_{TRIGGER_MS}.mp4"}
    assert isinstance(row["duration"], int)


def test_the_newest_clip_comes_first_and_an_empty_list_is_a_list(
    client: Client, camera: Device
) -> None:
    assert client.get("/api/videos").json() == []
    older, newer = make_clip(camera), make_clip(camera, trigger_ms=TRIGGER_MS + 1)
    assert [row["id"] for row in client.get("/api/videos").json()] == [
        str(newer.pk),
        str(older.pk),
    ]


@pytest.mark.parametrize("state", [State.PENDING, State.RECORDING, State.CUTTING, State.FAILED])
def test_a_clip_that_is_not_finished_does_not_exist(
    client: Client, camera: Device, state: State
) -> None:
    clip = make_clip(camera, state=state)
    assert client.get("/api/videos").json() == []
    for path in ("", "/stream"):
        assert_error(client.get(f"/api/videos/{clip.pk}{path}"), 404, "Video clip not found")
    assert_error(client.delete(f"/api/videos/{clip.pk}"), 404, "Video clip not found")


def test_store_answers_at_once_and_the_clip_waits_for_its_end(
    client: Client, camera: Device
) -> None:
    response = client.post("/api/store")
    answer = response.json()
    clip = Clip.objects.get()
    assert response.status_code == 200
    assert answer == {
        "id": str(clip.pk),
        "status": "processing",
        "message": "Clip creation started",
        "timestamp": contract_views._iso(clip.trigger_ms or 0),
        "filename": f"clip_{clip.trigger_ms}.mp4",
        "duration": 60,
        "size": 0,
    }
    assert (clip.device, clip.state) == (camera, State.RECORDING)
    assert (
        clip.end_ms - clip.start_ms,
        abs((clip.trigger_ms or 0) - time.time() * 1000) < 5_000,
    ) == (
        60_000,
        True,
    )
    assert uuid.UUID(answer["id"]).version == 4


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", "application/json"),
        ('{"anything": [1]}', "application/json"),
        ("a=1&b=2", "application/x-www-form-urlencoded"),
        ("whatever", "text/plain"),
    ],
)
def test_store_needs_no_body_and_minds_none(
    client: Client, camera: Device, body: str, content_type: str
) -> None:
    assert client.post("/api/store", body, content_type=content_type).status_code == 200
    assert Clip.objects.get().device == camera


def test_malformed_json_is_refused_in_shape(client: Client, camera: Device) -> None:
    response = client.post("/api/store", "{nonsense", content_type="application/json")
    assert_error(response, 400, "The body is not valid JSON")
    assert not Clip.objects.filter(device=camera).exists()


def test_store_without_a_camera_fails_in_the_contracts_words(client: Client) -> None:
    assert_error(client.post("/api/store"), 500, "Failed to trigger video storage")


def test_delete_takes_file_and_row(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    response = client.delete(f"/api/videos/{clip.pk}")
    assert (response.status_code, response.json()) == (
        200,
        {"message": "Video clip deleted successfully"},
    )
    assert not Clip.objects.exists()
    assert not files.path_of(clip.pk, ".mp4").exists()
    assert_error(client.delete(f"/api/videos/{clip.pk}"), 404, "Video clip not found")


def test_a_locked_clip_stays(client: Client, camera: Device) -> None:
    clip = make_clip(camera, is_locked=True)
    assert client.delete(f"/api/videos/{clip.pk}").status_code == 409
    assert files.path_of(clip.pk, ".mp4").exists()


# --- which camera ---------------------------------------------------------------------------------


def test_the_first_pulled_camera_is_meant_until_one_is_chosen(
    client: Client, camera: Device
) -> None:
    client.post("/api/store")
    pulled = make_source(url="rtsp://192.168.1.20/live").device
    make_source(url="rtsp://192.168.1.21/live")
    client.post("/api/store")
    policy.update(legacy_camera=camera)
    client.post("/api/store")
    assert [clip.device for clip in Clip.objects.order_by("trigger_ms")] == [
        camera,
        pulled,
        camera,
    ]


def test_only_clips_of_the_camera_that_is_meant_are_listed(client: Client, camera: Device) -> None:
    other = make_device()
    make_clip(other, trigger_ms=TRIGGER_MS + 5)
    clip = make_clip(camera)
    assert [row["id"] for row in client.get("/api/videos").json()] == [str(clip.pk)]
    assert client.get(f"/videos/clip_{TRIGGER_MS + 5}.mp4").status_code == 404


# --- video ----------------------------------------------------------------------------------------


def test_a_whole_video(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    for path in (f"/api/videos/{clip.pk}/stream", f"/videos/clip_{TRIGGER_MS}.mp4"):
        response = client.get(path)
        assert (response.status_code, body_of(response)) == (200, VIDEO)
        assert response.headers["Content-Type"] == "video/mp4"
        assert response.headers["Content-Length"] == str(len(VIDEO))
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10_000, len(VIDEO)),
        ("bytes=-10", len(VIDEO) - 10, len(VIDEO)),
        ("bytes=10000-99999999", 10_000, len(VIDEO)),
        ("bytes=5-9,20-29", 5, 10),
    ],
)
def test_a_range_is_206(client: Client, camera: Device, asked: str, start: int, end: int) -> None:
    clip = make_clip(camera)
    response = client.get(f"/api/videos/{clip.pk}/stream", headers={"Range": asked})
    assert (response.status_code, body_of(response)) == (206, VIDEO[start:end])
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(VIDEO)}"
    assert response.headers["Content-Length"] == str(end - start)


def test_ranges_that_cannot_be(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    path = f"/api/videos/{clip.pk}/stream"
    unsatisfiable = client.get(path, headers={"Range": f"bytes={len(VIDEO)}-"})
    assert unsatisfiable.status_code == 416
    assert unsatisfiable.headers["Content-Range"] == f"bytes */{len(VIDEO)}"
    malformed = client.get(path, headers={"Range": "bytes=x-y"})
    assert (malformed.status_code, body_of(malformed)) == (200, VIDEO)
    head = client.head(path)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(VIDEO)))


def test_a_file_that_is_gone_says_so(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    files.path_of(clip.pk, ".mp4").unlink()
    assert_error(client.get(f"/api/videos/{clip.pk}/stream"), 404, "Video file not found")


@pytest.mark.parametrize(
    "name",
    ["clip_1.mp4", "clip_.mp4", "clip_-1.mp4", "clip_1e3.mp4", "..%2froost.sqlite3", "x.mp4",
     "clip_99999999999999999999999.mp4", f"clip_{TRIGGER_MS}.json", f"clip_{TRIGGER_MS}"],
)  # fmt: skip
def test_no_other_name_is_a_file(client: Client, camera: Device, name: str) -> None:
    make_clip(camera)
    assert client.get(f"/videos/{name}").status_code == 404


@pytest.mark.parametrize("clip_id", ["x", "0", "..", str(NOBODY), "%00", "a" * 500])
def test_no_other_id_is_a_clip(client: Client, camera: Device, clip_id: str) -> None:
    make_clip(camera)
    assert client.get(f"/api/videos/{clip_id}").status_code == 404


# --- manners --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/api/nothing"), ("post", "/api/videos"), ("put", "/api/store"),
     ("get", "/api/store"), ("delete", "/api/videos"), ("patch", "/api/health")],
)  # fmt: skip
def test_an_unknown_path_or_method_is_one_answer(client: Client, method: str, path: str) -> None:
    assert_error(getattr(client, method)(path), 404, "Route not found")


@pytest.mark.parametrize("path", ["/api/health/", "/API/Health", "/Api/Videos/"])
def test_case_and_a_trailing_slash_do_not_matter(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_pages_of_the_older_system_may_call(client: Client) -> None:
    for origin in ("http://localhost:8080", "http://localhost:3000"):
        response = client.get("/api/videos", headers={"Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response.headers["Vary"]


def test_a_preflight_needs_no_log_in(client: Client, settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, trusted_networks=())
    response = client.options(
        "/api/store",
        headers={
            "Origin": "http://localhost:8080",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert response.headers["Access-Control-Allow-Headers"] == "content-type"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]


def test_a_foreign_page_can_read_nothing_and_do_nothing(client: Client, camera: Device) -> None:
    clip = make_clip(camera)
    foreign = {"Origin": "http://evil.example"}
    assert "Access-Control-Allow-Origin" not in client.get("/api/videos", headers=foreign).headers
    assert client.post("/api/store", headers=foreign).status_code == 403
    assert client.delete(f"/api/videos/{clip.pk}", headers=foreign).status_code == 403
    assert Clip.objects.count() == 1


@pytest.mark.parametrize(
    ("origin", "is_secure", "status"),
    [
        ("https://recorder", True, 200),
        ("http://recorder", True, 403),
        ("http://recorder", False, 200),
        ("https://recorder", False, 403),
        ("https://recorder:3000", True, 403),
        ("null", True, 403),
    ],
)
def test_only_its_own_pages_may_change_anything(
    client: Client, camera: Device, origin: str, is_secure: bool, status: int
) -> None:
    """Another program of the same host on the usual port of the other scheme is another one."""
    headers = {"Host": "recorder", "Origin": origin}
    answer = client.post("/api/store", secure=is_secure, headers=headers)
    assert answer.status_code == status


def test_a_page_whose_name_was_pointed_at_us_reads_nothing(client: Client, camera: Device) -> None:
    make_clip(camera)
    assert client.get("/api/videos", HTTP_HOST="127.0.0.1:3001").status_code == 200
    host = "rebound.example.net:3001"
    assert client.get("/api/videos", HTTP_HOST=host).status_code == 401
    answer = client.post("/api/store", HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}")
    assert answer.status_code == 401
    assert Clip.objects.count() == 1


def test_a_stranger_is_refused_in_shape(client: Client, camera: Device, settings: Settings) -> None:
    make_clip(camera)
    settings.NVR = replace(settings.NVR, trusted_networks=())
    for method, path in (("get", "/api/videos"), ("post", "/api/store"), ("get", "/api/health")):
        response = getattr(client, method)(path)
        assert response.status_code == 401
        assert set(response.json()) == {"error"}
    assert client.get(f"/videos/clip_{TRIGGER_MS}.mp4").status_code == 401


def test_a_token_means_the_cameras_of_its_person(
    client: Client, camera: Device, settings: Settings
) -> None:
    settings.NVR = replace(settings.NVR, trusted_networks=())
    hidden = make_clip(camera)
    own = make_device()
    clip = make_clip(own)
    operator = make_user(role="operator", cameras=[own])
    viewer = make_user(cameras=[own])
    as_operator = {"Authorization": f"Bearer {make_token(operator)}"}
    as_viewer = {"Authorization": f"Bearer {make_token(viewer)}"}
    assert [row["id"] for row in client.get("/api/videos", headers=as_viewer).json()] == [
        str(clip.pk)
    ]
    assert client.get(f"/api/videos/{hidden.pk}", headers=as_viewer).status_code == 404
    assert client.post("/api/store", headers=as_viewer).status_code == 403
    assert client.post("/api/store", headers=as_operator).status_code == 200
    assert services.clips_of([own.pk]).count() == 1
    assert Clip.objects.filter(device=own).count() == 2


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("get", "/api/videos", "Failed to fetch video clips"),
        ("get", f"/api/videos/{NOBODY}", "Failed to fetch video clip"),
        ("delete", f"/api/videos/{NOBODY}", "Failed to delete video clip"),
        ("get", f"/api/videos/{NOBODY}/stream", "Failed to stream video"),
        ("post", "/api/store", "Failed to trigger video storage"),
    ],
)
def test_a_database_that_is_down_is_the_contracts_500(
    client: Client, monkeypatch: pytest.MonkeyPatch, method: str, path: str, text: str
) -> None:
    def down(*_: object, **__: object) -> None:
        raise DatabaseError("the disk is gone")

    monkeypatch.setattr(services, "clips_of", down)
    monkeypatch.setattr(services, "trigger", down)
    make_device()
    assert_error(getattr(client, method)(path), 500, text)


def test_the_list_costs_the_same_however_long_it_is(
    client: Client, camera: Device, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        make_clip(camera, trigger_ms=TRIGGER_MS + number)
    with django_assert_num_queries(6):
        assert len(client.get("/api/videos").json()) == 5
