from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from devices import history
from devices.models import DeviceEvent, TelemetrySample
from devices.tasks import trim_history
from tests.factories import make_device

pytestmark = pytest.mark.django_db


def test_what_is_too_old_goes_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 2)
    device = make_device()
    now = timezone.now()
    for days in (1, 29, 31, 32, 33, 89, 91):
        at = now - timedelta(days=days)
        TelemetrySample.objects.create(device=device, at=at)
        DeviceEvent.objects.create(device=device, at=at, kind="connected")
    assert history.trim(now=now) == 5 + 1
    assert TelemetrySample.objects.count() == 2
    assert DeviceEvent.objects.count() == 6
    assert history.trim(now=now) == 0


def test_beat_starts_it_by_the_name_that_the_worker_knows() -> None:
    names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert trim_history.name in names
