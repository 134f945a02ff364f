"""The recorder on PostgreSQL: its queries, its tables, its back-ups, and a server that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import dj_database_url
import pytest
from django.conf import settings

from system import backup
from system.exceptions import BackupFailed
from tests import postgres
from tests.end_to_end import scene
from tests.stack import PROJECT_DIR, Stack, wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(postgres.why_not()), reason=postgres.why_not()),
]

GROUPS = "from django.contrib.auth.models import Group as G; "
SHOW_GROUPS = GROUPS + "print(*sorted(G.objects.values_list('name', flat=True)))"
NEW_GROUP = GROUPS + "G.objects.create(name='after')"
CUT_OFF = """
from django.db import close_old_connections, connection, connections
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchone()[0]
other = connections.create_connection("default")
with other.cursor() as cursor:
    cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
other.close()
close_old_connections()  # as before every task and request
connection.ensure_connection()
with connection.cursor() as cursor:
    cursor.execute("SELECT 'answered'")
    print(cursor.fetchone()[0])
"""
# What asks the database the most of.
TELLING = (
    "tests/devices/test_authentication.py",
    "tests/devices/test_enrolment.py",
    "tests/devices/test_framerates.py",
    "tests/devices/test_updates.py",
    "tests/recordings/test_gap_causes.py",
    "tests/stills/test_services.py",
)


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.running() as running:
        yield running


@pytest.fixture(scope="module")
def stack(server: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Not running; its database is made from nothing."""
    env = {
        "DATABASE_URL": server.new_database("recorder"),
        "AUTH_TOKEN": scene.TOKEN,
        "NVR_SEGMENT_SECONDS": "4",
    }
    made = Stack(tmp_path_factory.mktemp("recorder"), env=env)
    made.manage("prepare", timeout=300)
    return made


def test_recording_goes_on_while_the_server_is_away(stack: Stack, server: postgres.Server) -> None:
    """It is killed and comes back: every frame is in the files, and the files have their rows."""
    with stack, scene.cameras(stack, "camera", "--fps", "5", "--size", "VGA", place=60) as fleet:
        assert not (stack.data_dir / "roost.sqlite3").exists()
        wait_until(lambda: is_recorded(stack), limit_s=60, what="the camera is recorded")
        with server.away():
            assert stack.get_json("/health")["status"] == "healthy"
            with pytest.raises(HTTPError):
                is_recorded(stack)
            wait_for_new_segments(stack, 2)
        is_recorded(stack)  # the first question is answered
        wait_for_new_segments(stack, 1)
        last = fleet.finish(is_told=True)["cameras"][0]
        found = scene.packaged(stack, last["mac"], last=last["runs"][-1]["last"], limit_s=150)
        assert (found.lost, found.duplicated, found.out_of_order) == (0, 0, 0), found
        assert scene.recordings_of(stack, last["mac"])


def test_a_connection_that_the_server_cut_off_fails_nobody(stack: Stack) -> None:
    """Tasks, and the threads that cameras wait for, keep theirs for a minute."""
    assert stack.manage("shell", "-v", "0", "-c", CUT_OFF, timeout=300).split()[-1] == "answered"


def test_a_back_up_is_put_back_in_the_place_of_a_newer_version(
    stack: Stack, server: postgres.Server, tmp_path: Path
) -> None:
    """The recorder does not run; pg_dump, pg_restore and psql are PostgreSQL's own."""
    manage = partial(stack.manage, timeout=300)
    file = tmp_path / "roost.tar"
    manage("backup", str(file))
    manage("shell", "-v", "0", "-c", NEW_GROUP)
    # A version to come made a table that points to an old one, which would keep that in its place.
    server.execute(
        "CREATE TABLE devices_tomorrow (device_id bigint REFERENCES devices_device)", "recorder"
    )
    (stack.data_dir / "secret.key").write_text("lost")
    manage("restore", str(file))
    assert manage("shell", "-v", "0", "-c", SHOW_GROUPS).split() == ["operator", "viewer"]
    assert (stack.data_dir / "secret.key").read_text() != "lost"
    assert list(stack.data_dir.glob("before-restore-*/database.dump"))
    server.execute("CREATE TABLE devices_tomorrow ()", "recorder")
    server.execute("DROP TABLE devices_tomorrow", "recorder")

    other = Stack(tmp_path / "sqlite")
    with pytest.raises(AssertionError, match="of PostgreSQL, and this recorder uses SQLite"):
        other.manage("restore", str(file), timeout=300)


def test_a_back_up_of_a_newer_version_is_refused(
    stack: Stack, server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = dj_database_url.parse(stack.env["DATABASE_URL"])
    monkeypatch.setitem(settings.DATABASES, "default", theirs)
    newer = "INSERT INTO django_migrations (app, name, applied)"
    server.execute(f"{newer} VALUES ('devices', '9999_tomorrow', now())", "recorder")
    dump = tmp_path / "database.dump"
    try:
        backup.dump_postgres(dump)
    finally:
        server.execute("DELETE FROM django_migrations WHERE name = '9999_tomorrow'", "recorder")
    with pytest.raises(BackupFailed, match=r"newer Roost \(devices 9999_tomorrow\)"):
        backup.check_postgres(dump)
    backup.dump_postgres(dump)
    backup.check_postgres(dump)


def test_what_is_asked_of_the_database_is_understood(server: postgres.Server) -> None:
    """Tests that hold on SQLite, with the tables made by the migrations from nothing."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    own["NVR_TEST_DATABASE_URL"] = server.new_database("tests")
    own["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    options = ("-n", "0", "-q", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *TELLING]
    done = subprocess.run(
        command,
        cwd=PROJECT_DIR,
        env=own,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def is_recorded(stack: Stack) -> bool:
    search = f"/api/v1/devices/?search={scene.prefix(60)}"
    found: list[dict[str, Any]] = stack.get_json(search, scene.BEARER)["results"]
    return len(found) == 1 and found[0]["is_recording"]


def wait_for_new_segments(stack: Stack, count: int) -> None:
    since = scene.now_ms()
    folder = scene.prefix(60).replace(":", "-") + "-*"

    def is_there() -> bool:
        paths = (stack.data_dir / "spool").glob(f"{folder}/*.mkv*")
        return sum(int(path.name.split(".")[0]) > since for path in paths) >= count

    wait_until(is_there, limit_s=60, what="the camera's video is kept")
