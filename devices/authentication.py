"""Who is asking: a person by session, or a program by bearer token.

Devices are not people: their key is looked up by `devices.contract` and by the WebSocket door.
"""

from __future__ import annotations

import hmac
from datetime import timedelta
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import aget_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from rest_framework import exceptions

from devices.models import ApiToken

# One write a minute is enough to see that a token is in use.
_NOTE_USE_EVERY = timedelta(minutes=1)


class EnvironmentToken:
    """Whoever sent the environment's AUTH_TOKEN: an operator of every camera, not a row.

    Not an admin: the token is typed into scripts and other machines, which have no business with
    people, tokens and retention.
    """

    pk = None
    id = None
    username = "AUTH_TOKEN"
    role = "operator"
    is_authenticated = True
    is_active = True
    is_anonymous = False
    is_staff = False
    is_superuser = False
    sees_all_cameras = True

    def get_username(self) -> str:
        return self.username

    def __str__(self) -> str:
        return self.username


Person = AbstractBaseUser | AnonymousUser | EnvironmentToken


def is_environment_token(token: bytes) -> bool:
    """In constant time, and without asking the database."""
    wanted = settings.NVR.auth_token.encode()
    return bool(wanted) and hmac.compare_digest(token, wanted)


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox is not typed
    """`Authorization: Bearer …` with a token made in the browser, or with AUTH_TOKEN."""

    def authenticate_credentials(self, token: bytes) -> tuple[Person, ApiToken | None]:
        if is_environment_token(token):
            return EnvironmentToken(), None
        # Knox would raise UnicodeDecodeError, and PostgreSQL refuse to be asked for a NUL.
        if not token.isascii() or b"\0" in token:
            raise exceptions.AuthenticationFailed("Invalid token.")
        user, row = super().authenticate_credentials(token)
        now = timezone.now()
        if row.last_used_at is None or now - row.last_used_at >= _NOTE_USE_EVERY:
            ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
        return user, row


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it; drf-spectacular finds this class by its base."""

    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        del auto_schema
        return {"type": "http", "scheme": "bearer"}


def user_of(request: HttpRequest) -> Person:
    """For a plain synchronous view. A wrong bearer token is nobody, whatever the session says."""
    if _bearer(request.headers.get("Authorization")):
        return _bearer_user(request.headers["Authorization"])
    user: AbstractBaseUser | AnonymousUser = request.user
    return user


async def auser_of(request: HttpRequest) -> Person:
    """For an async view: the database is asked in a thread, the event loop never waits for it."""
    if _bearer(request.headers.get("Authorization")):
        return await database_sync_to_async(_bearer_user)(request.headers["Authorization"])
    return await request.auser()


async def user_of_scope(scope: dict[str, Any]) -> Person:
    """For a WebSocket: bearer header, else the session of the cookie. Checks no Origin.

    Needs no Channels middleware around the consumer, so a camera's door next to it pays for none.
    """
    headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
    authorization = headers.get("authorization", b"").decode("latin-1")
    if _bearer(authorization):
        return await database_sync_to_async(_bearer_user)(authorization)
    cookies = parse_cookie(headers.get("cookie", b"").decode("latin-1"))
    request = HttpRequest()
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(cookies.get(settings.SESSION_COOKIE_NAME))
    return await aget_user(request)


def _bearer(authorization: str | None) -> bool:
    """Other schemes are not ours: a reverse proxy's Basic log-in must not hide the session."""
    return authorization is not None and authorization.split(" ", 1)[0].lower() == "bearer"


def _bearer_user(authorization: str) -> Person:
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = authorization
    try:
        found = BearerAuthentication().authenticate(request)
    except exceptions.AuthenticationFailed:
        return AnonymousUser()
    user: Person = found[0] if found else AnonymousUser()
    return user
