"""A 1080p RTSP camera, copied: CPU of everything that touches it, and how soon a viewer sees it.

The camera is GStreamer's RTSP server; what it costs itself is not counted. The floor is one bare
FFmpeg that takes the same stream in and writes it to nowhere.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time

import psutil
from websockets.asyncio.client import connect

from bench import recorder
from bench.table import Row, percentile
from recordings.ffmpeg import find_ffmpeg
from tests.instruments import rtsp_server
from tests.instruments.rtsp_server import RtspServer
from tests.stack import Stack, wait_until

SETTLE_S, MEASURE_S = 15, 30
VISITS = 20
PICTURE_RATES = (15, 30)
KBIT_PER_S = 4000


def run() -> list[Row]:
    if reason := rtsp_server.missing():
        return [Row("a copied RTSP camera", "", f"not measured: {reason}")]
    rows = []
    for fps in PICTURE_RATES:
        rows += _measure(fps)
    return rows


def _measure(fps: int) -> list[Row]:
    with (
        RtspServer(
            width=1920, height=1080, fps=fps, gop=fps, kbit_per_s=KBIT_PER_S, audio="aac"
        ) as camera,
        recorder.recorder(NVR_ALLOW_LOOPBACK_CAMERAS="1") as stack,
    ):
        time.sleep(SETTLE_S)
        idle = _cpu_share(stack)
        wish = {"name": "Bench", "url": camera.url}
        device = int(stack.post_json("/api/v1/sources/", wish, recorder.BEARER)["device"])
        wait_until(lambda: _is_recording(stack, device), limit_s=40, what="recording")
        time.sleep(SETTLE_S)
        busy = _cpu_share(stack)
        rate = stack.get_json(f"/api/v1/devices/{device}/", recorder.BEARER)["received_fps"]
        bare = _bare_ffmpeg(camera.url)
        firsts = asyncio.run(_visit(stack, device))
    own = {name: busy[name] - idle[name] for name in busy}
    total = sum(own.values())
    parts = ", ".join(f"{name} {share:.2f}" for name, share in sorted(own.items()) if share > 0.05)
    return [
        Row(
            f"RTSP 1080p{fps}, {KBIT_PER_S // 1000} Mbit/s with sound, copied and recorded: CPU",
            "< 3 % of a core" if fps == PICTURE_RATES[0] else "",
            f"{total:.2f} % ({parts}; {rate:.0f} fps)",
            f"{bare:.2f} % bare FFmpeg",
            f"{total / bare:.1f}",
        ),
        Row(
            "  first picture after the viewer dials, p95 of 20",
            "<= 1 s",
            f"{percentile(firsts, 0.95):.0f} ms",
        ),
    ]  # fmt: skip


def _is_recording(stack: Stack, device: int) -> bool:
    found = stack.get_json(f"/api/v1/devices/{device}/", recorder.BEARER)
    return bool(found["is_recording"])


def _cpu_share(stack: Stack) -> dict[str, float]:
    """Per cent of a core of each process with its children, over MEASURE_S."""
    before = recorder.cost(stack)
    time.sleep(MEASURE_S)
    after = recorder.cost(stack)
    span = after.at_s - before.at_s
    return {
        name: 100 * (cpu_s - before.cpu_s.get(name, 0.0)) / span
        for name, cpu_s in after.cpu_s.items()
    }


def _bare_ffmpeg(url: str) -> float:
    """Per cent of a core of an FFmpeg that only takes the stream in, after its analysis."""
    quiet = ["-hide_banner", "-v", "error", "-nostdin", "-rtsp_transport", "tcp"]
    command = [find_ffmpeg(), *quiet, "-i", url, "-c", "copy", "-f", "matroska", "-y", "/dev/null"]
    process = subprocess.Popen(command)
    try:
        time.sleep(SETTLE_S)
        watched = psutil.Process(process.pid)
        before, began = watched.cpu_times(), time.monotonic()
        time.sleep(MEASURE_S)
        after, span = watched.cpu_times(), time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    return 100 * (after.user + after.system - before.user - before.system) / span


async def _visit(stack: Stack, device: int) -> list[float]:
    """Milliseconds from dialling to the first picture: the init segment and what follows it."""
    times = []
    for _ in range(VISITS):
        began = time.perf_counter()
        address = f"{stack.ws_url}/ws/live/{device}"
        headers = {**recorder.BEARER}
        async with connect(
            address, ssl=stack.tls(), additional_headers=headers, max_size=None
        ) as viewer:
            await viewer.send(json.dumps({"credit": 30}))
            pieces = 0
            while pieces < 2:
                pieces += isinstance(await viewer.recv(), bytes)
        times.append(1000 * (time.perf_counter() - began))
    return times
