"""A simulated camera: FFmpeg's test picture with a running clock, and a tone."""

from __future__ import annotations

from capture.agent.child import run_ffmpeg
from capture.agent.protocol import Sink, SourceSpec
from capture.drivers.ffmpeg import command
from devices.addresses import Address

_GOP_S = 2
_ENCODERS = {
    # One picture in, one picture out, as the encoder of a camera works.
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency",
             "-x265-params", "log-level=none:info=0:pools=none:frame-threads=1"],
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p"],
}  # fmt: skip


class SimulatedDriver:
    def __init__(self, spec: SourceSpec, address: Address, lock_fd: int) -> None:
        self.stage = "waiting"
        self._options = address.options
        self._has_sound = spec.wants_audio and address.options["audio"] == "1"
        self._lock_fd = lock_fd

    async def run(self, sink: Sink) -> None:
        await run_ffmpeg(self._command(), sink, lock_fd=self._lock_fd)

    def _command(self) -> list[str]:
        fps, size, codec = (self._options[name] for name in ("fps", "size", "codec"))
        picture = f"testsrc2=size={size}:rate={fps},format=yuv420p"
        sound = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=16000:beep_factor=4"]
        gop = str(_GOP_S * int(fps))
        return [
            *command(),
            "-re", "-f", "lavfi", "-i", picture, *(sound if self._has_sound else []),
            "-map", "0:v:0", *(["-map", "1:a:0"] if self._has_sound else []),
            *_ENCODERS[codec], "-g", gop, "-bf", "0",
            *(["-c:a", "aac", "-b:a", "48k", "-ac", "1"] if self._has_sound else []),
        ]  # fmt: skip
