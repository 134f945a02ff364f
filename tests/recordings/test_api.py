"""`/api/v1/recordings/`, timeline, calendar and playlist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.models import Device
from recordings.models import Deletion, Recording
from recordings.timeline import to_ms
from tests.factories import make_device, make_recording, make_token, make_user
from tests.recordings.hourfiles import make_indexed_hours

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)
START_MS = to_ms(START)
LIST = "/api/v1/recordings/"


@pytest.fixture(autouse=True)
def _files(data_dir: Path) -> Iterator[None]:
    yield


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def with_file(device: Device, started_at: datetime = START, **fields: Any) -> Recording:
    recording = make_recording(device, started_at=started_at, seconds=3600, **fields)
    path = Path(settings.RECORDINGS_DIR) / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    return recording


# --- who sees what ----------------------------------------------------------------------------


def paths(recording: Recording) -> list[str]:
    span = f"start_ms={START_MS}&end_ms={START_MS + 3_600_000}"
    return [
        f"{LIST}{recording.pk}/",
        f"{LIST}{recording.pk}/file",
        f"/api/v1/devices/{recording.device_id}/playlist.m3u8?{span}",
        f"/api/v1/timeline/?device={recording.device_id}&{span}",
        f"/api/v1/calendar/?device={recording.device_id}&month=2026-11",
    ]


def test_nobody_sees_anything_without_logging_in() -> None:
    recording = with_file(make_device())
    for path in [LIST, *paths(recording)]:
        assert Client().get(path).status_code in (401, 403), path


def test_another_persons_camera_is_not_found() -> None:
    mine, other = make_device(), make_device()
    make_indexed_hours(other, START, 1)
    recording = Recording.objects.get()
    client = browser(make_user(role="operator", cameras=[mine]))
    for path in paths(recording):
        assert client.get(path).status_code == 404, path
    for method in (client.patch, client.delete):
        assert method(f"{LIST}{recording.pk}/").status_code == 404
    assert client.get(LIST).json()["results"] == []
    assert client.get(f"{LIST}?device={other.pk}").json()["results"] == []


def test_a_viewer_watches_and_changes_nothing() -> None:
    device = make_device()
    recording = with_file(device)
    client = browser(make_user(role="viewer", cameras=[device]))
    assert client.get(f"{LIST}{recording.pk}/").status_code == 200
    body = {"is_locked": True}
    patched = client.patch(f"{LIST}{recording.pk}/", body, content_type="application/json")
    assert patched.status_code == 403
    assert client.delete(f"{LIST}{recording.pk}/").status_code == 403
    assert Recording.objects.filter(is_locked=False).count() == 1


def test_a_program_comes_in_by_token() -> None:
    device = make_device()
    with_file(device)
    token = make_token(make_user(role="viewer", cameras=[device]))
    answer = Client().get(LIST, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["count"] == 1


# --- the list ---------------------------------------------------------------------------------


def test_a_recording_has_the_promised_shape() -> None:
    device = make_device()
    recording = with_file(device)
    answer = browser(make_user(role="admin")).get(f"{LIST}{recording.pk}/").json()
    assert answer == {
        "id": recording.pk,
        "device": device.pk,
        "path": recording.path,
        "date": recording.date.isoformat(),
        "hour": recording.hour,
        "started_at": timezone.localtime(START).isoformat().replace("+00:00", "Z"),
        "ended_at": timezone.localtime(START + timedelta(hours=1))
        .isoformat()
        .replace("+00:00", "Z"),
        "duration_ms": 3_600_000,
        "size_bytes": recording.size_bytes,
        "width": 800,
        "height": 600,
        "codecs": "avc1.42c01f",
        "is_locked": False,
        "is_growing": False,
    }


def test_the_hour_being_recorded_is_growing() -> None:
    make_recording(make_device(), started_at=timezone.now() - timedelta(seconds=90), seconds=60)
    answer = browser(make_user(role="admin")).get(LIST).json()
    assert answer["results"][0]["is_growing"] is True


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [3, 2, 1, 0]),
        ("ordering=started_at", [0, 1, 2, 3]),
        ("ordering=size_bytes", [0, 1, 2, 3]),
        ("is_locked=true", [2]),
        ("is_locked=false", [3, 1, 0]),
        ("date=2026-11-18", [0]),
        (f"start_ms={START_MS}", [3, 2, 1]),
        (f"end_ms={START_MS}", [0]),
        (f"start_ms={START_MS + 1}&end_ms={START_MS + 3_600_000}", [1]),
        ("page_size=2", [3, 2]),
        ("page_size=2&page=2", [1, 0]),
    ],
)
def test_the_list_filters_orders_and_pages(query: str, expected: list[int]) -> None:
    device = make_device()
    rows = [
        make_recording(device, started_at=START + timedelta(hours=h), seconds=3600, **fields)
        for h, fields in (
            (-24, {"size_bytes": 1, "path": "a"}),
            (0, {"size_bytes": 2, "path": "b"}),
            (1, {"size_bytes": 3, "path": "c", "is_locked": True}),
            (2, {"size_bytes": 4, "path": "d"}),
        )
    ]
    answer = browser(make_user(role="admin")).get(f"{LIST}?{query}").json()
    assert [row["id"] for row in answer["results"]] == [rows[number].pk for number in expected]
    assert set(answer) == {"count", "next", "previous", "results"}


def test_the_list_filters_by_camera() -> None:
    one, two = make_device(), make_device()
    make_recording(one)
    wanted = make_recording(two)
    answer = browser(make_user(role="admin")).get(f"{LIST}?device={two.pk}").json()
    assert [row["id"] for row in answer["results"]] == [wanted.pk]


@pytest.mark.parametrize("query", ["date=../..", "start_ms=x", "end_ms=1e300", "device=-1"])
def test_a_bad_filter_is_named(query: str) -> None:
    answer = browser(make_user(role="admin")).get(f"{LIST}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [query.partition("=")[0]]


def test_the_list_needs_as_many_queries_for_fifty_rows_as_for_one() -> None:
    client = browser(make_user(role="admin"))
    counts = []
    for hours in (1, 49):
        make_indexed_hours(make_device(), START, hours)
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
        assert not any("fragment_index" in query["sql"] for query in queries)
    assert counts[0] == counts[1] == 4  # session, person, count, rows


# --- lock and delete --------------------------------------------------------------------------


def test_an_operator_locks_and_unlocks() -> None:
    device = make_device()
    recording = with_file(device)
    client = browser(make_user(role="operator", cameras=[device]))
    for wanted in (True, False):
        answer = client.patch(
            f"{LIST}{recording.pk}/", {"is_locked": wanted}, content_type="application/json"
        )
        assert (answer.status_code, answer.json()["is_locked"]) == (200, wanted)
        recording.refresh_from_db()
        assert recording.is_locked is wanted


@pytest.mark.parametrize("body", [{}, {"is_locked": "perhaps"}, {"path": "../x"}, []])
def test_a_bad_change_is_refused(body: Any) -> None:
    recording = with_file(make_device())
    answer = browser(make_user(role="admin")).patch(
        f"{LIST}{recording.pk}/", body, content_type="application/json"
    )
    assert answer.status_code == 400
    recording.refresh_from_db()
    assert recording.path.endswith(".mp4")


def test_deleting_removes_file_and_entry_and_says_who() -> None:
    device = make_device()
    recording, person = with_file(device), make_user(role="operator", cameras=[device])
    assert browser(person).delete(f"{LIST}{recording.pk}/").status_code == 204
    assert not (Path(settings.RECORDINGS_DIR) / recording.path).exists()
    assert Recording.objects.count() == 0
    assert Deletion.objects.get().person == person


def test_a_locked_recording_is_a_conflict() -> None:
    recording = with_file(make_device(), is_locked=True)
    answer = browser(make_user(role="admin")).delete(f"{LIST}{recording.pk}/")
    assert answer.status_code == 409
    assert "locked" in answer.json()["detail"]
    assert (Path(settings.RECORDINGS_DIR) / recording.path).exists()


def test_a_growing_recording_is_a_conflict() -> None:
    recording = with_file(make_device(), timezone.now() - timedelta(minutes=59))
    answer = browser(make_user(role="admin")).delete(f"{LIST}{recording.pk}/")
    assert answer.status_code == 409
    assert "still being recorded" in answer.json()["detail"]


def test_a_session_needs_its_csrf_token_to_delete() -> None:
    recording = with_file(make_device())
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(role="admin"))
    assert client.delete(f"{LIST}{recording.pk}/").status_code == 403
    assert Recording.objects.count() == 1


# --- file -------------------------------------------------------------------------------------


def test_a_missing_file_is_said_in_words() -> None:
    recording = make_recording(make_device())
    answer = browser(make_user(role="admin")).get(f"{LIST}{recording.pk}/file")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"The video file {recording.path} is missing on disk."


@pytest.mark.parametrize("path", ["../../../../etc/hostname", "/etc/hostname", "a\0b"])
def test_a_path_never_leads_out_of_the_recordings(path: str) -> None:
    recording = make_recording(make_device(), path=path)
    answer = browser(make_user(role="admin")).get(f"{LIST}{recording.pk}/file")
    assert answer.status_code == 404


def test_a_link_never_leads_out_of_the_recordings(tmp_path: Path) -> None:
    recording = with_file(make_device())
    path = Path(settings.RECORDINGS_DIR) / recording.path
    path.rename(tmp_path / "moved.mp4")
    path.symlink_to(tmp_path / "moved.mp4")
    answer = browser(make_user(role="admin")).head(f"{LIST}{recording.pk}/file")
    assert answer.status_code == 404


def test_a_download_is_named_after_camera_and_hour() -> None:
    recording = with_file(make_device(name="Front door"))
    client = browser(make_user(role="admin"))
    answer = client.head(f"{LIST}{recording.pk}/file?download=1")
    day, hour = recording.date.isoformat(), f"{recording.hour:02}"
    assert answer["Content-Disposition"] == f'attachment; filename="Front door_{day}_{hour}.mp4"'
    assert "Content-Disposition" not in client.head(f"{LIST}{recording.pk}/file")


def test_a_player_may_accept_video_only() -> None:
    recording = with_file(make_device())
    answer = browser(make_user(role="admin")).head(
        f"{LIST}{recording.pk}/file", headers={"Accept": "video/mp4"}
    )
    assert (answer.status_code, answer["Content-Type"]) == (200, "video/mp4")


# --- playlist, timeline, calendar -------------------------------------------------------------


def test_a_playlist_names_files_this_person_may_fetch() -> None:
    device = make_device()
    make_indexed_hours(device, START, 2)
    client = browser(make_user(role="viewer", cameras=[device]))
    span = f"start_ms={START_MS}&end_ms={START_MS + 7_200_000}"
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(f"/api/v1/devices/{device.pk}/playlist.m3u8?{span}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/vnd.apple.mpegurl"
    pk = Recording.objects.order_by("started_at")[0].pk
    assert f'#EXT-X-MAP:URI="/api/v1/recordings/{pk}/file.mp4"' in answer.content.decode()
    work = [q for q in queries if "session" not in q["sql"] and "auth_" not in q["sql"]]
    assert len(work) <= 3


def test_a_playlist_of_nothing_is_not_found_in_words() -> None:
    device = make_device()
    answer = browser(make_user(role="admin")).get(
        f"/api/v1/devices/{device.pk}/playlist.m3u8?start_ms=0&end_ms=1000"
    )
    assert answer.status_code == 404
    assert "no video" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "start_ms"),
        ("start_ms=x&end_ms=5", "start_ms"),
        ("start_ms=5&end_ms=5", "end_ms"),
        ("start_ms=0&end_ms=99999999999", "end_ms"),
        ("start_ms=0&end_ms=9e99", "end_ms"),
        ("start_ms=-1&end_ms=5", "start_ms"),
    ],
)
def test_a_bad_span_is_named(query: str, name: str) -> None:
    device = make_device()
    client = browser(make_user(role="admin"))
    for path in (f"/api/v1/devices/{device.pk}/playlist.m3u8", "/api/v1/timeline/"):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert name in answer.json()


def test_the_timeline_has_every_camera_asked_for() -> None:
    one, two, three = make_device(), make_device(), make_device()
    make_indexed_hours(one, START, 1)
    client = browser(make_user(role="viewer", cameras=[one, two]))
    span = f"start_ms={START_MS}&end_ms={START_MS + 86_400_000}"
    answer = client.get(f"/api/v1/timeline/?device={one.pk}&device={two.pk}&{span}")
    spans = [[START_MS, START_MS + 3_600_000]]
    expected = [{"id": one.pk, "spans": spans}, {"id": two.pk, "spans": []}]
    assert answer.json() == {"devices": expected}
    everything = client.get(f"/api/v1/timeline/?{span}").json()["devices"]
    assert {row["id"] for row in everything} == {one.pk, two.pk}
    assert client.get(f"/api/v1/timeline/?device={three.pk}&{span}").status_code == 404


@pytest.mark.parametrize("cameras", [1, 12])
def test_the_timeline_needs_three_queries_at_most(cameras: int) -> None:
    for _ in range(cameras):
        make_indexed_hours(make_device(), START, 2, gaps=1)
    client = browser(make_user(role="admin"))
    span = f"start_ms={START_MS}&end_ms={START_MS + 86_400_000}"
    with CaptureQueriesContext(connection) as queries:
        client.get(f"/api/v1/timeline/?{span}")
    work = [q for q in queries if "session" not in q["sql"] and "auth_" not in q["sql"]]
    assert len(work) == 3


def test_the_calendar_gives_seconds_by_day() -> None:
    device = make_device()
    make_recording(device, started_at=START, seconds=90)
    make_recording(device, started_at=datetime(2026, 12, 3, 12, tzinfo=UTC), seconds=30)
    client = browser(make_user(role="admin"))
    for month, expected in (("2026-11", {"2026-11-19": 90}), ("2026-12", {"2026-12-03": 30})):
        answer = client.get(f"/api/v1/calendar/?device={device.pk}&month={month}")
        assert answer.json() == {"days": expected}


@pytest.mark.parametrize("query", ["", "device=1", "device=x&month=2026-11", "month=2026-13"])
def test_a_bad_calendar_query_is_refused(query: str) -> None:
    answer = browser(make_user(role="admin")).get(f"/api/v1/calendar/?{query}")
    assert answer.status_code == 400
