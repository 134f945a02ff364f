"""Watching: how old a frame is when it leaves the recorder, and how soon the first one comes."""

from __future__ import annotations

import asyncio
import json
import struct
import time

from websockets.asyncio.client import connect

from bench import recorder
from bench.table import Row, percentile
from capture.media import counting
from tests.stack import Stack, wait_until

FRAMES = 200
VISITS = 20


def run() -> list[Row]:
    with recorder.recorder() as stack, recorder.cameras(stack, "--count", "4", "--fps", "10"):
        device = wait_until(lambda: _connected(stack), limit_s=30, what="four cameras")
        ages, paths = asyncio.run(_follow(stack, device))
        firsts = asyncio.run(_visit(stack, device))
    return [
        Row(
            "recorder's share of live latency, p95",
            "<= 10 ms",
            f"{percentile(ages, 0.95):.0f} ms",
            f"{percentile(paths, 0.95):.0f} ms camera to viewer",
        ),
        Row(
            "first picture after the viewer dials, p95 of 20",
            "<= 150 ms",
            f"{percentile(firsts, 0.95):.0f} ms",
        ),
    ]


def _connected(stack: Stack) -> int | None:
    results = stack.get_json("/api/v1/devices/", recorder.BEARER)["results"]
    connected = [each["id"] for each in results if each["is_connected"]]
    return int(connected[0]) if len(connected) == 4 else None


def _address(stack: Stack, device: int) -> str:
    return f"{stack.ws_url}/ws/live/{device}"


async def _follow(stack: Stack, device: int) -> tuple[list[float], list[float]]:
    """Age by the recorder's own two times, and from the camera's stamp to this process."""
    ages: list[float] = []
    paths: list[float] = []
    headers = dict(recorder.BEARER)
    async with connect(
        _address(stack, device), ssl=stack.tls(), additional_headers=headers
    ) as viewer:
        await viewer.send(json.dumps({"credit": 4}))
        while len(ages) < FRAMES:
            message = await viewer.recv()
            if isinstance(message, str):
                continue
            now_ms = time.time_ns() / 1e6
            captured_ms, server_ms = struct.unpack(">QQ", message[:16])
            stamp = counting.read_jpeg(message[16:])
            if stamp is not None:
                paths.append(now_ms - stamp.time_ms)
            ages.append(float(server_ms - captured_ms))
            await viewer.send(json.dumps({"credit": 1}))
    return ages[4:], paths[4:]  # the first answers the credit with a frame that had waited


async def _visit(stack: Stack, device: int) -> list[float]:
    times: list[float] = []
    for _ in range(VISITS):
        began = time.perf_counter()
        async with connect(
            _address(stack, device), ssl=stack.tls(), additional_headers=dict(recorder.BEARER)
        ) as viewer:
            await viewer.send(json.dumps({"credit": 1}))
            while isinstance(await viewer.recv(), str):
                pass
        times.append(1000 * (time.perf_counter() - began))
    return times
