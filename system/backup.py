"""Backing a recorder up, and putting it back (docs/install.md).

A back-up is made beside the running recorder; it is put back while nothing runs. What it replaces
is kept in `before-restore-…` until somebody deletes it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from devices.redaction import redact
from recordings.segments import sync_directory
from system import archive, datadir
from system.exceptions import BackupFailed, SetupFailed

RESTORED_SETTINGS = "restored.env"
PATIENCE_S = 12.0  # for processes that are just ending
DUMP_LIMIT_S = 3600
MARGIN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Restored:
    version: str  # of the program that made the back-up
    made_at_ms: int
    has_video: bool
    has_settings: bool  # they wait in <data>/restored.env
    replaced: Path  # where what was here before lies now


# --- making one ---------------------------------------------------------------------------------


def write(target: IO[bytes], *, with_video: bool, settings_file: Path | None) -> None:
    """Streams a back-up. Raises BackupFailed, OSError."""
    data_dir: Path = settings.DATA_DIR
    writer = archive.Writer(target, version=settings.VERSION, has_video=with_video)
    with _scratch(data_dir, "backup-") as scratch:
        copy = _copy_database(scratch)
        writer.add(copy.name, copy)
        if settings_file is not None:
            writer.add(archive.SETTINGS, settings_file)
        for path in sorted(data_dir.iterdir()):
            if not archive.is_kept(path.name, with_video=with_video) or path.is_symlink():
                continue
            if path.is_dir():
                writer.add_tree(f"data/{path.name}", path)
            else:
                writer.add(f"data/{path.name}", path)
        writer.close()


@contextlib.contextmanager
def _scratch(data_dir: Path, prefix: str) -> Iterator[Path]:
    """In the data directory: it has room for a second database, /tmp may be memory."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=data_dir) as name:
        yield Path(name)


def _copy_database(scratch: Path) -> Path:
    """A consistent copy of a database that is in use. Raises BackupFailed."""
    if connection.vendor == "sqlite":
        copy = scratch / "database.sqlite3"
        copy_sqlite(Path(settings.DATABASES["default"]["NAME"]), copy)
        return copy
    copy = scratch / "database.dump"
    dump_postgres(copy)
    return copy


def dump_postgres(target: Path) -> None:
    """By PostgreSQL's own program, which sees one moment, too. Raises BackupFailed."""
    _postgres("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def copy_sqlite(source: Path, target: Path) -> None:
    """By SQLite's own back-up, which sees one moment whatever is written meanwhile."""
    if not source.exists():
        raise BackupFailed(f"There is no database {source} yet.")
    try:
        with (
            contextlib.closing(sqlite3.connect(source, timeout=20)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)  # in one step: a step at a time begins anew after every write
            writer.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
    except sqlite3.Error as error:
        raise BackupFailed(f"The database cannot be copied: {error}.") from error


def _postgres(program: str, *arguments: str) -> str:
    """What one of PostgreSQL's own programs printed. Raises BackupFailed.

    The password goes by the environment, which others cannot read.
    """
    about: dict[str, Any] = settings.DATABASES["default"]
    own = {
        "PGHOST": about.get("HOST"),
        "PGPORT": str(about.get("PORT") or ""),
        "PGUSER": about.get("USER"),
        "PGPASSWORD": about.get("PASSWORD"),
        "PGDATABASE": about.get("NAME"),
        "PGSSLMODE": about.get("OPTIONS", {}).get("sslmode"),
    }
    env = {**os.environ, **{name: text for name, text in own.items() if text}}
    try:
        done = subprocess.run(
            [program, *arguments],
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DUMP_LIMIT_S,
        )
    except FileNotFoundError as error:
        raise BackupFailed(
            f"{program} is missing: install PostgreSQL's client (postgresql-client)."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BackupFailed(f"{program} did not end within an hour.") from error
    if done.returncode:
        said = redact(" ".join(done.stderr.decode(errors="replace").split()))[:500]
        raise BackupFailed(f"{program} failed: {said}")
    return done.stdout.decode(errors="replace")


# --- putting one back ---------------------------------------------------------------------------


def restore(source: IO[bytes]) -> Restored:
    """Puts a back-up in the place of what is here. `source`: seekable.

    The database is brought up to date by `manage.py prepare`, which every start runs. Raises
    BackupFailed (nothing was changed), OSError.
    """
    data_dir: Path = settings.DATA_DIR
    try:
        datadir.prepare(data_dir, settings.NVR.socket_dir)
        with datadir.alone(settings.RUN_DIR, PATIENCE_S):
            return _restore(source, data_dir)
    except SetupFailed as error:
        raise BackupFailed(str(error)) from error


def _restore(source: IO[bytes], data_dir: Path) -> Restored:
    with archive.reading(source) as reader, _scratch(data_dir, "restore-") as scratch:
        manifest = reader.manifest
        _check_room(data_dir, reader.size_bytes)
        _check_kind(manifest.database)
        reader.extract(scratch)
        if manifest.database == "database.sqlite3":
            _check_sqlite(scratch / manifest.database)
        else:
            check_postgres(scratch / manifest.database)
        return Restored(
            version=manifest.version,
            made_at_ms=manifest.made_at_ms,
            has_video=manifest.has_video,
            has_settings=archive.SETTINGS in manifest.files,
            replaced=_swap(scratch, data_dir, manifest),
        )


def _check_room(data_dir: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(data_dir).free
    if free < needed_bytes + MARGIN_BYTES:
        raise BackupFailed(
            f"{data_dir} has {free // 1_000_000} MB free; the back-up needs "
            f"{(needed_bytes + MARGIN_BYTES) // 1_000_000} MB."
        )


def _check_kind(database: str) -> None:
    is_sqlite = connection.vendor == "sqlite"
    if (database == "database.sqlite3") != is_sqlite:
        theirs, ours = ("PostgreSQL", "SQLite") if is_sqlite else ("SQLite", "PostgreSQL")
        raise BackupFailed(f"The back-up is of {theirs}, and this recorder uses {ours}.")


def _check_sqlite(path: Path) -> None:
    """Whole, a recorder's, and of no newer program. Raises BackupFailed."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise BackupFailed("The database in the back-up is damaged.")
            applied = set(database.execute("SELECT app, name FROM django_migrations"))
    except sqlite3.Error as error:
        raise BackupFailed(f"The database in the back-up cannot be used: {error}.") from error
    _check_version(applied)


def check_postgres(dump: Path) -> None:
    """Whole, as far as PostgreSQL's own program reads it, and of no newer program."""
    options = ("--data-only", "--table=django_migrations", "--file=-")
    lines = iter(_postgres("pg_restore", *options, str(dump)).splitlines())
    header = next((line for line in lines if line.startswith("COPY ")), "")
    if not header:
        raise BackupFailed("The database in the back-up is no recorder's.")
    columns = [name.strip() for name in header.partition("(")[2].partition(")")[0].split(",")]
    rows = (
        dict(zip(columns, line.split("\t"), strict=True))
        for line in itertools.takewhile(lambda line: line != "\\.", lines)
    )
    _check_version({(row["app"], row["name"]) for row in rows})


def _check_version(applied: set[tuple[str, str]]) -> None:
    known = MigrationLoader(None).disk_migrations.keys()
    own_apps = {app for app, _ in known}
    if newer := sorted(f"{app} {name}" for app, name in applied - known if app in own_apps):
        raise BackupFailed(f"The back-up was made by a newer Roost ({newer[0]}): upgrade first.")


def _swap(scratch: Path, data_dir: Path, manifest: archive.Manifest) -> Path:
    """Renames only, the rows first: what fails half-way leaves both versions on the disk."""
    replaced = data_dir / f"before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
    replaced.mkdir(mode=0o700)
    connection.close()
    if manifest.database == "database.sqlite3":
        path = Path(settings.DATABASES["default"]["NAME"])
        # A journal left behind would be played into the database that takes this one's place.
        for end in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(replaced / f"{path.name}{end}")
        (scratch / manifest.database).rename(path)
    else:
        _postgres("pg_dump", "--format=custom", f"--file={replaced / manifest.database}")
        _replace_postgres(scratch / manifest.database, scratch)
    if (scratch / archive.SETTINGS).exists():
        (scratch / archive.SETTINGS).replace(data_dir / RESTORED_SETTINGS)
    for path in sorted((scratch / "data").iterdir()) if (scratch / "data").is_dir() else ():
        if path.name in archive.VIDEO:
            _merge(path, data_dir / path.name)
            continue
        with contextlib.suppress(FileNotFoundError):
            (data_dir / path.name).rename(replaced / path.name)
        path.rename(data_dir / path.name)
    sync_directory(data_dir)
    return replaced


def _merge(source: Path, target: Path) -> None:
    """Video is never overwritten: what is here already stays."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(place)


def _replace_postgres(dump: Path, scratch: Path) -> None:
    """In one transaction.

    Our tables that the dump does not know go first: of a version newer than the back-up, they
    would hold on to what is replaced, and be in the way when the database is brought up to date.
    """
    away, script = scratch / "away.sql", scratch / "restore.sql"
    away.write_text(
        "".join(
            f"DROP TABLE IF EXISTS {connection.ops.quote_name(table)} CASCADE;\n"
            for table in _own_tables()
        )
    )
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges")
    _postgres("pg_restore", *options, f"--file={script}", str(dump))
    whole = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
    _postgres("psql", *whole, f"--file={away}", f"--file={script}")


def _own_tables() -> list[str]:
    """Also those of a newer version, which no model here knows: by the app's name."""
    prefixes = tuple(
        f"{app.label}_"
        for app in apps.get_app_configs()
        if Path(app.path).resolve().parent == settings.BASE_DIR
    )
    try:
        there = connection.introspection.table_names()
        models = set(connection.introspection.django_table_names())
    finally:
        connection.close()
    return [name for name in there if name in models or name.startswith(prefixes)]
