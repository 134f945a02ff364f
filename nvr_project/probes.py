"""How the supervisor asks a process whether it is alive. A probe raises where it is not."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

Probe = Callable[[], Awaitable[None]]
DEADLINE_S = 5.0


class NotAlive(Exception):
    """The process answered wrongly, late or not at all."""


def https_health(host: str, port: int) -> Probe:
    """GET /health over TLS, as a camera would: the whole path from socket to view."""
    # Our own child on this machine, and nothing secret is sent: whether its certificate is
    # trusted is the business of its clients.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> None:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(request)
            status = await reader.readline()
        finally:
            writer.transport.abort()
        if b" 200 " not in status:
            raise NotAlive(f"GET /health was answered {status.decode('latin-1').strip()!r}")

    return probe


def valkey_ping(path: Path) -> Probe:
    async def probe() -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        finally:
            writer.transport.abort()
        if not answer.startswith(b"+PONG"):  # "-LOADING" while it reads its file
            raise NotAlive(f"PING was answered {answer.decode('latin-1').strip()!r}")

    return probe


def heartbeat(path: Path, max_age_s: float) -> Probe:
    """The process's own loop touches the file; an age is the only thing a frozen one cannot fake."""

    async def probe() -> None:
        try:
            age_s = time.time() - path.stat().st_mtime  # noqa: ASYNC240  microseconds
        except FileNotFoundError as error:
            raise NotAlive("no sign of life yet") from error
        if age_s > max_age_s:
            raise NotAlive(f"last sign of life {age_s:.0f} s ago")

    return probe


async def within_deadline(probe: Probe) -> None:
    """Raises NotAlive for every way in which a probe can fail."""
    try:
        await asyncio.wait_for(probe(), DEADLINE_S)
    except TimeoutError as error:
        raise NotAlive(f"no answer within {DEADLINE_S:.0f} s") from error
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError) as error:
        raise NotAlive(str(error) or type(error).__name__) from error
