"""What one run of a driver gave and the recorder has not got on disk yet. Pure.

Packets are kept in groups of pictures: a key picture, what depends on it, and the sound between.
After a lost connection the recorder is told again from a key picture on, so the group that holds
the first packet without an acknowledgement stays whole. What finds no room goes in whole groups,
the oldest first, and is counted.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from typing import NamedTuple

from capture.agent.protocol import Packet
from capture.media import packets
from recordings.media.matroska import Track

KEEP_S = 30.0  # the newest 30 s, and the key picture before them
LONGEST_S = 80.0  # of one group: the door takes nothing that is more than 90 s old
MAX_BYTES = 48 * 1024 * 1024
MAX_PACKET_BYTES = packets.MAX_PACKET_BYTES - packets.HEAD_BYTES  # the door takes no longer one
_OVERHEAD_BYTES = 200  # of a packet's Python objects


class Item(NamedTuple):
    number: int
    packet: Packet
    track: Track
    came_s: float  # monotonic

    @property
    def size_bytes(self) -> int:
        return len(self.packet.payload) + _OVERHEAD_BYTES


class Outbox:
    """`run` is new for each; numbers count from 1."""

    def __init__(self) -> None:
        self.run = secrets.randbits(64) or 1
        self.is_finished = False  # nothing more will come
        self.dropped = 0  # packets that were never acknowledged and are gone
        self.acked = 0
        self.size_bytes = 0
        self._began_s = time.monotonic()
        self._total_bytes = 0
        self._items: dict[int, Item] = {}  # by number, without holes
        self._groups: deque[int] = deque()  # numbers of the key pictures that are kept
        self._next = 1
        self._track: Track | None = None
        self._is_broken = False  # a picture could not be kept: what follows depends on it

    # --- filled by a driver ---------------------------------------------------------------------

    def stream(self, track: Track) -> None:
        self._track = track

    def packet(self, packet: Packet) -> None:
        """Raises ValueError where a driver forgot to say what it sends."""
        if self._track is None:
            raise ValueError("a packet came before its stream was described")
        is_key = packet.is_key and not packet.is_audio
        self._is_broken = len(packet.payload) > MAX_PACKET_BYTES or (self._is_broken and not is_key)
        if self._is_broken or not (is_key or self._groups):
            self.dropped += 1
            return  # it, or what it depends on, is gone: on with the next key picture
        item = Item(self._next, packet, self._track, time.monotonic())
        if is_key:
            self._groups.append(item.number)
        self._next += 1
        self._items[item.number] = item
        self.size_bytes += item.size_bytes
        self._total_bytes += item.size_bytes
        if self.size_bytes > MAX_BYTES:
            self._drop_group()
        self.drop_old(item.came_s)

    def drop_old(self, now_s: float) -> None:
        while len(self._groups) > 1 and now_s - self._items[self._groups[1]].came_s > KEEP_S:
            self._drop_group()
        if self._groups and not self.is_all_acked:
            oldest = self._items[max(self._groups[0], self.acked + 1)]
            if now_s - oldest.came_s > LONGEST_S:
                self._drop_group()

    def drop_oldest(self) -> bool:
        """Makes room for a newer run; False where nothing is left."""
        if self._groups:
            self._drop_group()
        return bool(self._groups)

    # --- emptied by a link ----------------------------------------------------------------------

    @property
    def newest(self) -> int:
        """Number of the newest packet; 0 before the first."""
        return self._next - 1

    @property
    def bytes_per_second(self) -> float:
        """Of the camera, over the whole run."""
        return self._total_bytes / max(1.0, time.monotonic() - self._began_s)

    @property
    def is_all_acked(self) -> bool:
        return self.acked >= self.newest or not self._groups

    def resume_at(self) -> int:
        """From which packet a new connection begins: the last key picture at or before the first
        that was not acknowledged; `newest + 1` where there is none.
        """
        at_or_before = [number for number in self._groups if number <= self.acked + 1]
        if at_or_before:
            return at_or_before[-1]
        return self._groups[0] if self._groups else self._next

    def get(self, number: int) -> Item | None:
        """This packet, or the key picture after it where it had to be dropped; None: not here yet."""
        item = self._items.get(number)
        if item is None and self._groups and number < self._groups[0]:
            item = self._items[self._groups[0]]
        return item

    def ack(self, number: int) -> None:
        """Everything up to `number` is in the recorder's spool."""
        self.acked = max(self.acked, min(number, self.newest))
        while len(self._groups) > 1 and self._groups[1] <= self.acked + 1:
            self._drop_group()

    def _drop_group(self) -> None:
        first = self._groups.popleft()
        end = self._groups[0] if self._groups else self._next
        for number in range(first, end):
            self.size_bytes -= self._items.pop(number).size_bytes
        self.dropped += max(0, end - max(first, self.acked + 1))
