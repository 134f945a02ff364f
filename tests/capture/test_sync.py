"""`/api/v1/agent/sync/`: what agents say of their sources, and what they are told to bring."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import (
    DjangoAssertNumQueries,
    DjangoCaptureOnCommitCallbacks,
    Settings,
)

from capture.agent.source import IN_USE
from capture.door import Patience
from devices import sources, tasks
from devices.models import Node, Source
from devices.source_reports import _sources_of
from tests.devices.channel import listen
from tests.factories import make_device, make_key, make_source, make_token, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
SYNC = "/api/v1/agent/sync/"
FOUND = {
    "codec": "h264", "width": 1920, "height": 1080, "fps": 15.0, "audio": None,
    "sentence": "H.264, 1920x1080, 15 fps, without sound",
}  # fmt: skip


@pytest.fixture
def key() -> str:
    return sources.local_node_key()


@pytest.fixture
def source(key: str) -> Source:
    return make_source(url="rtsp://cam.example:554/live", username="u", password="canary-42")


def post(key: str, document: object = None, *, secure: bool = True, **extra: Any) -> Any:
    said = {"sources": []} if document is None else document
    body = said if isinstance(said, str) else json.dumps(said)
    client = Client(headers={"X-API-Key": key} if key else {})
    extra.setdefault("REMOTE_ADDR", "192.0.2.9")
    return client.post(SYNC, body, content_type="application/json", secure=secure, **extra)


def say(key: str, source: Source, state: str, **facts: Any) -> Source:
    """One sync with one report; the row as it is after it."""
    report = {"id": source.pk, "state": state, **facts}
    response = post(key, {"sources": [report]})
    assert response.status_code == 200, response.content
    source.refresh_from_db()
    return source


def now_ms(before_seconds: float = 0.0) -> int:
    return int((time.time() - before_seconds) * 1000)


class TestWhoMayAsk:
    def test_a_nodes_key_and_nothing_else(self, source: Source, key: str) -> None:
        admin = make_user(role="admin")
        assert post(key).status_code == 200
        assert post("").status_code == 401
        assert post("0" * 64).status_code == 401
        assert post("not a key").status_code == 401
        assert post(make_key(make_device())).status_code == 401
        bearer: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {make_token(admin)}"}
        assert post("", **bearer).status_code == 401
        client = Client()
        client.force_login(admin)
        assert client.post(SYNC, "{}", content_type="application/json").status_code == 401

    def test_a_fresh_key_locks_the_one_before_out(self, key: str) -> None:
        fresh = sources.local_node_key()
        assert post(key).status_code == 401
        assert post(fresh).status_code == 200
        assert Node.objects.count() == 1

    def test_passwords_are_given_out_over_tls_only(self, source: Source, key: str) -> None:
        refused = post(key, secure=False)
        assert refused.status_code == 403
        assert b"canary" not in refused.content
        # A proxy on this machine ends the TLS and speaks plain HTTP to the web process.
        assert post(key, secure=False, REMOTE_ADDR="127.0.0.1").status_code == 200

    @pytest.mark.parametrize(
        "document",
        [
            "{", "[]", "null", '"x"', {}, {"sources": 7}, {"sources": [7]},
            {"sources": [{}] * 1001}, {"sources": [], "usb": [{}] * 257}, {"sources": [], "usb": "x"},
            {"sources": [], "version": "x" * 41},
        ],
        ids=range(11),
    )  # fmt: skip
    def test_nonsense_is_a_400_and_changes_nothing(self, key: str, document: object) -> None:
        before = Node.objects.values().get()
        assert post(key, document).status_code == 400
        assert Node.objects.values().get() == before

    @pytest.mark.parametrize(
        "odd",
        [
            {}, {"state": None}, {"state": "dancing"}, {"attempts": 10**12}, {"since_ms": 10**18},
            {"found": {"codec": "x" * 99}}, {"found": 7}, {"code": "x" * 25}, {"version": -1},
        ],
        ids=range(9),
    )  # fmt: skip
    def test_one_odd_report_costs_the_others_nothing(
        self, source: Source, key: str, odd: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        other = make_source()
        broken = {"id": source.pk, "state": "running", **odd} if odd else {}
        good = {"id": other.pk, "state": "running", "found": FOUND}
        response = post(key, {"sources": [broken, good]})
        assert len(response.json()["sources"]) == 2
        other.refresh_from_db()
        source.refresh_from_db()
        assert (other.state, source.state) == ("running", "waiting")

    def test_what_is_odd_is_said_once_in_a_while(
        self, key: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("capture.agent_api._complaints", Patience(600))
        for _ in range(3):
            post(key, {"sources": [{"id": "canary"}]})
        said = [each for each in caplog.records if "not understood" in each.getMessage()]
        assert len(said) == 1

    def test_a_long_explanation_is_cut(self, source: Source, key: str) -> None:
        say(key, source, "retrying", code="ended", sentence="x" * 5000)
        assert len(source.sentence) == 300

    def test_a_body_without_end_is_not_read(self, key: str) -> None:
        response = post(key, {"sources": [], "version": "x" * 1_100_000})
        assert response.status_code == 400
        assert "1048576 bytes" in response.json()["detail"]

    def test_it_answers_only_to_post(self, key: str) -> None:
        response = Client(headers={"X-API-Key": key}).get(SYNC, secure=True)
        assert response.status_code == 405


class TestWhatIsWanted:
    def test_it_is_a_whole_description_with_the_password(self, source: Source, key: str) -> None:
        response = post(key)
        assert response.json() == {
            "sources": [
                {
                    "id": source.pk,
                    "mac": source.device.mac,
                    "name": source.device.name,
                    "kind": "rtsp",
                    "url": "rtsp://cam.example/live",
                    "username": "u",
                    "password": "canary-42",
                    "rate_fps": 0.0,
                    "transport": "tcp",
                    "wants_audio": True,
                    "version": 1,
                    "options": {},
                }
            ],
            "door": "/ws",
        }
        assert response["Cache-Control"] == "no-store"

    def test_others_sources_disabled_and_removed_ones_are_not_told(
        self,
        source: Source,
        key: str,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        node, other_key = sources.create_node(name="Garage")
        theirs = make_source(node=node)
        off, going = make_source(is_enabled=False), make_source()
        going.device.removing_since = timezone.now()
        going.device.save()
        assert [each["id"] for each in post(key).json()["sources"]] == [source.pk]
        assert [each["id"] for each in post(other_key).json()["sources"]] == [theirs.pk]
        assert sources.identify_for_node(key, theirs.device.mac) is None
        assert sources.identify_for_node(key, off.device.mac) is None
        assert sources.identify_for_node(key, going.device.mac) is None
        assert sources.identify_for_node(key, source.device.mac) is not None

    def test_a_password_sealed_with_another_secret_is_said_in_words(
        self, source: Source, key: str, settings: Settings
    ) -> None:
        fine = make_source(url="rtsp://other.example/")
        settings.SECRET_KEY = "the secret of another recorder, a new one"
        assert [each["id"] for each in post(key).json()["sources"]] == [fine.pk]
        source.refresh_from_db()
        assert (source.state, source.code) == ("retrying", "password_lost")
        assert source.sentence == ("The stored password cannot be read any more, enter it again.")
        sources.update_source(source_pk=source.pk, changes={"password": "anew"})
        told = {each["id"]: each["password"] for each in post(key).json()["sources"]}
        assert told == {source.pk: "anew", fine.pk: ""}

    def test_a_password_gets_into_no_log(
        self, source: Source, key: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        assert b"canary-42" in post(key).content
        say(key, source, "retrying", code="refused", sentence="rtsp://u:canary-42@cam said no")
        assert "canary" not in caplog.text
        assert "canary" not in source.sentence
        assert "cam said no" in source.sentence


class TestWhatIsSaid:
    def test_trouble_is_kept_with_its_words_and_since_when(self, source: Source, key: str) -> None:
        Source.objects.update(state_since=timezone.now() - timedelta(minutes=1))
        at = now_ms(3)
        say(
            key, source, "retrying",
            code="unreachable", sentence="Nothing answers at cam.", since_ms=at, attempts=2,
        )  # fmt: skip
        assert (source.state, source.code, source.attempts) == ("retrying", "unreachable", 2)
        assert source.sentence == "Nothing answers at cam."
        assert int(source.state_since.timestamp() * 1000) == at
        event = source.device.events.get()
        assert (event.kind, event.detail) == ("disconnected", "Nothing answers at cam.")
        assert event.at == source.state_since

    def test_each_trouble_is_an_event_once(self, source: Source, key: str) -> None:
        refused = {"code": "refused", "sentence": "The camera refused the password."}
        for attempts in range(1, 4):
            say(key, source, "retrying", attempts=attempts, **refused)
            say(key, source, "connecting", attempts=attempts)
            assert (source.state, source.code) == ("retrying", "refused")
            assert source.sentence == "The camera refused the password."
        assert source.attempts == 3
        say(key, source, "retrying", code="no_answer", sentence="Nothing answers.", attempts=4)
        say(key, source, "running", found=FOUND)
        assert (source.state, source.code, source.sentence) == ("running", "", "")
        say(key, source, "retrying", code="no_answer", sentence="Nothing answers.", attempts=1)
        said = list(source.device.events.order_by("pk").values_list("detail", flat=True))
        assert said == [
            "The camera refused the password.", "Nothing answers.", "Nothing answers.",
        ]  # fmt: skip

    def test_what_was_found_is_kept_while_it_fails(self, source: Source, key: str) -> None:
        say(key, source, "running", found=FOUND)
        assert source.found == FOUND
        say(key, source, "retrying", code="silent", sentence="No picture comes.")
        assert source.found == FOUND

    def test_a_clock_that_is_wrong_is_not_believed(self, source: Source, key: str) -> None:
        before = timezone.now()
        for since_ms in (now_ms(-3600), now_ms(3 * 86_400), 0):
            say(key, source, "running", since_ms=since_ms)
            say(key, source, "retrying", code="silent", since_ms=since_ms)
            assert before <= source.state_since <= timezone.now()

    def test_a_moment_before_the_state_that_is_over_is_not_believed(
        self, source: Source, key: str
    ) -> None:
        """An agent whose packets do not get through says since when its driver runs."""
        Source.objects.update(state_since=timezone.now() - timedelta(hours=3))
        began = now_ms(3600)
        say(key, source, "running", since_ms=began)
        before = timezone.now()
        say(key, source, "retrying", code="failed", sentence="x", since_ms=began)
        assert source.state_since >= before
        assert source.device.events.get().at >= before

    def test_a_report_of_the_source_before_a_change_is_not_taken_down(
        self, source: Source, key: str
    ) -> None:
        sources.update_source(source_pk=source.pk, changes={"url": "rtsp://cam.example/other"})
        say(key, source, "retrying", code="not_found", version=1)
        assert (source.state, source.code) == ("connecting", "")
        say(key, source, "retrying", code="not_found", version=2)
        assert (source.state, source.code) == ("retrying", "not_found")

    def test_a_change_made_while_an_agent_reports_is_not_overwritten(
        self, source: Source, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_then_change(node: Node) -> list[Source]:
            rows = _sources_of(node)
            sources.update_source(source_pk=source.pk, changes={}, is_enabled=False)
            return rows

        monkeypatch.setattr("devices.source_reports._sources_of", read_then_change)
        say(key, source, "retrying", code="not_found", version=1)
        assert (source.state, source.is_enabled) == ("off", False)
        assert not source.device.events.exists()

    def test_a_paused_source_is_left_out_and_comes_back(self, source: Source, key: str) -> None:
        say(key, source, "running")
        sources.pause(source, seconds=20.0, reason="The camera took a raw picture.")
        assert post(key).json()["sources"] == []
        assert say(key, source, "running").state == "connecting", "it is told to end"
        assert say(key, source, "retrying", code="ended").code == ""
        sources.resume(source)
        assert [each["id"] for each in post(key).json()["sources"]] == [source.pk]
        assert say(key, source, "running").state == "running"

    def test_a_report_is_not_written_over_a_pause(
        self, source: Source, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_then_pause(node: Node) -> list[Source]:
            rows = _sources_of(node)
            sources.pause(source, seconds=20.0, reason="The camera took a raw picture.")
            return rows

        monkeypatch.setattr("devices.source_reports._sources_of", read_then_pause)
        say(key, source, "retrying", code="not_found", version=1)
        assert (source.state, source.code) == ("connecting", "")
        assert [event.kind for event in source.device.events.all()] == ["paused"]

    def test_a_camera_that_a_picture_is_taken_with_is_paused_not_gone(
        self, source: Source, key: str
    ) -> None:
        said = "A picture or a video is being taken with this camera."
        say(key, source, "retrying", code=IN_USE, sentence=said)
        assert (source.state, source.code, source.sentence) == ("retrying", "in_use", said)
        event = source.device.events.get()
        assert (event.kind, event.detail) == ("paused", said)

    def test_nobody_reports_on_anothers_source(self, source: Source, key: str) -> None:
        _, other_key = sources.create_node(name="Garage")
        say(other_key, source, "retrying", code="refused", sentence="not yours")
        assert source.state == "waiting"

    def test_the_nodes_cameras_are_listed(self, key: str) -> None:
        usb = {
            "url": "usb:/dev/video0",
            "name": "HD Webcam",
            "formats": [{"format": "mjpeg", "sizes": ["1280x720"], "fps": [30.0]}],
        }
        pi = {"url": "picamera:0", "name": "imx708"}
        post(key, {"sources": [], "usb": [usb], "pi": [pi], "version": "0.1.0"})
        node = Node.objects.get()
        assert node.cameras == {"usb": [usb], "pi": [pi], "version": "0.1.0"}
        assert node.last_address == "192.0.2.9"


class TestCost:
    def test_a_poll_without_news_writes_nothing(
        self, source: Source, key: str, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        more = [make_source(url=f"rtsp://192.168.1.{n}/") for n in range(1, 31)]
        reports = [
            {"id": each.pk, "state": "running", "found": FOUND, "since_ms": now_ms()}
            for each in (source, *more)
        ]
        post(key, {"sources": reports})
        wobbling = [{**each, "found": {**FOUND, "fps": 15.4}} for each in reports]
        with django_assert_num_queries(2) as captured:  # the node by its key, its sources
            post(key, {"sources": wobbling})
        assert all(query["sql"].startswith("SELECT") for query in captured)

    def test_the_time_of_a_call_is_written_down_once_a_minute(self, key: str) -> None:
        post(key)
        first = Node.objects.get().last_seen_at
        post(key)
        assert Node.objects.get().last_seen_at == first
        Node.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        post(key)
        seen = Node.objects.get().last_seen_at
        assert seen is not None
        assert timezone.now() - seen < timedelta(seconds=30)

    def test_a_run_directory_that_cannot_be_written_stops_no_camera(
        self, source: Source, key: str, settings: Settings
    ) -> None:
        settings.RUN_DIR = settings.RUN_DIR / "is not there"
        assert len(post(key).json()["sources"]) == 1


class TestAlive:
    def test_a_node_is_alive_for_fifteen_seconds(self, key: str) -> None:
        assert sources.alive_nodes() == set()
        post(key)
        node = Node.objects.get()
        assert sources.alive_nodes() == {node.pk}
        assert sources.alive_nodes(now=time.time() + 14) == {node.pk}
        assert sources.alive_nodes(now=time.time() + 16) == set()

    def test_notes_that_are_not_ours_or_of_the_future_count_for_nothing(self, key: str) -> None:
        post(key)
        note = settings.RUN_DIR / f"node-{Node.objects.get().pk}"
        later = datetime.now(tz=UTC).timestamp() + 3600
        os.utime(note, (later, later))
        (settings.RUN_DIR / "node-x").touch()
        assert sources.alive_nodes() == set()


class TestSwitchingOff:
    def test_the_door_is_shut_when_the_agent_had_its_time(
        self,
        source: Source,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        sent: list[tuple[Any, float]] = []

        def apply_async(args: Any, *, countdown: float, retry: bool) -> None:
            sent.append((args, countdown))

        monkeypatch.setattr(tasks.show_out, "apply_async", apply_async)
        with django_capture_on_commit_callbacks(execute=True):
            sources.update_source(source_pk=source.pk, changes={}, is_enabled=False)
        assert sent == [((source.device_id,), 5.0)]
        next_message = listen(source.device)
        tasks.show_out(source.device_id)
        assert next_message()["type"] == "device.close"

    def test_one_that_is_on_again_is_left_alone(
        self, source: Source, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed: list[int] = []
        monkeypatch.setattr(tasks, "close_connection", lambda pk, reason: closed.append(pk))
        tasks.show_out(source.device_id)
        assert closed == []
        Source.objects.update(is_enabled=False)
        tasks.show_out(source.device_id)
        assert closed == [source.device_id]

    def test_it_needs_no_broker(
        self,
        source: Source,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        def down(*args: Any, **options: Any) -> None:
            raise OperationalError("no broker")

        monkeypatch.setattr(tasks.show_out, "apply_async", down)
        with django_capture_on_commit_callbacks(execute=True):
            sources.update_source(source_pk=source.pk, changes={}, is_enabled=False)
        assert Source.objects.get().state == "off"
