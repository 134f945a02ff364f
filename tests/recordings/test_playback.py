"""Playback from a real web process: ranges, FFmpeg and Chromium on HLS, bounded memory."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from devices.models import Device
from recordings import packager
from recordings.media import index
from recordings.models import Recording
from recordings.timeline import to_ms
from tests.factories import make_device, make_recording
from tests.recordings.footage import coded, every, write_coded, write_segment
from tests.recordings.hourfiles import fragments_of, make_hour_file, make_video

log = logging.getLogger(__name__)  # figures: pytest --log-cli-level=INFO
PROJECT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
START = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)
CHROMIUM = Path("/usr/bin/chromium")
HLS_JS = PROJECT / "node_modules" / "hls.js" / "dist" / "hls.light.js"
LARGE_BYTES = 300 * 1024**2

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.stack]


def wait_for(ask: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """The first true answer; polled against a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Web:
    """The web process on this test's database and files, without TLS."""

    def __init__(self, server: str) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Path(settings.RUN_DIR) / "web.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runweb", "--plain"],
                cwd=PROJECT,
                env={
                    **os.environ,
                    "NVR_DATA_DIR": str(settings.DATA_DIR),
                    "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
                    "NVR_PORT": str(self.port),
                    "NVR_ASGI_SERVER": server,
                    "AUTH_TOKEN": TOKEN,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "ready " in self.log.read_text()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request("GET", path, headers={**AUTHORIZATION, **sent})
            answer = client.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read()

    def open_files(self) -> list[Path]:
        found = []
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found.append(entry.readlink())
            except FileNotFoundError:
                continue
        return found

    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(server: str) -> Iterator[Web]:
    web = Web(server)
    try:
        wait_for(web.is_ready, "the web process is ready")
        yield web
    finally:
        web.stop()


@pytest.fixture(params=["daphne", "uvicorn"])
def either_web(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Web]:
    yield from serve(request.param)


@pytest.fixture
def web(data_dir: Path) -> Iterator[Web]:
    yield from serve("daphne")


def playlist_path(device: Device, start: datetime, end: datetime | None = None) -> str:
    path = f"/api/v1/devices/{device.pk}/playlist.m3u8?start_ms={to_ms(start)}"
    return f"{path}&end_ms={to_ms(end)}" if end else path


# --- files ------------------------------------------------------------------------------------


def test_the_server_sends_ranges(either_web: Web) -> None:
    recording = make_hour_file(make_device(), START, seconds=4)
    data = (Path(settings.RECORDINGS_DIR) / recording.path).read_bytes()
    path = f"/api/v1/recordings/{recording.pk}/file"
    status, headers, body = either_web.get(path)
    assert (status, body) == (200, data)
    assert headers["accept-ranges"] == "bytes"
    status, headers, body = either_web.get(path, Range="bytes=100-299")
    assert (status, body) == (206, data[100:300])
    assert headers["content-range"] == f"bytes 100-299/{len(data)}"
    status, headers, _ = either_web.get(path, Range=f"bytes={len(data)}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert either_web.get(path, If_None_Match=headers["etag"])[0] == 304


def make_large(web: Web) -> tuple[Recording, str]:
    recording = make_recording(make_device(), started_at=START, size_bytes=LARGE_BYTES)
    file = Path(settings.RECORDINGS_DIR) / recording.path
    file.parent.mkdir(parents=True)
    with file.open("wb") as large:
        large.truncate(LARGE_BYTES)
    request = f"GET /api/v1/recordings/{recording.pk}/file HTTP/1.1\r\nHost: x\r\n"
    return recording, f"{request}Authorization: Bearer {TOKEN}\r\n\r\n"


def test_a_large_download_to_a_client_that_does_not_read_is_not_held(either_web: Web) -> None:
    """300 MB asked for by eight clients that read the head and then nothing."""
    recording, request = make_large(either_web)
    either_web.get(f"/api/v1/recordings/{recording.pk}/file", Range="bytes=0-1")
    before, highest, clients = either_web.memory(), 0, []
    try:
        for _ in range(8):
            client = socket.create_connection(("127.0.0.1", either_web.port), timeout=10)
            clients.append(client)
            client.sendall(request.encode())
            assert client.recv(200).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            highest = max(highest, either_web.memory())
            time.sleep(0.05)
        log.info(
            "%s", f"{(highest - before) / 8 / 1e6:.1f} MB a stalled download of {LARGE_BYTES} bytes"
        )
        assert highest - before < 8 * 8 * 1024**2
        # The others are served meanwhile.
        assert either_web.get(f"/api/v1/recordings/{recording.pk}/")[0] == 200
    finally:
        for client in clients:
            client.close()
    path = Path(settings.RECORDINGS_DIR) / recording.path
    wait_for(lambda: path not in either_web.open_files(), "the file is closed after the hang-up")


def test_a_large_download_arrives_whole(either_web: Web) -> None:
    recording, _ = make_large(either_web)
    started, received = time.monotonic(), 0
    with closing(HTTPConnection("127.0.0.1", either_web.port, timeout=30)) as client:
        client.request("GET", f"/api/v1/recordings/{recording.pk}/file", headers=AUTHORIZATION)
        answer = client.getresponse()
        while chunk := answer.read(1 << 20):
            received += len(chunk)
    log.info("%s", f"{received / 1e6 / (time.monotonic() - started):.0f} MB/s")
    assert received == LARGE_BYTES


# --- FFmpeg -----------------------------------------------------------------------------------


def ffmpegs() -> list[str]:
    system = shutil.which("ffmpeg")
    return [*([system] if system else []), imageio_ffmpeg.get_ffmpeg_exe()]


def played_by(ffmpeg: str, url: str) -> tuple[int, str]:
    """Frames decoded, and what FFmpeg complained about."""
    header = f"Authorization: Bearer {TOKEN}\r\n"
    done = subprocess.run(
        [
            *(ffmpeg, "-v", "error", "-nostdin", "-headers", header, "-i", url, "-map", "0:v"),
            *("-fps_mode", "passthrough", "-f", "null", "-progress", "pipe:1", "-"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return int(re.findall(r"frame=(\d+)", "frame=0 " + done.stdout)[-1]), done.stderr


@pytest.mark.parametrize("ffmpeg", ffmpegs())
def test_ffmpeg_plays_every_frame_over_a_gap(web: Web, ffmpeg: str) -> None:
    device = make_device()
    make_hour_file(device, START, seconds=20, gap_after=4, gap_ms=60_000)
    url = web.url + playlist_path(device, START, START + timedelta(hours=1))
    assert played_by(ffmpeg, url) == (200, "")


@pytest.mark.parametrize("ffmpeg", ffmpegs())
def test_ffmpeg_plays_every_frame_the_packager_wrote(web: Web, ffmpeg: str) -> None:
    """From JPEGs in the spool to what a player decodes, with a silence of a minute between."""
    device, spool = make_device(), Path(settings.SPOOL_DIR)
    for minutes in (0, 1):
        walls = every(100, 100, start_ms=to_ms(START) + minutes * 60_000)
        write_segment(spool / device.directory, walls)
        assert packager.package(device).frames == 100
    url = web.url + playlist_path(device, START, START + timedelta(hours=1))
    assert played_by(ffmpeg, url) == (200, "")
    dates = re.findall("DATE-TIME:(.*)", web.get(url.removeprefix(web.url))[2].decode())
    assert dates == ["2026-11-19T12:00:00.000Z", "2026-11-19T12:01:00.000Z"]


def test_ffprobe_reads_every_packet_over_hours(web: Web) -> None:
    """Packets, as FFmpeg's own HLS reader discards the first fragment after a discontinuity."""
    if not (ffprobe := shutil.which("ffprobe")):
        pytest.skip("ffprobe is not installed")
    device = make_device()
    for hours, seconds in ((0, 20), (1, 10), (2, 6)):
        make_hour_file(device, START + timedelta(hours=hours), seconds=seconds)
    url = web.url + playlist_path(device, START, START + timedelta(hours=3))
    header = f"Authorization: Bearer {TOKEN}\r\n"
    command = [ffprobe, "-v", "error", "-headers", header, "-count_packets", "-of", "csv=p=0"]
    asked = "stream=nb_read_packets:format=duration"
    found = subprocess.check_output([*command, "-show_entries", asked, url], text=True, timeout=60)
    assert set(found.split()) == {"360", "36.000000"}  # the stream is listed once a program too


# --- Chromium ---------------------------------------------------------------------------------

PAGE = """<!doctype html><video id=v muted></video><script src="/hls.js"></script><script>
const v = document.getElementById('v'); window.errors = [];
function play(url) {
  // A growing playlist would start near its end, by a seek of its own.
  const hls = new Hls({liveDurationInfinity: false, startPosition: 0});
  // A seek aborts what was being loaded: that is reported as an error too.
  hls.on(Hls.Events.ERROR, (_, e) => e.details === 'aborted' || window.errors.push(e.details));
  window.hls = hls; hls.loadSource(url); hls.attachMedia(v);
}
function progressive(url) { v.src = url; }
async function seek(seconds) {
  const began = performance.now();
  await new Promise((done, failed) => {
    v.addEventListener('seeked', done, {once: true});
    v.addEventListener('error', () => failed(v.error.message), {once: true});
    v.currentTime = seconds;
  });
  return {ms: performance.now() - began, at: v.currentTime, ready: v.readyState};
}
</script>"""


@pytest.fixture
def page(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A page of the web process' own origin, logged in by bearer token."""
    if not CHROMIUM.exists() or not HLS_JS.exists():
        pytest.skip("Chromium or hls.js is not installed")
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop in this thread; nothing else of ours does.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run"
    quiet = "--disable-background-networking --disable-component-update --disable-sync"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*flags.split(), *quiet.split()]
        )
        opened = browser.new_page(extra_http_headers=AUTHORIZATION)
        opened.route("**/player", lambda r: r.fulfill(body=PAGE, content_type="text/html"))
        opened.route("**/hls.js", lambda r: r.fulfill(path=HLS_JS, content_type="text/javascript"))
        opened.goto(f"{web.url}/player")
        yield opened
        browser.close()


class GrowingHour:
    """An hour file as the packager leaves it: whole fragments appended, then the row updated."""

    def __init__(self, device: Device, tmp: Path, *, fragments: int, first: int) -> None:
        whole = tmp / "whole.mp4"
        make_video(whole, seconds=2 * fragments)
        self._data = whole.read_bytes()
        self._init, self._sizes = fragments_of(whole)
        self.started_at = timezone.now() - timedelta(seconds=2 * fragments)
        self.recording = make_recording(
            device, started_at=self.started_at, seconds=0, init_bytes=self._init
        )
        self._path = Path(settings.RECORDINGS_DIR) / self.recording.path
        self._path.parent.mkdir(parents=True)
        self.grow_to(first)

    def grow_to(self, fragments: int) -> None:
        size = self._init + sum(self._sizes[:fragments])
        self._path.write_bytes(self._data[:size] + b"\0\0\1\0moof, torn")
        started_ms = to_ms(self.started_at)
        entries = [
            index.Entry(bytes_, started_ms + number * 2000, 2000)
            for number, bytes_ in enumerate(self._sizes[:fragments])
        ]
        Recording.objects.filter(pk=self.recording.pk).update(
            size_bytes=size,
            duration_ms=2000 * fragments,
            ended_at=self.started_at + timedelta(seconds=2 * fragments),
            fragment_index=index.encode(entries, started_ms),
        )


@pytest.mark.browser
def test_chromium_plays_and_seeks_an_hour_that_grows(web: Web, page: Any, tmp_path: Path) -> None:
    device = make_device()
    hour = GrowingHour(device, tmp_path, fragments=60, first=30)
    page.evaluate("url => play(url)", playlist_path(device, hour.started_at))
    wait_for(lambda: page.evaluate("v.readyState") >= 3, "the first minute is there")
    assert page.evaluate("v.duration") == 60
    seeks = [page.evaluate("seek", second) for second in (3.5, 57.2, 20.0, 41.9)]
    assert [round(seek["at"], 1) for seek in seeks] == [3.5, 57.2, 20.0, 41.9]
    hour.grow_to(60)
    wait_for(lambda: page.evaluate("v.duration") == 120, "the second minute is there", 30)
    seeks += [page.evaluate("seek", second) for second in (110.0, 5.0, 118.3)]
    page.evaluate("async () => { await seek(58); await v.play(); }")
    wait_for(lambda: page.evaluate("v.currentTime") > 61, "it plays over the old end")
    log.info("seek ms: %s", sorted(round(seek["ms"]) for seek in seeks))
    assert page.evaluate("window.errors") == []
    assert page.evaluate("hls.latestLevelDetails.live")
    date = page.evaluate("+hls.latestLevelDetails.fragments[5].programDateTime")
    assert date == to_ms(hour.started_at) + 30_000


@pytest.mark.browser
def test_chromium_plays_over_gaps_and_into_the_next_file(web: Web, page: Any) -> None:
    device = make_device()
    make_hour_file(device, START, seconds=12, gap_after=2, gap_ms=60_000)
    make_hour_file(device, START + timedelta(hours=1), seconds=12, size="640x480")
    span = (START, START + timedelta(hours=2))
    page.evaluate("url => play(url)", playlist_path(device, *span))
    wait_for(lambda: page.evaluate("v.duration") == 24, "the whole span is there")
    page.evaluate("async () => { v.playbackRate = 4; await v.play(); }")
    wait_for(lambda: page.evaluate("v.ended"), "it plays to the end")
    assert page.evaluate("v.videoWidth") == 640
    assert page.evaluate("window.errors") == []
    dates = page.evaluate("hls.latestLevelDetails.fragments.map(f => f.programDateTime)")
    start = to_ms(START)
    assert dates == [start, start + 66_000, start + 3_600_000, start + 3_606_000]


@pytest.mark.browser
def test_chromium_seeks_the_growing_file_itself(web: Web, page: Any, tmp_path: Path) -> None:
    hour = GrowingHour(make_device(), tmp_path, fragments=60, first=60)
    page.evaluate("url => progressive(url)", f"/api/v1/recordings/{hour.recording.pk}/file")
    wait_for(lambda: page.evaluate("v.readyState") >= 2, "the file can be played")
    for second in (100.0, 11.0, 64.5):
        assert page.evaluate("seek", second)["at"] == second


@pytest.mark.browser
def test_chromium_plays_copied_video_with_sound_over_the_hours_turn(web: Web, page: Any) -> None:
    """Reordered pictures, GOPs of 0.8 and 4 s, a pause in the sound and a gap in all of it."""
    device = make_device()
    spool = settings.SPOOL_DIR / device.directory
    turn = to_ms(START) + 3_600_000
    short = coded(frames=100, gop=20, b_frames=2, has_sound=True)
    long = coded(frames=100, gop=100, b_frames=2, has_sound=True, counter=100)
    mute = [block for block in long.blocks if not (block.is_audio and 900 < block.time_ms < 3_100)]
    write_coded(spool, short, turn - 70_000)
    write_coded(spool, long._replace(blocks=mute), turn - 8_000)
    write_coded(spool, short, turn - 4_000)
    write_coded(spool, short, turn)
    packager.package(device)
    assert Recording.objects.count() == 2
    page.evaluate("url => play(url)", playlist_path(device, START, START + timedelta(hours=2)))
    wait_for(lambda: page.evaluate("Math.round(v.duration)") == 16, "the whole span is there")
    for second in (13.1, 6.4, 0.2):
        assert page.evaluate("seek", second)["at"] == second
    page.evaluate("async () => { v.playbackRate = 4; await v.play(); }")
    wait_for(
        lambda: page.evaluate("v.ended"), "it plays to the end, over the pause and the gap", 40
    )
    assert page.evaluate("v.webkitAudioDecodedByteCount") > 16 * 48_000 // 1_024 * 20
    assert page.evaluate("window.errors") == []
