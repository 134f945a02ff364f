"""One program of a camera: what it is given, what is kept of what it says, and how it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stills.cameras import programs
from stills.exceptions import CaptureError
from tests.stills.cameras.conftest import all_gone

SECRET = "rtsp://admin:correct-horse@192.168.1.20/"


def shell(script: str, *, timeout_ms: int = 10_000) -> programs.Ended:
    return programs.run(["/bin/sh", "-c", script], timeout_ms=timeout_ms)


def test_how_it_ended_is_told() -> None:
    ended = shell("echo out; echo err >&2; exit 7")
    assert (ended.name, ended.status, ended.stdout) == ("sh", 7, "out\n")
    assert ended.last_words == "out\n\nerr"


def test_a_signal_that_ended_it_is_told_as_shells_do() -> None:
    assert shell("kill -SEGV $$").status == 128 + 11


def test_only_its_last_words_are_kept_and_no_password_of_them() -> None:
    ended = shell(f"head -c 3000000 /dev/zero | tr '\\0' x >&2; echo ' {SECRET}' >&2")
    assert len(ended.last_words) == programs.DETAIL_LETTERS
    assert ended.last_words.endswith("rtsp://admin:[hidden]@192.168.1.20/")


def test_a_password_that_is_cut_in_two_does_not_get_through() -> None:
    filler = "y" * (programs.DETAIL_LETTERS - len("correct-horse@192.168.1.20/") + 4)
    ended = shell(f"echo {SECRET}{filler} >&2")
    assert "horse" not in ended.last_words


def test_it_has_nothing_to_read_and_a_session_of_its_own() -> None:
    ended = shell("cat; ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat; echo $$")
    session, pid = ended.stdout.split()
    assert session == pid


def test_no_file_of_the_recorder_is_open_in_it_but_the_lock(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with (tmp_path / "other").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        ended = programs.run(
            ["/bin/sh", "-c", "ls -l /proc/$$/fd"], timeout_ms=5_000, lock_fd=descriptor
        )
    assert str(tmp_path / "lock") in ended.stdout
    assert str(tmp_path / "other") not in ended.stdout
    os.close(descriptor)


def test_nothing_is_left_open_here_whatever_happens(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    shell("exit 1")
    for argv in (["/no/such/program"], [str(tmp_path)]):
        with pytest.raises(CaptureError):
            programs.run(argv, timeout_ms=1_000)
    with pytest.raises(CaptureError):
        shell("sleep 1000", timeout_ms=100)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as caught:
        programs.run(["/no/such/program"], timeout_ms=1_000)
    assert caught.value.code == "missing_program"
    assert str(caught.value) == "The program program is not installed on this machine."
    (tmp_path / "text").touch()
    with pytest.raises(CaptureError) as caught:
        programs.run([str(tmp_path / "text")], timeout_ms=1_000)
    assert caught.value.code == "failed"
    assert str(caught.value) == "The program text cannot be started: Permission denied."
    with pytest.raises(CaptureError) as caught:
        programs.run(["/bin/true"], timeout_ms=1_000, cwd=tmp_path / "gone")
    assert caught.value.code == "failed"


def test_a_program_that_closes_its_outputs_is_still_waited_for() -> None:
    began = time.monotonic()
    assert shell("exec >&- 2>&-; sleep 0.4; exit 5").status == 5
    assert time.monotonic() - began >= 0.4


def test_a_child_that_keeps_the_outputs_open_holds_nobody_up() -> None:
    began = time.monotonic()
    ended = shell("sleep 1000 & echo $!")
    assert time.monotonic() - began < 3.0
    assert all_gone([int(ended.stdout)])


def test_a_question_that_fails_ends_the_program_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def is_wanted() -> bool:
        if pid.exists() and pid.read_text().endswith("\n"):
            raise RuntimeError("the database is away")
        return True

    script = f"echo $$ > '{pid}'; exec sleep 1000"
    with pytest.raises(RuntimeError, match="the database is away"):
        programs.run(["/bin/sh", "-c", script], timeout_ms=60_000, is_wanted=is_wanted)
    assert all_gone([int(pid.read_text())])
