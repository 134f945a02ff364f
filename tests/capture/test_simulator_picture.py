"""Pictures put together from rows are ordinary JPEGs to every decoder."""

from __future__ import annotations

import asyncio
import gc
import io

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from capture.media import counting, stripes
from capture.simulator_picture import SIZES, Look, Pictures, Studio
from capture.simulator_scene import PLACES, Scene, Tuning
from tests.instruments.scripted_recorder import until

NOW_MS = 1_795_000_000_000


def pixels(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.load()
        return image


def worst_difference(a: Image.Image, b: Image.Image) -> int:
    return max(high for _, high in ImageStat.Stat(ImageChops.difference(a, b)).extrema)


def test_rows_of_two_pictures_mix_without_a_changed_pixel() -> None:
    first = Image.effect_noise((320, 240), 60).convert("RGB")
    second = Image.linear_gradient("L").resize((320, 240)).convert("RGB")
    a, b = stripes.encode(first, 80), stripes.encode(second, 80)
    whole_a = a.head + stripes.place(a.rows, 0, is_end=True)
    whole_b = b.head + stripes.place(b.rows, 0, is_end=True)
    mixed = a.head + stripes.place(a.rows[:11], 0) + stripes.place(b.rows[11:], 11, is_end=True)
    top, bottom = (0, 0, 320, 88), (0, 88, 320, 240)
    assert worst_difference(pixels(mixed).crop(top), pixels(whole_a).crop(top)) == 0
    assert worst_difference(pixels(mixed).crop(bottom), pixels(whole_b).crop(bottom)) == 0


def test_splitting_and_placing_gives_the_encoders_own_bytes() -> None:
    picture = Image.effect_noise((320, 240), 60).convert("RGB")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80, subsampling=1, restart_marker_rows=1)
    striped = stripes.encode(picture, 80)
    assert len(striped.rows) == 30
    assert striped.head + stripes.place(striped.rows, 0, is_end=True) == out.getvalue()


def test_a_size_that_is_not_whole_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16x8"):
        stripes.encode(Image.new("RGB", (330, 240)), 80)


@pytest.mark.parametrize("quality", [0, 12, 63])
@pytest.mark.parametrize("name", SIZES)
async def test_the_counter_reads_at_every_size_and_quality(name: str, quality: int) -> None:
    studio = Studio()
    try:
        loop = await studio.loop_for(Look(1, *SIZES[name], quality, 1, Tuning()))
        jpeg = Pictures(loop, number=9).jpeg(4711, NOW_MS)
        assert pixels(jpeg).size == SIZES[name]
        assert counting.read_jpeg(jpeg, now_ms=NOW_MS) == counting.Stamp(4711, 9, NOW_MS)
    finally:
        studio.close()


async def test_ffmpegs_decoder_reads_it_without_a_complaint() -> None:
    studio = Studio()
    try:
        loop = await studio.loop_for(Look(2, 800, 600, 12, 10, Tuning()))
        jpeg = Pictures(loop, number=1).jpeg(3, NOW_MS)
    finally:
        studio.close()
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    (frame,) = decoder.decode(av.Packet(jpeg))
    assert isinstance(frame, av.VideoFrame)
    assert (frame.width, frame.height, frame.format.name) == (800, 600, "yuvj422p")
    stamp = counting.read_luma(
        frame.planes[0], stride=frame.planes[0].line_size, width=800, now_ms=NOW_MS
    )
    assert stamp == counting.Stamp(3, 1, NOW_MS)


async def test_a_frame_weighs_what_an_esp32s_does() -> None:
    studio = Studio()
    try:
        for scene in range(len(PLACES)):
            loop = await studio.loop_for(Look(scene, 800, 600, 12, 10, Tuning()))
            assert 15_000 < len(Pictures(loop, number=1).jpeg(0, NOW_MS)) < 35_000
    finally:
        studio.close()


async def test_a_loop_is_drawn_to_its_end_and_repeats_there() -> None:
    studio = Studio()
    try:
        loop = await studio.loop_for(Look(0, 320, 240, 12, 2, Tuning()))
        await until(lambda: len(loop.frames) == loop.length)
        assert loop.length == 24
        assert loop.middle(5) == loop.middle(29)
        assert loop.middle(5) != loop.middle(6)
    finally:
        studio.close()


async def test_cameras_with_the_same_look_share_one_loop_and_a_forgotten_one_is_freed() -> None:
    studio = Studio()
    try:
        look = Look(0, 160, 120, 12, 60, Tuning())
        loop = await studio.loop_for(look)
        assert await studio.loop_for(look) is loop
        del loop
        await until(lambda: gc.collect() is not None and not studio._loops)
    finally:
        studio.close()


async def test_a_size_that_cannot_be_drawn_is_an_error_and_not_a_wait() -> None:
    studio = Studio()
    try:
        with pytest.raises(ValueError, match="multiple"):
            async with asyncio.timeout(10):
                await studio.loop_for(Look(0, 330, 240, 12, 10, Tuning()))
    finally:
        studio.close()


def test_every_scene_looks_different_and_moves() -> None:
    stills = [Scene(n, 320, 240, Tuning()) for n in range(len(PLACES))]
    for index, scene in enumerate(stills):
        for other in stills[index + 1 :]:
            difference = ImageChops.difference(scene.still, other.still)
            assert sum(ImageStat.Stat(difference).mean) > 20
        moved = ImageChops.difference(scene.draw(0.4, 0), scene.draw(0.6, 0))
        assert max(high for _, high in ImageStat.Stat(moved).extrema) > 60


def test_the_sensors_sliders_change_the_picture() -> None:
    plain = Scene(0, 320, 240, Tuning()).still
    brighter = Scene(0, 320, 240, Tuning(brightness=2)).still
    greyer = Scene(0, 320, 240, Tuning(saturation=-2)).still
    assert sum(ImageStat.Stat(brighter).mean) > sum(ImageStat.Stat(plain).mean) + 30
    spread = [max(ImageStat.Stat(p).mean) - min(ImageStat.Stat(p).mean) for p in (plain, greyer)]
    assert spread[1] < spread[0]
