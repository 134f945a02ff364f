"""What a camera offers (SDP, RFC 8866), and the part of it that is passed on to FFmpeg.

Passed on is not what the camera wrote but a description built anew from the few fields that
unpacking needs: no address, no second stream and nothing unknown gets to FFmpeg.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_LINES = 1000
MAX_LINE_LETTERS = 8000

VIDEO_CODECS = {"H264": "h264", "H265": "hevc", "JPEG": "mjpeg"}
# FFmpeg unpacks and decodes these; AAC alone is passed on as it is.
AAC = frozenset(("MPEG4-GENERIC", "MP4A-LATM"))
DECODABLE = frozenset(
    {
        *("PCMU", "PCMA", "L16", "G722", "G726-16", "G726-24", "G726-32", "G726-40"),
        *("GSM", "OPUS", "MPA", "SPEEX", "AC3", "VORBIS", "ILBC"),
    }
)
# Payload types that need no rtpmap (RFC 3551 §6).
_STATIC = {
    0: "PCMU/8000", 3: "GSM/8000", 8: "PCMA/8000", 9: "G722/8000", 10: "L16/44100/2",
    11: "L16/44100", 14: "MPA/90000", 26: "JPEG/90000", 32: "MPV/90000", 33: "MP2T/90000",
}  # fmt: skip
_MEDIA = re.compile(r"(video|audio) [0-9/]{1,12} RTP/S?AVPF? ([0-9]{1,3})\b", re.IGNORECASE)
_RTPMAP = re.compile(r"[A-Za-z0-9.-]{1,40}/[0-9]{1,6}(?:/[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Medium:
    """One stream on offer. `codec`: the encoding's name in capital letters, as H264."""

    kind: str  # video, audio
    payload_type: int
    rtpmap: str  # as H264/90000
    fmtp: str
    control: str  # as the camera wrote it: absolute, relative, "*" or ""

    @property
    def codec(self) -> str:
        return self.rtpmap.partition("/")[0].upper()

    @property
    def rate_hz(self) -> int:
        return int(self.rtpmap.split("/")[1])


@dataclass(frozen=True, slots=True)
class Offer:
    control: str  # of the whole session
    media: tuple[Medium, ...]

    @property
    def video(self) -> Medium | None:
        """The first that can be taken, else the first."""
        videos = [each for each in self.media if each.kind == "video"]
        taken = [each for each in videos if each.codec in VIDEO_CODECS]
        return next(iter(taken + videos), None)

    @property
    def sound(self) -> Medium | None:
        sounds = (each for each in self.media if each.kind == "audio")
        return next((each for each in sounds if each.codec in AAC | DECODABLE), None)


def parse(data: bytes) -> Offer:
    """Never fails: what is not understood is not on offer."""
    text = data.decode("utf-8", "replace").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n")[:MAX_LINES]]
    lines = [line for line in lines if len(line) <= MAX_LINE_LETTERS and line.isprintable()]
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    bounds = pairwise([*starts, len(lines)])
    sections = [lines[start:end] for start, end in bounds]
    media = [medium for section in sections if (medium := _medium(section)) is not None]
    return Offer(_attribute(lines[: starts[0]] if starts else lines, "control:"), tuple(media))


def _medium(section: Sequence[str]) -> Medium | None:
    match = _MEDIA.match(section[0].removeprefix("m="))
    if match is None:
        return None
    payload_type = int(match[2])
    rtpmap = _attribute(section, f"rtpmap:{payload_type} ") or _STATIC.get(payload_type, "")
    if not _RTPMAP.fullmatch(rtpmap):
        return None
    return Medium(
        kind=match[1].lower(),
        payload_type=payload_type,
        rtpmap=rtpmap,
        fmtp=_attribute(section, f"fmtp:{payload_type} "),
        control=_attribute(section, "control:"),
    )


def _attribute(section: Sequence[str], name: str) -> str:
    found = (line[2 + len(name) :] for line in section if line.startswith(f"a={name}"))
    return next(found, "").strip()


def build(media: Sequence[Medium]) -> bytes:
    """For FFmpeg; stream n is asked for as `track<n>`."""
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 127.0.0.1", "t=0 0"]
    for number, medium in enumerate(media):
        lines.append(f"m={medium.kind} 0 RTP/AVP {medium.payload_type}")
        lines.append(f"a=rtpmap:{medium.payload_type} {medium.rtpmap}")
        if medium.fmtp:
            lines.append(f"a=fmtp:{medium.payload_type} {medium.fmtp}")
        lines.append(f"a=control:track{number}")
    return "\r\n".join([*lines, ""]).encode()
