"""The manners of the Pi Camera Server's HTTP API, for every view that speaks it.

Cameras in the field parse these answers with 300 bytes of memory, so paths, texts, headers and
the shape of errors are fixed: `{"error": reason phrase, "message": text}`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt

from devices.services import Identity, identify, note_use

logger = logging.getLogger(__name__)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
KEY_MISSING = "API key is required. Please provide X-API-Key header."
KEY_UNKNOWN = "Invalid API key. Device not found or not registered."
KEY_PENDING = "This device is waiting for approval."

OpenView = Callable[[HttpRequest], HttpResponse]
DeviceView = Callable[[HttpRequest, Identity], HttpResponse]
AnyView = Callable[..., HttpResponseBase] | Callable[..., Coroutine[Any, Any, HttpResponseBase]]


class Refusal(Exception):
    """Raised inside a view to answer with an error; `str()` is the message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def reply(document: dict[str, Any], status: int = 200) -> HttpResponse:
    """JSON with its length known, so no server sends it chunked: the firmware cannot read that."""
    body = json.dumps(document, separators=(",", ":")).encode()
    response = HttpResponse(body, status=status, content_type="application/json; charset=utf-8")
    response["Content-Length"] = str(len(body))
    digest = hashlib.sha256(body).hexdigest()[:27]
    response["ETag"] = f'W/"{len(body):x}-{digest}"'
    return with_headers(response)


def refuse(status: HTTPStatus, message: str) -> HttpResponse:
    return reply({"error": status.phrase, "message": message}, status)


def not_found() -> HttpResponse:
    """For unknown paths and wrong methods alike: this API has no 405."""
    return refuse(HTTPStatus.NOT_FOUND, "Endpoint not found")


def with_headers(response: HttpResponse) -> HttpResponse:
    for name, value in HEADERS.items():
        response[name] = value
    return response


def contract_path(route: str, view: AnyView) -> URLPattern:
    """Any case, with or without a trailing slash, and never a redirect: no client follows one."""
    return re_path(rf"^{caseless(route)}/?$", view)


def caseless(route: str) -> str:
    """A regular expression for `route` in any case.

    Letter by letter, because reverse(), which the admin and every page need, refuses "(?i:…)".
    """
    return "".join(
        f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else re.escape(letter)
        for letter in route
    )


def instant_endpoint(*methods: str) -> Callable[[OpenView], AnyView]:
    """For `view(request)` that needs no key and waits for nothing: answers in the event loop."""

    def decorate(view: OpenView) -> AnyView:
        @csrf_exempt  # no cookie is looked at
        @wraps(view)
        async def endpoint(request: HttpRequest) -> HttpResponse:
            return _answer(request, methods, lambda: view(request))

        return endpoint

    return decorate


def open_endpoint(*methods: str) -> Callable[[OpenView], OpenView]:
    """For `view(request)` that needs no key. HEAD works wherever GET does."""

    def decorate(view: OpenView) -> OpenView:
        @csrf_exempt  # no cookie is looked at
        @wraps(view)
        def endpoint(request: HttpRequest) -> HttpResponse:
            return _answer(request, methods, lambda: view(request))

        return endpoint

    return decorate


def device_endpoint(*methods: str) -> Callable[[DeviceView], OpenView]:
    """For `view(request, identity)` that needs the key of an approved device in X-API-Key."""

    def decorate(view: DeviceView) -> OpenView:
        @csrf_exempt  # the key is in a header that no foreign page can set
        @wraps(view)
        def endpoint(request: HttpRequest) -> HttpResponse:
            return _answer(request, methods, lambda: view(request, _device_of(request)))

        return endpoint

    return decorate


def _answer(
    request: HttpRequest, methods: tuple[str, ...], view: Callable[[], HttpResponse]
) -> HttpResponse:
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods:
        return not_found()
    try:
        response = view()
    except Refusal as refusal:
        return refuse(refusal.status, str(refusal))
    if method == "GET" and response.status_code == HTTPStatus.OK:
        fresh = get_conditional_response(request, etag=response["ETag"], response=response)
        return with_headers(fresh) if isinstance(fresh, HttpResponse) else response
    return response


def _device_of(request: HttpRequest) -> Identity:
    key = request.headers.get("X-API-Key", "")
    if not key:
        raise Refusal(HTTPStatus.UNAUTHORIZED, KEY_MISSING)
    identity = identify(key)
    if identity is None:
        raise Refusal(HTTPStatus.UNAUTHORIZED, KEY_UNKNOWN)
    if identity.is_pending:
        raise Refusal(HTTPStatus.FORBIDDEN, KEY_PENDING)
    note_use(identity)
    return identity


def read_body(request: HttpRequest) -> dict[str, Any]:
    """The fields of a JSON or url-encoded body; empty for none and for other content types.

    Raises Refusal (400) for malformed JSON, and (413) above the limit of 10 MB.
    """
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large") from error
    if request.content_type == "application/x-www-form-urlencoded":
        try:
            return _form_fields(QueryDict(body))
        except TooManyFieldsSent as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "The body has too many fields") from error
    if request.content_type != "application/json" or not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The body is not valid JSON") from error
    return document if isinstance(document, dict) else {}


def _form_fields(form: QueryDict) -> dict[str, Any]:
    """`config[quality]=12` becomes {"config": {"quality": 12}}; other fields stay text."""
    fields: dict[str, Any] = {}
    for name, value in form.items():
        nested = re.fullmatch(r"(\w+)\[(\w+)\]", name)
        if nested is None:
            fields[name] = value
            continue
        inner = fields.setdefault(nested[1], {})
        if isinstance(inner, dict):
            is_number = re.fullmatch(r"-?[0-9]{1,9}", str(value)) is not None
            inner[nested[2]] = int(str(value)) if is_number else value
    return fields
