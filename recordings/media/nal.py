"""What the parameter sets of H.264 and H.265 say, and the two ways of framing NAL units.

Packets hold NAL units behind 4-byte lengths, as MP4 and Matroska do (ISO/IEC 14496-15); cameras
and some decoders put start codes between them (Annex B of both standards). Everything here comes
from the network: nonsense is a ValueError, and no loop is longer than its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SPS, PPS = {"h264": 7, "hevc": 33}, {"h264": 8, "hevc": 34}
_VPS = 32
_KINDS = {"h264": (7, 8), "hevc": (_VPS, 33, 34)}  # in the order of a configuration record
_HEADER_BYTES = {"h264": 1, "hevc": 2}
MAX_SET_BYTES = 4096  # real ones have 10 to 200
MAX_SETS = 32  # of one kind: what avcC can count
MAX_PIXELS = 16_384  # a side
_START_CODE = re.compile(b"\x00\x00\x01")
_ZERO_START = b"\x00\x00\x00\x01"

# ISO/IEC 14496-10 §7.3.2.1.1: profiles whose SPS says chroma format and scaling lists.
_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_PLAIN_PROFILES = frozenset((66, 77, 88))  # avcC ends behind the PPS for these
_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # chroma_format_idc: width, height


class _Facts(NamedTuple):
    """What an SPS says; `layers` is empty for H.264."""

    width: int
    height: int
    chroma_format: int
    luma_bits: int
    chroma_bits: int
    general: bytes = b""  # H.265: the 12 bytes of the general profile, tier and level
    layers: int = 1
    is_nested: bool = True


class _Bits:
    """Reads an RBSP from its first bit. Every method raises ValueError behind the end."""

    def __init__(self, unit: bytes, header_bytes: int) -> None:
        # Emulation prevention bytes are taken out: ISO/IEC 14496-10 §7.4.1.
        self._data = unit[header_bytes:].replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def read(self, bits: int) -> int:
        first, end = self._at >> 3, self._at + bits
        if end > 8 * len(self._data):
            raise ValueError("a parameter set ends too early")
        last = (end + 7) >> 3
        value = int.from_bytes(self._data[first:last], "big") >> (8 * last - end)
        self._at = end
        return value & ((1 << bits) - 1)

    def skip(self, bits: int) -> None:
        self.read(bits)

    def ue(self, most: int = 0xFFFF) -> int:
        """Unsigned Exp-Golomb, at most `most`."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("a parameter set holds no number where one must be")
        value = (1 << zeros) - 1 + self.read(zeros)
        if value > most:
            raise ValueError(f"a parameter set says {value} where {most} is the most")
        return value

    def se(self) -> int:
        value = self.ue(0xFFFF_FFFF)
        return (value + 1) // 2 if value & 1 else -(value // 2)


def units(packet: bytes) -> Iterator[bytes]:
    """The NAL units of a packet. Raises ValueError where the lengths do not add up."""
    at = 0
    while at < len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4], "big")
        if end > len(packet) or end <= at + 4:
            raise ValueError("the NAL units of a packet do not add up to its length")
        yield packet[at + 4 : end]
        at = end


def parameter_sets(codec: str, packet: bytes) -> list[bytes]:
    """The VPS, SPS and PPS units in a packet, each once, in its order. Raises ValueError."""
    found = [unit for unit in units(packet) if _kind(codec, unit) in _KINDS[codec]]
    return list(dict.fromkeys(found))


def config_of(codec: str, sets: Iterable[bytes]) -> bytes:
    """AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord of the parameter sets.

    ISO/IEC 14496-15 §5.3.3.1 and §8.3.3.1. Raises ValueError where one is missing or nonsense.
    """
    by_kind: dict[int, list[bytes]] = {kind: [] for kind in _KINDS[codec]}
    for unit in dict.fromkeys(sets):
        kind = _kind(codec, unit)
        if kind not in by_kind or len(unit) > MAX_SET_BYTES or len(by_kind[kind]) == MAX_SETS - 1:
            raise ValueError("that is not a list of parameter sets")
        by_kind[kind].append(unit)
    if not all(by_kind.values()):
        raise ValueError("a parameter set is missing")
    facts = _facts(codec, by_kind[SPS[codec]][0])
    return _avcc(by_kind, facts) if codec == "h264" else _hvcc(by_kind, facts)


def _avcc(sets: dict[int, list[bytes]], facts: _Facts) -> bytes:
    first = sets[7][0]
    record = b"\x01" + first[1:4] + b"\xff"  # lengths of 4 bytes
    record += bytes((0xE0 | len(sets[7]),)) + b"".join(map(_with_short_length, sets[7]))
    record += bytes((len(sets[8]),)) + b"".join(map(_with_short_length, sets[8]))
    if first[1] not in _PLAIN_PROFILES:
        depths = (0xF8 | (facts.luma_bits - 8), 0xF8 | (facts.chroma_bits - 8))
        record += bytes((0xFC | facts.chroma_format, *depths, 0))  # no SPS extensions
    return record


def _hvcc(sets: dict[int, list[bytes]], facts: _Facts) -> bytes:
    record = b"\x01" + facts.general
    record += b"\xf0\x00\xfc"  # segmentation and parallelism: not said
    record += bytes(
        (0xFC | facts.chroma_format, 0xF8 | (facts.luma_bits - 8), 0xF8 | (facts.chroma_bits - 8))
    )
    record += b"\x00\x00"  # average frame rate: not said
    record += bytes((facts.layers << 3 | facts.is_nested << 2 | 3, len(sets)))
    for kind, found in sets.items():
        # Complete: every parameter set is here, as the sample entry hvc1 promises.
        record += bytes((0x80 | kind,)) + len(found).to_bytes(2, "big")
        record += b"".join(map(_with_short_length, found))
    return record


def _with_short_length(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def sets_of(codec: str, config: bytes) -> list[bytes]:
    """The parameter sets in an avcC or hvcC record. Raises ValueError; also for another length of
    lengths than 4 bytes.
    """
    try:
        return _sets_of_avcc(config) if codec == "h264" else _sets_of_hvcc(config)
    except IndexError as error:
        raise ValueError("the codec configuration ends too early") from error


def _sets_of_avcc(config: bytes) -> list[bytes]:
    if config[0] != 1 or config[4] & 3 != 3:
        raise ValueError("that is no avcC record with lengths of 4 bytes")
    found, at = _take(config, 6, config[5] & 0x1F)
    return found + _take(config, at + 1, config[at])[0]


def _sets_of_hvcc(config: bytes) -> list[bytes]:
    if config[0] != 1 or config[21] & 3 != 3:
        raise ValueError("that is no hvcC record with lengths of 4 bytes")
    found: list[bytes] = []
    at = 23
    for _ in range(config[22]):
        count = config[at + 1] << 8 | config[at + 2]
        taken, at = _take(config, at + 3, count)
        found += taken
    return [unit for unit in found if _kind("hevc", unit) in _KINDS["hevc"]]


def _take(config: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    found = []
    for _ in range(count):
        end = at + 2 + (config[at] << 8 | config[at + 1])
        if end > len(config) or end == at + 2:
            raise ValueError("the codec configuration ends too early")
        found.append(config[at + 2 : end])
        at = end
    return found, at


def size_of(codec: str, config: bytes) -> tuple[int, int]:
    """Width and height of the pictures as shown, cropping done. Raises ValueError."""
    facts = _facts_of(codec, config)
    return facts.width, facts.height


def codec_string(codec: str, config: bytes) -> str:
    """What RFC 6381 and ISO/IEC 14496-15 annex E call it. Raises ValueError."""
    if codec == "h264":
        sps = _first_sps(codec, config)
        return f"avc1.{sps[1:4].hex()}"
    general = _facts_of(codec, config).general
    space = ("", "A", "B", "C")[general[0] >> 6]
    tier = "H" if general[0] & 0x20 else "L"
    flags = int(f"{int.from_bytes(general[1:5], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{byte:X}" for byte in general[5:11].rstrip(b"\x00"))
    return f"hvc1.{space}{general[0] & 0x1F}.{flags:X}.{tier}{general[11]}{constraints}"


def audio_codec_string(config: bytes) -> str:
    """Of an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1). Raises ValueError."""
    bits = _Bits(config, 0)
    object_type = bits.read(5)
    if object_type == 31:
        object_type = 32 + bits.read(6)
    if not object_type:
        raise ValueError("that is no AudioSpecificConfig")
    return f"mp4a.40.{object_type}"


def to_annexb(codec: str, config: bytes, packet: bytes) -> bytes:
    """The parameter sets and the packet with start codes: what a decoder takes by itself.

    Raises ValueError.
    """
    parts = [*sets_of(codec, config), *units(packet)]
    return b"".join(_ZERO_START + part for part in parts)


def from_annexb(data: bytes) -> bytes:
    """The units between start codes with 4-byte lengths. Raises ValueError where there is none."""
    first = _START_CODE.search(data)
    if first is None:
        raise ValueError("there is no start code")
    # A unit never ends in a zero byte: those belong to the next start code (Annex B.1).
    parts = (part.rstrip(b"\x00") for part in _START_CODE.split(data[first.end() :]))
    packet = b"".join(len(part).to_bytes(4, "big") + part for part in parts if part)
    if not packet:
        raise ValueError("there is nothing between the start codes")
    return packet


def _kind(codec: str, unit: bytes) -> int:
    if len(unit) < _HEADER_BYTES[codec]:
        return -1
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def _first_sps(codec: str, config: bytes) -> bytes:
    for unit in sets_of(codec, config):
        if _kind(codec, unit) == SPS[codec]:
            if len(unit) < 4 or len(unit) > MAX_SET_BYTES:
                break
            return unit
    raise ValueError("the codec configuration holds no SPS")


def _facts_of(codec: str, config: bytes) -> _Facts:
    return _facts(codec, _first_sps(codec, config))


def _facts(codec: str, sps: bytes) -> _Facts:
    facts = _facts_h264(sps) if codec == "h264" else _facts_hevc(sps)
    if not (0 < facts.width <= MAX_PIXELS and 0 < facts.height <= MAX_PIXELS):
        raise ValueError(f"a picture of {facts.width}x{facts.height} is none")
    return facts


def _facts_h264(sps: bytes) -> _Facts:
    """ISO/IEC 14496-10 §7.3.2.1.1."""
    bits = _Bits(sps, 1)
    profile = bits.read(8)
    bits.skip(16)  # constraints, level
    bits.ue()  # id
    chroma, luma_bits, chroma_bits, is_separate = 1, 8, 8, False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue(3)
        is_separate = chroma == 3 and bool(bits.read(1))
        luma_bits, chroma_bits = 8 + bits.ue(6), 8 + bits.ue(6)
        bits.skip(1)  # transform bypass
        if bits.read(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    bits.ue()  # log2_max_frame_num
    _skip_order_count(bits)
    bits.ue()  # reference frames
    bits.skip(1)
    width, map_height = 16 * (bits.ue() + 1), 16 * (bits.ue() + 1)
    is_frames_only = bits.read(1)
    if not is_frames_only:
        bits.skip(1)
    bits.skip(1)  # direct_8x8_inference
    height = map_height * (2 - is_frames_only)
    if bits.read(1):
        unit_x, unit_y = _SUBSAMPLING[0 if is_separate else chroma]
        unit_y *= 2 - is_frames_only
        width -= unit_x * (bits.ue() + bits.ue())
        height -= unit_y * (bits.ue() + bits.ue())
    return _Facts(width, height, chroma, luma_bits, chroma_bits)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.ue(2)
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue(255)):
            bits.se()


def _facts_hevc(sps: bytes) -> _Facts:
    """ISO/IEC 23008-2 §7.3.2.2 and §7.3.3."""
    bits = _Bits(sps, 2)
    bits.skip(4)  # VPS
    layers = bits.read(3) + 1
    is_nested = bool(bits.read(1))
    general = bits.read(96).to_bytes(12, "big")
    if layers > 1:
        present = [(bits.read(1), bits.read(1)) for _ in range(8)][: layers - 1]
        for has_profile, has_level in present:
            bits.skip(88 * has_profile + 8 * has_level)
    bits.ue()  # id
    chroma = bits.ue(3)
    is_separate = chroma == 3 and bool(bits.read(1))
    width, height = bits.ue(), bits.ue()
    if bits.read(1):
        unit_x, unit_y = _SUBSAMPLING[0 if is_separate else chroma]
        width -= unit_x * (bits.ue() + bits.ue())
        height -= unit_y * (bits.ue() + bits.ue())
    luma_bits, chroma_bits = 8 + bits.ue(7), 8 + bits.ue(7)
    return _Facts(width, height, chroma, luma_bits, chroma_bits, general, layers, is_nested)
