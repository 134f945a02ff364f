"""What the end-to-end tests share: simulated cameras at a running recorder, and its hour files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from tests.instruments import counting
from tests.stack import PROJECT_DIR, Stack, wait_until

TOKEN = "end-to-end-canary-token-5f1c9a"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Cameras:
    """One `simulatecamera` process. `place` gives its cameras MACs that no other test has."""

    def __init__(self, stack: Stack, name: str, *arguments: str, place: int) -> None:
        self._report_file = stack.data_dir.parent / f"{name}.json"
        command = [sys.executable, "manage.py", "simulatecamera", "--url", stack.url]
        command += ["--report", str(self._report_file), "--mac-prefix", prefix(place), *arguments]
        self._log_file = stack.data_dir.parent / f"{name}.log"
        with self._log_file.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=PROJECT_DIR, env=stack.env, stdout=log, stderr=subprocess.STDOUT
            )

    def finish(self, *, limit_s: float = 60, is_told: bool = False) -> dict[str, Any]:
        """The report. `is_told`: by SIGTERM now, not at the end of its `--seconds`."""
        if is_told:
            self.process.terminate()
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"cameras did not end:\n{self.log()}") from None
        assert code == 0, self.log()
        report = json.loads(self._report_file.read_text())
        assert isinstance(report, dict)
        return report

    def log(self) -> str:
        return self._log_file.read_text()[-4000:]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def prefix(place: int) -> str:
    return f"02:E2:E0:00:{place:02X}"


@contextmanager
def cameras(stack: Stack, name: str, *arguments: str, place: int) -> Iterator[Cameras]:
    running = Cameras(stack, name, *arguments, place=place)
    try:
        yield running
    finally:
        running.end()


def hour_files(stack: Stack, mac: str) -> list[Path]:
    """In the order of time: an hour's turn may fall into a test."""
    folder = stack.data_dir / "recordings" / mac.replace(":", "-")
    return sorted(folder.glob("*/*.mp4"), key=lambda path: path.stat().st_ctime_ns)


def packaged(stack: Stack, mac: str, *, last: int, limit_s: float = 60) -> counting.Report:
    """Waits until the frame with this counter is in an hour file."""
    sizes: list[int] = []

    def look() -> counting.Report | None:
        now = [path.stat().st_size for path in hour_files(stack, mac)]
        if not now or now == sizes:
            return None
        sizes[:] = now
        try:
            report = counting.examine(*hour_files(stack, mac))
        except av.error.InvalidDataError:  # just begun, by one who may have been killed over it
            sizes.clear()
            return None
        return report if report.last >= last else None

    report = wait_until(look, limit_s=limit_s, what=f"frame {last} of {mac} in an hour file")
    assert isinstance(report, counting.Report)
    return report


def device_id(stack: Stack, mac: str) -> int:
    answer = stack.get_json(f"/api/v1/devices/?search={mac}", BEARER)
    (device,) = answer["results"]
    return int(device["id"])


def recordings_of(stack: Stack, mac: str) -> list[dict[str, Any]]:
    answer = stack.get_json(f"/api/v1/recordings/?device={device_id(stack, mac)}", BEARER)
    results = answer["results"]
    assert isinstance(results, list)
    return results


def whole_boxes(path: Path) -> int:
    """Length of the file as far as it is whole top-level boxes (ISO/IEC 14496-12 §4.2)."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            length = int.from_bytes(file.read(4), "big")
            if length < 8 or at + length > size:
                break
            at += length
    return at


def now_ms() -> int:
    return time.time_ns() // 1_000_000
