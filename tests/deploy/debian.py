"""A fresh Debian with its own systemd, in a directory: debootstrap, then systemd-nspawn.

Not simulated: the packages, the init system and the services are the real ones. It has this
machine's network and processor, and no camera.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.stack import PROJECT_DIR, wait_until

NEEDED = ("debootstrap", "systemd-nspawn", "nsenter", "apt-get")
# How this machine reaches package indexes; read by apt, pip and npm themselves, never by us.
FROM_THE_HOST = ("/etc/apt", "/etc/ssl/certs", "/etc/pip.conf", "/usr/local/share/ca-certificates")
PASSED_ON = (
    "PIP_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


def why_not() -> str:
    """ "" where it can be made here."""
    if os.geteuid() != 0:
        return "only root can make a Debian root"
    missing = [name for name in NEEDED if not shutil.which(name)]
    return f"{', '.join(missing)} missing" if missing else ""


class Debian:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.leader = 0  # pid, seen from outside, of its systemd

    def build(self) -> None:
        """From the mirror and the release that this machine's apt uses."""
        asked = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        lines = [line.split() for line in asked.stdout.splitlines()]
        mirror, release = next((s, r) for s, r in lines if "-" not in r)
        # Their authorities come from this machine, below: package indexes may be behind a proxy.
        included = "--include=systemd,systemd-sysv,dbus,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", included, release, str(self.root), mirror],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[Debian]:
        bound = [f"--bind-ro={path}" for path in FROM_THE_HOST if Path(path).exists()]
        nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "-D", str(self.root), "--register=no", "--keep-unit", *bound, "-b"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self.leader = wait_until(
                lambda: self._find_leader(nspawn.pid), limit_s=30, what="its systemd"
            )
            wait_until(
                lambda: (
                    self.run("systemctl is-system-running").stdout.strip()
                    in ("running", "degraded")
                ),
                limit_s=90,
                what="Debian has started",
            )
            yield self
        finally:
            nspawn.terminate()
            try:
                nspawn.wait(30)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()

    @staticmethod
    def _find_leader(pid: int) -> int | None:
        for child in psutil.Process(pid).children(recursive=True):
            if child.name() == "systemd":
                return child.pid
        return None

    def run(self, command: str, *, limit_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A shell command inside, as root."""
        env = {name: text for name, text in os.environ.items() if name.startswith(PASSED_ON)}
        env.pop("PIP_FIND_LINKS", None)  # a directory of this machine
        env |= {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        }
        return subprocess.run(
            ["nsenter", "-a", "-t", str(self.leader), "sh", "-c", f"cd /root; {command}"],
            check=False, env=env, capture_output=True, text=True, timeout=limit_s,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def must(self, command: str, *, limit_s: float = 60) -> str:
        done = self.run(command, limit_s=limit_s)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def timed(self, what: str, command: str, *, limit_s: float) -> str:
        began = time.monotonic()
        said = self.must(command, limit_s=limit_s)
        print(f"{what:<34} {time.monotonic() - began:6.1f} s")
        return said


def copy_of_the_program(target: Path) -> None:
    """What a clone would hold: the tracked files and new ones, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_DIR, check=True, capture_output=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (PROJECT_DIR / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_DIR / name, target / name)
