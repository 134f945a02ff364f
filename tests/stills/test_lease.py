"""Whose turn it is: one at a time, of threads, of processes and of programs that are not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from capture.agent.locks import started
from stills import lease
from stills.exceptions import CameraBusyError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture(autouse=True)
def _nobody_holds_it() -> Iterator[None]:
    lease._held = ""
    yield
    lease._held = ""


def path() -> Path:
    return lease.lock_path()


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path().read_text())
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def lie_there(text: str, *, age_s: float = 0.0) -> None:
    """A lock file as any program may leave one."""
    path().write_text(text)
    at = time.time() - age_s
    os.utime(path(), (at, at))


def of_the_older_server(*, expires_in_ms: int) -> str:
    """It knows neither a token nor when its process began."""
    facts = {"pid": 4711, "createdAt": now_ms(), "expiresAt": now_ms() + expires_in_ms}
    return json.dumps(facts)


def is_taken() -> bool:
    """Whether somebody who asks now is refused, which takes no time; leaves it as it was."""
    try:
        token = lease.acquire("a question", 60)
    except CameraBusyError:
        return True
    lease.release(token)
    return False


# --- one after the other --------------------------------------------------------------------------


def test_the_second_is_refused_until_the_first_gives_it_back() -> None:
    token = lease.acquire("door.jpg", 60)
    assert lease.is_held()
    assert lease.is_valid(token)
    with pytest.raises(CameraBusyError, match="busy"):
        lease.acquire("other.jpg", 60)
    assert read()["note"] == "door.jpg"
    lease.release(token)
    assert not lease.is_held()
    assert not lease.is_valid(token)
    assert not path().exists()
    assert lease.acquire("other.jpg", 60) != token


def test_the_file_is_what_the_older_server_reads() -> None:
    before = now_ms()
    lease.acquire("door.jpg", 60)
    facts = read()
    assert facts["pid"] == os.getpid()
    assert before <= facts["createdAt"] <= now_ms()
    assert facts["expiresAt"] - facts["createdAt"] == 60_000
    assert sorted(entry.name for entry in settings.RUN_DIR.iterdir()) == [
        "camera.lock",
        "camera.lock.turn",
    ]


def test_it_is_good_for_five_seconds_at_least() -> None:
    lease.acquire("door.jpg", 0.0)
    assert read()["expiresAt"] - read()["createdAt"] == 5_000


def test_its_place_is_a_setting(settings: Any, tmp_path: Path) -> None:
    wanted = tmp_path / "new" / "camera.lock"
    settings.NVR = replace(settings.NVR, camera_lock=str(wanted))
    lease.release(lease.acquire("x", 60))
    lease.acquire("x", 60)
    assert wanted.exists()


def test_a_long_note_leaves_the_file_readable() -> None:
    token = lease.acquire("日" * 5_000, 60)
    assert lease.is_valid(token)
    lease._held = ""  # as another process, which knows the file alone
    assert is_taken()


# --- giving back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "somebody else's", "0" * 32])
def test_nobody_gives_back_what_is_not_theirs(token: str) -> None:
    mine = lease.acquire("mine", 60)
    lease.release(token)
    assert lease.is_valid(mine)
    assert is_taken()


def test_giving_back_twice_takes_nothing_from_the_next() -> None:
    first = lease.acquire("first", 60)
    lease.release(first)
    second = lease.acquire("second", 60)
    lease.release(first)
    assert lease.is_valid(second)


def test_another_programs_file_is_left_alone() -> None:
    text = of_the_older_server(expires_in_ms=60_000)
    lie_there(text)
    lease.release("")
    assert path().read_text() == text


# --- stale ones -----------------------------------------------------------------------------------


def expire() -> None:
    path().write_text(json.dumps({**read(), "expiresAt": now_ms() - 1}))


def test_one_that_ran_out_goes_to_the_next_and_is_not_given_back_any_more() -> None:
    first = lease.acquire("first", 60)
    expire()
    assert not lease.is_held()
    assert not lease.is_valid(first)
    second = lease.acquire("second", 60)
    lease.release(first)
    assert lease.is_valid(second)
    assert read()["note"] == "second"


def test_one_of_a_process_that_is_gone_is_free() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    facts = {"pid": child.pid, "started": started(child.pid), "expiresAt": now_ms() + 60_000}
    lie_there(json.dumps(facts))
    assert lease.is_held()
    assert is_taken()
    child.communicate(b"\n")
    assert not lease.is_held()
    assert not is_taken()


def test_a_number_of_a_process_that_was_given_out_again_is_nobodys() -> None:
    facts = {"pid": os.getpid(), "started": "1", "expiresAt": now_ms() + 60_000}
    lie_there(json.dumps(facts))
    assert not is_taken()


def test_the_older_server_is_believed_until_its_time_is_over() -> None:
    lie_there(of_the_older_server(expires_in_ms=60_000))
    assert lease.is_held()
    assert is_taken()
    lie_there(of_the_older_server(expires_in_ms=-1))
    assert not lease.is_held()
    assert not is_taken()


UNREADABLE = [
    "", "{", "[]", "null", '"x"', "x" * 10_000, "[" * 4_000, '{"pid": 1}', '{"expiresAt": "soon"}',
    '{"expiresAt": true}', '{"expiresAt": null}', '{"expiresAt": NaN}', '{"expiresAt": Infinity}',
    '{"expiresAt": 1' + "0" * 400 + "}", "\ufeff{}",
]  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_file_that_says_nothing_is_somebodys_for_ten_minutes(text: str) -> None:
    lie_there(text, age_s=590)
    assert lease.is_held()
    assert is_taken()
    lie_there(text, age_s=610)
    assert not lease.is_held()
    assert not is_taken()


def test_bytes_that_are_no_text_are_a_file_that_says_nothing() -> None:
    path().write_bytes(b"\xff\xfe\0")
    assert is_taken()


# --- what else may lie there ----------------------------------------------------------------------


def test_a_link_is_not_followed_and_its_target_stays(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text(of_the_older_server(expires_in_ms=-1))
    path().symlink_to(target)
    assert is_taken()  # it says nothing
    long_ago = time.time() - 700
    os.utime(path(), (long_ago, long_ago), follow_symlinks=False)
    token = lease.acquire("mine", 60)
    assert target.read_text()
    assert not path().is_symlink()
    lease.release(token)
    assert target.exists()


def test_a_pipe_keeps_nobody_waiting() -> None:
    os.mkfifo(path())
    assert is_taken()


def test_a_directory_is_nothing_that_could_be_cleared() -> None:
    path().mkdir()
    long_ago = time.time() - 700
    os.utime(path(), (long_ago, long_ago))
    assert is_taken()
    assert path().is_dir()


def test_a_place_that_cannot_be_written_is_said(
    settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings.NVR = replace(settings.NVR, camera_lock=str(tmp_path / "file" / "camera.lock"))
    with pytest.raises(CameraBusyError, match=r"lock file .*file/camera\.lock cannot be used"):
        lease.acquire("x", 60)
    assert "cannot be used" in caplog.text
    lease.release("x")


# --- races ----------------------------------------------------------------------------------------


def test_of_many_threads_one_gets_a_stale_one() -> None:
    start = threading.Barrier(8)

    def ask(number: int) -> str:
        start.wait(10)
        try:
            return lease.acquire(str(number), 60)
        except CameraBusyError:
            return ""

    with ThreadPoolExecutor(8) as pool:
        for _ in range(30):
            lie_there(of_the_older_server(expires_in_ms=-1))
            tokens = [token for token in pool.map(ask, range(8)) if token]
            assert len(tokens) == 1
            assert read()["token"] == tokens[0]
            lease.release(tokens[0])


ROUNDS = 100
# A system may set a process aside between any two steps; here it does between the two that matter.
ASKING = f"""
import sys, time
from pathlib import Path
from types import SimpleNamespace
from django.conf import settings
place = Path(sys.argv[1])
settings.configure(RUN_DIR=place, NVR=SimpleNamespace(camera_lock=""))
from stills import lease

def rename(path, other, at_once=Path.rename):
    done = at_once(path, other)
    time.sleep(0.002)
    return done

Path.rename = rename
print("ready", flush=True)
sys.stdin.readline()
for number in range({ROUNDS}):
    settings.NVR.camera_lock = str(place / f"{{number}}.lock")
    lease._held = ""
    try:
        lease.acquire("race", 60)
    except lease.CameraBusyError:
        pass
    else:
        print(number, flush=True)
print("done", flush=True)
sys.stdin.readline()
"""


def test_of_many_processes_one_gets_a_stale_one(tmp_path: Path) -> None:
    """Each asks for the same stale ones, one after the other, as fast as it can."""
    for number in range(ROUNDS):
        stale = of_the_older_server(expires_in_ms=-1)
        (tmp_path / f"{number}.lock").write_text(stale)
    argv = [sys.executable, "-c", ASKING, str(tmp_path)]
    children = [
        subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(6)
    ]
    won: list[str] = []
    try:
        for child in children:
            assert _line(child) == "ready"
        for child in children:
            _say(child)
        for child in children:  # all are done before one ends: a lease ends with its process
            while (line := _line(child)) != "done":
                won.append(line)
    finally:
        for child in children:
            child.communicate("\n", timeout=20)
    assert sorted(won, key=int) == [str(number) for number in range(ROUNDS)]


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, "the process ended"
    return line


def _say(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
