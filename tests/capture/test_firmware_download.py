"""What a camera is given by `/api/v1/firmware/download/<id>/`, and what `update` messages do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import AsyncClient

from capture import consumers, firmware_views, ledger, wire
from capture.firmware_views import LONGEST_SECONDS, Places
from devices import livestate, sources, updates, updates_steps
from devices.firmware_models import FirmwareImage, Rollout, RolloutDevice
from devices.models import Device, Enrolment
from devices.updates_steps import UpdateReport
from recordings import ranges
from tests.capture.web import Web, eventually
from tests.capture.world import World
from tests.devices import rollouts
from tests.devices.rollouts import ALL, NEW, connect, fleet
from tests.factories import make_device, make_key, make_source

stored = pytest.mark.django_db(transaction=True)


class Scene:
    """Four cameras of which two were told, each with its key."""

    def __init__(self) -> None:
        rollouts.trust()
        self.cameras = fleet(4)
        self.keys = [make_key(one) for one in self.cameras]
        self.stranger = make_key(make_device())
        self.waiting = make_key(
            make_device(enrolment=Enrolment.PENDING), enrolment=Enrolment.PENDING
        )
        connect(*self.cameras)
        self.image = rollouts.upload()
        self.file = self.image.path.read_bytes()
        self.rollout = updates.start(image_pk=self.image.pk, by="anna", stages=ALL)
        updates_steps.step_all(now=self.rollout.started_at)
        self.path = updates.DOWNLOAD_PATH.format(pk=self.image.pk)

    async def ask(self, key: str, path: str = "", method: str = "GET") -> Any:
        headers = {"X-API-Key": key} if key else {}
        client = AsyncClient(enforce_csrf_checks=True)
        return await client.generic(method, path or self.path, headers=headers)

    async def refused(self, key: str, path: str = "", method: str = "GET") -> int:
        answer = await self.ask(key, path, method)
        assert not answer.streaming
        assert rollouts.PROGRAM[:64] not in answer.content
        assert json.loads(answer.content)["detail"].endswith(".")
        return int(answer.status_code)


@pytest.fixture
def scene(
    transactional_db: None, data_dir: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    monkeypatch.setattr(livestate, "STALE_AFTER_MS", 10**9)
    monkeypatch.setattr(firmware_views, "places", Places())
    # The door looks up in a second at most, which a busy machine may need for itself.
    monkeypatch.setattr("capture.door.LOOKUP_SECONDS", 30.0)
    with rollouts.no_files():
        yield Scene()


async def body(answer: Any) -> bytes:
    return b"".join([chunk async for chunk in answer.streaming_content])


# --- who is given it ------------------------------------------------------------------------------


async def test_a_camera_that_was_told_gets_the_whole_file_with_its_own_key(scene: Scene) -> None:
    answer = await scene.ask(scene.keys[0])
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Length"] == str(len(scene.file)) == str(scene.image.size_bytes)
    assert await body(answer) == scene.file
    assert firmware_views.places._taken == {}


async def test_nobody_else_does(scene: Scene) -> None:
    assert await scene.refused("") == 401
    assert await scene.refused("no key of ours") == 401
    assert await scene.refused(scene.waiting) == 403
    assert await scene.refused(scene.stranger) == 404
    assert await scene.refused(scene.keys[3]) == 404, "it is not its turn"
    assert (
        await scene.refused(scene.keys[0], scene.path.replace("/download/", "/download/9")) == 404
    )
    nowhere = updates.DOWNLOAD_PATH.format(pk=10**30)
    assert await scene.refused(scene.keys[0], nowhere) == 404, "no row has that number"
    assert await scene.refused(scene.keys[0], method="POST") == 405


async def test_a_node_is_given_no_firmware(scene: Scene) -> None:
    def of_a_node() -> tuple[str, str]:
        node, key = sources.create_node(name="attic")
        return key, make_source(node=node).device.mac

    key, mac = await database_sync_to_async(of_a_node)()
    headers = {"X-API-Key": key, "X-Device-Id": mac}
    assert (await AsyncClient().get(scene.path, headers=headers)).status_code == 404


@pytest.mark.parametrize("state", ["paused", "stopped", "finished"])
async def test_nothing_is_begun_unless_the_roll_out_runs(scene: Scene, state: str) -> None:
    await Rollout.objects.aupdate(state=state)
    assert await scene.refused(scene.keys[0]) == 404


@pytest.mark.parametrize("state", ["updated", "failed", "rolled_back", "installed", "other_key"])
async def test_who_is_through_does_not_get_it_again(scene: Scene, state: str) -> None:
    await RolloutDevice.objects.aupdate(state=state)
    assert await scene.refused(scene.keys[0]) == 404


async def test_a_file_that_is_gone_is_a_404_and_gives_the_place_back(scene: Scene) -> None:
    scene.image.path.unlink()
    for _ in range(3):
        assert await scene.refused(scene.keys[0]) == 404
    assert firmware_views.places._taken == {}


# --- two at a time --------------------------------------------------------------------------------


async def test_a_third_at_once_is_turned_away_until_one_is_through(scene: Scene) -> None:
    await RolloutDevice.objects.aupdate(state="downloading")
    first, second = await scene.ask(scene.keys[0]), await scene.ask(scene.keys[1])
    turned_away = await scene.ask(scene.keys[2])
    assert (turned_away.status_code, turned_away["Retry-After"]) == (503, "60")
    assert await body(first) == scene.file
    third = await scene.ask(scene.keys[2])
    assert await body(third) == await body(second) == scene.file


async def test_an_answer_that_breaks_gives_the_place_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "CHUNK_BYTES", 1000)
    answer = await scene.ask(scene.keys[0])
    await anext(aiter(answer.streaming_content))
    assert list(firmware_views.places._taken) == [scene.cameras[0].pk]
    await asyncio.to_thread(answer.close)
    assert firmware_views.places._taken == {}


async def test_a_camera_that_begins_anew_ends_its_earlier_download(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "CHUNK_BYTES", 1000)
    earlier = aiter((await scene.ask(scene.keys[0])).streaming_content)
    await anext(earlier)
    again = await scene.ask(scene.keys[0])
    with pytest.raises(OSError, match="began anew"):
        await anext(earlier)
    assert await body(again) == scene.file


def test_a_place_that_is_held_too_long_is_taken_from_its_holder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("capture.firmware_views.time.monotonic", lambda: now)
    places = Places(most=1)
    slow = places.take(1)
    assert slow is not None
    assert places.take(2) is None
    now += LONGEST_SECONDS
    assert not places.holds(1, slow)
    quick = places.take(2)
    assert quick is not None
    places.give_back(1, slow)
    assert places.holds(2, quick)


# --- on both servers ------------------------------------------------------------------------------


def roll_out(web: Web, cameras: range) -> tuple[str, bytes]:
    """The rows of a roll-out that told these cameras already: the download's path, and the file."""
    file = bytes(range(256)) * 50_000  # more than a system keeps for a reader that is slow
    folder = web.data / "firmware"
    folder.mkdir(exist_ok=True)
    (folder / "host_1.3.0_0123456789abcdef.roost").write_bytes(file)
    now = "2026-11-01 12:00:00"
    web.write(
        "INSERT INTO devices_firmwareimage VALUES (7, 'host', '1.3.0', ?, '', '0123456789abcdef', '', '', ?)",
        len(file), now,
    )  # fmt: skip
    web.write(
        "INSERT INTO devices_rollout (id, image_id, board, stages, stage, state, reason,"
        " stage_began_at, started_by, started_at)"
        " VALUES (1, 7, 'host', '[{\"percent\": 100, \"soak_minutes\": 0}]', 0, 'running', '', ?, '', ?)",
        now, now,
    )  # fmt: skip
    for camera in cameras:
        web.write(
            "INSERT INTO devices_rolloutdevice (rollout_id, device_id, stage, state, detail,"
            " from_version, at) VALUES (1, ?, 0, 'announced', '', '1.2.0', ?)",
            web.world["devices"][camera], now,
        )  # fmt: skip
    return "/api/v1/firmware/download/7/", file


async def test_a_camera_that_vanishes_in_its_download_gives_its_place_back(web: Web) -> None:
    path, file = roll_out(web, range(3))

    def request(camera: int) -> bytes:
        """As the firmware asks."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{web.port}"]
        lines += [f"X-API-Key: {web.world['keys'][camera]}", "User-Agent: roost-esp32cam"]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode()

    async def begin(camera: int) -> asyncio.StreamWriter:
        """Up to the head; of the body it takes no more than its buffers do."""
        sock = socket.create_connection(("127.0.0.1", web.port), timeout=20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=web.context, server_hostname="127.0.0.1", limit=4096
        )
        writer.write(request(camera))
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        return writer

    async def third() -> tuple[int, str, bytes]:
        return await web.http(request(2), limit=20_000_000)

    writers = [await begin(0), await begin(1)]
    status, head, _ = await third()
    assert (status, "retry-after: 60" in head.lower()) == (503, True)
    writers[0].transport.abort()

    async def is_given() -> bool:
        status, head, body = await third()
        return status == 200 and f"content-length: {len(file)}" in head.lower() and body == file

    await eventually(is_given)
    writers[1].transport.abort()


# --- what is said over the WebSocket --------------------------------------------------------------


def update(state: object, version: object = NEW, detail: object = "words") -> bytes:
    said = {"type": "update", "state": state, "version": version, "detail": detail}
    return json.dumps(said).encode()


def heartbeat(**fields: object) -> bytes:
    return json.dumps({"type": "heartbeat", "uptime": 1, **fields}).encode()


ORDER = {
    "type": "device.update",
    "version": NEW,
    "size": 5000,
    "path": "/api/v1/firmware/download/7/",
}


def test_an_update_is_read_within_bounds() -> None:
    report = wire.read_report(update("failed", detail="a\0b\nc" + "x" * 500))
    assert report is not None
    assert (report.state, report.version, len(report.detail)) == ("failed", NEW, 120)
    assert report.detail.startswith("a b cx")
    junk: object
    for junk in (None, 7, [], {}, "", "x" * 100, "a b", "ü"):
        report = wire.read_report(update(junk, junk, None))
        assert report is not None
        assert (report.state, report.version, report.detail) == ("", "", "")


def test_the_announcement_is_as_agreed() -> None:
    assert json.loads(wire.update(NEW, 5000, "/api/v1/firmware/download/7/")) == {
        "type": "command", "command": "update", "version": NEW, "size": 5000,
        "path": "/api/v1/firmware/download/7/",
    }  # fmt: skip


@pytest.mark.parametrize(
    "said", [None, heartbeat(), heartbeat(firmware=NEW), heartbeat(board="ai-thinker")]
)
async def test_a_camera_that_named_no_firmware_in_this_connection_is_told_nothing(
    world: World, said: bytes | None
) -> None:
    session = world.connect()
    if said is not None:
        session.take(said)
    await consumers._obey(session, dict(ORDER))
    assert not any('"update"' in text for text in await world.said())


async def test_a_camera_that_did_is_told(world: World) -> None:
    session = world.connect()
    session.take(heartbeat(firmware="1.2.0", board="ai-thinker"))
    session.take(heartbeat())
    await consumers._obey(session, dict(ORDER))
    assert wire.update(NEW, 5000, "/api/v1/firmware/download/7/") in await world.said()


async def test_what_a_camera_says_of_its_update_is_noted_once(world: World) -> None:
    session = world.connect(pk=5)
    for state in ("downloading", "downloading", "installed", "running", "running"):
        session.take(update(state))
    said = [(one.device_pk, one.state, one.version, one.detail) for one in world.news.updates]
    states = ("downloading", "installed", "running")
    assert said == [(5, state, NEW, "words") for state in states]
    assert world.news.updates[0].at_ms == world.clock.wall // 1_000_000


async def test_junk_and_states_of_newer_firmware_mean_nothing(world: World) -> None:
    session = world.connect()
    for state, version in (("exploded", NEW), (None, NEW), ("failed", None), ("failed", "a b")):
        session.take(update(state, version))
    session.take(b'{"type":"update"}')
    assert (world.news.updates, world.news.kinds()) == ([], ["connected"])


async def test_a_camera_that_never_stops_talking_of_it_is_heard_twenty_times(world: World) -> None:
    session = world.connect()
    session.take(heartbeat(firmware="1.2.0", board="ai-thinker"))
    for number in range(30):
        session.take(update("failed", f"1.3.{number}"))
    assert len(world.news.updates) == 20
    await session.announce_update(NEW, 5000, "/x")
    session.take(update("failed"))
    assert len(world.news.updates) == 21


@stored
def test_the_ledger_writes_them_in_their_order(scene: Scene) -> None:
    pk = scene.cameras[0].pk
    states = ("downloading", "installed", "running")
    notes: list[Any] = [UpdateReport(pk, state, NEW, "", 1_800_000_000_000) for state in states]
    ledger._write([], notes, [], [])
    assert RolloutDevice.objects.get(device=pk).state == "updated"
    details = Device.objects.get(pk=pk).events.order_by("pk").values_list("detail", flat=True)
    assert list(details)[1:] == [f"Downloads {NEW}", f"Installed {NEW} and restarts", f"Runs {NEW}"]
    assert FirmwareImage.objects.count() == 1
