"""deploy/install.sh below --root, and what it refuses.

The program, its settings, back-ups and the database are real. Users, packages and services are not
touched below --root; where a refusal needs another machine, small programs on PATH play that
machine (`Machine`). All of it for real, in a Debian of its own: test_debian.py.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nvr_project.environment import PROJECT_DIR
from tests.deploy.debian import copy_of_the_program

ENVIRONMENT = Path(sys.prefix)
pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "python").exists(), reason="the tests run in no virtual environment"
)


def install(
    *arguments: str, source: Path = PROJECT_DIR, path: str = "", answer: str | None = None
) -> subprocess.CompletedProcess[str]:
    env = {name: text for name, text in os.environ.items() if not name.startswith("NVR_")}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    if path:
        env["PATH"] = path
    return subprocess.run(
        ["/bin/sh", str(source / "deploy" / "install.sh"), *arguments],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        input=answer or "",
    )


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- below --root -------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    copy_of_the_program(tmp_path / "source")
    return tmp_path / "source"


@pytest.mark.timeout(1200)  # half a minute, on a machine that is not busy
def test_a_whole_life_below_another_root(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    where = ("--root", str(root), "--environment", str(ENVIRONMENT), "--yes")
    data, program = root / "var/lib/roost", root / "opt/roost"

    said = worked(install(*where, source=source))
    assert "Password, shown only this once" in said
    first = (program / "current").readlink()
    assert not first.is_absolute(), "it has to hold when the root is started"
    assert (program / "current/nvr_project/unit.py").exists()
    assert not list(program.glob("releases/*/tests"))
    env_file = root / "etc/roost/roost.env"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o640
    assert "NVR_DATA_DIR=/var/lib/roost\n" in env_file.read_text()
    units = root / "etc/systemd/system"
    assert (units / "roost.target").exists()
    assert (units / "roost-.service.d/10-common.conf").exists()
    assert os.access(root / "usr/local/sbin/roost-manage", os.X_OK)
    key = (data / "secret.key").read_bytes()

    # Again: nothing is made anew, what a person wrote stays.
    env_file.write_text(env_file.read_text() + "NVR_PORT=8443\n")
    own = units / "roost-.service.d/50-mine.conf"
    own.write_text("[Service]\nNice=5\n")
    said = worked(install(*where, source=source))
    assert "putting the program" not in said
    assert "Password" not in said
    assert "8443/tcp" in said
    assert own.exists()
    assert (program / "current").readlink() == first

    # Another version; then one whose start fails, which has to leave the second one in place.
    (source / "system/apps.py").write_text((source / "system/apps.py").read_text() + "\n# 2\n")
    (source / "deploy/systemd/roost-control.service").unlink()
    worked(install("upgrade", *where, source=source))
    second = (program / "current").readlink()
    assert second != first
    assert not (units / "roost-control.service").exists(), "a unit that is no longer"
    assert list(data.glob("backups/before-*.tar"))

    # It ends half-way, as on a full disk.
    settings = source / "nvr_project/settings.py"
    settings.write_text(settings.read_text() + "\nraise RuntimeError('The new one is broken.')\n")
    (data / "backups").rename(data / "away")
    (data / "backups").touch()
    stopped = install("upgrade", *where, source=source)
    assert stopped.returncode == 1
    assert "what is in place is started again" in stopped.stderr
    assert (program / "current").readlink() == second
    (data / "backups").unlink()
    (data / "away").rename(data / "backups")

    failed = install("upgrade", *where, source=source)
    assert failed.returncode == 1
    assert "started again" not in failed.stderr
    assert "The new one is broken." in failed.stderr
    assert "runs again with its database as it was" in failed.stderr
    assert (program / "current").readlink() == second
    assert (data / "secret.key").read_bytes() == key

    file = tmp_path / "kept.tar"
    env_file.write_text(
        "NVR_DATA_DIR=/etc\nPYTHONPATH=/tmp/evil\n  LD_PRELOAD=/x\n# mine\nNVR_PORT=8443\nTZ=UTC\n"
    )
    worked(install("backup", str(file), *where))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert {"settings/roost.env", "data/secret.key", "database.sqlite3"} <= {*tar.getnames()}
    again = install("backup", str(file), *where)
    assert again.returncode == 1
    assert "exists already" in again.stderr

    with sqlite3.connect(data / "roost.sqlite3") as database:
        database.execute("insert into auth_group (name) values ('after')")
    (data / "secret.key").write_text("lost")
    env_file.write_text("NVR_PORT=1\nNVR_DATA_DIR=/var/lib/roost\n")
    worked(install("restore", str(file), *where))
    assert (data / "secret.key").read_bytes() == key
    # Of the settings only Roost's own names, and never where another machine had its data.
    assert env_file.read_text() == "# mine\nNVR_PORT=8443\nTZ=UTC\nNVR_DATA_DIR=/var/lib/roost\n"
    assert "NVR_PORT=1\n" in (root / "etc/roost/roost.env.before-restore").read_text()
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o640
    with sqlite3.connect(data / "roost.sqlite3") as database:
        assert ("after",) not in database.execute("select name from auth_group").fetchall()

    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[:-20_000])
    refused = install("restore", str(cut), *where)
    assert refused.returncode == 1
    assert "was not put back" in refused.stderr
    assert (data / "secret.key").read_bytes() == key

    worked(install("uninstall", *where))
    assert not program.exists()
    assert [path.name for path in units.rglob("*") if path.is_file()] == ["50-mine.conf"]
    assert (data / "secret.key").exists()
    assert env_file.exists()
    worked(install("uninstall", "--purge-data", *where))
    assert not data.exists()
    assert not env_file.exists()


def test_data_without_the_marker_is_not_deleted(tmp_path: Path) -> None:
    photos = tmp_path / "var/lib/roost"
    photos.mkdir(parents=True)
    (photos / "wedding.jpg").touch()
    done = install("uninstall", "--purge-data", "--yes", "--root", str(tmp_path))
    assert done.returncode == 1
    assert "no marker" in done.stderr
    assert (photos / "wedding.jpg").exists()


def test_a_directory_of_other_things_is_not_taken_over(tmp_path: Path) -> None:
    photos = tmp_path / "var/lib/roost"
    photos.mkdir(parents=True)
    (photos / "wedding.jpg").touch()
    where = ("--root", str(tmp_path), "--environment", str(ENVIRONMENT), "--yes")
    done = install(*where)
    assert done.returncode == 1
    assert "holds other things" in done.stderr
    assert [path.name for path in photos.iterdir()] == ["wedding.jpg"]


def test_nobody_is_taken_to_agree_who_is_not_there(tmp_path: Path) -> None:
    done = install("--root", str(tmp_path), answer="y\n")
    assert done.returncode == 1
    assert "say --yes" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["upgrade", "rollback", "backup x.tar", "restore x.tar"])
def test_what_needs_an_installation_says_that_there_is_none(command: str, tmp_path: Path) -> None:
    done = install(*command.split(), "--yes", "--root", str(tmp_path))
    assert done.returncode == 1
    assert "not installed here" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    ["--what", "dance", "backup", "restore", "install x", "backup a b", "--root /nowhere", "--root",
     "--environment /"],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_does_nothing(arguments: str) -> None:
    done = install(*arguments.split())
    assert done.returncode == 2
    assert done.stderr.startswith("roost: ")


def test_help_names_every_command() -> None:
    said = worked(install("--help"))
    for word in (
        "install",
        "upgrade",
        "rollback",
        "backup",
        "restore",
        "uninstall",
        "--purge-data",
    ):
        assert word in said


# --- what it refuses ----------------------------------------------------------------------------


class Machine:
    """Simulated: programs at the process boundary that answer as the machine in question would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.says("id", "echo 0")
        self.says("getconf", "echo 64")
        self.says("uname", "echo aarch64")
        self.says("apt-get", "echo apt-get was called >&2; exit 9")
        self.says("systemctl", "echo running")
        self.says("df", "printf 'x\\nx 9000000 0 9000000 0 /\\n'")

    def says(self, program: str, script: str) -> None:
        path = self.directory / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def refuses(self) -> str:
        done = install("--yes", path=f"{self.directory}:/usr/bin:/bin")
        assert done.returncode == 1
        assert "apt-get was called" not in done.stderr, "nothing is done on an unsuitable machine"
        assert done.stdout == ""
        return done.stderr


@pytest.mark.parametrize(
    ("program", "script", "words"),
    [
        ("id", "echo 1000", "needs root"),
        ("getconf", "echo 32", "32-bit"),
        ("uname", "echo riscv64", "processor (riscv64)"),
        ("systemctl", "echo offline; exit 1", "systemd does not run"),
        ("systemctl", "exit 127", "systemd does not run"),
        ("getent", "echo roost:x:1000:1000::/home/roost:/bin/bash", '"roost" of this system'),
        ("python3", '[ "$1" = -V ] && echo Python 3.9.2; exit 1', "too old (Python 3.9.2)"),
        (
            "df",
            "printf 'x\\nx 9000000 0 1000000 0 /\\n'",
            "Too little room for /opt/roost: 1000 MB",
        ),
        (
            "df",
            "case $2 in /opt*) n=9000000 ;; *) n=2000000 ;; esac; printf 'x\\nx 1 0 %s 0 /\\n' $n",
            "Too little room for /",
        ),
    ],
)
def test_an_unsuitable_machine_is_refused_in_words(
    program: str, script: str, words: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "bin")
    machine.says(program, script)
    assert words in machine.refuses()


def test_a_suitable_one_is_not_refused(tmp_path: Path) -> None:
    """The positive control of the refusals above: it gets as far as asking, and nobody answers."""
    machine = Machine(tmp_path / "bin")
    done = install(path=f"{machine.directory}:/usr/bin:/bin")
    assert "say --yes" in done.stderr


# --- the scripts themselves ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["install.sh", "steps.sh"])
def test_it_is_plain_sh(name: str) -> None:
    subprocess.run(["/bin/sh", "-n", str(PROJECT_DIR / "deploy" / name)], check=True)
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-x", f"deploy/{name}"],
        cwd=PROJECT_DIR,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
