"""A real RTSP camera, GStreamer's: what comes is what it sends, and nothing of the log-in shows."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capture.drivers import connection
from recordings.media import nal
from tests.capture.drivers.rig import Bucket, driver_for, failure, take, until
from tests.instruments import canary
from tests.instruments.certificates import make_pki
from tests.instruments.rtsp_server import RtspServer, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
LOGIN: dict[str, Any] = {"username": "bob", "password": "correct-horse-battery"}


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspServer]:
    with RtspServer(audio="aac") as server:
        yield server


async def test_it_takes_h264_and_sound_as_they_are(camera: RtspServer) -> None:
    bucket = await take(camera.url, lambda bucket: len(bucket.pictures) > 20)
    track = bucket.tracks[0]
    assert (track.codec, track.width, track.height) == ("h264", 640, 360)
    assert nal.size_of("h264", track.config) == (640, 360)
    assert track.audio is not None
    assert (track.audio.rate_hz, track.audio.channels) == (16_000, 1)
    assert bucket.pictures[0].is_key
    assert len(bucket.sounds) > 10


async def test_the_spacing_of_pictures_is_the_cameras(camera: RtspServer) -> None:
    bucket = await take(camera.url, lambda bucket: len(bucket.pictures) > 30)
    captured = [packet.capture_us for packet in bucket.pictures]
    assert (captured[-1] - captured[0]) / (len(captured) - 1) == pytest.approx(66_667, rel=0.05)
    newest = captured[-1] / 1e6
    assert -0.3 < bucket.came_at[-1] - newest < 1.0


async def test_the_first_picture_comes_within_a_second(camera: RtspServer) -> None:
    await take(camera.url, lambda bucket: len(bucket.pictures) > 1)  # the camera is awake now
    began = time.monotonic()
    bucket = await take(camera.url, lambda bucket: len(bucket.pictures) > 1)
    took_s = bucket.came_at[0] - began
    print(f"first picture after {1000 * took_s:.0f} ms, key pictures every second")
    assert took_s < 4.0  # what a busy machine adds is not the driver's; the figure is printed


async def test_sound_that_is_not_wanted_is_not_asked_for(camera: RtspServer) -> None:
    bucket = await take(camera.url, wants_audio=False)
    assert bucket.tracks[0].audio is None
    assert not bucket.sounds


@pytest.mark.parametrize("program", ["the system's", "the bundled"])
@pytest.mark.parametrize(
    ("codec", "audio", "expected"),
    [
        ("h264", "pcmu", "h264"),
        ("h265", "aac", "hevc"),
        ("h265", "pcma", "hevc"),
        ("jpeg", "opus", "mjpeg"),
    ],
)
async def test_every_codec_comes_through_either_ffmpeg(
    codec: str, audio: str, expected: str, program: str, settings: object
) -> None:
    import imageio_ffmpeg

    settings.NVR_FFMPEG = "" if program == "the system's" else imageio_ffmpeg.get_ffmpeg_exe()  # type: ignore[attr-defined]
    with RtspServer(codec=codec, audio=audio) as server:
        bucket = await take(
            server.url, lambda bucket: len(bucket.pictures) > 15 and len(bucket.sounds) > 5
        )
    track = bucket.tracks[0]
    assert (track.codec, track.width, track.height) == (expected, 640, 360)
    assert track.audio is not None
    assert track.audio.codec == "aac"
    assert track.audio.rate_hz >= 16_000
    if expected == "mjpeg":
        assert bucket.pictures[0].payload.startswith(b"\xff\xd8")


async def test_pictures_out_of_order_keep_their_own_times() -> None:
    with RtspServer(b_frames=2, gop=15) as server:
        bucket = await take(server.url, lambda bucket: len(bucket.pictures) > 30)
    captured = [packet.capture_us for packet in bucket.pictures]
    assert captured != sorted(captured)
    steps = [b - a for a, b in zip(sorted(captured)[1:], sorted(captured)[2:-3], strict=False)]
    assert all(40_000 < step < 95_000 for step in steps), steps


async def test_a_change_of_size_brings_new_parameters_with_a_key_picture() -> None:
    with RtspServer(small_after_s=1.0) as server:
        bucket = await take(server.url, lambda bucket: len(bucket.tracks) > 1)
    assert [(track.width, track.height) for track in bucket.tracks] == [(640, 360), (320, 180)]


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_it_logs_in(auth: str) -> None:
    with RtspServer(auth=auth, **LOGIN) as server:
        bucket = await take(server.url, **LOGIN)
        assert bucket.pictures
        wrong = await failure(server.url, username="bob", password="wrong")
        assert (wrong.code, str(wrong).split(".")[0]) == (
            "refused",
            "The camera refused the password",
        )
        none = await failure(server.url)
        assert none.code == "refused"
        assert str(none) == "The camera wants a user name and a password."


async def test_it_says_which_stream_does_not_exist(camera: RtspServer) -> None:
    error = await failure(camera.url.replace("/live", "/cinema"))
    assert error.code == "not_found"
    assert str(error).startswith("There is no stream called /cinema at this camera.")


async def test_it_takes_a_camera_with_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    make_pki(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(
        (tmp_path / "server.key").read_bytes() + (tmp_path / "server.pem").read_bytes()
    )
    with RtspServer(certificate=str(both), **LOGIN) as server:
        bucket = await take(server.url, **LOGIN)
    assert bucket.pictures


async def test_it_ends_in_words_when_the_camera_loses_power_and_takes_it_in_again() -> None:
    with RtspServer() as server:
        for _ in range(2):
            bucket = Bucket()
            task = asyncio.create_task(failure(server.url, bucket))
            await until(lambda: len(bucket.pictures) >= 5)  # noqa: B023  awaited here
            server.kill()
            error = await task
            assert (error.code, str(error)) == ("ended", "The camera ended the stream.")
            gone = await failure(server.url)
            assert gone.code == "unreachable"
            server.start()
        assert (await take(server.url)).pictures


async def test_the_password_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """While it streams: no command line, no environment and no open file of any child has it."""
    caplog.set_level(logging.DEBUG)
    with RtspServer(**LOGIN) as server:
        bucket = Bucket()
        driver = driver_for(server.url, **LOGIN)
        task = asyncio.create_task(driver.run(bucket))
        await until(lambda: len(bucket.pictures) >= 10)
        children = [pid for pid in _children(os.getpid()) if pid != server.pid]
        assert children
        search = canary.find_in_processes(LOGIN["password"], children)
        assert search.bytes > 200
        assert search.hits == []
        for pid in children:
            assert LOGIN["password"].encode() not in _of_process(pid, "environ")
        told = [_of_process(pid, "cmdline") for pid in children]
        ours = [argv for argv in told if b"rtsp://127.0.0.1:" in argv]
        assert len(ours) == 1  # the search looked at the right process
        assert str(server.port).encode() not in ours[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    wrong = await failure(server.url, **LOGIN)
    assert LOGIN["password"] not in f"{wrong} {wrong.detail} {driver!r} {caplog.text}"


async def test_the_password_in_the_path_shows_nowhere_either() -> None:
    secret = "correct-horse-battery"
    with RtspServer(path=f"/user=bob_password={secret}_channel=1") as server:
        base = f"rtsp://127.0.0.1:{server.port}"
        kept = base + "/user={username}_password={password}_channel=1"
        bucket = await take(kept, username="bob", password=secret)
        assert bucket.pictures
        error = await failure(kept, username="bob", password="another")
        assert error.code == "not_found"
        assert "{password}" in str(error)
        assert "another" not in str(error)


async def test_only_this_user_with_the_token_gets_the_cameras_video(
    camera: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port for FFmpeg is open to the whole machine for a moment."""
    from capture.drivers import rtsp_relay

    asked: list[int] = []
    real = rtsp_relay._user_of

    def user_of(their_port: int, own_port: int) -> int:
        asked.append(real(their_port, own_port))
        return 65_534 if len(asked) == 1 else asked[-1]

    monkeypatch.setattr(rtsp_relay, "_user_of", user_of)
    error = await failure(camera.url)
    assert asked[0] == os.getuid()
    assert error.code == "failed"


async def test_a_name_is_connected_to_where_it_was_checked(
    camera: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something else the second time it is asked for (DNS rebinding)."""
    loop = asyncio.get_running_loop()
    answers = iter(["127.0.0.1", "10.255.255.1", "10.255.255.1"])
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        asked.append(host)
        return [(2, 1, 6, "", (next(answers), port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    bucket = await take(f"rtsp://camera.test:{camera.port}/live")
    assert bucket.pictures
    assert asked == ["camera.test"]


def test_certificates_are_not_checked_in_private_networks_and_are_on_the_internet() -> None:
    import ipaddress
    import ssl

    private = connection.tls_context(ipaddress.ip_address("192.168.1.20"))
    public = connection.tls_context(ipaddress.ip_address("8.8.8.8"))
    assert private.verify_mode == ssl.CERT_NONE
    assert (public.verify_mode, public.check_hostname) == (ssl.CERT_REQUIRED, True)


def _of_process(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(each) for path in found for each in path.read_text().split()]
    return children + [grandchild for child in children for grandchild in _children(child)]
