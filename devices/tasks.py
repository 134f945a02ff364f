"""Celery's doors: history is not kept for ever, and what is switched off is not taken any more."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from devices.history import trim
from devices.models import Source
from devices.push import close_connection


@shared_task(ignore_result=True)
def trim_history() -> None:
    trim(now=timezone.now())


@shared_task(ignore_result=True)
def show_out(device_pk: int) -> None:
    """Some seconds after a source was switched off: its agent has ended by itself, or hangs."""
    if not Source.objects.filter(device=device_pk, is_enabled=True).exists():
        close_connection(device_pk, reason="source switched off")
