"""Where clips lie on disk: `<data>/clips/<uuid>.mp4`, `.jpg` and `.json`, `.part` behind each until
it is complete.

The sidecar (`.json`) holds what only the row knows (camera, moment, name, note, lock), so that a
lost database loses no clip (`manage.py reindexclips`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from clips.exceptions import ClipFileMissingError
from recordings.segments import sync_directory

PART = ".part"
SUFFIXES = (".json", ".jpg", ".mp4")


def directory() -> Path:
    """Made when it is missing; private, as all video is."""
    path: Path = settings.CLIPS_DIR
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def path_of(clip_pk: uuid.UUID, suffix: str) -> Path:
    """`suffix`: one of SUFFIXES, or one of them with PART. The file need not be there."""
    return Path(settings.CLIPS_DIR) / f"{clip_pk}{suffix}"


def existing(clip_pk: uuid.UUID, suffix: str) -> Path:
    """Raises ClipFileMissingError; a link that leads out of the directory is a missing file."""
    try:
        found = path_of(clip_pk, suffix).resolve(strict=True)
    except OSError as error:
        raise ClipFileMissingError from error
    if found.parent != Path(settings.CLIPS_DIR).resolve() or not found.is_file():
        raise ClipFileMissingError
    return found


def existing_or_none(clip_pk: uuid.UUID, suffix: str) -> Path | None:
    try:
        return existing(clip_pk, suffix)
    except ClipFileMissingError:
        return None


def publish(clip_pk: uuid.UUID, suffix: str) -> None:
    """Gives a written `.part` its final name. Raises OSError.

    What is in it is on disk then; the name is when the sidecar, which comes last, is written.
    """
    part = path_of(clip_pk, suffix + PART)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(path_of(clip_pk, suffix))


def write_sidecar(clip_pk: uuid.UUID, facts: dict[str, Any]) -> None:
    """Raises OSError; the one before stays then."""
    part = path_of(clip_pk, ".json" + PART)
    try:
        part.write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
        publish(clip_pk, ".json")
        sync_directory(part.parent)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_sidecars() -> Iterator[tuple[uuid.UUID, dict[str, Any]]]:
    """Of every clip whose video is there; a sidecar that cannot be read is left out."""
    for path in sorted(directory().glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            clip_pk = uuid.UUID(path.stem)
            facts = json.loads(path.read_text())
            if isinstance(facts, dict) and path_of(clip_pk, ".mp4").is_file():
                yield clip_pk, facts


def remove_parts(clip_pk: uuid.UUID) -> None:
    """What a cut left unfinished. Raises OSError."""
    for path in settings.CLIPS_DIR.glob(f"{clip_pk}.*{PART}"):
        path.unlink(missing_ok=True)


def remove(clip_pk: uuid.UUID) -> None:
    """Everything of a clip; the sidecar first, so that what a crash leaves is never taken for a
    clip again. Raises OSError.
    """
    if not settings.CLIPS_DIR.is_dir():
        return
    for suffix in SUFFIXES:
        path_of(clip_pk, suffix).unlink(missing_ok=True)
    remove_parts(clip_pk)
    sync_directory(settings.CLIPS_DIR)


@contextlib.contextmanager
def lock(clip_pk: uuid.UUID) -> Iterator[bool]:
    """One worker a clip, over all processes and threads; False when another one has it.

    The kernel lets go of it when the process dies. The file goes when its holder is done, so
    whoever opened it meanwhile holds a file that has no name any more, and has to look again.
    """
    settings.RUN_DIR.mkdir(parents=True, exist_ok=True)
    path = settings.RUN_DIR / f"clip-{clip_pk}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(fd), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        try:
            yield is_ours
        finally:
            if is_ours:
                path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def strays(known: set[uuid.UUID], *, older_than_s: float) -> list[Path]:
    """What no clip will miss, last written before that time (epoch seconds): `.part` files, and
    videos and pictures that neither a row nor a sidecar knows, so that they never were a clip.
    """
    found = []
    for path in directory().iterdir():
        if not _is_stray(path, known):
            continue
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < older_than_s:
                found.append(path)
    return found


def _is_stray(path: Path, known: set[uuid.UUID]) -> bool:
    if path.suffix == PART:
        return True
    try:
        clip_pk = uuid.UUID(path.stem)
    except ValueError:
        return False  # not ours: left alone
    is_known = clip_pk in known or path_of(clip_pk, ".json").exists()
    return path.suffix in SUFFIXES and not is_known
