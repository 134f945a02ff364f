"""Captures of what a camera streams anyway: its newest picture, or the video of the next seconds.

Read from the spool and the hour files, where the web process writes every frame within a tenth of
a second of its arrival. The camera is not opened and notices nothing, whatever kind it is; size and
rate are the stream's own.
"""

from __future__ import annotations

import contextlib
import errno
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from capture.agent import locks
from capture.media import jpeg
from clips import arrival, cutter
from clips.exceptions import ClipError, NoFootageError, NoRoomError
from devices import livestate
from devices.models import Device, Presence, Source
from devices.redaction import redact
from recordings import footage
from recordings.exceptions import BadSegmentError, EncoderMissingError, RecordingError
from recordings.ffmpeg import find_ffmpeg
from recordings.media.matroska import Track
from recordings.segments import SegmentFile, list_segments, read_places, read_track
from recordings.stills import jpeg_of
from stills.cameras.protocol import Order
from stills.exceptions import CaptureError

BEGINNING_S = 5.0  # what the web process says is up to two seconds old
_BEGINNING = (Source.State.CONNECTING, Source.State.RUNNING)
_CONNECTED = (Presence.ONLINE, Presence.STREAMING)
PICTURE_WAIT_S = 3.0
# Cameras that encode send a key picture every few seconds, some every ten; one that has just come
# shows the present as well.
KEY_WAIT_S = 12.0
KEY_AGE_MS = 2_000
# What a rename or a torn read hides is there at the next look.
LOOK_EVERY_S = 0.1
WANTED_EVERY_S = 0.25
REWRAP_S = 120.0  # an hour of video on a slow card
_MAX_SIDE = 65_535  # what a JPEG's header can say; `jpeg_of` refuses too many pixels


def device_of(address: str) -> Device | None:
    """The camera that takes this machine's physical camera in as a stream; None where none does.

    `address`: as sources have it. Of several one that streams now. It comes with its `source`.
    """
    wanted = locks.camera_path(settings.RUN_DIR, address)
    if wanted is None:
        return None
    rows = Source.objects.select_related("device", "node").filter(
        kind__in=(Source.Kind.USB, Source.Kind.PICAMERA),
        is_enabled=True,
        node__is_local=True,
        device__removing_since=None,
    )
    found = [
        row.device
        for row in rows.order_by("pk")
        if locks.camera_path(settings.RUN_DIR, row.url) == wanted
    ]
    return next(filter(is_streaming, found), found[0] if found else None)


def is_streaming(device: Device) -> bool:
    """Whether pictures come from it now, by what the web process says every two seconds."""
    live = livestate.read().get(device.pk)
    return live is not None and live.presence == Presence.STREAMING and not live.is_stalled


def begins_to_stream(device: Device, *, is_wanted: Callable[[], bool]) -> bool:
    """Whether it streams, now or within the next seconds: a stream that is just beginning is not
    worth interrupting for a picture.
    """
    deadline_s = time.monotonic() + BEGINNING_S
    while not is_streaming(device):
        # Connected is known at once, what the agent says of its source within two seconds.
        device.refresh_from_db(fields=["presence"])
        device.source.refresh_from_db(fields=["state"])
        begins = device.presence in _CONNECTED or device.source.state in _BEGINNING
        if not begins or time.monotonic() > deadline_s or not is_wanted():
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def take(device: Device, order: Order, into: Path, *, is_wanted: Callable[[], bool]) -> None:
    """Writes one whole file of `order.kind`; as `cameras.protocol.Camera.take` otherwise.

    A picture was captured after this call, or is a key picture of at most KEY_AGE_MS before; a
    video holds what is captured in the `order.duration_ms` from now on, a little more where the
    camera encodes (it begins with the key picture before). Raises CaptureError: `no_stream`,
    `unsupported`, `cancelled`, `disk_full`, `missing_program`, `failed`.
    """
    if order.kind == "dng":
        text = "A stream has no raw pictures; only this machine's own camera gives one."
        raise CaptureError("unsupported", text)
    with _explained(), _tidied(into):
        if order.kind == "jpg":
            into.write_bytes(_picture(device, order, is_wanted))
        else:
            _video(device, order, into, is_wanted)


# --- a picture ------------------------------------------------------------------------------------


class _Taken(NamedTuple):
    """A picture that can be decoded alone."""

    track: Track
    wall_ms: int
    payload: bytes


def _picture(device: Device, order: Order, is_wanted: Callable[[], bool]) -> bytes:
    """One JPEG. A picture that cannot be decoded is weather: the next one may do."""
    asked_ms, began = _now_ms(), time.monotonic()
    after_ms = -1
    while True:
        _check(is_wanted)
        taken = _newest(device, asked_ms)
        if taken is not None and taken.wall_ms > after_ms:
            try:
                return _as_jpeg(taken, order)
            except EncoderMissingError:
                raise
            except (RecordingError, jpeg.BadFrame):
                after_ms = taken.wall_ms
        if time.monotonic() - began > _patience_s(device, time.monotonic() - began):
            raise _nothing_came(device)
        time.sleep(LOOK_EVERY_S)  # what comes is in a file another process writes


def _newest(device: Device, asked_ms: int) -> _Taken | None:
    """The newest picture in the spool that is new enough and needs no other."""
    for segment in _newest_segments(device):
        try:
            track, places = read_track(segment.path), read_places(segment.path)
            since_ms = asked_ms if track.codec == "mjpeg" else asked_ms - KEY_AGE_MS
            keys = [place for place in places if place.is_key and not place.is_audio]
            if not keys or segment.start_ms + keys[-1].time_ms < since_ms:
                continue
            with segment.path.open("rb") as file:
                file.seek(keys[-1].offset_bytes)
                payload = file.read(keys[-1].size_bytes)
        except (FileNotFoundError, BadSegmentError):
            continue  # it was given its name this moment, or is packaged and gone
        return _Taken(track, segment.start_ms + keys[-1].time_ms, payload)
    return None


def _as_jpeg(taken: _Taken, order: Order) -> bytes:
    """Scaled to fit where a smaller size is asked for; else a JPEG stays byte for byte."""
    track = taken.track
    if track.codec == "mjpeg":
        size = jpeg.size_of(taken.payload, _MAX_SIDE, _MAX_SIDE)
    else:
        size = (track.width, track.height)
    return jpeg_of(track._replace(audio=None), taken.payload, width=_width_within(size, order))


def _width_within(size: tuple[int, int], order: Order) -> int:
    """Even, as 4:2:0 wants it; 0 where the picture fits as it is."""
    width, height = size
    if not (width and height):
        return 0
    scale = min((order.width or width) / width, (order.height or height) / height)
    return 0 if scale >= 1 else max(2, int(width * scale) // 2 * 2)


def _patience_s(device: Device, waited_s: float) -> float:
    """Longer where pictures are rare: of a camera that encodes, and of one that is asked rarely."""
    if waited_s <= PICTURE_WAIT_S or not is_streaming(device):
        return PICTURE_WAIT_S
    source = Source.objects.filter(device=device).only("rate_fps").first()
    rate_fps = source.rate_fps if source is not None else 0.0
    if _codec(device) == "mjpeg" and not 0 < rate_fps < 1:
        return PICTURE_WAIT_S
    return KEY_WAIT_S


def _codec(device: Device) -> str:
    """What it sends, by its newest segment; "" without one."""
    for segment in _newest_segments(device):
        with contextlib.suppress(FileNotFoundError, BadSegmentError):
            return read_track(segment.path).codec
    return ""


def _newest_segments(device: Device) -> list[SegmentFile]:
    """What is written now, and what may just have ended. Names follow the wall clock, so after that
    was set back the newest name is not the newest video.
    """
    segments = list_segments(settings.SPOOL_DIR / device.directory)[::-1]
    is_open = [segment for segment in segments if segment.is_open]
    return is_open + [segment for segment in segments if not segment.is_open][:2]


# --- a video --------------------------------------------------------------------------------------


def _video(device: Device, order: Order, into: Path, is_wanted: Callable[[], bool]) -> None:
    start_ms = _now_ms()
    end_ms = start_ms + max(1, order.duration_ms)
    if order.kind == "h264" and _codec(device) == "hevc":
        raise _no_h264(device)
    _wait_for(device, start_ms, end_ms, is_wanted)
    if order.kind == "mp4":
        cutter.write_video(device, start_ms, end_ms, into=into, side=_beside(into, ".enc"))
        return
    wrapped = _beside(into, ".mp4")
    made = cutter.write_video(device, start_ms, end_ms, into=wrapped, side=_beside(into, ".enc"))
    if made.track.codec != "h264":  # another codec since
        raise _no_h264(device)
    _unwrap(wrapped, into, is_wanted)


def _wait_for(device: Device, start_ms: int, end_ms: int, is_wanted: Callable[[], bool]) -> None:
    """Until the span is over and its last frames have come. By the monotonic clock: a wall clock
    that is set must not make a minute an hour.
    """
    began = time.monotonic()
    has_begun, looked_s = False, 0.0
    while True:
        _check(is_wanted)
        waited_s = time.monotonic() - began
        left_s = (end_ms - start_ms) / 1000 - waited_s
        if left_s <= 0:
            # Not as long as a clip waits: a client does, and its patience is short.
            patience_ms = min(arrival.patience_ms(device, end_ms), arrival.LAGGING_MS)
            if -left_s * 1000 >= patience_ms:
                return
        elif not has_begun and waited_s - looked_s > 1:
            looked_s = waited_s
            has_begun = footage.newest_ms(device) > start_ms
            if not has_begun and waited_s > KEY_WAIT_S and not is_streaming(device):
                raise _nothing_came(device)  # nobody waits an hour for a camera that is away
        time.sleep(min(WANTED_EVERY_S, left_s) if left_s > 0 else LOOK_EVERY_S)


def _unwrap(mp4: Path, into: Path, is_wanted: Callable[[], bool]) -> None:
    """H.264 with start codes (ITU-T H.264 Annex B), parameter sets before every key picture."""
    argv = [
        find_ffmpeg(), "-hide_banner", "-v", "error", "-nostats", "-nostdin", "-y",
        "-i", str(mp4), "-map", "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb",
        "-f", "h264", str(into),
    ]  # fmt: skip
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + REWRAP_S
    with child:  # its end waits for the child: no zombie stays
        try:
            while True:
                _check(is_wanted)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = child.communicate(timeout=WANTED_EVERY_S)[1]
                    break
                if time.monotonic() > deadline:
                    raise CaptureError("timeout", "FFmpeg took too long to write the video.")
        finally:
            child.kill()
    if child.returncode:
        detail = redact(said.decode(errors="replace")).strip()
        if "No space left" in detail:
            raise OSError(errno.ENOSPC, "FFmpeg could not write")
        raise CaptureError("failed", "FFmpeg could not write the video.", detail=detail[-500:])


def _beside(into: Path, suffix: str) -> Path:
    return into.with_name(into.name + suffix)


# --- what can go wrong ----------------------------------------------------------------------------


@contextmanager
def _explained() -> Iterator[None]:
    """Other apps' errors and the disk's as CaptureError."""
    try:
        yield
    except NoFootageError as error:
        raise CaptureError("no_stream", str(error)) from error
    except NoRoomError as error:
        raise CaptureError("disk_full", str(error)) from error
    except EncoderMissingError as error:
        raise CaptureError("missing_program", str(error)) from error
    except (ClipError, RecordingError) as error:
        raise CaptureError("failed", str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CaptureError("disk_full", "The disk is full: nothing was kept.") from error
        text = f"The disk refuses the file: {error.strerror or error}."
        raise CaptureError("failed", text) from error


@contextmanager
def _tidied(into: Path) -> Iterator[None]:
    """What lay beside the file goes; `into` itself is the caller's."""
    try:
        yield
    finally:
        for suffix in (".enc", ".mp4"):
            with contextlib.suppress(OSError):
                _beside(into, suffix).unlink(missing_ok=True)


def _nothing_came(device: Device) -> CaptureError:
    live = livestate.read().get(device.pk)
    if live is None:
        text = f"{device} is not connected, so there is nothing to take a picture of."
    elif live.error:
        text = f"{device} is connected, but nothing of it is kept: {live.error.rstrip('.')}."
    else:
        text = f"{device} is connected, but no picture came from it in time."
    return CaptureError("no_stream", text)


def _no_h264(device: Device) -> CaptureError:
    text = f"{device} sends H.265, so there is no H.264 of it. Take an MP4 instead."
    return CaptureError("unsupported", text)


def _check(is_wanted: Callable[[], bool]) -> None:
    if not is_wanted():
        raise CaptureError("cancelled", "It was cancelled.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
