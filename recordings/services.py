"""What other apps may ask of recordings. Locking and deleting: `recordings.catalog`."""

from __future__ import annotations

from django.conf import settings

from devices.models import Device
from recordings import packager, segments, tasks
from recordings.policy import Policy, current


def policy() -> Policy:
    """What is in force: the settings page's row, where the environment does not fix it."""
    return current()


def enqueue_packaging(device_pk: int) -> bool:
    """Ask a worker to package this device's closed segments; never raises for a dead broker.

    False where nothing had to or could be queued: the segments lie in the spool, and the task of
    every minute finds them. May block for a moment, so not on an event loop.
    """
    return tasks.queue_packaging(device_pk)


def package_segments(device_pk: int) -> packager.Outcome:
    """Package here and now. Raises Device.DoesNotExist and what `packager.package` raises."""
    return packager.package(Device.objects.get(pk=device_pk))


def adopt_orphans() -> int:
    """Give the `.part` files of dead writers their final names; returns how many there were.

    Needs no database, and leaves alone what a living writer of any process holds.
    """
    return sum(
        segments.adopt(directory) for directory in segments.device_directories(settings.SPOOL_DIR)
    )
