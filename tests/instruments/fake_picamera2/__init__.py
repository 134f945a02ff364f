"""Puts a fake of the package picamera2 where a system's Python finds it, and a Python that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class FakePicamera2:
    """`directory` gets a `python3` that has the fake package; it is the test's "system path"."""

    def __init__(self, directory: Path, *, ffmpeg: str, dng: bytes, python: str) -> None:
        self.directory = directory
        self._ffmpeg = ffmpeg
        (directory / "sample.dng").write_bytes(dng)
        program = directory / "python3"
        program.write_text(
            f"#!/bin/sh\nexport FAKE_PICAMERA2='{directory}' PYTHONPATH='{HERE}'\n"
            f"echo $$ >> '{directory}/pids'\nexec '{python}' \"$@\"\n"
        )
        program.chmod(0o755)
        self.behave()

    def behave(self, **wishes: Any) -> None:
        """Anew: `cameras` (Model, Id), `raises` (of the camera's opening: text of the exception
        behind picamera2's own), `hangs` (while it takes), `stops_after_s` (no more pictures),
        `imports_after_s`, `missing` (no such module).
        """
        usual = {
            "cameras": [["imx708", "/base/soc/i2c0mux/i2c@1/imx708@1a"]],
            "ffmpeg": self._ffmpeg,
        }
        (self.directory / "behaviour.json").write_text(json.dumps(usual | wishes))

    def asked(self) -> list[list[Any]]:
        """What the camera was told so far."""
        log = self.directory / "asked.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def pids(self) -> list[int]:
        """Of the helpers so far, each the leader of its group."""
        log = self.directory / "pids"
        return [int(line) for line in log.read_text().split()] if log.exists() else []
