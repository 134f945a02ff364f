"""A fake of picamera2 0.3, recorded from its documentation and source: the calls that the helper
makes, with their names and order checked. Pictures are real, made by FFmpeg.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Any

DIRECTORY = Path(os.environ["FAKE_PICAMERA2"])
BEHAVIOUR: dict[str, Any] = json.loads((DIRECTORY / "behaviour.json").read_text())
SENSOR = (4608, 2592)

if BEHAVIOUR.get("missing"):
    raise ModuleNotFoundError("No module named 'picamera2'", name="picamera2")
time.sleep(BEHAVIOUR.get("imports_after_s", 0))


def note(*what: Any) -> None:
    with (DIRECTORY / "asked.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\n")


class Picamera2:
    sensor_resolution = SENSOR

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [
            {"Model": model, "Id": where, "Num": number, "Location": 2, "Rotation": 180}
            for number, (model, where) in enumerate(BEHAVIOUR["cameras"])
        ]

    def __init__(self, camera_num: int = 0) -> None:
        try:
            if text := BEHAVIOUR.get("raises"):
                raise RuntimeError(text)
        except RuntimeError:
            logging.getLogger("picamera2").error("Camera __init__ sequence did not complete.")  # noqa: TRY400  as it does
            raise RuntimeError("Camera __init__ sequence did not complete.")  # noqa: B904  as it does
        self._is_started = False
        self._configuration: dict[str, Any] = {}
        self._encoder: Any = None
        note("open", camera_num)

    def create_still_configuration(
        self, main: Any = None, raw: Any = None, **others: Any
    ) -> dict[str, Any]:
        assert not others
        return {"use_case": "still", "main": {"size": SENSOR, **(main or {})}, "raw": raw}

    def create_video_configuration(
        self, main: Any = None, controls: Any = None, **others: Any
    ) -> dict[str, Any]:
        assert not others
        return {
            "use_case": "video",
            "main": {"size": (1280, 720), **(main or {})},
            "controls": controls,
        }

    def configure(self, camera_config: dict[str, Any]) -> None:
        width, height = camera_config["main"]["size"]
        if width % 2 or height % 2:
            raise RuntimeError("width and height should be even")
        self._configuration = camera_config
        note("configure", camera_config)

    def start(self) -> None:
        assert self._configuration
        self._is_started = True

    def stop(self) -> None:
        self._is_started = False

    def close(self) -> None:
        note("close")

    def capture_file(self, file_output: str, name: str = "main", format: str | None = None) -> None:  # noqa: A002
        self._wait()
        width, height = self._configuration["main"]["size"]
        Path(file_output).write_bytes(picture(width, height))
        note("capture_file", format)

    def capture_request(self) -> Request:
        self._wait()
        assert self._configuration["raw"] is not None
        return Request()

    def start_recording(self, encoder: Any, output: Any) -> None:
        self._encoder = encoder
        self._is_started = True
        encoder.begin(self._configuration, output)

    def stop_recording(self) -> None:
        self._encoder.end()
        self._is_started = False

    def _wait(self) -> None:
        assert self._is_started
        while BEHAVIOUR.get("hangs"):
            time.sleep(1)


class Request:
    def save_dng(self, file_output: str) -> None:
        Path(file_output).write_bytes((DIRECTORY / "sample.dng").read_bytes())

    def release(self) -> None:
        note("release")


def picture(width: int, height: int) -> bytes:
    done = subprocess.run(
        [BEHAVIOUR["ffmpeg"], "-v", "quiet", "-nostdin", "-f", "lavfi", "-i",
         f"testsrc2=size={width}x{height}", "-frames:v", "1", "-f", "mjpeg", "pipe:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return done.stdout
