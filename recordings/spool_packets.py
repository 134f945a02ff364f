"""Coded video on its way into the spool: pictures that need others, sound, times that were kept.

A segment begins with a key picture, so a rotation, the hour's turn and a step of the clock wait
for the next one. Times are the sender's and stay exact; they may lie in the past, where a backlog
is delivered after a lost connection, and only the queue's age is counted from the arrival.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from recordings.media.matroska import Block, Origin, Track
from recordings.segments import GAP_MS, SegmentWriter, local_hour
from recordings.spool_track import CLOCK_STEP_NS, SpoolTrack

if TYPE_CHECKING:
    from recordings.spool import SpoolWriter

logger = logging.getLogger(__name__)

RUN_QUEUE_BYTES = 32 * 1024 * 1024  # a backlog of 30 s at 8 Mbit/s comes in at once
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_SEGMENT_LENGTHS = 4  # a GOP may stretch a segment to so many times its length
IDLE_NS = 35_000_000_000  # an agent delivers late for 30 s: its stream has not ended before
# A camera whose times jump all the time would fill the spool with files: one for each second, with
# some to spare for a backlog that really has gaps.
JUMP_REST_NS = 1_000_000_000
JUMPS_TO_SPARE = 8
SMALL_STEP_BACK_MS = 500
USUAL_INTERVAL_MS = 40
BELIEVED_NS = 24 * 3600 * 1_000_000_000  # a time further off is no time
CLOCKS_MS = 500  # further apart, the sender's word was not believed
NO_KEY = "key"
TOO_FEW_KEYS = "The camera sends too few key pictures; video waits for the next."


class _Packet(NamedTuple):
    arrival_ns: int
    payload: bytes
    mono_ns: int
    is_key: bool
    is_audio: bool
    capture_us: int
    number: int

    @property
    def is_key_picture(self) -> bool:
        return self.is_key and not self.is_audio


class _Times(NamedTuple):
    """Where a segment has got to, ms after its first picture."""

    last_ms: int  # of the newest picture in file order
    greatest_ms: int
    before_ms: int  # the greatest one before the current GOP: no later picture lies before it
    shift_ms: int  # added since the sender's clock jumped, up to the next key picture

    def placed(self, raw_ms: int, *, is_key: bool) -> _Times:
        """After one more picture; its time is `last_ms` then.

        A time that cannot be is a jump of the sender's clock: up to the next key picture the ones
        behind it follow at their own intervals. A key picture is shown after all before it; others
        not before the GOP before, and none GAP_MS off.
        """
        greatest_ms, shift_ms = self.greatest_ms, 0 if is_key else self.shift_ms
        lowest_ms = greatest_ms if is_key else max(self.before_ms, greatest_ms - GAP_MS)
        at_ms = wanted_ms = raw_ms + shift_ms
        is_burst = is_key and greatest_ms - SMALL_STEP_BACK_MS < at_ms <= greatest_ms
        if at_ms == greatest_ms or is_burst:
            wanted_ms = greatest_ms + 1  # two pictures never share a millisecond
        elif at_ms == self.last_ms:
            at_ms = wanted_ms = at_ms + 1
        elif not lowest_ms < at_ms <= greatest_ms + GAP_MS:
            wanted_ms = greatest_ms + USUAL_INTERVAL_MS
        shift_ms += wanted_ms - at_ms
        at_ms = wanted_ms
        before_ms = greatest_ms if is_key else self.before_ms
        return _Times(at_ms, max(at_ms, greatest_ms), before_ms, shift_ms)


# Leading pictures and sound may lie before the first picture.
_AT_START = _Times(last_ms=-GAP_MS, greatest_ms=-GAP_MS, before_ms=-GAP_MS, shift_ms=0)


class PacketTrack(SpoolTrack):
    """Packets in decode order. Numbers rise; `written_number` follows them."""

    idle_ns = IDLE_NS
    ends_on_failure = False  # the rest of a GOP is worth nothing in another file

    def __init__(self, writer: SpoolWriter, device_directory: str, track: Track, run: int) -> None:
        super().__init__(writer, device_directory, track)
        self._run = run
        if run:
            self.queue_bytes = RUN_QUEUE_BYTES
        self._shed_number = 0
        self._is_cut = False  # the queue lost packets: what follows has no picture to refer to
        self._waits_for_key = True
        self._first_ns = 0  # presentation time of the segment's first picture
        self._first_us = 0  # the same in the sender's clock
        self._times = _AT_START
        self._jump_free_ns = 0  # by arrival: until then segments were begun for jumps

    def append(
        self,
        mono_ns: int,
        payload: bytes,
        *,
        is_key: bool = True,
        is_audio: bool = False,
        capture_us: int = 0,
        number: int = 0,
    ) -> bool:
        """`mono_ns` is presentation time and may lie in the past; `capture_us` is the same in the
        sender's clock.
        """
        if self.is_closed:
            return False
        now_ns = self._writer.mono_ns()
        if abs(mono_ns - now_ns) > BELIEVED_NS:
            mono_ns = now_ns
        packet = _Packet(now_ns, payload, mono_ns, is_key, is_audio, capture_us, number)
        return self._enqueue(packet, now_ns)

    def _drop(self, frame: Any) -> None:
        super()._drop(frame)
        self._shed_number = frame.number
        self._is_cut = True

    def _take(self) -> list[Any]:
        with self._lock:
            is_cut, self._is_cut = self._is_cut, False
            taken = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            # All that is older is in the file or was dropped as well: they left in order.
            self.written_number = max(self.written_number, self._shed_number)
        self._waits_for_key = self._waits_for_key or is_cut
        return taken

    # --- writer thread --------------------------------------------------------------------------

    def _write(self, taken: list[Any]) -> None:
        now_offset_ns = self._writer.wall_ns() - self._writer.mono_ns()
        while taken:
            packet: _Packet = taken[0]
            if packet.is_key_picture:
                size_bytes = self.segment.size_bytes if self.segment else 0
                if self._must_begin(packet, self._times, size_bytes, now_offset_ns):
                    self._begin_segment(packet, now_offset_ns)
                self._waits_for_key = False
                self.recovered(NO_KEY)
            if self.segment is None or self._waits_for_key:
                self._skip_to_key(taken)
            else:
                self._write_to_segment(self.segment, taken, now_offset_ns)

    def _skip_to_key(self, taken: list[Any]) -> None:
        count = next((n for n, packet in enumerate(taken) if packet.is_key_picture), len(taken))
        self._settle(taken, count, written=0)

    def _settle(self, taken: list[Any], count: int, *, written: int) -> None:
        """The first `count` are done with: `written` of them are in the file."""
        if not count:
            return
        with self._lock:  # the loop counts what it sheds
            self.dropped_frames += count - written
        self.written_frames += written
        self.written_number = max(self.written_number, taken[count - 1].number)
        del taken[:count]

    def _write_to_segment(
        self, segment: SegmentWriter, taken: list[Any], now_offset_ns: int
    ) -> None:
        """Up to where a new segment must begin, or this one has to end without one."""
        blocks: list[Block] = []
        places: list[int] = []  # in `taken`, of each block
        after: list[_Times] = []
        times, size_bytes, is_too_long = self._times, segment.size_bytes, False
        count = 0
        for packet in taken:
            if count and self._must_begin(packet, times, size_bytes, now_offset_ns):
                break
            raw_ms = self._raw_ms(packet)
            if packet.is_audio:
                at_ms = _sound_ms(raw_ms, times)
            else:
                times = times.placed(raw_ms, is_key=packet.is_key)
                at_ms = times.last_ms
            size_bytes += len(packet.payload)
            if not packet.is_key_picture and self._is_too_long(times.greatest_ms, size_bytes):
                is_too_long = True
                break
            if at_ms is not None and packet.payload:
                blocks.append(Block(at_ms, packet.payload, packet.is_key, packet.is_audio))
                places.append(count)
                after.append(times)
            count += 1
        before = segment.frames
        try:
            segment.append_blocks(blocks)
        finally:
            written = segment.frames - before
            if written:
                self._times = after[written - 1]
                self._last_ns = taken[places[written - 1]].arrival_ns
                self._last_wall_ms = segment.last_wall_ms
            done = count if written == len(blocks) else places[written]
            self._settle(taken, done, written=written)
        if is_too_long:
            self._end_without_key()

    def _is_too_long(self, at_ms: int, size_bytes: int) -> bool:
        longest_ms = MAX_SEGMENT_LENGTHS * self._writer.segment_ns // 1_000_000
        return at_ms >= longest_ms or size_bytes > MAX_SEGMENT_BYTES

    def _end_without_key(self) -> None:
        self._end_segment()
        self._waits_for_key = True
        self.complain(NO_KEY, TOO_FEW_KEYS)

    def _must_begin(
        self, packet: _Packet, times: _Times, size_bytes: int, now_offset_ns: int
    ) -> bool:
        if not packet.is_key_picture:
            return False
        segment = self.segment
        if segment is None or self._offset_ns is None:
            return True
        if self._is_jump(packet, times):
            return self._jump_free_ns - packet.arrival_ns < JUMPS_TO_SPARE * JUMP_REST_NS
        return (
            abs(now_offset_ns - self._offset_ns) > CLOCK_STEP_NS
            or packet.mono_ns - self._first_ns >= self._writer.segment_ns
            or size_bytes > MAX_SEGMENT_BYTES // 2
            or local_hour(segment.start_ms + self._raw_ms(packet), self._writer.zone) != self._hour
        )

    def _raw_ms(self, packet: _Packet) -> int:
        """After the segment's first picture: by the sender's clock, which its repeats go by too.

        The two clocks are compared again now and then, so the difference moves a little.
        """
        by_ours = (packet.mono_ns - self._first_ns) // 1_000_000
        by_theirs = (packet.capture_us - self._first_us) // 1000
        return by_theirs if self._run and abs(by_theirs - by_ours) < CLOCKS_MS else by_ours

    def _is_jump(self, packet: _Packet, times: _Times) -> bool:
        """Of a key picture."""
        return not -SMALL_STEP_BACK_MS < self._raw_ms(packet) - times.greatest_ms <= GAP_MS

    def _begin_segment(self, packet: _Packet, now_offset_ns: int) -> None:
        """The new file is there before the old one ends, as for JPEGs."""
        start_ms = (packet.mono_ns + now_offset_ns) // 1_000_000
        is_step = self._offset_ns is None or abs(now_offset_ns - self._offset_ns) > CLOCK_STEP_NS
        if not is_step and self._last_wall_ms - start_ms < SMALL_STEP_BACK_MS:
            start_ms = max(start_ms, self._last_wall_ms + 1)  # drift must not turn pictures round
        directory = self._writer.directory / self.device_directory
        origin = Origin(self._run, max(0, packet.capture_us)) if self._run else None
        segment = SegmentWriter(directory, max(0, start_ms), self._track, origin)
        if self.segment is not None and self._is_jump(packet, self._times):
            self._jump_free_ns = max(self._jump_free_ns, packet.arrival_ns) + JUMP_REST_NS
        self._end_segment()
        self.segment = segment
        self._offset_ns = now_offset_ns
        self._first_ns, self._first_us = packet.mono_ns, packet.capture_us
        self._last_ns = packet.arrival_ns
        self._times = _AT_START
        self._hour = local_hour(segment.start_ms, self._writer.zone)


def _sound_ms(raw_ms: int, times: _Times) -> int | None:
    """None for sound that is not of these pictures' time."""
    for at_ms in (raw_ms, raw_ms + times.shift_ms):
        if abs(at_ms - times.greatest_ms) <= GAP_MS:
            return at_ms
    return None
