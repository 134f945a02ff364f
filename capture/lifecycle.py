"""What begins and ends with the web process; the same for Daphne and uvicorn."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from capture.ledger import Ledger
from capture.sessions import registry
from devices import sdnotify
from devices import services as devices
from devices.models import Device
from recordings.services import adopt_orphans, enqueue_packaging
from recordings.spool import SpoolWriter

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 2.0
START_SECONDS = 3.0
STOP_SECONDS = 2.0


class Lifecycle:
    """`start` on the running loop before the first connection, `stop` after the last."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._ledger: Ledger | None = None
        self._spool: SpoolWriter | None = None
        # Not the spool's own threads: a broker that is down may take seconds to say so.
        self._errands = ThreadPoolExecutor(max_workers=1, thread_name_prefix="errands")
        self._publisher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")

    async def start(self) -> None:
        settings.RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True)
        # Before the first camera, or one that connects at once would be marked offline.
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await asyncio.get_running_loop().run_in_executor(
                    self._errands, _quietly, devices.mark_disconnected
                )
        # What a crash left behind; the living spool's own segments are locked.
        self._errands.submit(_quietly, adopt_orphans)
        self._ledger = Ledger()
        self._spool = SpoolWriter(
            settings.SPOOL_DIR, settings.NVR_SEGMENT_SECONDS, self._segment_closed
        )
        registry.spool, registry.news = self._spool, self._ledger
        for work in (registry.watch, self._ledger.run, self._publish, _feed_watchdog):
            self._tasks.append(asyncio.get_running_loop().create_task(work()))

    async def stop(self) -> None:
        """Segments are closed and cameras are marked offline within STOP_SECONDS."""
        registry.end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        loop = asyncio.get_running_loop()
        # Side by side: a disk that syncs slowly must not cost the database its last word.
        endings: list[asyncio.Future[Any]] = [
            loop.run_in_executor(self._publisher, _quietly, publish, {})
        ]
        if self._ledger is not None:
            endings.append(asyncio.ensure_future(self._ledger.flush()))
        if self._spool is not None:
            endings.append(loop.run_in_executor(None, self._spool.close, STOP_SECONDS))
        _, late = await asyncio.wait(endings, timeout=STOP_SECONDS)
        if late:
            logger.warning("The disk or the database did not answer in time; stopping without.")
        registry.spool = registry.news = None
        if self._ledger is not None:
            self._ledger.close()
        self._errands.shutdown(wait=False, cancel_futures=True)
        self._publisher.shutdown(wait=False, cancel_futures=True)

    def _segment_closed(self, device_directory: str) -> None:
        """In the spool's thread. The beat task finds what is not announced."""
        with suppress(RuntimeError):  # the process is stopping
            self._errands.submit(_quietly, _announce, device_directory)

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._publisher, publish, registry.facts())
            except OSError as error:
                logger.warning("run/web.json could not be written: %s", error)
            await asyncio.sleep(PUBLISH_SECONDS)


async def _feed_watchdog() -> None:
    """systemd's, by the loop that takes in every frame: it stops with the loop."""
    while True:
        sdnotify.alive()
        await asyncio.sleep(sdnotify.WATCHDOG_EVERY_S)


def publish(facts: dict[str, dict[str, object]]) -> None:
    """run/web.json, whole or not at all: readers never see half a file."""
    path: Path = settings.RUN_DIR / "web.json"
    document = {"at_ms": time.time_ns() // 1_000_000, "pid": os.getpid(), "devices": facts}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, separators=(",", ":")))
    part.replace(path)


def _quietly(work: Callable[..., object], *args: object) -> None:
    """An errand's edge: nobody waits for its result, so its failure is said here."""
    close_old_connections()
    try:
        work(*args)
    except (DatabaseError, InterfaceError, OSError) as error:
        logger.warning("Postponed, it is found again by the minute's task: %s", error)
    except Exception:
        logger.exception("An errand of the web process failed")
    finally:
        close_old_connections()


def _announce(device_directory: str) -> None:
    mac = device_directory.replace("-", ":")
    pk = Device.objects.filter(mac=mac).values_list("pk", flat=True).first()
    if pk is not None:
        enqueue_packaging(pk)


lifecycle = Lifecycle()


async def lifespan(
    scope: dict[str, Any],  # noqa: ARG001
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The ASGI lifespan protocol, which uvicorn speaks and Daphne does not."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await lifecycle.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await lifecycle.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
