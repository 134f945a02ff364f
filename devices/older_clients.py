"""Who of the older systems' clients may call, and from which web pages; the same for every one of
their APIs.

Those clients send no credentials. They are let in from NVR_TRUSTED_NETWORKS; anyone else needs a
log-in or a bearer token, as everywhere. What a system's errors look like is its own affair.
"""

from __future__ import annotations

import json
from collections.abc import Container
from http import HTTPStatus
from typing import NoReturn

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from devices.authentication import Person, user_of
from devices.contract import Refusal
from devices.permissions import has_role

SAFE_METHODS = ("GET", "HEAD")
STRANGER = (
    "Not allowed: log in, send a bearer token, or add this network to NVR_TRUSTED_NETWORKS,"
    " and the name you call by to NVR_HOST_NAMES"
)
FOREIGN_PAGE = "Requests from this web page are not allowed"
NEEDS_OPERATOR = "This needs an operator"


def may_call(request: HttpRequest, person: Person) -> None:
    """Viewers read, operators do everything. Raises Refusal (401, 403). Not for clients that are
    trusted by their address.
    """
    if not has_role(person, "viewer"):
        refuse(HTTPStatus.UNAUTHORIZED, STRANGER)
    if request.method not in SAFE_METHODS and not has_role(person, "operator"):
        refuse(HTTPStatus.FORBIDDEN, NEEDS_OPERATOR)


def person_of(request: HttpRequest) -> Person:
    """By bearer token; by session only for our own pages, which a browser's cookie cannot tell."""
    return user_of(request) if has_bearer(request) or is_own_page(request) else AnonymousUser()


def has_bearer(request: HttpRequest) -> bool:
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return scheme.lower() == "bearer"


def is_own_page(request: HttpRequest) -> bool:
    """True without Origin: no page, or one of ours that only reads."""
    origin = request.META.get("HTTP_ORIGIN", "").lower()
    return origin in ("", f"{request.scheme}://{request.META.get('HTTP_HOST', '').lower()}")


def is_welcome_page(request: HttpRequest, listed: Container[str]) -> bool:
    """No page at all, one of ours, or one of `listed`.

    A page of the internet, open in a browser inside a trusted network, could else do what the
    network may: it reads no answer, but it can ask blindly.
    """
    return is_own_page(request) or request.headers["Origin"].lower() in listed


def reply(
    document: object,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    content_type: str = "application/json; charset=utf-8",
) -> HttpResponse:
    """JSON with its length known."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    response = HttpResponse(body, status=status, content_type=content_type)
    response["Content-Length"] = str(len(body))
    return response


def refuse(status: HTTPStatus, text: str) -> NoReturn:
    """Ends the view with an error. Raises Refusal."""
    raise Refusal(status, text)


def preflight(request: HttpRequest, methods: str) -> HttpResponse:
    """204, with whatever headers a page wants to send; whether the page may read is added by each
    system. Needs no log-in: it does not say yet who will call.
    """
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    del response["Content-Type"]
    response["Content-Length"] = "0"
    allow_in_preflight(request, response, methods)
    return response


def allow_in_preflight(request: HttpRequest, response: HttpResponse, methods: str) -> None:
    response["Access-Control-Allow-Methods"] = methods
    if wanted := request.headers.get("Access-Control-Request-Headers"):
        response["Access-Control-Allow-Headers"] = wanted
    patch_vary_headers(response, ["Access-Control-Request-Headers"])
