"""Cameras that are pulled: their sources and the nodes that bring them; the only writer of both.

Synchronous: call from a thread (`database_sync_to_async`), never from a running event loop.
"""

from __future__ import annotations

import logging
import math
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from devices import addresses, tasks
from devices.exceptions import (
    BadSource,
    RegistrationRefused,
    SettingIsFixed,
    UnknownDevice,
)
from devices.keys import PULLED_PREFIX
from devices.models import LONGEST_PAUSE, Device, DeviceEvent, EnrolmentPolicy, Node, Source
from devices.nodes import (
    create_node,
    delete_node,
    identify_for_node,
    local_node,
    local_node_key,
    node_by,
    node_of,
    renew_key,
)
from devices.push import close_connection
from devices.redaction import redact
from devices.sealing import seal, unseal
from devices.sensor import DEFAULT_CONFIG
from devices.source_reports import Report, Wanted, alive_nodes, record_reports, wanted_by

__all__ = [
    "Report",
    "Wanted",
    "Wish",
    "alive_nodes",
    "checked",
    "create_node",
    "create_source",
    "delete_node",
    "device_kind",
    "identify_for_node",
    "local_node",
    "local_node_key",
    "merged",
    "node_by",
    "node_of",
    "password_of",
    "pause",
    "record_reports",
    "renew_key",
    "resume",
    "update_source",
    "wanted_by",
]

logger = logging.getLogger(__name__)

# Within two an agent sees that a source is switched off, and delivers what it has.
AGENT_SECONDS = 5.0
MAX_RATE_FPS = 30.0
TRANSPORTS = ("tcp",)  # of RTSP: inside its own connection, where nothing gets lost
_DEVICE_KINDS = {
    "usb": Device.Kind.USB,
    "picamera": Device.Kind.PI,
    "simulated": Device.Kind.SIMULATED,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """One source as it shall be, checked: `url` has no log-in any more. `repr` shows no password."""

    kind: str
    url: str
    username: str
    password: str = field(repr=False)
    rate_fps: float
    transport: str
    wants_audio: bool


def checked(
    *,
    url: str,
    username: str = "",
    password: str = "",
    rate_fps: float = 0.0,
    transport: str = "tcp",
    wants_audio: bool = True,
) -> Wish:
    """Raises BadSource. A log-in inside the URL is taken out; the fields of their own go first."""
    try:
        address = addresses.parse(url, allow_loopback=settings.NVR_ALLOW_LOOPBACK_CAMERAS)
        if not (username or password):
            username, password = address.username, address.password
    except addresses.BadAddress as error:
        raise BadSource("url", str(error).rstrip(".")) from error
    try:
        addresses.check_login(username, password)
    except addresses.BadAddress as error:
        raise BadSource("username", str(error).rstrip(".")) from error
    if not (math.isfinite(rate_fps) and 0 <= rate_fps <= MAX_RATE_FPS):
        raise BadSource("rate_fps", f"rate_fps must lie between 0 and {MAX_RATE_FPS:.0f}")
    if transport not in TRANSPORTS:
        raise BadSource("transport", f"transport must be one of {', '.join(TRANSPORTS)}")
    return Wish(
        kind=address.kind,
        url=address.url_without_login,
        username=username,
        password=password,
        rate_fps=rate_fps,
        transport=transport,
        wants_audio=wants_audio,
    )


def merged(source: Source, changes: dict[str, Any], node: Node | None = None) -> Wish:
    """The source with some of `checked`'s values changed, brought by `node` if one is given.

    Raises BadSource; also where a new address or another node would get the stored password, which
    whoever changes it may not know: then the password has to be given again. Raises PasswordLost.
    """
    values: dict[str, Any] = {
        "url": source.url,
        "username": source.username,
        "rate_fps": source.rate_fps,
        "transport": source.transport,
        "wants_audio": source.wants_audio,
    }
    if "url" in changes and not (changes.get("username") or changes.get("password")):
        pasted = checked(url=changes["url"])
        if pasted.username or pasted.password:  # else the stored user name would hide it
            changes = {**changes, "username": pasted.username, "password": pasted.password}
    wish = checked(**{**values, **changes})
    has_own_password = "password" in changes or bool(wish.password)
    if has_own_password or not source.sealed_password:
        return wish
    if _place(wish.url) != _place(source.url):
        raise BadSource("password", "The address leads to another camera: enter the password again")
    if _is_moved(source, node):  # in whose network the same address may be another camera, too
        raise BadSource("password", "Another machine would get the password: enter it again")
    return checked(**{**values, **changes, "password": password_of(source)})


def password_of(source: Source) -> str:
    """In clear, for the camera only. Raises PasswordLost."""
    return unseal(source.sealed_password)


def _is_moved(source: Source, node: Node | None) -> bool:
    return node is not None and node.pk != source.node_id


def _place(url: str) -> tuple[str, str, int]:
    address = addresses.parse(url, allow_loopback=True)
    return address.scheme, address.host, address.port


def create_source(
    *,
    name: str,
    wish: Wish,
    node: Node | None = None,
    person: Any = None,
    environment_name: str = "",
) -> Source:
    """A pulled camera, the device too, brought by `node` (the recorder's own without one).

    `person`, if it is a row, may see it from now on. Raises RegistrationRefused when the recorder
    is full.
    """
    node = node or local_node()
    with transaction.atomic():
        # The lock under which `services.register` counts devices, too.
        policy, _ = EnrolmentPolicy.objects.select_for_update().get_or_create(pk=1)
        count = Device.objects.count()
        if count >= policy.max_devices:
            raise RegistrationRefused(f"The limit of {policy.max_devices} devices is reached")
        mac = _new_mac()
        device = Device.objects.create(
            mac=mac,
            registered_as=mac,
            name=name,
            kind=device_kind(wish.kind),
            config=dict(DEFAULT_CONFIG),
            position=count,
        )
        if getattr(person, "pk", None) is not None:
            device.people.add(person)
        source = Source(device=device, node=node, environment_name=environment_name)
        _apply(source, wish)
        source.save()
    return source


def update_source(
    *,
    source_pk: int,
    changes: dict[str, Any],
    node: Node | None = None,
    is_enabled: bool | None = None,
    is_by_environment: bool = False,
) -> Source:
    """`changes`: values as `checked` takes them. The agent starts the source again, also when
    nothing is new: so a person tries again at once.

    Raises UnknownDevice, BadSource, PasswordLost, and SettingIsFixed for an address that a
    variable decides.
    """
    with transaction.atomic():
        source = Source.objects.select_for_update().filter(pk=source_pk).first()
        if source is None:
            raise UnknownDevice("There is no such camera")
        if changes or _is_moved(source, node):
            wish = merged(source, changes, node)
            if source.environment_name and not is_by_environment:
                _refuse_another_address(source, wish)
            _apply(source, wish)
        source.node = node or source.node
        source.is_enabled = source.is_enabled if is_enabled is None else is_enabled
        source.version += 1
        # What was last said of it was said of the old one.
        is_on = source.is_enabled
        source.state = Source.State.CONNECTING if is_on else Source.State.OFF
        source.code, source.sentence, source.attempts = "", "", 0
        source.state_since = timezone.now()
        source.save()
        kind = device_kind(source.kind)
        Device.objects.filter(pk=source.device_id).exclude(kind=kind).update(kind=kind)
        if node is not None:  # who may not bring it any more does not come in again
            close = partial(close_connection, source.device_id, reason="source moved")
            transaction.on_commit(close)
        if not is_on:
            transaction.on_commit(partial(_show_out_later, source.device_id))
    return source


def pause(source: Source, *, seconds: float, reason: str) -> None:
    """Its agent lets go of the camera within two seconds, until `resume` or until the time is over.

    `reason`: a sentence; the source says it, and so does the gap. A source that is switched off, or
    gone, holds no camera. Raises ValueError for a time beyond LONGEST_PAUSE.
    """
    lasting = timedelta(seconds=seconds)
    if not timedelta(0) < lasting <= LONGEST_PAUSE:
        raise ValueError(f"a pause of {seconds:g} s is too long or none")
    now, said = timezone.now(), redact(reason)[:300]
    with transaction.atomic():
        # What was last said of it was said of one that ran.
        is_changed = Source.objects.filter(pk=source.pk, is_enabled=True).update(
            paused_until=now + lasting,
            pause_reason=said,
            state=Source.State.CONNECTING,
            code="",
            sentence="",
            state_since=now,
        )
        if is_changed:
            kind = DeviceEvent.Kind.PAUSED
            DeviceEvent.objects.create(device_id=source.device_id, at=now, kind=kind, detail=said)


def resume(source: Source) -> None:
    """It is taken in again within two seconds. Nothing for one that is not paused, or gone."""
    paused = Source.objects.filter(pk=source.pk).exclude(paused_until=None)
    paused.update(paused_until=None, pause_reason="", state_since=timezone.now())


def _refuse_another_address(source: Source, wish: Wish) -> None:
    as_it_is = (source.url, source.username, password_of(source))
    if (wish.url, wish.username, wish.password) != as_it_is:
        raise SettingIsFixed(f"{source.environment_name} decides the address of this camera")


def device_kind(source_kind: str) -> Device.Kind:
    return _DEVICE_KINDS.get(source_kind, Device.Kind.NETWORK)


def _apply(source: Source, wish: Wish) -> None:
    source.kind = wish.kind
    source.url = wish.url
    source.username = wish.username
    source.sealed_password = seal(wish.password)
    source.rate_fps = wish.rate_fps
    source.transport = wish.transport
    source.wants_audio = wish.wants_audio


def _new_mac() -> str:
    """Made up: a pulled camera has none that we know. Locally administered, so nobody's."""
    while True:
        low = secrets.randbelow(1 << 16)
        mac = f"{PULLED_PREFIX}:{low >> 8:02X}:{low & 255:02X}"
        if not Device.objects.filter(mac=mac).exists():
            return mac


def _show_out_later(device_pk: int) -> None:
    try:
        tasks.show_out.apply_async((device_pk,), countdown=AGENT_SECONDS, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("The agent of device %s is trusted to end: %s", device_pk, error)
