"""kill -9 at every single step of cutting a clip: nothing half-visible, nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips.crash_rig import END, FIRST

PROJECT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_a_worker_killed_at_any_step_costs_no_clip_and_makes_none_twice(tmp_path: Path) -> None:
    environment = {**os.environ, "NVR_DATA_DIR": str(tmp_path / "data"), "TZ": "UTC"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.clips.crash_rig"],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    results = [json.loads(line) for line in ended.stdout.splitlines()]
    steps = {"become", "encode", "payload", "fsync", "rename", "store", "unlink"}
    assert steps <= {result["name"] for result in results}
    assert any(result["parts"] for result in results), "no crash left anything: nothing is proved"
    assert any(result["is_there"] and result["state"] != "ready" for result in results)
    for result in results:
        assert result["signal"] == signal.SIGKILL, result
        # Ready with its file, or still to be done and due.
        assert result["is_due"] == (result["state"] != "ready"), result
        assert result["is_there"] or result["state"] != "ready", result
        assert (result["end"], result["reason"]) == ("ready", ""), result
        assert result["counters"] == list(range(FIRST, END)), result
        assert result["files"] == [".jpg", ".json", ".mp4"], result
        assert (result["locks"], result["found_again"]) == (0, 1), result
