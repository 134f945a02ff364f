"""Where the processes' lines go: the terminal and `logs/roost.log`, redacted on the way; those of the
camera node's log also to `logs/camera_node.log`, as its clients know them.

A thread writes them, because a terminal stopped with Ctrl-S, or a disk that stalls, must stop
neither the supervisor's watch nor the children, whose pipes it drains.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from collections import defaultdict
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

from devices.redaction import RedactingFilter, redact
from stills import nodelog
from system import errorlog

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 5
NODE_BACKUPS = 5  # besides the file that is written, as the camera node's clients know it
LINE_LENGTH = 4000
WAITING_LINES = 2000
NAME = "supervisor"
_FORMATTER = logging.Formatter(nodelog.LINE)


def log_to_terminal(error_file: Path | None) -> None:
    """Logging of a process without Django; warnings also where the system page finds them."""
    to_terminal = logging.StreamHandler()
    to_terminal.addFilter(RedactingFilter())
    logging.basicConfig(
        level=logging.INFO,
        format=nodelog.LINE,
        handlers=[to_terminal, *([errorlog.ErrorFile(error_file)] if error_file else [])],
    )


class _QuietRotatingFile(RotatingFileHandler):
    def handleError(self, record: LogRecord) -> None:  # noqa: N802  logging's name
        """Instead of a traceback for every line while the disk is full."""
        del record


class _Line(NamedTuple):
    name: str  # of the process
    text: str


class Output:
    """`line`, `say` and `complain` are for the supervisor's thread; they never wait for a disk.

    Without a `log_file` what is printed is all: systemd's journal keeps it.
    """

    def __init__(self, log_file: Path | None, error_file: Path) -> None:
        self._file = _rotating(log_file, LOG_FILES - 1) if log_file else None
        self._node_file = (
            _rotating(log_file.with_name(nodelog.FILE_NAME), NODE_BACKUPS) if log_file else None
        )
        self._sorters: defaultdict[str, nodelog.Sorter] = defaultdict(nodelog.Sorter)
        self._error_file = error_file
        self._lines: queue.Queue[_Line | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        """Never blocks; lines that find no room are counted, and the count is written later."""
        try:
            self._lines.put_nowait(_Line(name, redact(text.rstrip()[:LINE_LENGTH])))
        except queue.Full:
            self._dropped += 1

    def say(self, text: str, level: int = logging.INFO) -> None:
        """The supervisor's own words."""
        self.line(NAME, _FORMATTER.format(LogRecord(NAME, level, "", 0, text, None, None)))

    def complain(self, text: str) -> None:
        """Said, and shown among the errors of the system page."""
        self.say(text, logging.ERROR)
        entry: errorlog.Entry = {
            "at_ms": int(time.time() * 1000),
            "level": "ERROR",
            "logger": NAME,
            "message": redact(text),
        }
        with contextlib.suppress(OSError):
            errorlog.append(self._error_file, entry)

    def close(self) -> None:
        """Waits at most a second: a stopped terminal must not keep the recorder from ending."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(timeout=1)
        for file in filter(None, (self._file, self._node_file)):
            with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
                file.close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            if self._dropped and self._lines.empty():
                dropped, self._dropped = self._dropped, 0
                self._write(_Line(NAME, f"{dropped} lines were dropped: too many at once"))

    def _write(self, line: _Line) -> None:
        named = f"{line.name:<10} | {line.text}"
        with contextlib.suppress(OSError, ValueError):  # the reader of a pipe has gone away
            sys.stdout.write(named + "\n")
            sys.stdout.flush()
        if self._file is None or self._node_file is None:
            return
        # A full disk costs the log line (_QuietRotatingFile), never the recording.
        self._file.emit(LogRecord(NAME, 0, "", 0, named, None, None))
        if self._sorters[line.name].is_ours(line.text):
            self._node_file.emit(LogRecord(NAME, 0, "", 0, line.text, None, None))


def _rotating(path: Path, backups: int) -> _QuietRotatingFile:
    return _QuietRotatingFile(
        path, maxBytes=LOG_BYTES, backupCount=backups, encoding="utf-8", delay=True
    )
