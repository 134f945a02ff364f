"""Brings what one source gives to the recorder, run by run, through lost connections."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque

from capture.agent.link import Door, Link, LinkError
from capture.agent.outbox import MAX_BYTES, Outbox

logger = logging.getLogger(__name__)

BACK_OFF_S = (0.3, 5.0)
STEADY_S = 10.0  # a connection that held so long was a good one


class Carrier:
    """One for each source. A run has a connection of its own, and there is one at a time: the
    recorder shows a camera as there while it is connected.
    """

    def __init__(self, door: Door, mac: str, name: str) -> None:
        self._door, self._mac, self._name = door, mac, name
        self._boxes: deque[Outbox] = deque()
        self.news = asyncio.Event()
        self.trouble: LinkError | None = None
        self.trouble_s = 0.0  # monotonic, since when
        self.dropped = 0

    def begin(self) -> Outbox:
        """For a new run; the one before must be finished."""
        box = Outbox()
        self._boxes.append(box)
        return box

    def finish(self, box: Outbox) -> None:
        box.is_finished = True
        self.news.set()

    async def drain(self, seconds: float) -> None:
        """Waits until the recorder has everything, unless it is away."""
        deadline = time.monotonic() + seconds
        while any(not box.is_all_acked for box in self._boxes) and self.trouble is None:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Until cancelled."""
        delay = BACK_OFF_S[0]
        while True:
            box = await self._next()
            began = time.monotonic()
            try:
                await Link(self._door, self._mac, box, self.news, self._is_taken).carry()
            except LinkError as error:
                self._note(error)
                if time.monotonic() - began > STEADY_S:
                    delay = BACK_OFF_S[0]
                # Many cameras lose the recorder at the same moment.
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
                delay = min(2 * delay, BACK_OFF_S[1])
            else:
                delay = BACK_OFF_S[0]
                self._forget(box)
            self._make_room()

    async def _next(self) -> Outbox:
        """The oldest run with something the recorder has not got."""
        while True:
            self._make_room()
            while self._boxes and self._boxes[0].is_finished and self._boxes[0].is_all_acked:
                self._forget(self._boxes[0])
            if self._boxes and not self._boxes[0].is_all_acked:
                return self._boxes[0]
            self.news.clear()
            await self.news.wait()

    def _make_room(self) -> None:
        """Cameras that come and go while the recorder is away leave many short runs."""
        now = time.monotonic()
        for box in self._boxes:
            box.drop_old(now)
        while sum(box.size_bytes for box in self._boxes) > MAX_BYTES:
            oldest = next(box for box in self._boxes if box.size_bytes)
            oldest.drop_oldest()

    def _forget(self, box: Outbox) -> None:
        self._boxes.remove(box)
        if box.dropped:
            self.dropped += box.dropped
            logger.warning("%s: %d packets did not reach the recorder.", self._name, box.dropped)

    def _is_taken(self) -> None:
        """The recorder has packets on disk: a connection alone would prove nothing."""
        if self.trouble is not None:
            logger.info("%s: the recorder takes its video again.", self._name)
        self.trouble = None

    def _note(self, error: LinkError) -> None:
        if self.trouble is None:
            self.trouble_s = time.monotonic()
        if self.trouble is None or str(self.trouble) != str(error):
            # A recorder that restarts is away for seconds, and its words are its own to say.
            level = logging.INFO if error.code in ("ended", "unreachable") else logging.WARNING
            logger.log(level, "%s: %s", self._name, error)
        self.trouble = error
