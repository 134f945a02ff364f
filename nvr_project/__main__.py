"""`python -m nvr_project`: the whole recorder in the foreground."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import shutil
import socket
import sys
import time
from pathlib import Path

from nvr_project.environment import BadSetting, Environment, read_environment
from nvr_project.supervisor import Supervisor
from system import datadir
from system.exceptions import SetupFailed

EXIT_SETUP = 2
PATIENCE_S = 12.0  # for the children of a supervisor that was killed


def main() -> int:
    began = time.monotonic()
    try:
        env = read_environment(os.environ)
        datadir.prepare(env.data_dir, env.socket_dir)
        lock = datadir.claim(env.run_dir, PATIENCE_S)
        check_port(env)
        check_ffmpeg(env)
        # The children see the directory as it is now, whatever they call their own.
        os.environ["NVR_DATA_DIR"] = str(env.data_dir)
        return asyncio.run(Supervisor(env, lock, began).run())
    except (BadSetting, SetupFailed) as error:
        print(f"roost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_SETUP


def check_port(env: Environment) -> None:
    """Raises SetupFailed before anything is started on a port that cannot be had."""
    family = socket.AF_INET6 if ":" in env.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((env.bind, env.port))
            probe.listen(1)
        except OSError as error:
            raise SetupFailed(_why_not(env, error)) from error


def _why_not(env: Environment, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {env.port} is taken by another program: stop it or set NVR_PORT."
        case errno.EACCES:
            return f"Port {env.port} needs root: set NVR_PORT to one from 1024 up."
        case errno.EADDRNOTAVAIL:
            return f"NVR_BIND is {env.bind!r}, but this machine has no such address."
    return f"{env.bind} port {env.port} cannot be opened: {error.strerror}."


def check_ffmpeg(env: Environment) -> None:
    """Raises SetupFailed: without FFmpeg nothing can be recorded."""
    if env.ffmpeg:
        if shutil.which(env.ffmpeg) is None:
            raise SetupFailed(f"NVR_FFMPEG is {env.ffmpeg!r}, but there is no such program.")
        return
    if shutil.which("ffmpeg"):
        return
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if any(os.access(path, os.X_OK) for path in Path(place, "binaries").glob("ffmpeg-*")):
            return
    raise SetupFailed("FFmpeg was not found: install it, or set NVR_FFMPEG to the program.")


if __name__ == "__main__":
    sys.exit(main())
