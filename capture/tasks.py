"""Celery's doors into capture: a primary key in, one call out, safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from capture import source_tests


@shared_task(name="capture.tasks.run_source_test", ignore_result=True)
def run_source_test(test_pk: int) -> None:
    source_tests.start(test_pk)


@shared_task(name="capture.tasks.forget_source_tests", ignore_result=True)
def forget_source_tests() -> None:
    source_tests.forget_outdated(now=timezone.now())
