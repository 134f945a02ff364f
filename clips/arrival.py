"""When a window that is over can be cut: its last frames may still be on their way."""

from __future__ import annotations

from devices import livestate
from devices.livestate import LiveDevice
from devices.models import Device, Presence, Source
from recordings import footage

# A camera's next frame shows that the last one of the window has come. A slow camera has none for
# seconds, and nobody should wait for that.
STREAMING_MS = 1_500
# Of a brisk one the next frame is long there: it is our own disk that is behind, and a clip that
# waits for it is worth more than one without its end.
LAGGING_MS = 5_000
BRISK_FPS = 2.0
# What a capture agent keeps while it cannot reach us (30 s), and the time to hand it over.
LATE_MS = 35_000


def patience_ms(device: Device, end_ms: int) -> int:
    """How long after `end_ms` frames of before may still arrive; 0 where all are here, or none will
    come.
    """
    if footage.newest_ms(device) >= end_ms:
        return 0
    live = livestate.read().get(device.pk)
    if live is not None and _delivers(live):
        return LAGGING_MS if live.fps >= BRISK_FPS else STREAMING_MS
    source = Source.objects.filter(device=device, is_enabled=True).only("state").first()
    # Running, as its agent said last, or an agent that does not answer: it may be cut off from us
    # and not from its camera. In every other state it has nothing that we lack.
    if source is not None and source.state in (Source.State.RUNNING, Source.State.WAITING):
        return LATE_MS
    return 0


def _delivers(live: LiveDevice) -> bool:
    return live.presence == Presence.STREAMING and not live.is_stalled
