"""Roll-outs as people ask for them: start, pause, resume, stop; and what a camera may download.

What happens by itself is in `devices.updates_steps`. Synchronous: call from a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from django.db import IntegrityError, transaction
from django.utils import timezone

from devices import livestate, updates_plan
from devices.exceptions import FirmwareInUse, FirmwareRefused, UnknownFirmware
from devices.firmware_image import is_newer
from devices.firmware_models import (
    BROKEN,
    UNDER_WAY,
    FirmwareImage,
    Rollout,
    RolloutDevice,
    UpdateKey,
)
from devices.models import Device, Enrolment
from devices.updates_plan import BadPlan

States = RolloutDevice.State
DOWNLOAD_PATH = "/api/v1/firmware/download/{pk}/"


def start(
    *, image_pk: int, by: str, stages: Sequence[Mapping[str, object]] | None = None
) -> Rollout:
    """Begins with the first stage at once; `stages` as `updates_plan.Stage`, else the usual ones.

    Raises UnknownFirmware, FirmwareRefused (nobody could take it, or the plan cannot be) and
    FirmwareInUse: one roll-out a board at a time.
    """
    try:
        plan = updates_plan.checked(updates_plan.DEFAULT_STAGES if stages is None else stages)
    except BadPlan as error:
        raise FirmwareRefused("stages", str(error)) from error
    image = FirmwareImage.objects.filter(pk=image_pk).first()
    if image is None:
        raise UnknownFirmware("There is no such firmware")
    _check(image)
    try:
        with transaction.atomic():
            rollout = Rollout.objects.create(
                image=image, board=image.board, stages=plan, started_by=by
            )
            enlist(rollout, plan)
            if not rollout.devices.exclude(state=States.OTHER_KEY).exists():
                raise FirmwareRefused("image", _why_nobody(rollout))
    except IntegrityError as error:
        raise FirmwareInUse(
            f"Other firmware for {image.board} is being rolled out; stop that first"
        ) from error
    return rollout


def pause(*, rollout_pk: int, by: str) -> Rollout:
    """Nobody else is told; who was told before goes on. Raises UnknownFirmware."""
    with transaction.atomic():
        rollout = _locked(rollout_pk, Rollout.State.RUNNING)
        rollout.state, rollout.reason = Rollout.State.PAUSED, f"Paused by {by}"[:300]
        rollout.save(update_fields=["state", "reason"])
    return rollout


def resume(*, rollout_pk: int, is_retry: bool = False) -> Rollout:
    """Goes on in the same stage, without the cameras that failed or, `is_retry`, with them again.

    Raises UnknownFirmware.
    """
    with transaction.atomic():
        rollout = _locked(rollout_pk, Rollout.State.PAUSED)
        _check(rollout.image)
        rollout.state, rollout.reason, rollout.settled_at = Rollout.State.RUNNING, "", None
        rollout.save(update_fields=["state", "reason", "settled_at"])
        if is_retry:
            rollout.devices.filter(state__in=BROKEN).update(
                state=States.WAITING, detail="", at=timezone.now(), announced_at=None
            )
    return rollout


def stop(*, rollout_pk: int) -> Rollout:
    """For good. Cameras that have the firmware keep it. Raises UnknownFirmware."""
    with transaction.atomic():
        rollout = _locked(rollout_pk, *UNDER_WAY)
        rollout.state, rollout.ended_at = Rollout.State.STOPPED, timezone.now()
        rollout.save(update_fields=["state", "ended_at"])
    return rollout


def download_for(*, image_pk: int, device_pk: int) -> Path | None:
    """The image's file, if it is being rolled out to this camera right now; else None."""
    told = RolloutDevice.objects.select_related("rollout__image").filter(
        device=device_pk,
        state__in=(States.ANNOUNCED, States.DOWNLOADING),
        rollout__state=Rollout.State.RUNNING,
        rollout__image=image_pk,
        device__removing_since=None,
    )
    row = told.first()
    return None if row is None else row.rollout.image.path


def enlist(rollout: Rollout, plan: Sequence[updates_plan.Stage]) -> None:
    """Puts the board's cameras into the stages: those that are connected now come first, so that
    the first one can be watched. One with another update key waits, in case it gets the right one.
    """
    image, live = rollout.image, livestate.read()
    older = [one for one in candidates(image) if is_newer(image.version, one.firmware_version)]
    older.sort(key=lambda one: (one.pk not in live, one.position, one.pk))
    able = [one for one in older if one.update_key == image.signer]
    last = len(plan) - 1
    RolloutDevice.objects.bulk_create(
        RolloutDevice(
            rollout=rollout, device=one, stage=stage, from_version=one.firmware_version,
            at=rollout.started_at,
        )
        for one, stage in zip(able, updates_plan.stages_of(len(able), plan), strict=True)
    )  # fmt: skip
    RolloutDevice.objects.bulk_create(
        RolloutDevice(
            rollout=rollout, device=one, stage=last, from_version=one.firmware_version,
            state=States.OTHER_KEY, at=rollout.started_at,
        )
        for one in older
        if one.update_key != image.signer
    )  # fmt: skip


def candidates(image: FirmwareImage) -> list[Device]:
    """The cameras of its board, whatever they run."""
    return list(
        Device.objects.filter(
            firmware_board=image.board, removing_since=None, enrolment=Enrolment.APPROVED
        ).exclude(firmware_version="")
    )


def _check(image: FirmwareImage) -> None:
    """Raises FirmwareRefused for what must not be given to cameras."""
    if not UpdateKey.objects.filter(short_id=image.signer).exists():
        raise FirmwareRefused("image", "The key that it was signed with is not trusted any more")
    if not image.path.is_file():
        raise FirmwareRefused("image", "Its file is gone; delete the entry and upload it again")


def _why_nobody(rollout: Rollout) -> str:
    image = rollout.image
    if rollout.devices.exists():
        return f"No camera with older firmware has the update key {image.signer}"
    if candidates(image):
        return f"Every {image.board} camera has {image.version} or newer already"
    return f"No camera has said yet that its board is {image.board}"


def _locked(rollout_pk: int, *states: str) -> Rollout:
    rows = Rollout.objects.select_for_update(of=("self",)).select_related("image")
    rollout = rows.filter(pk=rollout_pk).first()
    if rollout is None:
        raise UnknownFirmware("There is no such roll-out")
    if rollout.state not in states:
        raise FirmwareInUse(f"The roll-out is {rollout.state}")
    return rollout
