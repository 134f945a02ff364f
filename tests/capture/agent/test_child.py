"""One FFmpeg child: packets with capture times while it lives, nothing left when it ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from capture.agent import child, locks
from capture.agent.child import run_ffmpeg
from capture.agent.protocol import SourceError
from recordings.ffmpeg import find_ffmpeg
from recordings.media import nal
from tests.capture.agent.sinks import SIMULATED, Kept
from tests.instruments import ffmpegs

FFMPEG = find_ffmpeg()
ROOT = Path(__file__).resolve().parents[3]


async def until(question: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.02)


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]


@asynccontextmanager
async def running(argv: list[str], sink: Kept, **how: object) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(run_ffmpeg(argv, sink, **{"lock_fd": -1, **how}))  # type: ignore[arg-type]
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, SourceError):
            await task


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def open_files(pid: int) -> list[Path]:
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that this list is read with
            found.append(descriptor.readlink())
    return found


def zombies_of_this_process() -> int:
    return sum(
        process.status() == psutil.STATUS_ZOMBIE
        for process in psutil.Process().children(recursive=True)
    )


@pytest.mark.parametrize("program", ffmpegs.BOTH)
async def test_packets_come_with_the_spacing_of_the_camera(program: str) -> None:
    sink = Kept()
    async with running([program, *SIMULATED], sink):
        await until(lambda: len(sink.pictures) >= 45)
    assert len(sink.tracks) == 1
    track = sink.tracks[0]
    assert (track.codec, track.width, track.height) == ("h264", 320, 240)
    assert nal.size_of("h264", track.config) == (320, 240)
    assert track.audio is not None
    assert (track.audio.codec, track.audio.rate_hz) == ("aac", 48_000)
    assert sink.pictures[0].is_key
    assert all(list(nal.units(picture.payload)) for picture in sink.pictures)
    times = [picture.capture_us for picture in sink.pictures]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(abs(step - 66_667) for step in steps) < 6_000
    lateness = [
        came * 1e6 - packet.capture_us
        for came, packet in zip(sink.came_s, sink.packets, strict=True)
    ][30:]
    assert max(lateness) < 500_000
    assert min(lateness) > -100_000
    sounds = [packet.capture_us for packet in sink.packets if packet.is_audio]
    assert abs(sounds[0] - times[0]) < 100_000


async def test_a_cancelled_child_is_gone_and_reaped() -> None:
    sink = Kept()
    async with running([FFMPEG, *SIMULATED], sink) as task:
        await until(lambda: sink.packets)
        assert len(children()) == 1
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 1.4
        assert children() == []
        assert zombies_of_this_process() == 0


async def test_a_child_that_will_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "TERM_S", 0.3)
    stubborn = script(tmp_path / "ffmpeg", "trap '' TERM\nwhile :; do sleep 0.1; done")
    async with running([stubborn], Kept()) as task:
        await until(lambda: len(children()) >= 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == []
        assert zombies_of_this_process() == 0


async def test_a_second_cancellation_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "TERM_S", 30.0)
    stubborn = script(tmp_path / "ffmpeg", "trap '' TERM\nwhile :; do sleep 0.1; done")
    async with running([stubborn], Kept()) as task:
        await until(lambda: len(children()) >= 2)
        task.cancel()
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == []


async def test_its_end_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    dying = script(
        tmp_path / "ffmpeg", "echo rtsp://admin:canary@10.0.0.7/live: 401 Unauthorized >&2\nexit 1"
    )
    with pytest.raises(SourceError) as caught:
        await run_ffmpeg([dying], Kept(), lock_fd=-1)
    assert caught.value.code == "ended"
    assert "401 Unauthorized" in str(caught.value)
    assert "canary" not in str(caught.value) + caught.value.detail


async def test_only_the_end_of_what_it_says_is_kept(tmp_path: Path) -> None:
    chatty = script(
        tmp_path / "ffmpeg",
        "i=0\nwhile [ $i -lt 3000 ]; do echo line $i of many >&2; i=$((i+1)); done",
    )
    with pytest.raises(SourceError) as caught:
        await run_ffmpeg([chatty], Kept(), lock_fd=-1)
    assert caught.value.detail.endswith("line 2999 of many")
    assert len(caught.value.detail) <= child.STDERR_BYTES


async def test_what_is_no_matroska_is_an_error(tmp_path: Path) -> None:
    wrong = script(tmp_path / "ffmpeg", "echo this is a page of text and no video at all\nsleep 9")
    with pytest.raises(SourceError) as caught:
        await run_ffmpeg([wrong], Kept(), lock_fd=-1)
    assert caught.value.code == "failed"
    assert children() == []


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="no-such-program") as caught:
        await run_ffmpeg(["no-such-program"], Kept(), lock_fd=-1)
    assert caught.value.code == "missing_program"


async def test_sound_alone_is_no_camera() -> None:
    argv = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "sine=r=8000", "-c:a", "aac"]
    with pytest.raises(SourceError) as caught:
        await run_ffmpeg(argv, Kept(), lock_fd=-1)
    assert caught.value.code == "no_video"


async def test_a_codec_that_cannot_be_kept_is_named() -> None:
    argv = [
        FFMPEG,
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x240",
        "-c:v",
        "libvpx",
    ]
    with pytest.raises(SourceError, match="VP8") as caught:
        await run_ffmpeg(argv, Kept(), lock_fd=-1)
    assert caught.value.code == "no_video"


async def test_mjpeg_passes_as_it_is() -> None:
    argv = [FFMPEG, "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=10"]
    sink = Kept()
    async with running([*argv, "-c:v", "mjpeg"], sink):
        await until(lambda: len(sink.packets) >= 5)
    assert sink.tracks[0].codec == "mjpeg"
    assert all(packet.is_key and packet.payload[:2] == b"\xff\xd8" for packet in sink.packets)


async def test_it_inherits_the_lock_and_is_named_in_it(tmp_path: Path) -> None:
    path = tmp_path / "source-1.lock"
    sink = Kept()
    async with locks.held(path) as descriptor:
        async with running([FFMPEG, *SIMULATED], sink, lock_fd=descriptor):
            await until(lambda: sink.packets)
            (process,) = children()
            assert path in open_files(process.pid)
            noted = path.read_text().split()
            assert noted == [
                str(os.getpid()), locks.started(os.getpid()),
                str(process.pid), locks.started(process.pid),
            ]  # fmt: skip
            assert os.getpgid(process.pid) == process.pid, "a group of its own"
        assert path.read_text().split()[::2] == [str(os.getpid())]


async def test_it_gets_no_secret_of_the_agents_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_TOKEN", "canary")
    sink = Kept()
    async with running([FFMPEG, *SIMULATED], sink, env={"MARK": "here"}):
        await until(lambda: sink.packets)
        (process,) = children()
        environment = process.environ()
    assert environment["MARK"] == "here"
    assert "PATH" in environment
    assert "canary" not in environment.values()


async def test_a_feeder_shares_its_group_and_its_end() -> None:
    feeder = [FFMPEG, *SIMULATED[:-2], "-an", "-f", "h264", "pipe:1"]
    argv = [FFMPEG, "-v", "error", "-f", "h264", "-i", "pipe:0", "-c:v", "copy"]
    sink = Kept()
    async with running(argv, sink, feeder=feeder) as task:
        await until(lambda: len(sink.packets) >= 5)
        both = children()
        assert len(both) == 2
        assert len({os.getpgid(process.pid) for process in both}) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == []
        assert zombies_of_this_process() == 0


async def test_a_feeder_that_is_not_there_leaves_no_ffmpeg() -> None:
    argv = [FFMPEG, "-v", "error", "-f", "h264", "-i", "pipe:0", "-c:v", "copy"]
    with pytest.raises(SourceError, match="no-such-vid"):
        await run_ffmpeg(argv, Kept(), lock_fd=-1, feeder=["no-such-vid"])
    assert children() == []


async def test_no_descriptor_stays_open() -> None:
    async def once() -> None:
        sink = Kept()
        async with running([FFMPEG, *SIMULATED], sink):
            await until(lambda: sink.packets)

    await once()
    before = len(open_files(os.getpid()))
    await once()
    assert len(open_files(os.getpid())) == before


def raw(path: Path, size: str, rate: int = 15) -> Path:
    subprocess.run(
        [FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}",
         "-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "0", "-f", "h264",
         str(path)],
        check=True,
    )  # fmt: skip
    return path


async def test_a_camera_that_changes_its_size_says_so_before_the_next_picture(
    tmp_path: Path,
) -> None:
    both = [raw(tmp_path / "a.h264", "320x240"), raw(tmp_path / "b.h264", "640x480")]
    (tmp_path / "both.h264").write_bytes(b"".join(path.read_bytes() for path in both))
    argv = [FFMPEG, "-v", "error", "-re", "-f", "h264", "-framerate", "30"]
    argv += ["-i", str(tmp_path / "both.h264"), "-c:v", "copy"]
    sink = Kept()
    with pytest.raises(SourceError):
        await run_ffmpeg(argv, sink, lock_fd=-1)
    assert [(track.width, track.height) for track in sink.tracks] == [(320, 240), (640, 480)]
    assert [track.width for track in sink.track_of].count(640) == 30
    first = sink.packets[[track.width for track in sink.track_of].index(640)]
    assert first.is_key


ORPHANING = """
import asyncio, sys
from capture.agent.child import run_ffmpeg
from tests.capture.agent.sinks import SIMULATED, Kept
from tests.capture.agent.test_child import FFMPEG, children

async def main():
    asyncio.get_running_loop().call_later(1.0, lambda: print(children()[0].pid, flush=True))
    await run_ffmpeg([FFMPEG, *SIMULATED], Kept(), lock_fd=-1)

asyncio.run(main())
"""


def test_the_child_of_a_killed_agent_ends_by_itself() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANING],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "nvr_project.settings"},
    )  # fmt: skip
    assert process.stdout is not None
    orphan = psutil.Process(int(process.stdout.readline()))
    assert orphan.name().startswith("ffmpeg")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    psutil.wait_procs([orphan], timeout=5)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
