"""The floor of the ingest benchmark: the same TLS, a WebSocket receive loop, nothing else.

`python -m bench.bare_server ours|stock|uvicorn PORT CERTIFICATE KEY`; prints `ready`.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

import django

django.setup()
logging.disable(logging.INFO)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"type":"welcome"}'})
    while (await receive())["type"] == "websocket.receive":
        pass


def ready() -> None:
    print("ready", flush=True)


def serve_ours(port: int, certificate: Path, key: Path) -> None:
    from capture.server import RecorderServer  # noqa: PLC0415  each kind loads its own reactor
    from capture.tls import DaphneTls  # noqa: PLC0415

    RecorderServer(application, "127.0.0.1", port, DaphneTls(certificate, key)).run(ready)


def serve_stock(port: int, certificate: Path, key: Path) -> None:
    """Daphne as it comes, with the flags it needs to take a camera at all."""
    from daphne.server import Server  # noqa: PLC0415

    endpoint = f"ssl:{port}:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
    Server(
        application, endpoints=[endpoint], websocket_timeout=-1, ready_callable=ready,
        websocket_max_message_size=2**21, websocket_max_frame_size=2**21, verbosity=0,
    ).run()  # fmt: skip


def serve_uvicorn(port: int, certificate: Path, key: Path) -> None:
    from capture import uvicorn_server  # noqa: PLC0415

    uvicorn_server.serve(application, "127.0.0.1", port, (certificate, key), ready)


if __name__ == "__main__":
    servers = {"ours": serve_ours, "stock": serve_stock, "uvicorn": serve_uvicorn}
    name, port_text, certificate_text, key_text = sys.argv[1:]
    servers[name](int(port_text), Path(certificate_text), Path(key_text))
