"""`manage.py reindexcaptures`: rows for captured files, and no row without a file."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stills.reindex import reindex


class Command(BaseCommand):
    help = "Rebuild the rows of captures from their files; safe at any time, also repeatedly."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--force", action="store_true", help="remove rows even if most of the files are gone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        report = reindex(is_forced=options["force"])
        self.stdout.write(
            f"Captures: {report.right} known, {report.made} found again, "
            f"{report.removed} removed (no file), {report.refused} left as they are. "
            f"Previews made again: {report.previews}."
        )
        if report.notes:
            raise CommandError("\n".join(report.notes))
