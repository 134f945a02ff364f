"""`python -m nvr_project.discovery`: keeps mDNS and the certificate in step with the network."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time

from nvr_project import heartbeat
from nvr_project.environment import PROJECT_DIR, Environment, read_environment
from nvr_project.output import log_to_terminal
from system import addresses, supervision
from system.discovery import Announcer
from system.exceptions import SupervisorUnavailable

LOOK_EVERY_S = 10.0
CERTIFICATE_EVERY_S = 12 * 3600.0  # besides every change of address; it renews 30 days early

log = logging.getLogger(__name__)


class Discovery:
    def __init__(self, env: Environment) -> None:
        self._env = env
        self._announcer = Announcer(env.port, addresses.announced_name())
        self._seen: object = self._state(addresses.lan_addresses())  # prepare has just run
        self._checked = time.monotonic()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stop.set)
        looked = -LOOK_EVERY_S
        while not self._stop.is_set():
            if time.monotonic() - looked >= LOOK_EVERY_S:
                looked = time.monotonic()
                await self._look()
            heartbeat.touch()
            try:
                await asyncio.wait_for(self._stop.wait(), heartbeat.EVERY_S)
            except TimeoutError:
                continue
        await self._announcer.close()

    async def _look(self) -> None:
        found = addresses.lan_addresses()
        state = self._state(found)
        is_due = time.monotonic() - self._checked > CERTIFICATE_EVERY_S
        if (found and state != self._seen) or is_due:
            self._seen, self._checked = state, time.monotonic()
            await self._renew_certificate()
        await self._announcer.follow(self._reachable(found))

    def _reachable(self, found: list[str]) -> list[str]:
        """What the web process listens on: announcing anything else would lead cameras astray."""
        if self._env.bind == "0.0.0.0":  # noqa: S104
            return found
        return [self._env.bind] if self._env.bind in found else []

    def _state(self, found: list[str]) -> object:
        """What the certificate depends on: addresses, and the operator's files when there are any."""
        files = [path for path in (self._env.tls_cert, self._env.tls_key) if path]
        times = [os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for path in files]  # noqa: PTH110, PTH116
        return (found, times)

    async def _renew_certificate(self) -> None:
        """In a process of its own: the cryptography is needed once in months."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROJECT_DIR / "manage.py"),
            "prepare",
            "--certificate",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, complaint = await process.communicate()
        if process.returncode:
            log.error("The certificate was not renewed: %s", complaint.decode().strip())
        elif told.strip() == b"changed":
            log.info("The certificate was renewed")
            try:
                await asyncio.to_thread(supervision.ask, self._env.control_socket, {"do": "reload"})
            except SupervisorUnavailable as error:
                log.warning("The web process still shows the old certificate: %s", error)


def main() -> None:
    env = read_environment(os.environ)
    log_to_terminal(env.data_dir / "logs" / "errors.jsonl")
    asyncio.run(Discovery(env).run())


if __name__ == "__main__":
    main()
