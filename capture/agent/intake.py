"""From what FFmpeg writes into its pipe to packets with capture times."""

from __future__ import annotations

from capture.agent.clock import PacketClock
from capture.agent.protocol import Packet, Sink, SourceError
from recordings.media import nal
from recordings.media.livemkv import LiveBlock, LiveMatroska, LiveTrack
from recordings.media.matroska import Audio, Track

# FFmpeg looks at the first packets before it passes them on, and some cameras send their last
# group of pictures at once: the first packets come in a burst that says nothing about time.
QUIET_US = 20_000  # what comes after so long a silence is no longer part of the burst
LONGEST_BURST_US = 300_000
NO_KEY_US = 15_000_000

_CODECS = {"V_MPEG4/ISO/AVC": "h264", "V_MPEGH/ISO/HEVC": "hevc", "V_MJPEG": "mjpeg"}


class Intake:
    """One stream. `feed` raises SourceError, and ValueError for what is no Matroska at all."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parser = LiveMatroska()
        self._clock = PacketClock()
        self._held: list[tuple[int, LiveBlock]] | None = []
        self._video = LiveTrack(0, "")
        self._audio: LiveTrack | None = None
        self._codec = ""
        self._config = b""
        self._sets: object = None  # parameter sets of the last key picture that had some
        self._is_streaming = False
        self._first_picture_us = 0

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes, now_us: int) -> None:
        """`now_us`: CLOCK_MONOTONIC."""
        for found in self._parser.feed(data):
            if isinstance(found, list):
                self._choose(found)
            elif self._held is None:
                self._take(found, now_us)
            else:
                self._hold(found, now_us)

    def release(self) -> None:
        """What is held goes on: time is anchored to the packet that was delayed least."""
        held, self._held = self._held, None
        if held:
            self._clock.anchor(held[0][0], min(now_us - block.time_us for now_us, block in held))
            for now_us, block in held:
                self._take(block, now_us)

    def _hold(self, block: LiveBlock, now_us: int) -> None:
        if self._held:
            is_over = now_us - self._held[-1][0] > QUIET_US
            if is_over or now_us - self._held[0][0] > LONGEST_BURST_US:
                self.release()
                self._take(block, now_us)
                return
        if self._held is not None:
            self._held.append((now_us, block))

    def _choose(self, tracks: list[LiveTrack]) -> None:
        videos = [track for track in tracks if not track.is_audio]
        if not videos:
            raise SourceError("no_video", "The camera sends no video.")
        self._video = videos[0]
        self._codec = _CODECS.get(self._video.codec_id, "")
        if not self._codec:
            name = self._video.codec_id.removeprefix("V_").replace("MS/VFW/FOURCC", "an old codec")
            text = f"The camera's video is {name}; only H.264, H.265 and MJPEG can be kept."
            raise SourceError("no_video", text)
        self._config = self._video.private if self._codec != "mjpeg" else b""
        sounds = (track for track in tracks if track.codec_id == "A_AAC" and track.private)
        self._audio = next(sounds, None)

    def _take(self, block: LiveBlock, now_us: int) -> None:
        is_audio = self._audio is not None and block.track == self._audio.number
        if not block.payload or not (is_audio or block.track == self._video.number):
            return
        if not is_audio:
            self._look_at(block, now_us)
        if self._is_streaming:
            capture_us = self._clock.capture(now_us, block.time_us)
            is_key = is_audio or block.is_key
            self._sink.packet(Packet(capture_us, block.payload, is_key, is_audio))

    def _look_at(self, picture: LiveBlock, now_us: int) -> None:
        """Parameters change with key pictures, and nothing can be shown before the first."""
        is_due = picture.is_key and (self._parameters_are_new(picture) or not self._is_streaming)
        if is_due and (self._codec == "mjpeg" or self._config):
            self._sink.stream(self._described())
            self._is_streaming = True
        if self._is_streaming:
            return
        self._first_picture_us = self._first_picture_us or now_us
        if now_us - self._first_picture_us > NO_KEY_US:
            raise SourceError(
                "no_keyframes",
                "The camera sends no key pictures, so its video cannot be shown or kept.",
            )

    def _parameters_are_new(self, picture: LiveBlock) -> bool:
        """From what stands in the stream itself; a camera may change its size as it goes."""
        if self._codec == "mjpeg":
            return False
        try:
            sets = nal.parameter_sets(self._codec, picture.payload)
            if not sets or sets == self._sets:
                return False
            config = nal.config_of(self._codec, sets)
        except ValueError:
            return False  # half of them, or nonsense: what was known stays
        self._sets = sets
        is_new = config != self._config
        self._config = config
        return is_new

    def _described(self) -> Track:
        width, height = self._video.width, self._video.height
        if self._codec != "mjpeg":
            try:
                width, height = nal.size_of(self._codec, self._config)
            except ValueError as error:
                text = "The camera's description of its own video is damaged."
                raise SourceError("failed", text) from error
        audio = self._audio and Audio(
            "aac", self._audio.rate_hz, self._audio.channels, self._audio.private
        )
        return Track(self._codec, width, height, self._config, audio)
