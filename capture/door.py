"""Who may come in by /ws: the key of a camera, looked up fast, also while the database is down.

The firmware waits one second for the status line and never asks again, so a known camera is
let in from memory when the database does not answer in time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, close_old_connections

from capture.exceptions import Refused
from capture.media.packets import DEVICE_HEADER
from devices import services as devices
from devices import sources
from devices.services import Identity

logger = logging.getLogger(__name__)

LOOKUP_SECONDS = 0.7
MAX_REMEMBERED = 1000
MAX_KEY_CHARACTERS = 64
MAX_MAC_CHARACTERS = 17
Lookup = Callable[[str], Identity | None]
NodeLookup = Callable[[str, str], Identity | None]


class Door:
    """One per process. Keys are held only as their SHA-256."""

    def __init__(self, lookup: Lookup | None = None, node_lookup: NodeLookup | None = None) -> None:
        self._lookup = lookup or devices.identify
        self._node_lookup = node_lookup or sources.identify_for_node
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        # Of its own: a database that hangs must not take the views' threads with it.
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="door")

    async def admit(self, headers: Iterable[tuple[bytes, bytes]]) -> Identity:
        """Raises Refused with 401 (no or unknown key), 403 (waits for approval) or 503."""
        key, mac = _key_and_mac_of(headers)
        if not key:
            raise Refused(401, "Unauthorized")
        digest = hashlib.sha256(f"{key} {mac}".encode()).digest()
        try:
            identity = await self.look_up(key, mac)
        except (DatabaseError, InterfaceError, OSError, TimeoutError) as error:
            identity = self._known.get(digest)
            logger.warning("The database does not answer (%r); known cameras come in.", error)
            if identity is None:
                raise Refused(503, "Service Unavailable") from error
            return identity
        if identity is None:
            self._known.pop(digest, None)  # revoked
            raise Refused(401, "Unauthorized")
        if identity.is_pending:
            raise Waiting(identity)
        self._remember(digest, identity)
        return identity

    async def look_up(self, key: str, mac: str = "") -> Identity | None:
        """A camera's own key, else a node's, which opens the camera of that MAC."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await loop.run_in_executor(self._threads, self._look_up, key, mac)

    def _look_up(self, key: str, mac: str) -> Identity | None:
        close_old_connections()
        try:
            identity = self._lookup(key)
            return self._node_lookup(key, mac) if identity is None and mac else identity
        finally:
            close_old_connections()

    def _remember(self, digest: bytes, identity: Identity) -> None:
        self._known[digest] = identity
        self._known.move_to_end(digest)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


class Waiting(Refused):
    """The key is good, but nobody has approved it yet."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(403, "Forbidden")
        self.identity = identity


class Patience:
    """Says each thing once in a while: a camera that waits for approval comes back for days."""

    def __init__(self, every_seconds: float, max_remembered: int = 1000) -> None:
        self._every = every_seconds
        self._max = max_remembered
        self._said: dict[int, float] = {}

    def is_due(self, about: int) -> bool:
        now = time.monotonic()
        if now - self._said.get(about, -self._every) < self._every:
            return False
        if len(self._said) >= self._max:
            self._said.clear()
        self._said[about] = now
        return True


def _key_and_mac_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """X-API-Key and X-Device-Id, in any case; never from the query, which ends up in logs.

    Empty for what is missing or cannot be one.
    """
    key = mac = ""
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"x-api-key":
            key = _short_text(value, MAX_KEY_CHARACTERS)
        elif lowered == DEVICE_HEADER.encode():
            mac = _short_text(value, MAX_MAC_CHARACTERS)
    return key, mac


def _short_text(value: bytes, max_characters: int) -> str:
    stripped = value.strip()
    is_text = len(stripped) <= max_characters and stripped.isascii()
    return stripped.decode() if is_text else ""
