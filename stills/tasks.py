"""Celery's doors into captures, on the queue of the machine that has the camera.

What is to be taken is a row first. A capture runs in a thread of its own: it mostly waits for a
camera, may take an hour, and the worker's few threads have recordings to package meanwhile.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from celery import Task, shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from stills import analysis, looking, taking
from stills.models import Analysis

logger = logging.getLogger(__name__)

ANALYSES_AT_ONCE = 20
# kombu tries for seconds before it gives up, and callers answer a person.
BROKER_PAUSE_SECONDS = 10.0
_next_try = 0.0  # monotonic


@shared_task(name="stills.tasks.take_next", ignore_result=True)
def take_next() -> None:
    taking.start_due()


@shared_task(name="stills.tasks.take_overdue", ignore_result=True)
def take_overdue() -> None:
    """Every ten seconds: what a worker, the broker or the machine lost is found again."""
    taking.put_in_order()
    taking.start_due()
    analysis.put_in_order(timezone.now())
    for pk in Analysis.objects.filter(state=Analysis.State.QUEUED).values_list("pk", flat=True)[
        :ANALYSES_AT_ONCE
    ]:
        analysis.run(pk)


@shared_task(name="stills.tasks.look_at_camera", ignore_result=True)
def look_at_camera() -> None:
    looking.look()


@shared_task(name="stills.tasks.analyse", ignore_result=True)
def analyse(analysis_id: str) -> None:
    analysis.run(uuid.UUID(analysis_id))


def queue_next() -> bool:
    return _queue(take_next)


def queue_look() -> bool:
    return _queue(look_at_camera)


def queue_analysis(analysis_pk: uuid.UUID) -> bool:
    return _queue(analyse, str(analysis_pk))


def _queue(task: Task[Any, Any], *arguments: str) -> bool:
    """False while the broker is away; never raises for that, and asks it only now and then."""
    global _next_try  # noqa: PLW0603  of the process, as the broker is
    if time.monotonic() < _next_try:
        return False
    try:
        task.apply_async(arguments, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("The broker does not answer, captures wait: %s", error)
        _next_try = time.monotonic() + BROKER_PAUSE_SECONDS
        return False
    return True
