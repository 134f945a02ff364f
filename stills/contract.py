"""The manners of the camera-capture server's HTTP API: `{"ok": false, "error": …}`, its CORS, and who
may call.

Where AUTH_TOKEN is set its clients send it with every call, but never for a picture: an `<img>` has
no header. Without it they send nothing. Those of NVR_TRUSTED_NETWORKS are let in so far; anyone
else needs a bearer token or a log-in, as everywhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from devices import older_clients
from devices.authentication import EnvironmentToken, Person, is_environment_token
from devices.contract import Refusal
from devices.older_clients import refuse, reply
from devices.permissions import has_role, is_trusted_peer
from stills.models import Capture, CaptureQuerySet

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
UNAUTHORIZED = "Unauthorized"
NOT_FOUND = "Not found"
OUT_OF_ORDER = "The recorder's database or disk does not answer; its log says more"
_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever may call. `is_operator`: also files that no capture knows are theirs to see."""

    look_up: Callable[[], CaptureQuerySet]
    is_operator: bool
    is_by_address: bool = False

    @property
    def captures(self) -> CaptureQuerySet:
        """Made when it is wanted: for a refusal it would be most of the work."""
        return self.look_up()


Endpoint = Callable[..., Coroutine[Any, Any, HttpResponseBase]]
# Called with the request and the caller; a coroutine function or not.
View = Endpoint | Callable[..., HttpResponseBase]
Answer = TypeVar("Answer", bound=HttpResponseBase)


def endpoint(*, is_token_needed: bool = True, **methods: View) -> Endpoint:
    """One view per method. HEAD works wherever GET does; every other method is an unknown path.

    What is not a coroutine function runs in a thread. `is_token_needed`: a set AUTH_TOKEN shuts out
    those who are trusted by address only.
    """

    @csrf_exempt  # a foreign page is told apart by its Origin, below
    @wraps(next(iter(methods.values())))
    async def answer(request: HttpRequest, **names: str) -> HttpResponseBase:
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in methods:
            return not_found(request)
        try:
            caller = _known_at_once(request, is_token_needed)
            caller = caller or await sync_to_async(_caller)(request, is_token_needed)
            response = await _threaded(methods[method])(request, caller, **names)
        except Refusal as refusal:
            response = _refuse(refusal.status, str(refusal))
        except (DatabaseError, OSError):
            logger.exception("%s %r failed", request.method, request.path)
            response = _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, OUT_OF_ORDER)
        return _with_cors(request, response)

    return answer


def not_found(request: HttpRequest) -> HttpResponse:
    """For unknown paths and wrong methods alike, and for what a browser asks beforehand."""
    if request.method == "OPTIONS" and _has_cors():
        return _with_cors(request, older_clients.preflight(request, _METHODS))
    return failed(request, HTTPStatus.NOT_FOUND, NOT_FOUND)


def failed(request: HttpRequest, status: HTTPStatus, text: str) -> HttpResponse:
    """For what no view answers."""
    return _with_cors(request, _refuse(status, text))


def read_body(request: HttpRequest) -> dict[str, Any]:
    """The fields of a JSON body; empty for none and for other content types.

    Raises Refusal: 400 for what is no JSON object, 413 above 1 MB.
    """
    if request.content_type != "application/json":
        return {}
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body may have 1 MB at the most")
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The body is not valid JSON") from error
    if not isinstance(document, dict):
        refuse(HTTPStatus.BAD_REQUEST, "The body must be a JSON object")
    return document


def _threaded(view: View) -> Endpoint:
    return cast("Endpoint", view if iscoroutinefunction(view) else sync_to_async(view))


def _refuse(status: HTTPStatus, text: str) -> HttpResponse:
    return reply({"ok": False, "error": text}, status)


# --- who may call, and which web pages may read the answers ---------------------------------------


def _known_at_once(request: HttpRequest, is_token_needed: bool) -> Caller | None:
    """Whoever can be told without a database, so in the event loop: of a hundred who ask for the
    camera at once, ninety-nine are to be answered at once.
    """
    if _is_trusted(request, is_token_needed) and (
        request.method in older_clients.SAFE_METHODS or _is_welcome_page(request)
    ):
        return Caller(Capture.objects.all, is_operator=True, is_by_address=True)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer" and is_environment_token(token.encode()):
        return _as_caller(EnvironmentToken())
    return None


def _caller(request: HttpRequest, is_token_needed: bool) -> Caller:
    """Everybody else. Raises Refusal (401, 403)."""
    authorization = request.headers.get("Authorization", "")
    if older_clients.has_bearer(request) and not authorization.startswith("Bearer "):
        refuse(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)  # the original minds the case
    person = older_clients.person_of(request)
    if not has_role(person, "viewer"):
        if _is_trusted(request, is_token_needed):
            # A page of the internet, open in a browser inside a trusted network, is not trusted.
            refuse(HTTPStatus.FORBIDDEN, f"{older_clients.FOREIGN_PAGE}: add it to CORS_ORIGIN")
        has_token = bool(settings.NVR.auth_token)
        refuse(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED if has_token else older_clients.STRANGER)
    older_clients.may_call(request, person)
    return _as_caller(person)


def _as_caller(person: Person) -> Caller:
    def captures() -> CaptureQuerySet:
        return Capture.objects.for_user(person)  # type: ignore[arg-type]  # AUTH_TOKEN's answers alike

    return Caller(captures, is_operator=has_role(person, "operator"))


def _is_trusted(request: HttpRequest, is_token_needed: bool) -> bool:
    return is_trusted_peer(request) and not (is_token_needed and settings.NVR.auth_token)


def _is_welcome_page(request: HttpRequest) -> bool:
    return settings.NVR.cors_allow_all or older_clients.is_welcome_page(
        request, settings.NVR.cors_origin
    )


def _has_cors() -> bool:
    return bool(settings.NVR.cors_allow_all or settings.NVR.cors_origin)


def _with_cors(request: HttpRequest, response: Answer) -> Answer:
    """Nothing unless a setting asks for it. Never with credentials: no page may use a log-in."""
    if not _has_cors():
        return response
    patch_vary_headers(response, ["Origin"])
    origin = request.headers.get("Origin", "")
    if origin and (settings.NVR.cors_allow_all or origin.lower() in settings.NVR.cors_origin):
        response["Access-Control-Allow-Origin"] = origin
    return response
