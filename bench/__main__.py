"""`python -m bench`: the numbers that the design promises, measured on this machine, on loopback only.

The load run takes `--minutes` and what the packager then needs, clips eight times `--minutes`, the
cameras that sleep `--burst-minutes` and three more, the rest about five minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

from bench.table import Row, render


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=1,
        help="of the load run (1; the claim: 5); 8 times as long for clips",
    )
    parser.add_argument("--cameras", type=int, default=50, help="of the load run (50)")
    parser.add_argument(
        "--burst-cameras", type=int, default=20, help="of the bursts of cameras that sleep (20)"
    )
    parser.add_argument(
        "--burst-minutes", type=float, default=10, help="of the same (10, which is the claim)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PART",
        help="ingest pipeline copying pages idle live pulled captures bursts clips load",
    )
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as directory:
        _set_up(directory)
        parts = _parts(wanted)
        names = wanted.only or list(parts)
        if unknown := [name for name in names if name not in parts]:
            parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(parts)}")
        rows, failed = _measure({name: parts[name] for name in names})
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"\n{machine}, load {os.getloadavg()[0]:.1f}\n")
    print(render(rows))
    return 1 if failed else 0


def _set_up(directory: str) -> None:
    """The in-process parts use the recorder's own code on a data directory that is thrown away."""
    for name in list(os.environ):
        if name.startswith(("NVR_", "FFMPEG_")) or name in ("DATABASE_URL", "REDIS_URL"):
            del os.environ[name]
    os.environ["NVR_DATA_DIR"] = directory
    os.environ["DJANGO_SETTINGS_MODULE"] = "nvr_project.settings"
    import django  # noqa: PLC0415  settings read the environment above

    django.setup()


def _parts(wanted: argparse.Namespace) -> dict[str, Callable[[], list[Row]]]:
    from bench import (  # noqa: PLC0415  they need django.setup
        bursts,
        captures,
        clips,
        copying,
        idle,
        ingest,
        live,
        load,
        pages,
        pipeline,
        pulled,
    )

    return {
        "ingest": ingest.run,
        "pipeline": pipeline.run,
        "copying": copying.run,
        "pages": pages.run,
        "idle": idle.run,
        "live": live.run,
        "pulled": pulled.run,
        "captures": captures.run,
        "bursts": lambda: bursts.run(cameras=wanted.burst_cameras, minutes=wanted.burst_minutes),
        "clips": lambda: clips.run(count=200, minutes=8 * wanted.minutes),
        "load": lambda: load.run(cameras=wanted.cameras, minutes=wanted.minutes),
    }


def _measure(parts: dict[str, Callable[[], list[Row]]]) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    failed = False
    for name, part in parts.items():
        began = time.monotonic()
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        try:
            rows += part()
        except Exception as error:  # noqa: BLE001  the other figures are still worth having
            traceback.print_exc()
            rows.append(Row(name, "", f"failed: {str(error).splitlines()[0][:80]}"))
            failed = True
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return rows, failed


if __name__ == "__main__":
    sys.exit(main())
