"""The product's own mDNS announcement, on loopback, for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from system.discovery import Announcer


@contextmanager
def announced(*ports: int) -> Iterator[None]:
    """A recorder for every port, all at 127.0.0.1; AssertionError when loopback has no multicast."""
    ready, over = threading.Event(), asyncio.Event()
    is_heard: list[bool] = []
    loop = asyncio.new_event_loop()

    async def announce() -> None:
        announcers = [Announcer(port, f"roost-test-{secrets.token_hex(4)}.local") for port in ports]
        try:
            for announcer in announcers:
                await announcer.follow(["127.0.0.1"])
            is_heard.extend(announcer.is_announcing for announcer in announcers)
            ready.set()
            await over.wait()
        finally:
            for announcer in announcers:
                await announcer.close()

    def work() -> None:
        try:
            loop.run_until_complete(announce())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(20)
        assert is_heard and all(is_heard), "loopback takes no multicast"
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
