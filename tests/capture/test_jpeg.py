"""capture.media.jpeg: what is a picture and what is not, without decoding it."""

from __future__ import annotations

import random
import time
from io import BytesIO

import pytest
from PIL import Image

from capture.media.jpeg import BadFrame, size_of
from tests.capture.firmware import jpeg


def encoded(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    out = BytesIO()
    Image.effect_noise((width, height), 60).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def claiming(width: int, height: int, picture: bytes = b"") -> bytes:
    """The picture with other dimensions written into its frame header."""
    picture = picture or jpeg()
    at = picture.index(b"\xff\xc0")
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return picture[: at + 5] + size + picture[at + 9 :]


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 1}, {"progressive": True}, {"optimize": True}]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_it_reads_the_size_of_every_kind_of_jpeg_a_camera_makes(
    mode: str, options: dict[str, object]
) -> None:
    assert size_of(encoded(320, 240, mode, **options)) == (320, 240)
    assert size_of(encoded(1600, 1200, mode, **options)) == (1600, 1200)


def test_it_takes_the_padding_of_a_dma_block() -> None:
    assert size_of(jpeg() + bytes(512)) == (320, 240)
    assert size_of(jpeg() + b"\xff" * 3) == (320, 240)


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        (b"", "begin"),
        (b"\xff\xd8", "cut off"),
        (b"\xff\xd8\xff\xd9", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "begin"),
        (jpeg()[:-2], "cut off"),
        (jpeg()[: len(jpeg()) // 2], "cut off"),
        (jpeg() + b"trailing text", "cut off"),
        (jpeg() + bytes(5000), "cut off"),
        (claiming(65500, 65500), "65500x65500"),
        (claiming(2593, 10), "2593x10"),
        (claiming(10, 1945), "10x1945"),
        (claiming(0, 240), "no pixels"),
        (claiming(320, 0), "no pixels"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1), "arithmetic"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xfe", 1), "before the frame header"),
        (b"\xff\xd8" + b"\xff\x01" * 500 + jpeg()[2:], "damaged"),
        (b"\xff\xd8" + b"\xff" * 5000 + jpeg()[2:], "damaged"),
        (encoded(64, 64, "CMYK"), "components"),
    ],
)
def test_it_says_what_is_wrong(picture: bytes, complaint: str) -> None:
    with pytest.raises(BadFrame, match=complaint):
        size_of(picture)


def test_it_obeys_the_limit_of_the_caller() -> None:
    with pytest.raises(BadFrame, match="over 300x300"):
        size_of(jpeg(320, 240), 300, 300)


def test_no_damage_makes_it_do_anything_but_refuse() -> None:
    source = random.Random(7)
    good = encoded(160, 120)
    refused = 0
    for _ in range(4000):
        damaged = bytearray(good[: source.randrange(1, len(good) + 1)])
        for _ in range(source.randrange(1, 12)):
            damaged[source.randrange(min(len(damaged), 700))] = source.randrange(256)
        damaged[:2] = b"\xff\xd8"
        try:
            width, height = size_of(bytes(damaged) + b"\xff\xd9")
        except BadFrame:
            refused += 1
        else:
            assert 0 < width <= 2592
            assert 0 < height <= 1944
    assert 400 < refused < 4000, "the fuzz has to reach both answers"


def test_its_cost_does_not_grow_with_the_picture() -> None:
    def cost(picture: bytes) -> float:
        best = 1.0
        for _ in range(30):
            began = time.perf_counter()
            for _ in range(20):
                size_of(picture)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(encoded(1600, 1200)) < 5 * cost(encoded(64, 64))
