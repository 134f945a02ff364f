"""Of the fake picamera2: H.264 of a moving test picture, delivered by a thread, as it comes."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

from . import BEHAVIOUR, note


class H264Encoder:
    def __init__(
        self, bitrate: int | None = None, repeat: bool = True, iperiod: int | None = None
    ) -> None:
        note("H264Encoder", bitrate, repeat, iperiod)
        self._iperiod = iperiod or 60
        self._coder: Any = None
        self._thread: Any = None

    def begin(self, configuration: dict[str, Any], output: Any) -> None:
        width, height = configuration["main"]["size"]
        frame_us = configuration["controls"]["FrameDurationLimits"][0]
        stops_s = BEHAVIOUR.get("stops_after_s")
        limit = [] if stops_s is None else ["-t", str(stops_s)]
        output.start()
        self._coder = subprocess.Popen(
            [BEHAVIOUR["ffmpeg"], "-v", "quiet", "-nostdin", "-re", "-f", "lavfi", "-i",
             f"testsrc2=size={width}x{height}:rate={1_000_000 / frame_us:g}", *limit,
             "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
             "-g", str(self._iperiod), "-flush_packets", "1", "-f", "h264", "pipe:1"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._pass_on, args=(output,))
        self._thread.start()

    def end(self) -> None:
        self._coder.terminate()
        self._thread.join()
        self._coder.wait()

    def _pass_on(self, output: Any) -> None:
        while data := self._coder.stdout.read1(65536):
            output.outputframe(data)
        output.stop()
