"""Captures of what a camera streams: real segments written at their own pace, real FFmpeg."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from django.conf import settings
from PIL import Image

from capture.media import counting
from clips import cutter
from devices import sources
from devices.models import Device, Source
from recordings.media.matroska import Block, Track
from recordings.segments import Frame
from recordings.spool import SpoolWriter
from stills import streamed
from stills.cameras.protocol import Order
from stills.exceptions import CaptureError
from tests.factories import make_device, make_source
from tests.instruments.counting import sightings
from tests.recordings.footage import SIZE, Coded, coded, jpeg

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
MS = 1_000_000
ROUNDING_MS = 5  # of the spool's clock and the test's


@pytest.fixture(autouse=True)
def _small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run tests may be nearly full; the reserve has a test of its own."""
    monkeypatch.setattr(cutter, "RESERVE_BYTES", 0)


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Path]:
    """Where a capture goes; nothing may be left beside it."""
    path = tmp_path / "captures" / ".capture.part"
    path.parent.mkdir()
    yield path
    assert {other.name for other in path.parent.iterdir()} <= {path.name}


def live(device: Device, **facts: Any) -> None:
    """What the web process says of a camera that is connected."""
    said = {"presence": "streaming", "since_ms": 1, "fps": 10.0, **facts}
    document = {"at_ms": now_ms(), "pid": 1, "devices": {str(device.pk): said}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(document))


def now_ms() -> int:
    return time.time_ns() // MS


def order(kind: str = "jpg", **fields: int) -> Order:
    values = {"width": 1920, "height": 1080, "fps": 30, "duration_ms": 1_000, "timeout_ms": 9_000}
    return Order(kind=kind, **{**values, **fields})


def take(device: Device, into: Path, kind: str = "jpg", **fields: int) -> None:
    streamed.take(device, order(kind, **fields), into, is_wanted=lambda: True)


def failure(device: Device, into: Path, kind: str = "jpg", **fields: int) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        take(device, into, kind, **fields)
    return caught.value


def endless_jpegs() -> Iterator[Block]:
    """Ten a second."""
    for number in range(1_000):
        yield Block(100 * number, jpeg(number, now_ms()))


@contextmanager
def streaming(
    device: Device, track: Track, blocks: Iterator[Block] | list[Block], *, began_ms: int = 0
) -> Iterator[list[Frame]]:
    """A camera whose packets reach the spool at their own pace; gives those that were sent.

    `began_ms`: how long ago, so that so many are there already.
    """
    writer = SpoolWriter(Path(settings.SPOOL_DIR), 30, lambda directory: None)
    spool = writer.open(device.directory, track, run=0 if track.codec == "mjpeg" else 7)
    first_ns = time.monotonic_ns() - began_ms * MS
    sent: list[Frame] = []
    is_over, has_begun = threading.Event(), threading.Event()

    def send() -> None:
        for number, block in enumerate(blocks, 1):
            due_ns = first_ns + block.time_ms * MS
            if due_ns > time.monotonic_ns():
                has_begun.set()
            if is_over.wait(max(0, due_ns - time.monotonic_ns()) / 1e9):
                return
            wall_ms = (time.time_ns() - time.monotonic_ns() + due_ns) // MS
            sent.append(Frame(wall_ms, block.payload))
            spool.append(
                due_ns,
                block.payload,
                is_key=block.is_key,
                capture_us=block.time_ms * 1000,
                number=number,
            )
        has_begun.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        live(device)
        assert has_begun.wait(10)
        yield sent
    finally:
        is_over.set()
        thread.join()
        assert writer.close()


@contextmanager
def a_jpeg_camera(device: Device) -> Iterator[list[Frame]]:
    with streaming(device, Track("mjpeg", *SIZE), endless_jpegs()) as sent:
        yield sent


def film(codec: str = "h264", *, gop: int) -> Coded:
    """Ten seconds, ten pictures a second."""
    return coded(codec, frames=100, fps=10, gop=gop)


def shown(path: Path) -> counting.Stamp:
    stamp = counting.read_jpeg(path.read_bytes())
    assert stamp is not None
    return stamp


def seen(path: Path) -> list[int]:
    """The counters of a video's pictures, which must all be readable."""
    stamps = [one.stamp for one in sightings(path)]
    assert None not in stamps
    return [stamp.counter for stamp in stamps if stamp is not None]


class TestPicture:
    def test_it_is_one_that_was_captured_after_it_was_asked_for(
        self, device: Device, into: Path
    ) -> None:
        with a_jpeg_camera(device) as sent:
            asked_ms = now_ms()
            take(device, into)
            frame = sent[shown(into).counter]
            assert asked_ms - ROUNDING_MS <= frame.wall_ms <= now_ms()
            assert into.read_bytes() == frame.payload, "byte for byte"

    @pytest.mark.parametrize(
        ("asked", "size"),
        [((80, 80), (80, 60)), ((160, 60), (80, 60)), ((160, 120), SIZE), ((4000, 3000), SIZE)],
    )
    def test_it_is_scaled_to_fit_and_never_enlarged(
        self, device: Device, into: Path, asked: tuple[int, int], size: tuple[int, int]
    ) -> None:
        with a_jpeg_camera(device) as sent:
            take(device, into, width=asked[0], height=asked[1])
            with Image.open(into) as picture:
                assert picture.size == size
            is_as_it_came = into.read_bytes() in [frame.payload for frame in sent]
            assert is_as_it_came == (size == SIZE)

    def test_one_that_cannot_be_decoded_is_passed_over(self, device: Device, into: Path) -> None:
        def weather() -> Iterator[Block]:
            for block in endless_jpegs():
                is_broken = block.time_ms < 800
                yield (
                    block._replace(payload=b"\xff\xd8 no picture \xff\xd9") if is_broken else block
                )

        with streaming(device, Track("mjpeg", *SIZE), weather()):
            take(device, into)
            assert shown(into).counter >= 8

    @pytest.mark.parametrize("codec", ["h264", "hevc"])
    def test_of_a_camera_that_encodes_it_is_the_next_key_picture(
        self, device: Device, into: Path, codec: str
    ) -> None:
        footage = film(codec, gop=40)
        with streaming(device, footage.track, footage.blocks, began_ms=3_000):
            take(device, into)
            assert shown(into).counter == 40, "the one before was three seconds old"

    def test_a_key_picture_that_has_just_come_is_taken_at_once(
        self, device: Device, into: Path
    ) -> None:
        footage = film(gop=100)
        with streaming(device, footage.track, footage.blocks, began_ms=700) as sent:
            take(device, into, width=80, height=80)
            assert len(sent) < 60, "its next one is ten seconds off"
            with Image.open(io.BytesIO(into.read_bytes())) as picture:
                assert picture.size == (80, 60)

    def test_a_camera_with_rare_key_pictures_is_waited_for(
        self, device: Device, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streamed, "PICTURE_WAIT_S", 0.2)
        footage = film(gop=40)
        with streaming(device, footage.track, footage.blocks, began_ms=2_900):
            take(device, into)
            assert shown(into).counter == 40

    def test_so_is_one_that_is_asked_for_a_picture_now_and_then(
        self, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streamed, "PICTURE_WAIT_S", 0.2)
        device = make_source(url="http://cam.example/snap.jpg", rate_fps=0.5).device
        blocks = [Block(at_ms, jpeg(at_ms, now_ms())) for at_ms in (0, 2_000)]
        with streaming(device, Track("mjpeg", *SIZE), blocks, began_ms=1_200):
            take(device, into)
            assert shown(into).counter == 2_000


class TestNothingComes:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streamed, "PICTURE_WAIT_S", 0.3)
        monkeypatch.setattr(streamed, "KEY_WAIT_S", 0.6)

    def test_a_camera_that_is_away_is_said_by_its_name(self, device: Device, into: Path) -> None:
        error = failure(device, into)
        assert error.code == "no_stream"
        assert str(error) == (
            "Front door is not connected, so there is nothing to take a picture of."
        )
        assert not into.exists()

    def test_so_is_one_that_sends_nothing_and_one_that_is_not_kept(
        self, device: Device, into: Path
    ) -> None:
        live(device)
        assert "no picture came from it in time" in str(failure(device, into))
        live(device, error="The disk refuses video: No space left on device.")
        assert "nothing of it is kept: The disk refuses video" in str(failure(device, into))

    def test_what_it_sent_before_is_no_picture_of_now(self, device: Device, into: Path) -> None:
        with streaming(device, Track("mjpeg", *SIZE), [Block(0, jpeg(0, now_ms()))]):
            pass
        assert failure(device, into).code == "no_stream"

    def test_nobody_waits_an_hour_for_a_camera_that_is_away(
        self, device: Device, into: Path
    ) -> None:
        began = time.monotonic()
        assert failure(device, into, "mp4", duration_ms=3_600_000).code == "no_stream"
        assert time.monotonic() - began < 5

    def test_a_span_without_a_picture_says_so(self, device: Device, into: Path) -> None:
        error = failure(device, into, "mp4", duration_ms=200)
        assert error.code == "no_stream"
        assert "o video between" in str(error)


class TestVideo:
    def test_it_holds_the_pictures_of_the_span_from_the_request_on(
        self, device: Device, into: Path
    ) -> None:
        with a_jpeg_camera(device) as sent:
            time.sleep(0.3)  # there is something before it
            asked_ms = now_ms()
            take(device, into, "mp4", duration_ms=1_000)
            ended_ms = now_ms()
        counters = seen(into)
        assert counters == list(range(counters[0], counters[-1] + 1)), "each one, in order"
        assert sent[counters[0] - 1].wall_ms <= asked_ms + 50
        assert asked_ms - ROUNDING_MS <= sent[counters[0]].wall_ms
        assert sent[counters[-1]].wall_ms < asked_ms + 1_050
        assert asked_ms + 950 <= sent[counters[-1] + 1].wall_ms
        assert 1_000 <= ended_ms - asked_ms < 4_000

    def test_of_a_camera_that_encodes_it_begins_with_the_key_picture_before(
        self, device: Device, into: Path
    ) -> None:
        footage = film(gop=10)
        with streaming(device, footage.track, footage.blocks, began_ms=1_500):
            take(device, into, "mp4", duration_ms=1_000)
        counters = seen(into)
        assert counters[0] == 10
        assert counters == list(range(10, 10 + len(counters)))
        assert counters[-1] >= 23

    @pytest.mark.parametrize("codec", ["h264", "mjpeg"])
    def test_without_a_container_it_can_be_played(
        self, device: Device, into: Path, codec: str
    ) -> None:
        footage = film(gop=10)
        track, blocks = footage.track, iter(footage.blocks)
        if codec == "mjpeg":
            track, blocks = Track("mjpeg", *SIZE), endless_jpegs()
        with streaming(device, track, blocks):
            take(device, into, "h264", duration_ms=600)
        assert into.read_bytes().startswith(b"\0\0\0\1")
        with av.open(str(into), format="h264") as container:
            frames = list(container.decode(video=0))
        assert len(frames) >= 4
        assert (frames[0].width, frames[0].height) == SIZE

    def test_there_is_no_h264_of_a_camera_that_sends_h265(self, device: Device, into: Path) -> None:
        footage = film("hevc", gop=10)
        with streaming(device, footage.track, footage.blocks, began_ms=200) as sent:
            deadline = time.monotonic() + 5
            while not streamed._codec(device) and time.monotonic() < deadline:
                time.sleep(0.02)
            error = failure(device, into, "h264", duration_ms=60_000)
            assert len(sent) < 60, "nobody waits for it"
        assert error.code == "unsupported"
        assert "Take an MP4 instead" in str(error)

    def test_of_h265_there_is_an_mp4(self, device: Device, into: Path) -> None:
        footage = film("hevc", gop=10)
        with streaming(device, footage.track, footage.blocks):
            take(device, into, "mp4", duration_ms=500)
        with av.open(str(into)) as container:
            assert container.streams.video[0].codec_context.name == "hevc"

    def test_a_stream_has_no_raw_pictures(self, device: Device, into: Path) -> None:
        assert failure(device, into, "dng").code == "unsupported"


class TestItsEnd:
    @pytest.mark.parametrize("kind", ["jpg", "mp4", "h264"])
    def test_what_nobody_wants_any_more_ends_at_once(
        self, device: Device, into: Path, kind: str
    ) -> None:
        live(device)
        asked: list[float] = []

        def is_wanted() -> bool:
            asked.append(time.monotonic())
            return len(asked) < 3

        with pytest.raises(CaptureError) as caught:
            long = order(kind, duration_ms=60_000)
            streamed.take(device, long, into, is_wanted=is_wanted)
        assert caught.value.code == "cancelled"
        assert asked[-1] - asked[0] < 2, "it is asked a few times a second"
        assert not into.exists()

    def test_a_full_disk_is_said(self, device: Device, into: Path) -> None:
        into.symlink_to("/dev/full")
        with a_jpeg_camera(device):
            error = failure(device, into)
        assert (error.code, str(error)) == ("disk_full", "The disk is full: nothing was kept.")

    def test_a_disk_that_refuses_otherwise_is_said(self, device: Device, tmp_path: Path) -> None:
        with a_jpeg_camera(device):
            error = failure(device, tmp_path / "missing" / "capture.part")
        assert (error.code, str(error)) == (
            "failed",
            "The disk refuses the file: No such file or directory.",
        )

    def test_recording_comes_first_on_a_disk_that_is_nearly_full(
        self, device: Device, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cutter, "RESERVE_BYTES", 1 << 60)
        with a_jpeg_camera(device):
            error = failure(device, into, "mp4", duration_ms=300)
        assert error.code == "disk_full"
        assert "kept for recording" in str(error)


class TestWhichCamera:
    def test_it_is_the_local_enabled_source_of_the_same_device(self) -> None:
        other_node, _ = sources.create_node(name="Shed")
        make_source(url="picamera:0", node=other_node)
        off = make_source(url="picamera:0")
        Source.objects.filter(pk=off.pk).update(is_enabled=False)
        make_source(url="picamera:1")
        make_source(url="rtsp://cam.example/live")
        assert streamed.device_of("picamera:0") is None
        wanted = make_source(url="picamera:0?size=640x480&fps=5")
        found = streamed.device_of("picamera:0?format=mjpeg")
        assert found == wanted.device
        assert found is not None
        assert found.source == wanted
        assert streamed.device_of("") is None
        assert streamed.device_of("rtsp://cam.example/live") is None

    def test_a_device_by_another_name_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = {"/dev/v4l/by-id/usb-Maker_Cam-index0": "/dev/video3"}
        monkeypatch.setattr(os.path, "realpath", _FakeDevices(names, os.path.realpath))
        wanted = make_source(url="usb:/dev/v4l/by-id/usb-Maker_Cam-index0?fps=10")
        assert streamed.device_of("usb:/dev/video3") == wanted.device
        assert streamed.device_of("usb:/dev/video4") is None

    def test_of_two_it_is_the_one_that_streams(self) -> None:
        make_source(url="usb:/dev/video0")
        second = make_source(url="usb:/dev/video0")
        live(second.device)
        assert streamed.device_of("usb:/dev/video0") == second.device

    def test_it_streams_while_pictures_come(self, device: Device) -> None:
        assert not streamed.is_streaming(device)
        live(device)
        assert streamed.is_streaming(device)
        live(device, is_stalled=True)
        assert not streamed.is_streaming(device)
        live(device, presence="online")
        assert not streamed.is_streaming(device)

    @pytest.mark.parametrize(
        ("state", "is_wanted", "looks"),
        [
            ("connecting", True, 4),
            ("running", True, 4),
            ("retrying", True, 1),
            ("running", False, 1),
        ],
    )
    def test_a_stream_that_is_just_beginning_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, state: str, is_wanted: bool, looks: int
    ) -> None:
        source = make_source(url="picamera:0")
        Source.objects.filter(pk=source.pk).update(state=state)
        asked = []

        def is_streaming(device: Device) -> bool:
            asked.append(device)
            return len(asked) == 4

        monkeypatch.setattr(streamed, "is_streaming", is_streaming)
        begins = streamed.begins_to_stream(source.device, is_wanted=lambda: is_wanted)
        assert (begins, len(asked)) == (looks == 4, looks)

    def test_one_that_never_begins_is_not_waited_for_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = make_source(url="picamera:0")
        Source.objects.filter(pk=source.pk).update(state="connecting")
        monkeypatch.setattr(streamed, "BEGINNING_S", 0.3)
        assert not streamed.begins_to_stream(source.device, is_wanted=lambda: True)


class _FakeDevices:
    """Stands for udev's links, which a test cannot make in /dev."""

    def __init__(self, names: dict[str, str], real: Callable[..., Any]) -> None:
        self._names, self._real = names, real

    def __call__(self, path: Any, **options: Any) -> Any:
        return self._names.get(str(path)) or self._real(path, **options)
