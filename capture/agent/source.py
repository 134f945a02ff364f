"""One source: its driver is started, watched, and started again for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from pathlib import Path
from typing import Any, Protocol

from capture.agent import locks
from capture.agent.carrier import Carrier
from capture.agent.measure import Meter
from capture.agent.outbox import Outbox
from capture.agent.protocol import Driver, Packet, SourceError, SourceSpec
from recordings.media.matroska import Track

logger = logging.getLogger(__name__)

FIRST_S = 20.0  # to the first packet; drivers know better words and are quicker to say them
SILENT_S = 5.0
BACK_OFF_S = (1.0, 30.0)
STEADY_S = (
    3.0  # a run that streamed this long was no failed start: after a power cut it is back soon
)
TROUBLE_S = 5.0  # a recorder that restarts is no trouble worth telling
# Somebody takes a picture with the camera, or tries it out: that is soon over, and no failure.
IN_USE = "in_use"
IN_USE_S = 1.0
LOOK_EVERY_S = 0.5
DRAIN_S = 1.5  # for what the recorder has not got when the source is told to stop


class OpenDriver(Protocol):
    """capture.drivers.open_driver"""

    def __call__(self, spec: SourceSpec, /, *, lock_fd: int) -> Driver: ...


class Source:
    """`run` is its life, one task; `report` what the recorder is told."""

    def __init__(
        self, spec: SourceSpec, *, carrier: Carrier, run_dir: Path, open_driver: OpenDriver
    ) -> None:
        self.spec = spec
        self._carrier = carrier
        self._lock_path = run_dir / f"source-{spec.id}.lock"
        self._open_driver = open_driver
        self._state, self._code, self._sentence = "connecting", "", ""
        self._since_ms = _now_ms()
        self._attempts = 0
        self._meter = Meter()
        self._last_crash = self._last_words = ""

    async def run(self) -> None:
        """Until cancelled. Whatever a driver does ends here."""
        carrying = asyncio.create_task(self._carrier.run())
        try:
            await self._keep_trying()
        finally:
            await self._carrier.drain(DRAIN_S)
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    async def _keep_trying(self) -> None:
        delay = BACK_OFF_S[0]
        while True:
            self._become("connecting")
            self._attempts += 1
            began = time.monotonic()
            error = await self._try()
            if isinstance(error, locks.CameraTaken) and error.is_brief:
                self._attempts -= 1  # the camera was not tried
                self._become("retrying", IN_USE, str(error))
                await asyncio.sleep(IN_USE_S)
                continue
            self._become("retrying", error.code, str(error))
            if self._meter.is_streaming and time.monotonic() - began > STEADY_S:
                delay = BACK_OFF_S[0]
            # Cameras behind a switch that lost power must not all knock in the same moment.
            await asyncio.sleep(delay * random.uniform(0.75, 1.25))  # noqa: S311
            delay = min(2 * delay, BACK_OFF_S[1])

    async def _try(self) -> SourceError:
        """One run of the driver; the answer is why it ended."""
        try:
            async with locks.held_with_camera(
                self._lock_path, self.spec.url, locks.Use.STREAM
            ) as lock_fd:
                await self._take_in(lock_fd)
        except SourceError as error:
            if str(error) != self._last_words:  # not once in thirty seconds for a week
                self._last_words = str(error)
                logger.info("%s: %s %s", self.spec.name, error, error.detail)
            return error
        except Exception as error:
            crash = repr(error)
            if crash != self._last_crash:  # the next twenty say nothing new
                self._last_crash = crash
                logger.exception("%s: its driver failed", self.spec.name)
            return SourceError("failed", "Taking this camera in failed here; the log says how.")
        return SourceError("ended", "The stream ended.")

    async def _take_in(self, lock_fd: int) -> None:
        driver = self._open_driver(self.spec, lock_fd=lock_fd)
        self._meter = Meter()
        box = self._carrier.begin()
        running = asyncio.create_task(driver.run(_Sink(box, self._meter, self._carrier.news)))
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=LOOK_EVERY_S)
                self._look()
            running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._carrier.finish(box)

    def _look(self) -> None:
        """Raises SourceError("silent")."""
        silent_s = self._meter.silent_s
        if self._meter.is_streaming and self._state == "connecting":
            self._become("running")
            self._attempts = 0
            self._last_crash = self._last_words = ""
        if not self._meter.is_streaming:
            if silent_s > FIRST_S:
                raise SourceError("silent", "The camera answered, but no picture came.")
        elif silent_s > self._patience_s:
            text = f"No picture has come from the camera for {silent_s:.0f} s."
            raise SourceError("silent", text)

    @property
    def _patience_s(self) -> float:
        """Of a camera that is asked for a picture every minute, two may be missed."""
        return max(SILENT_S, 3 / self.spec.rate_fps) if self.spec.rate_fps > 0 else SILENT_S

    def _become(self, state: str, code: str = "", sentence: str = "") -> None:
        if (state, code) != (self._state, self._code):
            self._since_ms = _now_ms()
        self._state, self._code, self._sentence = state, code, sentence

    def report(self) -> dict[str, Any]:
        """As `docs/design/interfaces.md` has it."""
        state, code, sentence = self._state, self._code, self._sentence
        trouble = self._carrier.trouble
        if (
            state == "running"
            and trouble
            and time.monotonic() - self._carrier.trouble_s > TROUBLE_S
        ):
            state, code, sentence = "retrying", trouble.code, str(trouble)
        return {
            "id": self.spec.id,
            "version": self.spec.version,
            "state": state,
            "code": code,
            "sentence": sentence,
            "since_ms": self._since_ms,
            "attempts": self._attempts,
            "found": self._meter.found(),
        }


class _Sink:
    """From the driver into the outbox."""

    def __init__(self, box: Outbox, meter: Meter, news: asyncio.Event) -> None:
        self._box, self._meter, self._news = box, meter, news

    def stream(self, track: Track) -> None:
        self._box.stream(track)
        self._meter.stream(track)

    def packet(self, packet: Packet) -> None:
        self._box.packet(packet)
        self._meter.packet(packet)
        self._news.set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
