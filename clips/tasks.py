"""Celery's doors into clips: a primary key in, one call out, safe to run twice.

A row is due until it is ready, so whatever a worker, the broker or the machine loses is found again
by `cut_overdue`; a lock makes sure that no two workers cut the same clip.
"""

from __future__ import annotations

import logging
import time
import uuid

from celery import shared_task

from clips import arrival, catalog, cutter, files, limits
from clips.exceptions import ClipError, NoFootageError, WrongStateError
from clips.models import UNFINISHED, Clip, State
from devices.models import Device
from recordings import queueing
from recordings.exceptions import RecordingError

logger = logging.getLogger(__name__)

# After this long beyond the end of a window the beat task takes a clip up itself.
OVERDUE_MS = 10_000
# One that it has queued is left alone for so long: a worker that is behind would collect it anew
# every ten seconds. Also how long a worker that cuts may take before another looks at its lock.
QUEUED_MS = 60_000
# Between automatic attempts at a clip that failed: a full disk or a busy one passes.
RETRY_MS = (30_000, 120_000, 600_000)
MAX_CUTS = 2 + len(RETRY_MS)  # a worker may be killed now and then
# Frames reach the spool within a tenth of a second of their arrival.
SETTLE_SECONDS = 0.15
POLL_SECONDS = 0.05
LATE_SECONDS = 1.0


@shared_task(name="clips.tasks.cut_clip", ignore_result=True)
def cut_clip(clip_id: str) -> None:
    clip_pk = uuid.UUID(clip_id)
    with files.lock(clip_pk) as is_ours:
        if not is_ours:
            return
        clip = Clip.objects.select_related("device").filter(pk=clip_pk).first()
        if clip is None:
            return  # and whatever lies on disk stays: it may be the database that was lost
        if clip.deleting_since is None and clip.state in UNFINISHED:
            _work_on(clip)
        if not Clip.objects.kept().filter(pk=clip_pk).exists():
            catalog.remove(clip_pk)  # deleted while this worker held its lock


@shared_task(name="clips.tasks.cut_overdue", ignore_result=True)
def cut_overdue() -> None:
    """Every ten seconds: whatever should have been done by now is queued (again)."""
    now_ms = _now_ms()
    catalog.finish_interrupted()
    for clip in Clip.objects.due(now_ms).order_by("due_ms")[:500]:
        try:
            if clip.state == State.FAILED:
                clip.become(State.PENDING, due_ms=now_ms + QUEUED_MS)
            else:
                Clip.objects.filter(pk=clip.pk).update(due_ms=now_ms + QUEUED_MS)
        except WrongStateError:
            continue  # somebody else was faster
        queue_cut(clip.pk, 0.0)


@shared_task(name="clips.tasks.keep_limits", ignore_result=True)
def keep_limits() -> None:
    limits.keep_limits()


@shared_task(name="clips.tasks.clean_up", ignore_result=True)
def clean_up() -> None:
    catalog.clean_up()


def overdue_at(end_ms: int) -> int:
    return end_ms + OVERDUE_MS


def queue_cut(clip_pk: uuid.UUID, wait_s: float) -> None:
    """Never raises for a dead broker: the row is there, and `cut_overdue` finds it."""
    queueing.queue(cut_clip, (str(clip_pk),), countdown_s=wait_s)


def _work_on(clip: Clip) -> None:
    """With the clip's lock held."""
    now_ms = _now_ms()
    if now_ms < clip.end_ms:  # the clock was set back, or somebody was early
        queue_cut(clip.pk, (clip.end_ms - now_ms) / 1000 + SETTLE_SECONDS)
        return
    try:
        is_begun = clip.state == State.CUTTING  # by a worker that was killed
        if clip.device is not None and not is_begun and not _has_arrived(clip, clip.device):
            clip.become(State.RECORDING, due_ms=_now_ms() + OVERDUE_MS)
            queue_cut(clip.pk, LATE_SECONDS)
            return
        if clip.attempts >= MAX_CUTS:
            _fail(clip, "Cutting it was broken off too often.", is_final=True)
            return
        # Counted before, so that a clip that kills its worker is not tried for ever.
        clip.become(State.CUTTING, attempts=clip.attempts + 1, due_ms=_now_ms() + QUEUED_MS)
        cutter.cut(clip)
    except WrongStateError:
        # It was deleted meanwhile: what was published for it goes with its row.
        logger.info("The clip %r is not wanted any more", clip.name)
    except NoFootageError as error:
        _fail(clip, str(error), is_final=True)
    except (ClipError, RecordingError) as error:
        _fail(clip, str(error))
    except OSError as error:
        _fail(clip, f"The disk refuses the clip: {error.strerror or error}.")
    except Exception as error:  # the edge of the worker's loop: a clip must not hang for ever
        logger.exception("The clip %r could not be cut", clip.name)
        _fail(clip, f"It could not be cut ({type(error).__name__}).")


def _has_arrived(clip: Clip, device: Device) -> bool:
    """Waits a moment for a camera that delivers; False for one that will deliver later."""
    while True:
        waited_ms = _now_ms() - clip.end_ms
        patience_ms = arrival.patience_ms(device, clip.end_ms)
        if waited_ms >= patience_ms:
            return True
        if waited_ms >= arrival.STREAMING_MS:
            return False
        time.sleep(POLL_SECONDS)  # what arrives is in a file another process writes


def _fail(clip: Clip, reason: str, *, is_final: bool = False) -> None:
    is_over = is_final or not 0 < clip.attempts <= len(RETRY_MS)
    due_ms = None if is_over else _now_ms() + RETRY_MS[clip.attempts - 1]
    logger.warning("The clip %r failed: %s", clip.name, reason)
    try:
        clip.become(State.FAILED, reason=reason[:300], due_ms=due_ms)
    except WrongStateError:
        logger.info("The clip %r is not wanted any more", clip.name)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
