"""What the tests of the camera-capture server's API share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.test import Client
from pytest_django import Settings

import nvr_project.celery  # noqa: F401  the app of the settings, whose broker takes every task
from nvr_project.environment import read_environment
from stills import cameras, contract_views, streamed, taking, tasks
from tests.stills.asking import StandIn, until


@pytest.fixture
def trusted_clients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests call from a trusted network, the camera is simulated, and nothing happened before."""
    networks = read_environment({"NVR_TRUSTED_NETWORKS": "127.0.0.0/8"}).trusted_networks
    settings.NVR = replace(settings.NVR, trusted_networks=networks, camera="simulated")
    monkeypatch.setattr(contract_views, "_news", contract_views._News())


@pytest.fixture
def stranger(trusted_clients: None, settings: Settings) -> Client:
    """From a network that is not trusted."""
    settings.NVR = replace(settings.NVR, trusted_networks=())
    return Client()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is queued is begun at once, in threads of this process."""

    def queue_next() -> bool:
        taking.start_due()
        return True

    monkeypatch.setattr(taking, "WANTED_EVERY_S", 0.02)
    monkeypatch.setattr(tasks, "queue_next", queue_next)
    yield
    until(lambda: not taking._running)


@pytest.fixture
def camera(worker: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """This machine's camera, and a worker for it."""
    stand_in = StandIn()
    monkeypatch.setattr(cameras, "chosen", lambda: stand_in)
    monkeypatch.setattr(streamed, "device_of", lambda address: None)
    yield stand_in
    stand_in.go_on.set()
