"""deploy/systemd/: systemd itself reads the units; what they start is what the supervisor starts."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devices import sdnotify
from nvr_project import foreman, unit
from nvr_project.environment import PROJECT_DIR

SYSTEMD = PROJECT_DIR / "deploy" / "systemd"
SERVICES = sorted(path.stem.removeprefix("roost-") for path in SYSTEMD.glob("roost-*.service"))
FED = [name for name in SERVICES if name not in ("prepare", "valkey")]
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def service(name: str) -> configparser.SectionProxy:
    return read(SYSTEMD / f"roost-{name}.service")["Service"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As installed, but with a program that is there: systemd looks whether it is."""
    copied = Path(shutil.copytree(SYSTEMD, tmp_path / "units"))
    for path in copied.glob("*.service"):
        text = path.read_text().replace("/opt/roost/current/.venv/bin/python", "/bin/true")
        path.write_text(text)
    shutil.copy(copied / "backoff.conf", copied / "roost-.service.d" / "20-backoff.conf")
    return copied


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        check=False,
        cwd=units,
        capture_output=True,
        text=True,
        # The colon keeps the system's own units, which ours refer to.
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )


def complaints(units: Path) -> list[str]:
    names = ["roost.target", *(path.name for path in sorted(units.glob("*.service")))]
    done = analyze(units, "verify", "--man=no", *names)
    lines = [line for line in done.stderr.splitlines() if "roost" in line or str(units) in line]
    # Of Debian 13's systemd; what 12's does not know it passes over, and install.sh leaves it out.
    return [line for line in lines if "RestartSteps" not in line and "RestartMaxDelay" not in line]


@needs_systemd
def test_systemd_has_nothing_to_say_against_them(units: Path) -> None:
    assert complaints(units) == []


@needs_systemd
def test_systemd_would_say_so(units: Path) -> None:
    """The positive control: an unknown name, and a program that is not there."""
    common = units / "roost-.service.d" / "10-common.conf"
    common.write_text(common.read_text() + "ProtectEverything=yes\n")
    web = units / "roost-web.service"
    web.write_text(web.read_text().replace("/bin/true", "/nowhere/python"))
    said = "\n".join(complaints(units))
    assert "ProtectEverything" in said
    assert "/nowhere/python" in said


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_little_is_exposed(name: str, units: Path) -> None:
    done = analyze(
        units, "security", "--offline=yes", "--threshold=20", "--no-pager", f"roost-{name}.service"
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_there_is_a_unit_for_every_process_and_the_target_wants_them_all() -> None:
    assert set(SERVICES) == {"prepare", *unit.ROLES}
    wanted = [
        line.removeprefix("Wants=").split()
        for line in (SYSTEMD / "roost.target").read_text().splitlines()
        if line.startswith("Wants=")
    ]
    assert sorted(name for names in wanted for name in names) == [
        f"roost-{name}.service" for name in SERVICES
    ]
    assert {*foreman.NAMES, "control", "prepare"} == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_it_starts_the_process_it_is_named_after(name: str) -> None:
    start = "/opt/roost/current/.venv/bin/python -m nvr_project.unit"
    assert service(name)["ExecStart"] == f"{start} {name}"


@pytest.mark.parametrize("name", FED)
def test_a_loop_that_stands_still_is_noticed_and_a_slow_turn_is_not(name: str) -> None:
    assert service(name)["Type"] == "notify"
    assert service(name)["Restart"] == "always"
    assert 30 <= int(service(name)["WatchdogSec"]) <= 60
    assert int(service(name)["WatchdogSec"]) >= sdnotify.WATCHDOG_EVERY_S * 6


def test_nothing_may_be_written_but_the_data() -> None:
    common = read(SYSTEMD / "roost-.service.d" / "10-common.conf")["Service"]
    assert common["ProtectSystem"] == "strict"
    assert common["ReadWritePaths"] == "/var/lib/roost"
    assert common["NoNewPrivileges"] == "yes"
    assert common["CapabilityBoundingSet"] == ""
    assert common["User"] == "roost"


def test_an_encoder_that_takes_too_much_does_not_take_its_worker_along() -> None:
    assert {name: service(name).get("OOMPolicy") for name in ("worker", "capture")} == {
        "worker": "continue",
        "capture": "continue",
    }
    assert all("MemoryMax" in service(name) for name in SERVICES if name != "prepare")
