"""The worker's part: one capture of this machine's camera at a time, some of streams beside it.

A capture of the camera needs the lease first: the caller's, or one that is taken here for the
oldest that waits. Then, unless the camera streams anyway, the camera's own lock.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils import timezone

from capture.agent import locks
from capture.agent.protocol import SourceError
from capture.media import jpeg
from devices import sources
from stills import cameras, decoding, files, lease, limits, looking, previews, streamed
from stills.cameras.protocol import Camera, Order
from stills.exceptions import CameraBusyError, CaptureError, WrongStateError
from stills.media import dng
from stills.models import Capture, Kind, State

logger = logging.getLogger("camera_node")  # the camera node's clients read what is said here

STREAMED_AT_ONCE = 4
MAX_SIDE = 65_535  # what a JPEG can say: a sensor may have more pixels than cameras that dial in
WANTED_EVERY_S = 0.25
TIMEOUT_MS = 4_000  # of a program, besides what it is to take
PAUSE_S = 20.0  # how long a stream may stand still for a raw picture
LEASE_MARGIN_S = 30.0  # a program that has to be killed, the second step of an mp4, the disk
CAMERA_PATIENCE_S = 8.0  # the agent notices a pause within two seconds and ends its program
STREAM_GRACE_S = 20.0
_mutex = threading.Lock()
_running: dict[uuid.UUID, bool] = {}  # by capture: whether it has this machine's camera


def start_due() -> None:
    """Starts what may begin now; each goes on with the next one when it is over."""
    with _mutex:
        _start_own()
        for capture in Capture.objects.waiting().exclude(device=None):
            if sum(not is_own for is_own in _running.values()) >= STREAMED_AT_ONCE:
                break
            _start(capture, is_own=False, token="")


def put_in_order() -> None:
    """What nobody waits for any more, and what a worker left behind that is no longer there."""
    for capture in Capture.objects.expired(timezone.now()):
        _finish(capture, CaptureError("failed", "It did not begin in time."))
    for capture in Capture.objects.filter(state=State.TAKING):
        if _is_orphaned(capture):
            files.remove_parts(capture.pk)
            text = "The recorder was stopped or restarted while it was being taken."
            _finish(capture, CaptureError("interrupted", text))
    limits.keep_limits()


def run(capture: Capture, *, token: str = "") -> None:
    """Takes one capture from its waiting row to its end; never raises for what can go wrong."""
    try:
        capture.become(State.TAKING, started_at=timezone.now(), taken_by=_own_name())
        part = files.part_path(capture.pk)
        limits.keep_limits()
        limits.check_free_space()
        origin = _take(capture, part)
        _publish(capture, part, origin)
        limits.keep_limits(sparing=capture.pk)
    except WrongStateError:
        logger.info("The capture %s is not wanted any more", capture)
    except CaptureError as error:
        _finish(capture, error)
    except OSError as error:
        _finish(capture, _disk_error(error))
    except Exception:
        logger.exception("The capture %s failed", capture)
        _finish(capture, CaptureError("failed", "Taking it failed here; the log says how."))
    finally:
        files.remove_parts(capture.pk)
        if token:
            lease.release(token)


def longest_s(kind: str, duration_ms: int) -> float:
    """How long a capture can keep the camera at the most."""
    steps_ms = _timeout_ms(duration_ms) + (duration_ms if kind == Kind.MP4 else 0)
    return steps_ms / 1000 + PAUSE_S + LEASE_MARGIN_S


# --- whose turn it is -----------------------------------------------------------------------------


def _start_own() -> None:
    """With the mutex."""
    if any(_running.values()):
        return
    waiting = Capture.objects.waiting().filter(device=None)
    for capture in waiting.exclude(lease=""):
        if lease.is_valid(capture.lease):
            _start(capture, is_own=True, token="")
            return
        _finish(capture, CaptureError("interrupted", "Whoever asked for it has gone."))
    oldest = waiting.filter(lease="").first()
    if oldest is None:
        return
    with contextlib.suppress(CameraBusyError):  # whoever has it says when it is free, or beat looks
        token = lease.acquire(f"capture {oldest.pk}", longest_s(oldest.kind, oldest.duration_ms))
        _start(oldest, is_own=True, token=token)


def _start(capture: Capture, *, is_own: bool, token: str) -> None:
    if capture.pk in _running:
        return
    _running[capture.pk] = is_own
    threading.Thread(
        target=_run_and_go_on, args=(capture, token), name="capture", daemon=True
    ).start()


def _run_and_go_on(capture: Capture, token: str) -> None:
    try:
        run(capture, token=token)
    finally:
        with _mutex:
            _running.pop(capture.pk, None)
        try:
            start_due()
        finally:
            close_old_connections()


# --- the capture itself ---------------------------------------------------------------------------


def _take(capture: Capture, part: Path) -> str:
    """Where it came from. Raises CaptureError, OSError."""
    order, is_wanted = _order(capture), _wanted(capture)
    if capture.device is not None:
        streamed.take(capture.device, order, part, is_wanted=is_wanted)
        return Capture.Origin.STREAM
    camera = cameras.chosen()
    device = streamed.device_of(camera.address)
    if device is None:
        _by_camera(camera, order, part, is_wanted)
        return Capture.Origin.CAMERA
    if order.kind != Kind.DNG and streamed.begins_to_stream(device, is_wanted=is_wanted):
        streamed.take(device, order, part, is_wanted=is_wanted)
        Capture.objects.filter(pk=capture.pk).update(device=device, device_label=device.name)
        return Capture.Origin.STREAM
    seconds = min(120.0, longest_s(capture.kind, capture.duration_ms))
    sources.pause(device.source, seconds=seconds, reason=_pause_reason(order))
    try:
        _by_camera(camera, order, part, is_wanted)
    finally:
        sources.resume(device.source)
    Capture.objects.filter(pk=capture.pk).update(device=device, device_label=device.name)
    return Capture.Origin.CAMERA


def _by_camera(camera: Camera, order: Order, part: Path, is_wanted: Callable[[], bool]) -> None:
    with _camera_lock(camera) as lock_fd:
        camera.take(order, part, lock_fd=lock_fd, is_wanted=is_wanted)


@contextlib.contextmanager
def _camera_lock(camera: Camera) -> Iterator[int]:
    """Raises CaptureError("busy")."""
    path = locks.camera_path(settings.RUN_DIR, camera.address)
    if path is None:
        yield -1
        return
    settings.RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locks.hold_camera(path, patience_s=CAMERA_PATIENCE_S) as descriptor:
            yield descriptor
    except SourceError as error:
        raise CaptureError("busy", str(error), detail=error.detail) from error


def _order(capture: Capture) -> Order:
    return Order(
        kind=capture.kind,
        width=capture.width,
        height=capture.height,
        fps=capture.fps,
        duration_ms=capture.duration_ms,
        timeout_ms=_timeout_ms(capture.duration_ms),
    )


def _timeout_ms(duration_ms: int) -> int:
    return max(1_000, duration_ms) + TIMEOUT_MS


def _wanted(capture: Capture) -> Callable[[], bool]:
    """Asks the row, now and then."""
    asked_s, answer = time.monotonic(), True

    def is_wanted() -> bool:
        nonlocal asked_s, answer
        if time.monotonic() - asked_s > WANTED_EVERY_S:
            asked_s = time.monotonic()
            answer = Capture.objects.filter(pk=capture.pk, state=State.TAKING).exists()
        return answer

    return is_wanted


def _pause_reason(order: Order) -> str:
    what = "a raw picture" if order.kind == Kind.DNG else "a capture"
    return f"The camera took {what}."


def _publish(capture: Capture, part: Path, origin: str) -> None:
    """Raises CaptureError, OSError, WrongStateError (cancelled: no file then)."""
    size_bytes = part.stat().st_size
    if not size_bytes:
        raise CaptureError("failed", "The camera wrote an empty file.")
    width, height = _size_of(part, capture.kind) or (capture.width, capture.height)
    has_preview = _preview(capture, part)
    name = files.publish(part, capture.wanted_name, is_free=_has_no_row)
    try:
        with transaction.atomic():  # whoever waits for the row finds the other one right, too
            capture.become(
                State.READY,
                filename=name,
                origin=origin,
                size_bytes=size_bytes,
                width=width,
                height=height,
                has_preview=has_preview,
            )
            if capture.device is None:  # else this machine's camera had no part in it
                looking.note(last_capture_at=timezone.now())
    except WrongStateError:
        files.remove(capture.pk, name)
        raise
    logger.info("Capture successful: %s (%d bytes)", name, size_bytes)


def _has_no_row(name: str) -> bool:
    """A file may have been deleted by hand: its row still has the name."""
    return not Capture.objects.filter(filename=name).exists()


def _preview(capture: Capture, part: Path) -> bool:
    into = files.preview_path(capture.pk)
    into.parent.mkdir(mode=0o700, exist_ok=True)
    return previews.make_preview(part, capture.kind, into)


def _size_of(path: Path, kind: str) -> tuple[int, int] | None:
    """What is in the file; None where it does not say."""
    try:
        if kind == Kind.JPG:
            with path.open("rb") as file:
                return jpeg.size_of(file.read(), MAX_SIDE, MAX_SIDE)
        if kind == Kind.DNG:
            return dng.size_of(path)
        return _size_of_video(path, kind)
    except (OSError, ValueError, jpeg.BadFrame):
        return None


def _size_of_video(path: Path, kind: str) -> tuple[int, int] | None:
    # Here: FFmpeg's libraries take 16 MB of every process that has ever loaded them.
    import av  # noqa: PLC0415

    try:
        with av.open(
            f"file:{path}",
            format=decoding.DEMUXERS[kind],
            options={"protocol_whitelist": "file"},
            stream_options=[{"max_pixels": str(decoding.MAX_PIXELS)}],  # type: ignore[list-item]  # PyAV's stub
        ) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height
    except (IndexError, av.error.FFmpegError):
        return None


def _finish(capture: Capture, error: CaptureError) -> None:
    """The row ends with what went wrong; nothing where somebody else ended it."""
    if error.code == "cancelled":
        logger.info("The capture %s was cancelled", capture)
        return
    logger.error("Capture failed: %s %s", error, error.detail)
    contract_reason = error.contract[:300]
    with contextlib.suppress(WrongStateError), transaction.atomic():
        capture.become(
            State.FAILED, code=error.code, reason=str(error)[:300], contract_reason=contract_reason
        )
        if capture.device is None:
            looking.note(last_error=contract_reason, last_error_at=timezone.now())


def _disk_error(error: OSError) -> CaptureError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CaptureError("disk_full", "The disk is full: nothing was kept.")
    return CaptureError("failed", f"The disk refuses the file: {error.strerror or error}.")


def _own_name() -> str:
    pid = os.getpid()
    return f"{settings.NVR.node_id} {pid} {locks.started(pid)}"


def _is_orphaned(capture: Capture) -> bool:
    """Of this machine's workers only: another machine's processes cannot be seen from here."""
    node, _, process = capture.taken_by.partition(" ")
    pid, _, start = process.partition(" ")
    return node == settings.NVR.node_id and not locks.is_same_process(pid, start)
