"""Back-up and restore, by the commands themselves on data directories of their own."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nvr_project.environment import PROJECT_DIR
from system import archive, backup, datadir
from system.exceptions import BackupFailed

# Each test starts some programs of two seconds, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)
USER = "insert into auth_group (name) values ('{}')"


def environment(data_dir: Path) -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if not name.startswith("NVR_")}
    return {**own, "NVR_DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "nvr_project.settings"}


def manage(data_dir: Path, *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT_DIR,
        env=environment(data_dir),
        capture_output=True,
        check=False,
        timeout=300,
        **kwargs,
    )


def worked(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def groups(data_dir: Path) -> set[str]:
    with sqlite3.connect(data_dir / "roost.sqlite3") as database:
        return {name for (name,) in database.execute("select name from auth_group")}


def add_group(data_dir: Path, name: str) -> None:
    with sqlite3.connect(data_dir / "roost.sqlite3") as database:
        database.execute(USER.format(name))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As after the first start, with a recording and a clip."""
    data_dir = tmp_path_factory.mktemp("prepared") / "data"
    worked(manage(data_dir, "prepare"))
    for name in ("recordings/AA-BB/2026-11-20/14.mp4", "clips/one.mp4", "firmware/1.roost"):
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    (data_dir / "logs" / "roost.log").write_text("said before")
    return data_dir


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_what_was_lost_comes_back_and_what_replaced_it_is_kept(
    data_dir: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "roost.env"
    settings.write_text("NVR_PORT=8443\n")
    key = (data_dir / "secret.key").read_bytes()
    authority = (data_dir / "pki" / "ca.pem").read_bytes()
    add_group(data_dir, "before")
    file = tmp_path / "roost.tar"
    said = worked(manage(data_dir, "backup", str(file), "--settings-file", str(settings)))
    assert str(file) in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    add_group(data_dir, "after")
    (data_dir / "secret.key").write_text("lost")
    shutil.rmtree(data_dir / "pki")
    said = worked(manage(data_dir, "restore", str(file)))
    assert "reindex" in said
    assert groups(data_dir) == {"viewer", "operator", "before"}
    assert (data_dir / "secret.key").read_bytes() == key
    assert (data_dir / "pki" / "ca.pem").read_bytes() == authority
    assert stat.S_IMODE((data_dir / "pki" / "authority.key").stat().st_mode) == 0o600
    assert (data_dir / "restored.env").read_text() == "NVR_PORT=8443\n"
    assert (data_dir / "recordings/AA-BB/2026-11-20/14.mp4").exists(), "video is not touched"
    (replaced,) = data_dir.glob("before-restore-*")
    assert (replaced / "secret.key").read_text() == "lost"
    assert "after" in groups_in(replaced / "roost.sqlite3")
    worked(manage(data_dir, "prepare"))
    assert not list(data_dir.glob("restore-*")), "no scratch is left"


def groups_in(path: Path) -> set[str]:
    with sqlite3.connect(path) as database:
        return {name for (name,) in database.execute("select name from auth_group")}


def test_it_holds_settings_and_no_video(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "outside").symlink_to("/etc/passwd")
    (data_dir / "pki" / "link").symlink_to("/etc/passwd")
    file = tmp_path / "roost.tar"
    worked(manage(data_dir, "backup", str(file)))
    names = members(file)
    assert names[-1] == "manifest.json"
    assert {"database.sqlite3", "data/secret.key", "data/pki/ca.pem", "data/firmware/1.roost"} <= {
        *names
    }
    tops = {name.split("/")[1] for name in names if name.startswith("data/")}
    assert tops & {*archive.VIDEO, *archive.LEFT_OUT, "outside", "roost.sqlite3"} == set()
    assert "data/pki/link" not in names


def test_with_video_it_holds_video_and_never_overwrites_any(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "roost.tar"
    worked(manage(data_dir, "backup", str(file), "--with-video"))
    hour = data_dir / "recordings/AA-BB/2026-11-20/14.mp4"
    before = hour.read_bytes()
    (data_dir / "clips/one.mp4").unlink()
    hour.write_bytes(before + b"it grew since")
    worked(manage(data_dir, "restore", str(file)))
    assert hour.read_bytes() == before + b"it grew since"
    assert (data_dir / "clips/one.mp4").read_bytes() == b"clips/one.mp4" * 1000


def test_it_goes_through_pipes_for_a_caller_with_other_rights(
    data_dir: Path, tmp_path: Path
) -> None:
    done = manage(data_dir, "backup", "-")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "roost.tar"
    file.write_bytes(done.stdout)
    with file.open("rb") as source:
        worked(manage(data_dir, "restore", "-", stdin=source))
    refused = manage(data_dir, "restore", "-", input=done.stdout)
    assert refused.returncode != 0
    assert b"must be a file" in refused.stderr


def test_a_file_that_is_there_is_not_overwritten(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "roost.tar"
    file.write_text("mine")
    done = manage(data_dir, "backup", str(file))
    assert done.returncode != 0
    assert b"exists already" in done.stderr
    assert file.read_text() == "mine"


def test_the_copy_of_a_database_in_use_is_of_one_moment(tmp_path: Path) -> None:
    """Two rows are always written together; every copy holds as many of one as of the other."""
    source = tmp_path / "busy.sqlite3"
    with sqlite3.connect(source) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table a (n)")
        database.execute("create table b (n, filler)")
    stop = threading.Event()

    def write() -> None:
        writer = sqlite3.connect(source, timeout=20)
        while not stop.is_set():
            with writer:
                writer.execute("insert into a values (1)")
                writer.execute("insert into b values (1, randomblob(2000))")
        writer.close()

    writing = threading.Thread(target=write)
    writing.start()
    try:
        counts = []
        for number in range(5):
            copy = tmp_path / f"{number}.sqlite3"
            backup.copy_sqlite(source, copy)
            with sqlite3.connect(copy) as database:
                pair = database.execute(
                    "select (select count(*) from a), (select count(*) from b)"
                ).fetchone()
            counts.append(pair)
    finally:
        stop.set()
        writing.join()
    assert all(a == b for a, b in counts)


def test_nothing_is_put_back_under_a_running_recorder(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "roost.tar"
    worked(manage(data_dir, "backup", str(file)))
    key = (data_dir / "secret.key").read_bytes()
    lock = datadir.share(data_dir / "run", 1)
    try:
        done = manage(data_dir, "restore", str(file))
    finally:
        os.close(lock)
        close_lock_of(data_dir / "run" / "supervisor.lock")
    assert done.returncode != 0
    assert b"already running" in done.stderr
    assert (data_dir / "secret.key").read_bytes() == key
    assert not list(data_dir.glob("before-restore-*"))


def close_lock_of(path: Path) -> None:
    """`share` keeps its first descriptor for the life of a process; this one lives on."""
    for entry in Path("/proc/self/fd").iterdir():
        if entry.exists() and entry.samefile(path):
            os.close(int(entry.name))


# --- archives from elsewhere --------------------------------------------------------------------


def entry(name: str, content: bytes = b"x", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def made(
    *entries: tuple[tarfile.TarInfo, bytes], manifest: Callable[[Any], Any] = lambda m: m
) -> Any:
    """A tar with an honest manifest, unless `manifest` changes it."""
    target = io.BytesIO()
    import hashlib

    files = {i.name: (i.size, hashlib.sha256(c).hexdigest()) for i, c in entries}
    about = {"format": 1, "version": "9", "made_at_ms": 1, "has_video": False, "files": files}
    with tarfile.open(fileobj=target, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
        text = json.dumps(manifest(about)).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    target.seek(0)
    return target


DATABASE = entry("database.sqlite3", b"rows")


def test_an_honest_archive_is_read(tmp_path: Path) -> None:
    with archive.reading(made(DATABASE, entry("data/pki/ca.pem"))) as reader:
        reader.extract(tmp_path)
    assert (tmp_path / "data/pki/ca.pem").read_bytes() == b"x"


@pytest.mark.parametrize(
    "evil",
    [
        entry("/etc/cron.d/x"),
        entry("../outside"),
        entry("data/../../outside"),
        entry("data/pki/./x"),
        entry("data//x"),
        entry("data/x\n"),
        entry("data\\..\\x"),
        entry("data/link", b"", type=tarfile.SYMTYPE, linkname="/etc"),
        entry("data/link", b"", type=tarfile.LNKTYPE, linkname="database.sqlite3"),
        entry("data/fifo", b"", type=tarfile.FIFOTYPE),
        entry("data/device", b"", type=tarfile.CHRTYPE),
        entry("data/directory", b"", type=tarfile.DIRTYPE),
        entry("somewhere/else"),
        entry("data"),
        entry("data/run/supervisor.lock"),
        entry("data/logs/x"),
        entry("data/roost.sqlite3-wal"),
        entry("data/recordings/AA/14.mp4"),
        entry("settings/other.env"),
        entry("database.sqlite3", b"twice"),
        entry("database.dump", b"of another kind"),
    ],
    ids=lambda pair: f"{pair[0].name!r} {pair[0].type!r}",
)
def test_nothing_is_taken_out_of_an_archive_with_one_bad_name(
    evil: tuple[tarfile.TarInfo, bytes], tmp_path: Path
) -> None:
    with pytest.raises(BackupFailed), archive.reading(made(DATABASE, evil)) as reader:
        reader.extract(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_whole_or_refused(tmp_path: Path) -> None:
    whole = made(DATABASE, entry("data/secret.key", b"k" * 5000)).getvalue()
    for size in range(0, 7200, 100):  # the list ends behind that
        with pytest.raises(BackupFailed), archive.reading(io.BytesIO(whole[:size])):
            pass
    with pytest.raises(BackupFailed), archive.reading(io.BytesIO(b"no tar at all" * 1000)):
        pass


@pytest.mark.parametrize(
    "manifest",
    [
        lambda m: {**m, "format": 2},
        lambda m: {**m, "files": {**m["files"], "data/missing": (1, "00")}},
        lambda m: {**m, "files": {}},
        lambda m: {**m, "files": None},
        lambda m: [],
        lambda m: {},
    ],
)
def test_a_list_that_does_not_fit_is_refused(manifest: Callable[[Any], Any]) -> None:
    with pytest.raises(BackupFailed), archive.reading(made(DATABASE, manifest=manifest)):
        pass


def test_a_damaged_file_is_noticed_before_anything_is_replaced(tmp_path: Path) -> None:
    tar = made(DATABASE, entry("data/secret.key", b"k" * 5000)).getvalue().replace(b"kk", b"kj", 1)
    with archive.reading(io.BytesIO(tar)) as reader, pytest.raises(BackupFailed, match="damaged"):
        reader.extract(tmp_path)


def test_a_back_up_of_a_newer_program_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with sqlite3.connect(data_dir / "roost.sqlite3") as database:
        database.execute(
            "insert into django_migrations (app, name, applied)"
            " values ('devices', '9999_of_the_future', '2030-01-01')"
        )
    file = tmp_path / "roost.tar"
    worked(manage(data_dir, "backup", str(file)))
    done = manage(data_dir, "restore", str(file))
    assert done.returncode != 0
    assert b"newer Roost" in done.stderr
    assert not list(data_dir.glob("before-restore-*"))
