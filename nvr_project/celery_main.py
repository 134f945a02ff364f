"""`python -m nvr_project.celery_main worker|beat`: Celery's two processes, as its own commands run them.

Not `python -m celery`: its command line loads the interactive shell that it also has, with all of
prompt_toolkit; that costs each process about 10 MB.
"""

from __future__ import annotations

import argparse
import logging
import sys

from nvr_project.celery import app


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m nvr_project.celery_main")
    processes = parser.add_subparsers(dest="process", required=True)
    worker = processes.add_parser("worker", help="does the tasks")
    worker.add_argument("--queue", action="append", required=True, help="where tasks come from")
    processes.add_parser("beat", help="queues the tasks whose time has come")
    options = parser.parse_args(arguments)
    return _work(options.queue) if options.process == "worker" else _keep_time()


def _work(queues: list[str]) -> int:
    """How many threads it has is a setting."""
    worker = app.Worker(
        hostname="worker@roost",
        queues=queues,
        optimization="fair",
        # What workers tell each other; there is one.
        without_gossip=True,
        without_mingle=True,
        loglevel=logging.INFO,
        quiet=True,
    )
    worker.start()
    return worker.exitcode or 0


def _keep_time() -> int:
    app.Beat(loglevel="WARNING", quiet=True).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
