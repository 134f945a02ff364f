"""One simulated ESP32-CAM: registers, dials in, streams, obeys, sleeps, comes back.

It differs from the sketch where a test bench must: it reconnects within a session's life instead
of waiting for motion, and it registers again when its key is refused.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import math
import random
import ssl
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from capture import simulator_wire as wire
from capture.simulator_picture import SIZES, Look, Pictures, Studio
from capture.simulator_scene import PLACES, Tuning
from capture.simulator_state import Memory, SimulatorState

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5
STREAM_SECONDS = 30  # of a motion camera, then it sleeps
GOODBYE_SECONDS = 0.1  # between entering_sleep and the close
REPLY_SECONDS = 10  # the sketch's patience with /register and the upgrade
BACKOFF_SECONDS = (1.0, 30.0)
MAX_UNSENT_BYTES = 256 * 1024  # what an ESP32 and its network hold is far less
STUCK_SECONDS = 15  # a peer that takes nothing for so long is gone
STARTED = "simulator"  # why it booted: somebody started the program, and no power was lost


class End(enum.Enum):
    LOST = "lost"
    SLEEP = "sleep"
    REBOOT = "reboot"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`size` and `fps` that a person gave on the command line win over `config_update`."""

    size: tuple[int, int] | None = None
    fps: float | None = None
    has_motion_cycle: bool = False
    rest_seconds: float = 20.0
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    stream_seconds: float = STREAM_SECONDS


@dataclass(slots=True)
class Run:
    """One connection's frames: counters `first` to `last` without a hole, handed to the network."""

    first: int
    started_ms: int
    last: int = -1
    ended_ms: int = 0
    end: str = ""


@dataclass(slots=True)
class Figures:
    number: int
    mac: str
    sent: int = 0
    skipped: int = 0  # due, but the network or this process was behind
    bytes: int = 0
    connections: int = 0
    registrations: int = 0
    errors: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class SimulatedCamera:
    def __init__(
        self,
        number: int,
        *,
        endpoint: Endpoint,
        behaviour: Behaviour,
        state: SimulatorState,
        studio: Studio,
        stop: asyncio.Event,
    ) -> None:
        self._endpoint, self._behaviour = endpoint, behaviour
        self._state, self._studio, self._stop = state, studio, stop
        mac = state.mac(number)
        self.figures = Figures(number, mac)
        self._memory: Memory = state.recall(mac)
        self._counter = 0
        self._dice = random.Random(number)  # noqa: S311  jitter, the same in every run
        self._booted = time.monotonic()
        self._reset_reason = ""
        self._skipped_before = 0  # in earlier lives
        self._is_streaming = True
        width, height = behaviour.size or SIZES["SVGA"]
        self._fps = behaviour.fps or 10.0
        self._look = Look((number - 1) % len(PLACES), width, height, 12, self._fps, Tuning())
        self._pictures: Pictures | None = None
        self._changed = asyncio.Event()  # look, rate or streaming: the pace starts afresh

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the stop event; never raises for what a network or a recorder may do."""
        backoff = BACKOFF_SECONDS[0]
        await self._pause(0.02 * (self.figures.number % 64))  # not all at the same moment
        self._boot(STARTED)
        while not self._stop.is_set():
            try:
                end = await self._live()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, wire.Refused) as error:
                self._complain(error)
                await self._pause(backoff * self._dice.uniform(0.5, 1.0))
                backoff = min(backoff * 2, BACKOFF_SECONDS[1])
                continue
            backoff = BACKOFF_SECONDS[0]
            if end is End.LOST:
                await self._pause(backoff * self._dice.uniform(0.5, 1.0))
            elif end is End.SLEEP:
                await self._pause(self._behaviour.rest_seconds * self._dice.uniform(0.7, 1.3))
                self._boot("motion")
            elif end is End.REBOOT:
                await self._pause(2.0)  # what an ESP32 takes to start and join the network
                self._boot("software")

    def _boot(self, reason: str) -> None:
        self._reset_reason, self._skipped_before = reason, self.figures.skipped
        self._memory.boot_count += 1
        self._state.keep(self.figures.mac, self._memory)
        self._booted = time.monotonic()
        self._is_streaming = True

    def _complain(self, error: Exception) -> None:
        words = str(error) or type(error).__name__
        if not self.figures.errors or self.figures.errors[-1] != words:
            logger.warning("camera %d: %s", self.figures.number, words)
        self.figures.errors = [*self.figures.errors[-19:], words]

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _live(self) -> End:
        if not self._memory.key:
            await self._register()
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                link = await self._dial()
        except wire.Refused as error:
            if error.status == 401:  # 403 is "not approved yet", which a new key cannot mend
                self._memory.key = ""
            raise
        self.figures.connections += 1
        try:
            return await self._session(link)
        finally:
            link.abort()

    async def _register(self) -> None:
        at = self._endpoint
        async with asyncio.timeout(REPLY_SECONDS):
            reader, writer = await asyncio.open_connection(at.host, at.port, ssl=at.tls)
            try:
                writer.write(wire.register_request(at.host, at.port, self.figures.mac))
                reply = await reader.read(1 << 16)
                while chunk := await reader.read(1 << 16):
                    reply += chunk
            finally:
                writer.transport.abort()
        self._memory.key = wire.parse_register(reply)
        self._state.keep(self.figures.mac, self._memory)
        self.figures.registrations += 1

    async def _dial(self) -> Link:
        at, nonce = self._endpoint, wire.new_nonce()
        reader, writer = await asyncio.open_connection(at.host, at.port, ssl=at.tls)
        try:
            writer.write(wire.upgrade_request(at.host, self._memory.key, nonce))
            head = await reader.readuntil(b"\r\n\r\n")
            wire.check_upgrade(head.removesuffix(b"\r\n\r\n"), nonce)
        except BaseException:
            writer.transport.abort()
            raise
        return Link(reader, writer)

    # --- a session ------------------------------------------------------------------------------

    async def _session(self, link: Link) -> End:
        link.write(wire.text({"type": "status_update", "status": "online"}))
        tasks = [
            asyncio.create_task(work)
            for work in (self._listen(link), self._beat(link), self._stream(link), self._stopped())
        ]
        if self._behaviour.has_motion_cycle:
            tasks.append(asyncio.create_task(self._tire()))
        run = Run(first=self._counter, started_ms=_now_ms())
        self.figures.runs.append(run)
        end = End.LOST
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = done.pop().result()
        except (OSError, wire.Refused) as error:
            self._complain(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            run.last, run.ended_ms, run.end = self._counter - 1, _now_ms(), end.value
        if end in (End.SLEEP, End.STOPPED):
            word = "entering_sleep" if end is End.SLEEP else "offline"
            await link.say_goodbye(word)
        return end

    async def _stopped(self) -> End:
        await self._stop.wait()
        return End.STOPPED

    async def _tire(self) -> End:
        await asyncio.sleep(self._behaviour.stream_seconds)
        return End.SLEEP

    async def _beat(self, link: Link) -> End:
        number = self.figures.number
        while True:
            await asyncio.sleep(self._behaviour.heartbeat_seconds)
            up = time.monotonic() - self._booted
            figures = wire.Vitals(
                number,
                up,
                boot_count=self._memory.boot_count,
                reset_reason=self._reset_reason,
                drops=self.figures.skipped - self._skipped_before,
                has_battery=self._behaviour.has_motion_cycle,
            )
            link.write(wire.text(figures.heartbeat()))

    async def _stream(self, link: Link) -> End:
        """Frames at absolute times, so that a late one does not delay those that follow."""
        clock = asyncio.get_running_loop().time
        while True:
            self._changed.clear()
            if not self._is_streaming:
                await self._changed.wait()
                continue
            loop = await self._studio.loop_for(self._look)
            self._pictures = Pictures(loop, number=self.figures.number)
            # Spread over the interval: fifty cameras that fire together are a burst, not a load.
            start = clock() + self._dice.random() / self._fps
            tick = 0
            while not self._changed.is_set():
                await asyncio.sleep(start + tick / self._fps - clock())
                self._send_frame(link)
                due = math.floor((clock() - start) * self._fps) + 1
                self.figures.skipped += max(0, due - tick - 1)
                tick = max(tick + 1, due)

    def _send_frame(self, link: Link) -> None:
        if link.is_behind():
            self.figures.skipped += 1
            return
        assert self._pictures is not None  # noqa: S101  set by _stream before its first frame
        payload = self._pictures.jpeg(self._counter, _now_ms())
        link.write(wire.frame_header(wire.BINARY, len(payload)) + payload)
        self._counter += 1
        self.figures.sent += 1
        self.figures.bytes += len(payload)

    async def _listen(self, link: Link) -> End:
        frames = wire.FrameReader()
        while data := await link.reader.read(1 << 14):
            for opcode, payload in frames.feed(data):
                if opcode == wire.PING:
                    link.write(wire.pong(payload))
                elif opcode == wire.CLOSE:
                    link.write(wire.closing())
                    return End.LOST
                elif opcode == wire.TEXT and (end := self._obey(payload)):
                    return end
        return End.LOST

    # --- what the recorder says -------------------------------------------------------------------

    def _obey(self, payload: bytes) -> End | None:
        try:
            message = json.loads(payload)
        except ValueError:
            return None
        if not isinstance(message, dict):
            return None
        if message.get("type") == "config_update" and isinstance(message.get("config"), dict):
            self._configure(message["config"])
        elif message.get("type") == "command":
            return self._command(message.get("action"))
        return None

    def _command(self, action: Any) -> End | None:
        if action in ("start_streaming", "stop_streaming"):
            self._is_streaming = action == "start_streaming"
            self._changed.set()
        return {"reboot": End.REBOOT, "sleep": End.SLEEP}.get(action)

    def _configure(self, config: dict[str, Any]) -> None:
        look = self._look
        if self._behaviour.size is None and config.get("resolution") in SIZES:
            width, height = SIZES[config["resolution"]]
            look = replace(look, width=width, height=height)
        if self._behaviour.fps is None and isinstance(config.get("framerate"), int):
            self._fps = float(max(1, min(60, config["framerate"])))
            look = replace(look, fps=self._fps)
        if isinstance(config.get("quality"), int):
            look = replace(look, quality=max(0, min(63, config["quality"])))
        sliders = {
            name: max(-2, min(2, config[name]))
            for name in ("brightness", "contrast", "saturation")
            if isinstance(config.get(name), int)
        }
        look = replace(look, tuning=replace(look.tuning, **sliders))
        if look != self._look:
            self._look = look
            self._changed.set()


class Link:
    """An open connection. Writes are never waited for; what does not fit is not sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer
        self._flowing = time.monotonic()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def is_behind(self) -> bool:
        """Raises TimeoutError once the other side has taken nothing for STUCK_SECONDS."""
        now = time.monotonic()
        if self._writer.transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            self._flowing = now
            return False
        if now - self._flowing > STUCK_SECONDS:
            raise TimeoutError("the recorder takes no more data")
        return True

    async def say_goodbye(self, status: str) -> None:
        """The sketch's end: status, 100 ms, close frame, and no wait for the other's."""
        try:
            self.write(wire.text({"type": "status_update", "status": status}))
            await asyncio.sleep(GOODBYE_SECONDS)
            self.write(wire.closing(1000))
            async with asyncio.timeout(2):
                await self._writer.drain()
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError, ssl.SSLError):
            return

    def abort(self) -> None:
        self._writer.transport.abort()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
