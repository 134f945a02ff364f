"""The search for cameras as people see it: one at a time, in a thread, its result in run/.

In a file, because the page may ask another process than the one that searches.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings

from capture import onvif
from capture.onvif import Camera
from devices import addresses
from devices.models import Source

logger = logging.getLogger(__name__)

IDLE, SEARCHING, DONE = "idle", "searching", "done"
# A search whose process died is not waited for.
_OVER_AFTER_SECONDS = onvif.SEARCH_SECONDS + 4
_KEPT_SECONDS = 600
_one_at_a_time = threading.Lock()


def begin() -> None:
    """Does nothing while one is under way."""
    with _one_at_a_time:
        if read()["state"] == SEARCHING:
            return
        _write(SEARCHING, [])
    threading.Thread(target=_search, name="onvif-search", daemon=True).start()


def read() -> dict[str, Any]:
    """`state` and `cameras`, as the API gives them but for `is_added`. Never raises."""
    nothing: dict[str, Any] = {"state": IDLE, "cameras": []}
    try:
        document = json.loads(_path().read_bytes())
        age = time.time() - document["at"]
        if not 0 <= age < _KEPT_SECONDS:
            return nothing
        is_lost = document["state"] == SEARCHING and age > _OVER_AFTER_SECONDS
        state = DONE if is_lost else document["state"]
        return {"state": state, "cameras": list(document["cameras"])}
    except (OSError, ValueError, TypeError, KeyError):
        return nothing


def with_added(document: dict[str, Any]) -> dict[str, Any]:
    """Says of each camera whether a source takes something from its host already."""
    taken = set()
    for url in Source.objects.values_list("url", flat=True):
        taken.add(addresses.parse(url, allow_loopback=True).host)
    cameras = [
        {**camera, "is_added": addresses.parse(camera["url"], allow_loopback=True).host in taken}
        for camera in document["cameras"]
    ]
    return {**document, "cameras": cameras}


def _search() -> None:
    try:
        cameras = asyncio.run(onvif.search(lambda found: _write(SEARCHING, found)))
    except Exception:
        logger.exception("The search for cameras broke off")
        cameras = []
    _write(DONE, cameras)


def _write(state: str, cameras: list[Camera]) -> None:
    document = {"at": time.time(), "state": state, "cameras": [asdict(each) for each in cameras]}
    part = _path().with_suffix(".part")
    try:
        part.write_text(json.dumps(document))
        part.rename(_path())
    except OSError as error:
        logger.warning("What the search for cameras found cannot be noted: %s", error)


def _path() -> Path:
    return Path(settings.RUN_DIR) / "onvif.json"
