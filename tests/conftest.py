"""What every test may rely on: its own data directory, a clean channel layer, real child processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests import lanes

# Whichever test of a shared recorder comes first waits for its start and for its first video, each
# with a deadline of its own.
RECORDER_LIMIT_S = 400


@pytest.fixture(scope="session", autouse=True)
def _children_use_the_real_settings() -> None:
    """Set here, not in tests.settings: xdist's workers still have to find that module."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "nvr_project.settings"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """PostgreSQL empties no table that another one points to. Knox makes one that is never used
    (KNOX_TOKEN_MODEL stands in for it), and Django, which empties all it knows of, knows it not."""
    from django.db import connection

    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS knox_authtoken")


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


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return lanes.Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order stays random within each kind."""
    items.sort(key=lambda item: lanes.turn(item.nodeid))
    for item in items:
        if not item.get_closest_marker("stack"):
            continue
        if not lanes.is_recorder(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} starts a recorder: name its place in lanes.py")
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(RECORDER_LIMIT_S))
