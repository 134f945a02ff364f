"""Who is asking, for plain, async and WebSocket doors."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from devices.authentication import Person, auser_of, user_of, user_of_scope
from devices.models import ApiToken, Device
from devices.permissions import has_role, is_trusted_peer, role_of
from tests.factories import PASSWORD, make_device, make_token, make_user

pytestmark = pytest.mark.django_db
SECRET = "an-operators-secret"
LIST = "/api/v1/devices/"


@pytest.fixture
def environment_token(settings: Settings) -> str:
    settings.NVR = replace(settings.NVR, auth_token=SECRET)
    return SECRET


def bearer(client: Client, token: str, path: str = LIST) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


class TestBearer:
    def test_a_token_acts_with_the_rights_of_its_person(self, client: Client) -> None:
        camera = make_device()
        make_device()
        response = bearer(client, make_token(make_user(cameras=[camera])))
        assert [row["id"] for row in response.json()["results"]] == [camera.pk]

    def test_the_environments_token_is_an_operator_of_every_camera(
        self, client: Client, environment_token: str
    ) -> None:
        camera = make_device()
        assert bearer(client, environment_token).json()["count"] == 1
        assert bearer(client, environment_token, f"{LIST}{camera.pk}/keys/").status_code == 403
        headers = {"Authorization": f"Bearer {environment_token}"}
        path = f"{LIST}{camera.pk}/"
        named = client.patch(path, {"name": "x"}, content_type="application/json", headers=headers)
        assert named.status_code == 200

    def test_no_token_in_the_environment_is_no_token_at_all(self, client: Client) -> None:
        assert django_settings.NVR.auth_token == ""
        assert bearer(client, "").status_code == 401

    @pytest.mark.parametrize("text", ["x", "x y", "é", SECRET + "x", SECRET[:-1], "\x00"])
    def test_another_text_is_refused_as_401(
        self, client: Client, environment_token: str, text: str
    ) -> None:
        make_token(make_user())
        response = bearer(client, text)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"

    def test_a_token_ends_with_its_person(self, client: Client) -> None:
        user = make_user()
        token = make_token(user)
        user.is_active = False
        user.save()
        assert bearer(client, token).status_code == 401

    def test_a_deleted_token_is_refused(self, client: Client) -> None:
        token = make_token(make_user())
        assert bearer(client, token).status_code == 200
        ApiToken.objects.all().delete()
        assert bearer(client, token).status_code == 401

    def test_its_use_is_noted_at_most_once_a_minute(self, client: Client) -> None:
        token = make_token(make_user())
        bearer(client, token)
        first = ApiToken.objects.get().last_used_at
        bearer(client, token)
        assert first is not None
        assert ApiToken.objects.get().last_used_at == first
        ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
        bearer(client, token)
        assert ApiToken.objects.get().last_used_at >= first

    def test_the_secret_is_stored_nowhere(self) -> None:
        token = make_token(make_user())
        assert token not in str(list(ApiToken.objects.values()))


@pytest.mark.django_db(transaction=True)  # the async doors close what they find
class TestWhoIsAsking:
    def ask(self, door: str, *, cookie: str = "", authorization: str = "") -> Person:
        headers = {}
        if authorization:
            headers["Authorization"] = authorization
        if cookie:
            headers["Cookie"] = f"{django_settings.SESSION_COOKIE_NAME}={cookie}"
        if door == "scope":
            pairs = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
            return async_to_sync(user_of_scope)({"headers": pairs})
        request = RequestFactory().get("/", headers=headers)
        self.authenticate(request)
        return user_of(request) if door == "plain" else async_to_sync(auser_of)(request)

    def authenticate(self, request: Any) -> None:
        from django.contrib.auth.middleware import AuthenticationMiddleware
        from django.contrib.sessions.middleware import SessionMiddleware
        from django.http import HttpResponse

        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        AuthenticationMiddleware(lambda _: HttpResponse()).process_request(request)

    def session(self, user: Any) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies[django_settings.SESSION_COOKIE_NAME].value

    @pytest.mark.parametrize("door", ["plain", "async", "scope"])
    def test_every_door_knows_the_same_people(self, door: str, environment_token: str) -> None:
        user, other = make_user(), make_user()
        cookie, token = self.session(user), make_token(other)
        assert self.ask(door, cookie=cookie) == user
        assert self.ask(door, authorization=f"Bearer {token}") == other
        assert self.ask(door, authorization=f"bearer {token}", cookie=cookie) == other
        assert role_of(self.ask(door, authorization=f"Bearer {SECRET}")) == "operator"

    @pytest.mark.parametrize("door", ["plain", "async", "scope"])
    def test_every_door_refuses_the_same(self, door: str, environment_token: str) -> None:
        user = make_user()
        cookie = self.session(user)
        assert isinstance(self.ask(door), AnonymousUser)
        assert isinstance(self.ask(door, cookie="nonsense"), AnonymousUser)
        for text in ("Bearer", "Bearer ", "Bearer x", "Bearer x y", "Bearer \xe9"):
            # A wrong token is nobody, although the browser next to it is logged in.
            assert isinstance(self.ask(door, authorization=text, cookie=cookie), AnonymousUser)
        assert self.ask(door, authorization="Basic eDp5", cookie=cookie) == user
        user.set_password("changed")
        user.save()
        assert isinstance(self.ask(door, cookie=cookie), AnonymousUser)


class TestRoles:
    def test_they_are_ordered(self, environment_token: str) -> None:
        people = {role: make_user(role=role) for role in ("viewer", "operator", "admin")}
        assert {role: role_of(person) for role, person in people.items()} == {
            role: role for role in people
        }
        assert has_role(people["operator"], "viewer")
        assert not has_role(people["operator"], "admin")
        assert not has_role(AnonymousUser(), "viewer")

    def test_somebody_without_a_group_watches_what_was_given_to_them(self) -> None:
        user = make_user()
        user.groups.clear()
        make_device()
        assert role_of(user) == "viewer"
        assert not Device.objects.for_user(user).exists()

    def test_who_is_no_longer_active_has_none(self) -> None:
        user = make_user(role="admin")
        user.is_active = False
        assert role_of(user) is None
        assert not Device.objects.for_user(user).exists()


class TestTrustedNetworks:
    @pytest.mark.parametrize(
        ("peer", "trusted"),
        [
            ("192.168.1.7", True),
            ("::ffff:192.168.1.7", True),
            ("192.168.2.7", False),
            ("fd00::1", True),
            ("", False),
        ],
    )
    def test_only_the_sockets_peer_counts(
        self, settings: Settings, peer: str, trusted: bool
    ) -> None:
        import ipaddress

        networks = tuple(ipaddress.ip_network(n) for n in ("192.168.1.0/24", "fd00::/8"))
        settings.NVR = replace(settings.NVR, trusted_networks=networks)
        headers = {"X-Forwarded-For": "192.168.1.7", "X-Real-IP": "192.168.1.7"}
        request = RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)
        assert is_trusted_peer(request) is trusted

    @pytest.mark.parametrize(
        ("host", "trusted"),
        [
            ("192.168.1.5:3001", True),
            ("[fd00::5]:3001", True),
            ("[fd00::5]", True),
            ("recorder", True),
            ("recorder:3001", True),
            ("Recorder.local:3001", True),
            ("Cams.example.org:3001", True),
            ("", True),
            ("rebound.example.net:3001", False),
            ("rebound.example.net.", False),
            ("192.168.1.5.example.net", False),
            ("cams.example.org.example.net:3001", False),
        ],
    )
    def test_a_name_that_a_stranger_may_have_pointed_at_us_is_not_trusted(
        self, settings: Settings, host: str, trusted: bool
    ) -> None:
        import ipaddress

        networks = (ipaddress.ip_network("192.168.1.0/24"),)
        names = ("cams.example.ORG",)
        settings.NVR = replace(settings.NVR, trusted_networks=networks, host_names=names)
        request = RequestFactory().get("/", REMOTE_ADDR="192.168.1.7", HTTP_HOST=host)
        assert is_trusted_peer(request) is trusted

    def test_nobody_is_trusted_by_default(self) -> None:
        assert not is_trusted_peer(RequestFactory().get("/", REMOTE_ADDR="127.0.0.1"))


def test_a_forgotten_permission_lets_nobody_in() -> None:
    from rest_framework.request import Request
    from rest_framework.views import APIView

    class Forgetful(APIView):
        def get(self, request: Request) -> None:
            raise AssertionError

    request = RequestFactory().get("/")
    request.user = make_user(role="admin")
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    assert Forgetful.as_view()(request).status_code == 403


class TestLogIn:
    def attempt(self, client: Client, password: str, number: int = 0) -> Any:
        forged = {"X-Forwarded-For": f"203.0.113.{number}"}
        document = {"username": "ada", "password": password}
        return client.post("/login/", document, headers=forged)

    def test_guessing_is_stopped_although_forwarded_addresses_change(
        self, client: Client, settings: Settings
    ) -> None:
        make_user(username="ada")
        limit = settings.AXES_FAILURE_LIMIT
        statuses = [self.attempt(client, "wrong", n).status_code for n in range(limit)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        assert self.attempt(client, PASSWORD).status_code == 429

    def test_another_address_is_not_locked_out(self, client: Client, settings: Settings) -> None:
        make_user(username="ada")
        for number in range(settings.AXES_FAILURE_LIMIT):
            self.attempt(client, "wrong", number)
        elsewhere = Client(REMOTE_ADDR="198.51.100.7")
        assert self.attempt(elsewhere, PASSWORD).status_code == 302


def test_passwords_are_stored_with_argon2() -> None:
    from nvr_project import settings as production

    assert production.PASSWORD_HASHERS[0].endswith("Argon2PasswordHasher")
    assert timezone.now() is not None
