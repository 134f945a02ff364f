"""A source is tried before it is saved: by API, in the worker, with real drivers and stand-ins."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError
from PIL import Image
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from capture import services, source_tests, tasks
from capture.agent import locks
from capture.agent.protocol import Packet, Sink, SourceError, SourceSpec
from capture.exceptions import TooManyTests
from capture.models import SourceTest
from devices import sources
from devices.authentication import EnvironmentToken
from recordings.media.matroska import Track
from tests.factories import make_device, make_source, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
API = "/api/v1/source-tests/"
SIMULATED = "simulated:h264?size=320x240&fps=10&audio=1"


def jpeg(width: int = 320, height: int = 240) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 160)).save(data, "JPEG")
    return data.getvalue()


def make_test(*, person: Any = None, node: Any = None, **wish: Any) -> SourceTest:
    wish.setdefault("url", SIMULATED)
    return services.begin_test(
        wish=sources.checked(**wish), node=node, person=person or EnvironmentToken()
    )


def outcome(test: SourceTest) -> SourceTest:
    source_tests.run(test.pk)
    test.refresh_from_db()
    return test


class StandIn:
    """A driver that does what a test says, in place of a camera."""

    def __init__(self, script: Callable[[StandIn, Sink], Any]) -> None:
        self.stage = "resolving"
        self.was_cancelled = False
        self.spec: SourceSpec | None = None
        self.lock_fd = -1
        self._script = script

    async def run(self, sink: Sink) -> None:
        try:
            await self._script(self, sink)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], StandIn]:
    def put_in(script: Any) -> StandIn:
        driver = StandIn(script)

        def open_driver(spec: SourceSpec, *, lock_fd: int) -> StandIn:
            driver.spec, driver.lock_fd = spec, lock_fd
            return driver

        monkeypatch.setattr("capture.drivers.open_driver", open_driver)
        monkeypatch.setattr(source_tests, "MEASURE_SECONDS", 0.2)
        return driver

    return put_in


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def _for_ever() -> None:
    await asyncio.Event().wait()


class TestRun:
    def test_a_real_driver_gives_codec_size_rate_sound_and_a_picture(self) -> None:
        test = outcome(make_test())
        assert (test.state, test.code, test.stage) == ("ok", "", ""), test.sentence
        assert test.found["codec"] == "h264"
        assert (test.found["width"], test.found["height"]) == (320, 240)
        assert 9 <= test.found["fps"] <= 11
        assert test.found["audio"]["codec"] == "aac"
        assert test.sentence == f"H.264, 320x240, {test.found['fps']:g} fps, with sound"
        with Image.open(source_tests.picture_of(test)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (320, 240))

    def test_nothing_is_left_behind(self) -> None:
        test = outcome(make_test(username="u", password="canary-7"))
        assert test.sealed_password == ""
        left = {path.name for path in Path(django_settings.RUN_DIR).rglob("*")}
        assert left == {"source-tests", f"{test.pk}.jpg"}
        assert not any(thread.name.startswith("source-test") for thread in threading.enumerate())

    def test_jpegs_say_their_size_themselves(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("mjpeg", 0, 0))
            for number in range(100):
                sink.packet(Packet(number * 50_000, jpeg(64, 48)))
            await _for_ever()

        driver = drive(script)
        test = outcome(make_test(url="http://camera.example/stream"))
        assert test.sentence == "MJPEG, 64x48, 20 fps, without sound"
        assert driver.was_cancelled
        assert source_tests.picture_of(test).read_bytes() == jpeg(64, 48)

    def test_it_waits_for_a_key_picture(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("mjpeg", 0, 0))
            sink.packet(Packet(0, b"half a picture", is_key=False))
            sink.packet(Packet(0, b"sound", is_audio=True))
            sink.packet(Packet(0, jpeg()))
            raise SourceError("ended", "The camera ended the stream.")

        drive(script)
        test = outcome(make_test(rate_fps=0.5, url="http://camera.example/snap.jpg"))
        assert (test.state, test.found["fps"]) == ("ok", 0.5)  # one picture: as often as asked for

    def test_the_driver_gets_the_log_in_and_a_lock(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            raise SourceError("refused", "The camera refused the password.")

        driver = drive(script)
        test = outcome(make_test(url="rtsp://cam.example/", username="u", password="canary"))
        assert driver.spec is not None
        assert (driver.spec.username, driver.spec.password) == ("u", "canary")
        assert driver.lock_fd >= 0
        assert (test.state, test.code) == ("failed", "refused")
        assert test.sentence == "The camera refused the password."
        assert not test.has_picture

    def test_a_camera_that_is_silent_is_given_up(
        self, drive: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source_tests, "LIMIT_SECONDS", 0.2)

        async def says_nothing(driver: StandIn, sink: Sink) -> None:
            await _for_ever()

        async def begins_and_stops(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("h264", 640, 360))
            await _for_ever()

        for script, code in ((says_nothing, "no_answer"), (begins_and_stops, "silent")):
            driver = drive(script)
            assert outcome(make_test()).code == code
            assert driver.was_cancelled

    @pytest.mark.parametrize(
        ("host", "first"),
        [
            ("cam.example", ["Looking up cam.example"]),
            ("192.168.1.20", []),  # nothing to look up
        ],
    )
    def test_how_far_it_has_come_can_be_read_meanwhile(
        self, drive: Any, monkeypatch: pytest.MonkeyPatch, host: str, first: list[str]
    ) -> None:
        monkeypatch.setattr(source_tests, "STAGE_SECONDS", 0.01)
        seen: list[str] = []

        async def script(driver: StandIn, sink: Sink) -> None:
            for count, stage in enumerate(("resolving", "connecting", "asking", "waiting")):
                driver.stage = stage
                await told(max(1, count + len(first)))
            driver.stage = "of its own"
            sink.stream(Track("mjpeg", 0, 0))
            sink.packet(Packet(0, jpeg()))
            await told(4 + len(first))
            raise SourceError("ended", "over")

        async def told(count: int) -> None:
            # Written by another thread. The limit of a test is the deadline.
            while len(seen) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

        drive(script)
        test = make_test(url=f"rtsp://{host}:8554/live")
        monkeypatch.setattr(source_tests, "on_stage", lambda pk, words: seen.append(words))
        source_tests.run(test.pk)
        assert seen == [
            *first,
            f"Connecting to {host}:8554",
            "Logging in and asking what there is",
            "Waiting for the first picture",
            "Counting pictures",
        ]

    def test_an_address_that_is_not_allowed_is_said(self, settings: Settings) -> None:
        settings.NVR_ALLOW_LOOPBACK_CAMERAS = True
        test = make_test(url="rtsp://127.0.0.1:1/live")
        settings.NVR_ALLOW_LOOPBACK_CAMERAS = False
        assert outcome(test).code == "bad_address"

    def test_a_camera_on_another_machine_cannot_be_tried_from_here(self) -> None:
        node, _ = sources.create_node(name="Garage")
        test = outcome(make_test(node=node, url="usb:/dev/video0"))
        assert (test.state, test.code) == ("failed", "elsewhere")
        assert "another machine" in test.sentence

    def test_a_camera_that_is_in_use_says_so(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            raise AssertionError

        drive(script)
        run_dir = Path(django_settings.RUN_DIR)
        path = locks.camera_path(run_dir, "picamera:0")
        assert path is not None
        with locks.hold_camera(path, patience_s=0.0):
            test = outcome(make_test(url="picamera:0?fps=5"))
            assert (test.state, test.code) == ("failed", "busy")
            assert test.sentence == "A picture or a video is being taken with this camera."

    def test_a_camera_that_is_tried_is_nobody_elses(self, drive: Any) -> None:
        said: list[str] = []

        async def script(driver: StandIn, sink: Sink) -> None:
            path = locks.camera_path(Path(django_settings.RUN_DIR), "usb:/dev/video97")
            assert path is not None
            try:
                with locks.hold_camera(path, patience_s=0.0):
                    pass
            except SourceError as error:
                said.append(str(error))
            sink.stream(Track("mjpeg", 0, 0))
            sink.packet(Packet(0, jpeg()))
            await _for_ever()

        drive(script)
        assert outcome(make_test(url="usb:/dev/video97")).state == "ok"
        assert said == ["This camera is just being tried out."]

    def test_a_picture_that_cannot_be_decoded_spoils_nothing(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("h264", 640, 360, b"nonsense"))
            sink.packet(Packet(0, b"\0\0\0\1x"))
            await _for_ever()

        drive(script)
        test = outcome(make_test())
        assert (test.state, test.has_picture) == ("ok", False)
        assert not source_tests.picture_of(test).exists()

    def test_what_is_no_picture_at_all_is_said(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("mjpeg", 0, 0))
            sink.packet(Packet(0, b"<html>"))
            await _for_ever()

        drive(script)
        assert outcome(make_test()).code == "no_video"

    def test_an_error_of_our_own_is_not_called_the_cameras(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            raise RuntimeError("a mistake")

        drive(script)
        test = make_test()
        with pytest.raises(RuntimeError, match="a mistake"):
            source_tests.run(test.pk)
        test.refresh_from_db()
        assert (test.state, "the recorder's own" in test.sentence) == ("failed", True)

    def test_a_secret_that_changed_meanwhile_is_said(self, settings: Settings) -> None:
        test = make_test(password="p", username="u")
        settings.SECRET_KEY = "another secret altogether, quite long"
        assert outcome(test).code == "password_lost"

    def test_a_task_that_comes_twice_or_too_late_does_nothing(self, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            raise SourceError("ended", "over")

        test = make_test()
        SourceTest.objects.update(created_at=timezone.now() - timedelta(seconds=40))
        drive(script)
        source_tests.run(test.pk)
        source_tests.run(10**9)
        test.refresh_from_db()
        assert test.state == "running"

    def test_a_password_gets_into_no_log(
        self, drive: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)

        async def script(driver: StandIn, sink: Sink) -> None:
            raise SourceError("failed", "rtsp://u:canary-9@cam.example/ was not liked")

        drive(script)
        test = outcome(make_test(username="u", password="canary-9"))
        assert "canary" not in caplog.text + test.sentence


class TestLimits:
    def test_four_at_once(self) -> None:
        begun = [make_test() for _ in range(4)]
        with pytest.raises(TooManyTests):
            make_test()
        SourceTest.objects.filter(pk=begun[0].pk).update(state="failed")
        make_test()

    def test_one_that_was_never_carried_out_makes_room(self) -> None:
        for _ in range(4):
            make_test()
        SourceTest.objects.update(created_at=timezone.now() - timedelta(seconds=31))
        make_test()

    def test_the_task_goes_out_after_the_commit_and_gives_the_thread_back(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        sent: list[Any] = []
        monkeypatch.setattr(
            tasks.run_source_test, "apply_async", lambda args, **options: sent.append(args)
        )
        with django_capture_on_commit_callbacks(execute=True):
            test = make_test()
            assert sent == []
        assert sent == [(test.pk,)]
        entered, may_end = threading.Event(), threading.Event()

        def slow(test_pk: int) -> None:
            entered.set()
            may_end.wait(10)
            raise RuntimeError("in that thread, which has nobody to tell")

        monkeypatch.setattr(source_tests, "run", slow)
        tasks.run_source_test(test.pk)  # back at once: a worker has a thread a core
        assert entered.wait(10)
        may_end.set()
        until(lambda: "broke off" in caplog.text)

    def test_a_broker_that_is_down_is_said_at_once(
        self,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        def down(*args: Any, **options: Any) -> None:
            raise OperationalError("no broker")

        monkeypatch.setattr(tasks.run_source_test, "apply_async", down)
        with django_capture_on_commit_callbacks(execute=True):
            test = make_test()
        test.refresh_from_db()
        assert (test.state, "broker" in test.sentence) == ("failed", True)

    def test_after_an_hour_nothing_is_left_of_it(self) -> None:
        old, new = make_test(), make_test()
        for test in (old, new):
            source_tests.picture_of(test).parent.mkdir(exist_ok=True)
            source_tests.picture_of(test).write_bytes(b"x")
        stray = source_tests.picture_of(new).with_name("0.jpg")
        stray.write_bytes(b"x")
        hour_ago = timezone.now() - timedelta(minutes=61)
        SourceTest.objects.filter(pk=old.pk).update(created_at=hour_ago)
        tasks.forget_source_tests()
        assert [each.pk for each in SourceTest.objects.all()] == [new.pk]
        assert not source_tests.picture_of(old).exists()
        assert not stray.exists()
        assert source_tests.picture_of(new).exists()


@pytest.fixture
def operator() -> Iterator[Client]:
    client = Client()
    client.force_login(make_user(role="operator"))
    yield client


def post(client: Client, document: object) -> Any:
    return client.post(API, json.dumps(document), content_type="application/json")


class TestApi:
    def test_operators_only(self, operator: Client) -> None:
        viewer = Client()
        viewer.force_login(make_user(role="viewer"))
        assert post(Client(), {"url": SIMULATED}).status_code == 401
        assert post(viewer, {"url": SIMULATED}).status_code == 403
        assert post(operator, {"url": SIMULATED}).status_code == 202

    def test_from_the_question_to_the_picture(self, operator: Client, drive: Any) -> None:
        async def script(driver: StandIn, sink: Sink) -> None:
            sink.stream(Track("mjpeg", 0, 0))
            sink.packet(Packet(0, jpeg(64, 48)))
            raise SourceError("ended", "over")

        begun = post(operator, {"url": "http://cam.example/", "rate_fps": 2}).json()
        assert begun == {
            "id": begun["id"],
            "state": "running",
            "stage": "Waiting for a worker",
            "code": "",
            "sentence": "",
            "found": None,
            "picture_url": "",
        }
        drive(script)
        source_tests.run(begun["id"])
        document = operator.get(f"{API}{begun['id']}/").json()
        assert (document["state"], document["stage"]) == ("ok", "")
        assert document["found"]["sentence"] == "MJPEG, 64x48, 2 fps, without sound"
        picture = operator.get(document["picture_url"])
        assert (picture["Content-Type"], picture.content) == ("image/jpeg", jpeg(64, 48))
        assert picture["Cache-Control"] == "no-store"
        source_tests.picture_of(SourceTest.objects.get()).unlink()
        assert operator.get(document["picture_url"]).status_code == 404

    def test_a_test_is_its_makers_alone(self, operator: Client) -> None:
        pk = post(operator, {"url": SIMULATED}).json()["id"]
        SourceTest.objects.update(has_picture=True)
        for role in ("operator", "admin"):
            other = Client()
            other.force_login(make_user(role=role))
            assert other.get(f"{API}{pk}/").status_code == 404
            assert other.get(f"{API}{pk}/picture.jpg").status_code == 404
        assert operator.get(f"{API}{pk}/").status_code == 200

    def test_a_saved_source_is_tried_as_it_is_or_changed(self, operator: Client) -> None:
        person = make_user(role="operator", username="who may")
        operator.force_login(person)
        source = make_source(
            url="rtsp://cam.example/live", username="u", password="canary", people=[person]
        )
        assert post(operator, {"source": source.pk}).status_code == 202
        test = SourceTest.objects.get()
        assert (test.url, test.username) == ("rtsp://cam.example/live", "u")
        assert source_tests._spec(test).password == "canary"
        post(operator, {"source": source.pk, "url": "rtsp://cam.example/other"})
        changed = SourceTest.objects.first()
        assert changed is not None
        assert (changed.url, source_tests._spec(changed).password) == (
            "rtsp://cam.example/other",
            "canary",
        )

    def test_a_stored_password_goes_to_no_other_host(self, operator: Client) -> None:
        person = make_user(role="operator", username="who may")
        operator.force_login(person)
        source = make_source(
            url="rtsp://cam.example/live", username="u", password="canary", people=[person]
        )
        for url in (
            "rtsp://evil.example/live",
            "rtsp://cam.example:555/live",
            "http://cam.example/",
        ):
            refused = post(operator, {"source": source.pk, "url": url})
            assert refused.status_code == 400
            assert "enter the password again" in refused.json()["password"][0]
        assert not SourceTest.objects.exists()

    def test_a_source_out_of_sight_is_not_there(self, operator: Client) -> None:
        assert post(operator, {"source": make_source().pk}).status_code == 404
        assert post(operator, {"source": 10**18}).status_code == 404

    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({}, "url"), ({"url": "file:///etc/passwd"}, "url"), ({"url": "rtsp://127.0.0.1/"}, "url"),
            ({"url": SIMULATED, "node": 99}, "node"), ({"url": SIMULATED, "rate_fps": 31}, "rate_fps"),
            ({"url": SIMULATED, "username": "a:b"}, "username"), ({"url": 7 * "x"}, "url"),
        ],
        ids=range(7),
    )  # fmt: skip
    def test_a_bad_question_names_its_field(
        self, operator: Client, document: dict[str, Any], field: str
    ) -> None:
        response = post(operator, document)
        assert response.status_code == 400
        assert list(response.json()) == [field]

    def test_a_fifth_test_waits(self, operator: Client) -> None:
        for _ in range(4):
            assert post(operator, {"url": SIMULATED}).status_code == 202
        refused = post(operator, {"url": SIMULATED})
        assert (refused.status_code, "under way" in refused.json()["detail"]) == (429, True)

    def test_one_that_nobody_carried_out_says_so(self, operator: Client) -> None:
        pk = post(operator, {"url": SIMULATED}).json()["id"]
        SourceTest.objects.update(created_at=timezone.now() - timedelta(seconds=31))
        document = operator.get(f"{API}{pk}/").json()
        assert (document["state"], document["code"]) == ("failed", "failed")
        assert "worker" in document["sentence"]

    def test_it_can_be_asked_for_cheaply(
        self, operator: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        pk = post(operator, {"url": SIMULATED}).json()["id"]
        with django_assert_num_queries(4):  # session, person, group, test
            operator.get(f"{API}{pk}/")

    def test_no_answer_holds_a_password(self, operator: Client) -> None:
        asked = {"url": "rtsp://u:canary-a@cam.example/", "password": "canary-b", "username": "u"}
        begun = post(operator, asked)
        assert "canary" not in begun.content.decode()
        assert "canary" not in operator.get(f"{API}{begun.json()['id']}/").content.decode()


class TestCandidates:
    def test_they_are_what_living_nodes_say(self, operator: Client) -> None:
        camera = {"url": "usb:/dev/video0", "name": "HD Webcam", "formats": []}
        pi = {"url": "picamera:0", "name": "imx708"}
        node, _ = sources.create_node(name="Garage")
        silent, _ = sources.create_node(name="Attic")
        for each in (node, silent):
            sources.record_reports(node=each, reports=[], cameras={"usb": [camera], "pi": [pi]})
        (django_settings.RUN_DIR / f"node-{silent.pk}").unlink()
        make_source(url="picamera:0", node=node)
        whose = {"node": node.pk, "node_name": "Garage"}
        assert operator.get("/api/v1/source-candidates/").json() == {
            "usb": [{**camera, **whose, "is_added": False}],
            "pi": [{**pi, **whose, "is_added": True}],
        }

    def test_one_that_is_added_stays_so_in_another_size(self, operator: Client) -> None:
        node, _ = sources.create_node(name="Garage")
        cameras = {
            "usb": [{"url": f"usb:/dev/video{n}", "name": "", "formats": []} for n in (0, 1)]
        }
        sources.record_reports(node=node, reports=[], cameras=cameras)
        make_source(url="usb:/dev/video0?size=1280x720&fps=15", node=node)
        listed = operator.get("/api/v1/source-candidates/").json()["usb"]
        assert [each["is_added"] for each in listed] == [True, False]

    def test_viewers_do_not_see_them(self) -> None:
        viewer = Client()
        viewer.force_login(make_user(role="viewer", cameras=[make_device()]))
        assert viewer.get("/api/v1/source-candidates/").status_code == 403


def test_the_limit_of_a_test_is_short_enough_for_its_row() -> None:
    """Else a test that is still under way would be called one that nobody carried out."""
    from capture.models import OVERDUE_AFTER

    longest = source_tests.LIMIT_SECONDS + source_tests.MEASURE_SECONDS
    assert longest + 5 < OVERDUE_AFTER.total_seconds()
