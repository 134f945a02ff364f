"""The supervisor and the whole recorder, as real processes."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import PROJECT_DIR, Stack, wait_until

pytestmark = pytest.mark.stack
PROCESSES = {"valkey", "web", "worker", "beat", "discovery", "capture"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), is_first_start=True) as running:
        yield running


# --- running ------------------------------------------------------------------------------------


def test_it_answers_over_tls_that_its_own_authority_vouches_for(stack: Stack) -> None:
    document = stack.get_json("/health")
    assert document["status"] == "healthy"
    assert document["version"] == "1.0.0"
    assert stack.get("/ca.pem") == stack.ca_path.read_bytes()


def test_it_runs_what_it_says_it_runs(stack: Stack) -> None:
    assert set(stack.pids()) >= PROCESSES
    for name, entry in stack.processes().items():
        assert psutil.Process(entry["pid"]).is_running(), name


def test_what_lies_on_disk_is_private(stack: Stack) -> None:
    assert stack.data_dir.stat().st_mode & 0o777 == 0o700
    for path in ("secret.key", "pki/server.key", "pki/authority.key"):
        assert (stack.data_dir / path).stat().st_mode & 0o777 == 0o600, path
    assert (stack.data_dir / ".roost").is_file()


def test_no_password_is_in_an_argument_an_environment_of_the_children_or_a_log(
    stack: Stack,
) -> None:
    for process in stack.family()[1:]:
        assert stack.password not in " ".join(process.cmdline())
        assert stack.password not in process.environ().values()
    for log in (stack.data_dir / "logs").iterdir():
        assert stack.password not in log.read_text()


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_process_that_is_killed_comes_back(stack: Stack, name: str) -> None:
    old = stack.kill(name)
    new = stack.wait_for_new(name, old)
    assert new != old
    entry = stack.processes()[name]
    assert entry["restarts"] >= 1
    assert "SIGKILL" in entry["last_error"]
    wait_until(lambda: _is_healthy(stack), limit_s=20, what="GET /health")


def _is_healthy(stack: Stack) -> bool:
    try:
        return bool(stack.get_json("/health")["status"] == "healthy")
    except (OSError, urllib.error.URLError):
        return False


def test_a_process_that_hangs_is_replaced(stack: Stack) -> None:
    old = stack.kill("web", signal.SIGSTOP)
    stack.wait_for_new("web", old, limit_s=75)
    assert "does not answer" in stack.output


def test_simulated_cameras_start_stop_and_are_remembered(stack: Stack) -> None:
    assert stack.ask(do="simulate", count=1) == {"count": 1}
    wait_until(lambda: "cameras" in stack.pids(), limit_s=10, what="the cameras' process")
    assert (stack.data_dir / "simulated-cameras").read_text() == "1\n"
    assert stack.ask(do="simulated") == {"count": 1, "running": 1}
    stack.ask(do="simulate", count=0)
    assert "cameras" not in stack.pids()
    assert "error" in stack.ask(do="simulate", count=17)
    assert "error" in stack.ask(do="simulate", count="two")


def test_the_control_socket_refuses_what_it_does_not_know(stack: Stack) -> None:
    assert "error" in stack.ask(do="format the disk")
    assert "error" in stack.ask(do="restart", name="nobody")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(stack.data_dir / "run" / "supervisor.sock"))
        raw.sendall(b"not json\n")
        assert b"error" in raw.recv(1000)
    assert set(stack.pids()) >= PROCESSES, "and lives"


def test_a_restart_on_request_needs_no_back_off(stack: Stack) -> None:
    old = stack.pids()["discovery"]
    stack.ask(do="restart", name="discovery")
    assert stack.wait_for_new("discovery", old, limit_s=15) != old


def test_a_second_recorder_on_the_same_data_says_so(stack: Stack) -> None:
    code, said = one_sentence(stack.env)
    assert (code, said.count("\n")) == (2, 1)
    assert "Another recorder is already running" in said
    assert _is_healthy(stack)


# --- starting and stopping ----------------------------------------------------------------------


def one_sentence(env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nvr_project"],
        cwd=PROJECT_DIR,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_it_stops_within_ten_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path, is_first_start=True).start()
    family = stack.family()
    assert len(family) >= 6
    began = time.monotonic()
    assert stack.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert stack.alive(family) == []
    assert stack.leftovers() == []
    run = {path.name for path in (stack.data_dir / "run").iterdir()}
    assert not {name for name in run if name.endswith((".sock", ".part"))}
    assert not list((stack.data_dir / "spool").rglob("*.part"))

    second = Stack(tmp_path, env={"NVR_PORT": str(stack.port)}).start()
    try:
        print(f"second start: ready after {second.ready_after_s:.1f} s")
        assert "Password" not in second.output, "the administrator was made at the first start"
        # 5 s are promised on an idle machine; where others compete for two cores it is at least
        # far from the first one, which makes the database and the static files.
        assert second.ready_after_s < max(10, stack.ready_after_s / 1.5)
    finally:
        assert second.stop(signal.SIGTERM) == 0


def test_a_signal_that_make_passes_on_besides_is_still_one_wish_to_stop(tmp_path: Path) -> None:
    with Stack(tmp_path) as running:
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in running.output, limit_s=5, what="it stops")
        assert running.stop(signal.SIGTERM) == 0
        assert "everything is killed" not in running.output


def test_killing_the_supervisor_ends_the_others_and_the_next_start_works(tmp_path: Path) -> None:
    stack = Stack(tmp_path).start()
    assert stack.process is not None
    children = stack.family()[1:]
    stack.process.kill()
    stack.process.wait()
    stack.launch()
    wait_until(stack._is_ready_or_over, limit_s=60, what="ready again")
    try:
        assert "Roost is ready" in stack.output, stack.output
        assert stack.alive(children) == []
    finally:
        stack.stop()


def test_a_random_password_is_shown_once_and_kept_nowhere(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    del stack.env["NVR_ADMIN_PASSWORD"]
    with stack:
        line = next(line for line in stack.output.splitlines() if "Password" in line)
        password = line.split()[-1]
        assert len(password) >= 20
        for log in (stack.data_dir / "logs").iterdir():
            assert password not in log.read_text()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"NVR_PORT": "seventy"}, "NVR_PORT is 'seventy'"),
        ({"NVR_RETENTION_DAYS": "0"}, "NVR_RETENTION_DAYS is '0'"),
        ({"NVR_FFMPEG": "/no/such/ffmpeg"}, "NVR_FFMPEG is '/no/such/ffmpeg'"),
        ({"NVR_BIND": "192.0.2.77"}, "no such address"),
        ({"NVR_TLS_CERT": "/no/such.pem", "NVR_TLS_KEY": "/no/such.key"}, "NVR_TLS_CERT"),
        ({"DATABASE_URL": "postgres://roost:canary@127.0.0.1:1/roost"}, "database"),
    ],
    ids=["setting", "retention", "ffmpeg", "bind", "certificate", "database"],
)
def test_what_it_cannot_work_with_is_one_sentence(
    tmp_path: Path, env: dict[str, str], words: str
) -> None:
    code, said = one_sentence(Stack(tmp_path, env=env).env)
    assert code == 2
    assert said.startswith("roost: ")
    assert words in said
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    assert "canary" not in said


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        stack = Stack(tmp_path, env={"NVR_PORT": str(other.getsockname()[1])})
        code, said = one_sentence(stack.env)
    assert code == 2
    assert "is taken by another program" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("place", ["/sys/roost", "a file"])
def test_an_unwritable_data_directory_is_one_sentence(tmp_path: Path, place: str) -> None:
    """/sys refuses root, too."""
    (tmp_path / "a file").write_text("in the way")
    code, said = one_sentence(Stack(tmp_path / place).env)
    assert code == 2
    assert "data directory" in said
    assert "NVR_DATA_DIR" in said
    assert said.count("\n") == 1


def test_a_damaged_task_file_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    stack = Stack(tmp_path).start()
    stack.stop()
    append_only = stack.data_dir / "valkey" / "appendonlydir"
    for path in append_only.glob("*.rdb"):
        path.write_bytes(b"REDIS9999 this is not one")
    with stack:
        assert set(stack.pids()) >= PROCESSES
        kept = list(stack.data_dir.glob("valkey.unreadable-*"))
        assert len(kept) == 1, "for whoever wants to look"


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    """A Unix socket's path ends after 107 bytes."""
    stack = Stack(tmp_path / ("a" * 90))
    stack.data_dir.parent.mkdir()
    with stack:
        assert set(stack.pids()) >= PROCESSES
        errors = stack.data_dir / "logs" / "errors.jsonl"
        told = (
            [json.loads(line) for line in errors.read_text().splitlines()]
            if errors.exists()
            else []
        )
        assert [entry for entry in told if entry["level"] == "ERROR"] == []


def test_an_operators_renewed_certificate_is_presented_without_a_restart(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    stack = Stack(
        tmp_path, env={"NVR_TLS_CERT": str(made / "cert.pem"), "NVR_TLS_KEY": str(made / "key.pem")}
    )
    self_signed(made)
    with stack:
        assert presented(stack) == (made / "cert.pem").read_text()
        assert stack.ca_path.read_text() == (made / "cert.pem").read_text()
        web = stack.pids()["web"]
        self_signed(made)
        wait_until(
            lambda: presented(stack) == (made / "cert.pem").read_text(),
            limit_s=40,
            what="the new certificate",
        )
        assert stack.pids()["web"] == web, "cameras and viewers stay connected"


def self_signed(directory: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=DNS:127.0.0.1,IP:127.0.0.1"),
            *("-keyout", directory / "key.pem", "-out", directory / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )


def presented(stack: Stack) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", stack.port), timeout=5)
    return pem if pem.endswith("\n") else pem + "\n"
