"""Frames a second of a camera by situation: a setting of cameras that dial in.

Part of `devices.services`, which is what other apps import.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypedDict

from django.db import transaction

from devices.exceptions import BadConfig, UnknownDevice
from devices.models import Device, DeviceEvent, Source
from devices.push import push
from devices.reports import record_event
from devices.sensor import DEFAULT_CONFIG, INTEGERS

LOW, HIGH = INTEGERS["framerate"]


class FrameRates(TypedDict):
    """`idle`: nobody watches; `watched`: somebody has the live view open; `motion`: motion woke it."""

    idle: int
    watched: int
    motion: int


SITUATIONS = tuple(FrameRates.__annotations__)


def validate_frame_rates(value: object) -> FrameRates | None:
    """None: the one rate of the configuration, always. Raises BadConfig."""
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != set(SITUATIONS):
        names = ", ".join(SITUATIONS)
        raise BadConfig("frame_rates", f"frame_rates must be null or an object with {names}")
    for name in SITUATIONS:
        rate = value[name]
        if not isinstance(rate, int) or isinstance(rate, bool) or not LOW <= rate <= HIGH:
            raise BadConfig(
                "frame_rates", f"frame_rates.{name} must be a whole number from {LOW} to {HIGH}"
            )
    return FrameRates(idle=value["idle"], watched=value["watched"], motion=value["motion"])


def update_frame_rates(*, device_pk: int, rates: object, is_told: bool = True) -> None:
    """A connected camera is told after the commit, unless its configuration follows anyway.

    Raises UnknownDevice, and BadConfig, having changed nothing; also for a camera that is fetched.
    """
    checked = validate_frame_rates(rates)
    with transaction.atomic():
        device = Device.objects.select_for_update().filter(pk=device_pk).first()
        if device is None:
            raise UnknownDevice("There is no such camera")
        if Source.objects.filter(device=device).exists():
            raise BadConfig("frame_rates", "This camera is fetched and decides its rate itself")
        if device.frame_rates != checked:
            device.frame_rates = checked
            device.save(update_fields=["frame_rates"])
            record_event(device_pk=device_pk, kind=DeviceEvent.Kind.CONFIG, detail=_detail(checked))
        if is_told:
            transaction.on_commit(partial(push, device_pk, config_message(device)))


def config_message(device: Device) -> dict[str, object]:
    """What the process that holds the camera's connection is sent."""
    config = {**DEFAULT_CONFIG, **device.config}
    return {"type": "device.config", "config": config, "frame_rates": device.frame_rates}


def _detail(rates: FrameRates | None) -> str:
    if rates is None:
        return "one frame rate for everything"
    return f"frames a second: {', '.join(f'{name} {rate}' for name, rate in rates.items())}"
