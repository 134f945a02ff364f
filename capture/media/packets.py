"""What a capture agent and the door say to each other, as bytes and text (docs/design/interfaces.md).

Both sides use these functions. Whatever arrives may be nonsense: every reader raises BadPacket
for it, after a bounded amount of work.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from recordings.media.matroska import Audio, Track

DEVICE_HEADER = "x-device-id"  # only an agent sends it: whose packets it brings
MAGIC = b"RP"
MAX_PACKET_BYTES = 4 * 1024 * 1024  # of one binary message, head included
MAX_TEXT_BYTES = 32 * 1024  # a `stream` with two parameter sets of H.265 has about 1 KB
MAX_CONFIG_BYTES = 8 * 1024
MAX_SIDE = 8192  # pixels; the largest level of H.265 ends a little above
CODECS = ("mjpeg", "h264", "hevc")

_HEAD = struct.Struct(">2sBBIQ")  # magic, kind, flags, number, capture time in microseconds
HEAD_BYTES = _HEAD.size
_PICTURE, _SOUND = 1, 2
_KEY = 1
_RUN = re.compile(r"[0-9a-f]{16}")
_U64 = 1 << 64
_MAX_OFFSET_US = 1 << 62


class BadPacket(ValueError):
    """Not what an agent says; the message says why in a few words."""


class WirePacket(NamedTuple):
    """One coded picture or one AAC access unit, numbered from 1 in each run.

    `capture_us`: presentation time in the agent's CLOCK_MONOTONIC, microseconds.
    """

    number: int
    capture_us: int
    payload: bytes
    is_key: bool
    is_audio: bool


class StreamStart(NamedTuple):
    """What the packets that follow are. `offset_us`: server's monotonic clock minus agent's."""

    run: int
    offset_us: int
    track: Track


# --- packets --------------------------------------------------------------------------------------


def encode_packet(
    number: int, capture_us: int, payload: bytes, *, is_key: bool = True, is_audio: bool = False
) -> bytes:
    """One binary message."""
    kind = _SOUND if is_audio else _PICTURE
    return _HEAD.pack(MAGIC, kind, _KEY if is_key else 0, number, capture_us) + payload


def decode_packet(message: bytes) -> WirePacket:
    """Raises BadPacket."""
    if len(message) <= HEAD_BYTES:
        raise BadPacket("a packet without content")
    magic, kind, flags, number, capture_us = _HEAD.unpack_from(message)
    if magic != MAGIC or kind not in (_PICTURE, _SOUND):
        raise BadPacket("a packet that is neither picture nor sound")
    if not number:
        raise BadPacket("a packet without a number")
    is_key = bool(flags & _KEY)
    return WirePacket(number, capture_us, message[HEAD_BYTES:], is_key, kind == _SOUND)


# --- text, agent to server ------------------------------------------------------------------------


def encode_stream(run: int, offset_us: int, track: Track) -> str:
    audio = track.audio and {
        "codec": track.audio.codec,
        "rate_hz": track.audio.rate_hz,
        "channels": track.audio.channels,
        "config": base64.b64encode(track.audio.config).decode(),
    }
    described = {
        "codec": track.codec,
        "width": track.width,
        "height": track.height,
        "config": base64.b64encode(track.config).decode(),
        "audio": audio,
    }
    return _compact(
        {"type": "stream", "run": f"{run:016x}", "offset_us": offset_us, "track": described}
    )


def decode_stream(message: Mapping[str, Any]) -> StreamStart:
    """From the parsed text. Raises BadPacket; whether `config` means anything is not looked at."""
    run = message.get("run")
    if not isinstance(run, str) or not _RUN.fullmatch(run) or run == "0" * 16:
        raise BadPacket("a stream without a run")
    offset_us = _number(message, "offset_us", -_MAX_OFFSET_US, _MAX_OFFSET_US)
    return StreamStart(int(run, 16), offset_us, _track(_object(message, "track")))


def encode_clock(t_us: int) -> str:
    return _compact({"type": "clock", "t_us": t_us})


def decode_clock(message: Mapping[str, Any]) -> int:
    """The agent's `t_us`. Raises BadPacket."""
    return _number(message, "t_us", 0, _U64 - 1)


# --- text, server to agent ------------------------------------------------------------------------


def encode_clock_answer(t_us: int, mono_us: int) -> str:
    return _compact({"type": "clock", "t_us": t_us, "mono_us": mono_us})


def encode_ack(number: int) -> str:
    return _compact({"type": "ack", "number": number})


# --- pieces ---------------------------------------------------------------------------------------


def _compact(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _track(described: Mapping[str, Any]) -> Track:
    codec = described.get("codec")
    if codec not in CODECS:
        raise BadPacket("a stream of an unknown codec")
    least = 0 if codec == "mjpeg" else 1  # JPEGs say their size themselves
    width = _number(described, "width", least, MAX_SIDE)
    height = _number(described, "height", least, MAX_SIDE)
    config = _bytes(described, "config")
    if not config and codec != "mjpeg":
        raise BadPacket("a stream without its parameters")
    audio = described.get("audio")
    sound = None if audio is None else _audio(_object(described, "audio"))
    return Track(codec, width, height, config, sound)


def _audio(described: Mapping[str, Any]) -> Audio:
    if described.get("codec") != "aac":
        raise BadPacket("sound of an unknown codec")
    rate_hz = _number(described, "rate_hz", 1, 192_000)
    channels = _number(described, "channels", 1, 8)
    config = _bytes(described, "config")
    if not 2 <= len(config) <= 64:  # AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1
        raise BadPacket("sound without its parameters")
    return Audio("aac", rate_hz, channels, config)


def _object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise BadPacket(f"a message without {name}")
    return value


def _number(message: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadPacket(f"a message without a usable {name}")
    return value


def _bytes(message: Mapping[str, Any], name: str) -> bytes:
    value = message.get(name)
    if not isinstance(value, str) or len(value) > MAX_CONFIG_BYTES * 4 // 3 + 4:
        raise BadPacket(f"a message without a usable {name}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPacket(f"a message without a usable {name}") from error
