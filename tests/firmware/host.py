"""The firmware's host build as a process: one camera, from its power switch on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.firmware.build import Programs
from tests.stack import wait_until

CAMERA_NUMBER = 7  # in the counter of every picture
SLEPT, REBOOTED, TOLD = 5, 6, 0  # exit codes
SET_UP = ("--set", "wifi test password1")


@dataclass(frozen=True)
class Report:
    """What the firmware counted in its last life, and `taken` since its storage was new."""

    state: str
    sent: int
    late: int
    failed: int
    unsent: int
    unread: int
    enrolments: int
    connections: int
    taken: int


class HostCamera:
    """`folder` is its flash: a second camera on the same folder is the first one's next boot."""

    def __init__(self, programs: Programs, folder: Path, pictures: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._report_file = folder / "report.json"
        self._log_file = folder / "log.txt"
        command = [str(programs.host), "--state", str(folder), "--jpegs", str(pictures)]
        command += ["--report", str(self._report_file), *arguments]
        with self._log_file.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self) -> str:
        return self._log_file.read_text()

    def count(self, text: str) -> int:
        return self.log().count(text)

    def wait_for(self, text: str, *, times: int = 1, limit_s: float = 15) -> None:
        def is_said() -> bool:
            if self.process.poll() is not None and self.count(text) < times:
                raise AssertionError(f"it ended before {text!r}:\n{self.log()}")
            return self.count(text) >= times

        try:
            wait_until(is_said, limit_s=limit_s, what=text)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None

    def type(self, *lines: str) -> None:
        """On its serial line."""
        assert self.process.stdin
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def move(self) -> None:
        """In front of its PIR."""
        self.process.send_signal(signal.SIGUSR1)

    def finish(self, code: int = TOLD, *, limit_s: float = 20) -> Report:
        """By SIGTERM, which is a power cut that leaves a report, unless another end is expected."""
        if code == TOLD:
            self.process.terminate()
        try:
            ended = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.log()[-3000:]}") from None
        assert ended == code, f"exit {ended}:\n{self.log()[-6000:]}"
        return self.report()

    def report(self) -> Report:
        found: dict[str, Any] = json.loads(self._report_file.read_text())
        return Report(**found)

    def states(self) -> list[str]:
        """The states it went to, in their order."""
        return re.findall(r" -> ([\w-]+)$", self.log(), re.MULTILINE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()


@contextmanager
def camera(
    programs: Programs, folder: Path, pictures: Path, *arguments: str
) -> Iterator[HostCamera]:
    running = HostCamera(programs, folder, pictures, *arguments)
    try:
        yield running
    finally:
        running.end()


def times(**limits_ms: int) -> list[str]:
    """`times(stream=2000)`: the firmware's own limits, shortened."""
    return [word for name, ms in limits_ms.items() for word in ("--time", f"{name}={ms}")]
