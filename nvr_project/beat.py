"""The beat scheduler: django-celery-beat's, with a sign of life in every round."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from nvr_project import heartbeat


class Scheduler(DatabaseScheduler):  # type: ignore[misc] # no types
    def tick(self, *args: Any, **kwargs: Any) -> float:
        heartbeat.touch()
        wait_s: float = super().tick(*args, **kwargs)
        return min(wait_s, heartbeat.EVERY_S)
