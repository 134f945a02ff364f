"""Celery's doors into captures, on the queue of the machine that has the camera.

What is to be taken is a row first. A capture runs in a thread of its own: it mostly waits for a
camera, may take an hour, and the worker's few threads have recordings to package meanwhile.
"""

from __future__ import annotations

import uuid

from celery import shared_task
from django.utils import timezone

from recordings import queueing
from stills import analysis, looking, taking
from stills.models import Analysis

ANALYSES_AT_ONCE = 20


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
    return queueing.queue(take_next, ())


def queue_look() -> bool:
    return queueing.queue(look_at_camera, ())


def queue_analysis(analysis_pk: uuid.UUID) -> bool:
    return queueing.queue(analyse, (str(analysis_pk),))
