"""capture.media.wsframes: frames out of any stream, however it is cut."""

from __future__ import annotations

import random

import pytest

from capture.media import wsframes
from capture.media.wsframes import BINARY, CLOSE, PING, TEXT, FrameError, FrameReader, Message
from tests.capture.firmware import masked

LIMIT = 300_000


def read_all(reader: FrameReader) -> list[Message]:
    found = []
    while (message := reader.next_message()) is not None:
        found.append(message)
    return found


def test_the_native_unmasking_is_installed() -> None:
    assert wsframes.IS_NATIVE


@pytest.mark.parametrize("mask", [bytes(4), b"\x00\x01\x02\x03", b"\xe9\xb8P\xbb"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 150_001])
def test_it_reads_every_length_under_every_mask(size: int, mask: bytes) -> None:
    payload = random.Random(size).randbytes(size)
    reader = FrameReader(LIMIT)
    reader.feed(masked(BINARY, payload, mask=mask))
    assert read_all(reader) == [Message(BINARY, payload)]
    assert reader.buffered_bytes == 0


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x82\x00"), (125, b"\x82\x7d"), (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"), (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)  # fmt: skip
def test_a_servers_frame_says_its_length_in_the_fewest_bytes(length: int, header: bytes) -> None:
    assert wsframes.server_header(BINARY, length) == header


def test_it_does_not_matter_how_the_stream_is_cut() -> None:
    source = random.Random(3)
    payloads = [source.randbytes(source.choice((0, 5, 300, 70_000))) for _ in range(30)]
    stream = b"".join(masked(BINARY, payload, mask=source.randbytes(4)) for payload in payloads)
    for size in (1, 7, 1436, 16384, len(stream)):
        reader, found = FrameReader(LIMIT), []
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])
            found += read_all(reader)
        assert [message.payload for message in found] == payloads


def test_it_joins_fragments_and_lets_a_control_frame_pass_between_them() -> None:
    reader = FrameReader(LIMIT)
    ping = masked(PING, b"are you there")
    reader.feed(masked(BINARY, b"one ", is_final=False))
    reader.feed(masked(0, b"two ", is_final=False) + ping + masked(0, b"three"))
    assert read_all(reader) == [Message(PING, ping), Message(BINARY, b"one two three")]


def test_a_control_frame_keeps_its_bytes_for_the_library_that_answers_it() -> None:
    reader = FrameReader(LIMIT)
    close = masked(CLOSE, b"\x03\xe8", mask=b"abcd")
    reader.feed(close + masked(TEXT, b"{}"))
    assert read_all(reader) == [Message(CLOSE, close), Message(TEXT, b"{}")]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\xc2" + masked(BINARY, b"x")[1:], 1002),  # a reserved bit
        (b"\x82\x01x", 1002),  # not masked
        (masked(3, b"x"), 1002),  # an opcode nobody knows
        (masked(0, b"x"), 1002),  # a continuation of nothing
        (masked(BINARY, b"x", is_final=False) + masked(BINARY, b"y"), 1002),
        (masked(PING, b"x", is_final=False), 1002),
        (masked(PING, b"x" * 126), 1002),
        (masked(BINARY, bytes(10))[:1] + b"\xff" + (LIMIT + 1).to_bytes(8, "big") + bytes(4), 1009),
        (b"\x82\xff" + b"\xff" * 8 + bytes(4), 1009),
        (masked(BINARY, bytes(LIMIT - 1), is_final=False) + masked(0, b"xx"), 1009),
        (masked(BINARY, b"", is_final=False) + masked(0, b"", is_final=False) * 5000, 1009),
    ],
)
def test_it_refuses_what_breaks_the_protocol(stream: bytes, code: int) -> None:
    reader = FrameReader(LIMIT)
    reader.feed(stream)
    with pytest.raises(FrameError) as caught:
        read_all(reader)
    assert caught.value.code == code


def test_an_announced_size_costs_nothing_until_it_comes() -> None:
    reader = FrameReader(2 * 1024 * 1024)
    reader.feed(masked(BINARY, bytes(2 * 1024 * 1024))[:14])
    assert reader.next_message() is None
    assert reader.buffered_bytes == 14


def test_no_garbage_makes_it_do_anything_but_refuse() -> None:
    source = random.Random(11)
    refused = 0
    for _ in range(3000):
        reader = FrameReader(LIMIT)
        reader.feed(source.randbytes(source.randrange(1, 200)))
        try:
            read_all(reader)
        except FrameError:
            refused += 1
    assert refused > 1000
