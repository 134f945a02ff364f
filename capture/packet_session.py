"""One connection of a capture agent, which brings one pulled camera's packets.

It says everything a camera may say, and besides: asks for the time, says what its packets are, and
sends them with their own capture time, perhaps late and perhaps twice after a lost connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from capture import wire
from capture.budget import AGENT_LIMITS
from capture.hub import LiveFrame
from capture.media import jpeg, packets
from capture.media.packets import BadPacket, StreamStart, WirePacket
from capture.session import Events, Keeper, Send, Session, Track
from devices.models import Presence
from devices.services import Identity
from recordings.media import matroska, nal

MAX_BEHIND_US = 90_000_000
MAX_AHEAD_US = 1_000_000
LATE_US = 3_000_000  # older than this is a backlog: for the recording, not for those who watch
KEYLESS_NS = 15_000_000_000
KEYLESS = "This camera sends no key pictures."
MAX_JPEG_WIDTH, MAX_JPEG_HEIGHT = 4096, 3072


class PacketSession(Session):
    """`take` never raises: what cannot be understood is counted, and said once a minute."""

    def __init__(
        self, registry: Keeper, identity: Identity, address: str | None, send: Send
    ) -> None:
        super().__init__(registry, identity, address, send, AGENT_LIMITS)
        self._start: StreamStart | None = None
        self._acks = Acks()
        self._acknowledged = 0
        self._saying_ack: asyncio.Task[None] | None = None
        self._keyless_ns = 0  # since when pictures come without any key picture before them
        self._has_key = False
        self._trouble = ""

    @property
    def error(self) -> str:
        return super().error or self._trouble

    # --- packets: no database, no thread, no await ------------------------------------------------

    def take(self, payload: bytes) -> str:
        if not payload.startswith(packets.MAGIC):
            return super().take(payload)
        now_ns = time.monotonic_ns()
        self.last_message_ns = now_ns
        if excess := self._budget.spend(now_ns, len(payload), is_frame=True):
            return excess
        try:
            self._take_packet(packets.decode_packet(payload), now_ns)
        except BadPacket as error:
            self._reject(f"A packet was dropped: {error}.", now_ns)
        return ""

    def _take_frame(self, payload: bytes, now_ns: int) -> None:
        if self._start is not None:  # it would end up between the stream's packets
            self._reject("A picture was dropped: it is not a packet of the stream.", now_ns)
        else:
            super()._take_frame(payload, now_ns)

    def _take_packet(self, packet: WirePacket, now_ns: int) -> None:
        """Raises BadPacket."""
        start = self._start
        if start is None:
            raise BadPacket("nobody has said what it is")
        if packet.is_audio:
            if start.track.audio is None:
                raise BadPacket("sound was not announced")
        elif start.track.codec == "mjpeg":
            self._look_at_jpeg(packet, start)
        elif not _adds_up(packet.payload):
            raise BadPacket("its NAL units do not add up to its length")
        now_us = now_ns // 1000
        shown_us = packet.capture_us + start.offset_us
        if not now_us - MAX_BEHIND_US <= shown_us <= now_us + MAX_AHEAD_US:
            shown_us = now_us
        self.received_bytes += len(packet.payload)
        self._spool_packet(packet, shown_us)
        self._show(packet, start, shown_us, now_us)
        if not packet.is_audio:
            self._count_picture(packet, now_ns)

    def _look_at_jpeg(self, packet: WirePacket, start: StreamStart) -> None:
        """Checks its header; another size than before is another track. Raises BadPacket."""
        try:
            size = jpeg.size_of(packet.payload, MAX_JPEG_WIDTH, MAX_JPEG_HEIGHT)
        except jpeg.BadFrame as error:
            raise BadPacket(str(error)) from error
        if size != self.size:
            self.size = size
            self._open_spool(start.track._replace(width=size[0], height=size[1]), start.run)

    def _spool_packet(self, packet: WirePacket, shown_us: int) -> None:
        if self._track is None:
            self._dropped_before += 1
            return
        self._acks.note(packet.number)
        self._track.append(
            shown_us * 1000,
            packet.payload,
            is_key=packet.is_key,
            is_audio=packet.is_audio,
            capture_us=packet.capture_us,
            number=packet.number,
        )

    def _show(self, packet: WirePacket, start: StreamStart, shown_us: int, now_us: int) -> None:
        hub, pk = self.registry.hub, self.identity.device_pk
        captured_ms = time.time_ns() // 1_000_000 - (now_us - shown_us) // 1000
        is_late = now_us - shown_us > LATE_US
        if start.track.codec != "mjpeg":
            times_ms = (captured_ms, shown_us // 1000)
            if hub.broadcast(pk) is None:  # let go: no picture of the last minute, or a backlog
                hub.open_stream(pk, start.track)
            hub.put_packet(pk, packet, start.run, times_ms, is_late=is_late)
        elif not is_late and not packet.is_audio:
            hub.put(pk, LiveFrame(captured_ms, packet.payload))

    def _count_picture(self, packet: WirePacket, now_ns: int) -> None:
        self.frames += 1
        self.last_frame_ns = now_ns
        if packet.is_key:
            self._has_key, self._trouble = True, ""
        elif not self._has_key and not self._keyless_ns:
            self._keyless_ns = now_ns
        if self.presence != Presence.STREAMING or self.is_stalled:
            self.become(Presence.STREAMING)

    # --- what it says -----------------------------------------------------------------------------

    def _take_report(self, payload: bytes) -> None:
        message = wire.read_object(payload, packets.MAX_TEXT_BYTES) or {}
        try:
            if message.get("type") == "clock":
                self._tell_time(packets.decode_clock(message))
            elif message.get("type") == "stream":
                self._begin(message)
            else:
                super()._take_report(payload)
        except BadPacket as error:
            self._reject(f"It sent what cannot be understood: {error}.", time.monotonic_ns())

    def _tell_time(self, t_us: int) -> None:
        mono_us = time.monotonic_ns() // 1000
        self._in_background(self.say(packets.encode_clock_answer(t_us, mono_us)))

    def _begin(self, message: Mapping[str, Any]) -> None:
        """Raises BadPacket; packets are then not taken, as nobody knows what they are."""
        earlier, self._start = self._start, None
        start = packets.decode_stream(message)
        start = start._replace(track=self._checked(start.track))
        self._start = start
        if earlier is not None and earlier.run == start.run and earlier.track == start.track:
            return  # the clocks were compared again
        if earlier is None or earlier.run != start.run:
            self._acks = Acks()
            self._acknowledged = 0
        self.close_track()
        self._has_key, self._keyless_ns, self._trouble = False, 0, ""
        if start.track.codec == "mjpeg":
            self.size = None  # until the first picture says it
            self.registry.hub.close_stream(self.identity.device_pk)
        else:
            self.size = (start.track.width, start.track.height)
            self._open_spool(start.track, start.run)
            self.registry.hub.open_stream(self.identity.device_pk, start.track)

    def _checked(self, track: matroska.Track) -> matroska.Track:
        """With the size that the parameters say; sound that means nothing is left out.

        Raises BadPacket.
        """
        if track.audio is not None:
            try:
                nal.audio_codec_string(track.audio.config)
            except ValueError as error:
                self._reject(f"Its sound is left out: {error}.", time.monotonic_ns())
                track = track._replace(audio=None)
        if track.codec == "mjpeg":
            return track._replace(config=b"")
        try:
            width, height = nal.size_of(track.codec, track.config)
            nal.codec_string(track.codec, track.config)
        except ValueError as error:
            raise BadPacket(str(error)) from error
        if not (0 < width <= packets.MAX_SIDE and 0 < height <= packets.MAX_SIDE):
            raise BadPacket(f"pictures of {width}x{height}")
        return track._replace(width=width, height=height)

    def _open_spool(self, track: matroska.Track, run: int) -> None:
        self.close_track()
        if self.registry.spool is not None:
            self._track = self.registry.spool.open(self.identity.directory, track, run=run)
            self._acks.begin(self._track)

    # --- looked at by the sweep, twice a second ---------------------------------------------------

    def watch_recording(self, now_ns: int) -> None:
        super().watch_recording(now_ns)
        self._acknowledge()
        if self._has_key or not self._keyless_ns or self._trouble:
            return
        if now_ns - self._keyless_ns >= KEYLESS_NS:
            self._trouble = KEYLESS
            self.registry.tell(self, Events.ERROR, KEYLESS)

    def _acknowledge(self) -> None:
        number = self._acks.newest()
        is_saying = self._saying_ack is not None and not self._saying_ack.done()
        if number > self._acknowledged and not is_saying:  # an agent that reads nothing: one waits
            self._acknowledged = number
            self._saying_ack = self._in_background(self.say(packets.encode_ack(number)))


class Acks:
    """Up to which number all packets of a run are in the spool, also across its tracks."""

    def __init__(self) -> None:
        self._tracks: deque[tuple[Track, int]] = deque()  # with the last number given to each
        self._number = 0

    def begin(self, track: Track) -> None:
        """The tracks before it get no more packets."""
        self._tracks.append((track, 0))

    def note(self, number: int) -> None:
        self._tracks[-1] = (self._tracks[-1][0], number)

    def newest(self) -> int:
        while self._tracks:
            track, last = self._tracks[0]
            self._number = max(self._number, track.written_number)
            if len(self._tracks) == 1 or track.written_number < last:
                break  # what the later tracks have written is no help while this one has not
            self._tracks.popleft()
        return self._number


def _adds_up(payload: bytes) -> bool:
    """Whether the 4-byte lengths of the NAL units lead exactly to the end (ISO/IEC 14496-15 §5.3)."""
    at, end = 0, len(payload)
    while at + 4 < end:
        at += 4 + int.from_bytes(payload[at : at + 4], "big")
    return at == end and end > 0
