"""`GET /recordings` of the Pi Camera Server: a camera's own hour files, by its key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from recordings.models import Recording
from tests.factories import make_device, make_key, make_recording

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)


def own(key: str, query: str = "", path: str = "/recordings") -> Any:
    return Client().get(path + query, headers={"X-API-Key": key})


def test_a_camera_lists_its_own_hours_by_path() -> None:
    device, other = make_device(registered_as="aa-bb-cc-00-00-09"), make_device()
    make_recording(other)
    make_recording(device, started_at=START + timedelta(hours=1))
    make_recording(device, started_at=START)
    answer = own(make_key(device))
    paths = sorted(Recording.objects.filter(device=device).values_list("path", flat=True))
    assert answer.json() == {
        "deviceId": "aa-bb-cc-00-00-09",
        "recordings": [{"path": f"recordings/{p}", "filename": p[-6:]} for p in paths],
    }
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    assert answer["Content-Length"] == str(len(answer.content))
    assert answer["X-Frame-Options"] == "DENY"


def test_a_camera_may_ask_for_a_day() -> None:
    device = make_device()
    wanted = make_recording(device, started_at=START)
    make_recording(device, started_at=START - timedelta(days=1))
    answer = own(make_key(device), f"?date={wanted.date}").json()
    assert [row["path"] for row in answer["recordings"]] == [f"recordings/{wanted.path}"]


@pytest.mark.parametrize(
    "day", ["2020-01-01", "../..", "2026-02-30", "20261119", "%00", "\u0662026-11-19"]
)
def test_an_unknown_or_impossible_day_is_empty(day: str) -> None:
    device = make_device()
    make_recording(device, started_at=START)
    answer = own(make_key(device), f"?date={day}")
    assert (answer.status_code, answer.json()["recordings"]) == (200, [])


@pytest.mark.parametrize("path", ["/recordings/", "/RECORDINGS"])
def test_the_cameras_path_takes_any_case_and_a_slash(path: str) -> None:
    assert own(make_key(make_device()), path=path).status_code == 200


def test_a_camera_without_a_good_key_is_refused_in_its_shape() -> None:
    for key in ("", "0" * 64):
        answer = own(key)
        assert answer.status_code == 401
        assert answer.json()["error"] == "Unauthorized"
    assert Client().post("/recordings").status_code == 404
