"""A JPEG's header, checked before any decoder sees the picture.

Only the marker segments are walked (ITU-T T.81 B.1), never the entropy-coded data: a
691-byte file that claims 65,500 x 65,500 pixels cost a decoder 16 GB.
"""

from __future__ import annotations

MAX_WIDTH = 2592  # QSXGA, the largest sensor an ESP32-CAM board carries (OV5640)
MAX_HEIGHT = 1944
SOI = b"\xff\xd8"
EOI = b"\xff\xd9"

_SOF_DECODABLE = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive; all Huffman
_SOF_OTHER = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))
_SOS = 0xDA
_MAX_SEGMENTS = 64  # an ESP32 writes about 12; more is somebody spending our time
_MAX_PADDING = 4096  # some drivers pad a frame to their DMA block


class BadFrame(ValueError):
    """Not a picture this recorder takes; the message says why in a few words."""


def size_of(
    picture: bytes, max_width: int = MAX_WIDTH, max_height: int = MAX_HEIGHT
) -> tuple[int, int]:
    """(width, height) in pixels of one whole JPEG; raises BadFrame for anything else."""
    if not picture.startswith(SOI):
        raise BadFrame("it does not begin with FF D8")
    if not picture.endswith(EOI) and not _ends_in_padding(picture):
        raise BadFrame("it is cut off: the end marker FF D9 is missing")
    width, height = _frame_size(picture)
    if not width or not height:
        raise BadFrame("its header claims no pixels")
    if width > max_width or height > max_height:
        raise BadFrame(f"its header claims {width}x{height}, over {max_width}x{max_height}")
    return width, height


def _ends_in_padding(picture: bytes) -> bool:
    """True where only zeros or FF bytes follow the end marker."""
    end = picture.rfind(EOI, max(2, len(picture) - _MAX_PADDING))
    return end > 0 and not picture[end + 2 :].strip(b"\x00\xff")


def _frame_size(picture: bytes) -> tuple[int, int]:
    position, length = 2, len(picture)
    size: tuple[int, int] | None = None
    for _ in range(_MAX_SEGMENTS):
        if position + 4 > length or picture[position] != 0xFF:
            break
        marker = picture[position + 1]
        if marker == 0xFF:  # a fill byte before the marker
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        segment_length = (picture[position + 2] << 8) | picture[position + 3]
        if segment_length < 2:
            break
        if marker == _SOS:
            if size is None:
                raise BadFrame("picture data comes before the frame header")
            return size
        if marker in _SOF_OTHER:
            raise BadFrame("it is a lossless or arithmetic JPEG")
        if marker in _SOF_DECODABLE:
            if size is not None:
                raise BadFrame("it has two frame headers")
            size = _read_sof(picture[position + 4 : position + 2 + segment_length])
        position += 2 + segment_length
    raise BadFrame("its header is damaged")


def _read_sof(segment: bytes) -> tuple[int, int]:
    """T.81 B.2.2: precision, height, width, number of components, three bytes for each."""
    if len(segment) < 9 or segment[0] != 8:
        raise BadFrame("its frame header is not one of 8-bit samples")
    components = segment[5]
    if components not in (1, 3) or len(segment) != 6 + 3 * components:
        raise BadFrame("it has neither one nor three components")
    return (segment[3] << 8) | segment[4], (segment[1] << 8) | segment[2]
