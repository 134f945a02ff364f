"""RTSP cameras: H.264, H.265 and MJPEG as they are, sound as AAC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from capture.agent.child import run_ffmpeg
from capture.agent.protocol import Sink, SourceError, SourceSpec
from capture.drivers import connection, sdp, words
from capture.drivers.ffmpeg import command
from capture.drivers.login import Login
from capture.drivers.rtsp_relay import Relay
from devices.addresses import Address, request_path

REASON_S = 0.3  # FFmpeg may notice the camera's end before the relay has told why
_LOWEST_RATE_HZ = 16000  # browsers play AAC of telephone rates badly or not at all


class RtspDriver:
    def __init__(self, spec: SourceSpec, address: Address, lock_fd: int) -> None:
        self.stage = "resolving"
        self._address = address
        self._wants_audio = spec.wants_audio
        self._lock_fd = lock_fd
        self._login = (spec.username, spec.password)

    async def run(self, sink: Sink) -> None:
        ips = await connection.resolve(self._address)
        self.stage = "connecting"
        camera = await connection.connect(self._address, ips)
        self.stage = "asking"
        relay = Relay(
            self._address, Login(*self._login), request_path(self._address.path, *self._login)
        )
        try:
            media = await relay.begin(camera, wants_audio=self._wants_audio)
            argv = ffmpeg_command(await relay.listen(), media)
            self.stage = "waiting"
            await self._take_in(relay, argv, sink)
        finally:
            await relay.end()

    async def _take_in(self, relay: Relay, argv: Sequence[str], sink: Sink) -> None:
        serving = asyncio.create_task(relay.serve())
        reading = asyncio.create_task(run_ffmpeg(argv, sink, lock_fd=self._lock_fd))
        try:
            await asyncio.wait((serving, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await asyncio.wait((serving,), timeout=REASON_S)
            if serving.done():
                serving.result()  # the camera's own reason says more than FFmpeg's
            await reading
        except SourceError as error:
            if error.code == "ended" and error.detail:
                raise words.failed(
                    "FFmpeg cannot read the stream", error.detail.splitlines()[-1]
                ) from error
            raise
        finally:
            for task in (serving, reading):
                task.cancel()
            await asyncio.gather(serving, reading, return_exceptions=True)


def ffmpeg_command(url: str, media: Sequence[sdp.Medium]) -> list[str]:
    sound = media[1] if len(media) > 1 else None
    rate = ["-ar", str(_LOWEST_RATE_HZ)] if sound and sound.rate_hz < _LOWEST_RATE_HZ else []
    if sound is None:
        audio = ["-an"]
    elif sound.codec in sdp.AAC:
        audio = ["-c:a", "copy"]
    else:
        audio = ["-c:a", "aac", "-ac", "1", "-b:a", "48k", *rate]
    return [
        *command(),
        # What is known from the description needs no looking at; the rest shows within 2 s.
        # Not "nobuffer": it throws away what was looked at, and so the first key picture.
        "-analyzeduration", "2000000", "-fpsprobesize", "0", "-max_ts_probe", "0",
        "-protocol_whitelist", "tcp,rtp", "-rtsp_transport", "tcp", "-f", "rtsp", "-i", url,
        "-map", "0:v:0", "-map", "0:a:0?", "-copyts",
        # Also what comes before the first key picture, else nobody notices that none ever comes.
        "-c:v", "copy", "-copyinkf:v", "-bsf:v", FIRST_TIME, *audio,
    ]  # fmt: skip


# FFmpeg's parser loses the time stamp of the very first picture, and its muxer then gives up. In
# the stream's own clock (-copyts) that picture is at 0.
FIRST_TIME = r"setts=pts=if(eq(PTS\,NOPTS)\,if(N\,PREV_OUTPTS+1\,0)\,PTS)"
