"""What a person sets while the recorder runs: one document over the rows of several apps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import transaction

import clips.policy
import devices.services
from recordings import policy
from system.exceptions import SettingIsFixed

# By group: what the environment may decide, and under which variable.
_FIXED_BY: dict[str, dict[str, tuple[str, str]]] = {
    "registration": {"mode": ("registration", "NVR_REGISTRATION")},
    "retention": {"days": ("retention_days", "NVR_RETENTION_DAYS")},
    "encoder": {
        "preset": ("ffmpeg_preset", "FFMPEG_PRESET"),
        "crf": ("ffmpeg_crf", "FFMPEG_CRF"),
    },
    "clips": {},
}


def read() -> dict[str, dict[str, Any]]:
    enrolment, recording = devices.services.policy(), policy.current()
    return {
        "registration": {
            "mode": enrolment.mode,
            "max_devices": enrolment.max_devices,
            "is_fixed": _fixed("registration"),
        },
        "retention": {
            "days": recording.retention_days,
            "max_bytes": recording.max_bytes,
            "min_free_bytes": recording.min_free_bytes,
            "is_fixed": _fixed("retention"),
        },
        "encoder": {
            "encoder": recording.encoder,
            "preset": recording.preset,
            "crf": recording.crf,
            "pre_roll_seconds": recording.pre_roll_seconds,
            "is_fixed": _fixed("encoder"),
        },
        "clips": {**asdict(clips.policy.current()), "is_fixed": _fixed("clips")},
    }


def change(wanted: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All or nothing; values come validated. Raises SettingIsFixed, which names the variable."""
    for group, values in wanted.items():
        for name in values:
            if name in _fixed(group):
                variable = _FIXED_BY[group][name][1]
                raise SettingIsFixed(group, name, f"{variable} decides this; change it there.")
    with transaction.atomic():
        if registration := wanted.get("registration"):
            devices.services.update_policy(**registration)
        recording = {**wanted.get("retention", {}), **wanted.get("encoder", {})}
        if "days" in recording:
            recording["retention_days"] = recording.pop("days")
        if recording:
            policy.update(**recording)
        if wanted_clips := wanted.get("clips"):
            clips.policy.update(**wanted_clips)
    return read()


def _fixed(group: str) -> list[str]:
    decided = _FIXED_BY[group].items()
    return [name for name, (field, _) in decided if getattr(settings.NVR, field) is not None]
