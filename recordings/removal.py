"""Cameras that a person gave up together with their video, brought to their end step by step.

`devices.services.remove_device` locks the camera out and marks its row. What it sent before may
still lie in the spool or be on its way into an hour file, so each pass deletes what is finished,
and the row goes once nothing of the camera is left. Every step may be repeated after a crash.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime

from django.conf import settings

from devices import services as devices
from devices.exceptions import DeviceError
from devices.models import Device
from recordings import catalog
from recordings.exceptions import RecordingError
from recordings.models import Recording
from recordings.segments import list_segments

log = logging.getLogger(__name__)


def finish_removals(*, now: datetime) -> int:
    """One pass, called every minute; returns how many cameras are gone for good."""
    return sum(_step(device, now) for device in Device.objects.removing())


def _step(device: Device, now: datetime) -> bool:
    for recording in Recording.objects.kept().filter(device=device).defer("fragment_index"):
        try:
            if recording.is_locked:  # the person was asked about these too
                catalog.set_locked(pk=recording.pk, is_locked=False)
            catalog.delete(recording=recording, now=now)
        except (RecordingError, OSError) as error:
            log.info("%s waits to be deleted with its camera: %s", recording.path, error)
    if list_segments(settings.SPOOL_DIR / device.directory):
        return False
    try:
        # Refuses while a recording is left, so a row that appeared meanwhile is not orphaned.
        devices.delete_device(device_pk=device.pk)
    except DeviceError:
        return False
    for root in (settings.SPOOL_DIR, settings.RECORDINGS_DIR):
        with contextlib.suppress(OSError):  # not there, or not empty: then it is not ours to remove
            (root / device.directory).rmdir()
    log.info("%s and its video are deleted", device)
    return True
