"""deploy/install.sh on a fresh Debian, from nothing to nothing. Minutes: only when asked for.

NVR_TEST_DEBOOTSTRAP=1 .venv/bin/pytest tests/deploy/test_debian.py -s
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.deploy import debian
from tests.stack import free_port, wait_until

IS_WANTED = os.environ.get("NVR_TEST_DEBOOTSTRAP") == "1"
pytestmark = [
    pytest.mark.skipif(not IS_WANTED, reason="NVR_TEST_DEBOOTSTRAP=1 asks for it (minutes)"),
    pytest.mark.skipif(bool(debian.why_not()), reason=debian.why_not() or "-"),
    pytest.mark.timeout(3600),  # 20 min on two busy cores
]
SERVICES = ("valkey", "web", "worker", "beat", "discovery", "capture", "control")
INSTALL = "sh /root/roost/deploy/install.sh"
KB = "du -sk {} | cut -f1"


def pid(system: debian.Debian, name: str) -> int:
    return int(system.must(f"systemctl show -p MainPID --value roost-{name}.service"))


def status(system: debian.Debian) -> dict[str, dict[str, object]]:
    """What the system page gets."""
    program = (
        "import json; from system import status; print('JSON' + json.dumps(status.process_list()))"
    )
    said = system.must(f'roost-manage shell -v 0 -c "{program}"')
    return {entry["name"]: entry for entry in json.loads(said.split("JSON")[-1])}


def test_from_nothing_to_running_and_back_to_nothing() -> None:
    place = Path(tempfile.mkdtemp(prefix="roost-debian-"))
    system = debian.Debian(place / "root")
    try:
        system.build()
        with system.running():
            _install(system)
            _it_heals(system)
            _upgrade(system)
            _cut_off(system)
            _failing_upgrade(system)
            _backup_and_restore(system)
            _uninstall(system)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _install(system: debian.Debian) -> None:
    debian.copy_of_the_program(system.root / "root/roost")
    port = free_port()
    system.must(f"mkdir -p /etc/roost && echo NVR_PORT={port} > /etc/roost/roost.env")
    refused = system.run(INSTALL)
    assert refused.returncode == 1
    assert "say --yes" in refused.stderr
    assert not (system.root / "opt/roost").exists(), "nothing was changed unasked"

    said = system.timed("install", f"{INSTALL} --yes", limit_s=900)
    assert "Password, shown only this once" in said
    assert "every service runs" in said
    assert f"{port}/tcp" in said
    _is_as_it_should_be(system)


def _is_as_it_should_be(system: debian.Debian) -> None:
    for name in SERVICES:
        assert system.must(f"systemctl is-active roost-{name}.service").strip() == "active"
        assert system.must(f"stat -c %U /proc/{pid(system, name)}").strip() == "roost"
    assert "Password, shown" not in system.must("journalctl -b --no-pager -u 'roost-*'")
    assert system.must("stat -c %a:%U:%G /etc/roost/roost.env").strip() == "640:root:roost"
    assert system.must("stat -c %a /var/lib/roost").strip() == "700"
    assert system.must("find /opt/roost -xdev -writable -user roost | wc -l").strip() == "0"
    found = status(system)
    assert {name for name, entry in found.items() if entry["state"] == "running"} == {*SERVICES} - {
        "control"
    }
    system.timed("install again: nothing to do", f"{INSTALL} --yes", limit_s=300)
    for name in ("/opt/roost/current/.venv", "/opt/roost/current/", "/var/lib/roost"):
        print(f"{name:<34} {int(system.must(KB.format(name))) / 1000:6.0f} MB")
    each = "cat /proc/{}/smaps_rollup | sed -n 's/^Pss: *\\([0-9]*\\).*/\\1/p'"
    memory = {name: int(system.must(each.format(pid(system, name)))) / 1000 for name in SERVICES}
    print("memory (PSS):", *(f"{name} {megabytes:.0f}" for name, megabytes in memory.items()))
    print(f"{'all of it':<34} {sum(memory.values()):6.0f} MB")


def _it_heals(system: debian.Debian) -> None:
    """Killed, stuck, and told of a renewed certificate."""
    for name in SERVICES:
        old = pid(system, name)
        system.must(f"kill -9 {old}")
        wait_until(
            lambda name=name, old=old: (
                pid(system, name) not in (0, old)  # type: ignore[misc]
                and system.run(f"systemctl is-active -q roost-{name}").returncode == 0
            ),
            limit_s=120,
            what=f"{name} is back",
        )
    stuck = pid(system, "capture")
    system.must(f"kill -STOP {stuck}")
    wait_until(
        lambda: pid(system, "capture") not in (0, stuck), limit_s=120, what="the watchdog's bite"
    )


def _upgrade(system: debian.Debian) -> None:
    before = system.must("readlink /opt/roost/current").strip()
    system.must("printf '\\n# of the next version\\n' >> /root/roost/system/apps.py")
    said = system.timed("upgrade", f"{INSTALL} upgrade --yes", limit_s=900)
    assert "every service runs" in said
    after = system.must("readlink /opt/roost/current").strip()
    assert after != before
    said = system.timed("rollback", f"{INSTALL} rollback --yes", limit_s=300)
    assert system.must("readlink /opt/roost/current").strip() == before


def _cut_off(system: debian.Debian) -> None:
    """The same upgrade, ended while the recorder is stopped: as a lost connection does, then by force."""
    until_stopped = "while kill -0 $! && systemctl is-active -q roost-web; do sleep 0.1; done"
    for signal in ("TERM", "KILL"):  # under nohup nothing can trap HUP
        system.must(
            f"{INSTALL} upgrade --yes >/root/cut-off 2>&1 & {until_stopped}; kill -{signal} $!",
            limit_s=300,
        )
        if signal == "TERM":
            wait_until(
                lambda: system.run("systemctl is-active -q roost-web").returncode == 0,
                limit_s=180,
                what="it records again by itself",
            )
            assert "started again" in (system.root / "root/cut-off").read_text()
        # What a killed one began may still be at work.
        wait_until(
            lambda: system.run("flock -n /run/roost-install.lock true").returncode == 0,
            limit_s=180,
            what="nothing of it is left",
        )
    said = system.timed("upgrade again, cut off before", f"{INSTALL} upgrade --yes", limit_s=600)
    assert "every service runs" in said


def _failing_upgrade(system: debian.Debian) -> None:
    """To one that cannot start: the old one has to run again by itself."""
    before = system.must("readlink /opt/roost/current").strip()
    system.must("printf 'raise SystemExit(1)\\n' >> /root/roost/capture/lifecycle.py")
    failed = system.run(f"{INSTALL} upgrade --yes", limit_s=900)
    assert failed.returncode == 1
    assert "runs again with its database as it was" in failed.stderr
    assert system.must("readlink /opt/roost/current").strip() == before
    assert system.must("systemctl is-active roost-web.service").strip() == "active"


def _backup_and_restore(system: debian.Debian) -> None:
    add = "from django.contrib.auth.models import Group; Group.objects.create(name='{}')"
    names = "from django.contrib.auth.models import Group; print(*Group.objects.values_list('name', flat=True))"
    system.must(f'roost-manage shell -v 0 -c "{add.format("before")}"')
    system.timed("backup", f"{INSTALL} backup /root/kept.tar", limit_s=120)
    assert system.must("stat -c %a:%U /root/kept.tar").strip() == "600:root"
    print(
        f"{'size of the back-up':<34} {(system.root / 'root/kept.tar').stat().st_size / 1e6:6.1f} MB"
    )
    system.must(f'roost-manage shell -v 0 -c "{add.format("after")}"')
    system.must("echo lost > /var/lib/roost/secret.key")
    system.must("echo NVR_PORT=1 > /etc/roost/roost.env")
    system.timed("restore", f"{INSTALL} restore /root/kept.tar --yes", limit_s=300)
    found = system.must(f'roost-manage shell -v 0 -c "{names}"').split()
    assert "before" in found
    assert "after" not in found
    assert system.must("cat /var/lib/roost/secret.key").strip() != "lost"
    assert "NVR_PORT=1\n" not in (system.root / "etc/roost/roost.env").read_text()


def _uninstall(system: debian.Debian) -> None:
    system.timed("uninstall", f"{INSTALL} uninstall --yes", limit_s=120)
    assert not (system.root / "opt/roost").exists()
    assert (system.root / "var/lib/roost/secret.key").exists()
    assert system.run("systemctl cat roost.target").returncode != 0
    assert system.must("find /proc -maxdepth 1 -user roost | wc -l").strip() == "0"
    system.timed("uninstall --purge-data", f"{INSTALL} uninstall --purge-data --yes", limit_s=60)
    assert not (system.root / "var/lib/roost").exists()
    assert not (system.root / "etc/roost").exists()
    assert system.run("id roost").returncode != 0
