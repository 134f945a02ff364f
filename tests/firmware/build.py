"""The firmware's host build, made once for a state of its sources and kept under tests/output."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware" / "esp32cam"
UNIT_TESTS = Path(__file__).parent / "cpp"
OUTPUT = ROOT / "tests" / "output" / "firmware"
BUILD_LIMIT_S = 240


@dataclass(frozen=True)
class Programs:
    """`host` is the firmware as a process, `core_tests` its unit tests; both with the sanitizers."""

    host: Path
    core_tests: Path


def missing() -> str:
    """What this machine lacks to build it, as a reason to skip; empty when nothing is."""
    for program in ("g++", "make"):
        if shutil.which(program) is None:
            return f"the firmware's host build needs {program}"
    asked = subprocess.run(
        ["g++", "-xc++", "-fsyntax-only", "-include", "openssl/ssl.h", "/dev/null"],
        capture_output=True, check=False,
    )  # fmt: skip
    return "" if asked.returncode == 0 else "the firmware's host build needs libssl-dev"


def build() -> Programs:
    """Raises AssertionError with the compiler's words."""
    folder = OUTPUT / _fingerprint()
    programs = Programs(folder / "roostcam-host-checked", folder / "core-tests")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "lock").open("w") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # the other worker of a parallel run waits, and finds it done
        if not (programs.host.exists() and programs.core_tests.exists()):
            for old in OUTPUT.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            made = make("checked", f"OUT={folder}")
            assert made.returncode == 0, made.stdout[-6000:]
    return programs


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "-j2", "-C", str(FIRMWARE / "host"), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_LIMIT_S, check=False,
    )  # fmt: skip


def build_version(programs: Programs, version: str) -> Path:
    """The same firmware as `programs.host`, called `version`."""
    made = programs.host.with_name(f"roostcam-host-{version}")
    with (OUTPUT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            done = make("version", f"OUT={programs.host.parent}", f"VERSION={version}")
            assert done.returncode == 0, done.stdout[-6000:]
    return made


def unit_tests() -> list[tuple[str, str]]:
    """(suite, name) of every test, read from the sources: the names are needed before a build."""
    declared = re.compile(r"^TEST\((\w+), (\w+)\)", re.MULTILINE)
    return [
        (suite, name)
        for source in sorted(UNIT_TESTS.glob("test_*.cpp"))
        for suite, name in declared.findall(source.read_text())
    ]


def _fingerprint() -> str:
    sources = [FIRMWARE / "host" / "Makefile"]
    for folder in (FIRMWARE / "core", FIRMWARE / "host", UNIT_TESTS):
        sources += [*folder.glob("*.cpp"), *folder.glob("*.h")]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(str(source.relative_to(ROOT)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]
