"""`manage.py reindexclips`: rows for clips that the database does not know (any more)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from clips import catalog


class Command(BaseCommand):
    help = "Find clips on disk that have no row, as after a lost database; changes no row there is."

    def handle(self, *args: Any, **options: Any) -> None:
        report = catalog.reindex()
        self.stdout.write(
            f"Clips: {report.right} known, {report.made} found again, "
            f"{report.refused} left as they are."
        )
