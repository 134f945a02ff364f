"""What a process must not load when it starts: each of these costs megabytes on a small Pi."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nvr_project.environment import PROJECT_DIR

CELERY = "from nvr_project.celery_main import app; app.loader.init_worker(); app.finalize()"
BEAT = f"{CELERY}; import nvr_project.beat"
WORKER = f"{CELERY}; assert 'recordings.tasks' in __import__('sys').modules"
WEB = """
import gc, sys, nvr_project.asgi
from capture.management.commands import runweb
assert "nvr_project.urls" not in sys.modules
runweb.load_what_requests_need()
runweb.leave_out_of_collections()
assert {"nvr_project.urls", "redis.asyncio"} <= set(sys.modules), "the first request would load it"
assert gc.get_freeze_count() > 100_000, "collections would look through all of Django"
"""
SHELL = ("celery.bin", "click_repl", "prompt_toolkit")


@pytest.mark.parametrize(
    ("code", "settings", "unwanted"),
    [
        (BEAT, "beat_settings", (*SHELL, "av", "PIL", "cryptography", "devices.models")),
        (WORKER, "settings", (*SHELL, "av", "rest_framework.views", "clips.admin", "psycopg")),
        (WEB, "settings", (*SHELL, "av", "psycopg")),
    ],
    ids=["beat", "worker", "web"],
)
def test_it_starts_without(
    tmp_path: Path, code: str, settings: str, unwanted: tuple[str, ...]
) -> None:
    env = {
        **os.environ,
        "NVR_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": f"nvr_project.{settings}",
        "CELERY_SKIP_CHECKS": "1",
    }
    env.pop("DATABASE_URL", None)
    listing = "import sys; print('loaded:', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"],
        cwd=PROJECT_DIR,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert "django" in loaded
    assert sorted(loaded & set(unwanted)) == []
