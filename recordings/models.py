"""Rows about what lies on disk. The files are the truth; `manage.py reindex` rebuilds these rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone

from devices.models import Device


class RecordingQuerySet(models.QuerySet["Recording"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> RecordingQuerySet:
        return self.filter(device__in=Device.objects.for_user(user))

    def overlapping(self, start: datetime, end: datetime) -> RecordingQuerySet:
        """Those with video in the half-open span [start, end)."""
        return self.filter(started_at__lt=end, ended_at__gt=start)

    def kept(self) -> RecordingQuerySet:
        return self.filter(deleting_since=None)

    def deletable(self) -> RecordingQuerySet:
        return self.kept().filter(is_locked=False)


class Recording(models.Model):
    """One hour file: fragmented MP4 that only grows (docs/design/recording.md)."""

    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="recordings")
    path = models.CharField(max_length=120, unique=True, help_text="below the recordings directory")
    date = models.DateField(help_text="local date of the hour")
    hour = models.PositiveSmallIntegerField(help_text="local hour, 0-23")
    started_at = models.DateTimeField(help_text="wall time of the first frame")
    ended_at = models.DateTimeField(help_text="wall time at which the last frame ends")
    size_bytes = models.BigIntegerField(help_text="whole fragments only; the file may be longer")
    duration_ms = models.BigIntegerField(help_text="media time: gaps are not in it")
    frame_count = models.BigIntegerField(default=0)
    init_bytes = models.PositiveIntegerField(help_text="length of ftyp+moov")
    codecs = models.CharField(max_length=60, help_text="RFC 6381, as in avc1.42c01f")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    fragment_index = models.BinaryField(
        default=bytes, help_text="12 bytes a fragment, see recordings.media.index"
    )
    is_locked = models.BooleanField(default=False, help_text="never deleted by retention")
    deleting_since = models.DateTimeField(null=True, blank=True)
    deleting_reason = models.CharField(
        max_length=16,
        blank=True,
        help_text="a Deletion.Reason, for a deletion that was interrupted",
    )

    objects = RecordingQuerySet.as_manager()

    class Meta:
        ordering = ("started_at", "pk")
        indexes = (
            models.Index(fields=("device", "started_at"), name="recording_device_start"),
            models.Index(fields=("device", "date"), name="recording_device_date"),
            models.Index(fields=("started_at",), name="recording_start"),
        )

    def __str__(self) -> str:
        return self.path


class Deletion(models.Model):
    """What retention or a person removed, and why; shown on the system page, kept 90 days."""

    class Reason(models.TextChoices):
        AGE = "age", "Older than the days to keep"
        BYTES = "bytes", "Over the storage limit"
        FREE_SPACE = "free_space", "The disk was nearly full"
        PERSON = "person", "Deleted by a person"
        MISSING = "missing", "The file was gone"

    at = models.DateTimeField(default=timezone.now)
    device = models.ForeignKey(Device, null=True, on_delete=models.SET_NULL, related_name="+")
    path = models.CharField(max_length=120)
    size_bytes = models.BigIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    detail = models.CharField(max_length=200, blank=True)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ("-at", "-pk")

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


class RecordingPolicy(models.Model):
    """How video is encoded and how long it is kept: one row (pk 1), edited in the settings page."""

    class Encoder(models.TextChoices):
        SOFTWARE = "software", "Software (libx264)"
        AUTO = "auto", "Hardware where it works, else software"

    retention_days = models.PositiveIntegerField(default=7)
    max_bytes = models.BigIntegerField(default=0, help_text="0: no limit")
    min_free_bytes = models.BigIntegerField(default=2 * 1024**3, help_text="free-space floor")
    encoder = models.CharField(max_length=16, choices=Encoder.choices, default=Encoder.SOFTWARE)
    preset = models.CharField(max_length=16, default="ultrafast")
    crf = models.PositiveSmallIntegerField(default=26)
    pre_roll_seconds = models.PositiveIntegerField(
        default=60, help_text="how long segments stay in the spool after they are packaged"
    )

    class Meta:
        verbose_name_plural = "recording policy"

    def __str__(self) -> str:
        return f"keep {self.retention_days} days"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)
