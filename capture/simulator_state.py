"""Keys and boot counts of simulated cameras, so that a restart is the same camera again.

One small JSON file of mode 0600 for all recorders and processes. A recorder is known by its CA
(an address may change), a camera by its MAC. Which numbers are in use is held by locks that end
with the process, so two simulators on one machine never pretend to be the same camera.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

MAX_NUMBER = 255  # the last pair of the MAC


@dataclass(slots=True)
class Memory:
    """What a real camera keeps in RTC memory through deep sleep."""

    key: str = ""
    boot_count: int = 0


class SimulatorState:
    """Blocking, but a file of a few KB that changes when cameras boot. Event loop only."""

    def __init__(self, path: Path, ca_pem: bytes, mac_prefix: str) -> None:
        """Raises OSError where the file cannot be made."""
        self._path = path
        self._recorder = hashlib.sha256(ca_pem).hexdigest()[:16]
        self._prefix = mac_prefix
        path.parent.mkdir(parents=True, exist_ok=True)
        # POSIX locks end when any descriptor of the file is closed: this one is kept open.
        self._lock = os.open(
            path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )

    def claim(self, count: int) -> list[int]:
        """The lowest free camera numbers, from 1; fewer than asked for when they run out."""
        numbers: list[int] = []
        for number in range(1, MAX_NUMBER + 1):
            if len(numbers) == count:
                break
            try:
                fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:  # another process is this camera
                continue
            numbers.append(number)
        return numbers

    def mac(self, number: int) -> str:
        return f"{self._prefix}:{number:02X}"

    def recall(self, mac: str) -> Memory:
        known = self._read().get(self._recorder, {}).get(mac, {})
        return Memory(str(known.get("key", "")), int(known.get("boot_count", 0)))

    def keep(self, mac: str, memory: Memory) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, 0)  # read, change, write: one process at a time
        try:
            everything = self._read()
            everything.setdefault(self._recorder, {})[mac] = asdict(memory)
            part = self._path.with_suffix(".part")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(everything, file, indent=1)
            part.replace(self._path)
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 0)

    def _read(self) -> dict[str, dict[str, dict[str, str | int]]]:
        try:
            found = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}  # a damaged file costs new keys, not the cameras
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        os.close(self._lock)
