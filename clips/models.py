"""Clips: the minute around a moment, kept apart from the recordings it was cut from.

A clip's file, thumbnail and sidecar (`clips.files`) are its own, so what happens to the recordings
never touches it. All `_ms` fields are epoch milliseconds (UTC).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone

from clips.exceptions import WrongStateError
from devices.models import Device
from devices.permissions import has_role

MAX_SIDE_SECONDS = 300
MAX_SPAN_MS = 3_600_000
MAX_SHARE_HOURS = 30 * 24


class State(models.TextChoices):
    """What becomes of a clip; `may_become` is the whole of it and everything else is refused."""

    PENDING = "pending", "Waiting to be cut"
    RECORDING = "recording", "Its end is still being recorded"
    CUTTING = "cutting", "Being cut"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"

    def may_become(self, state: State) -> bool:
        return state in _NEXT[self]


_NEXT: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.RECORDING, State.CUTTING, State.FAILED}),
    State.RECORDING: frozenset({State.RECORDING, State.CUTTING, State.FAILED}),
    # Cutting again: the worker was killed, and another one has taken the clip's lock.
    State.CUTTING: frozenset({State.CUTTING, State.READY, State.FAILED}),
    State.READY: frozenset({State.FAILED}),  # its file is gone
    State.FAILED: frozenset({State.PENDING}),
}
UNFINISHED = (State.PENDING, State.RECORDING, State.CUTTING)


class ClipQuerySet(models.QuerySet["Clip"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> ClipQuerySet:
        """Clips of the cameras a person may see; those of removed cameras are the admins'."""
        visible = models.Q(device__in=Device.objects.for_user(user))
        if has_role(user, "admin"):
            visible |= models.Q(device=None)
        return self.filter(visible)

    def kept(self) -> ClipQuerySet:
        return self.filter(deleting_since=None)

    def deletable(self) -> ClipQuerySet:
        """What a limit may take: never a locked one, nor one that is still to come."""
        return self.kept().filter(is_locked=False, state__in=(State.READY, State.FAILED))

    def overlapping(self, start_ms: int, end_ms: int) -> ClipQuerySet:
        return self.filter(start_ms__lt=end_ms, end_ms__gt=start_ms)

    def due(self, now_ms: int) -> ClipQuerySet:
        """What somebody has to work on by now: not finished, or failed and to be tried again."""
        return self.kept().filter(due_ms__lte=now_ms).exclude(state=State.READY)


class Clip(models.Model):
    """One camera's video of `[start_ms, end_ms)`: asked for first, cut when the window is over."""

    class Kind(models.TextChoices):
        MOMENT = "moment", "Around a moment"
        SPAN = "span", "A span of the past"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A camera may go; what a person kept of it stays.
    device = models.ForeignKey(Device, null=True, on_delete=models.SET_NULL, related_name="clips")
    device_mac = models.CharField(max_length=17, help_text="survives the camera's row")
    device_label = models.CharField(max_length=80, help_text="the camera's name at that time")
    group = models.UUIDField(default=uuid.uuid4, db_index=True, help_text="asked for together")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.MOMENT)
    trigger_ms = models.BigIntegerField(null=True, help_text="of a moment; a span has none")
    start_ms = models.BigIntegerField(help_text="of the window that was asked for")
    end_ms = models.BigIntegerField()
    actual_start_ms = models.BigIntegerField(null=True, help_text="wall time of the first frame")
    actual_end_ms = models.BigIntegerField(null=True, help_text="when the last frame ends")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    reason = models.CharField(
        max_length=300, blank=True, help_text="why it failed; of a ready one, what is missing in it"
    )
    name = models.CharField(max_length=120)
    note = models.TextField(max_length=4000, blank=True)
    is_locked = models.BooleanField(default=False, help_text="never deleted by a limit")
    size_bytes = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0, help_text="media time: gaps are not in it")
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    codecs = models.CharField(max_length=60, blank=True, help_text="RFC 6381")
    has_audio = models.BooleanField(default=False)
    has_thumbnail = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=150, blank=True, help_text="a person or a program")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="cuts begun in a row")
    due_ms = models.BigIntegerField(
        null=True, help_text="when the beat task takes it up if nobody else has; null: never"
    )
    ready_at = models.DateTimeField(null=True, blank=True)
    deleting_since = models.DateTimeField(null=True, blank=True)

    objects = ClipQuerySet.as_manager()

    class Meta:
        ordering = ("-start_ms", "-created_at", "pk")
        indexes = (
            models.Index(fields=("-start_ms", "-created_at"), name="clip_start"),
            models.Index(fields=("device", "-start_ms"), name="clip_device_start"),
            models.Index(fields=("due_ms",), name="clip_due"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=State.values), name="clip_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(end_ms__gt=models.F("start_ms")), name="clip_window_not_empty"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def trigger_at(self) -> datetime | None:
        return None if self.trigger_ms is None else moment(self.trigger_ms)

    @property
    def starts_at(self) -> datetime:
        return moment(self.start_ms)

    @property
    def device_name(self) -> str:
        """As the camera is called now; costs a query where `device` is not joined."""
        return self.device.name if self.device else self.device_label

    @property
    def is_ready(self) -> bool:
        return self.state == State.READY

    def become(self, state: State, **fields: Any) -> None:
        """Changes the row, if it still is in the state that this object was read in.

        Raises WrongStateError where the step is not allowed, or was taken by somebody else.
        """
        before = State(self.state)
        if not before.may_become(state):
            raise WrongStateError(before, state)
        rows = Clip.objects.kept().filter(pk=self.pk, state=before)
        if not rows.update(state=state, **fields):
            raise WrongStateError(before, state)
        for name, value in {"state": state, **fields}.items():
            setattr(self, name, value)


def moment(epoch_ms: int) -> datetime:
    seconds, rest_ms = divmod(epoch_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=1000 * rest_ms)


class ShareQuerySet(models.QuerySet["Share"]):
    def working(self, at: datetime) -> ShareQuerySet:
        return self.filter(revoked_at=None, expires_at__gt=at)


class Share(models.Model):
    """A link that shows one clip to whoever has it; only the SHA-256 of its token is kept."""

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="shares")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=150, blank=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ShareQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"link to {self.clip_id} until {self.expires_at:%Y-%m-%d %H:%M}"


class CameraWindow(models.Model):
    """How much one camera's clips hold before and after the moment, where not as the policy says."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, related_name="clip_window")
    before_seconds = models.PositiveIntegerField()
    after_seconds = models.PositiveIntegerField()

    class Meta:
        ordering = ("device",)

    def __str__(self) -> str:
        return f"{self.before_seconds} s before, {self.after_seconds} s after"


class ClipPolicy(models.Model):
    """One row (pk 1), edited in the settings page."""

    before_seconds = models.PositiveIntegerField(default=30)
    after_seconds = models.PositiveIntegerField(default=30)
    max_count = models.PositiveIntegerField(default=1000, help_text="0: no limit")
    max_bytes = models.BigIntegerField(default=10 * 1024**3, help_text="0: no limit")
    legacy_camera = models.ForeignKey(
        Device,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="the camera that the older clip clients mean",
    )

    class Meta:
        verbose_name_plural = "clip policy"

    def __str__(self) -> str:
        return f"{self.before_seconds} s before, {self.after_seconds} s after"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)
