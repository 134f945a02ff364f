"""Firmware that cameras can be given, whose signature is trusted, and how far each roll-out is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


class UpdateKey(models.Model):
    """A public key that firmware may be signed with; the private one is never on the recorder."""

    name = models.CharField(max_length=80)
    short_id = models.CharField(
        max_length=16, unique=True, help_text="first 16 hex digits of its SHA-256, as cameras say"
    )
    public_pem = models.TextField()
    added_by = models.CharField(max_length=150, blank=True)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return f"{self.name} ({self.short_id})"


class FirmwareImage(models.Model):
    """One signed file in the catalogue."""

    board = models.CharField(max_length=32)
    version = models.CharField(max_length=32, help_text="MAJOR.MINOR.PATCH")
    size_bytes = models.PositiveIntegerField(help_text="of the whole file, header and all")
    sha256 = models.CharField(max_length=64, help_text="of the image, as its header says")
    signer = models.CharField(max_length=16, help_text="short id of the key that signed it")
    notes = models.TextField(blank=True, max_length=2000)
    uploaded_by = models.CharField(max_length=150, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-uploaded_at", "-pk")
        constraints = (
            models.UniqueConstraint(fields=("board", "version", "signer"), name="firmware_once"),
        )

    def __str__(self) -> str:
        return f"{self.board} {self.version}"

    @property
    def path(self) -> Path:
        """Made of checked parts only: small letters, digits, dots and dashes."""
        return firmware_directory() / f"{self.board}_{self.version}_{self.signer}.roost"


def firmware_directory() -> Path:
    return Path(settings.DATA_DIR) / "firmware"


class Rollout(models.Model):
    """One image on its way to all cameras of its board, stage by stage."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        FINISHED = "finished", "Finished"
        STOPPED = "stopped", "Stopped"

    image = models.ForeignKey(FirmwareImage, on_delete=models.PROTECT, related_name="rollouts")
    board = models.CharField(max_length=32, help_text="its image's; one at a time may be under way")
    stages = models.JSONField(help_text='[{"count": 1, "soak_minutes": 60}, {"percent": 100, …}]')
    stage = models.PositiveIntegerField(default=0, help_text="index of the one under way")
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=300, blank=True, help_text="why it is paused")
    stage_began_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(
        null=True, blank=True, help_text="since when the stage's cameras are through"
    )
    started_by = models.CharField(max_length=150, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=("board",),
                condition=models.Q(state__in=("running", "paused")),
                name="rollout_one_a_board",
            ),
        )

    def __str__(self) -> str:
        return f"{self.image_id} to {self.board}, {self.state}"

    @property
    def soak(self) -> timedelta:
        """How long the stage's cameras must have run well before the next stage begins."""
        return timedelta(minutes=int(self.stages[self.stage]["soak_minutes"]))

    @property
    def is_last_stage(self) -> bool:
        return self.stage >= len(self.stages) - 1


UNDER_WAY = (Rollout.State.RUNNING, Rollout.State.PAUSED)


class RolloutDeviceQuerySet(models.QuerySet["RolloutDevice"]):
    def of_stages_until(self, stage: int) -> RolloutDeviceQuerySet:
        return self.filter(stage__lte=stage)

    def unsettled(self) -> RolloutDeviceQuerySet:
        return self.filter(state__in=UNSETTLED)


class RolloutDevice(models.Model):
    """One camera of a roll-out."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for its turn"
        OTHER_KEY = "other_key", "Has another update key"
        ANNOUNCED = "announced", "Was told"
        DOWNLOADING = "downloading", "Downloads it"
        INSTALLED = "installed", "Installed it and restarts"
        UPDATED = "updated", "Runs it"
        FAILED = "failed", "Failed"
        ROLLED_BACK = "rolled_back", "Went back to its old firmware"
        LOST = "lost", "Did not come back"

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="devices")
    device = models.ForeignKey("devices.Device", on_delete=models.CASCADE, related_name="updates")
    stage = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    detail = models.CharField(max_length=300, blank=True)
    from_version = models.CharField(max_length=32, blank=True)
    at = models.DateTimeField(default=timezone.now, help_text="since when it is in this state")
    announced_at = models.DateTimeField(null=True, blank=True)

    objects = RolloutDeviceQuerySet.as_manager()

    class Meta:
        ordering = ("stage", "pk")
        constraints = (
            models.UniqueConstraint(fields=("rollout", "device"), name="rollout_device_once"),
        )

    def __str__(self) -> str:
        return f"{self.device_id} {self.state}"

    def become(self, state: str, detail: str, at: Any) -> None:
        """Saves it; `at` stays when the state does."""
        if state != self.state:
            self.at = at
        self.state, self.detail = state, detail[:300]
        self.save(update_fields=["state", "detail", "at"])


_State = RolloutDevice.State
UNSETTLED = (_State.WAITING, _State.ANNOUNCED, _State.DOWNLOADING, _State.INSTALLED)
BROKEN = (_State.FAILED, _State.ROLLED_BACK, _State.LOST)
