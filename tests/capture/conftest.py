"""The web process on each of the two servers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from capture import broadcast, packet_session, session, sessions
from tests.capture.firmware import Camera
from tests.capture.web import Web, populate
from tests.capture.world import Clock, World
from tests.instruments.certificates import Pki, make_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a migrated and populated database, to be copied."""
    data = tmp_path_factory.mktemp("populated")
    populate(data)
    return data


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def web(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    populated: Path,
    pki: Pki,
) -> Iterator[Web]:
    """A running web process, shared by a module's tests: each takes cameras of its own."""
    data = tmp_path_factory.mktemp(request.param) / "data"
    shutil.copytree(populated, data)
    running = Web(data, pki, request.param)
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
async def cleanup() -> AsyncIterator[list[Camera]]:
    """Cameras put in here are gone after the test."""
    cameras: list[Camera] = []
    yield cameras
    for camera in cameras:
        await camera.vanish()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Sessions whose time only passes when the test says so."""
    clock = Clock()
    for module in (session, sessions, packet_session, broadcast):
        monkeypatch.setattr(module, "time", clock)
    return World(clock)
