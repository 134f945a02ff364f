"""The web process: HTTPS, the cameras' WebSocket, the live views."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.urls import resolve
from django.utils.module_loading import import_string

from capture import tls
from capture.exceptions import ServerCannotStart
from capture.media import wsframes
from devices import sdnotify

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Serve cameras and people over HTTPS and WSS (NVR_BIND, NVR_PORT, NVR_ASGI_SERVER)."
    requires_system_checks: list[str] = []  # 0.4 s of every start; make check runs them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--plain",
            action="store_true",
            help="without TLS, for a reverse proxy on this machine; listens on 127.0.0.1 only",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        is_plain = bool(options["plain"])
        address = "127.0.0.1" if is_plain else settings.NVR.bind
        if not wsframes.IS_NATIVE:
            logger.warning(
                "Unmasking frames in Python: slow. The websockets package is not native."
            )
        if settings.NVR.http_ports and not settings.NVR.trusted_networks:
            logger.warning(
                "NVR_HTTP_PORTS is set and NVR_TRUSTED_NETWORKS is not: older clients that send "
                "no token are refused."
            )
        try:
            files = None if is_plain else tls.files()
            if files is not None:
                tls.check(*files)
            self._serve(address, files)
        except ServerCannotStart as error:
            self.stderr.write(str(error))
            sys.exit(2)
        sys.stdout.flush()
        sys.stderr.flush()
        # Everything is closed by now; a thread that still waits for a dead broker must not keep
        # the process, and the port's next owner, waiting.
        os._exit(0)

    def _serve(self, address: str, files: tuple[Path, Path] | None) -> None:
        application = import_string(settings.ASGI_APPLICATION)
        load_what_requests_need()
        scheme = "http" if files is None else "https"

        def ready() -> None:
            leave_out_of_collections()
            self.stdout.write(
                f"ready {settings.NVR.asgi_server} {scheme}://{address}:{settings.NVR.port}"
            )
            self.stdout.flush()
            sdnotify.ready()

        if settings.NVR.asgi_server == "uvicorn":
            from capture import uvicorn_server  # noqa: PLC0415  only one of the two is loaded

            uvicorn_server.serve(application, address, settings.NVR.port, files, ready)
        else:
            self._serve_daphne(application, address, files, ready)

    def _serve_daphne(
        self, application: Any, address: str, files: tuple[Path, Path] | None, ready: Any
    ) -> None:
        from capture.server import RecorderServer, loop  # noqa: PLC0415  installs a reactor

        daphne_tls = tls.DaphneTls(*files) if files is not None else None

        if daphne_tls is not None:
            # Not the loop's add_signal_handler: Twisted takes the wake-up descriptor it needs.
            signal.signal(signal.SIGHUP, lambda *_: tls.reload_or_say(daphne_tls.reload))
        asyncio.set_event_loop(loop)
        RecorderServer(application, address, settings.NVR.port, daphne_tls).run(ready)


def load_what_requests_need() -> None:
    """Else the first ones import it in the event loop, where every camera's frames wait for that."""
    resolve("/health")  # all pages and the API: 0.3 s
    get_channel_layer()  # the client of Redis


def leave_out_of_collections() -> None:
    """What is loaded by now lives as long as the process. To look through it again and again takes
    60 ms and more each time, in which nothing is received and frames get their time too late."""
    gc.collect()
    gc.freeze()
