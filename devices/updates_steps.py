"""What happens in a roll-out by itself: cameras are told, report, and the next stage begins.

Every step reads the rows and writes them in one transaction, so it may be killed at any point and
run twice: whoever comes next finds what is due. What a camera is told follows the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Max, Min, Q

from devices import livestate, updates
from devices.firmware_image import is_newer
from devices.firmware_models import BROKEN, UNSETTLED, FirmwareImage, Rollout, RolloutDevice
from devices.models import Device, DeviceEvent, Presence
from devices.push import push
from devices.reports import record_event

logger = logging.getLogger(__name__)

States = RolloutDevice.State
# How often one camera is told: its download may take five minutes, and it hears nothing meanwhile.
REPEAT_AFTER = timedelta(minutes=10)
# As many as may download at a time: another would be turned away, and that would count as failed.
MAX_AT_ONCE = 2
ANSWERS_WITHIN = timedelta(minutes=2)
DOWNLOADS_WITHIN = timedelta(minutes=6)
# A trial is over after three minutes awake; then come the restart and the way back by Wi-Fi.
BACK_WITHIN = timedelta(minutes=15)
BACK_FROM_SLEEP_WITHIN = timedelta(days=1)
# A stage does not wait longer for cameras that are asleep or away; they get it when they come.
ABSENT_PATIENCE = timedelta(days=1)
GONE_AFTER = timedelta(minutes=5)
# It says with its first heartbeat what it runs, and the row may be as old as its last connection;
# whoever stays so long is back.
GREETS_WITHIN = timedelta(minutes=1)
# One that comes and goes after the restart: a crash now and then, or the Wi-Fi, is over by then.
STEADY_WITHIN = timedelta(minutes=15)

_STATE_OF = {
    "downloading": States.DOWNLOADING,
    "installed": States.INSTALLED,
    "running": States.UPDATED,
    "failed": States.FAILED,
    "rolled_back": States.ROLLED_BACK,
}
_WORDS = {
    "downloading": "Downloads {version}",
    "installed": "Installed {version} and restarts",
    "running": "Runs {version}",
    "failed": "The update to {version} failed",
    "rolled_back": "Went back from {version} to its old firmware",
}
REPORTED_STATES = tuple(_STATE_OF)
# The firmware's words (core/update.cpp) for a failure that says nothing about this firmware: the
# recorder turned the download away (the others' turn, or it was paused just then), or the camera
# came too early after its last update. It is told once more later.
NOT_YET = ("the recorder refuses the download", "the last update is still on trial")


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What a camera said of an update; `state` is one of REPORTED_STATES, `at_ms` epoch ms."""

    device_pk: int
    state: str
    version: str
    detail: str
    at_ms: int


def record_updates(reports: Iterable[UpdateReport]) -> None:
    """In the given order. The first camera that failed or went back pauses its roll-out."""
    for report in reports:
        with transaction.atomic():
            _record(report)


def _record(report: UpdateReport) -> None:
    words = _WORDS[report.state].format(version=report.version)
    detail = f"{words}: {report.detail}" if report.detail else words
    kind = DeviceEvent.Kind.UPDATE
    record_event(device_pk=report.device_pk, kind=kind, detail=detail, at_ms=report.at_ms)
    rollout = (
        Rollout.objects.select_for_update(of=("self",))
        .filter(devices__device=report.device_pk, image__version=report.version)
        .order_by("-pk")
        .first()
    )
    if rollout is None:
        return
    row = rollout.devices.select_related("device").get(device=report.device_pk)
    if report.state == "failed" and row.state == States.UPDATED:
        return  # it was told once more after it had it, and rightly refused
    is_over = report.state != "failed" or report.detail not in NOT_YET
    state = _STATE_OF[report.state] if is_over else States.WAITING
    row.become(state, report.detail, _moment(report.at_ms))
    if row.state in BROKEN:
        _pause(rollout, f"{row.device}: {detail}")


def step_all(*, now: datetime) -> None:
    """Called every ten seconds."""
    running = Rollout.objects.filter(state=Rollout.State.RUNNING)
    for pk in list(running.values_list("pk", flat=True)):
        step(pk, now=now)


def step(rollout_pk: int, *, now: datetime) -> None:
    """What is due in one roll-out. Of one that is not running: nothing."""
    with transaction.atomic():
        rows = Rollout.objects.select_for_update(of=("self",)).select_related("image")
        rollout = rows.filter(pk=rollout_pk, state=Rollout.State.RUNNING).first()
        if rollout is None:
            return
        if not rollout.image.path.is_file():
            _pause(rollout, "The file of the firmware is gone")
            return
        _Step(rollout, now).take()


@dataclass(frozen=True, slots=True)
class _Return:
    """When a camera connected, first and last, and first fell asleep, since it installed an image."""

    first_at: datetime | None
    last_at: datetime | None
    slept_at: datetime | None

    @classmethod
    def of(cls, row: RolloutDevice) -> _Return:
        connected = Q(kind=DeviceEvent.Kind.CONNECTED)
        events = DeviceEvent.objects.filter(device=row.device_id, at__gt=row.at)
        found = events.aggregate(
            first_at=Min("at", filter=connected),
            last_at=Max("at", filter=connected),
            slept_at=Min("at", filter=Q(kind=DeviceEvent.Kind.ASLEEP)),
        )
        return cls(**found)


class _Step:
    """Inside a transaction, with the roll-out's row locked."""

    def __init__(self, rollout: Rollout, now: datetime) -> None:
        self.rollout, self.now = rollout, now
        self.image: FirmwareImage = rollout.image
        self.live = livestate.read()

    def take(self) -> None:
        updates.enlist(self.rollout, at=self.now)
        self.rows = list(self.rollout.devices.select_related("device"))
        for row in self.rows:
            if trouble := self._look_at(row):
                _pause(self.rollout, trouble)
        if self.rollout.state == Rollout.State.RUNNING:
            self._advance()
        if self.rollout.state == Rollout.State.RUNNING:
            self._announce()

    # --- one camera -------------------------------------------------------------------------------

    def _look_at(self, row: RolloutDevice) -> str:
        """Sets right what its messages did not say; why the roll-out has to pause, or ""."""
        device = row.device
        version = device.firmware_version
        has_it = version == self.image.version or is_newer(version, self.image.version)
        if row.state in (States.WAITING, States.OTHER_KEY, States.LOST):
            if has_it and device.pk in self.live:
                row.become(States.UPDATED, f"It has {device.firmware_version}", self.now)
            elif row.state != States.LOST:
                is_able = device.update_key == self.image.signer
                state = States.WAITING if is_able else States.OTHER_KEY
                if state != row.state:
                    row.become(state, "", self.now)
            return ""
        is_late = self.now - row.at >= BACK_WITHIN
        if row.state not in UNSETTLED or not is_late:
            return ""
        if row.state == States.INSTALLED:
            return self._look_after_restart(row, has_it=has_it)
        if has_it and device.pk in self.live:
            row.become(States.UPDATED, "", self.now)
        return ""

    def _look_after_restart(self, row: RolloutDevice, *, has_it: bool) -> str:
        """Long after its trial must have ended, of which it has not said anything."""
        device, live = row.device, self.live.get(row.device_id)
        back = _Return.of(row)
        if self._is_back(live, back):
            if has_it:  # only the word of it got lost
                row.become(States.UPDATED, "", self.now)
                return ""
            detail = f"It came back with {device.firmware_version}"
            row.become(States.ROLLED_BACK, detail, self.now)
            return f"{device} came back with {device.firmware_version}"
        if back.first_at is not None and self.now - back.first_at < STEADY_WITHIN:
            return ""
        # Connected, and nothing says since when: its events may have been lost, or a clock was set.
        is_unclear = live is not None and back.first_at is None
        may_sleep = device.presence == Presence.ASLEEP
        if (is_unclear or may_sleep) and self.now - row.at < BACK_FROM_SLEEP_WITHIN:
            return ""
        if live is None and back.first_at is None:
            row.become(States.LOST, "It installed the firmware and did not come back", self.now)
            return f"{device} installed {self.image.version} and did not come back"
        detail = "It came back after the restart, but never stayed connected for a minute"
        row.become(States.FAILED, detail, self.now)
        return f"{device} installed {self.image.version} and does not stay connected"

    def _is_back(self, live: livestate.LiveDevice | None, back: _Return) -> bool:
        """So surely that what it runs is known: it stayed for a while, or slept as it does."""
        moments = [back.slept_at]
        if live is not None:
            moments += [back.last_at, _moment(live.since_ms)]
        return any(at is not None and self.now - at >= GREETS_WITHIN for at in moments)

    # --- stages -----------------------------------------------------------------------------------

    def _advance(self) -> None:
        """To the next stage that is due, over stages that have no camera."""
        rollout = self.rollout
        while not self._is_held_up():
            is_empty = all(row.stage != rollout.stage for row in self.rows)
            rollout.settled_at = rollout.settled_at or self.now
            is_soaked = is_empty or self.now - rollout.settled_at >= rollout.soak
            if not is_soaked:
                break
            if gone := [row for row in self.rows if self._is_gone(row)]:
                for row in gone:
                    row.become(States.LOST, "It has not been seen since it was updated", self.now)
                _pause(rollout, f"{gone[0].device} has not been seen since it was updated")
                return
            if rollout.is_last_stage:
                self._finish()
                return
            rollout.stage += 1
            rollout.stage_began_at, rollout.settled_at = self.now, None
            logger.info("%s goes to stage %d", rollout, rollout.stage + 1)
        else:
            rollout.settled_at = None
        rollout.save(update_fields=["stage", "stage_began_at", "settled_at"])

    def _is_held_up(self) -> bool:
        """Whether a camera of the stages so far is still to come."""
        reached = [row for row in self.rows if row.stage <= self.rollout.stage]
        has_success = any(row.state == States.UPDATED for row in reached)
        is_patient = self.now - self.rollout.stage_began_at < ABSENT_PATIENCE
        for row in reached:
            if row.state not in UNSETTLED:
                continue
            is_absent = row.state != States.INSTALLED and row.device.pk not in self.live
            if not is_absent or is_patient or not has_success or self.rollout.is_last_stage:
                return True
        return False

    def _is_gone(self, row: RolloutDevice) -> bool:
        device: Device = row.device
        return (
            row.state == States.UPDATED
            and row.announced_at is not None
            and device.pk not in self.live
            and device.presence != Presence.ASLEEP
            and self.now - device.last_seen_at >= GONE_AFTER
        )

    def _finish(self) -> None:
        self.rollout.state, self.rollout.ended_at = Rollout.State.FINISHED, self.now
        self.rollout.save(update_fields=["state", "ended_at", "settled_at"])

    # --- telling ----------------------------------------------------------------------------------

    def _announce(self) -> None:
        room = MAX_AT_ONCE - sum(map(self._is_under_way, self.rows))
        for row in self.rows:
            if room <= 0:
                return
            if row.stage <= self.rollout.stage and self._is_due(row):
                self._tell(row)
                room -= 1

    def _is_under_way(self, row: RolloutDevice) -> bool:
        within = {States.ANNOUNCED: ANSWERS_WITHIN, States.DOWNLOADING: DOWNLOADS_WITHIN}
        limit = within.get(States(row.state))
        return limit is not None and timedelta(0) <= self.now - row.at < limit

    def _is_due(self, row: RolloutDevice) -> bool:
        device = row.device
        is_able = (
            device.pk in self.live
            and device.firmware_board == self.image.board
            and device.update_key == self.image.signer
            and is_newer(self.image.version, device.firmware_version)
        )
        told = row.announced_at
        # A moment in the future was noted before the clock was set back.
        is_recent = told is not None and timedelta(0) <= self.now - told < REPEAT_AFTER
        untold = (States.WAITING, States.ANNOUNCED, States.DOWNLOADING)
        return is_able and row.state in untold and not is_recent

    def _tell(self, row: RolloutDevice) -> None:
        is_first = row.announced_at is None
        row.announced_at, row.at = self.now, self.now
        row.state, row.detail = States.ANNOUNCED, ""
        row.save(update_fields=["announced_at", "at", "state", "detail"])
        if is_first:
            detail = f"Told to update to {self.image.version}"
            kind = DeviceEvent.Kind.UPDATE
            record_event(device_pk=row.device_id, kind=kind, detail=detail)
        message = {
            "type": "device.update",
            "version": self.image.version,
            "size": self.image.size_bytes,
            "path": updates.DOWNLOAD_PATH.format(pk=self.image.pk),
        }
        transaction.on_commit(partial(push, row.device_id, message))


def _pause(rollout: Rollout, reason: str) -> None:
    """Once: the first reason stands."""
    if rollout.state != Rollout.State.RUNNING:
        return
    rollout.state, rollout.reason = Rollout.State.PAUSED, reason[:300]
    rollout.save(update_fields=["state", "reason"])
    logger.warning("The roll-out of firmware for %s is paused: %s", rollout.board, reason)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
