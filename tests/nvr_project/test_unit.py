"""One process as a systemd unit: the same as the supervisor's child of that name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nvr_project import roles, unit
from nvr_project.environment import PROJECT_DIR, BadSetting, read_environment
from system import datadir
from system.exceptions import SetupFailed


class Became(Exception):
    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        super().__init__(argv)
        self.argv, self.env = argv, env


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Instead of becoming the process, says which."""

    def become(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        raise Became(argv, env)

    monkeypatch.setattr(unit, "_become", become)

    def run(*arguments: str) -> Became:
        with pytest.raises(Became) as caught:
            unit.main(["--data-dir", str(tmp_path / "data"), *arguments])
        return caught.value

    return run


@pytest.mark.parametrize("name", ["valkey", "web", "worker", "beat", "discovery", "capture"])
def test_it_is_what_the_supervisor_would_start(name: str, run: Any, tmp_path: Path) -> None:
    became = run(name)
    env = read_environment({**os.environ, "NVR_DATA_DIR": str(tmp_path / "data")})
    role = getattr(roles, name)(env)
    assert became.argv == role.argv
    assert role.env.items() <= became.env.items()
    assert became.env["NVR_DATA_DIR"] == str(tmp_path / "data")


def test_only_the_set_up_gets_the_first_password(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVR_ADMIN_PASSWORD", "a secret of the first day")
    assert "NVR_ADMIN_PASSWORD" in run("prepare").env
    assert "NVR_ADMIN_PASSWORD" not in run("web").env


def test_the_command_line_gets_the_settings_file(run: Any, tmp_path: Path) -> None:
    settings = tmp_path / "roost.env"
    settings.write_text(
        "# where\nNVR_PORT=8443\nTZ='Europe/Berlin'\nNVR_HOST_NAMES=\"a b\"\n;\n\nX=\n"
    )
    became = run("--env-file", str(settings), "manage", "changepassword", "admin")
    assert became.argv == (*roles.MANAGE, "changepassword", "admin")
    assert became.env["NVR_PORT"] == "8443"
    assert became.env["TZ"] == "Europe/Berlin"
    assert became.env["NVR_HOST_NAMES"] == "a b"
    assert became.env["X"] == ""


@pytest.mark.parametrize("line", ["no equals sign", "1A=x", 'A="open', 'A="x"y', "=x"])
def test_a_line_that_is_no_setting_is_named_and_not_shown(line: str, tmp_path: Path) -> None:
    settings = tmp_path / "roost.env"
    settings.write_text(f"NVR_PORT=1\n{line}\n")
    with pytest.raises(BadSetting, match="line 2") as caught:
        unit.read_env_file(settings)
    assert line not in str(caught.value)


def test_a_setting_that_cannot_be_used_is_one_sentence_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NVR_PORT", "many")
    assert unit.main(["--data-dir", str(tmp_path), "web"]) == 2
    assert "NVR_PORT is 'many'" in capsys.readouterr().err


def test_only_starts_that_follow_each_other_quickly_count_as_failed(tmp_path: Path) -> None:
    path = tmp_path / "valkey.starts"
    assert [unit.failed_starts(path, at) for at in (100.0, 103.0, 106.0)] == [0, 1, 2]
    assert unit.failed_starts(path, 106.0 + unit.QUICK_S) == 0
    assert unit.failed_starts(path, 50.0) == 0, "the clock was set back"
    path.write_text("nonsense")
    assert unit.failed_starts(path, 51.0) == 0


def test_units_run_beside_each_other_and_never_beside_a_supervisor(tmp_path: Path) -> None:
    datadir.prepare(tmp_path / "data", tmp_path / "data" / "run")
    run_dir = tmp_path / "data" / "run"
    holds = "import sys, time\nfrom pathlib import Path\nfrom system import datadir\n"
    holds += "datadir.share(Path(sys.argv[1]), 1)\nprint('has it', flush=True)\ntime.sleep(600)\n"
    # The lock has to outlive exec, as a unit's process is another program afterwards.
    become = holds.replace(
        "time.sleep(600)", "import os; os.execv(sys.executable, [sys.executable, '-c', 'input()'])"
    )
    units = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(run_dir)],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program in (holds, become)
    ]
    try:
        for process in units:
            assert process.stdout
            assert process.stdout.readline() == "has it\n"
        with pytest.raises(SetupFailed, match="already running"):
            datadir.claim(run_dir, 0.1)
        units[0].kill()
        units[0].wait()
        with pytest.raises(SetupFailed, match="already running"):
            datadir.claim(run_dir, 0.1)
    finally:
        for process in units:
            process.kill()
            process.communicate()
    os.close(datadir.claim(run_dir, 5))


def test_a_unit_is_refused_beside_a_supervisor(tmp_path: Path) -> None:
    datadir.prepare(tmp_path / "data", tmp_path / "data" / "run")
    run_dir = tmp_path / "data" / "run"
    program = "import sys, time\nfrom pathlib import Path\nfrom system import datadir\n"
    program += "datadir.claim(Path(sys.argv[1]), 1)\nprint('has it', flush=True)\ntime.sleep(600)\n"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, str(run_dir)],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert supervisor.stdout
        assert supervisor.stdout.readline() == "has it\n"
        with pytest.raises(SetupFailed, match="make run"):
            datadir.share(run_dir, 0.1)
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.communicate()


def test_the_worker_writes_the_camera_nodes_log_itself(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    program = (
        "import django; django.setup(); import logging;"
        " logging.getLogger('camera_node').info('Captured rtsp://a:secret@10.0.0.1/x');"
        " logging.getLogger('other').info('not for it')"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_DIR,
        env={
            **os.environ,
            "NVR_DATA_DIR": str(tmp_path / "data"),
            "DJANGO_SETTINGS_MODULE": "nvr_project.settings",
            "ROOST_NODE_LOG": str(logs),
        },
        check=True,
        capture_output=True,
    )
    text = (logs / "camera_node.log").read_text()
    assert text.count("\n") == 1
    assert "Captured" in text
    assert "secret" not in text
    assert time.strftime("%Y-") == text[:5]
