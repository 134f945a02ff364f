"""kill -9 at every single step of packaging: nothing lost, nothing twice, rows equal files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recordings.crash_rig import FRAMES

PROJECT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["jpeg", "h264"])
def test_a_packager_killed_at_any_step_loses_and_repeats_nothing(tmp_path: Path, kind: str) -> None:
    environment = {**os.environ, "NVR_DATA_DIR": str(tmp_path / "data"), "TZ": "UTC"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.recordings.crash_rig", kind],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    results = [json.loads(line) for line in ended.stdout.splitlines()]
    names = [result["name"] for result in results]
    assert {"write", "fdatasync", "fsync", "unlink", "save", "mkdir"} <= set(names)
    torn = [result for result in results if result["mode"] == "middle" and result["unknown_bytes"]]
    assert torn, "the crashes did not even tear a file: this test would prove nothing"
    for result in results:
        assert result["signal"] == signal.SIGKILL, result
        assert result["broken"] == [], result
        assert result["counters"] == list(range(FRAMES)), result
        assert (result["right"], result["wrong"]) == (2, 0), result
        assert len(result["files"]) == 2, result
        assert result["left_in_spool"] == [], result
