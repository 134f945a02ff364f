"""`/api/v1/` of the recorder itself, and the older clients' `/health` and `/stats`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from nvr_project.environment import read_environment
from recordings import policy
from recordings.models import Deletion, Recording
from system import supervision
from system.exceptions import SupervisorUnavailable
from tests.factories import make_device, make_key, make_recording, make_user

pytestmark = pytest.mark.django_db


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role=role))
    return client


@pytest.fixture
def live(data_dir: Path) -> Iterator[Path]:
    """The file in which the web process says what it sees."""
    path = data_dir / "run" / "web.json"
    yield path
    path.unlink(missing_ok=True)


def sees(path: Path, *device_pks: int, **facts: Any) -> None:
    now_ms = int(time.time() * 1000)
    shown = {"presence": "streaming", "since_ms": now_ms, "fps": 10.0, "is_recording": True}
    devices = {str(pk): {**shown, **facts} for pk in device_pks}
    path.write_text(json.dumps({"at_ms": now_ms, "pid": 1, "devices": devices}))


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands for the supervisor's socket, which tests of the whole recorder use for real."""
    asked: list[dict[str, Any]] = []

    def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
        assert path == settings.SUPERVISOR_SOCKET
        asked.append(request)
        worker = {"name": "worker", "pid": 5, "state": "running", "started_ms": 1, "restarts": 0}
        count = next((r["count"] for r in reversed(asked) if r["do"] == "simulate"), 0)
        return {
            "processes": [{**worker, "last_exit": None, "last_error": ""}],
            "count": count,
            "running": count,
        }

    monkeypatch.setattr(supervision, "ask", ask)
    return asked


# --- the older clients --------------------------------------------------------------------------


def test_health_needs_no_key_and_no_database(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/health")
    document = answer.json()
    assert (document["status"], document["version"]) == ("healthy", "1.0.0")
    assert isinstance(document["uptime"], float)
    assert document["timestamp"].endswith("Z")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert client.get("/HEALTH/").status_code == 200
    assert client.post("/health").status_code == 404


def test_stats_tell_a_camera_about_itself_only(client: Client, live: Path) -> None:
    mine, other = make_device(), make_device()
    make_recording(mine, size_bytes=1000)
    make_recording(other, size_bytes=5_000_000)
    sees(live, mine.pk, other.pk)
    answer = client.get("/stats", headers={"X-API-Key": make_key(mine)})
    document = answer.json()
    assert answer.status_code == 200
    assert document["devices"] == {"total": 1, "online": 0, "streaming": 1, "asleep": 0}
    assert document["recordings"]["devices"] == [mine.mac]
    assert document["cleanup"]["totalSizeBytes"] == 1000
    assert set(document["server"]["memory"]) == {
        "rss", "heapTotal", "heapUsed", "external", "arrayBuffers",
    }  # fmt: skip
    assert other.mac not in answer.content.decode()


def test_stats_need_a_key(client: Client) -> None:
    assert client.get("/stats").status_code == 401
    assert client.get("/stats", headers={"X-API-Key": "0" * 64}).status_code == 401


def test_the_authority_can_be_fetched_by_anyone(client: Client) -> None:
    settings.PKI_DIR.mkdir(exist_ok=True)
    (settings.PKI_DIR / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    answer = client.get("/ca.pem")
    assert answer.content == b"-----BEGIN CERTIFICATE-----\n"
    assert "roost-ca.pem" in answer.headers["Content-Disposition"]
    (settings.PKI_DIR / "ca.pem").unlink()
    assert client.get("/ca.pem").status_code == 404


# --- who may what -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/api/v1/me/", {"viewer", "operator", "admin"}),
        ("/api/v1/system/", {"viewer", "operator", "admin"}),
        ("/api/v1/settings/", {"admin"}),
        ("/api/v1/simulated-cameras/", {"operator", "admin"}),
        ("/api/schema/", {"viewer", "operator", "admin"}),
        ("/api/docs/", {"viewer", "operator", "admin"}),  # a page: strangers get the log-in
    ],
)
def test_each_role_reads_what_it_may(
    path: str, roles: set[str], supervisor: list[dict[str, Any]]
) -> None:
    assert Client().get(path).status_code in ((302,) if path == "/api/docs/" else (401, 403))
    for role in ("viewer", "operator", "admin"):
        expected = 200 if role in roles else 403
        assert client_of(role).get(path).status_code == expected, role


def test_it_says_who_is_asking() -> None:
    client = Client()
    person = make_user(role="operator")
    client.force_login(person)
    assert client.get("/api/v1/me/").json() == {"username": person.username, "role": "operator"}


# --- the system page ----------------------------------------------------------------------------


def test_recording_is_only_said_of_cameras_that_record(
    live: Path, supervisor: list[dict[str, Any]]
) -> None:
    admin = client_of("admin")
    assert "no camera has been added" in admin.get("/api/v1/system/").json()["sentence"]
    one, two = make_device(name="Door"), make_device(name="Yard")
    facts = admin.get("/api/v1/system/").json()
    assert (facts["is_recording"], facts["sentence"]) == (
        False,
        "Not recording: no camera is connected.",
    )
    sees(live, one.pk)
    facts = admin.get("/api/v1/system/").json()
    assert facts["is_recording"]
    assert facts["sentence"].startswith("Recording 1 of 2 cameras")
    sees(live, one.pk, two.pk)
    assert admin.get("/api/v1/system/").json()["sentence"] == "Recording every camera."
    sees(live, one.pk, two.pk, is_recording=False, error="the disk is full")
    facts = admin.get("/api/v1/system/").json()
    assert not facts["is_recording"]
    assert facts["sentence"] == "Video is being lost: the disk is full"


def test_days_that_fit_follow_from_the_last_days(
    live: Path,
    supervisor: list[dict[str, Any]],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    device = make_device()
    now = timezone.now()
    for hours in range(1, 25):
        make_recording(
            device,
            started_at=now - timedelta(hours=hours),
            seconds=3600,
            size_bytes=10**9,
        )
    policy.update(max_bytes=48 * 10**9)
    admin = client_of("admin")
    with django_assert_max_num_queries(14):
        facts = admin.get("/api/v1/system/").json()
    camera = facts["cameras"][0]
    assert camera["recordings_bytes"] == 24 * 10**9
    assert camera["bytes_per_day"] == pytest.approx(24 * 10**9, rel=0.01)
    room = min(24 * 10**9, facts["disk"]["free_bytes"] - facts["disk"]["min_free_bytes"])
    expected = (24 * 10**9 + max(0, room)) / camera["bytes_per_day"]
    assert camera["days_that_fit"] == pytest.approx(expected, abs=0.2)


def test_a_viewer_sees_their_cameras_and_nothing_of_the_machine(
    live: Path, supervisor: list[dict[str, Any]]
) -> None:
    viewer = make_user(role="viewer")
    mine, other = make_device(people=[viewer]), make_device()
    for device in (mine, other):
        at = timezone.now()
        Deletion.objects.create(
            device=device, path=f"{device.pk}.mp4", size_bytes=1, started_at=at, ended_at=at,
            reason=Deletion.Reason.AGE,
        )  # fmt: skip
    client = Client()
    client.force_login(viewer)
    facts = client.get("/api/v1/system/").json()
    assert [camera["id"] for camera in facts["cameras"]] == [mine.pk]
    assert [entry["device"] for entry in facts["deletions"]] == [mine.pk]
    assert facts["processes"] == facts["errors"] == []
    assert client_of("operator").get("/api/v1/system/").json()["processes"][0]["name"] == "worker"


def test_it_works_without_a_supervisor() -> None:
    facts = client_of("admin").get("/api/v1/system/").json()
    assert facts["processes"] == []
    assert facts["version"] == settings.VERSION


def test_the_number_of_queries_does_not_grow_with_the_cameras(
    live: Path,
    supervisor: list[dict[str, Any]],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(12):
        make_recording(make_device())
    admin = client_of("admin")
    with django_assert_max_num_queries(14):
        assert len(admin.get("/api/v1/system/").json()["cameras"]) == 12


# --- settings -----------------------------------------------------------------------------------


def patch(client: Client, document: dict[str, Any]) -> Any:
    return client.patch("/api/v1/settings/", document, content_type="application/json")


def test_settings_are_changed_group_by_group() -> None:
    admin = client_of("admin")
    answer = patch(admin, {"retention": {"days": 3}, "registration": {"mode": "approve"}})
    assert answer.status_code == 200, answer.content
    document = admin.get("/api/v1/settings/").json()
    assert document["retention"]["days"] == 3
    assert document["registration"]["mode"] == "approve"
    assert document["encoder"]["crf"] == 26, "untouched"
    assert policy.current().retention_days == 3


@pytest.mark.parametrize(
    "document",
    [
        {"retention": {"days": 0}},
        {"retention": {"days": "many"}},
        {"retention": {"min_free_bytes": 1}},
        {"retention": {"colour": "red"}},
        {"registration": {"mode": "sometimes"}},
        {"encoder": {"preset": "placebo"}},
        {"encoder": {"crf": 52}},
        {"encoder": "x264"},
        {"weather": {}},
    ],
)
def test_a_value_that_makes_no_sense_changes_nothing(document: dict[str, Any]) -> None:
    admin = client_of("admin")
    before = admin.get("/api/v1/settings/").json()
    answer = patch(admin, {"registration": {"max_devices": 7}} | document)
    assert answer.status_code == 400
    assert set(answer.json()) == set(document), "it names the group"
    assert admin.get("/api/v1/settings/").json() == before


def test_what_the_environment_decides_is_refused_in_words(settings: Settings) -> None:
    settings.NVR = read_environment({"NVR_RETENTION_DAYS": "5", "FFMPEG_CRF": "20"})
    admin = client_of("admin")
    document = admin.get("/api/v1/settings/").json()
    assert document["retention"]["days"] == 5
    assert document["retention"]["is_fixed"] == ["days"]
    assert document["encoder"]["is_fixed"] == ["crf"]
    answer = patch(admin, {"registration": {"max_devices": 7}, "retention": {"days": 9}})
    assert answer.status_code == 400
    assert answer.json() == {
        "retention": {"days": ["NVR_RETENTION_DAYS decides this; change it there."]}
    }
    assert admin.get("/api/v1/settings/").json() == document
    assert patch(admin, {"retention": {"max_bytes": 10**9}}).status_code == 200


# --- simulated cameras --------------------------------------------------------------------------


def test_simulated_cameras_are_asked_of_the_supervisor(supervisor: list[dict[str, Any]]) -> None:
    client = client_of("operator")
    path = "/api/v1/simulated-cameras/"
    assert client.get(path).json() == {"count": 0, "running": 0}
    answer = client.put(path, {"count": 2}, content_type="application/json")
    assert answer.json() == {"count": 2, "running": 2}
    assert {"do": "simulate", "count": 2} in supervisor
    for count in (-1, 17, "two", None):
        assert (
            client.put(path, {"count": count}, content_type="application/json").status_code == 400
        )


def test_without_a_supervisor_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SupervisorUnavailable):
        supervision.ask(Path("/nowhere/supervisor.sock"), {"do": "status"})
    answer = client_of("operator").get("/api/v1/simulated-cameras/")
    assert answer.status_code == 503
    assert "make run" in answer.json()["detail"]


def test_the_schema_names_every_path_of_ours() -> None:
    client = client_of("viewer")
    schema = client.get("/api/schema/", headers={"Accept": "application/json"}).json()
    for path in ("me", "system", "settings", "simulated-cameras"):
        assert f"/api/v1/{path}/" in schema["paths"]
    assert Recording.objects.count() == 0
