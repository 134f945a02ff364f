"""Tells systemd that this process is ready and that its loop turns (sd_notify(3)).

Standard library only, and in the lowest layer: the web process's loop calls it as well as processes
that load no Django. Without `NOTIFY_SOCKET`, as under `make run`, nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import socket

WATCHDOG_EVERY_S = 5.0  # units say WatchdogSec=30: six turns


def ready() -> None:
    """From the first turn of the loop on; systemd takes each for a turn and the first for readiness."""
    _send(b"READY=1\nWATCHDOG=1")


def alive() -> None:
    """Only ever called by the loop that does the work: a stuck one must not be kept alive."""
    _send(b"WATCHDOG=1")


def _send(message: bytes) -> None:
    """Never blocks and never fails: who does not hear it restarts us, which says enough."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.setblocking(False)
        # A leading @ stands for the NUL of Linux's abstract names.
        sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        sender.send(message)
