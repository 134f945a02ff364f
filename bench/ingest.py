"""CPU of the web process for one 25 KB frame over TLS, recorded and watched, against a bare loop.

Cameras send at 10 frames a second as an ESP32's bytes arrive: whole, in TCP segments of 1,436
bytes a millisecond apart (TLS records cut in the middle, as lwIP cuts them), or in ESP-IDF's
WebSocket fragments of 1 KB.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.table import Row
from tests.capture.firmware import BINARY, TEXT, jpeg, masked, request
from tests.capture.web import ROOT, Web, free_port, populate
from tests.instruments.certificates import Pki, make_pki

CAMERAS = 20
FPS = 10
SECONDS = 6
WARM_UP_SECONDS = 1.5
FRAME_BYTES = 25_000
SEGMENT_BYTES = 1436
PATTERNS = ("whole", "dripped", "fragments")
GOALS_MS = {"whole": 0.30, "dripped": 0.46, "fragments": 0.46}


def picture() -> bytes:
    """A JPEG of exactly FRAME_BYTES: what an SVGA frame of an ESP32 has."""
    plain = jpeg(800, 600)
    missing = FRAME_BYTES - len(plain) - 4
    return (
        plain[:2] + b"\xff\xe5" + (missing + 2).to_bytes(2, "big") + os.urandom(missing) + plain[2:]
    )


def frame(pattern: str, jpeg_bytes: bytes) -> bytes:
    if pattern != "fragments":
        return masked(BINARY, jpeg_bytes)
    parts = [jpeg_bytes[at : at + 1024] for at in range(0, len(jpeg_bytes), 1024)]
    last = len(parts) - 1
    return b"".join(
        masked(BINARY if n == 0 else 0, part, is_final=n == last) for n, part in enumerate(parts)
    )


class Link:
    """TLS by hand over TCP, so that the sender decides where the TCP stream is cut."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def open(self, port: int, head: bytes) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.writer.write(self._out.read())
                self._in.write(await self.reader.read(65536))
        self._tls.write(head)
        self.writer.write(self._out.read())
        if b" 101 " not in await self.receive():
            raise RuntimeError("the upgrade was refused")

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError("the server hung up") from None
                self._in.write(data)

    async def send(self, data: bytes, *, is_dripped: bool) -> None:
        self._tls.write(data)
        sealed = self._out.read()
        if not is_dripped:
            self.writer.write(sealed)
            return
        for at in range(0, len(sealed), SEGMENT_BYTES):
            self.writer.write(sealed[at : at + SEGMENT_BYTES])
            await asyncio.sleep(0.001)

    def close(self) -> None:
        self.writer.transport.abort()


async def stream(link: Link, data: bytes, number: int, *, is_dripped: bool, until: float) -> int:
    loop = asyncio.get_running_loop()
    due = loop.time() + number / CAMERAS / FPS
    sent = 0
    while (now := loop.time()) < until:
        await asyncio.sleep(max(0.0, due - now))
        await link.send(data, is_dripped=is_dripped)
        sent += 1
        due += 1 / FPS
    return sent


async def view(link: Link) -> None:
    while True:
        await link.send(masked(TEXT, b'{"credit":1}'), is_dripped=False)
        await link.receive()


async def cpu_ms_per_frame(web: Web, pid: int, pattern: str, *, is_watched: bool) -> float:
    cameras = [Link(web.context) for _ in range(CAMERAS)]
    for number, link in enumerate(cameras):
        await link.open(web.port, request("127.0.0.1", web.world["keys"][number]))
    viewers = [Link(web.context) for _ in range(CAMERAS if is_watched else 0)]
    watching = []
    for number, link in enumerate(viewers):
        path = f"/ws/live/{web.world['devices'][number]}"
        token = f"Authorization: Bearer {web.world['admin_token']}"
        await link.open(web.port, request(f"127.0.0.1:{web.port}", None, path, (token,)))
        watching.append(asyncio.create_task(view(link)))
    data, process = frame(pattern, picture()), psutil.Process(pid)
    loop = asyncio.get_running_loop()

    async def run(seconds: float) -> int:
        until, is_dripped = loop.time() + seconds, pattern == "dripped"
        work = [
            stream(link, data, number, is_dripped=is_dripped, until=until)
            for number, link in enumerate(cameras)
        ]
        return sum(await asyncio.gather(*work))

    await run(WARM_UP_SECONDS)
    before = process.cpu_times()
    sent = await run(SECONDS)
    after = process.cpu_times()
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    for link in (*cameras, *viewers):
        link.close()
    return (after.user + after.system - before.user - before.system) / sent * 1000


@contextmanager
def bare(kind: str, web: Web, pki: Pki) -> Iterator[int]:
    """Its pid; it listens on `web.port`."""
    command = [
        sys.executable,
        "-m",
        "bench.bare_server",
        kind,
        str(web.port),
        str(pki.cert),
        str(pki.key),
    ]
    env = {**web.env, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != b"ready":
            if process.poll() is not None:
                raise RuntimeError(f"the bare {kind} server did not start")
        try:
            yield process.pid
        finally:
            process.kill()


def run(servers: tuple[str, ...] = ("daphne", "uvicorn")) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as name:
        data = Path(name)
        pki = make_pki(data / "made")
        populate(data)
        return [row for server in servers for row in _rows(data, pki, server)]


def _rows(data: Path, pki: Pki, server: str) -> Iterator[Row]:
    web = Web(data, pki, server)
    for pattern in PATTERNS:
        web.port = free_port()
        web.env["NVR_PORT"] = str(web.port)
        with bare("ours" if server == "daphne" else "uvicorn", web, pki) as pid:
            floor = asyncio.run(cpu_ms_per_frame(web, pid, pattern, is_watched=False))
        stock = ""
        if server == "daphne":
            with bare("stock", web, pki) as pid:
                cost = asyncio.run(cpu_ms_per_frame(web, pid, pattern, is_watched=False))
            stock = f", stock Daphne {cost:.2f}"
        web.start()
        try:
            measured = asyncio.run(cpu_ms_per_frame(web, web.pid, pattern, is_watched=True))
        finally:
            web.stop()
        yield Row(
            f"{server}: CPU per 25 KB frame, {pattern}, recorded, one viewer",
            f"<= {GOALS_MS[pattern]:.2f} ms",
            f"{measured:.2f} ms",
            f"{floor:.2f} ms bare loop{stock}",
            f"{measured / floor:.1f}",
        )


if __name__ == "__main__":
    for row in run():
        print(json.dumps([row.what, row.goal, row.measured, row.floor, row.ratio]))
