"""`make test`: every test on two processes; what failed once more, alone and with nothing beside it.

Many tests run real processes against the real clock, on machines that may be busy. A test that only
holds at the second try is named on the way and is a fault to look into, but not the end of a run of
twenty minutes; one that fails twice fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAILED = 1  # pytest's exit code: tests ran and some failed
MOST_TRIED_AGAIN = 10  # more than these are no accident
CACHE = Path(".pytest_cache/v/cache/lastfailed")


def main(arguments: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest"]
    CACHE.unlink(missing_ok=True)
    code = subprocess.run([*pytest, "-n", "2", *arguments], check=False).returncode
    if code != FAILED:
        return code
    failed = sorted(json.loads(CACHE.read_text())) if CACHE.exists() else []
    if not 0 < len(failed) <= MOST_TRIED_AGAIN:
        return code
    print(
        f"\nFailed at the first try, tried once more ({len(failed)}):",
        *failed,
        sep="\n  ",
        flush=True,
    )
    again = [*pytest, "-n", "0", "-p", "no:randomly", "-v", *failed]
    return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
