"""The floor of the captures benchmark: the web process's own server, and an application that only answers.

`python -m bench.empty_server PORT`, with a data directory of its own in NVR_DATA_DIR; HTTP without
TLS on 127.0.0.1; prints `ready`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

import django

django.setup()

BODY = b'{"ok":false,"error":"Camera busy"}'


async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
    await receive()
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(BODY)).encode()),
    ]
    await send({"type": "http.response.start", "status": 409, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    from capture.server import RecorderServer  # noqa: PLC0415  after Django is set up

    server = RecorderServer(application, "127.0.0.1", int(sys.argv[1]), None)
    server.run(lambda: print("ready", flush=True))


if __name__ == "__main__":
    main()
