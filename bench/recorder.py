"""A recorder of real processes for one measurement, and what its processes cost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from tests.stack import PROJECT_DIR, Stack

TOKEN = "benchmark-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def recorder(**env: str) -> Iterator[Stack]:
    with (
        TemporaryDirectory(prefix="roost-bench-") as tmp,
        Stack(Path(tmp), env={"AUTH_TOKEN": TOKEN, **env}) as stack,
    ):
        yield stack


@contextmanager
def cameras(stack: Stack, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Simulated cameras in a process of their own; ended with the block."""
    command = [sys.executable, "manage.py", "simulatecamera", "--url", stack.url]
    command += ["--report", str(report_path(stack)), *arguments]
    process = subprocess.Popen(
        command,
        cwd=PROJECT_DIR,
        env=stack.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        _, errors = process.communicate(timeout=30)
        if process.returncode:
            raise RuntimeError(f"the cameras failed: {errors[-2000:]}")


def report_path(stack: Stack) -> Path:
    return stack.data_dir.parent / "cameras.json"


def report(stack: Stack) -> dict[str, Any]:
    found = json.loads(report_path(stack).read_text())
    assert isinstance(found, dict)
    return found


@dataclass(slots=True)
class Cost:
    """CPU seconds, bytes written to disk and memory of each named process with its children."""

    at_s: float
    cpu_s: dict[str, float] = field(default_factory=dict)
    written_bytes: dict[str, int] = field(default_factory=dict)
    pss_bytes: dict[str, int] = field(default_factory=dict)


def cost(stack: Stack, *, with_memory: bool = False) -> Cost:
    assert stack.process is not None
    found = Cost(time.monotonic())
    roots = {**stack.pids(), "supervisor": stack.process.pid}
    known = set(roots.values())
    for name, pid in roots.items():
        root = psutil.Process(pid)
        children = [each for each in root.children(recursive=True) if each.pid not in known]
        family = [root] if name == "supervisor" else [root, *children]
        found.cpu_s[name] = sum(_cpu_s(process, is_root=process == root) for process in family)
        found.written_bytes[name] = sum(_written(process) for process in family)
        if with_memory:
            found.pss_bytes[name] = sum(_pss(process) for process in family)
    return found


def _cpu_s(process: psutil.Process, *, is_root: bool) -> float:
    """With what already ended below it, which for an encoder is nearly everything."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    own = times.user + times.system
    return float(own + times.children_user + times.children_system if is_root else own)


def _written(process: psutil.Process) -> int:
    try:
        return int(process.io_counters().write_bytes)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _pss(process: psutil.Process) -> int:
    """Proportional set size: shared pages are counted once over all processes."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def packaged_frames(stack: Stack) -> int:
    """From the database file itself: asking the web process would be a load of its own."""
    path = stack.data_dir / "roost.sqlite3"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20) as database:
        (total,) = database.execute(
            "select coalesce(sum(frame_count), 0) from recordings_recording"
        ).fetchone()
    database.close()
    return int(total)
