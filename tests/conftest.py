"""What every test may rely on: its own data directory, a clean channel layer, real child processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


@pytest.fixture(scope="session", autouse=True)
def _children_use_the_real_settings() -> None:
    """Set here, not in tests.settings: xdist's workers still have to find that module."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "nvr_project.settings"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """The data directory of the settings in use, emptied of video before and after the test."""
    places: tuple[Path, ...] = (
        settings.SPOOL_DIR, settings.RECORDINGS_DIR, settings.CLIPS_DIR, settings.CAPTURES_DIR,
        settings.RUN_DIR,
    )  # fmt: skip
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
    yield settings.DATA_DIR
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)


@pytest.fixture(autouse=True)
def _empty_channel_layer() -> Iterator[None]:
    """The in-memory layer is kept per process; a test must not hear its predecessor's messages."""
    from channels.layers import channel_layers

    yield
    channel_layers.backends.clear()


# Places whose tests start the whole recorder or a browser.
WHOLE_RECORDER = (
    "tests/recordings/test_playback.py",
    "tests/system/test_stack.py",
    "tests/system/test_backends.py",
    "tests/end_to_end/",
    "tests/firmware/test_recorder.py",
    "tests/browser/",
)


class OneRecorderAtATime(LoadScopeScheduling):  # type: ignore[misc]  # xdist's is not typed
    """Those run one after the other in one worker; the other worker takes everything else.

    Two recorders side by side on two cores measure each other. (`--dist loadgroup` would do this
    by a mark, but xdist 3.8 writes the group where pytest 9.2 no longer reads it.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return "whole recorder" if nodeid.startswith(WHOLE_RECORDER) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return OneRecorderAtATime(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order stays random within each kind; browser tests are kept together and last, because
    they share one recorder and an event loop that is not given back before."""
    items.sort(key=_weight)
    for item in items:
        if item.get_closest_marker("stack") and not item.nodeid.startswith(WHOLE_RECORDER):
            raise pytest.UsageError(f"{item.nodeid} starts a recorder: name its place here")


def _weight(item: pytest.Item) -> int:
    if item.nodeid.startswith("tests/browser/"):
        return 2
    return int(item.nodeid.startswith(WHOLE_RECORDER))
