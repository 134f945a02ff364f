"""Back-pressure in both directions for Daphne, which has none (measured: a stalled viewer or a
slow consumer grew its memory without bound).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

HIGH_MESSAGES = 4  # a connection's socket is not read while so many wait for the application
LOW_MESSAGES = 1
STALLED_SECONDS = 60.0  # a peer that takes nothing for so long is gone


class Inbox(asyncio.Queue[dict[str, Any]]):
    """A connection's messages on their way to the application; says when it wants more."""

    on_low: Callable[[], None] | None = None

    @property
    def is_full(self) -> bool:
        return self.qsize() >= HIGH_MESSAGES

    def _get(self) -> dict[str, Any]:  # asyncio.Queue's documented place for subclasses
        message: dict[str, Any] = super()._get()
        if self.on_low is not None and self.qsize() <= LOW_MESSAGES:
            self.on_low()
        return message


class Gate:
    """A Twisted push producer (IPushProducer) whose consumer's buffer the application waits for.

    Twisted pauses it above 64 KB of unsent bytes and resumes it when they are gone.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def pauseProducing(self) -> None:  # noqa: N802  Twisted's name
        self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802
        self._open.set()

    async def passed(self) -> bool:
        """False when the peer took nothing for STALLED_SECONDS."""
        if self._open.is_set():
            return True
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._open.wait()
        except TimeoutError:
            return False
        return True
