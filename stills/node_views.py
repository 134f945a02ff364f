"""The camera node's endpoints, to the letter of its contract; the product's own are in `stills.api`.

Only raw pictures exist for its clients, and of these only the finished ones.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from devices.older_clients import refuse
from devices.peers import peer_text
from recordings.ranges import serve_file
from stills import files, limits, node_status, nodelog, services, waiting
from stills.exceptions import FileMissingError, QueueError
from stills.models import Capture, CaptureQuerySet, Kind, State
from stills.node import endpoint, query_bool, query_count, reply

logger = logging.getLogger(nodelog.LOGGER)

BY = "camera node API"
WAIT_S = 600.0  # a hundred clients at once, each in its turn, and a camera that takes seconds
GONE = "The picture was deleted right after it was taken"
IMAGE_MISSING = "Image not found"


async def _capture(request: HttpRequest, captures: CaptureQuerySet) -> HttpResponseBase:
    """Waits for its turn: these clients have no word for a busy camera."""
    del captures
    is_file_wanted = query_bool(request, "return_file", default=False)
    logger.info("Capture asked for by %s", peer_text(request.META.get("REMOTE_ADDR")))
    capture = await _taken()
    if not is_file_wanted:
        return reply(
            {
                "status": "success",
                "file_info": {
                    "filename": capture.filename,
                    "filepath": f"captured_photos/{capture.filename}",
                    "timestamp": f"{timezone.localtime(capture.created_at):%Y%m%d_%H%M%S}",
                    "size": capture.size_bytes,
                },
                "node_id": settings.NVR.node_id,
            }
        )
    try:
        return await asyncio.to_thread(_send, request, capture)
    except FileNotFoundError:
        refuse(HTTPStatus.INTERNAL_SERVER_ERROR, GONE)


async def _taken() -> Capture:
    """A finished raw picture. Raises Refusal; when the client goes away the capture is cancelled."""
    failed = HTTPStatus.INTERNAL_SERVER_ERROR
    try:
        capture = await waiting.asked_for(
            services.Wish(Kind.DNG), by=BY, system=Capture.System.NODE, expires_s=WAIT_S
        )
        capture = await waiting.until_finished_or_cancelled(capture, WAIT_S)
    except QueueError as error:
        refuse(failed, str(error))
    except TimeoutError:
        text = "The picture was not taken within 10 minutes: look at the camera and at the worker"
        refuse(failed, text)
    except Capture.DoesNotExist:
        refuse(failed, GONE)
    if capture.state != State.READY:
        refuse(failed, capture.reason)
    return capture


def _list(request: HttpRequest, captures: CaptureQuerySet) -> HttpResponse:
    del request
    on_disk = dict(files.listed())
    newest_first = _raws(captures).order_by("-finished_at", "-pk")
    rows = newest_first.values_list("filename", "finished_at", "created_at")
    return reply(
        [
            {
                "filename": name,
                "size": facts.st_size,
                "created": _naive(finished_at or created_at),
                "modified": _naive(datetime.fromtimestamp(facts.st_mtime, tz=UTC)),
            }
            for name, finished_at, created_at in rows
            if (facts := on_disk.get(name or ""))
        ]
    )


def _image(request: HttpRequest, captures: CaptureQuerySet, name: str) -> HttpResponseBase:
    capture = _find(captures, name)
    if capture is None:
        refuse(HTTPStatus.NOT_FOUND, IMAGE_MISSING)
    try:
        return _send(request, capture)
    except FileNotFoundError:
        refuse(HTTPStatus.NOT_FOUND, IMAGE_MISSING)


def _delete(request: HttpRequest, captures: CaptureQuerySet, name: str) -> HttpResponse:
    capture = _find(captures, name)
    if capture is None:
        return reply({"status": "not_found", "message": f"File {name} not found"})
    services.delete(capture)
    who = peer_text(request.META.get("REMOTE_ADDR"))
    logger.info("Deleted %s, as %s asked for", capture.filename, who)
    return reply({"status": "success", "message": f"Deleted {capture.filename}"})


def _status(request: HttpRequest, captures: CaptureQuerySet) -> HttpResponse:
    del request, captures
    used_mb = limits.raw_bytes() / limits.MEGABYTE
    limit_mb = settings.NVR.node_storage_mb
    return reply(
        {
            "status": "online",
            "storage": {
                "used_mb": round(used_mb, 2),
                "limit_mb": limit_mb,
                "available_mb": round(max(0.0, limit_mb - used_mb), 2),
            },
            "system": node_status.figures(),
            "node_id": settings.NVR.node_id,
            "timestamp": _naive(timezone.now()),
        }
    )


def _logs(request: HttpRequest, captures: CaptureQuerySet) -> HttpResponse:
    """In one of two shapes, as the node's description and the node itself were of two minds."""
    del captures
    count = query_count(request, "lines", default=100)
    lines = nodelog.last_lines(settings.LOG_DIR, count)
    if settings.NVR.node_logs == "object":
        return reply({"logs": [f"{line}\n" for line in lines]})
    return reply(lines)


def _raws(captures: CaptureQuerySet) -> CaptureQuerySet:
    return captures.ready().filter(kind=Kind.DNG)


def _find(captures: CaptureQuerySet, name: str) -> Capture | None:
    """By the file first: a name that no file can have is not one to ask the database for."""
    try:
        files.existing(name)
    except FileMissingError:
        return None
    return _raws(captures).filter(filename=name).first()


def _send(request: HttpRequest, capture: Capture) -> HttpResponseBase:
    """Raises FileNotFoundError where it has been deleted meanwhile, OSError."""
    name = capture.filename or ""
    try:
        path = files.existing(name)
    except FileMissingError as error:
        raise FileNotFoundError from error
    return serve_file(
        request,
        path,
        size_bytes=path.stat().st_size,
        content_type=files.CONTENT_TYPES[Kind.DNG],
        download_name=name,
    )


def _naive(at: datetime) -> str:
    """Local time without its zone, as these clients read it."""
    return timezone.localtime(at).replace(tzinfo=None).isoformat(timespec="microseconds")


capture = endpoint(
    POST=(_capture, "The picture could not be taken: database or disk do not answer")
)
images = endpoint(GET=(_list, "The list of images could not be read"))
image = endpoint(
    GET=(_image, "The image could not be read"), DELETE=(_delete, "The image could not be deleted")
)
status = endpoint(GET=(_status, "The status could not be read"))
logs = endpoint(GET=(_logs, "The log could not be read"))
