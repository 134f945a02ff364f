"""What a camera downloads: the firmware that is rolled out to it right now, with its own key.

Two at a time: a download takes the camera's whole radio, and the others' pictures need theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import cast

from channels.db import database_sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import BigIntegerField
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from capture.consumers import door
from capture.exceptions import Refused
from capture.refusals import refusal
from devices import updates
from recordings.ranges import serve_file

MAX_DOWNLOADS = 2
# A camera gives up after five minutes; whoever reads more slowly must not keep the others out.
LONGEST_SECONDS = 360.0


class Places:
    """Who downloads now, at most one download a camera; used from several threads."""

    def __init__(self, most: int = MAX_DOWNLOADS, longest_s: float = LONGEST_SECONDS) -> None:
        self._most, self._longest_s = most, longest_s
        self._lock = threading.Lock()
        self._taken: dict[int, tuple[object, float]] = {}

    def take(self, device_pk: int) -> object | None:
        """A ticket, or None while all places are taken. A camera that begins anew gets its own
        place back, and its earlier download ends.
        """
        now = time.monotonic()
        with self._lock:
            for pk, (_, since) in list(self._taken.items()):
                if now - since >= self._longest_s:
                    del self._taken[pk]
            if device_pk not in self._taken and len(self._taken) >= self._most:
                return None
            ticket = object()
            self._taken[device_pk] = (ticket, now)
            return ticket

    def holds(self, device_pk: int, ticket: object) -> bool:
        with self._lock:
            held = self._taken.get(device_pk)
            return (
                held is not None
                and held[0] is ticket
                and time.monotonic() - held[1] < self._longest_s
            )

    def give_back(self, device_pk: int, ticket: object) -> None:
        with self._lock:
            held = self._taken.get(device_pk)
            if held is not None and held[0] is ticket:
                del self._taken[device_pk]


places = Places()


@csrf_exempt  # no cookie is looked at
async def download(request: HttpRequest, image_pk: int) -> HttpResponseBase:
    """`GET /api/v1/firmware/download/<id>/` with the camera's key, as its WebSocket carries it."""
    if request.method != "GET":
        return _refuse(request, HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
    try:
        identity = await door.admit(cast("ASGIRequest", request).scope["headers"])
    except Refused as refused:
        return _refuse(request, HTTPStatus(refused.status), f"{refused.text}.")
    device_pk = identity.device_pk
    # The database breaks off where it is asked for a row that cannot be.
    is_asked = not identity.is_agent and image_pk <= BigIntegerField.MAX_BIGINT
    path = await _path_for(image_pk, device_pk) if is_asked else None
    if path is None:
        return _refuse(request, HTTPStatus.NOT_FOUND, "There is no firmware for this camera now.")
    ticket = places.take(device_pk)
    if ticket is None:
        answer = _refuse(
            request, HTTPStatus.SERVICE_UNAVAILABLE, "Other cameras are downloading now."
        )
        answer.headers["Retry-After"] = "60"
        return answer
    response: HttpResponseBase | None = None
    try:
        response = await _serve(request, path)
        return _held(response, device_pk, ticket)
    except OSError:
        return _refuse(request, HTTPStatus.NOT_FOUND, "The file of the firmware is gone.")
    finally:
        if response is None:
            places.give_back(device_pk, ticket)


@database_sync_to_async
def _path_for(image_pk: int, device_pk: int) -> Path | None:
    return updates.download_for(image_pk=image_pk, device_pk=device_pk)


@database_sync_to_async
def _serve(request: HttpRequest, path: Path) -> HttpResponseBase:
    return serve_file(
        request, path, size_bytes=path.stat().st_size, content_type="application/octet-stream"
    )


def _held(response: HttpResponseBase, device_pk: int, ticket: object) -> HttpResponseBase:
    """Gives the place back when the answer ends, however it ends."""
    if isinstance(response, StreamingHttpResponse):
        body = cast("AsyncIterator[bytes]", response.streaming_content)
        response.streaming_content = _HeldBody(body, device_pk, ticket)
    else:
        places.give_back(device_pk, ticket)
    return response


class _HeldBody:
    """Django calls `close` when the answer ends or breaks, also before its first byte."""

    def __init__(self, body: AsyncIterator[bytes], device_pk: int, ticket: object) -> None:
        self._body, self._device_pk, self._ticket = body, device_pk, ticket

    def close(self) -> None:
        places.give_back(self._device_pk, self._ticket)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            if not places.holds(self._device_pk, self._ticket):
                # Ending quietly would leave the camera waiting for the rest.
                raise OSError("the download took too long, or the camera began anew")
            yield chunk


def _refuse(request: HttpRequest, status: HTTPStatus, text: str) -> HttpResponse:
    return HttpResponse(
        refusal(request.path, status, text), status=status, content_type="application/json"
    )
