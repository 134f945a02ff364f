"""deploy/steps.sh, one step at a time: what goes wrong on other people's machines.

The steps are real; small programs on PATH play the machine (`says`), and directories of the test
stand for /opt, /var and /etc.
"""

from __future__ import annotations

import fcntl
import http.server
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nvr_project.environment import PROJECT_DIR
from system import pki
from tests.deploy.test_install import install

ENVIRONMENT = Path(sys.prefix)
FULL = "printf 'x\\nx 9000000 0 2000000 0 /\\n'"  # 2 GB free: what retention leaves


class Steps:
    """A machine's directories, and the programs that answer for it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.names = {name: place / name.lower() for name in ("PREFIX", "DATA", "ETC", "UNITS")}
        for path in (*self.names.values(), place / "bin"):
            path.mkdir()
        self.prefix, self.data = self.names["PREFIX"], self.names["DATA"]
        self.etc, self.units = self.names["ETC"], self.names["UNITS"]

    def says(self, program: str, script: str) -> None:
        path = self.place / "bin" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def settings(self, text: str) -> None:
        (self.etc / "roost.env").write_text(text)

    def run(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        names = {
            **{name: str(path) for name, path in self.names.items()},
            "ROOT": "", "YES": "yes", "ENVIRONMENT": str(ENVIRONMENT),
            "MANAGE": str(self.place / "roost-manage"),
            "PROGRAM_KB": "1800000", "DATA_KB": "3000000", **more,
        }  # fmt: skip
        return subprocess.run(
            ["/bin/sh", "-euc", f". {PROJECT_DIR}/deploy/steps.sh; {script}"],
            env={"PATH": f"{self.place}/bin:/usr/sbin:/usr/bin:/sbin:/bin", **names},
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def works(self, script: str, **more: str) -> str:
        done = self.run(script, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refuses(self, script: str, **more: str) -> str:
        done = self.run(script, **more)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


# --- room, port, settings -----------------------------------------------------------------------


def test_a_recorder_whose_disk_is_as_full_as_retention_keeps_it_can_be_upgraded(
    steps: Steps,
) -> None:
    steps.says("df", FULL)
    assert f"Too little room for {steps.data}: 2000 MB" in steps.refuses("check_space 2.0")
    (steps.data / ".roost").touch()
    steps.works("check_space 2.0")


def test_a_release_that_is_there_needs_no_room(steps: Steps) -> None:
    steps.says("df", "printf 'x\\nx 9000000 0 1000 0 /\\n'")
    (steps.data / ".roost").touch()
    assert "Too little room" in steps.refuses("check_space 2.0")
    (steps.prefix / "releases/2.0").mkdir(parents=True)
    (steps.prefix / "releases/2.0/.complete").touch()
    steps.works("check_space 2.0")


def test_the_data_s_room_is_looked_for_where_the_settings_put_it(steps: Steps) -> None:
    steps.settings("NVR_DATA_DIR=/proc/elsewhere\n")
    steps.says("df", 'case $2 in /proc) n=1 ;; *) n=9000000 ;; esac; printf "x\\nx 1 0 $n 0 /\\n"')
    assert "Too little room for /proc/elsewhere" in steps.refuses("check_space 2.0")


def test_a_port_of_another_program_is_refused_before_anything_is_started(steps: Steps) -> None:
    steps.says("systemctl", "echo 0")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        steps.settings(f"NVR_BIND=127.0.0.1\nNVR_PORT={port}\n")
        assert f"Port {port} is taken by another program" in steps.refuses("check_port")
        steps.says("systemctl", "echo 4711")
        steps.works("check_port")  # it is the recorder itself
    steps.says("systemctl", "echo 0")
    steps.works("check_port")
    steps.settings("NVR_PORT=none\n")
    steps.works("check_port")  # the recorder says that better


def test_settings_are_read_as_systemd_reads_them(steps: Steps) -> None:
    steps.settings("NVR_PORT=1\n NVR_PORT=8443 \t\r\nNVR_BIND='::1' \n#NVR_DATA_DIR=/x\n")
    said = steps.works("setting NVR_PORT 0; echo; setting NVR_BIND x; echo; setting NVR_DATA_DIR d")
    assert said.split() == ["8443", "::1", "d"]


# --- a release ----------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for name in ("app", "static", "templates", "requirements", "deploy", "docs"):
        (source / name).mkdir(parents=True)
    for name in ("app/__init__.py", "manage.py", "package.json", "package-lock.json",
                 "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"):  # fmt: skip
        (source / name).touch(mode=0o600)
        (source / name).chmod(0o600)
    (source / "app").chmod(0o700)
    return source


def test_a_release_can_be_read_by_the_service_whatever_the_umask_was(
    steps: Steps, source: Path
) -> None:
    steps.works("make_release 1", SOURCE=str(source))
    release = steps.prefix / "releases/1"
    assert stat.S_IMODE((release / "app").stat().st_mode) == 0o755
    assert stat.S_IMODE((release / "app/__init__.py").stat().st_mode) == 0o644


def test_a_release_whose_python_is_gone_is_made_again(steps: Steps, source: Path) -> None:
    """As after an upgrade of Debian itself."""
    steps.works("make_release 1", SOURCE=str(source))
    assert steps.works("make_release 1", SOURCE=str(source)) == ""
    environment = steps.prefix / "releases/1/.venv"
    environment.unlink()
    environment.mkdir()
    assert "putting the program" in steps.works("make_release 1", SOURCE=str(source))
    assert environment.is_symlink()


# --- units --------------------------------------------------------------------------------------


def test_units_that_cannot_be_written_leave_the_old_ones(steps: Steps) -> None:
    (steps.prefix / "current").symlink_to(PROJECT_DIR)
    steps.says("systemctl", "echo systemd 252")
    steps.settings("NVR_DATA_DIR=/mnt/disk\n")
    steps.works("install_units")
    drop_ins = steps.units / "roost-.service.d"
    assert "ReadWritePaths=/mnt/disk" in (drop_ins / "30-data.conf").read_text()
    before = sorted(steps.units.rglob("*"))

    steps.says("cp", "echo No space left on device >&2; exit 1")
    assert "No space left" in steps.refuses("install_units")
    left = [path for path in sorted(steps.units.rglob("*")) if ".roost.part" not in path.parts]
    assert left == before

    (steps.place / "bin/cp").unlink()
    (steps.units / "roost-gone.service").touch()
    steps.settings("")
    steps.works("install_units")
    assert sorted(steps.units.rglob("*")) == [
        path for path in before if path.name != "30-data.conf"
    ], "nothing of an earlier version, and no unfinished ones"


# --- the end of it ------------------------------------------------------------------------------


def test_deleting_that_was_cut_off_can_be_done_again(steps: Steps) -> None:
    for name in (".roost", "spool"):
        (steps.data / name).touch()
    steps.says("find", "exit 1")
    assert "run this again" in steps.refuses(f"delete_data {steps.data}")
    assert (steps.data / ".roost").exists(), "without it nothing of it would be deleted"
    (steps.place / "bin/find").unlink()
    assert steps.works(f"delete_data {steps.data}/") == ""
    assert not steps.data.exists()
    steps.works(f"delete_data {steps.data}")


def test_a_disk_of_its_own_is_emptied_and_stays(steps: Steps) -> None:
    (steps.data / ".roost").touch()
    link = steps.place / "link"
    link.symlink_to(steps.data)
    assert "is empty and stays" in steps.works(f"delete_data {link}")
    assert list(steps.data.iterdir()) == []


def test_only_one_installer_works_at_a_time(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = install("--yes", "--root", str(tmp_path), "--environment", str(ENVIRONMENT))
    finally:
        os.close(descriptor)
    assert done.returncode == 1
    assert "Another deploy/install.sh is at work" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_that_is_gone_ends_nothing(steps: Steps) -> None:
    assert steps.works("say one >&-; warn two 2>&-; echo went on") == "went on\n"


# --- does it answer? ----------------------------------------------------------------------------


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Not into the test's output."""


@contextmanager
def serving(directory: Path) -> Iterator[int]:
    """The port of a server with a certificate that is good for another name."""
    names = pki.Names(addresses=["192.0.2.1"], host_names=["nvr.example.org"])
    pki.ensure(directory, names=names, now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_an_operator_s_own_certificate_is_no_reason_to_go_back(steps: Steps) -> None:
    with serving(steps.place) as port:
        steps.settings(f"NVR_PORT={port}\n")
        steps.works("answers")
    assert steps.run("answers").returncode != 0
