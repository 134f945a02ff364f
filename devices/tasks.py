"""Celery's doors: history is not kept for ever, what is switched off is not taken any more, and
firmware goes on to the next cameras."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from devices.history import trim
from devices.models import Source
from devices.push import close_connection
from devices.updates_steps import step_all


@shared_task(ignore_result=True)
def trim_history() -> None:
    trim(now=timezone.now())


@shared_task(ignore_result=True)
def roll_out() -> None:
    """Every ten seconds; run twice at once, the second finds nothing to do."""
    step_all(now=timezone.now())


@shared_task(ignore_result=True)
def show_out(device_pk: int) -> None:
    """Some seconds after a source was switched off: its agent has ended by itself, or hangs."""
    if not Source.objects.filter(device=device_pk, is_enabled=True).exists():
        close_connection(device_pk, reason="source switched off")
