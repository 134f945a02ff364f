"""Of the fake picamera2: the output that writes a stream to a file somebody else has opened."""

from __future__ import annotations

import io
from typing import Any


class FileOutput:
    def __init__(self, file: Any = None) -> None:
        if not isinstance(file, io.BufferedIOBase):
            raise RuntimeError("Must pass io.BufferedIOBase")  # noqa: TRY004  as it does
        self._file = file
        self._is_recording = False

    def start(self) -> None:
        self._is_recording = True

    def stop(self) -> None:
        self._is_recording = False

    def outputframe(self, frame: bytes) -> None:
        if self._is_recording:
            self._file.write(frame)
            self._file.flush()
