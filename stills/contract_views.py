"""The camera-capture server's endpoints, to the letter of its contract; the product's own are in
`stills.api`.

Its clients mean this machine's camera, and know one answer to a camera that is busy: 409, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from devices.contract import Refusal
from devices.older_clients import refuse, reply
from recordings.ranges import serve_file
from stills import analyzer, files, lease, services, taking, waiting
from stills.contract import NOT_FOUND, Caller, endpoint, read_body
from stills.exceptions import BadOrderError, CameraBusyError, FileMissingError, QueueError
from stills.models import Capture, Kind, NodeCamera, State

logger = logging.getLogger(__name__)

BY = "camera-capture API"
BEGIN_S = 15.0  # a worker that has not begun by then is not there
LOOK_EVERY = timedelta(seconds=60)
LOOK_STALE = timedelta(minutes=5)  # whoever asks every few minutes never waits
LOOK_S = 5.0
LOOK_AGAIN_S = 10.0  # a look takes seconds: somebody who asks every second starts no second one
BUSY = "Camera busy"
BAD_FORMAT = "Invalid format. Use jpg, h264, or mp4"
_FORMATS = (Kind.JPG, Kind.H264, Kind.MP4)
_TRIED = (".jpg", ".h264", ".mp4")  # for a name without an extension
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")  # in one pass
_HUGE = 1e12  # beyond every limit, and still a number that can be calculated with
_WORDS = {"duration_seconds": "durationSec"}


class _News:
    """What this process alone knows: whether it has the camera, when it had it looked at, and what
    failed outside the worker, which notes its own failures.
    """

    def __init__(self) -> None:
        self.is_taking = False
        self._asked_s = -math.inf
        self._asking: set[asyncio.Task[bool]] = set()
        self.failure: tuple[datetime, str] | None = None

    def failed(self, text: str) -> None:
        logger.error(text)
        self.failure = timezone.now(), text

    async def ask_for_a_look(self) -> bool:
        """Whether a worker was told, now or a moment ago."""
        now_s = time.monotonic()
        if now_s - self._asked_s > LOOK_AGAIN_S:
            self._asked_s = now_s
            if not await asyncio.to_thread(services.queue_look):
                self._asked_s = -math.inf
        return self._asked_s > -math.inf

    def ask_meanwhile(self) -> None:
        asking = asyncio.create_task(self.ask_for_a_look())
        self._asking.add(asking)  # the loop itself keeps no task alive
        asking.add_done_callback(self._asking.discard)


_news = _News()


async def _capture(request: HttpRequest, caller: Caller) -> HttpResponse:
    del caller
    async with _taken(_wish(read_body(request))) as capture:
        return reply({"ok": True, **_named(capture)})


async def _capture_and_analyze(request: HttpRequest, caller: Caller) -> HttpResponse:
    """The camera stays taken until the analyser has answered, as its clients know it."""
    del caller
    async with _taken(_wish(read_body(request))) as capture:
        try:
            job = await analyzer.hand_over(capture)
        except analyzer.AnalyzerError as error:
            text = f"Analyze request failed: {error}"
            _news.failed(text)
            refuse(HTTPStatus.INTERNAL_SERVER_ERROR, text)
        return reply({"ok": True, "jobId": job, **_named(capture), "status": "queued"})


def _named(capture: Capture) -> dict[str, str | None]:
    return {"filename": capture.filename, "url": f"/uploads/{capture.filename}"}


# --- what is asked for ----------------------------------------------------------------------------


def _wish(fields: dict[str, Any]) -> services.Wish:
    """With all defaults in it. Raises Refusal (400)."""
    kind, name = fields.get("format", ""), fields.get("filename", "")
    if not isinstance(kind, str | None) or (kind and kind.lower() not in _FORMATS):
        refuse(HTTPStatus.BAD_REQUEST, BAD_FORMAT)
    if not isinstance(name, str | None):
        refuse(HTTPStatus.BAD_REQUEST, "Invalid filename. Use text")
    kind = kind.lower() if kind else Kind.JPG
    wish = services.Wish(
        kind=kind,
        width=round(_number(fields, "width")),
        height=round(_number(fields, "height")),
        # A picture has no rate; its name tells the default one, whatever was asked for.
        fps=0 if kind == Kind.JPG else round(_number(fields, "fps")),
        duration_ms=round(1000 * _number(fields, "durationSec")),
        name=name or "",
    )
    try:
        return services.with_defaults(wish)
    except BadOrderError as error:
        text = f"Invalid {_WORDS.get(error.field, error.field)}. {error}"
        raise Refusal(HTTPStatus.BAD_REQUEST, text) from error


def _number(fields: dict[str, Any], name: str) -> float:
    """0, which means the default, for all that is no number above 0; texts of numbers are some."""
    value = fields.get(name)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    with contextlib.suppress(OverflowError):  # an integer that no float can hold is infinite
        return min(float(value), _HUGE) if value > 0 and math.isfinite(value) else 0
    return 0


# --- taking it ------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _taken(wish: services.Wish) -> AsyncIterator[Capture]:
    """A finished capture; nobody else has the camera until the block ends. Raises Refusal."""
    if _news.is_taking:  # known without looking at a disk
        refuse(HTTPStatus.CONFLICT, BUSY)
    _news.is_taking = True
    longest_s = taking.longest_s(wish.kind, wish.duration_ms)
    seconds = BEGIN_S + longest_s + analyzer.TOTAL_S
    getting = asyncio.create_task(asyncio.to_thread(lease.acquire, f"{BY}: {wish.kind}", seconds))
    try:
        # Shielded: a client may go away in this moment, and the thread would get it all the same.
        token = await asyncio.shield(getting)
        capture = await _finished(wish, token, longest_s)
        _check_ready(capture)
        yield capture
    except CameraBusyError as error:
        raise Refusal(HTTPStatus.CONFLICT, BUSY) from error
    finally:
        await asyncio.shield(_give_back(getting))


async def _give_back(getting: asyncio.Task[str]) -> None:
    """Whoever waits for the camera may have it now."""
    try:
        token = await getting
        await asyncio.to_thread(lease.release, token)
    except CameraBusyError:
        return
    finally:
        _news.is_taking = False
    await database_sync_to_async(services.next_turn)()


async def _finished(wish: services.Wish, token: str, longest_s: float) -> Capture:
    """Raises Refusal; a client that goes away takes its capture with it."""
    try:
        capture = await waiting.asked_for(
            wish, by=BY, system=Capture.System.STILLS, lease=token, expires_s=BEGIN_S
        )
        return await waiting.until_finished_or_cancelled(capture, longest_s, begin_s=BEGIN_S)
    except QueueError as error:
        _news.failed(str(error))
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
    except TimeoutError as error:
        text = "The camera did not answer in time: look at the camera and at the recorder's worker"
        _news.failed(text)
        raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, text) from error
    except Capture.DoesNotExist as error:
        text = "The capture was deleted right after it was asked for"
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, text) from error


def _check_ready(capture: Capture) -> None:
    """Raises Refusal for one that failed."""
    if capture.code == "busy":
        refuse(HTTPStatus.CONFLICT, BUSY)
    if capture.code in ("no_camera", "unplugged"):
        _news.ask_meanwhile()  # what was seen of the camera before is no longer so
    if capture.state != State.READY:
        is_late = capture.code == "timeout"
        status = HTTPStatus.GATEWAY_TIMEOUT if is_late else HTTPStatus.INTERNAL_SERVER_ERROR
        refuse(status, capture.contract_reason or capture.reason)


# --- status ---------------------------------------------------------------------------------------


async def _status(request: HttpRequest, caller: Caller) -> HttpResponse:
    del request, caller
    seen = await _seen()
    is_busy = await asyncio.to_thread(lease.is_held)
    return reply(
        {
            "ok": True,
            "cameraDetected": seen is not None and seen.is_there,
            "busy": is_busy,
            "lastCaptureAt": _iso(seen.last_capture_at if seen else None),
            "lastError": _last_error(seen),
        }
    )


async def _seen() -> NodeCamera | None:
    """What is known of the camera. A look that is old is renewed meanwhile; one is waited for only
    where there is none, or one from so long ago that it says nothing of now.
    """
    look_up = sync_to_async(services.node_camera)
    seen = await look_up()
    age = _age(seen)
    if age <= LOOK_STALE:
        if age > LOOK_EVERY:
            _news.ask_meanwhile()
        return seen
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            is_asked = await _news.ask_for_a_look()
            while is_asked and _age(seen) > LOOK_STALE:
                await asyncio.sleep(0.1)
                seen = await look_up()
    return seen


def _age(seen: NodeCamera | None) -> timedelta:
    """Of a look; a clock that was set back makes it no younger."""
    return abs(timezone.now() - seen.looked_at) if seen and seen.looked_at else timedelta.max


def _last_error(seen: NodeCamera | None) -> str | None:
    """Until a capture succeeds, as the original forgets it."""
    failures = [_news.failure] if _news.failure else []
    if seen and seen.last_error_at:
        failures.append((seen.last_error_at, seen.last_error))
    if not failures:
        return None
    at, text = max(failures)
    is_over = seen is not None and seen.last_capture_at is not None and seen.last_capture_at > at
    return None if is_over else text


def _iso(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- files ----------------------------------------------------------------------------------------


def _upload(request: HttpRequest, caller: Caller, name: str) -> HttpResponseBase:
    path, _ = _find(caller, name)
    try:
        response = serve_file(
            request,
            path,
            size_bytes=path.stat().st_size,
            content_type=files.CONTENT_TYPES[files.SUFFIXES[path.suffix]],
        )
    except FileNotFoundError:
        refuse(HTTPStatus.NOT_FOUND, NOT_FOUND)
    # Whoever had to say who they are shares it with no proxy's other clients.
    scope = "public" if caller.is_by_address else "private"
    response.headers["Cache-Control"] = f"{scope}, max-age=0"
    return response


def _find(caller: Caller, name: str) -> tuple[Path, Capture | None]:
    """A file that the caller may see, and its row; files that somebody put there have none.

    Raises Refusal (404).
    """
    for suffix in ("",) if "." in name else ("", *_TRIED):
        if found := _seen_by(caller, name + suffix):
            return found
    raise Refusal(HTTPStatus.NOT_FOUND, NOT_FOUND)


def _seen_by(caller: Caller, name: str) -> tuple[Path, Capture | None] | None:
    try:
        path = files.existing(name)
    except FileMissingError:
        return None
    if path.suffix not in files.SUFFIXES:
        return None
    row = Capture.objects.filter(filename=name).first()
    if row is None:
        return (path, None) if caller.is_operator else None
    is_theirs = caller.captures.ready().filter(pk=row.pk).exists()
    return (path, row) if is_theirs else None


# --- the analyser that is used where no other one is named ----------------------------------------


def _analyze(request: HttpRequest, caller: Caller) -> HttpResponse:
    """`path` as `/uploads/<name>`, or `filename` alone."""
    fields = read_body(request)
    path, filename = fields.get("path"), fields.get("filename")
    wanted = filename if path is None else path
    if not isinstance(wanted, str) or not isinstance(filename, str | None):
        text = 'Say which file: {"filename": "name.jpg", "path": "/uploads/name.jpg"}'
        refuse(HTTPStatus.BAD_REQUEST, text)
    _, capture = _find(caller, wanted.removeprefix("/uploads/"))
    if capture is None:
        refuse(HTTPStatus.NOT_FOUND, NOT_FOUND)
    analysis = services.request_analysis(capture)
    return reply(
        {
            "ok": True,
            "jobId": str(analysis.pk),
            "id": str(analysis.pk),
            "status": "queued",
            "filename": analysis.filename,
            "url": f"/api/v1/analyses/{analysis.pk}/",
        }
    )


status = endpoint(GET=_status)
capture = endpoint(POST=_capture)
capture_and_analyze = endpoint(POST=_capture_and_analyze)
upload = endpoint(is_token_needed=False, GET=_upload)
analyze = endpoint(POST=_analyze)
