"""The data directory: made, marked and locked before anything else runs.

Standard library only: the supervisor calls this before Django is loaded, and Django's settings
read the secret key made here.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.exceptions import SetupFailed

SUBDIRECTORIES = ("pki", "spool", "recordings", "clips", "run", "logs", "static", "valkey")
PRIVATE = 0o700


def prepare(data_dir: Path, socket_dir: Path) -> None:
    """Makes what is missing and changes nothing that is there.

    Raises SetupFailed with one sentence for the person at the terminal.
    """
    try:
        _make_private(data_dir)
        for name in SUBDIRECTORIES:
            _make_private(data_dir / name)
        _make_private(socket_dir)
        (data_dir / ".roost").touch()
        _make_secret_key(data_dir / "secret.key")
    except OSError as error:
        raise SetupFailed(
            f"The data directory {data_dir} cannot be used ({error.strerror or error}): "
            "make it writable or set NVR_DATA_DIR to another place."
        ) from error


def _make_private(directory: Path) -> None:
    """Video is private: only the recorder's own user may enter."""
    directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        directory.chmod(PRIVATE)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(13, f"{directory} is not writable")


def _make_secret_key(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        return
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def claim(run_dir: Path, patience_s: float) -> int:
    """Makes this process the only recorder on the data directory; the lock ends with the process.

    Returns the descriptor of a second lock for the children to inherit: when a supervisor was
    killed, its children need a moment to end, and the next one waits for them, at most
    `patience_s`, instead of starting a second writer beside them. Raises SetupFailed.
    """
    _claim_own(run_dir)
    return _wait_for_earlier_children(run_dir, patience_s, fcntl.LOCK_EX)


@contextmanager
def alone(run_dir: Path, patience_s: float) -> Iterator[None]:
    """Nothing else runs on the data directory meanwhile. Raises SetupFailed."""
    own = _claim_own(run_dir)
    try:
        shared = _wait_for_earlier_children(run_dir, patience_s, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(shared)
    finally:
        os.close(own)


def _claim_own(run_dir: Path) -> int:
    own = os.open(run_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _try_lock(own):
        os.close(own)
        raise SetupFailed(
            f"Another recorder is already running on {run_dir.parent}: stop it first, "
            "or set NVR_DATA_DIR and NVR_PORT for a second one."
        )
    return own


def share(run_dir: Path, patience_s: float) -> int:
    """For one of several processes that systemd starts: beside each other, never beside a
    supervisor, nor while a back-up is put back. Both locks outlive `exec` and end with the process.

    Returns a descriptor as `claim` does. Raises SetupFailed.
    """
    own = os.open(run_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _try_lock(own, fcntl.LOCK_SH):
        raise SetupFailed(f"`make run` or a restore is at work on {run_dir.parent}: end it first.")
    os.set_inheritable(own, True)
    shared = _wait_for_earlier_children(run_dir, patience_s, fcntl.LOCK_SH)
    os.set_inheritable(shared, True)
    return shared


def _wait_for_earlier_children(run_dir: Path, patience_s: float, kind: int) -> int:
    shared = os.open(run_dir / "children.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience_s
    while not _try_lock(shared, kind):
        if time.monotonic() > deadline:
            raise SetupFailed(
                f"Processes of an earlier run still use {run_dir.parent}: end them and try again."
            )
        time.sleep(0.1)  # flock with a deadline needs a signal handler; polling is plainer
    return shared


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
