"""From rows to what a player asks for: the playlist of a span, the file of a recording."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from recordings.exceptions import FileMissingError
from recordings.media.playlist import HourFile, render
from recordings.models import Recording
from recordings.timeline import from_ms, to_ms

# A week as one playlist is about 7 MB of text, built in memory.
MAX_PLAYLIST_MS = 7 * 24 * 3600 * 1000 + 3600 * 1000


def settling_time() -> timedelta:
    """How long after a moment its video may still be appended: its segment must close, which waits
    for a key picture, then nobody may repeat it (`repeats.HOLD_SECONDS`), then it is packaged.
    """
    return timedelta(seconds=max(120, 4 * settings.NVR_SEGMENT_SECONDS + 60))


def is_growing(ended_at: datetime, now: datetime) -> bool:
    """Whether the packager may soon append to a file whose video ends at `ended_at`."""
    return now - ended_at < settling_time()


def playlist(
    device_pk: int, start_ms: int, end_ms: int, *, now: datetime, uri_of: Callable[[int], str]
) -> str:
    """HLS for `[start_ms, end_ms)` of one camera, "" where there is no video yet; one query.

    A span that reaches into the time that may still be appended to is an EVENT playlist without an
    end. `uri_of` gives the address of a recording's file from its primary key.
    """
    rows = list(
        Recording.objects.kept()
        .filter(device=device_pk)
        .overlapping(from_ms(start_ms), from_ms(end_ms))
        .order_by("started_at", "pk")
        .values_list("pk", "started_at", "ended_at", "init_bytes", "fragment_index")
    )
    last = len(rows) - 1
    files = (
        HourFile(
            uri=uri_of(pk),
            started_ms=to_ms(started_at),
            init_bytes=init_bytes,
            fragment_index=blob,
            # Segments are packaged in order: only the newest file can still grow.
            is_open=position == last and is_growing(ended_at, now),
        )
        for position, (pk, started_at, ended_at, init_bytes, blob) in enumerate(rows)
    )
    return render(
        files,
        start_ms=start_ms,
        end_ms=end_ms,
        is_growing=end_ms > to_ms(now - settling_time()),
    )


def file_of(path: str) -> Path:
    """Where the video of a row's `path` lies. Raises FileMissingError.

    Rows are written by the recorder alone, but the file name in one is still not trusted to stay
    below the recordings directory, nor a symbolic link put there to point inside it.
    """
    root = settings.RECORDINGS_DIR.resolve()
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, ValueError) as error:
        raise FileMissingError(path) from error
    if not found.is_relative_to(root) or not found.is_file():
        raise FileMissingError(path)
    return found


def download_name(recording: Recording) -> str:
    """`<camera>_<date>_<HH>.mp4`, with `-2` as on disk where an hour has several files."""
    return f"{recording.device.name}_{recording.date:%Y-%m-%d}_{Path(recording.path).name}"
