"""Where captures lie on disk: `<data>/captures/<name>`, their previews in `.previews/<id>.jpg`.

A file gets its name when it is whole and on disk; a name that is taken is never taken again.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.utils import timezone

from recordings.segments import sync_directory
from stills.exceptions import FileMissingError

PART = ".part"
SUFFIXES = {".jpg": "jpg", ".mp4": "mp4", ".h264": "h264", ".dng": "dng"}
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "h264": "video/h264",
    "dng": "image/x-adobe-dng",
}
MAX_STEM = 100  # letters; with a suffix that tells two apart it still fits every file system
MAX_TRIES = 10_000
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def directory() -> Path:
    """Made when it is missing; private, as all video is."""
    path: Path = settings.CAPTURES_DIR
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def part_path(capture_pk: uuid.UUID) -> Path:
    """Where a capture is written; a dot file, so no name that anybody can ask for."""
    return directory() / f".{capture_pk}{PART}"


def preview_path(capture_pk: uuid.UUID) -> Path:
    return Path(settings.CAPTURES_DIR) / ".previews" / f"{capture_pk}.jpg"


def existing(name: str) -> Path:
    """Raises FileMissingError; a link, a dot file and what lies elsewhere are missing files."""
    path = Path(settings.CAPTURES_DIR) / name
    is_plain = name == path.name and not name.startswith(".") and "\0" not in name
    try:
        if is_plain and path.is_file() and not path.is_symlink():
            return path
    except OSError as error:  # a name that is too long
        raise FileMissingError from error
    raise FileMissingError


def safe_name(text: str, kind: str) -> str:
    """The base name of what a client asked for, with the kind's extension; "" where nothing of it
    is usable. What a file system or a log could misread becomes `_`.
    """
    base = PurePosixPath(text.replace("\\", "/")).name
    stem = base.rpartition(".")[0] if "." in base.lstrip(".") else base
    stem = _UNSAFE.sub("_", stem).lstrip(".")[:MAX_STEM]
    return f"{stem}.{kind}" if stem.strip("_.-") else ""


def default_name(
    kind: str, *, width: int, height: int, fps: int, duration_ms: int, at: datetime
) -> str:
    """As the older systems name theirs, in local time."""
    local = f"{timezone.localtime(at):%Y%m%d_%H%M%S}"
    if kind == "dng":
        return f"capture_{local}.dng"
    seconds = f"{duration_ms / 1000:g}"
    return f"{local}_{width}x{height}_{fps}fps_{seconds}s.{kind}"


def publish(
    part: Path, wanted_name: str, *, is_free: Callable[[str], bool] = lambda _: True
) -> str:
    """Gives a written file its name, or the nearest free one, and syncs both. Raises OSError.

    link(2) refuses to replace what is there, whoever made it in the same moment.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    for name in _names(wanted_name):
        if not is_free(name):
            continue
        try:
            os.link(part, directory() / name)
        except FileExistsError:
            continue
        part.unlink()
        sync_directory(directory())
        return name
    raise FileExistsError(f"{MAX_TRIES} files are named like {wanted_name}")


def remove(capture_pk: uuid.UUID, name: str | None) -> None:
    """The file and its preview; a missing one is no error. Raises OSError."""
    if name:
        (Path(settings.CAPTURES_DIR) / name).unlink(missing_ok=True)
    preview_path(capture_pk).unlink(missing_ok=True)


def remove_parts(capture_pk: uuid.UUID) -> None:
    """What a capture left unfinished, a program's own side files included."""
    for path in Path(settings.CAPTURES_DIR).glob(f".{capture_pk}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def listed() -> Iterator[tuple[str, os.stat_result]]:
    """Name and facts of every captured file on disk, rows or not; links and dot files are none."""
    try:
        entries = list(os.scandir(settings.CAPTURES_DIR))
    except FileNotFoundError:
        return
    for entry in entries:
        is_ours = Path(entry.name).suffix in SUFFIXES and not entry.name.startswith(".")
        with contextlib.suppress(FileNotFoundError):
            if is_ours and entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False)


def _names(wanted: str) -> Iterator[str]:
    stem, _, suffix = wanted.rpartition(".")
    yield wanted
    for number in range(2, MAX_TRIES):
        yield f"{stem}-{number}.{suffix}"
