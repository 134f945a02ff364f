"""The newest picture of a camera for `<img>`, VLC and Home Assistant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from capture import access
from capture.hub import LiveFrame, Viewer, hub
from capture.stills import stills
from devices.authentication import auser_of

MAX_AGE_MS = 10_000  # older than this is not "the picture now"
FIRST_FRAME_SECONDS = 5.0
QUIET_SECONDS = 30.0  # a stream without a frame for so long ends; the client asks again
RIGHTS_SECONDS = 20.0
MAX_MJPEG_VIEWERS = 16  # of one camera; each costs bandwidth that nobody paces by credit
_BOUNDARY = "roost-frame"


async def snapshot(request: HttpRequest, device_pk: int) -> HttpResponse:
    """One whole JPEG, of a stream its newest key picture. `?max_age_ms=` says how old it may be; 503
    where there is none so new.
    """
    if refused := await _why_not(request, device_pk):
        return refused
    max_age_ms = _max_age_ms(request.GET.get("max_age_ms"))
    if max_age_ms is None:
        return _answer(400, "max_age_ms is a number of milliseconds above 0.")
    frame = await stills.newest(device_pk)
    # Between two key pictures of a stream lies what its camera likes; whether it lives was asked.
    is_limited = "max_age_ms" in request.GET or hub.broadcast(device_pk) is None
    if frame is None or (is_limited and _now_ms() - frame.captured_ms > max_age_ms):
        return _answer(503, "There is no picture of this camera now.", retry_after="5")
    response = HttpResponse(frame.payload, content_type="image/jpeg")
    response["Cache-Control"] = "no-store"
    response["X-Captured-Ms"] = str(frame.captured_ms)
    return response


async def stream(request: HttpRequest, device_pk: int) -> HttpResponse | StreamingHttpResponse:
    """multipart/x-mixed-replace: each part is the newest frame when the one before had been sent."""
    if refused := await _why_not(request, device_pk):
        return refused
    if hub.viewer_count(device_pk) >= MAX_MJPEG_VIEWERS:
        return _answer(503, "Too many people watch this camera now.", retry_after="30")
    if request.method == "HEAD":
        parts: AsyncIterator[bytes] = _nothing()
    else:
        with hub.watch(device_pk) as viewer:
            if not await _has_frame(viewer, FIRST_FRAME_SECONDS):
                return _answer(503, "There is no picture of this camera now.", retry_after="5")
        parts = _parts(request, device_pk)
    response = StreamingHttpResponse(
        parts, content_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy that gathers parts would only add delay
    return response


async def _parts(request: HttpRequest, device_pk: int) -> AsyncIterator[bytes]:
    """The server takes the next part only when the one before has left (capture.server)."""
    looked_at = time.monotonic()
    with hub.watch(device_pk) as viewer:
        while await _has_frame(viewer, QUIET_SECONDS):
            if (frame := await stills.take(device_pk, viewer)) is not None:
                yield _part(frame)
            if time.monotonic() - looked_at >= RIGHTS_SECONDS:
                looked_at = time.monotonic()
                if await _why_not(request, device_pk):
                    return


def _part(frame: LiveFrame) -> bytes:
    head = (
        f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(frame.payload)}\r\nX-Captured-Ms: {frame.captured_ms}\r\n\r\n"
    )
    return head.encode() + frame.payload + b"\r\n"


async def _has_frame(viewer: Viewer, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            while not viewer.has_picture:
                viewer.wake.clear()
                await viewer.wake.wait()
    except TimeoutError:
        return False
    return True


async def _nothing() -> AsyncIterator[bytes]:
    for part in (b"",):
        yield part


async def _why_not(request: HttpRequest, device_pk: int) -> HttpResponse | None:
    if request.method not in ("GET", "HEAD"):
        return _answer(405, "GET or HEAD.", allow="GET, HEAD")
    person = await auser_of(request)
    if not person.is_authenticated or not person.is_active:
        return _answer(401, "Authentication credentials were not provided.")
    if not await access.may_watch(person, device_pk):
        return _answer(404, "No camera matches the given query.")
    return None


def _answer(status: int, detail: str, **headers: str) -> JsonResponse:
    response = JsonResponse({"detail": detail}, status=status)
    response["Cache-Control"] = "no-store"
    for name, value in headers.items():
        response[name.replace("_", "-").title()] = value
    return response


def _max_age_ms(text: str | None) -> int | None:
    if text is None:
        return MAX_AGE_MS
    is_number = text.isascii() and text.isdigit() and len(text) <= 9
    return int(text) if is_number and int(text) > 0 else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
