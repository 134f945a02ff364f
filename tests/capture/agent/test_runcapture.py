"""`manage.py runcapture` as a process: here, for a recorder elsewhere, and when it may not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.capture.agent.conftest import Recorder
from tests.capture.web import ROOT, eventually

LIMIT_S = 30.0


class Command:
    """One run of it; its output is in `log`."""

    def __init__(self, *arguments: str, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "runcapture", *arguments],
                env=env, cwd=log.parent, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()


def bare(**more: str) -> dict[str, str]:
    """The environment of a machine where nothing of the recorder is."""
    kept = ("PATH", "HOME", "LANG")
    known = {name: os.environ[name] for name in kept if name in os.environ}
    return {**known, "NVR_DATA_DIR": "/nonexistent/roost", **more}


def children_of(command: Command) -> list[psutil.Process]:
    return psutil.Process(command.process.pid).children(recursive=True)


async def test_the_local_agent_makes_its_own_key_and_brings_its_sources(
    recorder: Recorder, tmp_path: Path
) -> None:
    web = recorder.web
    web.write("UPDATE devices_node SET is_local = (name = 'test')")
    shutil.copy(web.pki.ca, web.data / "pki" / "ca.pem")
    command = Command(env=web.env, log=tmp_path / "log")
    try:
        await eventually(lambda: recorder.row()[0] == "running", LIMIT_S)
        assert f"ready capture https://127.0.0.1:{web.port}" in command.said
        await eventually(lambda: list(recorder.spool().glob("*.mkv*")), LIMIT_S)
        own = psutil.Process(command.process.pid)
        assert "nvr_project.agent" in own.cmdline()
        assert len(children_of(command)) == 2
        argv_and_environment = str(own.cmdline()) + str(own.environ())
        key_hashes = [str(row[0]) for row in web.rows("SELECT key_hash FROM devices_node")]
        assert key_hashes
        assert not any(is_key_of(word, key_hashes) for word in argv_and_environment.split("'"))
        family = children_of(command)
        began = time.monotonic()
        assert command.end() == 0, command.said
        assert time.monotonic() - began < 5
        assert not [process for process in family if process.is_running()]
    finally:
        command.end(signal.SIGKILL)


def is_key_of(word: str, hashes: list[str]) -> bool:
    from devices.keys import key_hash

    return key_hash(word) in hashes


async def test_another_machines_agent_needs_nothing_of_the_recorder(
    recorder: Recorder, tmp_path: Path
) -> None:
    key_file = tmp_path / "node.key"
    key_file.write_text(recorder.key + "\n")
    key_file.chmod(0o600)
    env = bare(
        NVR_SERVER=f"https://127.0.0.1:{recorder.web.port}",
        NVR_NODE_KEY_FILE=str(key_file),
        NVR_CA_FILE=str(recorder.web.pki.ca),
        RUNTIME_DIRECTORY=str(tmp_path / "run"),
    )
    command = Command(env=env, log=tmp_path / "log")
    try:
        await eventually(lambda: recorder.row()[0] == "running", LIMIT_S)
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
            f"source-{pk}.lock" for pk, *_ in recorder.sources
        ]
        assert recorder.key not in str(psutil.Process(command.process.pid).cmdline())
        assert command.end() == 0
        assert recorder.key not in command.said
    finally:
        command.end(signal.SIGKILL)


async def test_kill_9_leaves_no_camera_to_nobody(recorder: Recorder, tmp_path: Path) -> None:
    """The next agent takes over within seconds, and no FFmpeg of the first one is left."""
    key_file = tmp_path / "node.key"
    key_file.write_text(recorder.key)
    key_file.chmod(0o600)
    arguments = (
        "--server", f"https://127.0.0.1:{recorder.web.port}", "--key-file", str(key_file),
        "--ca-file", str(recorder.web.pki.ca), "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    first = Command(*arguments, env=bare(), log=tmp_path / "first")
    second = None
    try:
        await eventually(lambda: recorder.row()[0] == "running", LIMIT_S)
        orphans = children_of(first)
        assert len(orphans) == 2
        first.end(signal.SIGKILL)
        recorder.web.write("UPDATE devices_source SET state = 'waiting'")
        second = Command(*arguments, env=bare(), log=tmp_path / "second")
        await eventually(lambda: recorder.row()[0] == "running", LIMIT_S)
        assert not psutil.wait_procs(orphans, timeout=5)[1]
        assert second.end() == 0
    finally:
        first.end(signal.SIGKILL)
        if second is not None:
            second.end(signal.SIGKILL)


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (0o644, "a" * 64, "Others may read"),
        (0o600, "not a key", "holds no key"),
        (0o600, None, "cannot be read"),
    ],
)
def test_a_key_file_that_is_no_good_is_refused(
    tmp_path: Path, mode: int, content: str | None, words: str
) -> None:
    key_file = tmp_path / "node.key"
    if content is not None:
        key_file.write_text(content)
        key_file.chmod(mode)
    arguments = ("--server", "https://127.0.0.1:43199", "--key-file", str(key_file))
    command = Command(*arguments, env=bare(), log=tmp_path / "log")
    assert command.process.wait(LIMIT_S) == 2
    assert words in command.said
    assert "a" * 64 not in command.said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--server", "http://10.0.0.1"), "must look like https"),
        (("--server", "https://10.0.0.1/path"), "must look like https"),
        (("--server", "https://10.0.0.1:3443"), "--key-file is missing"),
        ((), "ca.pem is missing"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    command = Command(*arguments, env=bare(), log=tmp_path / "log")
    assert command.process.wait(LIMIT_S) == 2
    assert words in command.said
    assert len(command.said.strip().splitlines()) == 1


def test_the_idle_agent_loads_nothing_that_it_does_not_need() -> None:
    """Each of these would cost a Pi Zero megabytes."""
    code = (
        "import sys; from capture import drivers; from capture.agent.agent import Agent\n"
        "import nvr_project.agent\n"
        "heavy = {'av', 'PIL', 'numpy', 'django.db', 'django.apps', 'rest_framework', 'channels',"
        " 'celery', 'twisted', 'httpx', 'recordings.models', 'devices.models'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "print('websockets' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=bare(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]
