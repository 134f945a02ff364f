"""Tests of sources that a person makes before saving one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models

from devices.models import Source

# A test is over after 15 s; one that says nothing for so long was never carried out.
OVERDUE_AFTER = timedelta(seconds=30)
KEPT_FOR = timedelta(hours=1)


class SourceTestQuerySet(models.QuerySet["SourceTest"]):
    def of(self, person: Any) -> SourceTestQuerySet:
        """Those this person made; the environment's token, which is no row, has those of nobody."""
        return self.filter(person=person.pk)

    def under_way(self, at: datetime) -> SourceTestQuerySet:
        return self.filter(state=SourceTest.State.RUNNING, created_at__gt=at - OVERDUE_AFTER)

    def outdated(self, at: datetime) -> SourceTestQuerySet:
        return self.filter(created_at__lte=at - KEPT_FOR)


class SourceTest(models.Model):
    """One try of an address, and what came of it; kept for an hour, like its picture."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        OK = "ok", "It works"
        FAILED = "failed", "Failed"

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+"
    )
    is_local = models.BooleanField(default=True, help_text="the camera hangs on this machine")
    kind = models.CharField(max_length=16, choices=Source.Kind.choices)
    url = models.CharField(max_length=500, help_text="without user and password")
    username = models.CharField(max_length=120, blank=True)
    sealed_password = models.TextField(blank=True, help_text="empty once the test is over")
    rate_fps = models.FloatField(default=0.0)
    transport = models.CharField(max_length=8, default="tcp")
    wants_audio = models.BooleanField(default=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    stage = models.CharField(max_length=120, blank=True, help_text="how far it has come, in words")
    code = models.CharField(max_length=24, blank=True)
    sentence = models.CharField(max_length=300, blank=True)
    found = models.JSONField(default=dict)
    has_picture = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceTestQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.url}: {self.state}"

    def is_overdue(self, at: datetime) -> bool:
        return self.state == self.State.RUNNING and at - self.created_at >= OVERDUE_AFTER
