"""`/api/v1/clips/`: who may do what, and what is answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clips.models import Clip, State
from devices.models import Device
from recordings.timeline import to_ms
from tests.clips.clips import AT_MS, LIST, browser, get, make_clip, names_on_disk
from tests.factories import make_device, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _files(data_dir: Path) -> Iterator[None]:
    yield


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def operator(device: Device) -> Client:
    return browser(make_user(role="operator", cameras=[device]))


def post(client: Client, path: str = LIST, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


# --- who sees what ----------------------------------------------------------------------------


def paths(clip: Clip) -> list[str]:
    one = f"{LIST}{clip.pk}/"
    return [one, f"{one}file", f"{one}file.mp4", f"{one}thumbnail.jpg"]


def test_nobody_sees_anything_without_logging_in(device: Device) -> None:
    for path in [LIST, *paths(make_clip(device)), f"/api/v1/clip-windows/{device.pk}/"]:
        assert Client().get(path).status_code in (401, 403), path
    assert post(Client(), device=device.pk).status_code in (401, 403)


def test_another_persons_camera_is_not_found(operator: Client) -> None:
    other = make_device()
    clip = make_clip(other)
    for path in paths(clip):
        assert operator.get(path).status_code == 404, path
    one = f"{LIST}{clip.pk}/"
    assert operator.delete(one).status_code == 404
    assert operator.patch(one, {"name": "x"}, content_type="application/json").status_code == 404
    assert post(operator, f"{one}retry/").status_code == 404
    assert post(operator, f"{one}shares/").status_code == 404
    assert operator.get(f"{one}shares/").status_code == 404
    assert post(operator, device=other.pk).status_code == 404
    assert post(operator, devices=[other.pk]).status_code == 404
    assert operator.get(f"/api/v1/clip-windows/{other.pk}/").status_code == 404
    assert operator.get(LIST).json()["results"] == []
    assert Clip.objects.get().name == clip.name


def test_a_viewer_watches_and_changes_nothing(device: Device) -> None:
    clip = make_clip(device)
    client = browser(make_user(cameras=[device]))
    for path in [LIST, *paths(clip), f"/api/v1/clip-windows/{device.pk}/"]:
        assert get(client, path).status_code == 200, path
    one = f"{LIST}{clip.pk}/"
    assert client.delete(one).status_code == 403
    assert client.patch(one, {"name": "x"}, content_type="application/json").status_code == 403
    assert post(client, device=device.pk).status_code == 403
    assert post(client, f"{one}retry/").status_code == 403
    assert post(client, f"{one}shares/").status_code == 403
    assert client.get(f"{one}shares/").status_code == 403


def test_the_environments_token_keeps_moments_of_every_camera(
    device: Device, settings: Any
) -> None:
    settings.NVR = replace(settings.NVR, auth_token="a-token-of-tests")
    client = Client(headers={"Authorization": "Bearer a-token-of-tests"})
    answer = post(client, all=True)
    assert answer.status_code == 201
    assert answer.json()["clips"][0]["created_by"] == "AUTH_TOKEN"
    assert client.get(LIST).json()["count"] == 1


def test_clips_of_a_camera_that_is_gone_are_the_admins(device: Device) -> None:
    operator = make_user(role="operator", cameras=[device])
    clip = make_clip(device)
    device.delete()
    assert browser(operator).get(LIST).json()["results"] == []
    (shown,) = browser(make_user(role="admin")).get(LIST).json()["results"]
    assert (shown["id"], shown["device"], shown["device_name"]) == (
        str(clip.pk),
        None,
        "Front door",
    )


# --- asking for clips -------------------------------------------------------------------------


def test_a_moment_is_kept_with_the_settings_window(operator: Client, device: Device) -> None:
    before_ms = to_ms(timezone.now())
    answer = post(operator, device=device.pk)
    assert answer.status_code == 201, answer.content
    (clip,) = answer.json()["clips"]
    assert answer.json()["group"] == clip["group"]
    assert clip["end_ms"] - clip["start_ms"] == 60_000
    assert 0 <= clip["start_ms"] + 30_000 - before_ms < 5_000
    assert (clip["state"], clip["kind"], clip["file_url"]) == ("recording", "moment", None)
    assert clip["sentence"].startswith("Is being recorded until ")
    assert clip["name"].startswith("Front door, ")
    assert Clip.objects.get().created_by


def test_a_moment_of_the_past_waits_for_nothing(operator: Client, device: Device) -> None:
    at_ms = to_ms(timezone.now()) - 3_600_000
    answer = post(
        operator, device=device.pk, at_ms=at_ms, before_seconds=5, after_seconds=0,
        name="Parcel", note="left at the gate",
    )  # fmt: skip
    (clip,) = answer.json()["clips"]
    assert (clip["start_ms"], clip["end_ms"], clip["state"]) == (at_ms - 5_000, at_ms, "pending")
    assert (clip["name"], clip["note"]) == ("Parcel", "left at the gate")


def test_a_trigger_beats_the_cameras_window_which_beats_the_settings(
    operator: Client, device: Device
) -> None:
    window = f"/api/v1/clip-windows/{device.pk}/"
    assert operator.get(window).json() == {
        "before_seconds": 30,
        "after_seconds": 30,
        "is_default": True,
    }
    body = {"before_seconds": 10, "after_seconds": 120}
    assert operator.put(window, body, content_type="application/json").status_code == 200
    assert operator.get(window).json() == {**body, "is_default": False}
    (clip,) = post(operator, device=device.pk).json()["clips"]
    assert clip["end_ms"] - clip["start_ms"] == 130_000
    (clip,) = post(operator, device=device.pk, after_seconds=0).json()["clips"]
    assert clip["end_ms"] - clip["start_ms"] == 10_000
    nothing = {"before_seconds": None, "after_seconds": None}
    answer = operator.put(window, nothing, content_type="application/json")
    assert answer.json()["is_default"] is True


def test_all_cameras_of_a_person_are_one_group(operator: Client, device: Device) -> None:
    make_device()  # somebody else's
    mine = make_device(people=[*device.people.all()])
    made = post(operator, all=True).json()
    assert {clip["device"] for clip in made["clips"]} == {device.pk, mine.pk}
    assert {clip["group"] for clip in made["clips"]} == {made["group"]}
    assert {clip["start_ms"] for clip in made["clips"]} == {made["clips"][0]["start_ms"]}
    listed = operator.get(LIST, {"group": made["group"]}).json()
    assert listed["count"] == 2


def test_two_clicks_are_two_clips(operator: Client, device: Device) -> None:
    assert {post(operator, device=device.pk).status_code for _ in range(2)} == {201}
    assert Clip.objects.count() == 2


def test_a_span_of_the_past_is_exported(operator: Client, device: Device) -> None:
    end_ms = to_ms(timezone.now()) - 1_000
    answer = post(operator, device=device.pk, start_ms=end_ms - 3_600_000, end_ms=end_ms)
    (clip,) = answer.json()["clips"]
    assert (clip["kind"], clip["trigger_at"], clip["state"]) == ("span", None, "pending")


NOW_MS = to_ms(timezone.now())


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"before_seconds": 36_000}, "before_seconds", "0 to 300 seconds before"),
        ({"after_seconds": -1}, "after_seconds", "0 to 300 seconds after"),
        ({"after_seconds": "soon"}, "after_seconds", "0 to 300 seconds after"),
        ({"before_seconds": 1e300}, "before_seconds", "0 to 300 seconds before"),
        ({"before_seconds": 0, "after_seconds": 0}, "after_seconds", "at least one second"),
        ({"at_ms": NOW_MS + 3_600_000}, "at_ms", "in the future"),
        ({"start_ms": 5_000}, "end_ms", "a start and an end"),
        ({"start_ms": 5_000, "end_ms": 5_000}, "end_ms", "after the start"),
        ({"start_ms": 5_000, "end_ms": 4_000}, "end_ms", "after the start"),
        ({"start_ms": 5_000, "end_ms": 3_700_000}, "end_ms", "one hour"),
        ({"start_ms": NOW_MS, "end_ms": NOW_MS + 900_000}, "end_ms", "in the past"),
        ({"start_ms": 1, "end_ms": 2, "at_ms": 1}, "at_ms", "not both"),
        ({"name": "x" * 121}, "name", "120"),
    ],
)
def test_a_window_that_cannot_be_is_refused_in_words(
    operator: Client, device: Device, body: dict[str, Any], field: str, words: str
) -> None:
    answer = post(operator, device=device.pk, **body)
    assert answer.status_code == 400
    assert words in answer.json()[field][0]
    assert not Clip.objects.exists()


@pytest.mark.parametrize("raw", ['{"device": 1, "before_seconds": NaN}', "[]", "{", '"x"'])
def test_what_is_no_request_is_refused(operator: Client, raw: str) -> None:
    answer = operator.post(LIST, raw, content_type="application/json")
    assert answer.status_code == 400
    assert not Clip.objects.exists()


@pytest.mark.parametrize("body", [{}, {"device": 1, "all": True}, {"all": False}, {"devices": []}])
def test_it_has_to_be_said_which_camera(operator: Client, body: dict[str, Any]) -> None:
    assert post(operator, **body).status_code == 400


# --- finding ----------------------------------------------------------------------------------


def test_clips_are_found_by_camera_day_state_lock_span_and_words(
    operator: Client, device: Device
) -> None:
    day = 24 * 3_600_000
    first = make_clip(device, name="Parcel")
    locked = make_clip(device, at_ms=AT_MS + day, is_locked=True, note="the red van")
    failed = make_clip(device, at_ms=AT_MS + 2 * day, state=State.FAILED, reason="Why not.")

    def found(**query: Any) -> list[str]:
        return [clip["id"] for clip in operator.get(LIST, query).json()["results"]]

    everything = [str(clip.pk) for clip in (failed, locked, first)]
    assert found() == everything
    assert found(device=device.pk) == everything
    assert found(device=device.pk + 1) == []
    local = timezone.localtime(locked.starts_at).date()
    assert found(day=str(local)) == [str(locked.pk)]
    assert found(day="9999-12-31") == []
    assert found(state="failed") == [str(failed.pk)]
    assert found(is_locked="true") == [str(locked.pk)]
    assert found(search="van") == [str(locked.pk)]
    assert found(search="parcel") == [str(first.pk)]
    assert found(start_ms=AT_MS + 29_999, end_ms=AT_MS + day) == [str(locked.pk), str(first.pk)]
    assert found(start_ms=AT_MS + 30_000, end_ms=AT_MS + day - 30_000) == []


def test_a_list_costs_the_same_however_long_it_is(operator: Client, device: Device) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert operator.get(LIST).status_code == 200
        return len(caught)

    make_clip(device)
    few = queries()
    for number in range(30):
        make_clip(device, at_ms=AT_MS + number, with_file=False)
    assert queries() == few <= 6


def test_the_file_is_served_in_ranges_and_named(operator: Client, device: Device) -> None:
    clip = make_clip(device, name="Tür: 14:02")
    answer = get(operator, f"{LIST}{clip.pk}/file", Range="bytes=2-4")
    assert (answer.status_code, answer["Content-Range"]) == (206, "bytes 2-4/10")
    assert answer["Content-Type"] == "video/mp4"
    answer = get(operator, f"{LIST}{clip.pk}/file?download=1")
    assert answer["Content-Disposition"] == 'attachment; filename="T_r_ 14_02.mp4"'
    answer = operator.head(f"{LIST}{clip.pk}/file.mp4")
    assert answer["Content-Length"] == "10"
    assert get(operator, f"{LIST}{clip.pk}/thumbnail.jpg")["Content-Type"] == "image/jpeg"
    answer = get(operator, f"{LIST}{clip.pk}/file", Range="bytes=10-")
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize("state", [State.PENDING, State.RECORDING, State.CUTTING, State.FAILED])
def test_only_a_ready_clip_has_a_file(operator: Client, device: Device, state: State) -> None:
    clip = make_clip(device, state=state)
    for path in paths(clip)[1:]:
        assert operator.get(path).status_code == 404
    shown = operator.get(f"{LIST}{clip.pk}/").json()
    assert (shown["file_url"], shown["thumbnail_url"]) == (None, None)


def test_a_file_that_vanished_is_not_found(operator: Client, device: Device) -> None:
    clip = make_clip(device, with_file=False)
    answer = operator.get(f"{LIST}{clip.pk}/file")
    assert answer.status_code == 404
    assert "missing" in answer.json()["detail"]


# --- changing ---------------------------------------------------------------------------------


def test_name_note_and_lock_are_changed(operator: Client, device: Device) -> None:
    clip = make_clip(device)
    body = {"name": "Parcel", "note": "", "is_locked": True}
    one = f"{LIST}{clip.pk}/"
    answer = operator.patch(one, body, content_type="application/json")
    assert {name: answer.json()[name] for name in body} == body
    assert operator.get(one).json()["name"] == "Parcel"
    assert operator.delete(one).status_code == 409
    assert names_on_disk() == [f"{clip.pk}.{end}" for end in ("jpg", "json", "mp4")]
    operator.patch(one, {"is_locked": False}, content_type="application/json")
    assert operator.delete(one).status_code == 204
    assert operator.get(one).status_code == 404
    assert names_on_disk() == []
    assert not Clip.objects.exists()


@pytest.mark.parametrize("state", [State.PENDING, State.RECORDING, State.FAILED])
def test_what_is_not_cut_can_be_given_up(operator: Client, device: Device, state: State) -> None:
    clip = make_clip(device, state=state)
    assert operator.delete(f"{LIST}{clip.pk}/").status_code == 204
    assert not Clip.objects.exists()


def test_a_failed_clip_is_tried_again_and_no_other(operator: Client, device: Device) -> None:
    clip = make_clip(device, state=State.FAILED, reason="The disk is full.", attempts=4)
    answer = post(operator, f"{LIST}{clip.pk}/retry/")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    clip.refresh_from_db()
    assert (clip.attempts, clip.reason) == (0, "")
    assert post(operator, f"{LIST}{clip.pk}/retry/").status_code == 409
    assert post(operator, f"{LIST}{uuid.uuid4()}/retry/").status_code == 404


def test_the_settings_hold_the_clip_policy(device: Device) -> None:
    client = browser(make_user(role="admin"))
    path = "/api/v1/settings/"
    assert client.get(path).json()["clips"] == {
        "before_seconds": 30, "after_seconds": 30, "max_count": 1000, "max_bytes": 10 * 1024**3,
        "legacy_camera": None, "is_fixed": [],
    }  # fmt: skip
    wanted = {"before_seconds": 5, "max_count": 7, "legacy_camera": device.pk}
    answer = client.patch(path, {"clips": wanted}, content_type="application/json")
    assert answer.status_code == 200, answer.content
    shown = answer.json()["clips"]
    assert {name: shown[name] for name in wanted} == wanted
    (clip,) = post(client, device=device.pk).json()["clips"]
    assert clip["end_ms"] - clip["start_ms"] == 35_000
    for bad in (
        {"before_seconds": 301}, {"legacy_camera": 10**6}, {"max_bytes": -1},
        {"before_seconds": 0, "after_seconds": 0}, {"color": 1},
    ):  # fmt: skip
        answer = client.patch(path, {"clips": bad}, content_type="application/json")
        assert answer.status_code == 400, bad
    answer = client.patch(path, {"clips": {"legacy_camera": None}}, content_type="application/json")
    assert answer.json()["clips"]["legacy_camera"] is None


def test_a_clip_of_tomorrow_is_no_moment_that_was(operator: Client, device: Device) -> None:
    """A client's clock a little ahead of ours is no reason to refuse."""
    at_ms = to_ms(timezone.now() + timedelta(seconds=20))
    assert post(operator, device=device.pk, at_ms=at_ms).status_code == 201
