"""Roll-outs as people ask for them: start, pause, resume, stop; and what a camera may download.

What happens by itself is in `devices.updates_steps`. Synchronous: call from a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from django.db import IntegrityError, transaction
from django.utils import timezone

from devices import livestate, updates_plan
from devices.exceptions import FirmwareInUse, FirmwareRefused, UnknownFirmware
from devices.firmware_image import is_newer
from devices.firmware_models import UNDER_WAY, FirmwareImage, Rollout, RolloutDevice, UpdateKey
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
            enlist(rollout, at=rollout.started_at)
            if not rollout.devices.filter(state=States.WAITING).exists():
                raise FirmwareRefused("image", _why_nobody(rollout))
    except IntegrityError as error:
        raise FirmwareInUse(
            f"Other firmware for {image.board} is being rolled out; stop that first"
        ) from error
    return rollout


def pause(*, rollout_pk: int, by: str) -> Rollout:
    """Nobody else is told or begins a download; who has begun goes on. Raises UnknownFirmware,
    FirmwareInUse when it is not running.
    """
    with transaction.atomic():
        rollout = _locked(rollout_pk, Rollout.State.RUNNING)
        rollout.state, rollout.reason = Rollout.State.PAUSED, f"Paused by {by}"[:300]
        rollout.save(update_fields=["state", "reason"])
    return rollout


def resume(*, rollout_pk: int, is_retry: bool = False) -> Rollout:
    """Goes on in the same stage, without the cameras that failed or, `is_retry`, with them again;
    never with one that went back: it would only do that again.

    Raises UnknownFirmware, FirmwareRefused, FirmwareInUse when it is not paused.
    """
    with transaction.atomic():
        rollout = _locked(rollout_pk, Rollout.State.PAUSED)
        _check(rollout.image)
        rollout.state, rollout.reason, rollout.settled_at = Rollout.State.RUNNING, "", None
        rollout.save(update_fields=["state", "reason", "settled_at"])
        if is_retry:
            again = rollout.devices.filter(state__in=(States.FAILED, States.LOST))
            again.update(state=States.WAITING, detail="", at=timezone.now(), announced_at=None)
    return rollout


def stop(*, rollout_pk: int) -> Rollout:
    """For good. Cameras that have the firmware keep it. Raises UnknownFirmware, FirmwareInUse when
    it ended before.
    """
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


def enlist(rollout: Rollout, *, at: datetime) -> None:
    """Puts the board's cameras that are not in it yet into the stages: those that are connected
    now come first, so that the first one can be watched, and those that come later into the last.

    One with another update key waits, in case it gets the right one; one that went back from this
    version before is not given it again.
    """
    image, live, last = rollout.image, livestate.read(), len(rollout.stages) - 1
    known = set(rollout.devices.values_list("device", flat=True))
    older = [
        one
        for one in candidates(image)
        if one.pk not in known and is_newer(image.version, one.firmware_version)
    ]
    older.sort(key=lambda one: (one.pk not in live, one.position, one.pk))
    if not older:
        return
    went_back = _went_back(image)
    able = [one.pk for one in older if one.update_key == image.signer and one.pk not in went_back]
    places = [last] * len(able) if known else updates_plan.stages_of(len(able), rollout.stages)
    stages = dict(zip(able, places, strict=True))
    rows = []
    for one in older:
        row = RolloutDevice(
            rollout=rollout, device=one, stage=stages.get(one.pk, last), at=at,
            from_version=one.firmware_version,
        )  # fmt: skip
        if one.pk in went_back:
            row.state, row.detail = States.ROLLED_BACK, "In an earlier roll-out"
        elif one.pk not in stages:
            row.state = States.OTHER_KEY
        rows.append(row)
    RolloutDevice.objects.bulk_create(rows)


def _went_back(image: FirmwareImage) -> set[int]:
    rows = RolloutDevice.objects.filter(
        state=States.ROLLED_BACK, rollout__image__version=image.version
    )
    return set(rows.values_list("device", flat=True))


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
    if rollout.devices.filter(state=States.ROLLED_BACK).exists():
        return f"No camera is left for it: some went back from {image.version} before"
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
