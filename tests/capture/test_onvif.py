"""Finding cameras by ONVIF and asking them for their streams: against a stand-in of our own."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from capture import onvif, onvif_http, onvif_search, soap
from capture.agent.protocol import SourceError
from capture.onvif import Camera, Stream
from tests.capture.onvif_device import SERVICE, Device, listening, match, served
from tests.factories import make_source, make_user

HOST = "127.0.0.1"
GROUP = "239.255.255.250"
API = "/api/v1/onvif/"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    + "]><b>&a8;</b>"
).encode()
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]><b>&a;</b>'


@pytest.fixture(autouse=True)
def _cameras_on_this_machine(settings: Settings) -> None:
    settings.NVR_ALLOW_LOOPBACK_CAMERAS = True


@pytest.fixture
def device() -> Iterator[Device]:
    """Two streams: `small` 640x360 and `big` 1280x720."""
    streams = {"small": f"rtsp://{HOST}:8554/small", "big": f"rtsp://{HOST}:8554/big?a=1"}
    with served(Device(streams=streams)) as one:
        yield one


def ask(device: Device, username: str = "", password: str = "", place: str = "") -> list[Stream]:
    return asyncio.run(onvif.streams(place or device.url, username, password))


def refused(device: Device, username: str = "", password: str = "", place: str = "") -> SourceError:
    with pytest.raises(SourceError) as caught:
        ask(device, username, password, place)
    return caught.value


class TestSearch:
    def search(self, group: tuple[str, int], seconds: float = 0.4) -> list[Camera]:
        steps: list[list[Camera]] = []
        found = asyncio.run(
            onvif.search(steps.append, own_addresses=[HOST], group=group, seconds=seconds)
        )
        assert len(steps) == len(found)  # told of each at once, and of none twice
        return found

    def test_a_camera_that_answers_is_listed_once_with_its_name(self) -> None:
        device = Device(port=8080)
        with listening(lambda probe: [match(device, probe)] * 3, HOST) as group:
            assert self.search(group) == [
                Camera(
                    name="Front door",
                    model="IPC 12",
                    address=f"{HOST}:8080",
                    url=f"http://{HOST}:8080{SERVICE}",
                )
            ]

    def test_it_is_asked_for_both_types_and_again(self) -> None:
        heard: list[bytes] = []

        def hear(probe: bytes) -> list[bytes]:
            heard.append(probe)
            return []

        with listening(hear, HOST) as group:
            assert self.search(group) == []
        assert sum(b"t:NetworkVideoTransmitter" in probe for probe in heard) == 2
        assert sum(b"t:Device<" in probe for probe in heard) == 2

    @pytest.mark.parametrize(
        "service",
        [
            f"http://192.0.2.7{SERVICE}", "file:///etc/passwd", f"rtsp://{HOST}/x", "-oProxy",
            f"http://{HOST}.example{SERVICE}", "http://[::1", "",
        ],
    )  # fmt: skip
    def test_an_address_of_another_machine_is_not_believed(self, service: str) -> None:
        with listening(
            lambda probe: [match(Device(), probe, services=service or " ")], HOST
        ) as group:
            assert self.search(group) == []

    def test_of_several_addresses_its_own_is_taken(self) -> None:
        both = f"http://192.0.2.7{SERVICE} http://{HOST}:81{SERVICE}"
        with listening(lambda probe: [match(Device(), probe, services=both)], HOST) as group:
            assert [each.url for each in self.search(group)] == [f"http://{HOST}:81{SERVICE}"]

    def test_an_answer_to_somebody_elses_question_is_left_out(self) -> None:
        stray = match(Device(port=80), b"uuid:00000000-0000-0000-0000-000000000000")
        with listening(lambda probe: [stray], HOST) as group:
            assert self.search(group) == []

    def test_nonsense_hurts_nobody_else(self) -> None:
        device = Device(port=80)
        noise = [b"", b"<", b"\xff" * 2000, BOMB, OUTSIDE, b"<a/>", b"x" * 60_000]
        with listening(lambda probe: [*noise, match(device, probe)], HOST) as group:
            began = time.process_time()
            assert [each.address for each in self.search(group)] == [HOST]
            assert time.process_time() - began < 2

    def test_a_flood_is_not_listened_to_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onvif, "MAX_DATAGRAMS", 5)
        device = Device(port=80)
        with listening(lambda probe: [b"<"] * 5 + [match(device, probe)], HOST) as group:
            assert self.search(group) == []

    def test_without_a_network_nothing_is_found(self) -> None:
        group = ("239.255.255.250", 3702)
        found = onvif.search(print, own_addresses=["192.0.2.1"], group=group, seconds=0.1)
        assert asyncio.run(found) == []

    @pytest.mark.skipif(not onvif.interfaces(), reason="this machine is in no network")
    def test_it_is_heard_in_the_group_on_a_real_interface(self) -> None:
        own = onvif.interfaces()[0]
        device = Device(host=own, port=80)
        with listening(lambda probe: [match(device, probe)], own, group=GROUP) as (_, port):
            found = onvif.search(lambda _: None, group=(GROUP, port), seconds=0.4)
            assert [each.address for each in asyncio.run(found)] == [own]

    def test_loopback_is_no_network(self) -> None:
        assert not any(address.startswith("127.") for address in onvif.interfaces())


class TestStreams:
    def test_the_largest_comes_first_with_what_the_camera_says_of_it(self, device: Device) -> None:
        assert ask(device) == [
            Stream("Stream 2", f"rtsp://{HOST}:8554/big?a=1", "hevc", 1280, 720, 15.0),
            Stream("Stream 1", f"rtsp://{HOST}:8554/small", "h264", 640, 360, 15.0),
        ]

    def test_an_older_camera_knows_only_the_older_service(self, device: Device) -> None:
        device.has_media_2 = False
        assert [each.codec for each in ask(device)] == ["h264", "h264"]
        device.says["GetServices"] = (500, {}, "")
        assert len(ask(device)) == 2
        assert "GetCapabilities" in device.questions

    @pytest.mark.parametrize("way", ["token", "digest"])
    def test_it_logs_in_and_sends_no_password(self, device: Device, way: str) -> None:
        device.password, device.way = "canary-pä&<ss", way
        assert len(ask(device, "admin", "canary-pä&<ss")) == 2
        assert "canary" not in "".join(device.bodies)

    @pytest.mark.parametrize("way", ["token", "digest"])
    def test_a_wrong_password_and_none_are_said(
        self, device: Device, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        device.password, device.way = "right", way
        wrong = refused(device, "admin", "canary-wrong")
        assert (wrong.code, "refused the password" in str(wrong)) == ("refused", True)
        none = refused(device)
        assert (none.code, "wants a user name" in str(none)) == ("refused", True)
        assert "canary" not in caplog.text + str(wrong)

    def test_a_camera_whose_clock_is_years_off_lets_us_in(self, device: Device) -> None:
        device.password, device.year = "p", 1970
        assert len(ask(device, "admin", "p")) == 2

    def test_it_goes_on_with_the_host_it_reached(self, device: Device) -> None:
        """The media service's address, as the stand-in gives it, is on another machine."""
        ask(device)
        assert device.questions.count("GetStreamUri") == 2

    @pytest.mark.parametrize(
        "uri",
        [
            "rtsp://192.0.2.9/live", "file:///etc/passwd", "concat:a|b", "usb:/dev/video0",
            f"rtsp://{HOST}@192.0.2.9/live", "rtsp://localhost.example/", "",
        ],
    )  # fmt: skip
    def test_a_stream_elsewhere_is_not_used(self, device: Device, uri: str) -> None:
        device.streams = {"big": uri}
        error = refused(device)
        assert (error.code, "not its own" in str(error)) == ("redirected", True)
        device.streams = {"small": f"rtsp://{HOST}/good", "big": uri}
        assert [each.url for each in ask(device)] == [f"rtsp://{HOST}/good"]

    def test_a_log_in_inside_a_stream_is_taken_out(self, device: Device) -> None:
        device.streams = {"big": f"rtsp://admin:canary@{HOST}/live"}
        assert [each.url for each in ask(device)] == [f"rtsp://{HOST}/live"]

    def test_a_redirect_is_not_followed(self, device: Device) -> None:
        with served(Device(streams={"x": "rtsp://127.0.0.1/"})) as other:
            device.says["GetSystemDateAndTime"] = (302, {"Location": other.url}, "")
            assert refused(device).code == "redirected"
            assert other.questions == []

    def test_a_host_alone_is_enough(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onvif, "USUAL_PORTS", (1, device.port))
        assert len(ask(device, place=HOST)) == 2
        assert len(ask(device, place=f"{HOST}:{device.port}")) == 2
        monkeypatch.setattr(onvif, "USUAL_PORTS", (1, 2))
        nobody = refused(device, place=HOST)
        assert (nobody.code, "Switch ONVIF on" in str(nobody)) == ("unreachable", True)

    @pytest.mark.parametrize(
        "place", ["file:///etc/passwd", "rtsp://127.0.0.1/", "", "a b", "169.254.169.254", "-x"]
    )
    def test_a_place_where_no_camera_is_is_not_asked(self, device: Device, place: str) -> None:
        with pytest.raises(SourceError) as caught:
            asyncio.run(onvif.streams(place, "", ""))
        assert caught.value.code == "bad_address"

    def test_this_machine_is_asked_only_where_that_is_allowed(
        self, device: Device, settings: Settings
    ) -> None:
        settings.NVR_ALLOW_LOOPBACK_CAMERAS = False
        assert refused(device).code == "bad_address"
        assert refused(device, place=f"http://localhost:{device.port}/").code == "bad_address"
        assert device.questions == []

    @pytest.mark.parametrize(
        "answer",
        [
            (200, {}, "<html>It works</html>"), (200, {}, ""), (200, {}, BOMB), (200, {}, OUTSIDE),
            (200, {}, b"\xff\xfe\x00"), (404, {}, "no"), (500, {}, "<a><b></a>"),
            (200, {"Transfer-Encoding": "chunked"}, b"zz\r\n"),
            (200, {"Transfer-Encoding": "chunked"}, b"7fffffff\r\n"),
            (200, {"Content-Type": "text/xml; charset=x"}, '<?xml version="1.0" encoding="x-none"?><a/>'),
        ],
        ids=range(10),
    )  # fmt: skip
    @pytest.mark.parametrize("question", ["GetSystemDateAndTime", "GetProfiles", "GetStreamUri"])
    def test_nonsense_is_said_in_words(self, device: Device, question: str, answer: Any) -> None:
        device.says[question] = answer
        error = refused(device)
        assert error.code in ("failed", "not_found", "unreachable", "no_video")
        assert str(error).endswith(".")
        assert "root:" not in str(error)

    def test_an_answer_that_never_ends_is_not_waited_for(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onvif_http, "ANSWER_SECONDS", 0.3)

        def hang(handler: Any) -> None:
            handler.connection.settimeout(5)
            handler.rfile.read(1)  # until the other side has enough

        def drip(handler: Any) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n<a>")
            handler.wfile.flush()
            hang(handler)

        for behaviour in (hang, drip):
            device.says["GetProfiles"] = behaviour
            assert refused(device).code == "silent"

    def test_an_answer_without_bounds_is_cut_off(self, device: Device) -> None:
        def pour(handler: Any) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(64):
                handler.wfile.write(b" " * 65_536)
            handler.close_connection = True

        device.says["GetProfiles"] = pour
        assert refused(device).code == "failed"

    def test_all_questions_together_have_a_limit(
        self, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onvif, "ASKED_SECONDS", 0.3)
        device.says["GetProfiles"] = lambda handler: handler.rfile.read(1)
        assert refused(device).code == "no_answer"

    def test_a_camera_without_streams_says_so(self, device: Device) -> None:
        device.streams = {}
        assert refused(device).code == "no_video"


@pytest.mark.parametrize(
    ("name", "take"),
    [("Profiles", soap.profiles_of), ("Service", soap.media_of)],
)
def test_elements_in_each_other_are_not_looked_through_for_ever(name: str, take: Any) -> None:
    nested = f"<{name}>" * 9000 + f"</{name}>" * 9000
    root = soap.parse(f"<Envelope>{nested}</Envelope>".encode())
    began_s = time.process_time()
    assert not take(root)
    assert time.process_time() - began_s < 1  # 5 s where all of them are


def test_the_standards_own_example_of_a_digest_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONVIF Core Specification, 5.12.2: nonce, date and password there give this digest."""
    import base64
    from datetime import UTC, datetime

    nonce = base64.b64decode("LKqI6G/AikKCQrN0zqZFlg==")
    monkeypatch.setattr("capture.soap.secrets.token_bytes", lambda count: nonce)
    token = soap.user_token("u", "userpassword", datetime(2010, 9, 16, 7, 50, 45, tzinfo=UTC))
    assert ">tuOSpGlFlIXsozq4HFNeeGeFLEI=<" in token


@pytest.mark.django_db
@pytest.mark.usefixtures("data_dir")
class TestApi:
    @pytest.fixture
    def operator(self) -> Client:
        client = Client()
        client.force_login(make_user(role="operator"))
        return client

    def test_operators_only(self, operator: Client) -> None:
        viewer = Client()
        viewer.force_login(make_user(role="viewer"))
        for client, status in ((Client(), 401), (viewer, 403)):
            assert client.get(API).status_code == status
            assert client.post(API).status_code == status
            assert client.post(f"{API}streams/").status_code == status
        assert operator.get(API).status_code == 200

    def test_a_search_goes_from_idle_over_searching_to_done(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_source(url="rtsp://192.168.1.20/live")
        cameras = [
            Camera("Door", "IPC", f"192.168.1.{n}", f"http://192.168.1.{n}/onvif") for n in (20, 21)
        ]

        async def stand_in(on_found: Any) -> list[Camera]:
            on_found(cameras[:1])
            await asyncio.to_thread(has_looked.wait, 10)
            return cameras

        has_looked = threading.Event()
        monkeypatch.setattr(onvif, "search", stand_in)
        assert operator.get(API).json() == {"state": "idle", "cameras": []}
        begun = operator.post(API)
        assert (begun.status_code, begun.json()["state"]) == (202, "searching")
        assert operator.post(API).json()["state"] == "searching"  # the same search
        self.until(operator, lambda found: len(found["cameras"]) == 1)
        has_looked.set()
        done = self.until(operator, lambda found: found["state"] == "done")
        assert [each["is_added"] for each in done["cameras"]] == [True, False]
        assert done["cameras"][1] == {
            "name": "Door",
            "model": "IPC",
            "address": "192.168.1.21",
            "url": "http://192.168.1.21/onvif",
            "is_added": False,
        }

    def until(self, client: Client, is_so: Any) -> Any:
        deadline = time.monotonic() + 10
        while not is_so(found := client.get(API).json()):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def test_a_search_that_breaks_off_is_over(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(on_found: Any) -> list[Camera]:
            raise RuntimeError("no such thing")

        monkeypatch.setattr(onvif, "search", broken)
        operator.post(API)
        assert self.until(operator, lambda found: found["state"] == "done")["cameras"] == []
        assert "broke off" in caplog.text

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"at": "x"}', "null"])
    def test_a_damaged_note_is_no_search(self, operator: Client, text: str) -> None:
        onvif_search._path().write_text(text)
        assert operator.get(API).json() == {"state": "idle", "cameras": []}

    def test_a_search_whose_process_died_is_not_waited_for(self, operator: Client) -> None:
        document = {"at": time.time() - 30, "state": "searching", "cameras": []}
        onvif_search._path().write_text(json.dumps(document))
        assert operator.get(API).json()["state"] == "done"

    def test_streams_are_listed_and_failures_said(self, operator: Client, device: Device) -> None:
        device.password = "right"
        asked = {"address": device.url, "username": "admin", "password": "right"}
        answer = self.ask(operator, asked)
        assert answer.status_code == 200
        assert answer.json()["profiles"][0] == {
            "name": "Stream 2",
            "url": f"rtsp://{HOST}:8554/big?a=1",
            "codec": "hevc",
            "width": 1280,
            "height": 720,
            "fps": 15.0,
        }
        answer = self.ask(operator, {**asked, "password": "canary"})
        assert answer.status_code == 400
        assert answer.json() == {
            "detail": "The camera refused the password. Check user name and password.",
            "code": "refused",
        }
        assert self.ask(operator, {}).json() == {"address": ["This field is required."]}

    def ask(self, client: Client, asked: dict[str, str]) -> Any:
        return client.post(f"{API}streams/", json.dumps(asked), content_type="application/json")
