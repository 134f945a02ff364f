"""The answer to what no view answers, in the shape that the asking client can read.

`/api/v1/` speaks DRF's, the older systems' paths theirs, browsers get a page, everyone else the
Pi Camera Server's `{error, message}`, whose cameras know no other and must not be sent HTML.
"""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from clips import contract as clip_buffer
from devices import contract
from devices.dialects import Dialect, dialect_of
from stills import contract as capture_server
from stills import node as camera_node


def _is_api(request: HttpRequest) -> bool:
    return dialect_of(request.path) is Dialect.OWN


def _is_buffer(request: HttpRequest) -> bool:
    return dialect_of(request.path) is Dialect.CLIPS


def _is_stills(request: HttpRequest) -> bool:
    return dialect_of(request.path) is Dialect.STILLS


def _is_node(request: HttpRequest) -> bool:
    return dialect_of(request.path) is Dialect.NODE


def _is_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return JsonResponse({"detail": "Not found."}, status=404)
    if _is_buffer(request):
        return clip_buffer.not_found(request)
    if _is_stills(request):
        return capture_server.not_found(request)
    if _is_node(request):
        return camera_node.not_found(request)
    if _is_browser(request):
        return defaults.page_not_found(request, exception)
    return contract.not_found()


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before any view, such as a cookie or a form that was tampered with."""
    if _is_api(request):
        return JsonResponse({"detail": "Bad request."}, status=400)
    if _is_buffer(request):
        return JsonResponse({"error": "Bad request"}, status=400)
    if _is_stills(request):
        return capture_server.failed(request, HTTPStatus.BAD_REQUEST, "Bad request")
    if _is_node(request):
        return camera_node.failed(request, HTTPStatus.BAD_REQUEST, "Bad request")
    if _is_browser(request):
        return defaults.bad_request(request, exception)
    return contract.refuse(HTTPStatus.BAD_REQUEST, "Bad request")


def server_error(request: HttpRequest) -> HttpResponse:
    """The traceback is in the log; the client learns that it was not its fault."""
    if _is_api(request):
        return JsonResponse({"detail": "An unexpected error occurred."}, status=500)
    if _is_buffer(request):
        return JsonResponse({"error": "An unexpected error occurred"}, status=500)
    if _is_stills(request):
        text = "An unexpected error occurred"
        return capture_server.failed(request, HTTPStatus.INTERNAL_SERVER_ERROR, text)
    if _is_node(request):
        text = "An unexpected error occurred"
        return camera_node.failed(request, HTTPStatus.INTERNAL_SERVER_ERROR, text)
    if _is_browser(request):
        return defaults.server_error(request)
    return contract.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected error occurred")
