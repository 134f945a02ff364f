"""The file that a back-up is: a plain tar, ended by a manifest that names every part of it.

    database.sqlite3 | database.dump      the rows
    data/…                                keys, certificates, what else lies in the data directory
    settings/roost.env                    the installed recorder's settings, where there are any
    manifest.json                         last, so that a file that was cut off has none

An archive that is read may come from anywhere: nothing is written before every name in it was
judged, and nothing outside one new directory. Only plain files are taken.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from system.exceptions import BackupFailed

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT_BYTES = 256 * 1024 * 1024  # a line of 150 bytes for each of a million hour files
SETTINGS = "settings/roost.env"
DATABASES = ("database.sqlite3", "database.dump")
VIDEO = ("spool", "recordings", "clips", "captures")
# Made anew at every start, or of this machine and moment alone.
LEFT_OUT = ("run", "logs", "static", "valkey", "ballast", ".roost", "backups", "restored.env")
LEFT_OUT_PREFIXES = (
    "roost.sqlite3",
    "valkey.unreadable-",
    "backup-",
    "restore-",
    "before-restore-",
)
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    version: str  # of the program that made it
    made_at_ms: int
    has_video: bool
    files: dict[str, tuple[int, str]]  # name → size in bytes, SHA-256 in hex

    @property
    def database(self) -> str:
        return next(name for name in DATABASES if name in self.files)


def is_kept(top: str, *, with_video: bool) -> bool:
    """Whether the entry of the data directory with this name belongs into a back-up."""
    if top in LEFT_OUT or top.startswith(LEFT_OUT_PREFIXES) or top.endswith(".part"):
        return False
    return with_video or top not in VIDEO


# --- writing ------------------------------------------------------------------------------------


class Writer:
    """Streams: its target need not be seekable. Raises OSError."""

    def __init__(self, target: IO[bytes], *, version: str, has_video: bool) -> None:
        self._tar = tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._version, self._has_video = version, has_video
        self._files: dict[str, tuple[int, str]] = {}

    def add(self, name: str, path: Path) -> None:
        """One plain file as long as it is now; a recording may grow meanwhile, and is whole so far.

        What vanished before it could be opened, and what is no plain file, is left out.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            if path.is_symlink() or not path.exists():
                return
            raise
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return
            counted = _Counted(file, status.st_size)
            self._tar.addfile(_entry(name, status.st_size, status.st_mtime), counted)
            self._files[name] = (status.st_size, counted.digest.hexdigest())

    def add_tree(self, name: str, directory: Path) -> None:
        """Every plain file below it, links not followed."""
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.add(f"{name}/{path.relative_to(directory).as_posix()}", path)

    def close(self) -> None:
        manifest = {
            "format": FORMAT,
            "version": self._version,
            "made_at_ms": int(time.time() * 1000),
            "has_video": self._has_video,
            "files": self._files,
        }
        text = json.dumps(manifest).encode()
        self._tar.addfile(_entry(MANIFEST, len(text), time.time()), io.BytesIO(text))
        self._tar.close()


class _Counted(io.RawIOBase):
    """Exactly `size` bytes of a file, hashed as they pass."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__()
        self._file, self._left = file, size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._file.read(wanted)
        self._left -= len(chunk)
        self.digest.update(chunk)
        return chunk


def _entry(name: str, size: int, at: float) -> tarfile.TarInfo:
    """Without owner or group: whoever restores it owns it."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, int(at), 0o600
    return entry


# --- reading ------------------------------------------------------------------------------------


@contextmanager
def reading(source: IO[bytes]) -> Iterator[Reader]:
    """Raises BackupFailed in words for whatever is no whole back-up. `source`: seekable."""
    try:
        with tarfile.open(fileobj=source, mode="r:") as tar:
            yield Reader(tar)
    except tarfile.TarError as error:
        raise BackupFailed(f"This is no back-up, or only a part of one ({error}).") from error


class Reader:
    def __init__(self, tar: tarfile.TarFile) -> None:
        """Judges the whole archive before anything is taken out of it."""
        self._tar = tar
        members = tar.getmembers()
        names = [member.name for member in members]
        for member in members:
            _judge(member)
        if len(set(names)) != len(names):
            raise BackupFailed("The back-up holds a file twice and is not used.")
        if not names or names[-1] != MANIFEST:
            raise BackupFailed("This is no back-up of Roost, or its end is missing.")
        self.manifest = _manifest(tar, members[-1])
        if {m.name: m.size for m in members[:-1]} != {
            name: size for name, (size, _) in self.manifest.files.items()
        }:
            raise BackupFailed("The back-up's list and its files differ; it is not used.")
        for name in names[:-1]:
            _judge_place(name, has_video=self.manifest.has_video)
        if sum(name in DATABASES for name in names) != 1:
            raise BackupFailed("The back-up holds no database.")
        self._members = {member.name: member for member in members[:-1]}

    @property
    def size_bytes(self) -> int:
        return sum(member.size for member in self._members.values())

    def extract(self, directory: Path) -> None:
        """Everything below `directory`, which is new; each file checked and synced.

        Raises BackupFailed, OSError.
        """
        for name, member in self._members.items():
            target = directory / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source = self._tar.extractfile(member)
            if source is None:
                raise BackupFailed(f"{name!r} is no plain file.")
            digest = hashlib.sha256()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.utime(target, (member.mtime, member.mtime))
            if digest.hexdigest() != self.manifest.files[name][1]:
                raise BackupFailed(f"{name!r} is damaged in the back-up.")


def _judge(member: tarfile.TarInfo) -> None:
    """Raises BackupFailed for a name that leads anywhere else, and for all but plain files."""
    if not member.isreg() or member.issparse():
        raise BackupFailed(f"The back-up holds {member.name!r}, which is no plain file.")
    path = PurePosixPath(member.name)
    is_plain = (
        not path.is_absolute()
        and ".." not in path.parts
        and str(path) == member.name
        and "\\" not in member.name
        and member.name.isprintable()
        and len(member.name) <= 1024
    )
    if not is_plain:
        raise BackupFailed(f"The back-up holds a file named {member.name[:200]!r}.")


def _judge_place(name: str, *, has_video: bool) -> None:
    parts = PurePosixPath(name).parts
    is_known = name in DATABASES or name == SETTINGS
    is_data = len(parts) > 1 and parts[0] == "data" and is_kept(parts[1], with_video=has_video)
    if not is_known and not is_data:
        raise BackupFailed(f"The back-up holds {name!r}, which is no part of a back-up.")


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    file = tar.extractfile(member)
    if file is None or member.size > MANIFEST_LIMIT_BYTES:
        raise BackupFailed("The back-up's list cannot be read.")
    try:
        read: dict[str, Any] = json.load(file)
        number = int(read["format"])
        found = Manifest(
            version=str(read["version"]),
            made_at_ms=int(read["made_at_ms"]),
            has_video=read["has_video"] is True,
            files={str(name): (int(size), str(sha)) for name, (size, sha) in read["files"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupFailed("The back-up's list cannot be read.") from error
    if number != FORMAT:
        raise BackupFailed(f"The back-up has format {number}; this Roost reads format {FORMAT}.")
    return found
