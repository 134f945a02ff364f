"""One connection to the recorder's door: the packets of one run, until they are all on its disk."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from capture.agent.outbox import Item, Outbox
from capture.media import packets
from recordings.media.matroska import Track

logger = logging.getLogger(__name__)

OPEN_S = 8.0
CLOSE_S = 1.0
CLOCK_ROUNDS = 5
ROUND_S = 5.0
CLOCK_EVERY_S = 300.0  # two crystals drift apart by some 10 ms in that time
CLOCK_ERROR_US = 20_000  # less is not worth a new description of the stream
NO_ACK_S = 20.0  # longer than a disk or a web process may stand still
LAST_ACK_S = 5.0  # how long the end of a run is waited for
BACKLOG_S = 0.5  # what is older is not live any more and goes at a pace
PACE_BYTES_PER_S = 4 * 1024 * 1024
PACE_REAL_TIME = 4  # times as fast as it came
PACE_PACKETS_PER_S = 1000  # half of what the door takes
MAX_MESSAGE_BYTES = 64 * 1024  # the recorder's words are short
_QUIET = logging.getLogger("capture.agent.websocket")
_QUIET.setLevel(logging.ERROR)  # a lost connection is said once, in our own words


class LinkError(Exception):
    """Why the recorder does not take packets: `code` for programs, the text for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Door:
    """Where packets go. `tls` trusts the recorder's authority and nobody else."""

    url: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]


class Link:
    """`news` wakes the link when the box has more; `on_ack` is told of every acknowledgement."""

    def __init__(
        self, door: Door, mac: str, box: Outbox, news: asyncio.Event, on_ack: Callable[[], None]
    ) -> None:
        self._door, self._mac = door, mac
        self._box, self._news, self._on_ack = box, news, on_ack
        self._sent = 0  # number of the newest packet that was handed to the network
        self._heard_s = time.monotonic()  # when the recorder last acknowledged what was new
        self._offset_us = 0
        self._described: Track | None = None
        self._is_offset_new = False
        self._free_at = 0.0  # when the backlog's pace lets the next packet go
        self._round: asyncio.Future[tuple[int, int]] | None = None

    async def carry(self) -> None:
        """Until the run is over and the recorder has it. Raises LinkError when the connection ends."""
        connection = await self._connect()
        tasks = {
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._send_all(connection)),
            asyncio.create_task(self._watch(connection)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd else ""
            words = f": {reason[:120]}" if reason else ""
            raise LinkError("ended", f"The recorder ended the connection{words}.") from error
        except (OSError, TimeoutError) as error:
            raise LinkError("ended", "The connection to the recorder was lost.") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.close()

    async def _connect(self) -> ClientConnection:
        try:
            return await connect(
                self._door.url,
                ssl=self._door.tls,
                additional_headers={**self._door.headers, "X-Device-Id": self._mac},
                user_agent_header="Roost capture agent",
                compression=None,  # video does not get smaller
                proxy=None,  # the key goes to the recorder alone
                open_timeout=OPEN_S,
                ping_interval=None,  # own deadlines: a web process may stand still for seconds
                close_timeout=CLOSE_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=16,
                write_limit=256 * 1024,
                logger=_QUIET,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            raise _in_words(error) from error

    # --- to the recorder ------------------------------------------------------------------------

    async def _send_all(self, connection: ClientConnection) -> None:
        box = self._box
        self._offset_us = await self._measure(connection)
        number = box.resume_at()
        while True:
            item = box.get(number)
            if item is not None:
                await self._describe(connection, item)
                await self._pace(item)
                await connection.send(_message(item))
                if box.acked >= self._sent:
                    self._heard_s = time.monotonic()  # there was nothing to acknowledge till now
                self._sent = item.number
                number = item.number + 1
            elif box.is_finished:
                await self._last_acks()
                return
            else:
                self._news.clear()
                await self._news.wait()

    async def _describe(self, connection: ClientConnection, item: Item) -> None:
        """Before the first packet, and before the key picture after any change."""
        is_key = item.packet.is_key and not item.packet.is_audio
        is_new = item.track is not self._described
        if is_key and (is_new or self._is_offset_new):
            self._described, self._is_offset_new = item.track, False
            await connection.send(
                packets.encode_stream(self._box.run, self._offset_us, item.track), text=True
            )

    async def _pace(self, item: Item) -> None:
        """A backlog must not crowd out the cameras that are live."""
        now = time.monotonic()
        if now - item.came_s < BACKLOG_S:
            return
        rate = max(PACE_BYTES_PER_S, PACE_REAL_TIME * self._box.bytes_per_second)
        takes = max(item.size_bytes / rate, 1 / PACE_PACKETS_PER_S)
        self._free_at = max(self._free_at, now) + takes
        if self._free_at - now > 0.02:  # a sleep for every packet would cost more than it paces
            await asyncio.sleep(self._free_at - now)

    async def _last_acks(self) -> None:
        deadline = time.monotonic() + LAST_ACK_S
        while not self._box.is_all_acked and time.monotonic() < deadline:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), LAST_ACK_S)
            except TimeoutError:
                return

    # --- from the recorder ----------------------------------------------------------------------

    async def _listen(self, connection: ClientConnection) -> None:
        async for text in connection:
            self._hear(text)
        raise LinkError("ended", "The recorder ended the connection.")

    def _hear(self, text: str | bytes) -> None:
        """Acknowledgements and the clock; what is said to an ESP32 does not concern us."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        match said:
            case {"type": "ack", "number": int(number)}:
                if number > self._box.acked:
                    self._heard_s = time.monotonic()
                    self._box.ack(number)
                    self._news.set()
                    self._on_ack()
            case {"type": "clock", "t_us": int(asked), "mono_us": int(mono)}:
                if self._round is not None and not self._round.done():
                    self._round.set_result((asked, mono))

    async def _measure(self, connection: ClientConnection) -> int:
        """The recorder's monotonic clock minus ours, by the round trip that took least."""
        best_us, offset_us = 0, 0
        for _ in range(CLOCK_ROUNDS):
            self._round = asyncio.get_running_loop().create_future()
            asked = time.monotonic_ns() // 1000
            await connection.send(packets.encode_clock(asked), text=True)
            echoed, theirs = await asyncio.wait_for(self._round, ROUND_S)
            now = time.monotonic_ns() // 1000
            if echoed == asked and (not best_us or now - asked < best_us):
                best_us, offset_us = max(1, now - asked), theirs - (asked + now) // 2
        if not best_us:
            raise LinkError("failed", "The recorder does not answer as it should.")
        return offset_us

    async def _watch(self, connection: ClientConnection) -> None:
        """A connection can be dead for hours before TCP says so."""
        measured_s = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            is_waiting = self._sent > self._box.acked
            if is_waiting and now - self._heard_s > NO_ACK_S:
                raise LinkError("silent", "The recorder takes packets and does not keep them.")
            if now - measured_s > CLOCK_EVERY_S:
                measured_s = now
                offset_us = await self._measure(connection)
                if abs(offset_us - self._offset_us) > CLOCK_ERROR_US:
                    self._offset_us, self._is_offset_new = offset_us, True


def _message(item: Item) -> bytes:
    packet = item.packet
    return packets.encode_packet(
        item.number,
        packet.capture_us,
        packet.payload,
        is_key=packet.is_key,
        is_audio=packet.is_audio,
    )


def _in_words(error: Exception) -> LinkError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        return LinkError("refused", f"The recorder's certificate is not to be trusted: {why}.")
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status == http.HTTPStatus.UNAUTHORIZED:
            return LinkError("refused", "The recorder does not take this camera from this node.")
        name = http.client.responses.get(status, "no reason given")
        return LinkError("busy", f"The recorder refuses the camera: {status} {name}.")
    if isinstance(error, InvalidHandshake):
        return LinkError("failed", "What answers in the recorder's place is not a recorder.")
    return LinkError("unreachable", "The recorder cannot be reached.")
