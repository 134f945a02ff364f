"""`python -m nvr_project.agent`: the capture agent's process, which `manage.py runcapture` becomes.

No Django apps and no database: half the memory, and a Pi Zero far from the recorder has neither.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import ssl
import sys
from pathlib import Path

from django.conf import settings

from nvr_project import heartbeat
from nvr_project.environment import read_environment
from nvr_project.output import log_to_terminal

EXIT_UNKNOWN_KEY = 1  # the supervisor starts it again, and it gets a new key
EXIT_SETUP = 2

log = logging.getLogger(__name__)


def main() -> int:
    options = _options()
    env = read_environment(os.environ)
    log_to_terminal(env.data_dir / "logs" / "errors.jsonl" if options.is_local else None)
    settings.configure(NVR_FFMPEG=env.ffmpeg, NVR_ALLOW_LOOPBACK_CAMERAS=env.allow_loopback_cameras)
    with os.fdopen(options.key_fd) as file:
        key = file.read().strip()
    try:
        # One authority where it is named, else those that this machine trusts.
        tls = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        print(f"{options.ca_file} cannot be used as a CA: {error}.", file=sys.stderr)  # noqa: T201
        return EXIT_SETUP
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return asyncio.run(_run(options, key, tls))


async def _run(options: argparse.Namespace, key: str, tls: ssl.SSLContext) -> int:
    # Not before: what they are made of may read the settings that were made above.
    from capture import drivers  # noqa: PLC0415
    from capture.agent.agent import Agent, Order, UnknownKey  # noqa: PLC0415

    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    order = Order(
        url=options.server,
        key=key,
        tls=tls,
        run_dir=options.run_dir,
        is_local=options.is_local,
        version=options.version,
    )
    agent = Agent(order, open_driver=drivers.open_driver, find_cameras=drivers.find_cameras)
    print(f"ready capture {options.server}", flush=True)  # noqa: T201  who started it waits for it
    try:
        await agent.run(stop, heartbeat.touch)
    except UnknownKey as error:
        log.error("%s", error)  # noqa: TRY400  said in words
        return EXIT_UNKNOWN_KEY
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runcapture")
    parser.add_argument("--server", required=True)
    parser.add_argument("--ca-file", default=None)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--key-fd", type=int, required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("--is-local", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed by now; a thread that still waits for a recorder that hangs must not
    # keep the process.
    os._exit(exit_code)
