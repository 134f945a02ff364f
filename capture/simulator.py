"""A fleet of simulated cameras in one asyncio process: real protocol, no database.

`manage.py simulatecamera` is its door; the tests and the benchmark use that command too.
"""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from capture.media import counting, stripes
from capture.simulator_camera import Behaviour, Endpoint, SimulatedCamera
from capture.simulator_picture import SIZES, Studio
from capture.simulator_state import MAX_NUMBER, SimulatorState

MAC_PREFIX = "02:52:4F:53:54"  # locally administered; the recorder shows these as simulated
MAX_FPS = 60


class SimulatorError(Exception):
    """The simulator cannot start; the message is one sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to run; `seconds` 0 is until stopped."""

    url: str
    ca: Path
    state_file: Path
    count: int
    behaviour: Behaviour
    seconds: float = 0
    mac_prefix: str = MAC_PREFIX


def parse_size(text: str) -> tuple[int, int]:
    """A sensor size by name, or WIDTHxHEIGHT in whole JPEG blocks. Raises SimulatorError."""
    if size := SIZES.get(text.upper()):
        return size
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text.lower())
    if not found:
        raise SimulatorError(f"The size {text!r} is neither WxH nor one of {', '.join(SIZES)}.")
    width, height = int(found[1]), int(found[2])
    if width < 160 or height < 96 or width % stripes.MCU_WIDTH or height % stripes.MCU_HEIGHT:
        raise SimulatorError(
            f"The size {text} must be at least 160x96, its width a multiple of 16 and its height of 8."
        )
    return width, height


def check_prefix(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){4}", text):
        raise SimulatorError(f"The MAC prefix {text!r} must be five pairs such as {MAC_PREFIX}.")
    return text.upper()


def endpoint(url: str, ca: Path) -> Endpoint:
    """Trusts this CA and no other; the certificate must carry the address that is dialled."""
    parts = urlsplit(url)
    try:
        port = parts.port or 3443
    except ValueError as error:
        raise SimulatorError(f"The port in {url!r} is not a number below 65536.") from error
    if parts.scheme != "https" or not parts.hostname:
        raise SimulatorError(f"The recorder's address {url!r} must look like https://host:3443.")
    try:
        tls = ssl.create_default_context(cafile=str(ca))
    except FileNotFoundError as error:
        raise SimulatorError(
            f"The recorder's CA is not at {ca}: start the recorder once, or name its copy with --ca."
        ) from error
    except (OSError, ssl.SSLError) as error:
        raise SimulatorError(f"{ca} cannot be used as a CA: {error}.") from error
    # mbedTLS 2.28 on the cameras speaks nothing newer; a recorder must keep 1.2 open for them.
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return Endpoint(parts.hostname, port, tls)


async def run(order: Order, *, on_start: Callable[[list[int]], None]) -> dict[str, Any]:
    """Until `seconds` are over, or SIGINT or SIGTERM; the answer is the report (see `_report`)."""
    at = endpoint(order.url, order.ca)
    try:
        state = SimulatorState(order.state_file, order.ca.read_bytes(), order.mac_prefix)
    except OSError as error:
        raise SimulatorError(f"{order.state_file} cannot be written: {error.strerror}.") from error
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    studio = Studio()
    started = time.monotonic()
    try:
        numbers = state.claim(order.count)
        if len(numbers) < order.count:
            raise SimulatorError(
                f"Only {len(numbers)} of the {MAX_NUMBER} simulated cameras are free, not {order.count}."
            )
        cameras = [
            SimulatedCamera(
                number,
                endpoint=at,
                behaviour=order.behaviour,
                state=state,
                studio=studio,
                stop=stop,
            )
            for number in numbers
        ]
        on_start(numbers)
        if order.seconds:
            asyncio.get_running_loop().call_later(order.seconds, stop.set)
        async with asyncio.TaskGroup() as group:
            for camera in cameras:
                group.create_task(camera.run())
    finally:
        studio.close()
        state.close()
    return _report(cameras, time.monotonic() - started)


def _report(cameras: list[SimulatedCamera], seconds: float) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = [camera.figures for camera in cameras]
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "max_rss_kib": usage.ru_maxrss,
        "sent": sum(each.sent for each in figures),
        "skipped": sum(each.skipped for each in figures),
        "bytes": sum(each.bytes for each in figures),
        "counter_modulo": counting.COUNTER_MODULO,
        "cameras": [each.as_dict() for each in figures],
    }
