"""What one person who watches a camera has still to be sent; bounded, whatever they do.

Used on the event loop only.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import NamedTuple

from capture.broadcast import ORIGIN_STEP_MS, Broadcast, Media, Picture, Piece

MAX_QUEUE_BYTES = 8 * 1024 * 1024
MAX_QUEUE_MS = 10_000
MAX_JOINED_BYTES = 1024 * 1024  # fragments that waited travel together


class LiveFrame(NamedTuple):
    """One whole JPEG and the wall time (epoch ms) at which it arrived."""

    captured_ms: int
    payload: bytes


class Show(enum.Enum):
    """What a viewer of a stream wants; JPEG cameras give all of them JPEGs."""

    VIDEO = "video"
    SOUND = "sound"  # video with sound
    STILLS = "stills"  # key pictures as JPEGs, for who cannot play the codec


class _Place(enum.Enum):
    """Where a viewer of a stream is."""

    OUTSIDE = enum.auto()  # begins with the group so far
    LOST = enum.auto()  # goes on at the next key picture
    INSIDE = enum.auto()


class Viewer:
    """One open picture; `wake` is set on a new frame and on anything else worth a look."""

    def __init__(self, show: Show = Show.STILLS) -> None:
        self.wake = asyncio.Event()
        self.frame: LiveFrame | None = None
        self.skipped_frames = 0
        self.still: Picture | None = None  # the key picture to be shown as a JPEG
        self.restart(show)

    # --- JPEG cameras -----------------------------------------------------------------------------

    def offer(self, frame: LiveFrame) -> None:
        if self.frame is not None:
            self.skipped_frames += 1  # the newest wins
        self.frame = frame
        self.wake.set()

    def take(self) -> LiveFrame | None:
        frame, self.frame = self.frame, None
        return frame

    # --- streams ----------------------------------------------------------------------------------

    def restart(self, show: Show) -> None:
        """As if nothing had been sent yet."""
        self.show = show
        self.still = None
        self._place = _Place.OUTSIDE
        self._broadcast: Broadcast | None = None  # whose parameters were told or wait in the queue
        self._origin_ms = 0
        self._queue: deque[Media | Piece] = deque()
        self._queued_bytes = 0

    @property
    def is_streaming(self) -> bool:
        return self._broadcast is not None

    @property
    def has_media(self) -> bool:
        """What comes next is Media, which is sent without being asked for."""
        return bool(self._queue) and isinstance(self._queue[0], Media)

    @property
    def has_picture(self) -> bool:
        """There is something to send against credit."""
        return self.frame is not None or self.still is not None or bool(self._queue)

    def open(self, broadcast: Broadcast) -> None:
        """Begin with what there is: the group of pictures so far, or its key picture alone."""
        if self.show is Show.STILLS:
            if broadcast.key is not None:
                self.offer_still(broadcast.key)
        elif broadcast.gop:
            self._enter(broadcast, broadcast.gop)
            self._place = _Place.INSIDE if broadcast.is_whole else _Place.LOST

    def follow(self, broadcast: Broadcast, picture: Picture, *, is_late: bool) -> None:
        """The camera's next picture, which is in `broadcast` already."""
        if self.show is Show.STILLS:
            return
        if is_late:
            self._place = _Place.OUTSIDE
        elif self._place is _Place.LOST and not picture.is_key:
            return
        elif self._broadcast is not broadcast or self._place is _Place.OUTSIDE:
            self.open(broadcast)
        else:
            self._enter(broadcast, [picture])
            self._place = _Place.INSIDE
            self._shed()

    def lose(self) -> None:
        """Pictures are missing: nothing can be shown before the next key picture."""
        if self._place is _Place.INSIDE:
            self._place = _Place.LOST

    def offer_still(self, picture: Picture) -> None:
        if self.show is Show.STILLS:
            self.still = picture  # the newest wins
            self.wake.set()

    def _enter(self, broadcast: Broadcast, pictures: list[Picture]) -> None:
        """Queue pictures, and before them whatever the viewer has to know first."""
        has_sound = self.show is Show.SOUND
        newest = pictures[-1]
        origin_ms = newest.captured_ms - newest.media_ms
        is_new = self._broadcast is not broadcast
        if is_new:
            self._queue.clear()
            self._queued_bytes = 0
            self._broadcast = broadcast
        if is_new or abs(origin_ms - self._origin_ms) > ORIGIN_STEP_MS:
            self._origin_ms = origin_ms
            self._queue.append(broadcast.media(origin_ms, has_sound=has_sound))
        if is_new:
            self._push(Piece(newest.captured_ms, broadcast.init(has_sound=has_sound), is_init=True))
        fragments = [picture.fragments(has_sound=has_sound) for picture in pictures]
        self._push(Piece(newest.captured_ms, b"".join(fragments)))
        self.wake.set()

    def _push(self, piece: Piece) -> None:
        self._queue.append(piece)
        self._queued_bytes += len(piece.payload)

    def _shed(self) -> None:
        """A viewer that fell behind is not sent the past: it goes on at the next key picture."""
        waiting = [item for item in (self._queue[0], self._queue[-1]) if isinstance(item, Piece)]
        behind_ms = waiting[-1].captured_ms - waiting[0].captured_ms
        if self._queued_bytes <= MAX_QUEUE_BYTES and behind_ms <= MAX_QUEUE_MS:
            return
        if any(isinstance(item, Media) or item.is_init for item in self._queue):
            self._broadcast = None  # what it had to know first goes too, and is told again
        self._queue.clear()
        self._queued_bytes = 0
        self._place = _Place.LOST

    def take_media(self) -> Media | None:
        if self._queue and isinstance(self._queue[0], Media):
            return self._queue.popleft()  # type: ignore[return-value]
        return None

    def take_piece(self) -> Piece | None:
        """The init segment, or the fragments that waited, together."""
        if not self._queue or not isinstance(first := self._queue[0], Piece):
            return None
        parts: list[bytes] = []
        size = 0
        while self._queue and size < MAX_JOINED_BYTES:
            piece = self._queue[0]
            if isinstance(piece, Media) or (parts and piece.is_init):
                break
            first = piece
            self._queue.popleft()
            parts.append(piece.payload)
            size += len(piece.payload)
            if piece.is_init:
                break
        self._queued_bytes -= size
        return Piece(first.captured_ms, b"".join(parts), first.is_init)
