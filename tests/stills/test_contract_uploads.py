"""`/uploads/<name>` as pages and programs of the camera-capture server load it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from nvr_project.environment import read_environment
from stills import files
from stills.models import Capture, State
from tests.factories import make_capture, make_device, make_token, make_user
from tests.stills.asking import assert_error

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir", "trusted_clients")]
DATA = bytes(range(256)) * 40
TOKEN = "a-token-of-the-environment"


def make_file(name: str, **fields: Any) -> Capture:
    return make_capture(
        content=DATA, filename=name, kind=name.rpartition(".")[2], has_preview=False, **fields
    )


def body_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)

    async def gather() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    return asyncio.run(gather())


def assert_missing(response: Any) -> None:
    assert_error(response, 404, "Not found")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.jpg", "image/jpeg"), ("a.mp4", "video/mp4"), ("a.h264", "video/h264"),
     ("20240101_120000_1920x1080_30fps_3s.mp4", "video/mp4")],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["/uploads/", "/Uploads/"])
def test_a_file_is_sent_whole(client: Client, prefix: str, name: str, content_type: str) -> None:
    make_file(name)
    response = client.get(prefix + name)
    assert (response.status_code, body_of(response)) == (200, DATA)
    headers = response.headers
    assert headers["Content-Type"] == content_type
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "public, max-age=0"
    assert headers["ETag"]
    assert parsedate_to_datetime(headers["Last-Modified"]).tzinfo is not None
    assert "Content-Disposition" not in headers
    assert "Cross-Origin-Resource-Policy" not in headers, "pages of others show it in an <img>"


def test_head_is_get_without_the_body(client: Client) -> None:
    make_file("a.jpg")
    response = client.head("/uploads/a.jpg")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=10000-", 10_000, len(DATA)),
     ("bytes=-10", len(DATA) - 10, len(DATA)), ("bytes=10000-99999999", 10_000, len(DATA))],
)  # fmt: skip
def test_a_range_is_206(client: Client, asked: str, start: int, end: int) -> None:
    make_file("a.mp4")
    response = client.get("/uploads/a.mp4", headers={"Range": asked})
    assert (response.status_code, body_of(response)) == (206, DATA[start:end])
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert response.headers["Content-Type"] == "video/mp4"


def test_ranges_that_cannot_be_served(client: Client) -> None:
    make_file("a.mp4")
    beyond = client.get("/uploads/a.mp4", headers={"Range": f"bytes={len(DATA)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(DATA)}"
    malformed = client.get("/uploads/a.mp4", headers={"Range": "bytes=x-y"})
    assert (malformed.status_code, body_of(malformed)) == (200, DATA)


def test_what_the_client_has_is_not_sent_again(client: Client) -> None:
    make_file("a.jpg")
    known = client.head("/uploads/a.jpg").headers
    for asked in (
        {"If-None-Match": known["ETag"]},
        {"If-Modified-Since": known["Last-Modified"]},
    ):
        response = client.get("/uploads/a.jpg", headers=asked)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["Cache-Control"] == "public, max-age=0"
    response = client.get("/uploads/a.jpg", headers={"If-None-Match": '"other"'})
    assert body_of(response) == DATA


def test_a_name_without_an_extension_is_completed(client: Client) -> None:
    for name, completed in (
        ("a.mp4", "video/mp4"),
        ("a.h264", "video/h264"),
        ("a.jpg", "image/jpeg"),
    ):
        make_file(name)
        response = client.get("/uploads/a")
        assert response.headers["Content-Type"] == completed
        assert body_of(response) == DATA
    make_file("raw.dng")
    assert_missing(client.get("/uploads/raw"))
    assert_missing(client.get("/uploads/a.j"))


# --- what is not there, or not to be seen ---------------------------------------------------------


@pytest.fixture
def _temptations() -> None:
    """What lies about in the directory and beside it."""
    make_file("a.jpg")
    directory = files.directory()
    outside = settings.DATA_DIR / "secret.jpg"
    outside.write_bytes(b"a secret")
    (directory / "link.jpg").symlink_to(outside)
    (directory / ".hidden.jpg").write_bytes(b"hidden")
    (directory / "notes.txt").write_bytes(b"no picture")
    (directory / "directory.jpg").mkdir()
    make_capture(filename="linked.jpg", content=None)
    (directory / "linked.jpg").symlink_to(outside)
    make_capture(filename="gone.jpg", content=None)


@pytest.mark.usefixtures("_temptations")
@pytest.mark.parametrize(
    "name",
    ["nothing.jpg", "", ".", "..", "%2e%2e", "../secret.jpg", "..%2fsecret.jpg", "%2e%2e%2fsecret.jpg",
     "..%5csecret.jpg", "%252e%252e%252fsecret.jpg", ".hidden.jpg", ".previews", ".previews/a.jpg",
     "a.jpg%00", "a.jpg%00.jpg", "%00", "a.jpg/", "a.jpg%2f", "a.jpg%0a", "A.JPG", "a.jpg.jpg",
     "link.jpg", "linked.jpg", "gone.jpg", "directory.jpg", "notes.txt", "x" * 300 + ".jpg", "x" * 5000,
     "%ff%fe.jpg", "%F0%9F%93%B7.jpg", "/etc/passwd", "%2fetc%2fpasswd"],
)  # fmt: skip
def test_nothing_else_is_a_file(client: Client, name: str) -> None:
    for headers in ({}, {"Accept": "text/html"}):
        assert_missing(client.get(f"/uploads/{name}", headers=headers))


@pytest.mark.parametrize("state", [State.WAITING, State.TAKING, State.FAILED, State.CANCELLED])
def test_a_row_that_is_not_ready_hides_its_file(client: Client, state: State) -> None:
    capture = make_file("a.jpg")
    Capture.objects.filter(pk=capture.pk).update(state=state)
    assert_missing(client.get("/uploads/a.jpg"))


def test_a_file_without_a_row_is_for_who_may_see_all(stranger: Client, settings: Settings) -> None:
    (files.directory() / "old.jpg").write_bytes(DATA)
    for role, status in (("viewer", 404), ("operator", 200), ("admin", 200)):
        headers = {"Authorization": f"Bearer {make_token(make_user(role=role))}"}
        response = stranger.get("/uploads/old.jpg", headers=headers)
        assert response.status_code == status, role
        body_of(response)
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(settings.NVR, trusted_networks=networks)
    assert body_of(stranger.get("/uploads/old.jpg")) == DATA


# --- who may look ---------------------------------------------------------------------------------


@pytest.mark.parametrize("auth_token", ["", TOKEN])
def test_a_trusted_network_needs_no_token_for_a_picture(
    client: Client, settings: Settings, auth_token: str
) -> None:
    """An <img> has no header to send it in."""
    settings.NVR = replace(settings.NVR, auth_token=auth_token)
    make_file("a.jpg")
    assert body_of(client.get("/uploads/a.jpg")) == DATA


@pytest.mark.parametrize("auth_token", ["", TOKEN])
@pytest.mark.parametrize("name", ["a.jpg", "nothing.jpg"])
def test_strangers_do_not_even_learn_what_is_there(
    stranger: Client, settings: Settings, auth_token: str, name: str
) -> None:
    settings.NVR = replace(settings.NVR, auth_token=auth_token)
    make_file("a.jpg")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        response = stranger.get(f"/uploads/{name}", headers=headers)
        assert response.status_code == 401
        assert response.json()["ok"] is False


def test_a_rebound_name_is_a_stranger(client: Client) -> None:
    make_file("a.jpg")
    assert client.get("/uploads/a.jpg", headers={"Host": "evil.example"}).status_code == 401


def test_a_viewer_sees_what_is_of_their_cameras(stranger: Client) -> None:
    door = make_device()
    make_file("own.jpg")
    make_file("door.jpg", device=door)
    make_file("other.jpg", device=make_device())
    viewer = {"Authorization": f"Bearer {make_token(make_user(cameras=[door]))}"}
    operator = {"Authorization": f"Bearer {make_token(make_user(role='operator', cameras=[door]))}"}

    def seen_by(headers: dict[str, str]) -> list[str]:
        names = ("own.jpg", "door.jpg", "other.jpg")
        found = {name: stranger.get(f"/uploads/{name}", headers=headers) for name in names}
        for response in found.values():
            body_of(response)
        return [name for name, response in found.items() if response.status_code == 200]

    assert seen_by(viewer) == ["door.jpg"]
    assert seen_by(operator) == ["own.jpg", "door.jpg"]


def test_what_needed_a_credential_is_not_for_a_shared_cache(stranger: Client) -> None:
    make_file("a.jpg")
    headers = {"Authorization": f"Bearer {make_token(make_user(role='operator'))}"}
    response = stranger.get("/uploads/a.jpg", headers=headers)
    assert response.headers["Cache-Control"] == "private, max-age=0"
    assert body_of(response) == DATA


def test_pages_read_it_only_where_a_setting_says_so(client: Client, settings: Settings) -> None:
    make_file("a.jpg")
    page = {"Origin": "https://app.example.com"}
    plain = client.head("/uploads/a.jpg", headers=page)
    assert (plain.status_code, "Access-Control-Allow-Origin" in plain.headers) == (200, False)
    settings.NVR = replace(settings.NVR, cors_allow_all=True)
    for name in ("a.jpg", "nothing.jpg"):
        response = client.head(f"/uploads/{name}", headers=page)
        assert response.headers["Access-Control-Allow-Origin"] == page["Origin"]
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers
