"""A channel to a camera on the event loops that recorder and agent run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from capture.drivers.connection import Channel


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_it_asks_and_reads_the_answer(run: Callable[[Coroutine[Any, Any, bytes]], bytes]) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(8))
        writer.close()

    async def asked() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, asyncio.timeout(20):
            place = server.sockets[0].getsockname()
            _, channel = await asyncio.get_running_loop().create_connection(Channel, *place)
            channel.write(b"question")
            answer = await channel.read_exactly(8)
            channel.close()
            await channel.until_closed()
            return answer

    assert run(asked()) == b"question"
