"""`manage.py restore FILE`: puts a back-up in the place of what is here; nothing may be running."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from system import backup
from system.exceptions import BackupFailed


class Command(BaseCommand):
    help = "Puts back what `manage.py backup` wrote; the recorder has to be stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="of `manage.py backup`; - for a file on standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["file"] == "-":
                if not sys.stdin.buffer.seekable():
                    raise CommandError("Standard input must be a file, as in `restore - < FILE`.")
                done = backup.restore(sys.stdin.buffer)
            else:
                with Path(options["file"]).open("rb") as file:
                    done = backup.restore(file)
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The back-up cannot be put back: {error}.") from error
        made = datetime.fromtimestamp(done.made_at_ms / 1000).astimezone()
        self.stdout.write(f"Restored what Roost {done.version} kept on {made:%Y-%m-%d at %H:%M}.")
        self.stdout.write(
            f"What was here before lies in {done.replaced}; delete it when all is well."
        )
        if done.has_settings:
            self.stdout.write(
                f"The settings lie in {settings.DATA_DIR / backup.RESTORED_SETTINGS}."
            )
        if not done.has_video:
            self.stdout.write(
                "Recordings were not part of it. `manage.py reindex` lists those that are here."
            )
