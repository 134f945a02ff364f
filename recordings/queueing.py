"""Giving tasks to the broker without waiting for one that is away.

Every task that is queued here has a row or a file behind it and is found again by a periodic one:
whoever queues it need not care whether the broker took it. Callers answer a person or take in
video, and kombu tries for seconds before it gives up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

BROKER_PAUSE_SECONDS = 10.0
# Of the process, as the broker is. Threads that meet may ask once too often, which does no harm.
_next_try = 0.0  # monotonic
_is_down = False


def is_broker_away() -> bool:
    """True for a while after it did not answer: what `queue` would refuse at once."""
    return time.monotonic() < _next_try


def queue(task: Task[Any, Any], arguments: Sequence[object], *, countdown_s: float = 0) -> bool:
    """False while the broker is away; never raises for that, asks it only now and then, and says
    so once."""
    global _is_down, _next_try  # noqa: PLW0603  of the process, as the broker is
    if is_broker_away():
        return False
    try:
        # No retry: there is a later chance.
        task.apply_async(tuple(arguments), countdown=countdown_s, retry=False)
    except (OperationalError, OSError) as error:
        if not _is_down:
            logger.warning("The broker does not answer, tasks wait: %s", error)
        _is_down, _next_try = True, time.monotonic() + BROKER_PAUSE_SECONDS
        return False
    if _is_down:
        logger.info("The broker answers again")
    _is_down = False
    return True
