"""Captures under a crowd: who is refused at once, who gets a turn, and what answers meanwhile.

The camera is the simulated one; web process, worker, broker and a plain port are real. The floor of
a refusal is the same server with an application that does nothing but answer (bench.empty_server),
asked in the same way.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from bench import recorder
from bench.table import Row, percentile
from tests.stack import PROJECT_DIR, Stack, free_port

CROWD = 100
ASKED_IN_ROW = 100
FIRST_PICTURE_S = 20.0
LIMIT_S = 300.0
LOOK_EVERY_S = 0.25
_PICTURE = {"width": 320, "height": 240}
_VIDEO = {"format": "h264", "durationSec": 8, "width": 640, "height": 360, "fps": 15}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    ms: float
    body: bytes


class Client:
    """HTTP/1.1 without TLS, a connection a request: as the older systems' clients."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {text}\r\n" for name, text in headers.items())

    async def ask(
        self, method: str, path: str, body: object = None, *, start: asyncio.Event | None = None
    ) -> Answer:
        """The time counts from the request on; with `start` all go out together."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        if start is not None:
            await start.wait()
        began = time.monotonic()
        writer.write(head.encode() + payload)
        answer = await asyncio.wait_for(reader.read(-1), LIMIT_S)
        ms = 1000 * (time.monotonic() - began)
        writer.close()
        head_bytes, _, body_bytes = answer.partition(b"\r\n\r\n")
        return Answer(int(head_bytes.split(b" ", 2)[1]), ms, body_bytes)

    async def crowd(self, method: str, path: str, body: object = None) -> list[Answer]:
        start = asyncio.Event()
        asking = [
            asyncio.create_task(self.ask(method, path, body, start=start)) for _ in range(CROWD)
        ]
        await asyncio.sleep(1.0)  # all are connected
        start.set()
        return await asyncio.gather(*asking)

    async def in_row(self, method: str, path: str, body: object = None) -> list[Answer]:
        return [await self.ask(method, path, body) for _ in range(ASKED_IN_ROW)]


def run() -> list[Row]:
    port = free_port()
    env = {
        "NVR_CAMERA": "simulated",
        "NVR_HTTP_PORTS": str(port),
        "NVR_TRUSTED_NETWORKS": "127.0.0.0/8",
    }
    with (
        recorder.recorder(**env) as stack,
        recorder.cameras(stack, "--count", "1", "--fps", "10", "--seconds", "600"),
        _empty_server(stack) as empty_port,
    ):
        empty = Client(empty_port, recorder.BEARER)
        return asyncio.run(_measure(stack, Client(port, recorder.BEARER), empty))


@contextmanager
def _empty_server(stack: Stack) -> Iterator[int]:
    """Its port."""
    port = free_port()
    with TemporaryDirectory(prefix="roost-bench-empty-") as data:
        command = [sys.executable, "-m", "bench.empty_server", str(port)]
        env = {**stack.env, "NVR_DATA_DIR": data, "NVR_PORT": str(port), "NVR_HTTP_PORTS": ""}
        process = subprocess.Popen(
            command, cwd=PROJECT_DIR, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", "the empty server did not start"
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=30)


async def _measure(stack: Stack, client: Client, empty: Client) -> list[Row]:
    device = await asyncio.to_thread(_first_camera, stack)
    await client.ask("POST", "/api/camera/capture", _PICTURE)  # all is loaded
    await empty.ask("POST", "/api/camera/capture", _PICTURE)
    floor_crowd = await empty.crowd("POST", "/api/camera/capture", _PICTURE)
    floor_row = await empty.in_row("POST", "/api/camera/capture", {})
    health = await client.crowd("GET", "/health")
    crowd = await client.crowd("POST", "/api/camera/capture", _PICTURE)
    taking = asyncio.create_task(client.ask("POST", "/api/camera/capture", _VIDEO))
    await asyncio.sleep(1.0)
    in_row = await client.in_row("POST", "/api/camera/capture", {})
    assert (await taking).status == 200
    refused = [answer for answer in crowd if answer.status == 409]
    taken = [answer for answer in crowd if answer.status == 200]
    assert all(answer.status == 409 for answer in in_row)
    rows = [
        Row(
            f"captures asked for {CROWD} at once: taken / refused",
            f"1 / {CROWD - 1}",
            f"{len(taken)} / {len(refused)}",
        ),
        _row("a refusal among them, median / worst", "50 ms", refused, floor_crowd),
        _row("a refusal while one is taken, median / worst", "50 ms", in_row, floor_row),
        _row(f"GET /health asked {CROWD} times at once, median / worst", "", health, floor_crowd),
    ]
    return rows + await _in_turn(stack, client, device)


async def _in_turn(stack: Stack, client: Client, device: int) -> list[Row]:
    over = asyncio.Event()
    looks = {
        "status of the camera node": lambda: client.ask("GET", "/status"),
        "a camera's newest picture": lambda: asyncio.to_thread(_snapshot, stack, device),
    }
    looking = [asyncio.create_task(_look(look, over)) for look in looks.values()]
    began = time.monotonic()
    answers = await client.crowd("POST", "/capture")
    seconds = time.monotonic() - began - 1.0
    over.set()
    names = {
        json.loads(answer.body)["file_info"]["filename"]
        for answer in answers
        if answer.status == 200
    }
    rows = [
        Row(
            f"raw pictures asked for {CROWD} at once: taken, each with its name",
            str(CROWD),
            f"{len(names)} in {seconds:.0f} s",
        )
    ]
    for name, found in zip(looks, await asyncio.gather(*looking), strict=True):
        text = (
            f"{statistics.median(found):.0f} / {percentile(found, 0.95):.0f} / {max(found):.0f} ms"
        )
        rows.append(Row(f"{name} meanwhile, median / p95 / worst", "100 ms", text))
    return rows


async def _look(ask: Callable[[], Awaitable[Answer]], over: asyncio.Event) -> list[float]:
    found = []
    while not over.is_set():
        answer = await ask()
        assert answer.status == 200, answer
        found.append(answer.ms)
        await asyncio.sleep(LOOK_EVERY_S)
    return found


def _snapshot(stack: Stack, device: int) -> Answer:
    began = time.monotonic()
    body = stack.get(f"/api/v1/devices/{device}/snapshot.jpg", recorder.BEARER)
    return Answer(200, 1000 * (time.monotonic() - began), body)


def _first_camera(stack: Stack) -> int:
    """One that streams."""
    deadline = time.monotonic() + FIRST_PICTURE_S
    while time.monotonic() < deadline:
        found = stack.get_json("/api/v1/devices/?presence=streaming", recorder.BEARER)["results"]
        if found:
            return int(found[0]["id"])
        time.sleep(0.2)
    raise RuntimeError("no camera streams")


def _row(what: str, goal: str, found: list[Answer], floor: list[Answer]) -> Row:
    times, least = [one.ms for one in found], [one.ms for one in floor]
    ratio = statistics.median(times) / statistics.median(least)
    return Row(what, goal, _times(times), f"empty application {_times(least)}", f"{ratio:.1f}")


def _times(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} / {max(values):.0f} ms"
