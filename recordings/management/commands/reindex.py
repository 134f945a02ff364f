"""`manage.py reindex`: rebuild the rows of recordings from the files alone."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from recordings.reindex import reindex


class Command(BaseCommand):
    help = "Rebuild every recording's row from the hour files; safe at any time, also repeatedly."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--device", default="", help="one camera only: its MAC address")

    def handle(self, *args: Any, **options: Any) -> None:
        report = reindex(options["device"].upper().replace(":", "-"))
        self.stdout.write(
            f"Rows: {report.rows_right} right, {report.rows_made} made, "
            f"{report.rows_changed} changed, {report.rows_removed} removed (no file). "
            f"New cameras: {report.devices_made}. Files left alone: {report.files_refused}."
        )
        if report.devices_busy:
            self.stdout.write(
                f"{report.devices_busy} cameras are being packaged now; run it again for those."
            )
