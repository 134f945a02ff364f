"""The simulated camera takes what a camera takes, and as long."""

from __future__ import annotations

import io
import itertools
import os
import time
from pathlib import Path

import av
import pytest
from PIL import Image
from pytest_django import Settings

from capture.media import counting
from stills.cameras.simulated import MODEL, SENSOR_SIZE, SimulatedCamera
from stills.exceptions import CaptureError
from stills.media import dng, figures
from tests.stills.cameras.conftest import Cancelled, failure, order, pictures_of_h264, take, video


def no_children_are_left() -> bool:
    """None of this process, not even a zombie."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def only(into: Path) -> bool:
    return [path.name for path in into.parent.iterdir() if path != into] == []


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("size", [(64, 48), (800, 600), (601, 1201), (4096, 3072)])
def test_a_picture_has_the_size_that_was_asked_for(size: tuple[int, int], into: Path) -> None:
    take(SimulatedCamera(), into, order("jpg", width=size[0], height=size[1], duration_ms=1))
    with Image.open(into, formats=("JPEG",)) as image:
        image.load()
        assert image.size == size
        assert image.getexif()[272] == MODEL
    assert only(into)


def test_a_picture_carries_the_time_when_it_was_taken(into: Path) -> None:
    began_ms = now_ms()
    take(SimulatedCamera(), into, order("jpg", width=640, height=480, duration_ms=300))
    stamp = counting.read_jpeg(into.read_bytes())
    assert stamp is not None
    assert began_ms + 300 <= stamp.time_ms <= now_ms(), "it looks first, then takes the picture"


def test_two_pictures_are_told_apart(into: Path) -> None:
    counters = []
    for _ in range(2):
        into.unlink(missing_ok=True)
        take(SimulatedCamera(), into, order("jpg", duration_ms=1))
        stamp = counting.read_jpeg(into.read_bytes())
        assert stamp is not None
        counters.append(stamp.counter)
    assert counters[1] == counters[0] + 1


def test_a_raw_picture_is_read_by_libraw_and_carries_its_time(into: Path) -> None:
    rawpy = pytest.importorskip("rawpy", reason="there is no LibRaw for this processor")
    began_ms = now_ms()
    take(SimulatedCamera(), into, order("dng", duration_ms=1))
    assert dng.size_of(into) == SENSOR_SIZE
    with rawpy.imread(io.BytesIO(into.read_bytes())) as raw:
        shown = raw.postprocess(use_camera_wb=True, no_auto_bright=True)
    stamp = counting.read_image(Image.fromarray(shown))
    assert stamp is not None
    assert began_ms <= stamp.time_ms <= now_ms()


def test_a_raw_picture_has_a_preview_of_itself(into: Path) -> None:
    take(SimulatedCamera(), into, order("dng", duration_ms=1))
    preview, developed = dng.preview_of(into), dng.render(into, max_width=480)
    assert preview is not None
    assert developed is not None
    with Image.open(io.BytesIO(preview), formats=("JPEG",)) as image:
        assert image.size == (1280, 720)
        small = [one.convert("L").resize(figures.SMALL) for one in (image, developed)]
    assert figures.motion(small).mean < 3


def test_an_mp4_plays_in_browsers_and_takes_its_time(into: Path) -> None:
    began_s = time.monotonic()
    take(SimulatedCamera(), into, order("mp4", width=640, height=360, fps=20, duration_ms=1_500))
    took_s = time.monotonic() - began_s
    width, height, times = video(into)
    assert (width, height) == (640, 360)
    assert times == pytest.approx([number / 20 for number in range(30)])
    assert took_s > 1.4
    data = into.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat"), "it begins to play before all is there"
    with av.open(str(into), format="mp4") as container:
        context = container.streams.video[0].codec_context
        assert context.profile in ("Baseline", "Constrained Baseline")
        assert context.pix_fmt == "yuv420p"
    assert only(into)
    assert no_children_are_left()


def test_h264_is_a_bare_stream(into: Path) -> None:
    take(SimulatedCamera(), into, order("h264", fps=15, duration_ms=600))
    assert into.read_bytes().startswith(b"\0\0\0\1")
    assert pictures_of_h264(into) == (320, 240, 9)
    assert only(into)


def test_a_video_shows_the_scene_with_its_time_and_something_that_moves(into: Path) -> None:
    take(SimulatedCamera(), into, order("mp4", width=640, height=480, fps=10, duration_ms=1_500))
    with av.open(str(into), format="mp4") as container:
        pictures = [
            frame.to_image().convert("L")  # type: ignore[no-untyped-call]
            for frame in container.decode(video=0)
        ]
    clock = (600, 450, 640, 480)
    changes = [
        figures.motion([one.crop(clock), other.crop(clock)]).mean
        for one, other in itertools.pairwise(pictures)
    ]
    assert 1 <= sum(change > 1.5 for change in changes) <= 2, "the clock goes on once a second"
    still = Path(f"{into}.jpg")
    take(SimulatedCamera(), still, order("jpg", width=640, height=480, duration_ms=1))
    with Image.open(still, formats=("JPEG",)) as image:
        shown = [image.convert("L").resize(figures.SMALL), pictures[-1].resize(figures.SMALL)]
    assert figures.motion(shown).mean < 12, "it is another scene"


@pytest.mark.parametrize("size", [(321, 241), (2, 2), (160, 90)])
def test_a_video_has_even_sides(size: tuple[int, int], into: Path) -> None:
    take(SimulatedCamera(), into, order("mp4", width=size[0], height=size[1], duration_ms=100))
    assert video(into)[:2] == (size[0] // 2 * 2, size[1] // 2 * 2)


def test_a_large_video_has_fewer_pictures_a_second_as_of_a_sensor(into: Path) -> None:
    take(SimulatedCamera(), into, order("mp4", width=2560, height=1920, fps=30, duration_ms=500))
    assert video(into)[2] == pytest.approx([number / 12 for number in range(6)])


@pytest.mark.parametrize("kind", ["jpg", "dng", "mp4", "h264"])
def test_it_stops_within_half_a_second_when_nobody_wants_it(kind: str, into: Path) -> None:
    take(SimulatedCamera(), Path(f"{into}.first"), order("jpg", duration_ms=1))  # draws the scene
    began_s = time.monotonic()
    cancelled = Cancelled(lambda: time.monotonic() - began_s > 0.4)
    error = failure(
        SimulatedCamera(),
        into,
        order(kind, duration_ms=60_000, timeout_ms=64_000),
        is_wanted=cancelled,
    )
    assert error.code == "cancelled"
    assert time.monotonic() - cancelled.at_s < 0.5
    assert not [path for path in into.parent.iterdir() if path.suffix == ".png"]
    assert no_children_are_left()


@pytest.mark.parametrize("kind", ["jpg", "mp4"])
def test_what_takes_too_long_ends_in_the_words_that_clients_know(kind: str, into: Path) -> None:
    error = failure(SimulatedCamera(), into, order(kind, duration_ms=60_000, timeout_ms=300))
    assert error.code == "timeout"
    assert error.contract == "Command timed out after 300ms: simulated"
    assert "0.3 s" in str(error)
    assert no_children_are_left()


def test_without_ffmpeg_it_takes_pictures_but_no_videos(into: Path, settings: Settings) -> None:
    settings.NVR_FFMPEG = "no-such-ffmpeg"
    found = SimulatedCamera().look()
    assert found.is_there
    assert [check.name for check in found.checks if check.is_ok is False] == ["program"]
    assert failure(SimulatedCamera(), into, order("mp4")).code == "missing_program"
    take(SimulatedCamera(), into, order("jpg", duration_ms=1))
    assert into.stat().st_size > 1_000


def test_where_it_may_not_write_it_says_so(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file.part"
    for kind in ("jpg", "mp4"):
        with pytest.raises((OSError, CaptureError)):
            take(SimulatedCamera(), missing, order(kind, duration_ms=1))


def test_it_is_always_there() -> None:
    found = SimulatedCamera().look()
    assert found.is_there
    assert found.sentence == "Roost simulated camera 1920x1080 by simulated."
    assert all(check.is_ok for check in found.checks)
