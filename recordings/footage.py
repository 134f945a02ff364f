"""What there is of a camera in a span: pictures and sound of hour files and spool alike, each once.

For clips. Lists say where every frame lies; its bytes are read only when they are wanted, so an hour
of video costs a few megabytes here. Nothing is locked: the packager may append, move and delete
meanwhile. That is why the spool is listed first and the hour files are read after it (they only
grow, and say which frames of which segment they hold), and why a change in between starts it over.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from devices.models import Device
from recordings import hourfile
from recordings.exceptions import BadHourFileError, BadSegmentError
from recordings.hourfile import HourFile
from recordings.media import index, mp4
from recordings.media.matroska import MIN_TIME_MS, Place, Track
from recordings.media.mp4 import AUDIO_TRACK, FragmentHead
from recordings.models import Recording
from recordings.reindex import file_of_row
from recordings.repeats import own_frames
from recordings.segments import (
    GAP_MS,
    PART_SUFFIX,
    SegmentFile,
    list_segments,
    local_hour,
    read_places,
    read_track,
)
from recordings.timeline import from_ms, to_ms

TRIES = 5  # a segment closes every few seconds, and one try takes milliseconds
LONGEST_SEGMENT_MS = 10 * 60_000
# A row may be this far behind its file: the packager writes the file first, a run at a time.
ROW_LAG_MS = 2 * 3_600_000
LONE_FRAME_MS = 1_000


class Shot(NamedTuple):
    """One picture or one access unit of sound, without its bytes.

    `wall_ms`: epoch, presentation time. `duration_ms`: how long it is shown or heard; for the last
    one before a gap the usual time.
    """

    wall_ms: int
    size_bytes: int
    offset_bytes: int
    is_key: bool
    is_audio: bool
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one file; pictures in decode order, sound in the order of its time.

    `is_exact`: no picture is before the start that was asked for. Otherwise it begins with the key
    picture before, because what follows needs that one. `was_jpeg`: its pictures came as JPEG,
    whether they still are or the packager has encoded them (full range, no reordering).
    """

    path: Path
    track: Track
    shots: list[Shot]
    is_exact: bool
    was_jpeg: bool


def collect(device: Device, start_ms: int, end_ms: int) -> list[Stretch]:
    """Everything of `[start_ms, end_ms)`, oldest first; epoch ms.

    Streams begin with the key picture at or before `start_ms`, JPEGs with the first at or after it.
    Pictures behind `end_ms` are there where others before it are decoded after them.
    """
    spool: Path = settings.SPOOL_DIR / device.directory
    for _ in range(TRIES):
        listed = list_segments(spool)
        try:
            files = list(_hour_files(device, start_ms, end_ms))
            stretches = [stretch for file in files if (stretch := _of_file(file, start_ms, end_ms))]
            stretches += _of_spool(listed, files, start_ms, end_ms)
        except FileNotFoundError:
            continue
        if {one.path for one in listed} <= {one.path for one in list_segments(spool)}:
            break  # nothing was closed or deleted: what was listed is what was read
    else:
        raise FileNotFoundError(f"the video of {device.directory} did not stand still")
    return sorted(stretches, key=lambda stretch: stretch.shots[0].wall_ms)


def read(stretch: Stretch, shots: Iterable[Shot]) -> Iterator[bytes]:
    """The bytes of some of the stretch's shots, one after the other.

    Raises FileNotFoundError where the video is not there any more: collect again.
    """
    with _open(stretch.path) as fd:
        for shot in shots:
            data = os.pread(fd, shot.size_bytes, shot.offset_bytes)
            if len(data) < shot.size_bytes:
                raise FileNotFoundError(f"{stretch.path.name} was cut short")
            yield data


def newest_ms(device: Device) -> int:
    """Epoch ms up to which every picture that was taken in can be collected; 0 without any."""
    newest: int | None = None
    behind_ms = 0
    for segment in reversed(list_segments(settings.SPOOL_DIR / device.directory)):
        try:
            places = read_places(segment.path)
        except (FileNotFoundError, BadSegmentError):
            continue
        times = [place.time_ms for place in places if not place.is_audio]
        if not times:
            continue
        # Pictures shown before one that is there already may be on their way yet: at most as far
        # behind as any before was. A segment that has just begun does not show that.
        most = list(accumulate(times, max))
        behind_ms = max(behind_ms, *(a - b for a, b in zip(most, times, strict=True)), 0)
        if newest is not None:
            return newest - behind_ms
        newest = segment.start_ms + most[-1]
    if newest is not None:
        return newest - behind_ms
    rows = Recording.objects.kept().filter(device=device).order_by("-ended_at")
    ended_at = rows.values_list("ended_at", flat=True).first()
    return to_ms(ended_at) if ended_at is not None else 0


# --- hour files -------------------------------------------------------------------------------


def _hour_files(device: Device, start_ms: int, end_ms: int) -> Iterator[HourFile]:
    """As far as they are whole fragments now, the rows' word or more; oldest first."""
    rows = Recording.objects.filter(
        device=device,
        started_at__lt=from_ms(end_ms),
        ended_at__gt=from_ms(start_ms - ROW_LAG_MS),
    )
    known = {file.path: (row, file) for row in rows for file in [file_of_row(row)]}
    files: list[HourFile] = []
    for path in {*known, *_files_on_disk(device, start_ms, end_ms)}:
        row, file = known.get(path, (None, None))
        if row is not None and row.deleting_since is not None:
            continue
        try:
            found = hourfile.scan(path, file)
        except (FileNotFoundError, BadHourFileError):
            continue
        if found is not None:
            files.append(found)
    yield from sorted(files, key=lambda file: file.started_ms)


def _files_on_disk(device: Device, start_ms: int, end_ms: int) -> Iterator[Path]:
    """Also those that have no row yet."""
    zone = timezone.get_default_timezone()
    directory: Path = settings.RECORDINGS_DIR / device.directory
    first_ms = start_ms - LONGEST_SEGMENT_MS
    moments = (*range(first_ms, end_ms, 1_800_000), end_ms)  # zones are off by half hours too
    for day, hour in {(at.date, at.hour) for at in (local_hour(ms, zone) for ms in moments)}:
        yield from hourfile.existing(directory, day, hour)


def _of_file(file: HourFile, start_ms: int, end_ms: int) -> Stretch | None:
    sizes, walls, durations = index.columns(file.index)
    start, end = start_ms - file.started_ms, end_ms - file.started_ms
    first = max(0, index.position(walls, start))
    if walls[first] + durations[first] <= start:
        first += 1
    last = bisect_left(walls, end)
    if first >= last:
        return None
    at = file.init.size_bytes + sum(sizes[:first])
    pictures: list[Shot] = []
    sound: list[Shot] = []
    with _open(file.path) as fd:
        init = os.pread(fd, file.init.size_bytes, 0)
        for size in sizes[first:last]:
            head = mp4.read_fragment(
                lambda place, length: os.pread(fd, length, place), at, file.size_bytes
            )
            if head is not None:  # damaged in the middle: the rest is worth having
                _add_fragment(head, at, pictures, sound)
            at += size
    try:
        track = mp4.read_track(init)
    except ValueError as error:
        raise FileNotFoundError(f"{file.path.name} was replaced") from error
    whole = Stretch(file.path, track, pictures + sound, True, mp4.is_full_range(init))
    return _cut(whole, start_ms, end_ms)


def _add_fragment(head: FragmentHead, at: int, pictures: list[Shot], sound: list[Shot]) -> None:
    """`at`: where the fragment begins in its file."""
    for run in head.runs:
        times = list(accumulate(run.durations_ms, initial=run.media_ms))
        lasts = dict(zip(times, run.durations_ms, strict=False))
        is_audio = run.track_id == AUDIO_TRACK
        for time_ms, offset_ms, size, place, is_key in zip(
            times, run.offsets_ms, run.sizes_bytes, mp4.places(run), run.keys, strict=False
        ):
            shown_ms = time_ms + offset_ms
            wall_ms = head.wall_ms + shown_ms - head.media_ms
            lasts_ms = lasts.get(shown_ms, LONE_FRAME_MS)
            shot = Shot(wall_ms, size, at + place, is_key, is_audio, lasts_ms)
            (sound if is_audio else pictures).append(shot)


# --- the spool --------------------------------------------------------------------------------


def _of_spool(
    segments: Sequence[SegmentFile], files: Sequence[HourFile], start_ms: int, end_ms: int
) -> Iterator[Stretch]:
    """What the hour files do not hold. Raises FileNotFoundError where the spool changed."""
    for number, segment in enumerate(segments):
        if not start_ms - LONGEST_SEGMENT_MS < segment.start_ms < end_ms - MIN_TIME_MS:
            continue
        packaged = [hourfile.packaged_frames(file, segment) for file in files]
        if any(is_all for _, is_all in packaged):
            continue
        first = max((done for done, _ in packaged), default=0)
        try:
            track, places = read_track(segment.path), read_places(segment.path)
        except BadSegmentError:
            continue
        own = places[first : own_frames(segment, segments)]
        after = segments[number + 1].start_ms if number + 1 < len(segments) else None
        pictures = _shots(segment, [place for place in own if not place.is_audio], after)
        sound = _shots(segment, [place for place in own if place.is_audio], None)
        was_jpeg = track.codec == "mjpeg"
        if was_jpeg:
            pictures = [shot for shot in pictures if shot.wall_ms >= start_ms]
        whole = Stretch(segment.path, track, pictures + sound, True, was_jpeg)
        if found := _cut(whole, start_ms, end_ms):
            yield found


def _shots(segment: SegmentFile, places: Sequence[Place], after_ms: int | None) -> list[Shot]:
    """`after_ms`: start of the segment behind."""
    times = sorted({segment.start_ms + place.time_ms for place in places})
    if not times:
        return []
    lasts = {before: after - before for before, after in pairwise(times)}
    usual_ms = median_low(lasts.values()) if lasts else LONE_FRAME_MS
    is_followed = after_ms is not None and 0 < after_ms - times[-1] < GAP_MS
    lasts[times[-1]] = after_ms - times[-1] if after_ms and is_followed else usual_ms
    return [
        Shot(
            segment.start_ms + place.time_ms,
            place.size_bytes,
            place.offset_bytes,
            place.is_key,
            place.is_audio,
            lasts[segment.start_ms + place.time_ms],
        )
        for place in places
    ]


def _cut(whole: Stretch, start_ms: int, end_ms: int) -> Stretch | None:
    """From the key at or before the start to the last picture, in decode order, before the end."""
    pictures = [shot for shot in whole.shots if not shot.is_audio]
    shown = [
        number
        for number, shot in enumerate(pictures)
        if shot.wall_ms < end_ms and shot.wall_ms + shot.duration_ms > start_ms
    ]
    keys = [number for number, shot in enumerate(pictures) if shot.is_key]
    if not shown or not keys:
        return None
    # In a gap the first picture behind it counts, not the start.
    first_ms = max(start_ms, min(pictures[number].wall_ms for number in shown))
    first = max((key for key in keys if pictures[key].wall_ms <= first_ms), default=keys[0])
    kept = pictures[first : shown[-1] + 1]
    if not kept:
        return None
    from_ms = min(shot.wall_ms for shot in kept)
    heard = [
        shot
        for shot in whole.shots
        if shot.is_audio and from_ms < shot.wall_ms + shot.duration_ms and shot.wall_ms < end_ms
    ]
    return replace(whole, shots=kept + heard, is_exact=from_ms >= start_ms)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    """A file's descriptor; a segment may have got its final name since it was listed."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if path.suffix != PART_SUFFIX:
            raise
        fd = os.open(path.with_suffix(""), os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
