"""`manage.py prepare`: first-run set-up; safe to repeat, quick when there is nothing to do."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from system import datadir, first_run
from system.exceptions import SetupFailed


class Command(BaseCommand):
    help = "Makes the data directory, certificate, database and first administrator."
    requires_system_checks = ()  # they load every page and API of the product: 0.4 s

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--certificate",
            action="store_true",
            help="only bring the certificate up to date; prints `changed` when it did",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """What it prints on stdout is for a person's eyes and goes to no log."""
        try:
            datadir.prepare(settings.DATA_DIR, settings.NVR.socket_dir)
            if options["certificate"]:
                if first_run.renew_certificate():
                    self.stdout.write("changed")
                return
            administrator = first_run.run()
        except SetupFailed as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:
            sentence = f"{settings.DATA_DIR} cannot be used: {error.strerror or error}."
            raise CommandError(sentence, returncode=2) from error
        if administrator is None:
            return
        self.stdout.write(f"The first administrator is {administrator.username!r}.")
        if administrator.password:
            self.stdout.write(f"Password, shown only this once: {administrator.password}")
