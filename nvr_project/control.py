"""The supervisor's private socket: one JSON line in, one out (docs/design/interfaces.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
REQUEST_LIMIT_BYTES = 4096
REQUEST_LIMIT_S = 5.0


class BadRequest(Exception):
    """What was asked for makes no sense; the message goes back as `{"error": …}`."""


class ControlSocket:
    """Lies in a 0700 directory: whoever can open it is the recorder's own user."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)  # of a run that was killed; we hold the lock
        self._server = await asyncio.start_unix_server(
            self._serve, self._path, limit=REQUEST_LIMIT_BYTES
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), REQUEST_LIMIT_S)
            writer.write(json.dumps(await self._result(line)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            return  # went away, sent no line or too long a one
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _result(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            return await self._answer(request if isinstance(request, dict) else {})
        except ValueError:
            return {"error": "not JSON"}
        except BadRequest as error:
            return {"error": str(error)}
