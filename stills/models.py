"""Captures: pictures, short videos and raw pictures that were taken on request.

A row comes first, then the file (`stills.files`); what is being taken is a row, too, so that a
restart forgets nothing.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone

from devices.models import Device
from devices.permissions import role_of
from stills.exceptions import WrongStateError


class Kind(models.TextChoices):
    JPG = "jpg", "Picture"
    MP4 = "mp4", "Video"
    H264 = "h264", "Video without a container"
    DNG = "dng", "Raw picture"


class State(models.TextChoices):
    """What becomes of a capture; `may_become` is the whole of it and everything else is refused."""

    WAITING = "waiting", "Waiting for the camera"
    TAKING = "taking", "Being taken"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    def may_become(self, state: State) -> bool:
        return state in _NEXT[self]


_NEXT: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.TAKING, State.FAILED, State.CANCELLED}),
    State.TAKING: frozenset({State.READY, State.FAILED, State.CANCELLED}),
    State.READY: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
UNFINISHED = (State.WAITING, State.TAKING)


class CaptureQuerySet(models.QuerySet["Capture"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> CaptureQuerySet:
        """Those of the cameras a person may see. This machine's own camera is no device that could
        be given to a viewer: its captures are the operators', those of removed cameras the admins'.
        """
        visible = models.Q(device__in=Device.objects.for_user(user))
        match role_of(user):
            case "admin":
                visible |= models.Q(device=None)
            case "operator":
                visible |= models.Q(device=None, device_label="")
        return self.filter(visible)

    def ready(self) -> CaptureQuerySet:
        return self.filter(state=State.READY)

    def waiting(self) -> CaptureQuerySet:
        """In the order in which they were asked for."""
        return self.filter(state=State.WAITING).order_by("created_at", "pk")

    def expired(self, at: datetime) -> CaptureQuerySet:
        """Whoever asked has gone before it began."""
        return self.filter(state=State.WAITING, expires_at__lt=at)

    def unfinished(self) -> CaptureQuerySet:
        return self.filter(state__in=UNFINISHED)


class Capture(models.Model):
    """One file that was asked for: of this machine's own camera (`device` null, unless it also
    streams as a device), or of what a camera streams.
    """

    class System(models.TextChoices):
        OWN = "own", "Roost"
        STILLS = "stills", "Camera-capture client"
        NODE = "node", "Camera node client"

    class Origin(models.TextChoices):
        CAMERA = "camera", "Taken by the camera"
        STREAM = "stream", "From what the camera streams"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    device = models.ForeignKey(
        Device, null=True, blank=True, on_delete=models.SET_NULL, related_name="captures"
    )
    device_label = models.CharField(max_length=80, blank=True, help_text="its name at that time")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    system = models.CharField(max_length=8, choices=System.choices, default=System.OWN)
    origin = models.CharField(max_length=8, choices=Origin.choices, blank=True)
    wanted_name = models.CharField(max_length=150, help_text="a taken name gets a suffix")
    filename = models.CharField(max_length=160, unique=True, null=True, blank=True)
    width = models.PositiveIntegerField(help_text="asked for; once ready, what came of it")
    height = models.PositiveIntegerField()
    fps = models.PositiveIntegerField()
    duration_ms = models.PositiveIntegerField(help_text="asked for")
    size_bytes = models.BigIntegerField(default=0)
    has_preview = models.BooleanField(default=False)
    code = models.CharField(max_length=32, blank=True, help_text="why it failed, for programs")
    reason = models.CharField(max_length=300, blank=True, help_text="why it failed")
    contract_reason = models.CharField(max_length=300, blank=True)
    lease = models.CharField(
        max_length=64, blank=True, help_text="of the camera, where whoever asked holds it"
    )
    taken_by = models.CharField(max_length=160, blank=True, help_text="node, process, its start")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=150, blank=True, help_text="a person or a program")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="nobody waits for it after that, if it did not begin"
    )

    objects = CaptureQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(fields=("-created_at",), name="capture_created"),
            models.Index(fields=("state", "created_at"), name="capture_state"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=State.values), name="capture_state_known"
            ),
        )

    def __str__(self) -> str:
        return self.filename or self.wanted_name

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED

    @property
    def is_video(self) -> bool:
        return self.kind in (Kind.MP4, Kind.H264)

    def progress(self, now: datetime) -> float:
        """0 to 1, by the clock: a camera does not say how far it is."""
        if self.state == State.READY:
            return 1.0
        if self.state != State.TAKING or self.started_at is None:
            return 0.0
        expected = timedelta(milliseconds=max(1_000, self.duration_ms))
        return min(0.99, max(0.0, (now - self.started_at) / expected))

    def become(self, state: State, **fields: Any) -> None:
        """Changes the row, if it still is in the state that this object was read in.

        Raises WrongStateError where the step is not allowed, or was taken by somebody else.
        """
        before = State(self.state)
        if not before.may_become(state):
            raise WrongStateError(before, state)
        if state not in UNFINISHED:
            fields["finished_at"] = timezone.now()
        if not Capture.objects.filter(pk=self.pk, state=before).update(state=state, **fields):
            raise WrongStateError(before, state)
        for name, value in {"state": state, **fields}.items():
            setattr(self, name, value)


class NodeCamera(models.Model):
    """What the worker on one machine last saw of that machine's camera."""

    node_id = models.CharField(max_length=64, unique=True)
    backend = models.CharField(max_length=16, blank=True)
    # {"address", "cameras": [[number, name]], "checks": [{"name", "is_ok", "sentence", "advice"}]}
    found = models.JSONField(default=dict)
    is_there = models.BooleanField(default=False)
    sentence = models.CharField(max_length=300, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    last_capture_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("node_id",)

    def __str__(self) -> str:
        return self.node_id


class Analysis(models.Model):
    """What was found out about one captured file."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    capture = models.ForeignKey(
        Capture, null=True, blank=True, on_delete=models.CASCADE, related_name="analyses"
    )
    filename = models.CharField(max_length=160)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    result = models.JSONField(default=dict, help_text="by detector: see docs/stills.md")
    reason = models.CharField(max_length=300, blank=True, help_text="why it failed")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-pk")
        verbose_name_plural = "analyses"

    def __str__(self) -> str:
        return f"{self.filename}: {self.get_state_display()}"


class CameraPicture(models.Model):
    """The capture that stands for a camera while it shows nothing."""

    device = models.OneToOneField(Device, on_delete=models.CASCADE, related_name="picture")
    capture = models.ForeignKey(Capture, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering = ("device",)

    def __str__(self) -> str:
        return f"picture of {self.device_id}"
