"""Which tests run beside which, when two workers share the suite.

Tests of a running recorder wait more than they calculate, so a worker that has them to itself is
the longest way through the suite while the other one has long been done. They are in two lanes:
whatever one does, at most one other recorder runs beside it.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

BROWSER = "tests/browser/"
# They judge when a picture was seen, and how late: one after the other, in one worker.
MEASURED = (BROWSER, "tests/end_to_end/test_main_job.py", "tests/firmware/test_recorder.py")
# They judge what a recorder does, and start one a file or one a test: a file after the other.
OTHERS = (
    "tests/end_to_end/",
    "tests/recordings/test_playback.py",
    "tests/system/test_backends.py",
    "tests/system/test_postgresql.py",
    "tests/system/test_stack.py",
)


def is_recorder(nodeid: str) -> bool:
    """Whether its place is one whose tests may start the whole recorder or a browser."""
    return nodeid.startswith(MEASURED + OTHERS)


def scope(nodeid: str) -> str:
    """What goes to one worker as a whole."""
    if nodeid.startswith(MEASURED):
        return "measured"
    return nodeid.partition("::")[0] if is_recorder(nodeid) else nodeid


def turn(nodeid: str) -> int:
    """What takes long begins first: what is short fills the workers evenly at the end. Browser
    tests are last in their process: they share a recorder, and an event loop that is not given
    back before."""
    if nodeid.startswith(BROWSER):
        return 3
    if nodeid.startswith(MEASURED):
        return 2
    return 0 if is_recorder(nodeid) else 1


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist's is not typed
    """Scopes with many tests go first, those with as many in the order of collection.

    (`--dist loadgroup` would do this by a mark, but xdist 3.8 writes the group where pytest 9.2 no
    longer reads it.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
