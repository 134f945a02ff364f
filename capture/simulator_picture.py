"""What a simulated camera sends: JPEGs of a scene with a counter above and a caption below.

Encoding 500 pictures a second would take a whole core, so a scene is drawn once as a loop of
encoded rows (a background thread keeps ahead of playback), the caption is encoded once a second,
and the counter's rows are written as Huffman codes; `capture.media.stripes` puts them together.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import weakref
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from capture.media import counting, stripes
from capture.simulator_scene import PLACES, Scene, Tuning

LOOP_SECONDS = 12
MAX_LOOP_FRAMES = 300  # 25 frames/s; 8 MB a scene at 800x600

SIZES = {
    "QQVGA": (160, 120), "QCIF": (176, 144), "HQVGA": (240, 176), "QVGA": (320, 240),
    "CIF": (400, 296), "VGA": (640, 480), "SVGA": (800, 600), "XGA": (1024, 768),
    "HD": (1280, 720), "SXGA": (1280, 1024), "UXGA": (1600, 1200),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """Everything the pixels depend on. `quality` is the sensor's 0 (best) to 63."""

    scene: int
    width: int
    height: int
    quality: int
    fps: float
    tuning: Tuning

    @property
    def jpeg_quality(self) -> int:
        """libjpeg's scale: the sensor's 12, its usual value, gives files of the same weight."""
        return max(10, min(95, round(92 - 2 * self.quality)))


class Loop:
    """The moving middle of one look; cameras with the same look share it.

    `frames` only grows, in the drawing thread; the event loop reads what is there.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self.length = max(LOOP_SECONDS, min(MAX_LOOP_FRAMES, round(LOOP_SECONDS * look.fps)))
        self.frames: list[bytes] = []
        self.grid = counting.layout(look.width)
        self.caption_rows = max(2, round(look.height / 25 / stripes.MCU_HEIGHT))
        self.started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._scene: Scene | None = None
        self.head = b""
        self.floor = Image.new("RGB", (1, 1))

    def middle(self, counter: int) -> bytes:
        """MCU rows between counter and caption, markers in place. Holds on the newest one drawn."""
        return self.frames[min(counter % self.length, len(self.frames) - 1)]

    def draw_next(self) -> bool:
        """One more frame, in the drawing thread; False when the loop is complete."""
        look = self.look
        if self._scene is None:
            self._scene = Scene(look.scene, look.width, look.height, look.tuning)
        index = len(self.frames)
        picture = self._scene.draw(index / self.length, index)
        striped = stripes.encode(picture, look.jpeg_quality)
        top = self.grid.height // stripes.MCU_HEIGHT
        if not self.frames:
            self.head = striped.head
            box = (0, look.height - self.caption_rows * stripes.MCU_HEIGHT, look.width, look.height)
            self.floor = self._scene.still.crop(box)
        rows = striped.rows[top : len(striped.rows) - self.caption_rows]
        self.frames.append(stripes.place(rows, top))
        if not self.started.done():
            self.started.set_result(None)
        if len(self.frames) < self.length:
            return True
        self._scene = None
        return False


class Studio:
    """Draws loops in one thread, a frame of each in turn, and forgets those no camera uses."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "scenes")
        self._loops: weakref.WeakValueDictionary[Look, Loop] = weakref.WeakValueDictionary()

    async def loop_for(self, look: Look) -> Loop:
        """Waits for its first frame only."""
        loop = self._loops.get(look)
        if loop is None:
            loop = self._loops[look] = Loop(look)
            self._thread.submit(self._draw, weakref.ref(loop))
        await asyncio.shield(asyncio.wrap_future(loop.started))
        return loop

    def _draw(self, reference: weakref.ref[Loop]) -> None:
        loop = reference()
        if loop is None:
            return
        try:
            is_unfinished = loop.draw_next()
        except Exception as error:
            if loop.started.done():
                raise
            loop.started.set_exception(error)
            return
        if is_unfinished:
            try:
                self._thread.submit(self._draw, reference)
            except RuntimeError:  # closed meanwhile
                return

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


class Pictures:
    """One camera's pictures. Used on the event loop only."""

    def __init__(self, loop: Loop, *, number: int) -> None:
        self._loop = loop
        self._number = number
        # Cameras that share a scene are a different way into it.
        self._lead = (number - 1) // len(PLACES) * 31
        self._cells = stripes.FlatCells(
            loop.head,
            width=loop.look.width,
            cell_width=loop.grid.cell_width,
            dark=counting.DARK,
            light=counting.LIGHT,
        )
        self._caption, self._caption_second = b"", -1

    def jpeg(self, counter: int, time_ms: int) -> bytes:
        """One whole JPEG; 15 µs, and 300 µs more once a second for the clock."""
        stamp = counting.Stamp(counter, self._number, time_ms)
        second = time_ms // 1000
        if second != self._caption_second:
            self._caption, self._caption_second = self._draw_caption(second), second
        loop = self._loop
        return b"".join(
            (loop.head, self._counter_rows(stamp), loop.middle(counter + self._lead), self._caption)
        )

    def _counter_rows(self, stamp: counting.Stamp) -> bytes:
        cells, grid = counting.encode(stamp), self._loop.grid
        rows: list[bytes] = []
        for start in range(0, counting.BITS, grid.columns):
            row = self._cells.row(cells[start : start + grid.columns])
            rows += [row] * (grid.cell_height // stripes.MCU_HEIGHT)
        return stripes.place(tuple(rows), 0)

    def _draw_caption(self, second: int) -> bytes:
        look = self._loop.look
        strip = self._loop.floor.copy()
        draw = ImageDraw.Draw(strip)
        font = _font(max(9, round(strip.height * 0.66)))
        middle, edge = strip.height / 2, strip.height * 0.4
        clock = time.strftime("%H:%M:%S", time.localtime(second))
        name = f"Simulated camera {self._number}"
        day = time.strftime("%Y-%m-%d  ", time.localtime(second))
        if draw.textlength(f"{name}  {day}{clock}", font) + 2 * edge < look.width:
            clock = day + clock
        elif draw.textlength(f"{name}  {clock}", font) + 2 * edge > look.width:
            name = f"Sim {self._number}"
        stroke, outline = max(1, strip.height // 16), (20, 22, 26)
        for x, anchor, words in ((edge, "lm", name), (look.width - edge, "rm", clock)):
            draw.text(
                (x, middle), words, "white", font,
                anchor=anchor, stroke_width=stroke, stroke_fill=outline,
            )  # fmt: skip
        rows = stripes.encode(strip, look.jpeg_quality).rows
        at = (look.height - strip.height) // stripes.MCU_HEIGHT
        return stripes.place(rows, at, is_end=True)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
