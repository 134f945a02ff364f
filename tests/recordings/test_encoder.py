"""FFmpeg as a child: exact times, and whatever goes wrong with it is an error, not a hang."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest
from django.conf import settings

from recordings import encoder, policy
from recordings.encoder import Encoder, encode
from recordings.exceptions import EncodeError, EncoderMissingError
from recordings.ffmpeg import find_ffmpeg
from recordings.media.matroska import Track
from recordings.models import RecordingPolicy
from tests.recordings.footage import jpeg

TRACK = Track("mjpeg", 160, 120)


def software(program: str = "") -> Encoder:
    return Encoder(program or find_ffmpeg(), "libx264", "ultrafast", 30)


def frames(count: int, *, step_ms: int = 100) -> list[tuple[int, bytes]]:
    return [(number * step_ms, jpeg(number, number * step_ms)) for number in range(count)]


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_every_frame_comes_back_with_its_own_time() -> None:
    fed = [(time_ms + time_ms % 37, data) for time_ms, data in frames(50)]
    encoded = encode(software(), TRACK, fed, [0, 2000, 4000])
    assert [packet.time_ms for packet in encoded.packets] == [time_ms for time_ms, _ in fed]
    keys = [packet.time_ms for packet in encoded.packets if packet.is_key]
    assert keys == [0, 2000 + 2000 % 37, 4000 + 4000 % 37]


@pytest.mark.parametrize("program", [imageio_ffmpeg.get_ffmpeg_exe(), "ffmpeg"])
def test_it_works_with_the_bundled_and_with_the_systems_ffmpeg(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip("no FFmpeg is installed on this system")
    fed = [*frames(5), (500, b"\xff\xd8 no picture \xff\xd9"), (600, jpeg(6, 600))]
    encoded = encode(software(program), TRACK, fed, [0])
    assert [packet.time_ms for packet in encoded.packets] == [0, 100, 200, 300, 400, 600]


def test_colours_are_signalled_as_jpeg_has_them(tmp_path: Path) -> None:
    encoded = encode(software(), TRACK, frames(5), [0])
    from recordings.media import mp4

    path = tmp_path / "video.mp4"
    payload = [packet.payload for packet in encoded.packets]
    samples = [mp4.Sample(100, len(data), not number) for number, data in enumerate(payload)]
    path.write_bytes(
        mp4.init_segment(Track("h264", 160, 120, encoded.avcc), is_full_range=True)
        + mp4.fragment(
            sequence=1, media_ms=0, wall_ms=0, samples=samples, payload=payload,
            mark=mp4.Mark(0, 0, 0, 5, 5),
        )
    )  # fmt: skip
    with av.open(str(path)) as container:
        shown = container.streams.video[0].codec_context
        assert (shown.pix_fmt, shown.color_range, shown.colorspace) == ("yuvj420p", 2, 6)


def test_more_than_a_pipe_holds_goes_through_both_ways() -> None:
    big = jpeg(1, 0, size=(1600, 1200), chroma=0)
    fed = [(number * 40, big) for number in range(60)]
    lossless = Encoder(find_ffmpeg(), "libx264", "ultrafast", 0)
    encoded = encode(lossless, Track("mjpeg", 1600, 1200), fed, [0])
    assert len(encoded.packets) == 60


def test_its_own_words_are_in_the_error() -> None:
    wrong = Encoder(find_ffmpeg(), "libx264", "no-such-preset", 23)
    with pytest.raises(EncodeError, match="no-such-preset"):
        encode(wrong, TRACK, frames(3), [0])


def test_nothing_decodable_is_an_error() -> None:
    with pytest.raises(EncodeError):
        encode(software(), TRACK, [(0, b"\xff\xd8\xff\xd9")], [0])
    assert not encoder.can_decode([b"\xff\xd8\xff\xd9", b""])
    assert encoder.can_decode([b"\xff\xd8\xff\xd9", jpeg(1, 0)])


def test_a_program_that_cannot_start_is_an_error() -> None:
    with pytest.raises(EncodeError, match="cannot be started"):
        encode(software("/no/such/ffmpeg"), TRACK, frames(1), [0])


@pytest.mark.parametrize(
    "body", ["sleep 60", "cat >/dev/null; sleep 60", "exec 1>&-; cat >/dev/null; sleep 60"]
)
def test_one_that_stands_still_is_killed(tmp_path: Path, body: str) -> None:
    stuck = script(tmp_path / "ffmpeg", f"echo $$ > {tmp_path}/pid; {body}")
    began = time.monotonic()
    with pytest.raises(EncodeError, match="stood still"):
        encode(software(stuck), TRACK, frames(20), [0], stall_seconds=0.5)
    assert time.monotonic() - began < 10
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_one_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kwargs))
        return started[0]

    def feed() -> Iterator[tuple[int, bytes]]:
        for number, frame in enumerate(frames(20)):
            if number == 10:
                started[0].send_signal(signal.SIGKILL)
                started[0].wait()
            yield frame

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(EncodeError, match="-9"):
        encode(software(), TRACK, feed(), [0])


def test_a_feed_that_fails_ends_the_child_and_comes_through(tmp_path: Path) -> None:
    def feed() -> Iterator[tuple[int, bytes]]:
        yield 0, jpeg(0, 0)
        raise FileNotFoundError("the segment is gone")

    with pytest.raises(FileNotFoundError):
        encode(software(), TRACK, feed(), [0])
    assert not children()


def test_the_child_ends_with_its_killed_worker(tmp_path: Path) -> None:
    """Its stdin closes when the worker is gone, whatever killed that."""
    body = (
        "import os,signal,sys,time\n"
        "import django; django.setup()\n"
        "from recordings import encoder\n"
        "from recordings.ffmpeg import find_ffmpeg\n"
        "from recordings.media.matroska import Track\n"
        "from tests.recordings.footage import jpeg\n"
        "def feed():\n"
        "    for n in range(30): yield n*100, jpeg(n, 0)\n"
        "    kids = open(f'/proc/self/task/{os.getpid()}/children').read()\n"
        "    print(kids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "encoder.encode(encoder.Encoder(find_ffmpeg(),'libx264','ultrafast',30),"
        " Track('mjpeg',160,120), feed(), [0])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", body],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "nvr_project.settings"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    child = int(ended.stdout.split()[-1])
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children() -> list[str]:
    threads = (thread.native_id for thread in threading.enumerate())
    found = (Path(f"/proc/self/task/{thread}/children").read_text().split() for thread in threads)
    return [pid for pids in found for pid in pids if is_alive(int(pid))]


def test_ffmpeg_is_looked_for_where_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = script(tmp_path / "my-ffmpeg", "true")
    monkeypatch.setattr(settings, "NVR_FFMPEG", own)
    assert find_ffmpeg() == own
    monkeypatch.setattr(settings, "NVR_FFMPEG", str(tmp_path / "missing"))
    with pytest.raises(EncoderMissingError, match="NVR_FFMPEG"):
        find_ffmpeg()
    monkeypatch.setattr(settings, "NVR_FFMPEG", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == imageio_ffmpeg.get_ffmpeg_exe()
    own = script(tmp_path / "ffmpeg", "true")
    assert find_ffmpeg() == own


def test_hardware_is_used_only_after_it_has_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def trial(candidate: Encoder) -> None:
        tried.append(candidate.name)
        if candidate.name != "h264_vaapi":
            raise EncodeError("no such hardware")

    monkeypatch.setattr(encoder, "_try_out", trial)
    monkeypatch.setattr(encoder, "_distrusted", set())
    encoder.hardware_encoder.cache_clear()
    assert encoder.choose("software", "superfast", 23).name == "libx264"
    assert tried == []
    chosen = [encoder.choose("auto", "superfast", 23) for _ in range(2)]
    assert {one.name for one in chosen} == {"h264_vaapi"}
    assert tried == ["h264_nvenc", "h264_qsv", "h264_vaapi"]
    assert encoder.distrust(chosen[0]).is_software
    assert encoder.choose("auto", "superfast", 23).is_software
    encoder.hardware_encoder.cache_clear()


def test_the_trial_is_a_real_encode() -> None:
    encoder._try_out(software())
    with pytest.raises(EncodeError):
        encoder._try_out(Encoder(find_ffmpeg(), "h264_no_such_chip", "superfast", 23))


def test_the_level_depends_on_the_size_alone() -> None:
    def level(width: int, height: int) -> str:
        arguments = encoder.arguments(software("ffmpeg"), Track("mjpeg", width, height), [0])
        return arguments[arguments.index("-level") + 1]

    assert [level(160, 120), level(800, 600), level(1280, 720)] == ["3.0", "3.1", "3.1"]
    assert [level(1600, 1200), level(1920, 1080), level(3840, 2160)] == ["4.0", "4.0", "5.2"]


@pytest.mark.django_db
def test_the_environment_wins_over_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    RecordingPolicy(preset="veryfast", crf=30, retention_days=3).save()
    assert (policy.current().preset, policy.current().crf) == ("veryfast", 30)
    from dataclasses import replace

    fixed = replace(settings.NVR, ffmpeg_preset="ultrafast", ffmpeg_crf=0, retention_days=9)
    monkeypatch.setattr(settings, "NVR", fixed)
    now = policy.current()
    assert (now.preset, now.crf, now.retention_days) == ("ultrafast", 0, 9)


@pytest.mark.django_db
def test_a_new_recorder_has_the_models_defaults() -> None:
    assert policy.current().preset == RecordingPolicy().preset
    assert not RecordingPolicy.objects.exists()
