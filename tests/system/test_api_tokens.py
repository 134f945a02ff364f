"""`/api/v1/tokens/`: made once, shown once, one's own only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from devices.models import ApiToken
from system.api_tokens import MAX_TOKENS
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db
LIST = "/api/v1/tokens/"


@pytest.fixture
def user(client: Client) -> User:
    user = make_user()
    client.force_login(user)
    return user


def make(client: Client, name: Any = "a script", **headers: str) -> Any:
    document = {"name": name}
    return client.post(LIST, document, content_type="application/json", headers=headers)


@pytest.mark.usefixtures("user")
def test_a_token_is_shown_once_and_works(client: Client) -> None:
    response = make(client)
    assert response.status_code == 201
    document = response.json()
    token = document.pop("token")
    assert set(document) == {"id", "name", "created_at", "last_used_at"}
    program = Client()
    headers = {"Authorization": f"Bearer {token}"}
    assert program.get("/api/v1/devices/", headers=headers).status_code == 200
    listed = client.get(LIST)
    assert listed.json()["results"][0]["last_used_at"] is not None
    assert token not in listed.content.decode()
    assert token[:8] not in listed.content.decode()


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("name", ["", "   ", "x" * 81, None, []])
def test_a_name_is_needed(client: Client, name: object) -> None:
    response = make(client, name)
    assert response.status_code == 400
    assert "name" in response.json()


@pytest.mark.usefixtures("user")
def test_a_deleted_token_stops_working_at_once(client: Client) -> None:
    document = make(client).json()
    assert client.delete(f"{LIST}{document['id']}/").status_code == 204
    headers = {"Authorization": f"Bearer {document['token']}"}
    assert Client().get("/api/v1/devices/", headers=headers).status_code == 401


@pytest.mark.usefixtures("user")
def test_other_peoples_tokens_are_not_there(client: Client) -> None:
    make_token(make_user(role="admin"))
    assert client.get(LIST).json()["count"] == 0
    assert client.delete(f"{LIST}{ApiToken.objects.get().pk}/").status_code == 404
    assert ApiToken.objects.exists()


def test_a_token_cannot_make_list_or_delete_tokens(settings: Settings) -> None:
    settings.NVR = replace(settings.NVR, auth_token="from-the-environment")
    for token in (make_token(make_user(role="admin")), "from-the-environment"):
        headers = {"Authorization": f"Bearer {token}"}
        assert make(Client(), **headers).status_code == 403
        assert Client().get(LIST, headers=headers).status_code == 403
        path = f"{LIST}{ApiToken.objects.get().pk}/"
        assert Client().delete(path, headers=headers).status_code == 403
    assert ApiToken.objects.count() == 1


def test_nobody_gets_in_without_a_log_in(client: Client) -> None:
    assert client.get(LIST).status_code == 401
    assert make(client).status_code == 401


def test_their_number_is_bounded(client: Client, user: User) -> None:
    for _ in range(MAX_TOKENS):
        make_token(user)
    assert make(client).status_code == 400
    assert ApiToken.objects.count() == MAX_TOKENS


def test_the_list_costs_the_same_for_one_and_for_many(
    client: Client, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(20):
        make_token(user)
    with django_assert_num_queries(5):  # session, person, their groups, count, page
        assert client.get(LIST).json()["count"] == 20
