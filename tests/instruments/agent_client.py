"""The capture agent's side of the door, for tests: dials with a node's key, compares clocks, sends
packets with their own capture time, hears what was acknowledged, and may be told to misbehave.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from capture.media import packets
from recordings.media.matroska import Block, Track
from tests.capture.firmware import BINARY, TEXT, Camera, masked
from tests.recordings.footage import Coded

MASK = b"\x12\x34\x56\x78"


class Sent(NamedTuple):
    """One packet as it went out."""

    number: int
    capture_us: int
    block: Block


class AgentClient:
    """One connection. `acked` is the newest acknowledged number; `answers` other text messages."""

    def __init__(self, camera: Camera, run: int, clock_skew_us: int) -> None:
        self.run = run
        self.acked = 0
        self.answers: list[dict[str, Any]] = []
        self.offset_us = 0
        self._camera = camera
        self._skew_us = clock_skew_us
        self._clock: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._hearing = asyncio.get_running_loop().create_task(self._hear())

    @classmethod
    async def dial(
        cls,
        port: int,
        key: str,
        mac: str,
        *,
        context: ssl.SSLContext,
        run: int = 1,
        clock_skew_us: int = 0,
    ) -> AgentClient:
        """Raises Refusal. `clock_skew_us`: how far this agent's monotonic clock is ahead of ours."""
        camera = await Camera.dial(port, key, context=context, extra=(f"X-Device-Id: {mac}",))
        return cls(camera, run, clock_skew_us)

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self._skew_us

    async def compare_clocks(self, rounds: int = 5) -> int:
        """The offset of the round trip that took least."""
        best: tuple[int, int] | None = None
        for _ in range(rounds):
            asked_us = self.now_us()
            await self.say(packets.encode_clock(asked_us))
            async with asyncio.timeout(10):
                t_us, mono_us = await self._clock.get()
            assert t_us == asked_us
            took_us = self.now_us() - asked_us
            offset_us = mono_us - (asked_us + took_us // 2)
            best = min(best or (took_us, offset_us), (took_us, offset_us))
        assert best is not None
        self.offset_us = best[1]
        return self.offset_us

    async def stream(self, track: Track) -> None:
        await self.say(packets.encode_stream(self.run, self.offset_us, track))

    async def say(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        await self._camera.send(masked(TEXT, data, mask=MASK))

    async def send(self, sent: Iterable[Sent]) -> None:
        """As fast as the connection takes them."""
        for number, capture_us, block in sent:
            await self.send_bytes(
                packets.encode_packet(
                    number,
                    capture_us,
                    block.payload,
                    is_key=block.is_key,
                    is_audio=block.is_audio,
                )
            )

    async def send_bytes(self, message: bytes) -> None:
        # The zero mask of the ESP32's library: masking in Python would be the slowest part.
        await self.send_raw(masked(BINARY, message))

    async def send_raw(self, frames: bytes) -> None:
        """WebSocket frames as they are."""
        await self._camera.send(frames)

    async def play(self, sent: Iterable[Sent]) -> None:
        """Each packet when its capture time has come by our clock; a late one at once."""
        for one in sent:
            wait_us = one.capture_us - self.now_us()
            if wait_us > 0:
                await asyncio.sleep(wait_us / 1e6)
            await self.send([one])

    async def until_acked(self, number: int, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while self.acked < number:
                self._news.clear()
                await self._news.wait()

    async def vanish(self) -> None:
        """No closing handshake of any kind."""
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)
        await self._camera.vanish()

    async def _hear(self) -> None:
        while True:
            try:
                opcode, payload = await self._camera.receive()
            except TimeoutError:
                continue  # nothing was said for a while
            except EOFError:
                return
            if opcode != TEXT:
                continue
            message = json.loads(payload)
            if message["type"] == "ack":
                assert message["number"] > self.acked, "acknowledgements rise"
                self.acked = message["number"]
                self._news.set()
            elif message["type"] == "clock":
                self._clock.put_nowait((message["t_us"], message["mono_us"]))
            else:
                self.answers.append(message)


def numbered(blocks: Iterable[Block], begin_us: int, *, first_number: int = 1) -> list[Sent]:
    """Packets of coded footage as a run's, captured from `begin_us` on (the agent's clock)."""
    return [
        Sent(number, begin_us + 1000 * block.time_ms, block)
        for number, block in enumerate(blocks, first_number)
    ]


def looped(blocks: list[Block], length_ms: int, times: int) -> list[Block]:
    """The same footage again and again, each round `length_ms` later."""
    return [
        block._replace(time_ms=block.time_ms + turn * length_ms)
        for turn in range(times)
        for block in blocks
    ]


class Feeder(threading.Thread):
    """An agent in a thread of its own that plays footage round after round until it is stopped.

    `door`: port, node key, MAC. `newest_ms`: when within its footage the newest packet lies.
    """

    def __init__(
        self, door: tuple[int, str, str], context: ssl.SSLContext, footage: Coded, length_ms: int
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self.error: BaseException | None = None
        self.newest_ms = 0
        self._door = door
        self._context = context
        self._footage = footage
        self._length_ms = length_ms
        self._stopping = threading.Event()
        self._paused = threading.Event()

    def change(self, footage: Coded, length_ms: int) -> None:
        """Other parameters from the next packet on."""
        self._footage, self._length_ms = footage, length_ms

    def pause(self, *, is_paused: bool) -> None:
        """As a camera that gives nothing while its connection stands; it then begins a new round."""
        (self._paused.set if is_paused else self._paused.clear)()

    def stop(self) -> None:
        """Raises what went wrong meanwhile."""
        self._stopping.set()
        self.join(10)
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            asyncio.run(self._feed())
        except BaseException as error:  # noqa: BLE001  handed to whoever stops it
            self.error = error

    async def _feed(self) -> None:
        run = random.getrandbits(64) | 1
        agent = await AgentClient.dial(*self._door, context=self._context, run=run)
        await agent.compare_clocks()
        number, begin_us, track = 1, agent.now_us(), None
        while not self._stopping.is_set():
            if self._paused.is_set():
                await asyncio.sleep(0.02)
                begin_us = agent.now_us()
                continue
            if track != self._footage.track:
                track, begin_us = self._footage.track, agent.now_us()
                await agent.stream(track)
            number = await self._play_round(agent, begin_us, number)
            begin_us += 1000 * self._length_ms
        await agent.vanish()

    async def _play_round(self, agent: AgentClient, begin_us: int, number: int) -> int:
        """Up to the end of the footage, or until something else is wanted; the next number."""
        footage = self._footage
        for one in numbered(footage.blocks, begin_us, first_number=number):
            is_over = self._stopping.is_set() or self._paused.is_set()
            if is_over or footage is not self._footage:
                break
            await agent.play([one])
            self.newest_ms = one.block.time_ms
            number = one.number + 1
        return number
