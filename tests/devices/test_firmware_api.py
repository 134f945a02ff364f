"""`/api/v1/firmware/`: who may do what, what is kept of an upload, and what is answered."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from devices import firmware, firmware_image, updates
from devices.firmware_models import FirmwareImage, Rollout, UpdateKey, firmware_directory
from tests.devices.rollouts import (
    ALL,
    BOARD,
    KEY,
    NEW,
    OLD,
    OTHER,
    OTHER_PEM,
    PEM,
    SHORT_ID,
    connect,
    fleet,
    no_files,
    signed,
    trust,
    upload,
)
from tests.factories import make_device, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir", "empty")]
API = "/api/v1/firmware/"
IMAGES, KEYS, CAMERAS, ROLLOUTS = (
    f"{API}{name}/" for name in ("images", "keys", "cameras", "rollouts")
)


@pytest.fixture
def empty() -> Iterator[None]:
    with no_files():
        yield


def logged_in(role: str) -> Client:
    client = Client(headers={"Accept": "application/json"})
    if role != "nobody":
        client.force_login(make_user(role=role, username=f"the {role}"))
    return client


@pytest.fixture
def admin() -> Client:
    return logged_in("admin")


def send(client: Client, method: str, path: str, document: object = None) -> Any:
    body = "" if document is None else json.dumps(document)
    return client.generic(method, path, body, content_type="application/json")


def put_in(client: Client, data: bytes, **fields: str) -> Any:
    file = SimpleUploadedFile("../../its own name.roost", data)
    return client.post(IMAGES, {"file": file, **fields})


def files() -> list[str]:
    return sorted(path.name for path in firmware_directory().glob("*"))


# --- uploads --------------------------------------------------------------------------------------


def test_a_good_file_is_kept_under_a_name_of_our_own(admin: Client) -> None:
    trust()
    data = signed()
    answer = put_in(admin, data, notes="Quicker waking.")
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert told.pop("uploaded_at")
    image = FirmwareImage.objects.get()
    assert told == {
        "id": image.pk,
        "board": BOARD,
        "version": NEW,
        "size_bytes": len(data),
        "sha256": firmware_image.read(data).sha256.hex(),
        "signer": SHORT_ID,
        "signer_name": "workshop",
        "notes": "Quicker waking.",
        "uploaded_by": "the admin",
        "is_in_use": False,
    }
    assert files() == [f"{BOARD}_{NEW}_{SHORT_ID}.roost"]
    assert image.path.read_bytes() == data
    assert stat.S_IMODE(firmware_directory().stat().st_mode) == 0o700


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        signed(key=OTHER),
        changed(signed(), 70),  # in the version's padding
        changed(signed(), 80),  # in the hash
        changed(signed(), 120),  # in the signature
        changed(signed(), 3000),  # in the image
        signed()[:-1],
        signed() + b"x",
        signed()[:100],
        b"GIF89a",
        signed() + bytes(firmware_image.MAX_FILE_BYTES),
    ],
    ids=["key", "version", "hash", "signature", "image", "short", "long", "head", "gif", "huge"],
)
def test_a_file_that_is_not_as_it_was_signed_leaves_nothing(admin: Client, data: bytes) -> None:
    trust()
    answer = put_in(admin, data)
    assert answer.status_code == 400, answer.content
    (words,) = answer.json()["file"]
    assert words.endswith(".")
    assert (FirmwareImage.objects.count(), files()) == (0, [])


def test_without_a_trusted_key_nothing_is_taken(admin: Client) -> None:
    assert "No update key is trusted" in put_in(admin, signed()).content.decode()
    assert put_in(admin, b"").status_code == 400
    assert admin.post(IMAGES, {}).status_code == 400
    assert send(admin, "POST", IMAGES, {}).status_code == 415
    assert files() == []


def test_the_same_version_again_is_refused_and_the_first_one_stays(admin: Client) -> None:
    trust()
    trust(OTHER_PEM)
    first, again = signed(), signed()
    assert first != again, "a signature is another one each time"
    assert put_in(admin, first).status_code == 201
    assert put_in(admin, again).status_code == 400
    assert FirmwareImage.objects.get().path.read_bytes() == first
    assert put_in(admin, signed(key=OTHER)).status_code == 201, "for cameras with the other key"


def test_a_disk_that_refuses_leaves_nothing(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    trust()
    monkeypatch.setattr(os, "fsync", full)
    answer = put_in(admin, signed())
    assert answer.status_code == 503
    assert "No space left on device" in answer.content.decode()
    assert (FirmwareImage.objects.count(), files()) == (0, [])


def test_the_catalogue_is_bounded(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firmware, "MAX_IMAGES", 1)
    monkeypatch.setattr(firmware, "MAX_KEYS", 1)
    trust()
    assert put_in(admin, signed()).status_code == 201
    assert put_in(admin, signed("1.4.0")).status_code == 400
    assert send(admin, "POST", KEYS, {"name": "b", "pem": OTHER_PEM}).status_code == 400


def test_a_deleted_image_takes_its_file_along_but_not_while_it_is_rolled_out(
    admin: Client, django_capture_on_commit_callbacks: Any
) -> None:
    trust()
    connect(*fleet(1))
    image = upload()
    rollout = updates.start(image_pk=image.pk, by="anna")
    assert send(admin, "DELETE", f"{IMAGES}{image.pk}/").status_code == 409
    assert send(admin, "GET", IMAGES).json()["results"][0]["is_in_use"] is True
    updates.stop(rollout_pk=rollout.pk)
    with django_capture_on_commit_callbacks(execute=True):
        assert send(admin, "DELETE", f"{IMAGES}{image.pk}/").status_code == 204
    assert (FirmwareImage.objects.count(), Rollout.objects.count(), files()) == (0, 0, [])
    assert send(admin, "DELETE", f"{IMAGES}{image.pk}/").status_code == 404


# --- keys -----------------------------------------------------------------------------------------


def test_a_public_key_is_trusted_once(admin: Client) -> None:
    answer = send(admin, "POST", KEYS, {"name": "workshop", "pem": PEM})
    assert answer.status_code == 201
    assert (answer.json()["short_id"], answer.json()["added_by"]) == (SHORT_ID, "the admin")
    again = send(admin, "POST", KEYS, {"name": "other", "pem": PEM})
    assert "trusted already, as workshop" in again.content.decode()
    assert [one["name"] for one in send(admin, "GET", KEYS).json()["results"]] == ["workshop"]


def test_a_private_key_and_junk_are_refused_and_not_repeated(admin: Client) -> None:
    private = firmware_image.private_pem(KEY).decode()
    for pem in (
        private,
        "",
        "junk",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "x" * 5000,
    ):
        answer = send(admin, "POST", KEYS, {"name": "workshop", "pem": pem})
        assert answer.status_code == 400, pem
        assert private.splitlines()[1] not in answer.content.decode()
    assert UpdateKey.objects.count() == 0


def test_a_key_goes_unless_its_firmware_is_being_rolled_out(admin: Client) -> None:
    trust()
    connect(*fleet(1))
    rollout = updates.start(image_pk=upload().pk, by="anna")
    path = f"{KEYS}{UpdateKey.objects.get().pk}/"
    assert send(admin, "DELETE", path).status_code == 409
    updates.stop(rollout_pk=rollout.pk)
    assert send(admin, "DELETE", path).status_code == 204
    assert send(admin, "DELETE", path).status_code == 404
    assert send(admin, "GET", IMAGES).json()["results"][0]["signer_name"] == ""
    refused = send(admin, "POST", ROLLOUTS, {"image": FirmwareImage.objects.get().pk})
    assert "not trusted any more" in refused.content.decode()


# --- roll-outs ------------------------------------------------------------------------------------


def test_a_roll_out_from_its_start_to_its_stop(admin: Client) -> None:
    trust()
    first, *_ = cameras = fleet(3)
    connect(*cameras)
    answer = send(admin, "POST", ROLLOUTS, {"image": upload().pk})
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert (told["board"], told["version"], told["state"]) == (BOARD, NEW, "running")
    assert told["stage_words"] == ["one camera", "10 % of the cameras", "all cameras"]
    assert told["sentence"] == "Stage 1 of 3 (one camera), 0 of 3 cameras updated"
    assert (told["counts"], told["started_by"]) == ({"waiting": 3}, "the admin")
    assert (told["devices"][0]["device"], told["devices"][0]["from_version"]) == (first.pk, OLD)
    path = f"{ROLLOUTS}{told['id']}/"
    paused = send(admin, "POST", f"{path}pause/").json()
    assert paused["sentence"] == "Paused, 0 of 3 cameras updated. Paused by the admin"
    assert send(admin, "POST", f"{path}pause/").status_code == 409
    assert send(admin, "POST", f"{path}resume/", {"retry": True}).json()["state"] == "running"
    assert send(admin, "POST", f"{path}resume/", {}).status_code == 409
    assert send(admin, "POST", f"{path}stop/").json()["state"] == "stopped"
    assert send(admin, "POST", f"{path}stop/").status_code == 409
    assert send(admin, "GET", path).json()["ended_at"]
    assert send(admin, "GET", f"{ROLLOUTS}?state=running").json()["results"] == []


def test_given_stages_are_taken_and_nonsense_is_named(admin: Client) -> None:
    trust()
    connect(*fleet(1))
    image = upload()
    stages = [{"count": 2, "soak_minutes": 30}, {"percent": 100}]
    for wrong in ([], [{"count": 1}], [{"count": "x"}], "all", [{"percent": 100}] * 11):
        answer = send(admin, "POST", ROLLOUTS, {"image": image.pk, "stages": wrong})
        assert answer.status_code == 400, wrong
        assert list(answer.json()) == ["stages"]
    assert send(admin, "POST", ROLLOUTS, {"image": 0}).status_code == 404
    assert send(admin, "POST", ROLLOUTS, {"image": "x"}).status_code == 400
    answer = send(admin, "POST", ROLLOUTS, {"image": image.pk, "stages": stages})
    assert answer.json()["stage_words"] == ["2 cameras", "all cameras"]
    assert send(admin, "POST", ROLLOUTS, {"image": image.pk}).status_code == 409
    assert send(admin, "POST", f"{ROLLOUTS}0/pause/").status_code == 404


def test_cameras_say_what_they_run(admin: Client) -> None:
    trust()
    here, away = fleet(2)
    make_device()
    connect(here)
    told = {one["id"]: one for one in send(admin, "GET", CAMERAS).json()["results"]}
    assert set(told) == {here.pk, away.pk}
    assert told[here.pk]["version"] == OLD
    assert told[here.pk]["key_name"] == "workshop"
    assert (told[here.pk]["is_connected"], told[away.pk]["is_connected"]) == (True, False)


# --- everybody else -------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "code"), [("nobody", 401), ("viewer", 403), ("operator", 403)])
def test_firmware_is_for_administrators(role: str, code: int) -> None:
    trust()
    connect(*fleet(1))
    image = upload()
    rollout = updates.start(image_pk=image.pk, by="anna", stages=ALL)
    client = logged_in(role)
    paths = [IMAGES, KEYS, CAMERAS, ROLLOUTS, f"{ROLLOUTS}{rollout.pk}/"]
    assert {send(client, "GET", path).status_code for path in paths} == {code}
    asked = [
        ("POST", KEYS), ("POST", ROLLOUTS), ("DELETE", f"{IMAGES}{image.pk}/"),
        ("DELETE", f"{KEYS}{UpdateKey.objects.get().pk}/"),
        *[("POST", f"{ROLLOUTS}{rollout.pk}/{name}/") for name in ("pause", "resume", "stop")],
    ]  # fmt: skip
    assert {send(client, *one, {}).status_code for one in asked} == {code}
    assert put_in(client, signed("1.4.0")).status_code == code
    rollout.refresh_from_db()
    assert (rollout.state, FirmwareImage.objects.count()) == ("running", 1)


@pytest.mark.parametrize("path", [IMAGES, KEYS, CAMERAS, ROLLOUTS])
def test_lists_take_as_many_queries_for_many_rows(
    admin: Client, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    trust()
    connect(*fleet(12))
    for number in range(5):
        image = upload(f"1.3.{number}")
        rollout = updates.start(image_pk=image.pk, by="anna", stages=ALL)
        updates.stop(rollout_pk=rollout.pk)
    with django_assert_max_num_queries(10):
        assert send(admin, "GET", path).status_code == 200


def test_what_lies_under_the_directory_is_the_owners_alone(data_dir: Path) -> None:
    trust()
    assert upload().path.parent == data_dir / "firmware"
