"""The camera node's log: the format of its lines, the file they are kept in, and its last lines.

What `stills` has to tell the node's clients goes to the logger `camera_node`. Every process prints
its log to the supervisor, which alone writes files (nvr_project/output.py), so no two of them can
rotate one at once. Standard library only: the supervisor imports this, and it has no Django.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

LOGGER = "camera_node"
FILE_NAME = "camera_node.log"
# 2026-11-20 13:05:07,123 - camera_node - INFO - message; for the lines of the whole product.
LINE = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
MAX_LINES = 10_000
MAX_BYTES = 4 * 1024 * 1024  # of memory, however long the lines are
_BLOCK = 64 * 1024
_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - (?P<logger>\S+) - [A-Z]+ - ")
# The file may be rotated between two looks: then the newer half is found under the second name.
_NEWEST_FIRST = (FILE_NAME, f"{FILE_NAME}.1", f"{FILE_NAME}.2")


class Sorter:
    """Tells which of one process's lines are the camera node's, those of a traceback included."""

    def __init__(self) -> None:
        self._is_ours = False

    def is_ours(self, line: str) -> bool:
        """A line without a head of its own belongs to the line before it."""
        if head := _HEAD.match(line):
            self._is_ours = head["logger"] == LOGGER
        return self._is_ours


def last_lines(directory: Path, count: int) -> list[str]:
    """At most `count` lines, oldest first, without their ends; [] where nothing was logged yet.

    Raises OSError where there is a log that cannot be read.
    """
    count = min(count, MAX_LINES)
    newest_first: list[str] = []
    for line in _backwards(directory):
        if len(newest_first) >= count:
            break
        newest_first.append(line)
    return newest_first[::-1]


def _backwards(directory: Path) -> Iterator[str]:
    left, seen = MAX_BYTES, set()
    for name in _NEWEST_FIRST:
        try:
            file = (directory / name).open("rb")
        except FileNotFoundError:
            continue
        with file:
            facts = os.fstat(file.fileno())
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            yield from _lines_backwards(file.fileno(), facts.st_size, left)
            left -= facts.st_size
        if left <= 0:
            return


def _lines_backwards(descriptor: int, size: int, limit: int) -> Iterator[str]:
    """Of the last `limit` bytes; a line that is cut there is left out."""
    position, least, rest = size, max(0, size - limit), b""
    is_last = True
    while position > least:
        start = max(least, position - _BLOCK)
        block = os.pread(descriptor, position - start, start)
        first, *lines = (block + rest).split(b"\n")
        position, rest = start, first
        if is_last and lines:  # what follows the file's last line end: nothing, or half a line
            is_last = False
            if not lines[-1]:
                lines.pop()
        yield from (line.decode(errors="replace") for line in reversed(lines))
    if least == 0 and (rest or not is_last):
        yield rest.decode(errors="replace")
