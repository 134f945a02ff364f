"""Orders, places and troubles that every way of reaching a camera is tried with."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest

from recordings.ffmpeg import find_ffmpeg
from stills.cameras.protocol import Camera, Order
from stills.exceptions import CaptureError
from stills.media import dng
from tests.instruments.fake_picamera2 import FakePicamera2
from tests.instruments.rpicam_programs import RpicamPrograms

SIZE = (320, 240)
SOON_S = 15.0


def order(kind: str, **changes: int) -> Order:
    duration_ms = 500 if kind in ("mp4", "h264") else 50
    values = {"width": SIZE[0], "height": SIZE[1], "fps": 20, "duration_ms": duration_ms}
    return Order(kind=kind, **({"timeout_ms": 10_000} | values | changes))


def take(
    camera: Camera,
    into: Path,
    wanted: Order,
    *,
    lock_fd: int = -1,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Path:
    camera.take(wanted, into, lock_fd=lock_fd, is_wanted=is_wanted)
    return into


def failure(camera: Camera, into: Path, wanted: Order, **how: Callable[[], bool]) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        take(camera, into, wanted, **how)  # type: ignore[arg-type]
    return caught.value


def video(path: Path) -> tuple[int, int, list[float]]:
    """Width, height, and the time of each picture of an mp4 in seconds."""
    with av.open(str(path), format="mp4") as container:
        stream = container.streams.video[0]
        times = [float(frame.time) for frame in container.decode(stream)]
        return stream.width, stream.height, times


def pictures_of_h264(path: Path) -> tuple[int, int, int]:
    """Width, height, and how many there are; each must be one that can be decoded."""
    with av.open(str(path), format="h264") as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        return stream.width, stream.height, count


def open_files(pid: int) -> list[Path]:
    """[] once it has ended."""
    with contextlib.suppress(OSError):
        return [descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir()]
    return []


def raw_picture() -> bytes:
    data = io.BytesIO()
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    values = b"".join(number.to_bytes(2, "little") for number in range(64 * 48))
    dng.write_dng(data, dng.Raw(values, 64, 48, when, "test"))
    return data.getvalue()


def lives(pid: int) -> bool:
    """Not counting one that has ended and waits to be asked how."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def until(question: Callable[[], object], seconds: float = SOON_S) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def all_gone(pids: list[int]) -> bool:
    """True at last: whom the kernel has killed may take a moment to be gone."""
    assert pids, "nothing was started"
    until(lambda: not any(lives(pid) for pid in pids), 3.0)
    return True


class Cancelled:
    """`is_wanted`: yes until the program has been running for a moment; when it said no."""

    def __init__(self, has_begun: Callable[[], object]) -> None:
        self._has_begun = has_begun
        self.at_s = 0.0

    def __call__(self) -> bool:
        if not self._has_begun():
            return True
        self.at_s = self.at_s or time.monotonic()
        return False


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that a careless command line would trip over."""
    directory = tmp_path / "-o with blanks %d % and $x"
    directory.mkdir()
    return directory


@pytest.fixture
def into(place: Path) -> Path:
    return place / f".0123{'4' * 32}.part"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RpicamPrograms:
    """Fake rpicam-* and libcamera-* at the head of PATH."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return RpicamPrograms(directory, ffmpeg=find_ffmpeg(), dng=raw_picture())


@pytest.fixture
def system_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePicamera2:
    """A "system path" with a python3 that has a fake of picamera2."""
    directory = tmp_path / "system"
    directory.mkdir()
    monkeypatch.setattr("stills.cameras.picamera2.PYTHON_PATH", str(directory))
    python = next(
        path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()
    )
    return FakePicamera2(directory, ffmpeg=find_ffmpeg(), dng=raw_picture(), python=python)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KB, almost full."""
    directory = tmp_path / "small disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may make a small disk")
    (directory / "ballast").write_bytes(bytes(180 * 1024))
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def at_once(works: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert not any(thread.is_alive() for thread in threads)
