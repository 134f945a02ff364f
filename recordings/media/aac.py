"""The little that must be known of AAC: how long an access unit lasts, and what silence is in it."""

from __future__ import annotations

# ISO/IEC 14496-3 §1.6.3.4, by index. A decoder's own doubling of the rate (SBR) is not in it, so an
# access unit is 1024 samples of this rate whatever comes out.
_RATES_HZ = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
_UNIT_SAMPLES = 1024
# Low complexity, alone or as the core of HE-AAC; other kinds have other syntax.
_LOW_COMPLEXITY = (2, 5, 29)

# raw_data_block (§4.4.2.1) with max_sfb 0: no spectrum at all. One channel: single_channel_element,
# its gain and ics_info all zeros. Two: channel_pair_element with common_window. ID_END ends both.
_SILENT_MONO = 0b000_0000_00000000_00000000000_000_111.to_bytes(4, "big")
_SILENT_STEREO = (
    0b001_0000_1_00000000000_00_00000000_000_00000000_000_111_00 .to_bytes(6, "big")
)  # fmt: skip


def core_rate_hz(config: bytes) -> int:
    """Of an AudioSpecificConfig. Raises ValueError where it says none."""
    bits, size = int.from_bytes(config, "big"), 8 * len(config)
    if size >= 9 and (number := bits >> size - 9 & 15) < len(_RATES_HZ):
        return _RATES_HZ[number]
    if size >= 33 and number == 15 and (rate_hz := bits >> size - 33 & 0xFFFFFF):
        return rate_hz
    raise ValueError("the AudioSpecificConfig says no sampling rate")


def unit_ms(config: bytes) -> float:
    """How long one access unit lasts. Raises ValueError."""
    return 1000 * _UNIT_SAMPLES / core_rate_hz(config)


def silence(config: bytes, channels: int) -> bytes:
    """One access unit without a sound, b"" where we know none for this kind of AAC."""
    if not config or config[0] >> 3 not in _LOW_COMPLEXITY:
        return b""
    return {1: _SILENT_MONO, 2: _SILENT_STEREO}.get(channels, b"")
