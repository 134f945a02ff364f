"""The wall time that hour files give to every picture, beside what is painted into it.

for frame in frames(*hour_files):
    frame.stamp.counter, frame.wall_ms
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av

from capture.media import counting
from recordings import hourfile
from recordings.media import index


class Frame(NamedTuple):
    """`stamp` is None where it cannot be read; `wall_ms`: epoch, as a player is told, and until
    when the picture stands."""

    stamp: counting.Stamp | None
    wall_ms: float
    end_ms: float


def frames(*paths: Path) -> Iterator[Frame]:
    """In the order of presentation. The wall time of a picture is that of its fragment and the
    media time since: what a playlist says (RFC 8216 §4.3.2.6)."""
    for path in paths:
        known = hourfile.scan(path)
        assert known is not None, f"{path.name} has no whole fragment"
        fragments = index.decode(
            known.index, started_ms=known.started_ms, init_bytes=known.init.size_bytes
        )
        begins = [fragment.media_ms for fragment in fragments]
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            tick_ms = 1000 * float(stream.time_base or 0)
            for frame in container.decode(stream):
                luma = frame.planes[0]
                stamp = counting.read_luma(luma, stride=luma.line_size, width=frame.width)
                media_ms = 1000 * float(frame.time or 0.0)
                # Half a millisecond: times are whole ones, `frame.time` is a division.
                fragment = fragments[max(0, bisect_right(begins, media_ms + 0.5) - 1)]
                wall_ms = fragment.wall_ms + media_ms - fragment.media_ms
                yield Frame(stamp, wall_ms, wall_ms + tick_ms * frame.duration)
