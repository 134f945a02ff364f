"""How long telemetry and events are kept."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from devices.models import DeviceEvent, TelemetrySample

logger = logging.getLogger(__name__)

# Fifty cameras write 72,000 samples a day.
KEEP_TELEMETRY = timedelta(days=30)
KEEP_EVENTS = timedelta(days=90)
# SQLite has one writer: deleting a month at once would hold up everyone who has to note
# something for seconds, so it is done in bites.
BATCH = 2_000


def trim(*, now: datetime) -> int:
    """Rows removed. Interrupted at any point, the next run does the rest."""
    removed = 0
    for model, keep in ((TelemetrySample, KEEP_TELEMETRY), (DeviceEvent, KEEP_EVENTS)):
        rows = model.objects.filter(at__lt=now - keep)
        while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
            removed += model.objects.filter(pk__in=batch).delete()[0]
    if removed:
        logger.info("removed %d old telemetry samples and events", removed)
    return removed
