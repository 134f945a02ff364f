"""capture.door: fast, and open to known cameras while the database is down."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError

from capture.door import Door, Patience, Waiting
from capture.exceptions import Refused
from devices.services import Identity

KEY = "a" * 64
IDENTITY = Identity(
    device_pk=1, key_pk=2, mac="AA:BB:CC:DD:EE:01", directory="AA-BB-CC-DD-EE-01", name="Camera",
    config={}, is_pending=False,
)  # fmt: skip
PENDING = Identity(
    device_pk=1, key_pk=3, mac="AA:BB:CC:DD:EE:01", directory="AA-BB-CC-DD-EE-01", name="Camera",
    config={}, is_pending=True,
)  # fmt: skip


def headers(key: str = KEY, name: bytes = b"x-api-key") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"10.0.0.1"), (name, key.encode())]


class Database:
    """Answers, refuses, or hangs until `release`."""

    def __init__(self) -> None:
        self.rows: dict[str, Identity] = {KEY: IDENTITY}
        self.is_down = False
        self.release = threading.Event()
        self.is_hanging = False
        self.lookups = 0

    def __call__(self, key: str) -> Identity | None:
        self.lookups += 1
        if self.is_hanging:
            self.release.wait(20)
        if self.is_down:
            raise OperationalError("no such host")
        return self.rows.get(key)


@pytest.mark.parametrize("name", [b"x-api-key", b"X-API-Key", b"X-Api-Key"])
async def test_a_known_key_comes_in(name: bytes) -> None:
    assert await Door(Database()).admit(headers(name=name)) == IDENTITY


@pytest.mark.parametrize("key", ["", "b" * 64, "a" * 63, "a" * 65, "ä" * 20, "a" * 100_000])
async def test_any_other_key_gets_401(key: str) -> None:
    with pytest.raises(Refused) as caught:
        await Door(Database()).admit(headers(key))
    assert (caught.value.status, caught.value.text) == (401, "Unauthorized")


async def test_no_key_asks_no_database() -> None:
    database = Database()
    with pytest.raises(Refused):
        await Door(database).admit([(b"host", b"x"), (b"authorization", KEY.encode())])
    assert database.lookups == 0


async def test_a_key_that_waits_for_approval_gets_403_and_is_named() -> None:
    database = Database()
    database.rows[KEY] = PENDING
    with pytest.raises(Waiting) as caught:
        await Door(database).admit(headers())
    assert (caught.value.status, caught.value.identity) == (403, PENDING)


async def test_a_dead_database_keeps_only_strangers_out() -> None:
    database = Database()
    door = Door(database)
    await door.admit(headers())
    database.is_down = True
    assert await door.admit(headers()) == IDENTITY
    with pytest.raises(Refused) as caught:
        await door.admit(headers("c" * 64))
    assert caught.value.status == 503


async def test_a_hanging_database_is_not_waited_for_longer_than_the_firmware_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capture.door.LOOKUP_SECONDS", 0.05)
    database = Database()
    door = Door(database)
    await door.admit(headers())
    database.is_hanging = True
    try:
        assert await door.admit(headers()) == IDENTITY
    finally:
        database.release.set()


async def test_a_revoked_key_is_forgotten() -> None:
    database = Database()
    door = Door(database)
    await door.admit(headers())
    del database.rows[KEY]
    with pytest.raises(Refused):
        await door.admit(headers())
    database.is_down = True
    with pytest.raises(Refused) as caught:
        await door.admit(headers())
    assert caught.value.status == 503


def test_patience_says_each_thing_once() -> None:
    patience = Patience(every_seconds=1000)
    assert [patience.is_due(n) for n in (1, 2, 1, 2)] == [True, True, False, False]


# --- capture agents -------------------------------------------------------------------------------

MAC = "06:52:4F:53:00:01"
NODE_KEY = "d" * 64
PULLED = Identity(
    device_pk=5, key_pk=-1, mac=MAC, directory="06-52-4F-53-00-01", name="Pulled", config={},
    is_pending=False, is_agent=True,
)  # fmt: skip


def agent_headers(mac: str = MAC, key: str = NODE_KEY) -> list[tuple[bytes, bytes]]:
    return [*headers(key), (b"X-Device-Id", mac.encode())]


class Nodes:
    """One node with one camera; answers or refuses like the database of cameras' keys."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.asked: list[tuple[str, str]] = []

    def __call__(self, key: str, mac: str) -> Identity | None:
        self.asked.append((key, mac))
        return PULLED if (key, mac) == (NODE_KEY, MAC) else None


async def test_a_nodes_key_opens_the_camera_it_names() -> None:
    database = Database()
    door = Door(database, Nodes(database))
    assert await door.admit(agent_headers()) == PULLED
    for wrong in (headers(NODE_KEY), agent_headers("06:52:4F:53:00:02"), agent_headers("x" * 18)):
        with pytest.raises(Refused) as caught:
            await door.admit(wrong)
        assert caught.value.status == 401


async def test_a_cameras_own_key_is_never_taken_for_a_nodes() -> None:
    database = Database()
    nodes = Nodes(database)
    assert await Door(database, nodes).admit(agent_headers(key=KEY)) == IDENTITY
    assert nodes.asked == []


async def test_a_dead_database_keeps_a_known_agent_in_and_its_key_opens_nothing_more() -> None:
    database = Database()
    door = Door(database, Nodes(database))
    await door.admit(agent_headers())
    database.is_down = True
    assert await door.admit(agent_headers()) == PULLED
    for unknown in (headers(NODE_KEY), agent_headers("06:52:4F:53:00:02")):
        with pytest.raises(Refused) as caught:
            await door.admit(unknown)
        assert caught.value.status == 503
