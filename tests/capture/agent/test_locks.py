"""One owner per source, also when owners are killed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from capture.agent import locks
from capture.agent.protocol import SourceError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.3)
    monkeypatch.setattr(locks, "GIVE_UP_S", 0.8)


# An agent that takes the lock, starts a child with it, and is killed.
AGENT = """
import asyncio, os, subprocess, sys
from pathlib import Path
from capture.agent import locks

async def main():
    async with locks.held(Path(sys.argv[1])) as descriptor:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,), process_group=0)
        if sys.argv[2] == "noted":
            locks.note(descriptor, child.pid)
        print(child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def agent(path: Path, how: str = "noted", *, script: str = "") -> tuple[subprocess.Popen[str], int]:
    """A second agent and the pid of its child."""
    root = Path(__file__).resolve().parents[3]
    argv = [sys.executable, "-c", script or AGENT, str(path), how]
    process = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[str], *pids: int) -> None:
    for pid in pids:
        with_child = locks.started(pid)
        if with_child:
            os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


# A worker that takes a picture and is killed meanwhile.
WORKER = """
import subprocess, sys, time
from pathlib import Path
from capture.agent import locks

with locks.hold_camera(Path(sys.argv[1]), patience_s=0.0) as descriptor:
    child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,), process_group=0)
    locks.note(descriptor, child.pid)
    print(child.pid, flush=True)
    time.sleep(60)
"""


async def test_a_lock_is_free_again_after_its_owner(tmp_path: Path) -> None:
    for _ in range(2):
        async with locks.held(tmp_path / "source-1.lock") as descriptor:
            assert descriptor > 2
    assert (tmp_path / "source-1.lock").stat().st_mode & 0o777 == 0o600


async def test_a_second_agent_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "source-1.lock"
    other, child = agent(path)
    try:
        with pytest.raises(SourceError, match="Another capture agent") as caught:
            async with locks.held(path):
                pass
        assert caught.value.code == "busy"
        assert locks.started(child), "nothing of a living agent is touched"
    finally:
        end(other, child)


async def test_what_a_killed_agent_left_behind_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "source-1.lock"
    other, child = agent(path)
    try:
        other.kill()
        other.wait()
        assert locks.started(child), "it has survived its agent, or this test shows nothing"
        began = time.monotonic()
        async with locks.held(path):
            assert time.monotonic() - began >= 0.3, "it was given time to end by itself"
            assert not locks.started(child)
    finally:
        end(other, child)


async def test_an_owner_that_is_not_provably_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "source-1.lock"
    other, child = agent(path, "unknown")
    try:
        other.kill()
        other.wait()
        with pytest.raises(SourceError, match="earlier capture agent") as caught:
            async with locks.held(path):
                pass
        assert caught.value.code == "busy"
        assert locks.started(child)
    finally:
        end(other, child)


async def test_an_orphan_that_ends_by_itself_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "source-1.lock"
    other, child = agent(path, "unknown")
    try:
        other.kill()
        other.wait()
        asyncio.get_running_loop().call_later(0.2, os.kill, child, signal.SIGTERM)
        async with locks.held(path):
            pass
    finally:
        end(other, child)


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    own = str(os.getpid())
    assert locks.is_same_process(own, locks.started(os.getpid()))
    assert not locks.is_same_process(own, "1")
    assert not locks.is_same_process(own, "")
    assert not locks.is_same_process("4194999", "1")


@pytest.mark.parametrize("content", ["", "garbage", "1 2 3\n\n-5 x\n", "\x00" * 50])
async def test_notes_that_mean_nothing_are_no_reason_to_kill(tmp_path: Path, content: str) -> None:
    path = tmp_path / "source-1.lock"
    other, child = agent(path, "unknown")
    try:
        other.kill()
        other.wait()
        path.write_text(content)
        with pytest.raises(SourceError):
            async with locks.held(path):
                pass
        assert locks.started(child)
    finally:
        end(other, child)


class TestCamera:
    @pytest.mark.parametrize(
        ("address", "name"),
        [
            ("picamera:0", "camera-picamera-0.lock"),
            ("picamera:", "camera-picamera-0.lock"),
            ("picamera:1?size=640x480&fps=5", "camera-picamera-1.lock"),
            ("usb:/dev/video98?format=mjpeg", "camera-video98.lock"),
            ("usb:98", "camera-video98.lock"),
            ("/dev/video98", "camera-video98.lock"),
            ("usb:/dev/v4l/by-id/usb-A_B-0", "camera-v4l-by-id-usb-A-B-0.lock"),  # unplugged
        ],
    )
    def test_each_has_one_lock_whatever_its_options(
        self, tmp_path: Path, address: str, name: str
    ) -> None:
        assert locks.camera_path(tmp_path, address) == tmp_path / name

    @pytest.mark.parametrize(
        "address", ["rtsp://cam.example/live", "http://127.0.0.1/x", "simulated:h264", "", "usb:x"]
    )
    def test_what_is_no_device_of_this_machine_has_none(self, tmp_path: Path, address: str) -> None:
        assert locks.camera_path(tmp_path, address) is None

    def test_all_names_of_a_device_give_one_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.path.realpath
        links = {f"/dev/v4l/by-{how}/cam": "/dev/video7" for how in ("id", "path")}
        monkeypatch.setattr(os.path, "realpath", lambda path: links.get(path) or real(path))
        names = ("/dev/video7", *links)
        found = {locks.camera_path(tmp_path, f"usb:{name}") for name in names}
        assert found == {tmp_path / "camera-video7.lock"}

    async def test_it_is_held_besides_the_sources_own(self, tmp_path: Path) -> None:
        own = tmp_path / "source-1.lock"
        camera = tmp_path / "camera-picamera-0.lock"
        async with locks.held_with_camera(own, "picamera:0?fps=5", locks.Use.STREAM) as descriptor:
            assert _file_of(descriptor) == camera
            assert camera.read_text().split()[::2] == [str(os.getpid()), "stream"]
            assert _is_locked(own)
            assert _is_locked(camera)
            locks.note(descriptor, 1)
            locks.forget_children(descriptor)
            assert camera.read_text().split()[::2] == [str(os.getpid()), "stream"]
        assert not _is_locked(own)
        assert not _is_locked(camera)

    async def test_other_cameras_have_their_own_lock_alone(self, tmp_path: Path) -> None:
        own = tmp_path / "source-1.lock"
        async with locks.held_with_camera(own, "simulated:", locks.Use.STREAM) as descriptor:
            assert _file_of(descriptor) == own
        assert os.listdir(tmp_path) == [own.name]  # noqa: PTH208

    @pytest.mark.parametrize(
        ("use", "words", "is_brief"),
        [
            (locks.Use.STREAM, "streams from this camera", False),
            (locks.Use.CAPTURE, "picture or a video is being taken", True),
            (locks.Use.TRIAL, "being tried out", True),
        ],
    )
    async def test_whoever_asks_is_told_what_it_is_used_for(
        self, tmp_path: Path, use: locks.Use, words: str, is_brief: bool
    ) -> None:
        path = tmp_path / "camera-picamera-0.lock"
        own = tmp_path / "source-2.lock"
        async with locks.held(path, use):
            with pytest.raises(locks.CameraTaken, match=words) as caught:
                async with locks.held_with_camera(own, "picamera:0", locks.Use.STREAM):
                    pass
            assert (caught.value.code, caught.value.is_brief) == ("busy", is_brief)
            assert not _is_locked(own), "the source is given back"
            with (
                pytest.raises(SourceError, match=words),
                locks.hold_camera(path, patience_s=0.0),
            ):
                pass

    def test_a_capture_waits_for_the_camera(self, tmp_path: Path) -> None:
        path = tmp_path / "camera-picamera-0.lock"
        is_held, may_go = threading.Event(), threading.Event()

        def stream() -> None:
            with locks.hold_camera(path, patience_s=0.0):
                is_held.set()
                may_go.wait(10)

        thread = threading.Thread(target=stream)
        thread.start()
        assert is_held.wait(10)
        threading.Timer(0.4, may_go.set).start()
        began = time.monotonic()
        with locks.hold_camera(path, patience_s=10.0) as descriptor:
            assert 0.3 < time.monotonic() - began < 5
            assert os.get_inheritable(descriptor) is False, "only whom it is passed to gets it"
        thread.join()

    def test_and_gives_up_after_its_patience(self, tmp_path: Path) -> None:
        path = tmp_path / "camera-picamera-0.lock"
        with locks.hold_camera(path, patience_s=0.0):
            began = time.monotonic()
            with pytest.raises(SourceError) as caught, locks.hold_camera(path, patience_s=0.4):
                pass
            assert 0.4 <= time.monotonic() - began < 2
            assert caught.value.code == "busy"

    async def test_a_program_that_a_killed_worker_left_behind_is_ended(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "camera-picamera-0.lock"
        worker, child = agent(path, script=WORKER)
        try:
            worker.kill()
            worker.wait()
            assert locks.started(child)
            async with locks.held(path, locks.Use.STREAM):
                assert not locks.started(child)
        finally:
            end(worker, child)

    def test_so_is_one_of_a_killed_agent_before_a_capture(self, tmp_path: Path) -> None:
        path = tmp_path / "camera-picamera-0.lock"
        other, child = agent(path)
        try:
            other.kill()
            other.wait()
            with locks.hold_camera(path, patience_s=5.0):
                assert not locks.started(child)
        finally:
            end(other, child)


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _file_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()
