"""The last warnings and errors of every process, for the system page.

Each process appends whole JSON lines to one file (O_APPEND keeps short lines whole); it is cut
when it has grown, so it costs a Pi's card little. Standard library only, like the redaction.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import TypedDict, cast

from devices.redaction import RedactingFilter

LIMIT_BYTES = 256 * 1024
MESSAGE_LENGTH = 500


class Entry(TypedDict):
    at_ms: int
    level: str
    logger: str
    message: str


class ErrorFile(logging.Handler):
    """Keeps WARNING and above; a full disk costs the entry, never the caller."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(level=logging.WARNING)
        self.path = Path(path)
        self.addFilter(RedactingFilter())

    def emit(self, record: logging.LogRecord) -> None:
        entry: Entry = {
            "at_ms": int(record.created * 1000),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MESSAGE_LENGTH],
        }
        with contextlib.suppress(OSError):
            append(self.path, entry)


def append(path: Path, entry: Entry) -> None:
    """Raises OSError."""
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, line.encode())
        is_full = os.fstat(descriptor).st_size > LIMIT_BYTES
    finally:
        os.close(descriptor)
    if is_full:  # two processes may both do it: then the older half is gone a little early
        path.replace(path.with_suffix(".old"))


def recent(path: Path, *, since_ms: int, limit: int = 50) -> list[Entry]:
    """Newest first; [] where nothing went wrong. Lines cut by a crash are passed over."""
    entries: list[Entry] = []
    for candidate in (path.with_suffix(".old"), path):
        try:
            lines = candidate.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("at_ms", 0) >= since_ms:
                    entries.append(cast("Entry", entry))  # our own lines
    # Several fall into one millisecond: of those too the one written last is the newest.
    newest_first = reversed(entries)
    return sorted(newest_first, key=lambda entry: entry["at_ms"], reverse=True)[:limit]
