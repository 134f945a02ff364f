"""Packets of a live stream as fragments that a browser's MediaSource plays at once.

A player must not have to wait for the next picture to know how long this one lasts, and a pause of
the camera must not end its playing. So each picture is a fragment of its own that claims TAIL_MS;
the next one simply takes over. (Media Source Extensions §3.5.8: a step of decode time above twice
the last duration throws away everything up to the next key picture.) Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from recordings.media.mp4 import AUDIO_TRACK, VIDEO_TRACK, Run, Sample, moof_mdat

FIRST_MS = 10_000  # media time of the first picture; what is shown before it has room
TAIL_MS = 1_000
HOLE_MS = 1_900  # below 2 * TAIL_MS; a longer pause is left out of media time
BACK_MS = 2_000  # pictures out of order lie closer together than this; further back is a step
STEP_MS = 40  # what is left of a hole
MAX_SOUND_MS = 100  # of one access unit; the longest of AAC has 2,048 samples at 24 kHz, 85 ms


class Timeline:
    """Media times of one stream from its packets' presentation times, which may pause and jump.

    Decode times only rise: where pictures come out of order, the later shown one comes first and
    the others get a negative offset. Pictures and sound are shifted alike.
    """

    def __init__(self) -> None:
        self._shift_ms: int | None = None  # presentation minus media time
        self._newest_ms = 0  # greatest presentation time so far
        self._decoded_ms = 0
        self._sounded_ms = 0
        self._sound_ms = 21

    def place(self, shown_ms: int) -> tuple[int, int]:
        """(media time, decode time) of the next picture in decode order."""
        if self._shift_ms is None:
            self._shift_ms = shown_ms - FIRST_MS
            self._newest_ms = shown_ms
        ahead_ms = shown_ms - self._newest_ms
        if ahead_ms > HOLE_MS or ahead_ms < -BACK_MS:
            self._shift_ms += ahead_ms - STEP_MS
            self._newest_ms = shown_ms
        self._newest_ms = max(self._newest_ms, shown_ms)
        media_ms = shown_ms - self._shift_ms
        self._decoded_ms = max(self._decoded_ms + 1, media_ms)
        return media_ms, self._decoded_ms

    def place_sound(self, shown_ms: int) -> tuple[int, int] | None:
        """(media time, duration) of an access unit; None before the first picture, and for one
        that does not come after the one before it.
        """
        if self._shift_ms is None:
            return None
        media_ms = shown_ms - self._shift_ms
        step_ms = media_ms - self._sounded_ms
        if step_ms <= 0 and step_ms > -BACK_MS:
            return None
        if 0 < step_ms <= MAX_SOUND_MS:
            self._sound_ms = step_ms
        self._sounded_ms = media_ms
        return (media_ms, self._sound_ms) if media_ms >= 0 else None


def picture_fragment(
    number: int, media_ms: int, decode_ms: int, payload: bytes, *, is_key: bool
) -> bytes:
    """moof+mdat of one picture."""
    sample = Sample(TAIL_MS, len(payload), is_key, media_ms - decode_ms)
    return moof_mdat(number, [Run(VIDEO_TRACK, decode_ms, [sample], [payload])])


def sound_fragment(number: int, units: Sequence[tuple[int, int, bytes]]) -> bytes:
    """moof+mdat of access units that follow each other, as (media time, duration, payload)."""
    samples = []
    for (media_ms, duration_ms, payload), following in zip(units, [*units[1:], None], strict=True):
        length_ms = duration_ms if following is None else following[0] - media_ms
        samples.append(Sample(length_ms, len(payload), is_key=True))
    payloads = [payload for _, _, payload in units]
    return moof_mdat(number, [Run(AUDIO_TRACK, units[0][0], samples, payloads)])
