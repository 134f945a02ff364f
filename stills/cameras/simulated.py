"""A camera for machines without one: the scene that simulated cameras look at, and the time.

Files are real: Pillow writes pictures, FFmpeg videos at the pace of a camera, `stills.media` raw
pictures. A picture carries its time twice, as words and as `capture.media.counting` has it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

from PIL import ExifTags, Image, ImageDraw, ImageFont

from capture.agent.protocol import SourceError
from capture.drivers.ffmpeg import command
from capture.media import counting
from capture.simulator_scene import Scene, Tuning
from stills.cameras import checks, programs, troubles
from stills.cameras.protocol import Check, Found, Order
from stills.exceptions import CaptureError
from stills.media import bayer, dng

MODEL = "Roost simulated camera"
SENSOR_SIZE = (1920, 1080)
LOOP_S = 12.0  # from one side of the picture to the other
_PREVIEW_SIZE = (1280, 720)
_PAINTED_PIXELS = 960 * 540  # larger ones are enlarged: 12 megapixels take 20 s and 700 MB to draw
_PAINTED_SIDES = (96, 2_400)
_PIXELS_PER_S = 1920 * 1080 * 30  # as of real sensors: at larger sizes fewer frames
_JPEG_QUALITY = 90
_POLL_S = 0.05
_EDGE = (20, 22, 26)
_counter = itertools.count(1)


class SimulatedCamera:
    name = "simulated"
    address = ""

    def look(self) -> Found:
        width, height = SENSOR_SIZE
        found = (
            Check("camera", True, "The simulated camera is always there."),
            _program(),
        )
        return Found(self.name, (("0", f"{MODEL} {width}x{height}"),), found)

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        if order.kind in ("mp4", "h264"):
            _Video(order, into).take(lock_fd, is_wanted)
            return
        began_s = time.monotonic()
        size = SENSOR_SIZE if order.kind == "dng" else (order.width, order.height)
        _scene(*_painted_size(size))  # a camera has its scene before it, too
        _look_around(order, began_s, is_wanted)
        picture, at = _picture(size)
        if order.kind == "dng":
            values = bayer.mosaic(picture, dng.SENSOR)
            shown = picture.resize(_PREVIEW_SIZE, Image.Resampling.LANCZOS)
            raw = dng.Raw(values, *size, when=at, model=MODEL)
            dng.write_dng(into, raw, _jpeg(shown, at))
        else:
            into.write_bytes(_jpeg(picture, at))


def _program() -> Check:
    try:
        command()
    except SourceError as error:
        return Check("program", False, str(error), checks.install("ffmpeg"))
    return Check("program", True, "FFmpeg is installed.")


def _look_around(order: Order, began_s: float, is_wanted: Callable[[], bool]) -> None:
    """As long as a camera looks before a picture, to get used to the light."""
    until_s = began_s + order.duration_ms / 1000
    while (now_s := time.monotonic()) < until_s:
        if not is_wanted():
            raise CaptureError("cancelled", "The capture was cancelled.")
        if now_s - began_s > order.timeout_ms / 1000:
            raise _timed_out(order)
        time.sleep(min(_POLL_S, until_s - now_s))


def _timed_out(order: Order, detail: str = "") -> CaptureError:
    return CaptureError(
        "timeout",
        f"The simulated camera did not finish within {order.timeout_ms / 1000:g} s.",
        contract=f"Command timed out after {order.timeout_ms}ms: {SimulatedCamera.name}",
        detail=detail,
    )


# --- pictures -------------------------------------------------------------------------------------


def _picture(size: tuple[int, int]) -> tuple[Image.Image, datetime]:
    """And its time."""
    at = datetime.now().astimezone()
    at_ms = round(at.timestamp() * 1000)
    scene = _scene(*_painted_size(size))
    drawn = scene.draw(_phase(at), at.second)
    picture = drawn.resize(size, Image.Resampling.BICUBIC)
    caption = _Caption(size)
    caption.write_name(picture)
    clock = caption.strip(f"{at:%Y-%m-%d %H:%M:%S}")
    caption.put(picture, clock, size[0] - caption.edge - clock.width)
    if size[0] >= 160:
        counting.paint(picture, counting.Stamp(next(_counter), 0, at_ms))
    return picture, at


def _jpeg(picture: Image.Image, at: datetime) -> bytes:
    tags = ExifTags.Base
    exif = Image.Exif()
    exif[tags.Make], exif[tags.Model] = MODEL.partition(" ")[0], MODEL
    exif[tags.DateTime] = f"{at:%Y:%m:%d %H:%M:%S}"
    exif[tags.XResolution] = exif[tags.YResolution] = 72.0  # Exif wants one, and an inch for it
    exif[tags.ResolutionUnit], exif[tags.YCbCrPositioning] = 2, 1
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_JPEG_QUALITY, subsampling="4:2:0", exif=exif)
    return data.getvalue()


def _phase(at: datetime) -> float:
    return at.timestamp() % LOOP_S / LOOP_S


def _painted_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(_PAINTED_PIXELS / (size[0] * size[1])))
    least, most = _PAINTED_SIDES
    width, height = (max(least, min(most, round(side * scale))) for side in size)
    return width, height


@lru_cache(maxsize=4)
def _scene(width: int, height: int) -> Scene:
    """0.4 s; Pillow lets go of the interpreter meanwhile."""
    return Scene(0, width, height, Tuning())


class _Caption:
    """The line at the foot of a picture. All lengths are even, as 4:2:0 wants them."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.height = max(14, _even(size[1] / 25))
        self.edge = _even(self.height * 0.4)
        has_room = size[0] >= 20 * self.height and size[1] >= 4 * self.height
        # Below the picture where it would cover it; whatever is put there is cut off.
        self.top = _even(size[1] - self.height * 1.2) if has_room else size[1]

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(self.height * 0.66)

    def strip(self, text: str) -> Image.Image:
        """On nothing, as wide as its words."""
        return self.sheet([text])

    def sheet(self, texts: list[str]) -> Image.Image:
        """One below the other, `height` each."""
        width = max(self._font.getbbox(text)[2] for text in texts)
        image = Image.new("RGBA", (_even(width + self.edge), self.height * len(texts)))
        draw, stroke = ImageDraw.Draw(image), max(1, self.height // 16)
        for row, text in enumerate(texts):
            at = (stroke, self.height * (row + 0.5))
            draw.text(
                at, text, "white", self._font, anchor="lm", stroke_width=stroke, stroke_fill=_EDGE
            )
        return image

    def put(self, picture: Image.Image, strip: Image.Image, x: int) -> None:
        picture.paste(strip, (x, self.top), strip)

    def write_name(self, picture: Image.Image) -> None:
        self.put(picture, self.strip(MODEL), self.edge)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


# --- videos ---------------------------------------------------------------------------------------


class _Video:
    """FFmpeg lays what moves, the minute and the second over a still picture, as time goes by."""

    def __init__(self, order: Order, into: Path) -> None:
        self._order, self._into = order, into
        self._size = (max(2, order.width // 2 * 2), max(2, order.height // 2 * 2))
        most = _PIXELS_PER_S // (self._size[0] * self._size[1])
        self._fps = max(1, min(order.fps, most))

    def take(self, lock_fd: int, is_wanted: Callable[[], bool]) -> None:
        order, into = self._order, self._into
        try:
            ffmpeg = command()
        except SourceError as error:
            raise troubles.from_source(error) from error
        with self._layers() as inputs, self._explained():
            ended = programs.run(
                [*ffmpeg, *inputs, *self._output(), f"file:{into.name}"],
                timeout_ms=order.timeout_ms,
                cwd=into.parent,
                lock_fd=lock_fd,
                is_wanted=is_wanted,
            )
            troubles.check(ended, into, order.kind, place=SimulatedCamera.name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Who asked for the simulated camera knows nothing of FFmpeg."""
        try:
            yield
        except CaptureError as error:
            if error.code != "timeout":
                raise
            raise _timed_out(self._order, error.detail) from error

    @contextlib.contextmanager
    def _layers(self) -> Iterator[list[str]]:
        """The pictures beside `into`, and the arguments with which FFmpeg joins them."""
        at = datetime.now().astimezone()
        scene, caption = _scene(*_painted_size(self._size)), _Caption(self._size)
        layers = self._paint(scene, caption, at)
        paths = [self._into.with_name(f"{self._into.name}.{number}.png") for number in range(4)]
        try:
            for path, layer in zip(paths, layers, strict=True):
                layer.save(path, compress_level=1)
            inputs = [
                argument
                for path in paths
                for argument in (
                    "-f", "image2", "-pattern_type", "none", "-framerate", str(self._fps),
                    "-i", f"file:{path.name}",
                )
            ]  # fmt: skip
            yield [*inputs, "-filter_complex", self._graph(scene, caption, layers, at)]
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def _paint(self, scene: Scene, caption: _Caption, at: datetime) -> list[Image.Image]:
        """What stands still, what moves, every minute there will be, every second of a minute."""
        still = scene.still.resize(self._size, Image.Resampling.BICUBIC)
        caption.write_name(still)
        across, down = self._scale(scene)
        mover = scene.mover.resize(
            (_even(scene.mover.width * across), _even(scene.mover.height * down))
        )
        minutes = [
            f"{at + timedelta(minutes=number):%Y-%m-%d %H:%M}"
            for number in range(self._order.timeout_ms // 60_000 + 2)
        ]
        seconds = [f":{second:02d}" for second in range(60)]
        return [still, mover, caption.sheet(minutes), caption.sheet(seconds)]

    def _graph(
        self, scene: Scene, caption: _Caption, layers: list[Image.Image], at: datetime
    ) -> str:
        """Each layer is decoded once and repeated; the sheets show the row of their time, `t` seconds
        after the first picture. `at`: within the first minute of the minutes.
        """
        _, _, minutes, seconds = layers
        now = datetime.now().astimezone()
        across, down = self._scale(scene)
        (from_x, y), (to_x, _) = scene.path(0), scene.path(1)
        phase = f"mod(t/{LOOP_S}+{_phase(now):.3f}\\,1)"
        x = f"{from_x * across:.1f}+{(to_x - from_x) * across:.1f}*{phase}"
        passed = now - at.replace(second=0, microsecond=0)
        second = f"(t+{passed.total_seconds():.3f})"
        row, right = caption.height, self._size[0] - caption.edge
        last, before = right - seconds.width, right - seconds.width - minutes.width + caption.edge
        minute_row, second_row = f"{row}*floor({second}/60)", f"{row}*mod(floor{second}\\,60)"
        return ";".join((
            "[0:v]scale=out_range=tv,format=yuv420p,loop=-1:1[still]",
            "[1:v]format=yuva420p,loop=-1:1[mover]",
            f"[2:v]format=yuva420p,loop=-1:1,crop={minutes.width}:{row}:0:{minute_row}[minute]",
            f"[3:v]format=yuva420p,loop=-1:1,crop={seconds.width}:{row}:0:{second_row}[second]",
            f"[still][mover]overlay=x={x}:y={y * down:.0f}[a]",
            f"[a][minute]overlay={before}:{caption.top}[b]",
            f"[b][second]overlay={last}:{caption.top},realtime[out]",
        ))  # fmt: skip

    def _scale(self, scene: Scene) -> tuple[float, float]:
        width, height = self._size
        return width / scene.still.width, height / scene.still.height

    def _output(self) -> list[str]:
        frames = max(1, round(self._fps * self._order.duration_ms / 1000))
        wrapped = ("-movflags", "+faststart", "-f", "mp4")
        return [
            "-map", "[out]", "-frames:v", str(frames), "-c:v", "libx264", "-profile:v", "baseline",
            "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p", "-g", str(self._fps),
            "-threads", "2",
            *(wrapped if self._order.kind == "mp4" else ("-f", "h264")),
        ]  # fmt: skip
