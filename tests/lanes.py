"""Which tests run beside which, when two workers share the suite."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

BROWSER = "tests/browser/"
# Places whose tests start the whole recorder or a browser.
RECORDERS = (
    BROWSER,
    "tests/end_to_end/",
    "tests/firmware/test_recorder.py",
    "tests/recordings/test_playback.py",
    "tests/system/test_backends.py",
    "tests/system/test_postgresql.py",
    "tests/system/test_stack.py",
)


def is_recorder(nodeid: str) -> bool:
    """Whether its place is one whose tests may start the whole recorder or a browser."""
    return nodeid.startswith(RECORDERS)


def scope(nodeid: str) -> str:
    """What goes to one worker as a whole. Two recorders side by side on two cores measure each
    other: all of them are one worker's, and the other one takes everything else."""
    return "recorders" if is_recorder(nodeid) else nodeid


def turn(nodeid: str) -> int:
    """Browser tests are last in their process: they share a recorder, and an event loop that is not
    given back before."""
    return 2 if nodeid.startswith(BROWSER) else int(is_recorder(nodeid))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist's is not typed
    """Scopes with many tests go first, those with as many in the order of collection.

    (`--dist loadgroup` would do this by a mark, but xdist 3.8 writes the group where pytest 9.2 no
    longer reads it.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
