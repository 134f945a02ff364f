"""Signed firmware, cameras of its board, and a web process that says which are connected."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from devices import firmware, firmware_image, updates, updates_steps
from devices.firmware_models import FirmwareImage, Rollout, RolloutDevice, firmware_directory
from devices.models import Device
from devices.updates_steps import UpdateReport
from tests.factories import make_device

KEY, OTHER = firmware_image.new_private_key(), firmware_image.new_private_key()
PEM, OTHER_PEM = (firmware_image.public_pem(one.public_key()) for one in (KEY, OTHER))
SHORT_ID = firmware_image.short_id(KEY.public_key())
OTHER_ID = firmware_image.short_id(OTHER.public_key())
PROGRAM = bytes(range(256)) * 16
BOARD, OLD, NEW = "ai-thinker", "1.2.0", "1.3.0"
ALL: list[dict[str, Any]] = [{"percent": 100}]


def signed(version: str = NEW, *, board: str = BOARD, key: Any = KEY) -> bytes:
    return firmware_image.write(PROGRAM, board=board, version=version, key=key)


def trust(pem: str = PEM) -> None:
    firmware.add_key(name="workshop", pem=pem, by="anna")


def upload(version: str = NEW, **how: Any) -> FirmwareImage:
    data = signed(version, **how)
    return firmware.add_image(file=io.BytesIO(data), size_bytes=len(data), notes="", by="anna")


def fleet(count: int, **fields: Any) -> list[Device]:
    usual = {"firmware_board": BOARD, "firmware_version": OLD, "update_key": SHORT_ID}
    return [make_device(position=place, **{**usual, **fields}) for place in range(count)]


def connect(*devices: Device, since: timedelta = timedelta(hours=1)) -> None:
    """These are connected since then, and no others."""
    now = timezone.now()
    since_ms = int((now - since).timestamp() * 1000)
    facts = {"presence": "streaming", "since_ms": since_ms}
    document = {
        "at_ms": int(now.timestamp() * 1000),
        "devices": {str(one.pk): facts for one in devices},
    }
    (settings.RUN_DIR / "web.json").write_text(json.dumps(document))


@contextmanager
def no_files() -> Iterator[None]:
    """None of the catalogue before and after."""
    shutil.rmtree(firmware_directory(), ignore_errors=True)
    yield
    shutil.rmtree(firmware_directory(), ignore_errors=True)


class Course:
    """A roll-out whose time passes as the test says; what cameras are told is noted."""

    def __init__(self, rollout: Rollout, told: list[tuple[int, dict[str, Any]]]) -> None:
        self.pk, self._told = rollout.pk, told
        self.began = self.now = timezone.now()

    @property
    def rollout(self) -> Rollout:
        return Rollout.objects.get(pk=self.pk)

    def step(self, after: timedelta = timedelta(0)) -> list[int]:
        """Whom this step told."""
        self.now += after
        self._told.clear()
        updates_steps.step_all(now=self.now)
        return [pk for pk, _ in self._told]

    def says(self, device: Device, *states: str, detail: str = "", version: str = NEW) -> None:
        at_ms = int(self.now.timestamp() * 1000)
        updates_steps.record_updates(
            UpdateReport(device.pk, state, version, detail, at_ms) for state in states
        )
        if "running" in states:
            Device.objects.filter(pk=device.pk).update(firmware_version=version)

    def takes_it(self, device: Device) -> None:
        self.says(device, "downloading", "installed", "running")

    def row(self, device: Device) -> RolloutDevice:
        return RolloutDevice.objects.get(rollout=self.pk, device=device)

    def states(self) -> list[str]:
        rows = RolloutDevice.objects.filter(rollout=self.pk)
        return list(rows.order_by("device").values_list("state", flat=True))

    def stages(self) -> list[int]:
        rows = RolloutDevice.objects.filter(rollout=self.pk)
        return list(rows.order_by("device").values_list("stage", flat=True))


def begin(
    told: list[tuple[int, dict[str, Any]]], stages: list[dict[str, Any]] | None = None
) -> Course:
    image = FirmwareImage.objects.get(version=NEW)
    return Course(updates.start(image_pk=image.pk, by="anna", stages=stages), told)
