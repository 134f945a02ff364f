"""capture.media.packets: what agent and door say to each other survives the way, nonsense does not."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from capture.media import packets
from capture.media.packets import BadPacket
from recordings.media.matroska import Audio, Track

SOUND = Audio("aac", 48_000, 2, bytes.fromhex("1190"))
TRACK = Track("h264", 1920, 1080, b"\x01\x64\x00\x1f" + bytes(range(40)), SOUND)


@pytest.mark.parametrize("is_key", [True, False])
@pytest.mark.parametrize("is_audio", [True, False])
def test_a_packet_arrives_as_it_was_sent(is_key: bool, is_audio: bool) -> None:
    message = packets.encode_packet(
        4_000_000_000, 1 << 63, b"coded", is_key=is_key, is_audio=is_audio
    )
    assert message.startswith(packets.MAGIC)
    assert packets.decode_packet(message) == (4_000_000_000, 1 << 63, b"coded", is_key, is_audio)


@pytest.mark.parametrize(
    "track", [TRACK, TRACK._replace(audio=None), Track("mjpeg", 0, 0), Track("hevc", 1, 1, b"\x01")]
)
def test_a_stream_arrives_as_it_was_sent(track: Track) -> None:
    text = packets.encode_stream(0xFEDC_BA98_7654_3210, -12_345, track)
    assert packets.decode_stream(json.loads(text)) == (0xFEDC_BA98_7654_3210, -12_345, track)


def test_the_clock_is_asked_and_answered() -> None:
    assert packets.decode_clock(json.loads(packets.encode_clock(77))) == 77
    answer = json.loads(packets.encode_clock_answer(77, 99))
    assert answer == {"type": "clock", "t_us": 77, "mono_us": 99}
    assert json.loads(packets.encode_ack(5)) == {"type": "ack", "number": 5}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"RP",
        packets.encode_packet(1, 1, b""),
        packets.encode_packet(0, 1, b"x"),
        b"RQ" + packets.encode_packet(1, 1, b"x")[2:],
        b"RP\x03" + packets.encode_packet(1, 1, b"x")[3:],
    ],
)
def test_a_packet_that_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(BadPacket):
        packets.decode_packet(message)


def _changed(*path: str, to: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(packets.encode_stream(7, 0, TRACK))
    inner = message
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return message


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "stream", "run": "7", "offset_us": 0},
        _changed("run", to="0" * 16),
        _changed("run", to="-" + "0" * 14 + "1"),
        _changed("run", to="G" * 16),
        _changed("offset_us", to=1 << 63),
        _changed("offset_us", to=0.5),
        _changed("track", to=[]),
        _changed("track", "codec", to="vp9"),
        _changed("track", "width", to=0),
        _changed("track", "height", to=100_000),
        _changed("track", "width", to=True),
        _changed("track", "config", to=""),
        _changed("track", "config", to="not base64!"),
        _changed("track", "config", to="é" * 8),
        _changed("track", "config", to="A" * 100_000),
        _changed("track", "audio", to="aac"),
        _changed("track", "audio", "codec", to="opus"),
        _changed("track", "audio", "rate_hz", to=0),
        _changed("track", "audio", "channels", to=99),
        _changed("track", "audio", "config", to=""),
    ],
)
def test_a_stream_that_is_none_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(BadPacket):
        packets.decode_stream(message)


def test_any_bytes_are_a_packet_or_are_refused() -> None:
    source = random.Random(3)
    whole = packets.encode_packet(9, 9, b"coded picture")
    taken = 0
    for _ in range(2000):
        noise = bytearray(whole[: source.randrange(len(whole) + 1)])
        for _ in range(source.randrange(4)):
            if noise:
                noise[source.randrange(len(noise))] = source.randrange(256)
        try:
            packets.decode_packet(bytes(noise))
        except BadPacket:
            continue
        taken += 1
    assert taken, "some of the noise is harmless"
