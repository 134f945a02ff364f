"""What an analysis finds out about one captured file.

Each detector looks at one thing and gives figures, and a sentence for people. Another one is a
function here and a line in DETECTORS. What one cannot do is its own `{"error": sentence}`; the
others go on. No file costs more than about a minute, or memory by what it claims to be.
"""

from __future__ import annotations

import io
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from recordings.exceptions import RecordingError
from stills import decoding, files, previews
from stills.exceptions import FileMissingError
from stills.media import dng, figures
from stills.models import Analysis

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

MAX_PICTURES = 300
COMPARED_PER_S = 10  # closer neighbours hardly differ, whatever moves
MAX_DECODED = 3_000  # pictures; of longer videos only those that need no other, about one a second
DECODING_S = 20.0
COUNTING_S = 10.0
LOST_AFTER = timedelta(minutes=15)
STILLS, VIDEOS = ("jpg", "dng"), ("mp4", "h264")

# Grey levels, and variances at figures.SHARPNESS_WIDTH. A scene of sharp edges has 100 and more,
# out of focus by 1 pixel 15, by 2 pixels 2.
DARK_MEAN, BRIGHT_MEAN, LOST_PERCENT = 45, 210, 40
SHARP, SOFT = 50, 12
STILL, LIVELY = 0.25, 4.0  # a sensor's noise is 0.1; half of a picture that is replaced is 30
_BEGINNINGS = {
    b"\xff\xd8\xff": "jpg", b"II*\0": "dng", b"MM\0*": "dng", b"\0\0\0\1": "h264", b"\0\0\1": "h264",
}  # fmt: skip


class AnalysisError(Exception):
    """What a detector cannot do, and why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Media:
    """`fps` and `duration_ms` None where a stream does not say, 0 for a picture."""

    codec: str
    width: int
    height: int
    duration_ms: int | None = 0
    fps: float | None = 0
    frames: int = 1
    keys: int = 1  # pictures that need no other


class Subject:
    """One file; what several detectors look at is read once."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self.noun = "video" if kind in VIDEOS else "picture"

    @cached_property
    def media(self) -> Media:
        if self.kind in VIDEOS:
            return _stream(self.path, self.kind)
        if self.kind == "dng":
            return Media("raw", *dng.size_of(self.path))
        with self.path.open("rb") as file, JpegImageFile(file) as image:
            return Media("jpeg", *image.size)

    @cached_property
    def picture(self) -> Image.Image:
        """The first; grey, as large as a preview."""
        with JpegImageFile(io.BytesIO(previews.picture_of(self.path, self.kind))) as image:
            return image.convert("L")

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """Of a video, spread over it; grey and small."""
        media = self.media
        has_keys_only = media.frames > MAX_DECODED
        decoded = media.keys if has_keys_only else media.frames
        apart = 1 if has_keys_only else round((media.fps or 0) / COMPARED_PER_S)
        return decoding.grey_pictures(
            self.path,
            self.kind,
            size=figures.SMALL,
            every=max(1, apart, -(-decoded // MAX_PICTURES)),
            most=MAX_PICTURES,
            seconds=DECODING_S,
            has_keys_only=has_keys_only,
        )


@dataclass(frozen=True, slots=True)
class Detector:
    """`function` raises AnalysisError and whatever reading a broken file raises."""

    name: str
    kinds: tuple[str, ...]
    function: Callable[[Subject], dict[str, Any]]


def analyse(path: Path, kind: str) -> dict[str, Any]:
    """By detector. Never raises for what is wrong with the file."""
    subject = Subject(path, kind)
    return {
        detector.name: _detected(detector, subject)
        for detector in DETECTORS
        if kind in detector.kinds
    }


def run(analysis_pk: uuid.UUID) -> None:
    """From its queued row to its end; a task that comes twice finds nothing to do."""
    queued = Analysis.objects.filter(pk=analysis_pk, state=Analysis.State.QUEUED)
    if not queued.update(state=Analysis.State.RUNNING):
        return
    analysis = Analysis.objects.select_related("capture").filter(pk=analysis_pk).first()
    if analysis is None:  # deleted with its capture, this moment
        return
    result: dict[str, Any] = {}
    try:
        path = files.existing(analysis.filename)
        kind = analysis.capture.kind if analysis.capture else files.SUFFIXES.get(path.suffix, "")
        result = analyse(path, kind)
        reason = _whole_failure(result)
    except FileMissingError as error:
        reason = str(error)
    except Exception:
        logger.exception("The analysis of %s failed", analysis.filename)
        reason = "The analysis failed here; the log says how."
    Analysis.objects.filter(pk=analysis_pk, state=Analysis.State.RUNNING).update(
        state=Analysis.State.FAILED if reason else Analysis.State.DONE,
        result=result,
        reason=reason[:300],
        finished_at=timezone.now(),
    )


def put_in_order(now: datetime) -> None:
    """What a worker left behind that was stopped. Not tried again: the file may have been why."""
    Analysis.objects.filter(state=Analysis.State.RUNNING, created_at__lt=now - LOST_AFTER).update(
        state=Analysis.State.FAILED,
        reason="The recorder was stopped or restarted during the analysis. Ask for it again.",
        finished_at=now,
    )


# --- detectors ------------------------------------------------------------------------------------


def _file(subject: Subject) -> dict[str, Any]:
    """Its kind by what is in it."""
    with subject.path.open("rb") as file:
        first = file.read(12)
    size_bytes = subject.path.stat().st_size
    if not size_bytes:
        raise AnalysisError("The file is empty.")
    kind = "mp4" if first[4:8] == b"ftyp" else ""
    kind = kind or next(
        (name for start, name in _BEGINNINGS.items() if first.startswith(start)), ""
    )
    found: dict[str, Any] = {"kind": kind or "unknown", "size_bytes": size_bytes}
    if kind != subject.kind:
        what = f"but what is in it is {kind}" if kind else "but nothing of that is in it"
        found["sentence"] = f"It is called {subject.kind}, {what}."
    return found


def _media(subject: Subject) -> dict[str, Any]:
    found = asdict(subject.media)
    del found["keys"]
    return found


def _brightness(subject: Subject) -> dict[str, Any]:
    shown = subject.pictures if subject.kind in VIDEOS else [subject.picture]
    mean, dark, bright = figures.brightness(shown)
    if mean < DARK_MEAN or dark > LOST_PERCENT:
        words = "is dark"
    elif mean > BRIGHT_MEAN or bright > LOST_PERCENT:
        words = "is very bright"
    else:
        words = "is well lit"
    return {
        "mean": round(mean, 1),
        "dark_percent": round(dark, 1),
        "bright_percent": round(bright, 1),
        "sentence": f"The {subject.noun} {words}.",
    }


def _sharpness(subject: Subject) -> dict[str, Any]:
    variance = figures.variance_of_laplacian(subject.picture)
    if variance >= SHARP:
        words = "is sharp"
    elif variance >= SOFT:
        words = "is soft"
    else:
        words = "is blurred, or shows hardly any edges"
    return {
        "variance_of_laplacian": round(variance, 1),
        "sentence": f"The {subject.noun} {words}.",
    }


def _motion(subject: Subject) -> dict[str, Any]:
    if len(subject.pictures) < 2:
        raise AnalysisError("There is only one picture to look at, so nothing can move.")
    mean, most, pairs = figures.motion(subject.pictures)
    if most < STILL:
        sentence = "Nothing moves."
    elif most < LIVELY:
        sentence = "Something moves."
    else:
        sentence = "Much of the picture moves or changes."
    return {
        "mean": round(mean, 2),
        "max": round(most, 2),
        "frames_compared": pairs + 1,
        "sentence": sentence,
    }


DETECTORS: tuple[Detector, ...] = (
    Detector("file", STILLS + VIDEOS, _file),
    Detector("media", STILLS + VIDEOS, _media),
    Detector("brightness", STILLS + VIDEOS, _brightness),
    Detector("sharpness", STILLS + VIDEOS, _sharpness),
    Detector("motion", VIDEOS, _motion),
)


def _detected(detector: Detector, subject: Subject) -> dict[str, Any]:
    try:
        return detector.function(subject)
    except (AnalysisError, RecordingError) as error:
        text = str(error)
    except OSError as error:
        text = f"The file cannot be read: {error.strerror or error}"
    except (ValueError, SyntaxError) as error:  # Pillow's, and of what a TIFF claims
        text = f"The file cannot be read: {error}"
    except Exception:
        logger.exception("The detector %s failed on %s", detector.name, subject.path.name)
        text = "This detector failed here; the log says how."
    return {"error": text.rstrip(".") + "."}


def _whole_failure(result: dict[str, Any]) -> str:
    """Why nothing came of it; "" where something did."""
    errors = [found.get("error", "") for name, found in result.items() if name != "file"]
    if errors and not all(errors):
        return ""
    first = result.get("file", {}).get("error", "")
    return first or next(iter(errors), "Files of this kind are not looked at.")


def _stream(path: Path, kind: str) -> Media:
    # Here: FFmpeg's libraries take 16 MB of every process that has ever loaded them.
    import av  # noqa: PLC0415

    try:
        with av.open(
            f"file:{path}",
            format=decoding.DEMUXERS[kind],
            options={"protocol_whitelist": "file", "max_pixels": str(decoding.MAX_PIXELS)},
        ) as container:
            return _counted(container, kind)
    except av.error.FFmpegError as error:
        # Its own text names the file, and so this machine's paths.
        raise AnalysisError(f"The video cannot be read: {error.strerror}") from error


def _counted(container: InputContainer, kind: str) -> Media:
    """Counted, not believed: a stream without a container does not say how long it is."""
    deadline_s = time.monotonic() + COUNTING_S
    if not container.streams.video:
        raise AnalysisError("There is no video in this file.")
    stream = container.streams.video[0]
    context = stream.codec_context
    frames = keys = 0
    for packet in container.demux(stream):
        if packet.size:
            frames += 1
            keys += packet.is_keyframe
        if frames % 500 == 0 and time.monotonic() > deadline_s:
            raise AnalysisError(f"Its pictures could not be counted within {COUNTING_S:g} s.")
    if not frames:
        raise AnalysisError("There is no picture in this video.")
    rate = stream.average_rate if kind == "mp4" else context.framerate
    fps = float(rate) if rate else None
    duration_ms = round(container.duration / 1000) if container.duration else None
    if duration_ms is None and fps:
        duration_ms = round(1000 * frames / fps)
    return Media(
        codec=context.name,
        width=stream.width,
        height=stream.height,
        duration_ms=duration_ms,
        fps=round(fps, 3) if fps else None,
        frames=frames,
        keys=keys,
    )
