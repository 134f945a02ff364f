"""The whole recorder as real processes, for tests that need it: `with Stack(tmp_path) as stack`."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any
from urllib import request

import psutil

from nvr_project import broker
from nvr_project.environment import Environment, read_environment
from system import supervision
from system.exceptions import SupervisorUnavailable

PROJECT_DIR = Path(__file__).resolve().parent.parent
_LIBC = ctypes.CDLL(None)
START_LIMIT_S = 150.0  # some six seconds on a quiet machine
STOP_LIMIT_S = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any], *, limit_s: float, what: str) -> Any:
    """The first true value of `condition()`; an AssertionError that names what did not happen."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s:.0f} s: {what}")


@contextmanager
def running_broker(data_dir: Path) -> Iterator[Environment]:
    """Its private Valkey alone, without the rest of the recorder."""
    env = read_environment({"NVR_DATA_DIR": str(data_dir)})
    for path in (env.run_dir, env.socket_dir, data_dir / "valkey"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = subprocess.Popen(
        broker.argv(broker.find_program(), env), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        wait_until(env.broker_socket.exists, limit_s=10, what="Valkey")
        yield env
    finally:
        server.terminate()
        server.wait(10)


@functools.cache
def _prepared(username: str, password: str) -> TemporaryDirectory[str]:
    """A data directory after its first `prepare`, which is most of what a first start costs; made
    once a test process and removed with it."""
    place = TemporaryDirectory(prefix="roost-prepared-")
    stack = Stack(Path(place.name), is_first_start=True)
    stack.env |= {"NVR_ADMIN_USERNAME": username, "NVR_ADMIN_PASSWORD": password}
    stack.manage("prepare", timeout=2 * START_LIMIT_S)
    return place


class Stack:
    """One recorder on a free port of 127.0.0.1 with its own data directory.

    `env` adds to or overrides its environment. Whatever it prints is kept in `output`. Its first
    start finds a database without rows and static files that are there already; keys and
    certificates are its own. `is_first_start`: it finds nothing.
    """

    username = "admin"
    password = "correct horse battery staple"

    def __init__(
        self,
        tmp: Path,
        server: str = "daphne",
        env: Mapping[str, str] | None = None,
        *,
        is_first_start: bool = False,
    ) -> None:
        self.data_dir = tmp / "data"
        self.port = free_port()
        self.env = {
            **{name: text for name, text in os.environ.items() if not _is_ours(name)},
            "NVR_DATA_DIR": str(self.data_dir),
            "NVR_BIND": "127.0.0.1",
            "NVR_PORT": str(self.port),
            "NVR_ASGI_SERVER": server,
            "NVR_ADMIN_USERNAME": self.username,
            "NVR_ADMIN_PASSWORD": self.password,
            **(env or {}),
        }
        self._is_first_start = is_first_start
        self.output = ""
        self.process: subprocess.Popen[str] | None = None
        self.ready_after_s = 0.0
        self._reader: threading.Thread | None = None

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> Stack:
        """Returns when the recorder says that it is ready; AssertionError with its output if not."""
        began = time.monotonic()
        self.launch()
        try:
            wait_until(self._is_ready_or_over, limit_s=START_LIMIT_S, what="ready")
            assert self.process is not None
            assert self.process.poll() is None, "the recorder ended"
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}:\n{self.output[-6000:]}") from None
        self.ready_after_s = time.monotonic() - began
        return self

    def launch(self) -> None:
        """Starts it and does not wait."""
        self._close()
        self._furnish()
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nvr_project"],
            cwd=PROJECT_DIR,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_the_test_run,  # noqa: PLW1509  one system call, no lock
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """The exit code; kills what does not end in time, and then fails."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            for process in self.family():
                process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop:\n{self.output[-4000:]}") from None
        finally:
            self._close()
        return code

    def wait(self) -> int:
        """For a recorder that ends by itself."""
        assert self.process is not None
        code = self.process.wait(START_LIMIT_S)
        self._close()
        return code

    def __enter__(self) -> Stack:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- what tests ask -------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"wss://127.0.0.1:{self.port}"

    @property
    def ca_path(self) -> Path:
        return self.data_dir / "pki" / "ca.pem"

    def tls(self) -> ssl.SSLContext:
        """Trusts this recorder's authority and nothing else."""
        return ssl.create_default_context(cafile=self.ca_path)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer 200; urllib's HTTPError for any other."""
        asked = request.Request(self.url + path, headers=dict(headers or {}))
        with request.urlopen(asked, context=self.tls(), timeout=20) as answer:
            body: bytes = answer.read()
            return body

    def get_json(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        return json.loads(self.get(path, headers))

    def post_json(
        self, path: str, document: object, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The document of an answer 2xx (None for an empty one); HTTPError for any other."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        asked = request.Request(self.url + path, json.dumps(document).encode(), sent)
        with request.urlopen(asked, context=self.tls(), timeout=20) as answer:
            body = answer.read()
            return json.loads(body) if body else None

    def manage(self, *arguments: str, timeout: float = 60) -> str:
        """Output of `manage.py …` on this recorder's data."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT_DIR,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, **asked: Any) -> dict[str, Any]:
        """A request to the supervisor, as in `ask(do="status")`."""
        return supervision.ask(self._control_socket(), asked)

    def processes(self) -> dict[str, dict[str, Any]]:
        """The supervisor's own account, by name; {} when it does not answer."""
        try:
            return {entry["name"]: entry for entry in self.ask(do="status")["processes"]}
        except SupervisorUnavailable:
            return {}

    def pids(self) -> dict[str, int]:
        """Of the processes that run now, by name: valkey, web, worker, beat, discovery, cameras."""
        return {name: entry["pid"] for name, entry in self.processes().items() if entry["pid"]}

    def kill(self, name: str, signum: int = signal.SIGKILL) -> int:
        """Sends the signal to one process and returns the pid it had."""
        pid = self.pids()[name]
        os.kill(pid, signum)
        return pid

    def wait_for_new(self, name: str, old_pid: int, limit_s: float = 30) -> int:
        """The pid of the process that took over, once it is ready."""

        def is_back() -> int | None:
            entry = self.processes().get(name, {})
            is_new = entry.get("pid") not in (None, old_pid)
            return entry["pid"] if is_new and entry["state"] == "running" else None

        pid: int = wait_until(is_back, limit_s=limit_s, what=f"{name} is back")
        return pid

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        assert self.process is not None
        try:
            supervisor = psutil.Process(self.process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @staticmethod
    def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
        """Those that still run; one that ended and waits for init to notice does not."""
        return [
            process
            for process in processes
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]

    def leftovers(self) -> list[psutil.Process]:
        """Processes of this machine that were started for this data directory."""
        found = []
        for process in psutil.process_iter():
            try:
                mark = process.environ().get("NVR_DATA_DIR", "")
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if mark == str(self.data_dir):
                found.append(process)
        return self.alive(found)

    # --- inside ---------------------------------------------------------------------------------

    def _furnish(self) -> None:
        """What a first start would make and what is the same in all of them."""
        person = [self.env.get(f"NVR_ADMIN_{name}") for name in ("USERNAME", "PASSWORD")]
        is_usual = person == [self.username, self.password] and "DATABASE_URL" not in self.env
        if self._is_first_start or not is_usual or self.data_dir.exists():
            return
        prepared = Path(_prepared(self.username, self.password).name) / "data"
        self.data_dir.mkdir(mode=0o700, parents=True)
        for name in (".roost", "roost.sqlite3"):
            shutil.copy2(prepared / name, self.data_dir / name)
        shutil.copytree(prepared / "static", self.data_dir / "static")

    def _control_socket(self) -> Path:
        from nvr_project.environment import read_environment

        return read_environment({"NVR_DATA_DIR": str(self.data_dir)}).control_socket

    def _is_ready_or_over(self) -> bool:
        assert self.process is not None
        return "Roost is ready" in self.output or self.process.poll() is not None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output += line

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=5)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


def _end_with_the_test_run() -> None:
    """A test run that is killed must leave no recorder behind; PR_SET_PDEATHSIG is 1."""
    _LIBC.prctl(1, signal.SIGTERM)


def _is_ours(name: str) -> bool:
    aliases = ("AUTH_TOKEN", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    return name.startswith(("NVR_", "FFMPEG_")) or name in aliases
