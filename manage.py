#!/usr/bin/env python3
"""Django's command line for Roost; `make run` starts the whole recorder instead."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")
    from django.core.management import execute_from_command_line

    import nvr_project.celery  # noqa: F401  the tasks' default app

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
