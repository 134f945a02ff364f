"""`manage.py backup FILE`: settings, keys and rows of a recorder that may be running."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from recordings.segments import sync_directory
from system import backup
from system.exceptions import BackupFailed


class Command(BaseCommand):
    help = "Writes settings, keys, certificates and the database into one file (docs/install.md)."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a new file; - for standard output")
        parser.add_argument("--with-video", action="store_true", help="recordings, clips, captures")
        parser.add_argument("--settings-file", type=Path, help="also this file of settings")

    def handle(self, *args: Any, **options: Any) -> None:
        how = {"with_video": options["with_video"], "settings_file": options["settings_file"]}
        try:
            if options["file"] == "-":
                if sys.stdout.isatty():
                    raise CommandError("A back-up is no text: name a file.", returncode=2)
                backup.write(sys.stdout.buffer, **how)
                sys.stdout.buffer.flush()
                return
            path = Path(options["file"]).absolute()
            size_bytes = write_new(path, how)
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The back-up cannot be written: {error}.") from error
        self.stdout.write(f"{path}, {size_bytes / 1e6:.1f} MB. It holds keys: keep it private.")


def write_new(path: Path, how: dict[str, Any]) -> int:
    """Size in bytes of the finished file; a file that is there already is never overwritten."""
    if path.exists():
        raise BackupFailed(f"{path} exists already: name a new file.")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)  # of a back-up that was cut off
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            backup.write(file, **how)
            file.flush()
            os.fsync(descriptor)
            size_bytes = file.tell()
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(path.parent)
    return size_bytes
