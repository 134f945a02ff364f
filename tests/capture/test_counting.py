"""The painted counter survives what a recorder does to a picture, and damage is never a number."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image, ImageDraw

from capture.media import counting
from capture.simulator_picture import SIZES

NOW_MS = 1_795_000_000_000


def busy_picture(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 40).convert("RGB")


def through_x264(pictures: list[Image.Image], crf: int) -> list[counting.Stamp | None]:
    width, height = pictures[0].size
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        options = {"preset": "ultrafast", "crf": str(crf), "bf": "0", "g": "600"}
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    out.seek(0)
    found = []
    with av.open(out, "r") as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            found.append(
                counting.read_luma(plane, stride=plane.line_size, width=frame.width, now_ms=NOW_MS)
            )
    return found


@pytest.mark.parametrize("name", SIZES)
def test_it_is_read_back_after_x264_at_crf_40(name: str) -> None:
    stamps = [counting.Stamp(70_001 * i, i, NOW_MS + 97 * i) for i in range(12)]
    still = busy_picture(*SIZES[name])
    pictures = []
    for stamp in stamps:
        picture = still.copy()
        counting.paint(picture, stamp)
        pictures.append(picture)
    assert through_x264(pictures, crf=40) == stamps


def test_it_is_read_from_a_jpeg_of_poor_quality() -> None:
    picture = busy_picture(800, 600)
    stamp = counting.Stamp(123_456, 50, NOW_MS)
    counting.paint(picture, stamp)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=10)
    assert counting.read_jpeg(out.getvalue(), now_ms=NOW_MS) == stamp


@pytest.mark.parametrize("cell", [0, 39, 40, 79])
def test_one_wrong_cell_is_noticed(cell: int) -> None:
    cells = counting.encode(counting.Stamp(1, 2, NOW_MS))
    flipped = cells[:cell] + ("0" if cells[cell] == "1" else "1") + cells[cell + 1 :]
    assert counting.decode(cells, now_ms=NOW_MS) == counting.Stamp(1, 2, NOW_MS)
    assert counting.decode(flipped, now_ms=NOW_MS) is None


@pytest.mark.parametrize("colour", ["black", "grey", "white"])
def test_a_picture_without_a_counter_reads_as_none(colour: str) -> None:
    assert counting.read_image(Image.new("RGB", (800, 600), colour)) is None


def test_noise_reads_as_none() -> None:
    assert counting.read_image(Image.effect_noise((800, 600), 200)) is None


def test_a_picture_covered_in_part_reads_as_none() -> None:
    picture = busy_picture(800, 600)
    counting.paint(picture, counting.Stamp(9, 9, NOW_MS))
    ImageDraw.Draw(picture).rectangle((0, 0, 100, 7), fill="white")
    assert counting.read_image(picture, now_ms=NOW_MS) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"GIF89a" + bytes(40)])
def test_bytes_that_are_no_jpeg_read_as_none(data: bytes) -> None:
    assert counting.read_jpeg(data) is None


def test_a_truncated_jpeg_reads_as_none() -> None:
    out = io.BytesIO()
    picture = busy_picture(320, 240)
    counting.paint(picture, counting.Stamp(1, 1, NOW_MS))
    picture.save(out, "JPEG")
    assert counting.read_jpeg(out.getvalue()[:-2000]) is None


@pytest.mark.parametrize("days", [-24, -1, 0, 1, 24])
def test_the_time_is_the_moment_nearest_to_the_readers_clock(days: int) -> None:
    stamp = counting.Stamp(5, 6, NOW_MS + days * 86_400_000)
    assert counting.decode(counting.encode(stamp), now_ms=NOW_MS) == stamp


def test_counters_wrap_instead_of_failing() -> None:
    stamp = counting.Stamp(counting.COUNTER_MODULO + 7, counting.CAMERA_MODULO + 3, NOW_MS)
    found = counting.decode(counting.encode(stamp), now_ms=NOW_MS)
    assert found == counting.Stamp(7, 3, NOW_MS)


def test_cells_are_whole_blocks_inside_the_picture_at_every_size() -> None:
    for width, height in SIZES.values():
        grid = counting.layout(width)
        assert grid.columns * grid.rows == counting.BITS
        assert grid.columns * grid.cell_width <= width
        assert grid.height <= height // 3
        assert not grid.cell_width % counting.BLOCK
        assert not grid.cell_height % counting.BLOCK


def test_a_picture_too_small_for_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 160"):
        counting.layout(159)
