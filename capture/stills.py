"""Key pictures of H.264 and H.265 streams as JPEGs: decoded once each, and only when asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from capture.broadcast import Broadcast, Picture
from capture.hub import Hub, LiveFrame, Viewer, hub
from recordings.exceptions import RecordingError
from recordings.stills import jpeg_of

logger = logging.getLogger(__name__)

ALIVE_MS = 10_000  # a stream whose newest picture is older than this shows nothing now


class Stills:
    """One per process; used on the event loop."""

    def __init__(self, hub_: Hub = hub) -> None:
        self._hub = hub_
        # Two, each with a decoder as its child: stills never take more of the machine than that.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="stills")

    async def newest(self, device_pk: int) -> LiveFrame | None:
        """The newest picture of any camera; None where there is none, or none now."""
        broadcast = self._hub.broadcast(device_pk)
        if broadcast is None:
            return self._hub.newest(device_pk)
        if broadcast.key is None or broadcast.is_over(time.time_ns() // 1_000_000 - ALIVE_MS):
            return None
        return await self._jpeg_of(broadcast, broadcast.key)

    async def take(self, device_pk: int, viewer: Viewer) -> LiveFrame | None:
        """What a viewer of stills is to be shown next; None where nothing waits."""
        if (frame := viewer.take()) is not None:
            return frame
        picture, viewer.still = viewer.still, None
        broadcast = self._hub.broadcast(device_pk)
        if picture is None or broadcast is None:
            return None
        return await self._jpeg_of(broadcast, picture)

    async def _jpeg_of(self, broadcast: Broadcast, picture: Picture) -> LiveFrame | None:
        if picture.still is None:
            picture.still = asyncio.get_running_loop().run_in_executor(
                self._threads, jpeg_of, broadcast.track, picture.payload
            )
        try:
            # Shielded: several may wait for it, and one of them may leave.
            return LiveFrame(picture.captured_ms, await asyncio.shield(picture.still))
        except RecordingError as error:
            logger.warning("A key picture could not be decoded: %s", error)
            return None


stills = Stills()
