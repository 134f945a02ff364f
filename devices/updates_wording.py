"""How a roll-out goes, as sentences for people; no full stop, as other text may follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from devices import updates_plan
from devices.firmware_models import BROKEN, Rollout, RolloutDevice
from devices.wording import since

States = RolloutDevice.State
_SENTENCES = {
    States.WAITING: "Waits for its turn",
    States.OTHER_KEY: "Has another update key, so it would refuse this firmware",
    States.ANNOUNCED: "Was told, has not begun yet",
    States.DOWNLOADING: "Downloads it; no pictures until it is done",
    States.INSTALLED: "Installed it and starts it on trial",
    States.UPDATED: "Runs it",
    States.FAILED: "Failed",
    States.ROLLED_BACK: "Went back to its old firmware",
    States.LOST: "Did not come back",
}


def device_sentence(row: RolloutDevice) -> str:
    words = _SENTENCES[States(row.state)]
    is_said = row.detail and row.state in BROKEN
    return f"{words}: {row.detail.rstrip('.')}" if is_said else words


def rollout_sentence(rollout: Rollout, rows: Sequence[RolloutDevice], now: datetime) -> str:
    done = sum(row.state == States.UPDATED for row in rows)
    progress = f"{done} of {len(rows)} {'camera' if len(rows) == 1 else 'cameras'} updated"
    if rollout.state == Rollout.State.PAUSED:
        return f"Paused, {progress}. {rollout.reason.rstrip('.')}"
    if rollout.state != Rollout.State.RUNNING:
        ended = since(rollout.ended_at or rollout.started_at, now)
        how = "Finished" if rollout.state == Rollout.State.FINISHED else "Stopped"
        return f"{how} {ended}, {progress}"
    number, of = rollout.stage + 1, len(rollout.stages)
    stage = f"Stage {number} of {of} ({updates_plan.in_words(rollout.stages[rollout.stage])})"
    if rollout.settled_at is None or rollout.is_last_stage:
        return f"{stage}, {progress}"
    return f"{stage}, {progress}; the next stage begins {_when(rollout, now)} if all goes well"


def _when(rollout: Rollout, now: datetime) -> str:
    begins = (rollout.settled_at or now) + rollout.soak
    return f"at {since(begins, now)}" if begins > now else "now"
