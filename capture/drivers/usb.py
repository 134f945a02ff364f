"""USB cameras: MJPEG or H.264 as the camera gives it, else its raw pictures made into MJPEG."""

from __future__ import annotations

import asyncio

from capture.agent.child import run_ffmpeg
from capture.agent.protocol import Sink, SourceError, SourceSpec
from capture.drivers import v4l2, words
from capture.drivers.ffmpeg import command
from devices.addresses import Address

# What FFmpeg says when the camera went between being looked at and being opened, or later.
SAID = (
    ("Device or resource busy", words.device_busy),
    ("Permission denied", words.no_permission),
    ("No such device", words.unplugged),
    ("Input/output error", words.unplugged),
    ("No such file", words.no_device),
)


class UsbDriver:
    def __init__(self, spec: SourceSpec, address: Address, lock_fd: int) -> None:
        self.stage = "connecting"
        self._path = address.path
        self._options = address.options
        self._fps = int(address.options.get("fps", 0)) or round(spec.rate_fps)
        self._lock_fd = lock_fd

    async def run(self, sink: Sink) -> None:
        camera = await asyncio.to_thread(v4l2.look_at, self._path)
        offer = v4l2.choose(
            camera,
            format_name=self._options.get("format", ""),
            size=self._options.get("size", ""),
            fps=self._fps,
        )
        self.stage = "waiting"
        try:
            await run_ffmpeg(ffmpeg_command(self._path, offer), sink, lock_fd=self._lock_fd)
        except SourceError as error:
            for said, sentence in SAID:
                if said in error.detail:
                    raise sentence(self._path) from error
            raise


def ffmpeg_command(path: str, offer: v4l2.Offer) -> list[str]:
    coded = ["-c:v", "copy"]
    if offer.format not in v4l2.CODED:
        coded = ["-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"]
    return [
        *command(), *v4l2.input_arguments(path, offer), "-map", "0:v:0", "-an", *coded,
    ]  # fmt: skip
