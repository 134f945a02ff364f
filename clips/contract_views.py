"""The clip buffer's endpoints, to the letter of its contract; the product's own are in `clips.api`.

Only finished clips exist for its clients. What failed is said in the log and on the clips page.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from clips import buffer, files, services
from clips.contract import endpoint
from clips.exceptions import ClipFileMissingError, ClipLockedError
from clips.models import Clip, ClipQuerySet, moment
from devices.contract import read_body
from devices.models import DeviceQuerySet
from devices.older_clients import refuse, reply
from recordings.ranges import serve_file

UNKNOWN_CLIP = "Video clip not found"
BY = "clip buffer API"
_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}


def _health(request: HttpRequest, devices: DeviceQuerySet) -> HttpResponse:
    del request
    camera = buffer.camera_of(devices)
    now_ms = time.time_ns() // 1_000_000
    return reply(
        {
            "status": "OK",
            "timestamp": _iso(now_ms),
            "bufferStatus": buffer.is_buffering(camera),
            "bufferDuration": buffer.buffered_seconds(camera, now_ms) if camera else 0,
        }
    )


def _list(request: HttpRequest, devices: DeviceQuerySet) -> HttpResponse:
    """Those of the camera that the clients mean: they have no word for another one."""
    del request
    camera = buffer.camera_of(devices)
    clips = _ready(devices).filter(device=camera).select_related("device")
    newest_first = clips.order_by("-created_at", "-trigger_ms", "pk")
    return reply([_row(clip) for clip in newest_first])


def _detail(request: HttpRequest, devices: DeviceQuerySet, clip_id: str) -> HttpResponse:
    del request
    clip = _find(devices, clip_id)
    # The original told the path on the server's disk; this one can be asked for.
    return reply({**_row(clip), "path": f"/videos/{_filename(clip)}"})


def _delete(request: HttpRequest, devices: DeviceQuerySet, clip_id: str) -> HttpResponse:
    del request
    try:
        services.delete(clip=_find(devices, clip_id))
    except ClipLockedError as error:
        refuse(HTTPStatus.CONFLICT, str(error))
    return reply({"message": "Video clip deleted successfully"})


def _stream(request: HttpRequest, devices: DeviceQuerySet, clip_id: str) -> HttpResponseBase:
    return _send(request, _find(devices, clip_id), ".mp4")


def _static(request: HttpRequest, devices: DeviceQuerySet, name: str) -> HttpResponseBase:
    """`clip_<epoch ms of the trigger>.mp4`, or its picture with `.jpg`."""
    stem, _, suffix = name.rpartition(".")
    digits = stem.removeprefix("clip_")
    clip = None
    if stem != digits and digits.isascii() and digits.isdigit() and len(digits) < 16:
        named = _ready(devices).filter(device=buffer.camera_of(devices))
        clip = named.filter(trigger_ms=int(digits)).first()
        clip = clip or named.filter(trigger_ms=None, start_ms=int(digits)).first()
    if clip is None or f".{suffix}" not in _TYPES:
        refuse(HTTPStatus.NOT_FOUND, "Video file not found")
    return _send(request, clip, f".{suffix}")


def _store(request: HttpRequest, devices: DeviceQuerySet) -> HttpResponse:
    """200 at once; the clip appears in the list when it is complete."""
    read_body(request)  # nothing in it is needed, but what is not JSON is refused
    camera = buffer.camera_of(devices)
    if camera is None:
        refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "Failed to trigger video storage")
    clip = services.trigger(devices=[camera], by=BY)[0]
    assert clip.trigger_ms is not None  # noqa: S101  a moment has one
    return reply(
        {
            "id": str(clip.pk),
            "status": "processing",
            "message": "Clip creation started",
            "timestamp": _iso(clip.trigger_ms),
            # The older page puts this reply straight into its list and shows these.
            "filename": _filename(clip),
            "duration": (clip.end_ms - clip.start_ms) // 1000,
            "size": 0,
        }
    )


def _ready(devices: DeviceQuerySet) -> ClipQuerySet:
    return services.clips_of(devices.values_list("pk", flat=True))


def _find(devices: DeviceQuerySet, clip_id: str) -> Clip:
    """Raises Refusal (404), also for a clip that is not finished."""
    try:
        clip = _ready(devices).filter(pk=uuid.UUID(clip_id)).first()
    except ValueError:
        clip = None
    if clip is None:
        refuse(HTTPStatus.NOT_FOUND, UNKNOWN_CLIP)
    return clip


def _send(request: HttpRequest, clip: Clip, suffix: str) -> HttpResponseBase:
    try:
        path = files.existing(clip.pk, suffix)
        size_bytes = path.stat().st_size
        kind = _TYPES[suffix]
        return serve_file(request, path, size_bytes=size_bytes, content_type=kind)
    except (ClipFileMissingError, FileNotFoundError):
        refuse(HTTPStatus.NOT_FOUND, "Video file not found")


def _row(clip: Clip) -> dict[str, Any]:
    picture = f"/videos/{_stem(clip)}.jpg" if clip.has_thumbnail else None
    return {
        "id": str(clip.pk),
        "timestamp": _iso(_named_after_ms(clip)),
        "filename": _filename(clip),
        "duration": round(clip.duration_ms / 1000),
        "size": clip.size_bytes,
        "thumbnail_path": picture,
        "created_at": f"{clip.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "metadata": {"camera": clip.device_name, "start": _iso(_start_ms(clip))},
    }


def _start_ms(clip: Clip) -> int:
    return clip.start_ms if clip.actual_start_ms is None else clip.actual_start_ms


def _named_after_ms(clip: Clip) -> int:
    return clip.start_ms if clip.trigger_ms is None else clip.trigger_ms


def _stem(clip: Clip) -> str:
    return f"clip_{_named_after_ms(clip)}"


def _filename(clip: Clip) -> str:
    return f"{_stem(clip)}.mp4"


def _iso(epoch_ms: int) -> str:
    at: datetime = moment(epoch_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03}Z"


health = endpoint(GET=(_health, "Failed to read the buffer"))
videos = endpoint(GET=(_list, "Failed to fetch video clips"))
video = endpoint(
    GET=(_detail, "Failed to fetch video clip"), DELETE=(_delete, "Failed to delete video clip")
)
stream = endpoint(GET=(_stream, "Failed to stream video"))
static = endpoint(GET=(_static, "Failed to stream video"))
store = endpoint(POST=(_store, "Failed to trigger video storage"))
