"""Devices, their keys, what they reported and what happened to them."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken

from devices import firmware_models  # noqa: F401  its tables are this app's, too

# Every cold boot asks for one more key. Those that were never used are dead weight beyond these;
# so many, because a stranger who floods the door must not push out the key that a camera was
# given a second ago and has not used yet.
MAX_UNUSED_KEYS_PER_DEVICE = 100
LONGEST_PAUSE = timedelta(seconds=120)  # of a source: whoever asked for it may have been killed


def inactive_after() -> timedelta:
    """After so long without a word a camera is missing, even one that went to sleep."""
    return timedelta(hours=settings.NVR.inactive_hours)


class Presence(models.TextChoices):
    REGISTERED = "registered", "Registered"
    ONLINE = "online", "Online"
    STREAMING = "streaming", "Streaming"
    ASLEEP = "asleep", "Asleep"
    OFFLINE = "offline", "Offline"


CONNECTED = (Presence.ONLINE, Presence.STREAMING)


class Enrolment(models.TextChoices):
    PENDING = "pending", "Waiting for approval"
    APPROVED = "approved", "Approved"


class RegistrationMode(models.TextChoices):
    OPEN = "open", "Open"
    APPROVE = "approve", "By approval"
    CLOSED = "closed", "Closed"


# `sees_all_cameras` is the AUTH_TOKEN's, which is no row (devices.authentication).
_RIGHTS_TO_SEE_ALL = ("is_staff", "is_superuser", "sees_all_cameras")


class DeviceQuerySet(models.QuerySet["Device"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> DeviceQuerySet:
        """The one place that decides which cameras a person may see; everyone else gets 404."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        shown = self.filter(removing_since=None).exclude(_is_refused())
        if any(getattr(user, right, False) for right in _RIGHTS_TO_SEE_ALL):
            return shown
        return shown.filter(people=user.pk)

    def removing(self) -> DeviceQuerySet:
        """Given up by a person together with their video; `recordings.removal` ends it."""
        return self.exclude(removing_since=None)

    def refused(self) -> DeviceQuerySet:
        """Asked to join and were told no: shown nowhere else, and given no more keys."""
        return self.filter(_is_refused(), removing_since=None)

    def with_waiting(self) -> DeviceQuerySet:
        """Adds `is_waiting`: a person has to approve it before it may connect.

        True for a new device, and for a known one whose newest key waits, unless the camera is
        connected: then that key was asked for by somebody else and there is no hurry.
        """
        newest = DeviceKey.objects.usable().filter(device=models.OuterRef("pk"))
        return self.annotate(
            _newest_key=models.Subquery(newest.order_by("-pk").values("enrolment")[:1]),
            is_waiting=models.Case(
                models.When(enrolment=Enrolment.PENDING, then=True),
                models.When(presence__in=CONNECTED, then=False),
                models.When(_newest_key=Enrolment.PENDING, then=True),
                default=False,
                output_field=models.BooleanField(),
            ),
        )


def _is_refused() -> models.Q:
    """Never let in, and every key that it was given is revoked."""
    keys = DeviceKey.objects.filter(device=models.OuterRef("pk"))
    is_new = models.Q(enrolment=Enrolment.PENDING)
    return is_new & models.Exists(keys) & ~models.Exists(keys.usable())


class Device(models.Model):
    """One camera, known by its MAC address in whatever spelling it uses."""

    class Kind(models.TextChoices):
        ESP32 = "esp32", "ESP32-CAM"
        SIMULATED = "simulated", "Simulated camera"
        NETWORK = "network", "Network camera"
        USB = "usb", "USB camera"
        PI = "pi", "Raspberry Pi camera"

    mac = models.CharField(max_length=17, unique=True, help_text="AA:BB:CC:DD:EE:FF")
    registered_as = models.CharField(max_length=17, help_text="the spelling the device used")
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.ESP32)
    enrolment = models.CharField(
        max_length=16, choices=Enrolment.choices, default=Enrolment.APPROVED
    )
    presence = models.CharField(
        max_length=16, choices=Presence.choices, default=Presence.REGISTERED
    )
    presence_since = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(auto_now_add=True)
    connection_count = models.PositiveIntegerField(default=0)
    last_address = models.GenericIPAddressField(null=True, blank=True)
    position = models.PositiveIntegerField(default=0, help_text="place in the live grid")
    config = models.JSONField(default=dict, help_text="the six values of the camera's sensor")
    frame_rates = models.JSONField(
        null=True, blank=True, help_text="frames a second by situation (devices.framerates)"
    )
    firmware_version = models.CharField(max_length=32, blank=True, help_text="as it says: 1.2.0")
    firmware_board = models.CharField(max_length=32, blank=True, help_text="as it says: ai-thinker")
    update_key = models.CharField(
        max_length=16, blank=True, help_text="first 16 hex digits of its update key's SHA-256"
    )
    last_reset_reason = models.CharField(max_length=40, blank=True, help_text="why it booted last")
    people = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="cameras", help_text="who may see it"
    )

    removing_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="shown nowhere; goes when its video is gone",
    )

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name", "pk")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(presence__in=Presence.values), name="device_presence_known"
            ),
        )

    def __str__(self) -> str:
        return self.name or self.mac

    @property
    def directory(self) -> str:
        """Name of its folder below the spool and the recordings: AA-BB-CC-DD-EE-FF."""
        return self.mac.replace(":", "-")

    def is_inactive(self, at: datetime) -> bool:
        """Unseen for `inactive_after`: shown apart, its key stays good for ever."""
        return at - self.last_seen_at >= inactive_after()


class DeviceKeyQuerySet(models.QuerySet["DeviceKey"]):
    def usable(self) -> DeviceKeyQuerySet:
        return self.filter(revoked_at=None)

    def never_used(self) -> DeviceKeyQuerySet:
        return self.filter(last_used_at=None)


class DeviceKey(models.Model):
    """SHA-256 of a 64-character key; the key itself is shown to the device once and kept nowhere."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="keys")
    key_hash = models.CharField(max_length=64, unique=True)
    enrolment = models.CharField(
        max_length=16, choices=Enrolment.choices, default=Enrolment.APPROVED
    )
    issued_to = models.GenericIPAddressField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = DeviceKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"key of {self.device_id} issued {self.created_at:%Y-%m-%d %H:%M}"


class Node(models.Model):
    """A machine that runs the capture agent and pulls cameras in; its key is kept as a hash."""

    name = models.CharField(max_length=80, unique=True)
    key_hash = models.CharField(max_length=64, unique=True)
    is_local = models.BooleanField(default=False, help_text="the recorder's own agent")
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    last_address = models.GenericIPAddressField(null=True, blank=True)
    cameras = models.JSONField(default=dict, help_text="the USB and Pi cameras it has, as it says")

    class Meta:
        ordering = ("-is_local", "name")
        constraints = (
            models.UniqueConstraint(
                fields=("is_local",), condition=models.Q(is_local=True), name="node_one_local"
            ),
        )

    def __str__(self) -> str:
        return self.name


class SourceQuerySet(models.QuerySet["Source"]):
    def for_user(self, user: AbstractBaseUser | AnonymousUser) -> SourceQuerySet:
        return self.filter(device__in=Device.objects.for_user(user))


class Source(models.Model):
    """Where the video of a camera comes from that must be pulled, and how that goes."""

    class Kind(models.TextChoices):
        RTSP = "rtsp", "RTSP"
        HTTP = "http", "HTTP"
        USB = "usb", "USB (V4L2)"
        PICAMERA = "picamera", "Raspberry Pi camera"
        SIMULATED = "simulated", "Simulated"

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for its node"
        CONNECTING = "connecting", "Connecting"
        RUNNING = "running", "Running"
        RETRYING = "retrying", "Failed, is tried again"
        OFF = "off", "Switched off"

    device = models.OneToOneField(Device, on_delete=models.CASCADE, related_name="source")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="sources")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    url = models.CharField(max_length=500, help_text="without user and password")
    username = models.CharField(max_length=120, blank=True)
    sealed_password = models.TextField(blank=True, help_text="encrypted with the secret key")
    rate_fps = models.FloatField(default=0.0, help_text="of pictures that are asked for one by one")
    transport = models.CharField(max_length=8, default="tcp", help_text="of RTSP")
    wants_audio = models.BooleanField(default=True)
    is_enabled = models.BooleanField(default=True)
    environment_name = models.CharField(
        max_length=40, blank=True, help_text="the variable that asked for it, as RTSP_URL"
    )
    version = models.PositiveIntegerField(default=1, help_text="rises with every change above")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    code = models.CharField(max_length=24, blank=True, help_text="of capture.agent's SourceError")
    sentence = models.CharField(max_length=300, blank=True)
    state_since = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    found = models.JSONField(default=dict, help_text="codec, width, height, fps, audio, sentence")
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="not taken in before: its camera is needed otherwise"
    )
    pause_reason = models.CharField(max_length=300, blank=True)

    objects = SourceQuerySet.as_manager()

    class Meta:
        ordering = ("device",)

    def __str__(self) -> str:
        return self.url

    def state_now(self, alive_nodes: Container[int]) -> str:
        """The row is what its node said last; of a node that is silent it is history."""
        if not self.is_enabled:
            return self.State.OFF.value
        return self.state if self.node_id in alive_nodes else self.State.WAITING.value

    def is_paused(self, now: datetime) -> bool:
        """Ends by itself. One that would last longer than any may is none: the clock was set back."""
        until = self.paused_until
        return until is not None and now < until <= now + LONGEST_PAUSE

    def code_now(self, alive_nodes: Container[int]) -> str:
        return self.code if self.state_now(alive_nodes) == self.State.RETRYING else ""


class TelemetrySample(models.Model):
    """One heartbeat, thinned to at most one row a minute and device."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="telemetry")
    at = models.DateTimeField()
    uptime_ms = models.BigIntegerField(null=True)
    free_heap_bytes = models.BigIntegerField(null=True)
    boot_count = models.BigIntegerField(null=True)
    rssi_dbm = models.IntegerField(null=True)
    drops = models.BigIntegerField(null=True, help_text="frames the camera gave up since its boot")
    temperature_c = models.FloatField(null=True, help_text="of its chip")
    battery_mv = models.IntegerField(null=True)
    received_fps = models.FloatField(default=0.0)
    received_bytes_per_second = models.FloatField(default=0.0)
    dropped_frames = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-at",)
        indexes = (models.Index(fields=("device", "-at"), name="telemetry_device_at"),)

    def __str__(self) -> str:
        return f"{self.device_id} at {self.at:%H:%M:%S}"


class DeviceEvent(models.Model):
    """What happened to a camera, in the words of the timeline and the camera page."""

    class Kind(models.TextChoices):
        REGISTERED = "registered", "Registered"
        CONNECTED = "connected", "Connected"
        DISCONNECTED = "disconnected", "Disconnected"
        STALLED = "stalled", "Stalled"
        PAUSED = "paused", "Paused"
        ASLEEP = "asleep", "Went to sleep"
        BOOTED = "booted", "Started"
        CONFIG = "config", "Configuration changed"
        COMMAND = "command", "Command sent"
        UPDATE = "update", "Firmware update"
        ERROR = "error", "Error reported"
        LIMIT = "limit", "Limit exceeded"

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    detail = models.CharField(max_length=300, blank=True)
    rssi_dbm = models.IntegerField(null=True, help_text="its signal when it was heard last")

    class Meta:
        ordering = ("-at", "-pk")
        indexes = (models.Index(fields=("device", "-at"), name="event_device_at"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()


class EnrolmentPolicy(models.Model):
    """Who may register: one row (pk 1), edited in the settings page."""

    mode = models.CharField(
        max_length=8, choices=RegistrationMode.choices, default=RegistrationMode.OPEN
    )
    max_devices = models.PositiveIntegerField(default=50)

    class Meta:
        verbose_name_plural = "enrolment policy"

    def __str__(self) -> str:
        return f"registration {self.mode}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox is not typed
    """A program's way in, with the rights of the person who made it; only a hash is kept."""

    digest = models.CharField(max_length=128, unique=True)  # knox makes it the primary key
    name = models.CharField(max_length=80)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return self.name
