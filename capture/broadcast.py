"""One camera's H.264 or H.265 for those who watch it: the group of pictures so far, made into
fragments once for all of them and only when somebody watches. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from capture.media import livemedia
from recordings.media import mp4, nal
from recordings.media.matroska import Track

MAX_GOP_BYTES = 8 * 1024 * 1024
MAX_SOUND_BYTES = 256 * 1024  # waiting for the next picture
STILL_EVERY_MS = 2_000  # a still of H.265 costs a decoder's start
ORIGIN_STEP_MS = 30  # a viewer learns where media time lies when that moved by more


class Media(NamedTuple):
    """What the fragments that follow are. `origin_ms`: epoch ms of media time 0."""

    mime: str
    codec: str
    has_sound: bool  # of the camera, whether this viewer gets it or not
    origin_ms: int


class Piece(NamedTuple):
    """Bytes for a viewer: an init segment, or one or more fragments whose newest picture was
    captured at `captured_ms` (epoch).
    """

    captured_ms: int
    payload: bytes
    is_init: bool = False


class Picture:
    """One picture and the sound that came before it."""

    __slots__ = (
        "_fragment", "_length", "_payload", "_sound", "_units", "captured_ms", "decode_ms",
        "is_key", "media_ms", "number", "size_bytes", "still",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        times_ms: tuple[int, int, int],
        payload: bytes,
        units: list[tuple[int, int, bytes]],
        *,
        is_key: bool,
    ) -> None:
        """`times_ms`: captured (epoch), media and decode time."""
        self.number = number
        self.captured_ms, self.media_ms, self.decode_ms = times_ms
        self.is_key = is_key
        self.still: asyncio.Future[bytes] | None = None  # a key picture as JPEG, once asked for
        self._payload = payload
        self._length = len(payload)
        self._units = units
        self._fragment = self._sound = b""
        self.size_bytes = self._length + sum(len(unit) for _, _, unit in units)

    @property
    def payload(self) -> bytes:
        return self._payload or self._fragment[-self._length :]

    def fragments(self, *, has_sound: bool) -> bytes:
        """moof+mdat of the picture and, if wanted, one of the sound that rides along."""
        if not self._fragment:
            self._fragment = livemedia.picture_fragment(
                self.number, self.media_ms, self.decode_ms, self._payload, is_key=self.is_key
            )
            self._payload = b""  # it is the end of the fragment
        if not has_sound or not self._units:
            return self._fragment
        if not self._sound:
            self._sound = livemedia.sound_fragment(self.number, self._units)
        return self._sound + self._fragment


class Broadcast:
    """From one set of parameters to the next. `newest_ms`: when its last picture was captured."""

    def __init__(self, track: Track) -> None:
        """Raises ValueError for parameters that mean nothing."""
        self.track = track
        self.newest_ms = time.time_ns() // 1_000_000  # nothing yet, but just begun
        self.key: Picture | None = None
        self.gop: list[Picture] = []
        self.is_whole = False  # `gop` reaches from its key picture to the newest one
        self._gop_bytes = 0
        self._timeline = livemedia.Timeline()
        self._run = self._number = 0  # of the newest packet
        self._count = 0
        self._units: list[tuple[int, int, bytes]] = []
        self._units_bytes = 0
        self._still_ms = 0
        self._inits: dict[bool, bytes] = {}
        self._codec = nal.codec_string(track.codec, track.config)
        self._audio_codec = track.audio and nal.audio_codec_string(track.audio.config)

    def media(self, origin_ms: int, *, has_sound: bool) -> Media:
        codecs = self._codec
        if has_sound and self._audio_codec:
            codecs += f",{self._audio_codec}"
        mime = f'video/mp4; codecs="{codecs}"'
        return Media(mime, self.track.codec, self.track.audio is not None, origin_ms)

    def init(self, *, has_sound: bool) -> bytes:
        """ftyp + moov, made once."""
        if has_sound not in self._inits:
            track = self.track if has_sound else self.track._replace(audio=None)
            self._inits[has_sound] = mp4.init_segment(track)
        return self._inits[has_sound]

    def step(self, run: int, number: int) -> int:
        """How far a packet is ahead of the newest so far: 1 for the next one, less for one that was
        there before. The first of another run is 2 ahead: pictures do not refer across runs.
        """
        step = number - self._number if run == self._run else 2
        if step > 0:
            self._run, self._number = run, number
        return step

    def add(self, captured_ms: int, shown_ms: int, payload: bytes, *, is_key: bool) -> Picture:
        """The next picture in decode order; `shown_ms` is its presentation time by any clock."""
        self._count += 1
        media_ms, decode_ms = self._timeline.place(shown_ms)
        picture = Picture(
            self._count, (captured_ms, media_ms, decode_ms), payload, self._units, is_key=is_key
        )
        self._units, self._units_bytes = [], 0
        self.newest_ms = captured_ms
        if is_key:
            self.key = picture
            self.gop = [picture]
            self._gop_bytes, self.is_whole = picture.size_bytes, True
        elif self.is_whole:
            self._gop_bytes += picture.size_bytes
            self.gop.append(picture)
            if self._gop_bytes > MAX_GOP_BYTES:
                self.gop = self.gop[:1]
                self.is_whole = False
        return picture

    def add_sound(self, shown_ms: int, payload: bytes) -> None:
        """Goes along with the next picture."""
        placed = self._timeline.place_sound(shown_ms)
        if placed is None:
            return
        self._units.append((*placed, payload))
        self._units_bytes += len(payload)
        while self._units_bytes > MAX_SOUND_BYTES:
            self._units_bytes -= len(self._units.pop(0)[2])

    def tear(self) -> None:
        """Pictures are missing: what follows means nothing up to the next key picture."""
        self.is_whole = False
        self.gop = self.gop[:1]

    def is_over(self, wall_ms: int) -> bool:
        """Its newest picture is older than that."""
        return self.newest_ms < wall_ms

    def is_still_due(self, captured_ms: int) -> bool:
        """Whether those who watch stills get this key picture."""
        if abs(captured_ms - self._still_ms) < STILL_EVERY_MS:
            return False
        self._still_ms = captured_ms
        return True
