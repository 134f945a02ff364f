"""Encodes pictures of a clip that cannot be copied: chunks of them side by side, one FFmpeg child
each, because one child uses one core and somebody waits.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from clips.assembly import Piece, chunks
from recordings import encoder, footage, policy
from recordings.encoder import Encoded, Encoder, Packet
from recordings.exceptions import EncodeError
from recordings.footage import Shot, Stretch
from recordings.media.matroska import Track

KEYFRAME_MS = 2_000  # as the packager's, so that a clip seeks like a recording
# Over all clips of this process: more children than cores would only take memory.
_CORES = os.cpu_count() or 1
_encodes = threading.BoundedSemaphore(_CORES)


class Coded(NamedTuple):
    """`track`: H.264 as it came out. `pictures`: what is kept, in order; the first one is a key."""

    track: Track
    pictures: list[tuple[Shot, Packet]]


def encode(
    pieces: Iterable[tuple[int, Piece]], size: tuple[int, int] | None
) -> Iterator[tuple[int, Coded]]:
    """(number of the piece, H.264 of a chunk of it), in order, with the packager's settings; chunks
    without one picture that can be decoded are left out. `size`: of the output, even, in pixels;
    without one all pictures came as JPEG and give the same parameter sets as the packager's.

    Only what lies at or after a piece's `from_ms` is kept. Raises EncodeError, EncoderMissingError,
    FileNotFoundError.
    """
    rules = policy.current()  # here: the threads below must not open database connections
    chosen = encoder.choose(rules.encoder, rules.preset, rules.crf)
    waiting: deque[tuple[int, Future[Coded | None]]] = deque()
    with ThreadPoolExecutor(_CORES, thread_name_prefix="clip") as pool:
        try:
            for number, piece in pieces:
                for shots in chunks(piece):
                    future = pool.submit(_encode_chunk, piece, shots, size, chosen)
                    waiting.append((number, future))
                    # Not all at once: what is done and not yet fetched is held in memory.
                    if len(waiting) > _CORES:
                        yield from _next(waiting)
            while waiting:
                yield from _next(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _next(waiting: deque[tuple[int, Future[Coded | None]]]) -> Iterator[tuple[int, Coded]]:
    number, future = waiting.popleft()
    if coded := future.result():
        yield number, coded


def _encode_chunk(
    piece: Piece, shots: Sequence[Shot], size: tuple[int, int] | None, chosen: Encoder
) -> Coded | None:
    stretch, from_ms = piece.stretch, piece.from_ms
    try:
        return _keep(stretch, shots, from_ms, size, chosen)
    except EncodeError:
        if not chosen.is_software:
            return _keep(stretch, shots, from_ms, size, encoder.distrust(chosen))
        is_jpeg = stretch.track.codec == "mjpeg"
        if is_jpeg and not encoder.can_decode(footage.read(stretch, shots)):
            return None
        raise


def _keep(
    stretch: Stretch,
    shots: Sequence[Shot],
    from_ms: int,
    size: tuple[int, int] | None,
    chosen: Encoder,
) -> Coded:
    base_ms = min(shot.wall_ms for shot in shots)
    by_time = {shot.wall_ms - base_ms: shot for shot in shots}
    kept_from = min(time_ms for time_ms in by_time if time_ms + base_ms >= from_ms)
    encoded = _encode(stretch, shots, chosen, base_ms=base_ms, kept_from=kept_from, size=size)
    kept = [packet for packet in encoded.packets if packet.time_ms >= kept_from]
    if not kept or not kept[0].is_key or not by_time.keys() >= {one.time_ms for one in kept}:
        raise EncodeError("FFmpeg changed the times of pictures, or left the first one out.")
    source = stretch.track
    width, height = size or (encoder.even(source.width), encoder.even(source.height))
    track = Track("h264", width, height, encoded.avcc)
    return Coded(track, [(by_time[packet.time_ms], packet) for packet in kept])


def _encode(
    stretch: Stretch,
    shots: Sequence[Shot],
    chosen: Encoder,
    *,
    base_ms: int,
    kept_from: int,
    size: tuple[int, int] | None,
) -> Encoded:
    source = stretch.track._replace(audio=None)
    last_ms = max(shot.wall_ms for shot in shots) - base_ms
    frames = (
        (shot.wall_ms - base_ms, payload)
        for shot, payload in zip(shots, footage.read(stretch, shots), strict=True)
    )
    with _encodes:
        return encoder.encode(
            chosen,
            source,
            frames,
            sorted({0, *range(kept_from, last_ms + 1, KEYFRAME_MS)}),
            niceness=0,
            size=size,
        )
