"""The capture agent: takes in the cameras that must be pulled, here or for a recorder elsewhere.

This command only finds out whom to serve, then becomes `python -m nvr_project.agent`, which has
neither Django's apps nor a database.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from devices import sources
from devices.keys import is_key

AGENT = "nvr_project.agent"  # composition: it knows the layers above this app


class Command(BaseCommand):
    help = "Take in RTSP, HTTP, USB and Pi cameras (docs/capture-agent.md)."
    requires_system_checks: list[str] = []  # 0.4 s of every start; make check runs them

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--server",
            default=settings.NVR.server,
            help="a recorder on another machine: https://host:3443",
        )
        add(
            "--key-file",
            default=settings.NVR.node_key_file,
            help="this node's key, as the recorder showed it once",
        )
        add(
            "--ca-file",
            default=settings.NVR.ca_file,
            help="the recorder's ca.pem; none: a public certificate",
        )
        add("--run-dir", default="", help="where locks lie; made when it is missing")
        add(
            "--url",
            default=f"https://127.0.0.1:{settings.NVR_PORT}",
            help="the recorder on this machine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            arguments, key = self._remote(options) if options["server"] else self._local(options)
        except DatabaseError as error:  # it may be locked, or be migrated: started again later
            self.stderr.write(f"The database cannot be asked for this node's key: {error}.")
            sys.exit(1)
        except CommandError as error:
            self.stderr.write(str(error))
            sys.exit(2)
        reader = _inherited(key)
        argv = [sys.executable, "-m", AGENT, *arguments, "--key-fd", str(reader)]
        os.chdir(settings.BASE_DIR)  # where the module is found
        sys.stdout.flush()
        os.execv(sys.executable, [*argv, "--version", settings.VERSION])  # noqa: S606  no shell is wanted

    def _local(self, options: dict[str, Any]) -> tuple[list[str], str]:
        ca_file = settings.PKI_DIR / "ca.pem"
        if not ca_file.is_file():
            raise CommandError(f"{ca_file} is missing; `manage.py prepare` makes it.")
        settings.RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = ["--ca-file", str(ca_file), "--run-dir", str(settings.RUN_DIR)]
        return ["--server", options["url"], *places, "--is-local"], sources.local_node_key()

    def _remote(self, options: dict[str, Any]) -> tuple[list[str], str]:
        """Raises CommandError in words."""
        parts = urlsplit(options["server"])
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
            raise CommandError("--server must look like https://192.168.1.10:3443.")
        if not options["key_file"]:
            raise CommandError("--key-file is missing: the recorder's page of nodes makes a key.")
        key = read_key(Path(options["key_file"]))
        arguments = [
            "--server",
            f"https://{parts.netloc}",
            "--run-dir",
            str(_run_dir(options["run_dir"])),
        ]
        if options["ca_file"]:
            arguments += ["--ca-file", str(Path(options["ca_file"]).resolve())]
        return arguments, key


def read_key(path: Path) -> str:
    """Raises CommandError for a file that others may read, or that holds no key."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The key file {path} cannot be read: {error}.") from error
    if mode & 0o077:
        raise CommandError(f"Others may read {path}: chmod 600 it, and make a new key.")
    if not is_key(text):
        raise CommandError(f"{path} holds no key: it is one line of 64 characters.")
    return text


def _run_dir(wanted: str) -> Path:
    """For locks only; what is in it may be gone after a reboot. Raises CommandError."""
    given = wanted or os.environ.get("RUNTIME_DIRECTORY", "")  # of a systemd unit
    path = Path(given or Path(tempfile.gettempdir()) / f"roost-capture-{os.getuid()}").resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise CommandError(
            f"{path} belongs to another user: name a place of your own by --run-dir."
        )
    return path


def _inherited(key: str) -> int:
    """A pipe that holds the key: neither a file nor an argument, which everybody may read."""
    reader, writer = os.pipe()
    os.write(writer, key.encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    return reader
