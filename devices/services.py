"""What may be asked of devices, and the only writer of their rows.

Synchronous: call from a thread (`database_sync_to_async`), never from a running event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from devices import livestate
from devices.exceptions import (
    BadConfig,
    DeviceHasRecordings,
    NotConnected,
    NotDelivered,
    RegistrationRefused,
    SettingIsFixed,
    UnknownDevice,
)
from devices.framerates import FrameRates, config_message, update_frame_rates
from devices.keys import SIMULATED_PREFIX, is_key, key_hash, new_key, normalise_mac
from devices.models import (
    MAX_UNUSED_KEYS_PER_DEVICE,
    Device,
    DeviceEvent,
    DeviceKey,
    Enrolment,
    EnrolmentPolicy,
    RegistrationMode,
    Source,
)
from devices.push import close_connection, push
from devices.reports import (
    RECORDER_GONE,
    RECORDER_STOPPED,
    CameraFacts,
    PresenceChange,
    TelemetryReport,
    mark_disconnected,
    record_event,
    record_facts,
    record_presence,
    record_registration,
    record_telemetry,
)
from devices.sensor import DEFAULT_CONFIG, validate_config

__all__ = [
    "COMMANDS",
    "RECORDER_GONE",
    "RECORDER_STOPPED",
    "CameraFacts",
    "Identity",
    "Policy",
    "PresenceChange",
    "Registration",
    "TelemetryReport",
    "approve",
    "delete_device",
    "identify",
    "mark_disconnected",
    "note_use",
    "policy",
    "record_event",
    "record_facts",
    "record_presence",
    "record_telemetry",
    "register",
    "remove_device",
    "revoke_key",
    "send_command",
    "update_config",
    "update_device",
    "update_frame_rates",
    "update_policy",
]

logger = logging.getLogger(__name__)

COMMANDS = ("start_streaming", "stop_streaming", "reboot", "sleep")
# Writing every use down would cost a camera that reconnects each second a row write a second.
_NOTE_USE_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may register; `is_mode_fixed` where the environment has decided."""

    mode: str
    max_devices: int
    is_mode_fixed: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """`key` is in clear here and nowhere else: it is given to the device and forgotten."""

    device: Device
    key: str
    is_pending: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """The device behind a key. `is_pending`: a person has to approve it first, let it not in.

    `is_agent`: a capture agent speaks for it; `key_pk` is then minus the node's number, which is
    no device key's.
    """

    device_pk: int
    key_pk: int
    mac: str
    directory: str
    name: str
    config: dict[str, Any]
    is_pending: bool
    used_at: datetime | None = None  # when the use of the key was noted last
    is_agent: bool = False
    frame_rates: FrameRates | None = None


def policy() -> Policy:
    row = EnrolmentPolicy.objects.filter(pk=1).first() or EnrolmentPolicy()
    return _policy_of(row)


def update_policy(*, mode: str | None = None, max_devices: int | None = None) -> Policy:
    """Raises SettingIsFixed for a mode that NVR_REGISTRATION decides. Values come validated."""
    if mode is not None and settings.NVR.registration is not None:
        raise SettingIsFixed("NVR_REGISTRATION decides who may register")
    with transaction.atomic():
        row, _ = EnrolmentPolicy.objects.select_for_update().get_or_create(pk=1)
        row.mode = row.mode if mode is None else mode
        row.max_devices = row.max_devices if max_devices is None else max_devices
        row.save()
    return _policy_of(row)


def _policy_of(row: EnrolmentPolicy) -> Policy:
    fixed = settings.NVR.registration
    return Policy(mode=fixed or row.mode, max_devices=row.max_devices, is_mode_fixed=bool(fixed))


def register(*, mac: object, address: str | None = None) -> Registration:
    """A key for a camera that asked for one: always a new one, and none is ever taken away.

    Raises BadMac, and RegistrationRefused for a new device when registration is closed or the
    recorder is full.
    """
    normalised = normalise_mac(mac)
    key = new_key()
    with transaction.atomic():
        # The policy row is the lock under which devices are counted and made: of two cameras
        # that ask at once for the last place one is refused, and one MAC makes one device.
        row, _ = EnrolmentPolicy.objects.select_for_update().get_or_create(pk=1)
        rules = _policy_of(row)
        enrolment = Enrolment.APPROVED if rules.mode == RegistrationMode.OPEN else Enrolment.PENDING
        device = Device.objects.filter(mac=normalised).first()
        if device is None and rules.mode == RegistrationMode.CLOSED:
            # A known MAC may be a camera that lost power and its key with it: it waits for a click.
            raise RegistrationRefused("Registration is closed")
        if device is None:
            device = _create_device(normalised, str(mac), enrolment, rules, address)
        elif device.removing_since is not None:
            raise RegistrationRefused(
                "This device is being deleted; it may come back in some minutes"
            )
        elif Device.objects.refused().filter(pk=device.pk).exists():
            raise RegistrationRefused(
                "This device was refused; whoever runs the recorder can let it ask again"
            )
        elif Source.objects.filter(device=device).exists():
            # Its MAC is made up: whoever says it is not the camera, and a key would let them be it.
            raise RegistrationRefused("This camera is fetched by the recorder and needs no key")
        DeviceKey.objects.create(
            device=device, key_hash=key_hash(key), enrolment=enrolment, issued_to=address
        )
        _prune_unused_keys(device)
        is_pending = Enrolment.PENDING in (enrolment, device.enrolment)
        record_registration(device_pk=device.pk, address=address, is_pending=is_pending)
    return Registration(device=device, key=key, is_pending=is_pending)


def _create_device(
    mac: str, spelling: str, enrolment: Enrolment, rules: Policy, address: str | None
) -> Device:
    count = Device.objects.count() - Device.objects.refused().count()
    if count >= rules.max_devices:
        raise RegistrationRefused(f"The limit of {rules.max_devices} devices is reached")
    kind, name, position = Device.Kind.ESP32, f"Camera {mac[-5:]}", count
    if mac.startswith(SIMULATED_PREFIX):
        # The number its picture shows. They dial in all at once, so their order of coming is none.
        number = int(mac[-2:], 16)
        kind, name, position = Device.Kind.SIMULATED, f"Simulated camera {number}", number
    return Device.objects.create(
        mac=mac,
        registered_as=spelling,
        name=name,
        kind=kind,
        enrolment=enrolment,
        config=dict(DEFAULT_CONFIG),
        position=position,
        last_address=address,
    )


def _prune_unused_keys(device: Device) -> None:
    unused = device.keys.never_used().order_by("-pk")
    surplus = list(unused.values_list("pk", flat=True)[MAX_UNUSED_KEYS_PER_DEVICE:])
    # Asked again in the DELETE: the camera may be using one of them right now.
    DeviceKey.objects.never_used().filter(pk__in=surplus).delete()


def identify(key: str) -> Identity | None:
    """`None` for a key that is unknown or revoked.

    One indexed read and no write: a camera at the door has one second, and a writer may have to
    wait for the disk.
    """
    if not is_key(key):
        return None
    usable = DeviceKey.objects.usable().select_related("device")
    found = usable.filter(key_hash=key_hash(key)).first()
    if found is None:
        return None
    device = found.device
    return Identity(
        device_pk=device.pk,
        key_pk=found.pk,
        mac=device.mac,
        directory=device.directory,
        name=device.name,
        config=dict(device.config),
        is_pending=Enrolment.PENDING in (found.enrolment, device.enrolment),
        used_at=found.last_used_at,
        frame_rates=device.frame_rates,
    )


def note_use(identity: Identity) -> None:
    """Of a key, at most once an hour; an HTTP request calls it, a connection is noted by
    `record_presence`. It may fail (a full disk must not lock a camera out), and says so in the log.
    """
    now = timezone.now()
    if identity.used_at is not None and now - identity.used_at < _NOTE_USE_EVERY:
        return
    try:
        DeviceKey.objects.filter(pk=identity.key_pk).update(last_used_at=now)
    except DatabaseError:
        logger.warning("the use of key %s could not be noted", identity.key_pk, exc_info=True)


def update_config(*, device_pk: int, changes: Mapping[str, object]) -> dict[str, Any]:
    """The whole configuration after the change; a connected camera is told after the commit.

    Raises UnknownDevice, and BadConfig that names a key, having changed nothing; also for a camera
    that is fetched, which takes no settings from here.
    """
    checked = validate_config(changes)
    with transaction.atomic():
        device = _locked(device_pk)
        if Source.objects.filter(device=device).exists():
            raise BadConfig("config", "This camera is set up on its own page, not from here")
        changed = {k: v for k, v in checked.items() if device.config.get(k) != v}
        device.config = config = {**DEFAULT_CONFIG, **device.config, **checked}
        device.save(update_fields=["config"])
        if changed:
            detail = ", ".join(f"{name} {value}" for name, value in changed.items())
            record_event(device_pk=device_pk, kind=DeviceEvent.Kind.CONFIG, detail=detail)
        # Also when nothing changed: asking again is how a person repeats what got lost. That the
        # broker is down does not fail the request: the camera gets its config when it connects.
        transaction.on_commit(partial(push, device_pk, config_message(device)))
    return config


def update_device(
    *, device_pk: int, name: str | None = None, position: int | None = None
) -> Device:
    """What people call it and where it stands in the live grid. Raises UnknownDevice."""
    with transaction.atomic():
        device = _locked(device_pk)
        device.name = device.name if name is None else name
        device.position = device.position if position is None else position
        device.save(update_fields=["name", "position"])
    return device


def send_command(*, device_pk: int, action: str) -> None:
    """`action` is one of COMMANDS. Nothing is queued for a camera that is not there.

    Raises UnknownDevice, NotConnected, NotDelivered; BadConfig for another action, and for a
    camera that is fetched.
    """
    if action not in COMMANDS:
        raise BadConfig("action", f"action must be one of {', '.join(COMMANDS)}")
    if not Device.objects.filter(pk=device_pk).exists():
        raise UnknownDevice("There is no such camera")
    if Source.objects.filter(device=device_pk).exists():
        raise BadConfig("action", "This camera is fetched and takes no commands")
    if device_pk not in livestate.read():
        raise NotConnected("The camera is not connected")
    if not push(device_pk, {"type": "device.command", "action": action}):
        raise NotDelivered("The command could not be sent: the message broker does not answer")
    record_event(device_pk=device_pk, kind=DeviceEvent.Kind.COMMAND, detail=action)


def approve(*, device_pk: int, key_pk: int | None = None) -> None:
    """Lets a waiting camera in: the device, and one key, by default the newest that waits.

    One only: while a camera waits, a stranger who knows its MAC may have asked for keys too.
    Raises UnknownDevice, also for a key that is revoked or of another device.
    """
    with transaction.atomic():
        device = _locked(device_pk)
        usable = device.keys.usable()
        # One that is approved already is fine: a device that waits may hold it, from `open` times.
        asked = (
            usable.filter(enrolment=Enrolment.PENDING)
            if key_pk is None
            else usable.filter(pk=key_pk)
        )
        chosen = asked.order_by("-pk").first()
        if chosen is not None:
            chosen.enrolment = Enrolment.APPROVED
            chosen.save(update_fields=["enrolment"])
        elif key_pk is not None:
            raise UnknownDevice("There is no such key")
        device.enrolment = Enrolment.APPROVED
        device.save(update_fields=["enrolment"])


def revoke_key(*, device_pk: int, key_pk: int) -> None:
    """The key is refused from now on, and a connection that uses it is closed.

    Raises UnknownDevice.
    """
    with transaction.atomic():
        usable = DeviceKey.objects.usable().filter(device=device_pk, pk=key_pk)
        if not usable.update(revoked_at=timezone.now()):
            raise UnknownDevice("There is no such key")
        close = partial(close_connection, device_pk, key_pk=key_pk, reason="key revoked")
        transaction.on_commit(close)


def delete_device(*, device_pk: int) -> None:
    """With its keys, source and history. Raises UnknownDevice, and, nothing done,
    DeviceHasRecordings and SettingIsFixed (a variable would bring it back).
    """
    try:
        with transaction.atomic():
            device = _locked(device_pk)
            _refuse_if_asked_for(device)
            device.delete()
            transaction.on_commit(partial(close_connection, device_pk, reason="device deleted"))
    except ProtectedError as error:
        raise DeviceHasRecordings("The camera still has recordings; delete them first") from error


def remove_device(*, device_pk: int) -> None:
    """Give it up together with its video: locked out and out of sight at once.

    The video, locked or not, is deleted by `recordings.removal` within minutes, as the last hour
    may still be appended to; then the row goes. Raises UnknownDevice and SettingIsFixed.
    """
    with transaction.atomic():
        device = _locked(device_pk)
        _refuse_if_asked_for(device)
        device.removing_since = device.removing_since or timezone.now()
        device.save(update_fields=["removing_since"])
        device.keys.usable().update(revoked_at=timezone.now())
        transaction.on_commit(partial(close_connection, device_pk, reason="device deleted"))


def _refuse_if_asked_for(device: Device) -> None:
    asked = Source.objects.filter(device=device).exclude(environment_name="").first()
    if asked is not None:
        raise SettingIsFixed(
            f"The variable {asked.environment_name} asks for this camera, which would be back at"
            " the next start: take the variable away and start again, or switch the camera off"
        )


def _locked(device_pk: int) -> Device:
    device = Device.objects.select_for_update().filter(pk=device_pk).first()
    if device is None:
        raise UnknownDevice("There is no such camera")
    return device
