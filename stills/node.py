"""The manners of the camera node's HTTP API: `{"detail": …}`, its CORS, and who may call.

Its clients send no credentials. They are let in from NVR_TRUSTED_NETWORKS and then may do
everything; anyone else needs a bearer token or a log-in, as everywhere.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from devices import older_clients
from devices.contract import Refusal
from devices.older_clients import refuse
from devices.peers import peer_address
from devices.permissions import has_role, is_local_name, is_trusted_peer
from stills import nodelog
from stills.models import Capture, CaptureQuerySet

logger = logging.getLogger(nodelog.LOGGER)

_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_TRUE = ("1", "on", "t", "true", "y", "yes")
_FALSE = ("0", "off", "f", "false", "n", "no")
_INTEGER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?")
_MAX_DIGITS = 4300  # Python reads no longer ones

Endpoint = Callable[..., Coroutine[Any, Any, HttpResponseBase]]
# Called with the request and the captures that the caller may see; a coroutine function or not.
View = Endpoint | Callable[..., HttpResponseBase]
Answer = TypeVar("Answer", bound=HttpResponseBase)


class BadQueryError(Exception):
    """422: what is wrong with one parameter, in the words of the framework its clients know."""

    def __init__(
        self, kind: str, name: str, message: str, value: str, context: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.document = {
            "type": kind,
            "loc": ["query", name],
            "msg": message,
            "input": value,
            **({"ctx": context} if context else {}),
        }


def endpoint(**methods: tuple[View, str]) -> Endpoint:
    """One view per method, and the text of a 500 when the database or the disk does not answer.

    HEAD works wherever GET does. What is not a coroutine function runs in a thread.
    """
    allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})

    @csrf_exempt  # a foreign page is told apart by its Origin, in `_captures_of`
    @wraps(next(iter(methods.values()))[0])
    async def answer(request: HttpRequest, **names: str) -> HttpResponseBase:
        method = "GET" if request.method == "HEAD" else str(request.method)
        if _is_preflight(request):
            return preflight(request)
        if method not in methods:
            response = _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
            response["Allow"] = ", ".join(allowed)
            return _with_cors(request, response)
        try:
            captures = await sync_to_async(_captures_of)(request)
        except Refusal as refusal:
            response = _refuse(refusal.status, str(refusal))
            return _with_cors(request, response) if _is_welcome_page(request) else response
        return _with_cors(request, await _ask(request, *methods[method], captures, names))

    return answer


def reply(document: object, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return older_clients.reply(document, status, content_type="application/json")


def not_found(request: HttpRequest) -> HttpResponse:
    """For unknown paths below the node's own."""
    if _is_preflight(request):
        return preflight(request)
    return failed(request, HTTPStatus.NOT_FOUND, "Not Found")


def failed(request: HttpRequest, status: HTTPStatus, text: str) -> HttpResponse:
    """For what no view answers; holds nothing that not every page may read."""
    return _with_cors(request, _refuse(status, text))


def preflight(request: HttpRequest) -> HttpResponse:
    """What a browser asks before a page may call. It cannot say with which credential the page will
    come, so it refuses none; the call itself is judged.
    """
    response = HttpResponse("OK", content_type="text/plain; charset=utf-8")
    response["Content-Length"] = "2"
    older_clients.allow_in_preflight(request, response, _METHODS)
    response["Access-Control-Max-Age"] = "600"
    response["Access-Control-Allow-Credentials"] = "true"
    response["Access-Control-Allow-Origin"] = request.headers["Origin"]
    patch_vary_headers(response, ["Origin"])
    return response


def query_bool(request: HttpRequest, name: str, *, default: bool) -> bool:
    """Raises BadQueryError."""
    text = request.GET.get(name)
    if text is None:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    message = "Input should be a valid boolean, unable to interpret input"
    raise BadQueryError("bool_parsing", name, message, text)


def query_count(request: HttpRequest, name: str, *, default: int) -> int:
    """A whole number from 0. Raises BadQueryError."""
    text = request.GET.get(name)
    if text is None:
        return default
    if len(text) > _MAX_DIGITS:
        message = "Unable to parse input string as an integer, exceeded maximum size"
        raise BadQueryError("int_parsing_size", name, message, text)
    if not _INTEGER.fullmatch(text.strip()):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise BadQueryError("int_parsing", name, message, text)
    number = int(text.partition(".")[0])
    if number < 0:
        message = "Input should be greater than or equal to 0"
        raise BadQueryError("greater_than_equal", name, message, text, {"ge": 0})
    return number


async def _ask(
    request: HttpRequest, view: View, failure: str, captures: CaptureQuerySet, names: dict[str, str]
) -> HttpResponseBase:
    call = cast("Endpoint", view if iscoroutinefunction(view) else sync_to_async(view))
    # A path may hold line ends: %r keeps it from writing lines of its own into the log.
    try:
        return await call(request, captures, **names)
    except BadQueryError as error:
        return reply({"detail": [error.document]}, HTTPStatus.UNPROCESSABLE_ENTITY)
    except Refusal as refusal:
        if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s %r failed: %s", request.method, request.path, refusal)  # noqa: TRY400
        return _refuse(refusal.status, str(refusal))
    except (DatabaseError, OSError):
        logger.exception("%s %r failed", request.method, request.path)
        return _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, failure)


def _refuse(status: HTTPStatus, text: str) -> HttpResponse:
    return reply({"detail": text}, status)


# --- who may call, and which web pages may read the answers ---------------------------------------


def _captures_of(request: HttpRequest) -> CaptureQuerySet:
    """What this caller may see. Raises Refusal (401, 403)."""
    is_trusted = is_trusted_peer(request)
    if is_trusted and _is_welcome_page(request):
        return Capture.objects.all()
    person = older_clients.person_of(request)
    if is_trusted and not has_role(person, "viewer"):
        # A page of the internet, open in a browser inside a trusted network, is not trusted.
        refuse(HTTPStatus.FORBIDDEN, f"{older_clients.FOREIGN_PAGE}: add it to CORS_ORIGINS")
    older_clients.may_call(request, person)
    return Capture.objects.for_user(person)  # type: ignore[arg-type]  # AUTH_TOKEN's answers alike


def _is_welcome_page(request: HttpRequest) -> bool:
    """Ours, one that is listed, or one that no stranger can have made."""
    listed = settings.NVR.cors_origins
    return older_clients.is_welcome_page(request, listed) or _is_local_page(
        request.headers["Origin"].lower()
    )


def _is_local_page(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host:  # `null`, an extension, a file
        return False
    address = peer_address(host)
    if address is None:
        return is_local_name(host)
    # Unlike a name that was called by, an address may be a page's on the internet.
    return address.is_private or any(address in one for one in settings.NVR.trusted_networks)


def _is_preflight(request: HttpRequest) -> bool:
    headers = request.headers
    is_asking = request.method == "OPTIONS" and "Access-Control-Request-Method" in headers
    return is_asking and "Origin" in headers


def _with_cors(request: HttpRequest, response: Answer) -> Answer:
    """As the older node: every page may read; the page is named where a cookie was sent along.

    Safe because of `_captures_of`: a foreign page gets here with a credential of its own only.
    """
    patch_vary_headers(response, ["Origin"])
    if origin := request.headers.get("Origin"):
        is_named = bool(request.headers.get("Cookie"))
        response["Access-Control-Allow-Origin"] = origin if is_named else "*"
        response["Access-Control-Allow-Credentials"] = "true"
    return response
