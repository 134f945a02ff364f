"""Whose turn it is to use this machine's camera: memory for this process, a lock file for all.

The file is that of the older camera-capture server, so other programs that honour it stay out of
the way too: made exclusively, JSON `{pid, createdAt, expiresAt, note}` in epoch milliseconds. Ours
has a token besides, which says which lease it is, and the start time of the process, because
numbers of processes are given out again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from django.conf import settings

from capture.agent.locks import is_same_process, started
from stills.exceptions import CameraBusyError

LEAST_SECONDS = 5.0
UNREADABLE_SECONDS = 600.0  # a file that says nothing is somebody's for so long
_MAX_BYTES = 4096
_LAST_MS = 32_503_680_000_000  # the year 3000
_mutex = threading.Lock()
_held = ""  # the token of this process's own lease

logger = logging.getLogger(__name__)


def lock_path() -> Path:
    return Path(settings.NVR.camera_lock or settings.RUN_DIR / "camera.lock")


def acquire(note: str, seconds: float) -> str:
    """A token for `release`; good for `seconds`, at least 5. At once: raises CameraBusyError, also
    where the file cannot be written.
    """
    global _held  # noqa: PLW0603  of the process, as the camera is of the machine
    with _mutex:
        if _held and is_valid(_held):
            raise CameraBusyError
        token = secrets.token_hex(16)
        try:
            with _alone():
                _create(token, note, max(LEAST_SECONDS, seconds))
        except OSError as error:
            logger.error("The lock file %s cannot be used: %s", lock_path(), error)  # noqa: TRY400
            text = f"The camera's lock file {lock_path()} cannot be used: {error.strerror}."
            raise CameraBusyError(text) from error
        _held = token
        return token


def release(token: str) -> None:
    """Of a lease that ran out, or was never ours, nothing is touched."""
    global _held  # noqa: PLW0603
    with _mutex:
        try:
            with _alone():
                if is_valid(token):
                    lock_path().unlink(missing_ok=True)
        except OSError as error:
            logger.warning("The lock file %s stays until it expires: %s", lock_path(), error)
        if _held == token:
            _held = ""


def is_held() -> bool:
    """By anybody, here or in another program."""
    return not _is_stale(lock_path(), _read(lock_path()))


def is_valid(token: str) -> bool:
    """Whether this lease still stands: a worker asks before it takes the camera in its name."""
    path = lock_path()
    found = _read(path)
    return bool(token) and found.get("token") == token and not _is_stale(path, found)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Of all processes of this recorder: for microseconds. Clearing a stale file takes two steps,
    and somebody who found it stale as well could otherwise clear the one that was made between.
    """
    settings.RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(settings.RUN_DIR / "camera.lock.turn", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(token: str, note: str, seconds: float) -> None:
    """Raises CameraBusyError, OSError."""
    path = lock_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    now_ms = time.time_ns() // 1_000_000
    facts = {
        "pid": os.getpid(),
        "createdAt": now_ms,
        "expiresAt": now_ms + round(1000 * seconds),
        "note": note[:300],
        "token": token,
        "started": started(os.getpid()),
    }
    # Written beside it and linked: nobody ever reads half a file, and link(2) is exclusive.
    own = path.with_name(f"{path.name}.{token}")
    try:
        with own.open("x") as file:
            file.write(json.dumps(facts))
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                os.link(own, path)
                return
            if not _clear_if_stale(path):
                break
        raise CameraBusyError
    finally:
        own.unlink(missing_ok=True)


def _clear_if_stale(path: Path) -> bool:
    """Another program may clear it, too: it is renamed first, which only one can do, and looked at."""
    found = _read(path)
    if not _is_stale(path, found):
        return False
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    is_same = _read(aside) == found
    if not is_same:  # somebody else cleared it and took it meanwhile: give it back
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)
    return is_same


def _read(path: Path) -> dict[str, Any]:
    """{} where there is none, or nothing that can be read. A link is not followed and nothing that
    lies there can keep us waiting: the directory may be everybody's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123  of a descriptor
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_stale(path: Path, found: dict[str, Any]) -> bool:
    """True also where there is no file."""
    expires_ms = found.get("expiresAt")
    now_s = time.time()
    if not _is_time(expires_ms):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            return True
        return not stat.S_ISDIR(facts.st_mode) and facts.st_mtime + UNREADABLE_SECONDS < now_s
    if expires_ms < 1000 * now_s:
        return True
    start = found.get("started")
    return isinstance(start, str) and not is_same_process(str(found.get("pid")), start)


def _is_time(value: Any) -> TypeGuard[float]:
    """Python's JSON knows NaN and Infinity, which would never expire."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= _LAST_MS
