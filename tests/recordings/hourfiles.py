"""Hour files for tests: real ones made by FFmpeg, and rows with an index alone for whole days."""

from __future__ import annotations

import shutil
import struct
import subprocess
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
from django.conf import settings
from django.utils import timezone

from devices.models import Device
from recordings.media import index
from recordings.models import Recording
from recordings.timeline import to_ms
from tests.factories import make_recording

FFMPEG = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()


def make_video(path: Path, *, seconds: float, size: str = "320x240", fps: int = 10) -> None:
    """Fragmented MP4, a fragment and keyframe every 2 s, ended as a growing file is: no mfra."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = f"testsrc=size={size}:rate={fps}:duration={seconds}"
    options = "-preset ultrafast -bf 0 -sc_threshold 0 -pix_fmt yuv420p -video_track_timescale 1000"
    flags = "+frag_keyframe+empty_moov+default_base_moof+skip_trailer"
    subprocess.run(
        [
            *(FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:v", "libx264"),
            *(*options.split(), "-g", str(2 * fps), "-f", "mp4", "-movflags", flags, str(path)),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def fragments_of(path: Path) -> tuple[int, list[int]]:
    """Bytes of ftyp+moov, and of each fragment (moof+mdat)."""
    data = path.read_bytes()
    starts: list[int] = []
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"moof":
            starts.append(at)
        at += size
    assert at == len(data), "the file ends inside a box"
    return starts[0], [b - a for a, b in pairwise([*starts, at])]


def make_hour_file(
    device: Device,
    started_at: datetime,
    *,
    seconds: int = 20,
    gap_after: int | None = None,
    gap_ms: int = 0,
    size: str = "320x240",
    name: str = "",
) -> Recording:
    """File and row. Wall time jumps by `gap_ms` after the fragment number `gap_after`."""
    local = timezone.localtime(started_at)
    relative = f"{device.directory}/{local:%Y-%m-%d}/{name or f'{local:%H}'}.mp4"
    path = Path(settings.RECORDINGS_DIR) / relative
    make_video(path, seconds=seconds, size=size)
    init_bytes, sizes = fragments_of(path)
    started_ms = to_ms(started_at)
    entries = []
    for number, size_bytes in enumerate(sizes):
        late = gap_ms if gap_after is not None and number > gap_after else 0
        entries.append(index.Entry(size_bytes, started_ms + number * 2000 + late, 2000))
    width, height = (int(part) for part in size.split("x"))
    return make_recording(
        device,
        started_at=started_at,
        path=relative,
        ended_at=started_at + timedelta(seconds=seconds, milliseconds=gap_ms),
        duration_ms=seconds * 1000,
        size_bytes=path.stat().st_size,
        init_bytes=init_bytes,
        fragment_index=index.encode(entries, started_ms),
        width=width,
        height=height,
    )


def make_indexed_hours(device: Device, started_at: datetime, hours: int, *, gaps: int = 0) -> None:
    """Rows as a camera leaves them, 1800 fragments an hour, with `gaps` silences of 10 s in each."""
    rows = []
    for number in range(hours):
        start = started_at + timedelta(hours=number)
        local = timezone.localtime(start)
        start_ms = to_ms(start)
        wall, entries = start_ms, []
        count = 1800 - 5 * gaps
        silent_after = {number * count // (gaps + 1) for number in range(1, gaps + 1)}
        for fragment in range(count):
            entries.append(index.Entry(60_000 + fragment % 7, wall, 2000))
            wall += 2000
            if fragment in silent_after:
                wall += 10_000
        rows.append(
            Recording(
                device=device,
                path=f"{device.directory}/{local:%Y-%m-%d}/{local:%H}.mp4",
                date=local.date(),
                hour=local.hour,
                started_at=start,
                ended_at=start + timedelta(milliseconds=wall - start_ms),
                size_bytes=700 + sum(entry.size_bytes for entry in entries),
                duration_ms=count * 2000,
                init_bytes=700,
                codecs="avc1.42c01f",
                width=800,
                height=600,
                fragment_index=index.encode(entries, start_ms),
            )
        )
    Recording.objects.bulk_create(rows)
