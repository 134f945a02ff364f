"""What has to be in place before the recorder serves; each step costs little when nothing changed.

Run by `manage.py prepare`, as the supervisor's first child.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from devices.environment_sources import apply_environment
from devices.redaction import redact
from system import addresses, pki
from system.exceptions import SetupFailed

GROUPS = ("viewer", "operator")
# Of hls.js only the minified builds are loaded, of the QR codes one module, and of the API's
# documentation only Swagger UI.
NOT_SERVED = (
    "*.d.ts", "*.d.mts", "hls-demo*", "hls.js*", "hls.mjs*", "hls.light.js*", "hls.light.mjs*",
    "hls.worker*", "qrcode.js", "qrcode_*", "redoc",
)  # fmt: skip
# No letters that are mistaken for one another: it is read off a terminal and typed into a phone.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Administrator:
    """The first log-in; `password` is empty where the person chose it themselves."""

    username: str
    password: str


def run() -> Administrator | None:
    """The administrator, when one was made now. Raises SetupFailed."""
    renew_certificate()
    migrate()
    collect_static_files()
    add_cameras_of_the_environment()
    return make_first_administrator()


# --- certificate --------------------------------------------------------------------------------


def renew_certificate() -> bool:
    """True when the web process has to load its certificate again."""
    environment = settings.NVR
    operator = None
    if environment.tls_cert or environment.tls_key:
        if not (environment.tls_cert and environment.tls_key):
            raise SetupFailed("Set NVR_TLS_CERT and NVR_TLS_KEY together, or neither.")
        operator = pki.OperatorFiles(Path(environment.tls_cert), Path(environment.tls_key))
    return pki.ensure(
        settings.PKI_DIR,
        names=certificate_names(environment.host_names),
        now=timezone.now(),
        operator=operator,
    )


def certificate_names(extra: tuple[str, ...]) -> pki.Names:
    """Loopback is in it for the simulated cameras and for a browser on the machine itself."""
    short = addresses.host_name()
    host_names = dict.fromkeys(
        (short, f"{short}.local", addresses.announced_name(), "localhost", *extra)
    )
    return pki.Names(
        addresses=[*addresses.lan_addresses(), "127.0.0.1"], host_names=list(host_names)
    )


# --- database -----------------------------------------------------------------------------------


def migrate() -> None:
    """Raises SetupFailed when the database cannot be reached or is newer than this program."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        reason = redact(" ".join(str(error).split()))  # drivers explain on several lines
        raise SetupFailed(f"The database cannot be used: {reason}.") from error


def make_first_administrator() -> Administrator | None:
    """None when somebody can already log in as administrator. There is no default password."""
    users = get_user_model()
    with transaction.atomic():
        for name in GROUPS:
            Group.objects.get_or_create(name=name)
        if users.objects.filter(is_superuser=True, is_active=True).exists():
            return None
        username = settings.NVR.admin_username
        chosen = settings.NVR.admin_password
        password = chosen or "-".join(
            "".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4)
        )
        person, _ = users.objects.get_or_create(username=username)
        person.is_staff = person.is_superuser = person.is_active = True
        person.set_password(password)
        person.save()
    return Administrator(username=username, password="" if chosen else password)


def add_cameras_of_the_environment() -> None:
    environment = settings.NVR
    apply_environment(
        {
            "CAMERA_SOURCE": environment.camera_source,
            "RTSP_URL": environment.rtsp_url,
            "HTTP_URL": environment.http_url,
        }
    )


# --- static files -------------------------------------------------------------------------------


def collect_static_files() -> None:
    """Only when a source changed: hashing and compressing them all takes seconds on a Pi."""
    stamp_file = Path(settings.STATIC_ROOT) / ".stamp"
    stamp = _static_stamp()
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return
    call_command(
        "collectstatic",
        interactive=False,
        clear=True,
        verbosity=0,
        ignore_patterns=list(NOT_SERVED),
    )
    stamp_file.write_text(stamp)


def _static_stamp() -> str:
    """Our own files by size and time, the packages' by their versions."""
    digest = hashlib.sha256()
    for package in ("django", "djangorestframework", "drf-spectacular-sidecar", "servestatic"):
        digest.update(f"{package} {version(package)}\n".encode())
    entries: list[Any] = list(settings.STATICFILES_DIRS)
    for entry in entries:
        directory = entry[1] if isinstance(entry, tuple) else entry  # ("prefix", directory)
        for path in sorted(Path(directory).rglob("*")):
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
