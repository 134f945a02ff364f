"""Celery's doors into recordings: a primary key in, one call out, safe to run twice."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.utils import timezone

from devices.models import Device
from recordings import packager, queueing, removal, retention, segments
from recordings.exceptions import RecordingError

logger = logging.getLogger(__name__)

# A note that a task waits for this device is believed for so long; the broker may have lost it.
NOTE_SECONDS = 90
# Packaging leaves one of the worker's threads to others: somebody waits for a clip, and a camera
# that is behind is minutes at work. Who finds no slot leaves the camera to those that have one.
SLOTS = max(1, settings.CELERY_WORKER_CONCURRENCY - 1)
_slots = threading.BoundedSemaphore(SLOTS)
_waiting: deque[int] = deque()  # primary keys of devices, each once
_waiting_lock = threading.Lock()  # the threads of a worker


@worker_ready.connect
def forget_notes(**_: object) -> None:
    """A worker that starts may have lost its tasks with the broker; what is queued twice finds
    nothing to do the second time.
    """
    for note in settings.RUN_DIR.glob("queued-*"):
        note.unlink(missing_ok=True)


@shared_task(name="recordings.tasks.package_segments", ignore_result=True)
def package_segments(device_pk: int) -> None:
    with _waiting_lock:
        if device_pk not in _waiting:
            _waiting.append(device_pk)
    # Asked again at the end: one that found no slot may have come while the last was given back.
    while _waiting and _slots.acquire(blocking=False):
        try:
            while (next_pk := _next_in_line()) is not None:
                _package(next_pk)
        finally:
            _slots.release()


def _next_in_line() -> int | None:
    with _waiting_lock:
        return _waiting.popleft() if _waiting else None


def _package(device_pk: int) -> None:
    (settings.RUN_DIR / f"queued-{device_pk}").unlink(missing_ok=True)
    device = Device.objects.filter(pk=device_pk).first()
    if device is None:
        return
    try:
        outcome = packager.package(device)
    except (RecordingError, OSError) as error:
        # The video waits in the spool and the minute's task tries again.
        logger.warning("Packaging %s: %s", device.directory, error)
        return
    except Exception:  # whatever it is, the other cameras in line are not to wait for it
        logger.exception("Packaging %s failed unexpectedly", device.directory)
        return
    if outcome.segments:
        logger.debug(
            "Packaged %s: %d segments, %d frames",
            device.directory, outcome.segments, outcome.frames,
        )  # fmt: skip
    if outcome.has_more:
        queue_packaging(device_pk)


@shared_task(name="recordings.tasks.requeue_overdue_segments", ignore_result=True)
def requeue_overdue_segments() -> None:
    """Adopt what crashes left, then queue every device whose oldest closed segment is overdue."""
    settled = time.time() - 2 * settings.NVR_SEGMENT_SECONDS
    for directory in segments.device_directories(settings.SPOOL_DIR):
        try:
            segments.adopt(directory)
        except OSError as error:  # one bad directory must not hold up the other cameras
            logger.warning("%s cannot be looked through: %s", directory, error)
            continue
        if segments.has_closed_before(directory, settled):
            mac = directory.name.replace("-", ":")
            device_pk = Device.objects.filter(mac=mac).values_list("pk", flat=True).first()
            if device_pk is None:
                logger.warning(
                    "The spool has video of %s, which is no camera here: run manage.py reindex", mac
                )
            else:
                queue_packaging(device_pk)


@shared_task(name="recordings.tasks.guard_disk", ignore_result=True)
def guard_disk() -> None:
    retention.guard_disk()


@shared_task(name="recordings.tasks.finish_removals", ignore_result=True)
def finish_removals() -> None:
    removal.finish_removals(now=timezone.now())


@shared_task(name="recordings.tasks.clean_up", ignore_result=True)
def clean_up() -> None:
    retention.clean_up()


def queue_packaging(device_pk: int) -> bool:
    """False where a task waits already or the broker is down; the minute's task makes up for it.

    Without the note in the run directory a worker that is behind would collect a task a minute and
    camera.
    """
    if queueing.is_broker_away():
        return False
    note = settings.RUN_DIR / f"queued-{device_pk}"
    try:
        if time.time() - note.stat().st_mtime < NOTE_SECONDS:
            return False
    except FileNotFoundError:
        pass
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    if queueing.queue(package_segments, (device_pk,)):
        return True
    note.unlink(missing_ok=True)
    return False
