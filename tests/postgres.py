"""A PostgreSQL server of a test's own, in a directory that is removed with it.

Under /tmp: the user that it runs as may not enter what belongs to root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.stack import free_port, wait_until

_USERS = ("postgres", "nobody")  # for root, as whom PostgreSQL refuses to run
_START_LIMIT_S = 60


def why_not() -> str:
    """Why this machine cannot run one; empty where it can."""
    if _programs() is None:
        return "PostgreSQL's server is not installed on this machine"
    if os.getuid() == 0 and _user() is None:
        return "root cannot run PostgreSQL, and there is no other user to run it"
    return ""


class Server:
    """Whoever asks is its superuser. Databases and their URLs stay the same over restarts."""

    def __init__(self, directory: Path) -> None:
        programs = _programs()
        assert programs is not None, why_not()
        self._programs = programs
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {"cwd": directory, "stdout": subprocess.DEVNULL}
        if os.getuid() == 0:
            user = _user()
            assert user is not None, why_not()
            os.chown(directory, user.pw_uid, user.pw_gid)
            self._as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        options = ("-U", "roost", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        initdb = [str(programs / "initdb"), "-D", str(directory / "db"), *options]
        subprocess.run(initdb, check=True, **self._as_user)

    def new_database(self, name: str) -> str:
        """Its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return f"postgres://roost@127.0.0.1:{self._port}/{name}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """In a transaction of its own, where that is allowed."""
        place = f"host=127.0.0.1 port={self._port} user=roost dbname={database}"
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        program = [str(self._programs / "postgres"), "-D", str(self._directory / "db")]
        places = ("-p", str(self._port), "-k", str(self._directory), "-h", "127.0.0.1")
        # Nobody pulls the plug on a test's database.
        lighter = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB")
        command = [*program, *places, *lighter]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._as_user)
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        wait_until(
            lambda: subprocess.run(ready, check=False).returncode == 0,
            limit_s=_START_LIMIT_S,
            what="PostgreSQL",
        )

    def stop(self) -> None:
        """At once: who is connected is cut off."""
        if self._process is not None:
            process, self._process = self._process, None
            family = psutil.Process(process.pid).children()
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            psutil.wait_procs(family, timeout=20)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


@contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="roost-postgres-", dir="/tmp") as name:
        server = Server(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _programs() -> Path | None:
    """Debian keeps them out of the PATH, one directory a version."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def _user() -> pwd.struct_passwd | None:
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
