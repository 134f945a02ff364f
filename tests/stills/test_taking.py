"""The worker's part of a capture: whose turn it is, what becomes of the file, and of the row.

A small camera stands in for the hardware; rows, files, locks and threads are real.
"""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from PIL import Image

from recordings.disk import MARKER
from stills import cameras, files, lease, limits, services, streamed, taking, tasks
from stills.cameras.protocol import Found, Order
from stills.exceptions import BadOrderError, CaptureError, QueueError
from stills.models import Capture, NodeCamera, State
from stills.services import Wish

pytestmark = pytest.mark.django_db(transaction=True)


def picture(size: tuple[int, int] = (64, 48)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(data, "JPEG")
    return data.getvalue()


class StandIn:
    """A camera that writes a real JPEG, and does besides what a test asks for."""

    name, address = "stand-in", ""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.at_once = self.most_at_once = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None
        self.payload = picture()

    def look(self) -> Found:
        return Found(self.name, [("0", "stand-in")], [])

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        self.orders.append(order)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            into.write_bytes(self.payload)
            while not self.go_on.wait(0.02):
                if not is_wanted():
                    raise CaptureError("cancelled", "It was cancelled.")
            if self.error:
                raise self.error
        finally:
            self.at_once -= 1


def begin() -> bool:
    taking.start_due()
    return True


@pytest.fixture
def camera(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """This machine's camera; what is queued is begun at once, as a worker would."""
    stand_in = StandIn()
    monkeypatch.setattr(cameras, "chosen", lambda: stand_in)
    monkeypatch.setattr(streamed, "device_of", lambda address: None)
    monkeypatch.setattr(taking, "WANTED_EVERY_S", 0.02)
    monkeypatch.setattr(tasks, "queue_next", begin)
    yield stand_in
    stand_in.go_on.set()
    until(lambda: not taking._running)


def until(question: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def ask(kind: str = "jpg", **how: object) -> Capture:
    return services.request(Wish(kind), by="a test", **how)  # type: ignore[arg-type]


def over(capture: Capture) -> Capture:
    def is_over() -> bool:
        capture.refresh_from_db()
        return capture.is_finished

    until(is_over)
    return capture


def left_over() -> list[str]:
    return [path.name for path in settings.CAPTURES_DIR.glob(".*") if path.is_file()]


def test_a_picture_is_whole_named_and_has_a_preview(camera: StandIn) -> None:
    capture = over(ask())
    assert capture.state == State.READY
    assert capture.filename == capture.wanted_name
    assert files.existing(capture.filename).read_bytes() == camera.payload
    assert (capture.width, capture.height) == (64, 48), "what came of it, not what was asked for"
    assert capture.size_bytes == len(camera.payload)
    assert capture.has_preview
    assert files.preview_path(capture.pk).read_bytes()[:2] == b"\xff\xd8"
    until(lambda: not left_over())
    row = NodeCamera.objects.get()
    assert row.last_capture_at is not None
    until(lambda: not lease.is_held())  # given back right after the row says that it is ready


def test_the_file_is_not_there_before_it_is_whole(camera: StandIn) -> None:
    camera.go_on.clear()
    capture = ask()
    until(lambda: camera.orders)
    assert list(files.listed()) == []
    assert Capture.objects.get().state == State.TAKING
    camera.go_on.set()
    over(capture)
    assert len(list(files.listed())) == 1


def test_a_taken_name_gets_a_suffix_and_nothing_is_replaced(camera: StandIn) -> None:
    names = []
    for _ in range(3):
        done = over(services.request(Wish("jpg", name="front door.jpeg"), by="a test"))
        names.append(done.filename)
    assert names == ["front_door.jpg", "front_door-2.jpg", "front_door-3.jpg"]


def test_one_after_the_other_in_the_order_they_were_asked_for(camera: StandIn) -> None:
    camera.go_on.clear()
    captures = [services.request(Wish("jpg", width=100 + n), by="a test") for n in range(6)]
    camera.go_on.set()
    for capture in captures:
        assert over(capture).state == State.READY
    assert camera.most_at_once == 1
    assert [order.width for order in camera.orders] == [100 + n for n in range(6)]


def test_whoever_has_the_lease_goes_first_and_keeps_it(camera: StandIn) -> None:
    token = lease.acquire("a caller", 30)
    waiting = ask()
    mine = ask(lease=token)
    assert over(mine).state == State.READY
    assert lease.is_valid(token), "it is the caller's until the caller lets it go"
    waiting.refresh_from_db()
    assert waiting.state == State.WAITING
    lease.release(token)
    services.next_turn()
    assert over(waiting).state == State.READY


def test_a_capture_whose_caller_lost_the_lease_is_not_taken(camera: StandIn) -> None:
    capture = over(ask(lease="f" * 32))
    assert (capture.state, capture.code) == (State.FAILED, "interrupted")
    assert camera.orders == []


def test_another_programs_lock_file_is_honoured(camera: StandIn) -> None:
    lock = lease.lock_path()
    facts = {"pid": 1, "createdAt": 0, "expiresAt": 1000 * (time.time() + 60), "note": "capture"}
    lock.write_text(json.dumps(facts))
    capture = ask()
    taking.start_due()
    assert camera.orders == []
    lock.unlink()
    tasks.take_overdue()
    assert over(capture).state == State.READY


def test_cancelling_ends_what_is_being_taken_and_leaves_nothing(camera: StandIn) -> None:
    camera.go_on.clear()
    capture = ask("mp4")
    until(lambda: camera.orders)
    began = time.monotonic()
    services.cancel(capture)
    until(lambda: not taking._running)
    assert time.monotonic() - began < 1.0
    capture.refresh_from_db()
    assert capture.state == State.CANCELLED
    assert list(files.listed()) == []
    until(lambda: not left_over())


def test_cancelling_in_the_last_moment_leaves_no_file(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(
        part: Path, wanted_name: str, publish: object = files.publish, **how: object
    ) -> str:
        services.cancel(Capture.objects.get())
        return str(publish(part, wanted_name, **how))  # type: ignore[operator]

    monkeypatch.setattr(files, "publish", publish)
    capture = over(ask())
    until(lambda: not taking._running)
    assert capture.state == State.CANCELLED
    assert list(files.listed()) == []
    assert not files.preview_path(capture.pk).exists()


def test_a_deleted_capture_leaves_neither_row_nor_file(camera: StandIn) -> None:
    capture = over(ask())
    services.delete(capture)
    assert not Capture.objects.exists()
    assert list(files.listed()) == []
    assert not list((settings.CAPTURES_DIR / ".previews").glob("*"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CaptureError("unplugged", "The camera is gone.", contract="Command failed"), "unplugged"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk_full"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "failed"),
        (RuntimeError("a fault of ours"), "failed"),
    ],
)
def test_what_goes_wrong_is_in_the_row_in_words(
    camera: StandIn, error: Exception, code: str
) -> None:
    camera.error = error
    capture = over(ask())
    assert (capture.state, capture.code) == (State.FAILED, code)
    assert capture.reason
    until(lambda: not left_over())
    assert NodeCamera.objects.get().last_error == capture.contract_reason
    camera.error = None
    assert over(ask()).state == State.READY, "and the next one works"


def test_a_directory_that_cannot_be_made_is_a_failure_in_words(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "disk").touch()
    monkeypatch.setattr(settings, "CAPTURES_DIR", tmp_path / "disk" / "captures")
    capture = over(ask())
    assert capture.reason.startswith("The disk refuses the file: ")
    assert camera.orders == []


def test_the_name_of_a_file_that_was_deleted_by_hand_is_still_taken(camera: StandIn) -> None:
    wish = Wish("jpg", name="door")
    first = over(services.request(wish, by="a test"))
    files.existing(str(first.filename)).unlink()
    second = over(services.request(wish, by="a test"))
    assert (second.state, second.filename) == (State.READY, "door-2.jpg")
    assert [name for name, _ in files.listed()] == ["door-2.jpg"]


def test_an_empty_file_is_a_failure(camera: StandIn) -> None:
    camera.payload = b""
    assert over(ask()).code == "failed"
    assert list(files.listed()) == []


def test_nothing_is_taken_on_a_disk_that_recording_needs(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LEAST_FREE_BYTES", 1 << 60)
    capture = over(ask())
    assert capture.code == "disk_full"
    assert camera.orders == []


def test_what_a_killed_worker_left_is_said_and_cleared(camera: StandIn) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    capture = Capture.objects.create(
        kind="jpg", state=State.TAKING, wanted_name="x.jpg", width=1, height=1, fps=1,
        duration_ms=1, started_at=timezone.now(), taken_by=f"{settings.NVR.node_id} {dead.pid} 77",
    )  # fmt: skip
    files.part_path(capture.pk).write_bytes(b"half a picture")
    tasks.take_overdue()
    capture.refresh_from_db()
    assert (capture.state, capture.code) == (State.FAILED, "interrupted")
    until(lambda: not left_over())


def test_what_this_worker_is_taking_is_left_alone(camera: StandIn) -> None:
    camera.go_on.clear()
    capture = ask()
    until(lambda: camera.orders)
    tasks.take_overdue()
    camera.go_on.set()
    assert over(capture).state == State.READY


def test_nobody_is_served_who_has_gone(camera: StandIn) -> None:
    token = lease.acquire("somebody", 30)
    capture = ask(expires_s=0.01)
    Capture.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    lease.release(token)
    taking.put_in_order()
    assert over(capture).code == "failed"
    assert camera.orders == []


def test_without_a_camera_it_says_so(camera: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> StandIn:
        raise CaptureError("no_camera", "This machine has no camera.")

    monkeypatch.setattr(cameras, "chosen", none)
    capture = over(ask())
    assert (capture.code, capture.reason) == ("no_camera", "This machine has no camera.")


def test_only_a_marked_directory_is_thinned_out(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = over(ask()), over(ask())
    monkeypatch.setattr(settings, "NVR", replace(settings.NVR, captures_mb=0))
    (settings.DATA_DIR / MARKER).rename(settings.DATA_DIR / "elsewhere")
    try:
        assert limits.keep_limits() == 0
    finally:
        (settings.DATA_DIR / "elsewhere").rename(settings.DATA_DIR / MARKER)
    assert limits.keep_limits() == 2
    assert not Capture.objects.filter(pk__in=(first.pk, second.pk)).exists()


def test_what_is_ready_is_not_taken_again_when_a_task_comes_twice(camera: StandIn) -> None:
    capture = over(ask())
    taking.run(capture)
    assert len(camera.orders) == 1
    assert Capture.objects.get().filename == capture.filename


def test_broker_away_is_said_to_who_waits_and_kept_for_who_does_not(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "queue_next", lambda: False)
    with pytest.raises(QueueError):
        ask(expires_s=10)
    assert Capture.objects.get().state == State.FAILED
    assert ask().state == State.WAITING


def test_a_picture_of_another_cameras_stream_is_no_news_of_this_machines_camera(
    camera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.factories import make_device

    def take(device: object, order: Order, into: Path, *, is_wanted: object) -> None:
        into.write_bytes(camera.payload)

    monkeypatch.setattr(streamed, "take", take)
    assert over(ask(device=make_device())).state == State.READY
    assert not NodeCamera.objects.exclude(last_capture_at=None).exists()


def test_raw_pictures_of_streams_are_refused(data_dir: Path) -> None:
    from tests.factories import make_device

    with pytest.raises(BadOrderError, match="own camera"):
        ask("dng", device=make_device())
