"""`make test`: every test on two processes; what failed once more, alone and with nothing beside it.

Many tests run real processes against the real clock, on machines that may be busy. A test that only
holds at the second try is named on the way and is a fault to look into, but not the end of a run of
twenty minutes; one that fails twice fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests import lanes

FAILED = 1  # pytest's exit code: tests ran and some failed
MOST_TRIED_AGAIN = 10  # more than these are no accident
CACHE = Path(".pytest_cache/v/cache/lastfailed")


def main(arguments: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest"]
    # Some two hundred processes start; without compiled files each would compile all of Roost.
    env = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    CACHE.unlink(missing_ok=True)
    code = subprocess.run([*pytest, "-n", "2", *arguments], check=False, env=env).returncode
    if code != FAILED:
        return code
    failed = sorted(json.loads(CACHE.read_text())) if CACHE.exists() else []
    if not is_an_accident(failed):
        return code
    print(
        f"\nFailed at the first try, tried once more ({len(failed)}):",
        *failed,
        sep="\n  ",
        flush=True,
    )
    again = [*pytest, "-n", "0", "-p", "no:randomly", "-v", *failed]
    return subprocess.run(again, check=False, env=env).returncode


def is_an_accident(failed: list[str]) -> bool:
    """Where tests share a recorder, one that did not start fails them all."""
    return 0 < len({lanes.scope(nodeid) for nodeid in failed}) <= MOST_TRIED_AGAIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
