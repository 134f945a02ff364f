"""The manners of the clip buffer's HTTP API: `{"error": text}`, its CORS, and who may call.

Its clients send no credentials. They are let in from NVR_TRUSTED_NETWORKS and then mean every
camera; anyone else needs a log-in or a bearer token, as everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from devices import older_clients
from devices.authentication import user_of
from devices.contract import Refusal
from devices.models import Device, DeviceQuerySet
from devices.older_clients import refuse, reply
from devices.permissions import is_trusted_peer

logger = logging.getLogger(__name__)

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    # The original's same-origin kept the video out of the very page that was made for it.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Frame-Options": "SAMEORIGIN",
}
_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE"

View = Callable[..., HttpResponseBase]
Answer = TypeVar("Answer", bound=HttpResponseBase)


def endpoint(**methods: tuple[View, str]) -> View:
    """One view per method, called with the cameras that the caller may use, and the text of a 500
    when the database or the disk does not answer.

    HEAD works wherever GET does; every other method is answered as an unknown path.
    """

    @csrf_exempt  # a foreign page is told apart by its Origin, in `_cameras_of`
    @wraps(next(iter(methods.values()))[0])
    def answer(request: HttpRequest, **names: str) -> HttpResponseBase:
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS":
            return preflight(request)
        if method not in methods:
            return not_found(request)
        view, failure = methods[method]
        try:
            response: HttpResponseBase = view(request, _cameras_of(request), **names)
        except Refusal as refusal:
            response = _refuse(refusal.status, str(refusal))
        except (DatabaseError, OSError):
            logger.exception("%s %s failed", method, request.path)
            response = _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, failure)
        return _with_manners(request, response)

    return answer


def not_found(request: HttpRequest) -> HttpResponse:
    """For unknown paths and wrong methods alike."""
    if request.method == "OPTIONS":
        return preflight(request)
    return _with_manners(request, _refuse(HTTPStatus.NOT_FOUND, "Route not found"))


def preflight(request: HttpRequest) -> HttpResponse:
    """What a browser asks before a foreign page may call; needs no log-in."""
    return _with_manners(request, older_clients.preflight(request, _METHODS))


def _refuse(status: HTTPStatus, text: str) -> HttpResponse:
    return reply({"error": text}, status)


def _with_manners(request: HttpRequest, response: Answer) -> Answer:
    headers: Mapping[str, Any] = HEADERS
    for name, value in headers.items():
        response[name] = value
    response["Access-Control-Allow-Credentials"] = "true"
    patch_vary_headers(response, ["Origin"])
    origin = request.headers.get("Origin", "")
    if origin.lower() in settings.NVR.cors_origins:
        response["Access-Control-Allow-Origin"] = origin
    return response


def _cameras_of(request: HttpRequest) -> DeviceQuerySet:
    """The cameras this caller may use. Raises Refusal (401, 403)."""
    is_safe = request.method in older_clients.SAFE_METHODS
    if not is_safe and not older_clients.is_welcome_page(request, settings.NVR.cors_origins):
        refuse(HTTPStatus.FORBIDDEN, older_clients.FOREIGN_PAGE)
    if is_trusted_peer(request):
        return Device.objects.filter(removing_since=None)
    person = user_of(request)
    older_clients.may_call(request, person)
    return Device.objects.for_user(person)  # type: ignore[arg-type]  # AUTH_TOKEN's answers alike
