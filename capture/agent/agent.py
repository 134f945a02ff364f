"""The capture agent: compares the sources that are wanted with those that run, closes the gap."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from capture.agent.carrier import Carrier
from capture.agent.link import Door
from capture.agent.protocol import SourceSpec
from capture.agent.recorder import Recorder, RecorderError, Reply
from capture.agent.source import OpenDriver, Source

logger = logging.getLogger(__name__)

SYNC_S = 2.0
ALIVE_S = 5.0
DEVICES_S = 5.0  # how often it is looked whether a USB camera came or went
CAMERAS_S = 600.0  # how often cameras are asked anew without such a reason
AWAY_S = 15.0  # a recorder that restarts is no trouble worth a warning
UNKNOWN_KEY_S = 10.0  # the recorder may be starting with a database that is being put back

FindCameras = Callable[[], Mapping[str, list[dict[str, Any]]]]


class UnknownKey(Exception):
    """The recorder's own agent gets a new key when it starts again."""


@dataclass(frozen=True)
class Order:
    """What an agent is told when it starts."""

    url: str  # https://host:port
    key: str
    tls: ssl.SSLContext | None
    run_dir: Path
    is_local: bool
    version: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key}

    def __repr__(self) -> str:
        return f"Order({self.url!r})"  # never the key


class Agent:
    def __init__(
        self,
        order: Order,
        *,
        open_driver: OpenDriver,
        find_cameras: FindCameras,
        list_devices: Callable[[], list[str]] | None = None,
    ) -> None:
        self._order = order
        self._open_driver, self._find_cameras = open_driver, find_cameras
        self._list_devices = list_devices or video_devices
        self._recorder = Recorder(order.url, order.tls, order.headers)
        self._running: dict[int, tuple[Source, asyncio.Task[None]]] = {}
        self._cameras: Mapping[str, list[dict[str, Any]]] = {"usb": [], "pi": []}
        self._known_s = time.monotonic()  # when the recorder last knew our key
        self._complaint = ""
        self._away_s = 0.0  # since when it gives no answer
        self._is_away_said = False

    async def run(self, stop: asyncio.Event, on_alive: Callable[[], None]) -> None:
        """Until `stop`. Raises UnknownKey (local agent only); nothing is left running either way."""
        stopping = asyncio.create_task(stop.wait())
        syncing = asyncio.create_task(self._keep_in_step())
        others = [asyncio.create_task(work) for work in (_beat(on_alive), self._look_for_cameras())]
        try:
            await asyncio.wait({stopping, syncing}, return_when=asyncio.FIRST_COMPLETED)
            if syncing.done():
                syncing.result()
        finally:
            for task in (stopping, syncing, *others):
                task.cancel()
            await asyncio.gather(stopping, syncing, *others, return_exceptions=True)
            await asyncio.gather(*(self._stop(pk) for pk in list(self._running)))
            self._recorder.close()

    async def _keep_in_step(self) -> None:
        while True:
            await self._sync()
            await asyncio.sleep(SYNC_S)

    # --- what is wanted -------------------------------------------------------------------------

    async def _sync(self) -> None:
        said = {
            "sources": [source.report() for source, _ in self._running.values()],
            **self._cameras,
            "version": self._order.version,
        }
        try:
            reply = await self._recorder.sync(said)
        except RecorderError as error:
            await self._without_recorder(error)
            return
        if self._complaint:
            logger.info("The recorder answers again.")
        self._complaint, self._is_away_said = "", False
        self._known_s = time.monotonic()
        await self._close_the_gap(reply)

    async def _without_recorder(self, error: RecorderError) -> None:
        """What runs goes on: the recorder may be starting. Without a key there is no recorder."""
        now = time.monotonic()
        if not self._complaint:
            self._away_s = now
        is_long = now - self._away_s > AWAY_S
        if str(error) != self._complaint or (is_long and not self._is_away_said):
            self._complaint = str(error)
            self._is_away_said = is_long
            logger.log(logging.WARNING if is_long else logging.INFO, "%s", error)
        if not error.is_unknown_key:
            self._known_s = time.monotonic()
        elif time.monotonic() - self._known_s > UNKNOWN_KEY_S:
            if self._order.is_local:
                raise UnknownKey(str(error))
            await self._close_the_gap(Reply([], "/"))

    async def _close_the_gap(self, reply: Reply) -> None:
        wanted = {spec.id: spec for spec in reply.sources}
        old = [
            pk
            for pk, (source, task) in self._running.items()
            if wanted.get(pk) != source.spec or task.done()
        ]
        await asyncio.gather(*(self._stop(pk) for pk in old))
        for pk, spec in wanted.items():
            if pk not in self._running:
                self._start(spec, reply.door)

    def _start(self, spec: SourceSpec, path: str) -> None:
        parts = urlsplit(self._order.url)
        scheme = "ws" if self._order.tls is None else "wss"
        door = Door(f"{scheme}://{parts.netloc}{path}", self._order.tls, self._order.headers)
        carrier = Carrier(door, spec.mac, spec.name)
        source = Source(
            spec, carrier=carrier, run_dir=self._order.run_dir, open_driver=self._open_driver
        )
        task = asyncio.create_task(source.run(), name=f"source {spec.id}")
        task.add_done_callback(_say_if_it_failed)
        self._running[spec.id] = source, task

    async def _stop(self, pk: int) -> None:
        _, task = self._running[pk]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del self._running[pk]

    # --- this machine ---------------------------------------------------------------------------

    async def _look_for_cameras(self) -> None:
        """In a thread: asking a camera may take a second, and on a Pi a program has to be run for
        it. So they are asked when a device comes or goes, and now and then.
        """
        seen, looked_s = None, 0.0
        while True:
            devices = self._list_devices()
            if devices != seen or time.monotonic() - looked_s > CAMERAS_S:
                seen, looked_s = devices, time.monotonic()
                try:
                    self._cameras = await asyncio.to_thread(self._find_cameras)
                except Exception:
                    logger.exception("This machine's cameras could not be listed")
            await asyncio.sleep(DEVICES_S)


def video_devices() -> list[str]:
    """The names of this machine's video devices, whatever they are."""
    return sorted(path.name for path in Path("/dev").glob("video*"))


async def _beat(on_alive: Callable[[], None]) -> None:
    while True:
        on_alive()
        await asyncio.sleep(ALIVE_S)


def _say_if_it_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s failed", task.get_name(), exc_info=error)
