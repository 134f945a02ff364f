"""What systemd hears from a process: on a socket of our own in its place."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture import lifecycle
from devices import sdnotify
from nvr_project import heartbeat


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def test_it_says_that_it_is_ready_and_that_it_lives(systemd: socket.socket) -> None:
    sdnotify.ready()
    sdnotify.alive()
    assert systemd.recv(100) == b"READY=1\nWATCHDOG=1"
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_an_abstract_name_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"roost-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        sdnotify.alive()
        assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative", "vsock:2:1234"])
def test_without_a_listener_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    sdnotify.ready()


def test_a_full_socket_does_not_stop_the_loop(systemd: socket.socket) -> None:
    for _ in range(2000):  # Linux queues a few hundred datagrams at most
        sdnotify.alive()
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_a_heartbeat_feeds_systemd_as_well_as_the_supervisor(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOST_HEARTBEAT", str(tmp_path / "alive"))
    heartbeat.touch()
    assert systemd.recv(100) == b"READY=1\nWATCHDOG=1"
    assert (tmp_path / "alive").exists()


async def test_the_web_processs_loop_feeds_the_watchdog(systemd: socket.socket) -> None:
    feeding = asyncio.create_task(lifecycle._feed_watchdog())
    await asyncio.sleep(0)
    feeding.cancel()
    assert systemd.recv(100) == b"WATCHDOG=1"
