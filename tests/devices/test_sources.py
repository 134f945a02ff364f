"""Pulled cameras as rows: made, changed, sealed, asked for by the environment."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings

from devices import nodes, services, sources
from devices.environment_sources import apply_environment
from devices.exceptions import (
    BadConfig,
    BadSource,
    NodeInUse,
    NodeNameTaken,
    PasswordLost,
    RegistrationRefused,
    SettingIsFixed,
    UnknownDevice,
    UnknownNode,
)
from devices.models import Device, Node, Source
from devices.sealing import seal, unseal
from devices.wording import sentence, source_sentence
from tests.devices.channel import listen
from tests.factories import make_device, make_source, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
URL = "rtsp://192.168.1.20/live"


class TestChecked:
    def test_a_log_in_inside_the_address_is_taken_out(self) -> None:
        wish = sources.checked(url="rtsp://admin:canary%21@192.168.1.20:554/live")
        assert (wish.url, wish.username, wish.password) == (URL, "admin", "canary!")
        assert "canary" not in repr(wish)

    def test_the_fields_of_their_own_go_before_it(self) -> None:
        wish = sources.checked(url="rtsp://a:b@192.168.1.20/live", username="c", password="d")
        assert (wish.username, wish.password) == ("c", "d")

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"url": "file:///etc/passwd"}, "url"),
            ({"url": "concat:a|b"}, "url"),
            ({"url": "-i"}, "url"),
            ({"url": "rtsp://127.0.0.1/"}, "url"),
            ({"url": "http://169.254.169.254/latest"}, "url"),
            ({"url": "rtsp://a:canary@b@c/"}, "url"),
            ({"url": URL, "username": "a:b"}, "username"),
            ({"url": URL, "password": "a\r\nb"}, "username"),
            ({"url": URL, "rate_fps": -1}, "rate_fps"),
            ({"url": URL, "rate_fps": 31}, "rate_fps"),
            ({"url": URL, "rate_fps": float("nan")}, "rate_fps"),
            ({"url": URL, "rate_fps": float("inf")}, "rate_fps"),
            ({"url": URL, "transport": "udp"}, "transport"),
        ],
        ids=range(13),
    )
    def test_what_cannot_be_is_named(self, values: dict[str, Any], field: str) -> None:
        with pytest.raises(BadSource) as caught:
            sources.checked(**values)
        assert caught.value.field == field
        assert "canary" not in str(caught.value)
        assert not str(caught.value).endswith(".")


class TestCreate:
    @pytest.mark.parametrize(
        ("url", "kind", "device_kind"),
        [
            (URL, "rtsp", "network"),
            ("rtsps://cam.example/", "rtsp", "network"),
            ("http://192.168.1.30:81/stream", "http", "network"),
            ("/dev/video1", "usb", "usb"),
            ("picamera:0", "picamera", "pi"),
            ("simulated:h264", "simulated", "simulated"),
        ],
    )
    def test_device_and_source_are_made_together(
        self, url: str, kind: str, device_kind: str
    ) -> None:
        source = make_source(url=url, name="Front door")
        source.refresh_from_db()
        device = source.device
        assert (source.kind, device.kind, device.name) == (kind, device_kind, "Front door")
        assert device.mac.startswith("06:52:4F:53:")
        assert device.enrolment == "approved"
        assert (source.state, source.version, source.node.is_local) == ("waiting", 1, True)

    def test_made_up_addresses_differ(self, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = iter([7, 7, 7, 258])
        monkeypatch.setattr("devices.sources.secrets.randbelow", lambda top: next(numbers))
        macs = [make_source().device.mac for _ in range(2)]
        assert macs == ["06:52:4F:53:00:07", "06:52:4F:53:01:02"]

    def test_whoever_adds_it_may_see_it(self) -> None:
        person = make_user(role="operator")
        wish = sources.checked(url=URL)
        source = sources.create_source(name="Door", wish=wish, person=person)
        assert list(Device.objects.for_user(person)) == [source.device]
        assert not Device.objects.for_user(make_user(role="operator")).exists()

    def test_it_counts_like_every_camera(self) -> None:
        services.update_policy(max_devices=2)
        make_device()
        make_source()
        with pytest.raises(RegistrationRefused, match="limit of 2"):
            make_source()
        assert (Device.objects.count(), Source.objects.count()) == (2, 1)
        with pytest.raises(RegistrationRefused):
            services.register(mac="AA:BB:CC:DD:EE:01")

    def test_nobody_registers_as_a_pulled_camera(self) -> None:
        source = make_source()
        with pytest.raises(RegistrationRefused, match="fetched"):
            services.register(mac=source.device.mac)
        assert not source.device.keys.exists()

    def test_a_password_is_sealed(self) -> None:
        source = make_source(username="u", password="canary")
        assert "canary" not in source.sealed_password
        assert sources.password_of(source) == "canary"
        assert make_source().sealed_password == ""


@pytest.mark.django_db(transaction=True)
def test_of_two_that_ask_at_once_for_the_last_place_one_is_refused() -> None:
    services.update_policy(max_devices=1)
    sources.local_node()
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def add() -> None:
        barrier.wait()
        try:
            make_source()
            outcomes.append("made")
        except RegistrationRefused:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert Device.objects.count() == 1


class TestUpdate:
    def change(self, source: Source, *, is_enabled: bool | None = None, **changes: Any) -> Source:
        sources.update_source(source_pk=source.pk, changes=changes, is_enabled=is_enabled)
        source.refresh_from_db()
        return source

    def test_only_what_is_given_changes_and_the_version_rises(self) -> None:
        source = make_source(url=URL, username="u", password="p", rate_fps=2)
        self.change(source, wants_audio=False)
        assert (source.url, source.username, source.rate_fps) == (URL, "u", 2)
        assert (source.wants_audio, source.version) == (False, 2)
        assert sources.password_of(source) == "p"

    def test_what_was_said_of_the_old_one_is_forgotten(self) -> None:
        source = make_source(url=URL)
        Source.objects.update(state="retrying", code="refused", sentence="No.", attempts=9)
        self.change(source, password="new", username="u")
        assert (source.state, source.code, source.sentence) == ("connecting", "", "")
        assert source.attempts == 0

    def test_trying_again_is_a_change_without_any(self) -> None:
        source = self.change(make_source(), is_enabled=True)
        assert (source.version, source.state) == (2, "connecting")

    def test_off_and_on_again(self) -> None:
        source = self.change(make_source(), is_enabled=False)
        assert (source.is_enabled, source.state, source.version) == (False, "off", 2)
        assert self.change(source, is_enabled=True).state == "connecting"

    @pytest.mark.parametrize(
        "url",
        [
            "rtsp://192.168.1.21/live",
            "rtsp://192.168.1.20:8554/live",
            "http://192.168.1.20:554/live",
            "rtsps://192.168.1.20:554/live",
        ],
    )
    def test_a_stored_password_goes_to_no_other_place(self, url: str) -> None:
        source = make_source(url=URL, username="u", password="canary")
        with pytest.raises(BadSource) as caught:
            self.change(source, url=url)
        assert caught.value.field == "password"
        source.refresh_from_db()
        assert (source.url, source.version) == (URL, 1)
        self.change(source, url=url, password="typed")
        assert sources.password_of(source) == "typed"

    def test_another_path_of_the_same_camera_keeps_it(self) -> None:
        source = make_source(url=URL, username="u", password="p")
        self.change(source, url="rtsp://192.168.1.20:554/other")
        assert (source.url, sources.password_of(source)) == ("rtsp://192.168.1.20/other", "p")

    def test_a_pasted_log_in_replaces_the_old_one(self) -> None:
        source = make_source(url=URL, username="u", password="p")
        self.change(source, url="rtsp://new:word@192.168.1.99/live")
        assert (source.username, sources.password_of(source)) == ("new", "word")
        self.change(source, url="rtsp://192.168.1.99/other")
        assert (source.username, sources.password_of(source)) == ("new", "word")

    def test_a_password_can_be_taken_away(self) -> None:
        source = make_source(url=URL, username="u", password="p")
        assert self.change(source, password="", username="").sealed_password == ""

    def test_a_bad_change_changes_nothing(self) -> None:
        source = make_source(url=URL)
        with pytest.raises(BadSource):
            self.change(source, url="file:///x", wants_audio=False)
        source.refresh_from_db()
        assert (source.url, source.wants_audio, source.version) == (URL, True, 1)

    def test_another_kind_makes_it_another_kind_of_camera(self) -> None:
        source = self.change(make_source(url=URL), url="usb:/dev/video0")
        assert (source.kind, Device.objects.get().kind) == ("usb", "usb")

    def test_another_node_brings_it_and_the_old_one_is_shown_out(
        self, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
    ) -> None:
        source = make_source()
        key = sources.local_node_key()
        node, other_key = sources.create_node(name="Shed")
        assert sources.identify_for_node(key, source.device.mac) is not None
        next_message = listen(source.device)
        with django_capture_on_commit_callbacks(execute=True):
            sources.update_source(source_pk=source.pk, changes={}, node=node)
        assert next_message()["type"] == "device.close"
        assert sources.identify_for_node(key, source.device.mac) is None
        assert sources.identify_for_node(other_key, source.device.mac) is not None

    def test_one_that_is_gone_is_unknown(self) -> None:
        with pytest.raises(UnknownDevice):
            sources.update_source(source_pk=10**6, changes={})


class TestIdentity:
    def test_it_is_the_cameras_with_an_agent_speaking(self) -> None:
        source = make_source()
        key = sources.local_node_key()
        for spelling in (source.device.mac, source.device.mac.lower().replace(":", "-")):
            identity = sources.identify_for_node(key, spelling)
            assert identity is not None
            assert (identity.device_pk, identity.is_agent) == (source.device_id, True)
            assert (identity.is_pending, identity.key_pk) == (False, -source.node_id)

    def test_it_costs_one_read(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        source = make_source()
        key = sources.local_node_key()
        with django_assert_num_queries(1):
            sources.identify_for_node(key, source.device.mac)
        with django_assert_num_queries(0):
            assert sources.identify_for_node("x", source.device.mac) is None
            assert sources.identify_for_node(key, "no mac") is None

    def test_an_esp32_is_nobodys_to_bring(self) -> None:
        camera = make_device()
        assert sources.identify_for_node(sources.local_node_key(), camera.mac) is None

    def test_a_nodes_key_is_no_cameras_key(self) -> None:
        make_source()
        assert services.identify(sources.local_node_key()) is None


class TestNodes:
    def test_a_key_is_shown_once_and_kept_as_a_hash(self) -> None:
        node, key = sources.create_node(name="Shed")
        assert sources.node_of(key) == node
        assert key not in str(Node.objects.values().get(pk=node.pk))
        assert sources.node_of(node.key_hash) is None

    @pytest.mark.parametrize("name", ["Shed", "This recorder"])
    def test_names_are_taken_once(self, name: str) -> None:
        sources.create_node(name="Shed")
        with pytest.raises(NodeNameTaken):
            sources.create_node(name=name)

    def test_one_that_cameras_hang_on_stays(self) -> None:
        node, key = sources.create_node(name="Shed")
        source = make_source(node=node)
        with pytest.raises(NodeInUse, match="move or delete"):
            sources.delete_node(node_pk=node.pk)
        assert sources.node_of(key) is not None
        source.device.delete()
        sources.delete_node(node_pk=node.pk)
        assert sources.node_of(key) is None
        with pytest.raises(UnknownNode):
            sources.delete_node(node_pk=node.pk)

    def test_a_new_key_shuts_the_old_one_out(
        self,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        node, old = sources.create_node(name="Shed")
        source = make_source(node=node)
        shut: list[tuple[int, int | None]] = []
        monkeypatch.setattr(
            nodes, "close_connection", lambda pk, *, key_pk, reason: shut.append((pk, key_pk))
        )
        with django_capture_on_commit_callbacks(execute=True):
            new = sources.renew_key(node_pk=node.pk)
        assert sources.node_of(old) is None
        assert sources.identify_for_node(old, source.device.mac) is None
        assert sources.identify_for_node(new, source.device.mac) is not None
        assert shut == [(source.device_id, -node.pk)]
        with pytest.raises(NodeInUse, match="at every start"):
            sources.renew_key(node_pk=sources.local_node().pk)
        with pytest.raises(UnknownNode):
            sources.renew_key(node_pk=0)

    def test_the_recorders_own_stays(self) -> None:
        with pytest.raises(NodeInUse):
            sources.delete_node(node_pk=sources.local_node().pk)


class TestSealing:
    def test_it_comes_back_as_it_was(self) -> None:
        for password in ("p", "pä ss", "x" * 200, "'; --"):
            assert unseal(seal(password)) == password
        assert seal("p") != seal("p")
        assert unseal(seal("")) == ""

    def test_with_another_secret_it_is_lost_and_not_garbled(self, settings: Settings) -> None:
        sealed = seal("p")
        settings.SECRET_KEY = "another secret key of some length"
        with pytest.raises(PasswordLost):
            unseal(sealed)
        with pytest.raises(PasswordLost):
            unseal("nonsense")


class TestRemoval:
    def test_the_source_goes_with_its_camera(self) -> None:
        source = make_source()
        services.delete_device(device_pk=source.device_id)
        assert not Source.objects.exists()

    def test_one_that_is_being_removed_is_brought_no_more(self) -> None:
        source = make_source()
        key = sources.local_node_key()
        services.remove_device(device_pk=source.device_id)
        assert sources.identify_for_node(key, source.device.mac) is None
        assert sources.wanted_by(source.node) == []

    @pytest.mark.parametrize("way", [services.delete_device, services.remove_device])
    def test_one_that_a_variable_asks_for_stays(self, way: Any) -> None:
        apply_environment({"RTSP_URL": URL})
        source = Source.objects.get()
        with pytest.raises(SettingIsFixed, match="RTSP_URL asks for this camera"):
            way(device_pk=source.device_id)
        apply_environment({"RTSP_URL": ""})
        way(device_pk=source.device_id)


def test_a_fetched_camera_takes_neither_settings_nor_commands() -> None:
    device = make_source().device
    with pytest.raises(BadConfig):
        services.update_config(device_pk=device.pk, changes={"quality": 20})
    with pytest.raises(BadConfig):
        services.send_command(device_pk=device.pk, action="reboot")


class TestEnvironment:
    def apply(self, **wanted: str) -> list[Source]:
        names = ("CAMERA_SOURCE", "RTSP_URL", "HTTP_URL")
        apply_environment({name: wanted.get(name, "") for name in names})
        return list(Source.objects.order_by("pk"))

    def test_each_variable_makes_one_camera(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        made = self.apply(
            CAMERA_SOURCE="usb:0",
            RTSP_URL="rtsp://u:canary@192.168.1.20/live",
            HTTP_URL="http://192.168.1.30:81/stream",
        )
        assert [(each.environment_name, each.url, each.device.name) for each in made] == [
            ("CAMERA_SOURCE", "usb:/dev/video0", "USB camera"),
            ("RTSP_URL", URL, "Network camera"),
            ("HTTP_URL", "http://192.168.1.30:81/stream", "Network camera"),
        ]
        assert sources.password_of(made[1]) == "canary"
        assert "RTSP_URL asks for a camera" in caplog.text
        assert "canary" not in caplog.text

    def test_starting_again_changes_nothing(self) -> None:
        address = "rtsp://u:p@192.168.1.20/live"
        (made,) = self.apply(RTSP_URL=address)
        sources.update_source(source_pk=made.pk, changes={"wants_audio": False}, is_enabled=False)
        before = Source.objects.values().get()
        self.apply(RTSP_URL=address)
        assert Source.objects.values().get() == before

    def test_a_new_address_is_taken_up(self) -> None:
        self.apply(RTSP_URL="rtsp://u:p@192.168.1.20/live")
        (changed,) = self.apply(RTSP_URL="rtsp://u:q@192.168.1.99/live")
        assert (changed.url, changed.version) == ("rtsp://192.168.1.99/live", 2)
        assert sources.password_of(changed) == "q"

    def test_a_lost_password_is_sealed_anew(self, settings: Settings) -> None:
        self.apply(RTSP_URL="rtsp://u:p@192.168.1.20/live")
        settings.SECRET_KEY = "a new secret key of some length, too"
        (healed,) = self.apply(RTSP_URL="rtsp://u:p@192.168.1.20/live")
        assert sources.password_of(healed) == "p"

    def test_its_address_is_changed_there_only(self) -> None:
        (made,) = self.apply(RTSP_URL=URL)
        others = {"url": f"{URL}2", "username": "u", "password": "p"}
        for name, value in others.items():
            with pytest.raises(SettingIsFixed, match="RTSP_URL"):
                sources.update_source(source_pk=made.pk, changes={name: value})
        as_it_is = {"url": URL, "username": "", "wants_audio": False}
        sources.update_source(source_pk=made.pk, changes=as_it_is)
        made.refresh_from_db()
        assert made.wants_audio is False

    def test_without_the_variable_it_is_a_camera_like_every_other(self) -> None:
        self.apply(RTSP_URL=URL)
        (left,) = self.apply()
        assert left.environment_name == ""
        sources.update_source(source_pk=left.pk, changes={"url": "rtsp://192.168.1.77/"})

    def test_a_variable_that_comes_back_finds_its_camera(self) -> None:
        (first,) = self.apply(RTSP_URL=URL)
        self.apply()
        (again,) = self.apply(RTSP_URL=URL)
        assert (again.pk, again.environment_name) == (first.pk, "RTSP_URL")

    def test_a_full_recorder_starts_without_it(self, caplog: pytest.LogCaptureFixture) -> None:
        services.update_policy(max_devices=1)
        make_device()
        assert self.apply(RTSP_URL=URL) == []
        assert "RTSP_URL asks for a camera that cannot be added" in caplog.text


class TestPause:
    REASON = "The camera took a raw picture."

    def paused(self, *, seconds: float = 20.0, **fields: Any) -> Source:
        source = make_source(**fields)
        Source.objects.update(state="running", sentence="")
        sources.pause(source, seconds=seconds, reason=self.REASON)
        source.refresh_from_db()
        return source

    def wanted(self, source: Source) -> list[int]:
        return [each.source.pk for each in sources.wanted_by(source.node)]

    def test_it_is_left_out_until_it_is_resumed(self) -> None:
        source, other = self.paused(), make_source()
        assert self.wanted(source) == [other.pk]
        sources.resume(source)
        assert self.wanted(source) == [source.pk, other.pk]
        source.refresh_from_db()
        assert (source.paused_until, source.pause_reason) == (None, "")
        assert source.version == 1, "nothing of it has changed"

    def test_it_ends_by_itself(self) -> None:
        source = self.paused(seconds=0.05)
        until = source.paused_until
        assert until is not None
        assert source.is_paused(until - timedelta(milliseconds=1))
        assert not source.is_paused(until)
        Source.objects.update(paused_until=timezone.now())
        assert self.wanted(source) == [source.pk]

    def test_a_clock_that_is_set_back_does_not_keep_a_camera_off(self) -> None:
        source = self.paused()
        Source.objects.update(paused_until=timezone.now() + timedelta(hours=1))
        assert self.wanted(source) == [source.pk]

    @pytest.mark.parametrize("seconds", [0.0, -1.0, 120.1, 1e9])
    def test_it_is_short(self, seconds: float) -> None:
        source = make_source()
        with pytest.raises(ValueError, match="pause"):
            sources.pause(source, seconds=seconds, reason="x")
        sources.pause(source, seconds=120.0, reason="x")

    def test_source_and_device_say_why(self) -> None:
        source = self.paused()
        now = timezone.now()
        when = f"{timezone.localtime(source.state_since):%H:%M}"
        said = f"Paused at {when}: The camera took a raw picture"
        assert source_sentence(source, {source.node_id}, now) == said
        device = source.device
        is_said = sentence(device, None, is_waiting=False, now=now, alive_nodes={source.node_id})
        assert is_said == said
        later = now + timedelta(seconds=30)
        assert source_sentence(source, {source.node_id}, later) == "Connecting"

    def test_it_is_an_event_of_the_camera(self) -> None:
        source = self.paused()
        event = source.device.events.get()
        assert (event.kind, event.detail) == ("paused", self.REASON)
        assert event.at == source.state_since

    def test_one_that_is_switched_off_or_gone_is_left_alone(self) -> None:
        source = make_source(is_enabled=False)
        sources.pause(source, seconds=20.0, reason=self.REASON)
        sources.resume(source)
        source.refresh_from_db()
        assert (source.state, source.paused_until) == ("off", None)
        assert not source.device.events.exists()
        gone = make_source()
        Source.objects.filter(pk=gone.pk).delete()
        sources.pause(gone, seconds=20.0, reason=self.REASON)
        sources.resume(gone)

    def test_what_a_person_changes_meanwhile_stays(self) -> None:
        source = self.paused()
        sources.update_source(source_pk=source.pk, changes={"wants_audio": False})
        sources.resume(source)
        source.refresh_from_db()
        assert (source.wants_audio, source.version, source.paused_until) == (False, 2, None)
