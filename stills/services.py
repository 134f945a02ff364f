"""What a person or another app may ask of captures, and the only writers of their rows besides the
worker that takes them.

Synchronous: call from a thread, never from a running event loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from devices.models import Device
from stills import files, tasks
from stills.exceptions import BadOrderError, QueueError, WrongStateError
from stills.models import UNFINISHED, Analysis, CameraPicture, Capture, Kind, NodeCamera, State

MAX_VIDEO_MS = 3_600_000
MAX_STILL_MS = 60_000
MIN_SIDE, MAX_SIDE = 16, 16_384
MAX_FPS = 240
_KINDS = frozenset(Kind.values)  # worked out anew at each look otherwise, for each of a crowd


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for; 0 and "" are the defaults of the settings."""

    kind: str
    width: int = 0
    height: int = 0
    fps: int = 0
    duration_ms: int = 0
    name: str = ""


def request(
    wish: Wish,
    *,
    by: str,
    system: str = Capture.System.OWN,
    device: Device | None = None,
    lease: str = "",
    expires_s: float | None = None,
) -> Capture:
    """A row that waits, queued for the worker of this machine's camera once it is committed.

    `device`: whose stream it is taken from; None: this machine's camera. `lease`: of the caller,
    who keeps it until the capture is over. `expires_s`: whoever asks waits so long and no longer.
    Raises BadOrderError, and QueueError where somebody waits and no worker can be told.
    """
    full = with_defaults(wish)
    if device is not None and full.kind == Kind.DNG:
        raise BadOrderError("kind", "A raw picture can only be taken by this machine's own camera.")
    now = timezone.now()
    name = files.safe_name(wish.name, full.kind) or files.default_name(
        full.kind,
        width=full.width,
        height=full.height,
        fps=full.fps,
        duration_ms=full.duration_ms,
        at=now,
    )
    capture = Capture.objects.create(
        device=device,
        device_label=device.name if device else "",
        kind=full.kind,
        system=system,
        wanted_name=name,
        width=full.width,
        height=full.height,
        fps=full.fps,
        duration_ms=full.duration_ms,
        lease=lease,
        created_at=now,
        created_by=by[:150],
        expires_at=now + timedelta(seconds=expires_s) if expires_s is not None else None,
    )
    is_queued = _after_commit(tasks.queue_next)
    if expires_s is not None and not is_queued:
        # Unless a worker found it by itself in this moment: then it is being taken.
        with contextlib.suppress(WrongStateError):
            capture.become(State.FAILED, code="failed", reason=str(QueueError()))
            raise QueueError
    return capture


def with_defaults(wish: Wish) -> Wish:
    """What would be taken. Raises BadOrderError."""
    own = settings.NVR
    if wish.kind not in _KINDS:
        raise BadOrderError("kind", "It must be jpg, mp4, h264 or dng.")
    is_video = wish.kind in (Kind.MP4, Kind.H264)
    usual = own.default_video_seconds if is_video else own.default_still_seconds
    full = Wish(
        kind=wish.kind,
        width=wish.width or own.default_width,
        height=wish.height or own.default_height,
        fps=wish.fps or own.default_fps,
        duration_ms=wish.duration_ms or round(1000 * usual),
        name=wish.name,
    )
    for field, value in (("width", full.width), ("height", full.height)):
        if not MIN_SIDE <= value <= MAX_SIDE:
            raise BadOrderError(field, f"It must be between {MIN_SIDE} and {MAX_SIDE} pixels.")
    if not 1 <= full.fps <= MAX_FPS:
        raise BadOrderError("fps", f"It must be between 1 and {MAX_FPS} pictures a second.")
    longest = MAX_VIDEO_MS if is_video else MAX_STILL_MS
    if not 0 < full.duration_ms <= longest:
        raise BadOrderError("duration_seconds", f"It can last at most {longest // 1000} s.")
    return full


def cancel(capture: Capture) -> None:
    """Of one that is being taken the worker ends the camera's program. Nothing for a finished one.

    Raises Capture.DoesNotExist for one that was deleted meanwhile.
    """
    for _ in range(len(UNFINISHED) + 1):  # it may begin, and end, in this very moment
        capture.refresh_from_db()
        if capture.is_finished:
            return
        try:
            capture.become(State.CANCELLED, code="cancelled", reason="It was cancelled.")
        except WrongStateError:
            continue


def delete(capture: Capture) -> None:
    """Raises OSError where the disk refuses; then the row stays. Capture.DoesNotExist as `cancel`."""
    cancel(capture)
    files.remove(capture.pk, capture.filename)
    capture.delete()


def use_as_picture(capture: Capture) -> None:
    """Of its camera while that shows nothing. Raises BadOrderError where it has no camera or picture."""
    if capture.device is None:
        raise BadOrderError("device", "This capture belongs to no camera of the list.")
    if capture.state != State.READY or not capture.has_preview:
        raise BadOrderError("id", "There is no picture of this capture.")
    CameraPicture.objects.update_or_create(device=capture.device, defaults={"capture": capture})


def forget_picture(device: Device) -> None:
    CameraPicture.objects.filter(device=device).delete()


def request_analysis(capture: Capture) -> Analysis:
    """Queued once it is committed; while the broker is away it waits for `tasks.take_overdue`.

    Raises BadOrderError for a capture that is not ready.
    """
    if capture.state != State.READY or not capture.filename:
        raise BadOrderError("capture", "Only a finished capture can be analysed.")
    analysis = Analysis.objects.create(capture=capture, filename=capture.filename)
    _after_commit(lambda: tasks.queue_analysis(analysis.pk))
    return analysis


def node_camera() -> NodeCamera | None:
    """What was last seen of this machine's camera; None before the first look."""
    return NodeCamera.objects.filter(node_id=settings.NVR.node_id).first()


def queue_look() -> bool:
    """Whether a worker was told to look at the camera again."""
    return tasks.queue_look()


def next_turn() -> None:
    """The camera is free again: whoever waits for it may begin."""
    tasks.queue_next()


def _after_commit(queue: Callable[[], bool]) -> bool:
    """What `queue` says; True inside a transaction, where that is not known yet."""
    answers = [True]
    transaction.on_commit(lambda: answers.append(queue()))
    return answers[-1]
