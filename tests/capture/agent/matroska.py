"""Live Matroska made by hand, for tests of its reader: every form that a muxer may choose."""

from __future__ import annotations


def size(length: int, width: int = 0) -> bytes:
    """An EBML size, as short as it can be or of `width` bytes."""
    if not width:
        width = next(n for n in range(1, 9) if length < (1 << 7 * n) - 1)
    return (length | 1 << 7 * width).to_bytes(width, "big")


UNKNOWN = b"\x01" + b"\xff" * 7
SHORT_UNKNOWN = b"\xff"


def element(element_id: int, payload: bytes, *, width: int = 0) -> bytes:
    name = element_id.to_bytes((element_id.bit_length() + 7) // 8, "big")
    return name + size(len(payload), width) + payload


def number(element_id: int, value: int) -> bytes:
    return element(element_id, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


EBML = element(0x1A45DFA3, element(0x4282, b"matroska"))
SEGMENT = bytes.fromhex("18538067")
CLUSTER = bytes.fromhex("1f43b675")


def video(track: int = 1, codec: str = "V_MPEG4/ISO/AVC", private: bytes = b"avcC") -> bytes:
    size_of = element(0xE0, number(0xB0, 640) + number(0xBA, 480))
    codecs = element(0x86, codec.encode()) + (element(0x63A2, private) if private else b"")
    return element(0xAE, number(0xD7, track) + number(0x83, 1) + codecs + size_of)


def sound(track: int = 2, *, delay_ns: int = 0, extra: bytes = b"") -> bytes:
    rate = bytes.fromhex("40e7700000000000")  # 48000.0
    kind = element(0xE1, element(0xB5, rate) + number(0x9F, 2))
    codecs = element(0x86, b"A_AAC") + element(0x63A2, b"\x11\x90")
    delay = number(0x56AA, delay_ns) if delay_ns else b""
    return element(0xAE, number(0xD7, track) + number(0x83, 2) + codecs + kind + delay + extra)


def head(*tracks: bytes, segment: bytes = UNKNOWN, scale_ns: int = 1_000_000) -> bytes:
    info = element(0x1549A966, number(0x2AD7B1, scale_ns) + element(0x4D80, b"test"))
    return EBML + SEGMENT + segment + info + element(0x1654AE6B, b"".join(tracks))


def block(payload: bytes, *, track: int = 1, relative: int = 0, flags: int = 0x80) -> bytes:
    return (
        bytes((0x80 | track,))
        + relative.to_bytes(2, "big", signed=True)
        + bytes((flags,))
        + payload
    )


def simple(payload: bytes, *, track: int = 1, relative: int = 0, is_key: bool = True) -> bytes:
    return element(
        0xA3, block(payload, track=track, relative=relative, flags=0x80 if is_key else 0)
    )


def group(payload: bytes, *, track: int = 1, relative: int = 0, is_key: bool = True) -> bytes:
    reference = b"" if is_key else element(0xFB, b"\xff")
    inside = element(0xA1, block(payload, track=track, relative=relative, flags=0)) + reference
    return element(0xA0, number(0x9B, 40) + inside)


def cluster(time_ms: int, *blocks: bytes, is_unknown: bool = False) -> bytes:
    inside = number(0xE7, time_ms) + b"".join(blocks)
    return CLUSTER + (UNKNOWN if is_unknown else size(len(inside), 4)) + inside
