"""The recorder's settings for pytest: a fresh data directory, no broker, nothing of the caller's.

pytest-django imports the settings before any conftest, so this module is where the environment
is put in order. Processes that a test starts use the real `nvr_project.settings` (conftest).

NVR_TEST_DATABASE_URL=postgres://… has the tests use that server in SQLite's place; its user must be
allowed to create databases.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import dj_database_url

for _name in list(os.environ):
    if _name.startswith("NVR_TEST_"):  # asks for a longer test, and is no setting
        continue
    if _name.startswith(("NVR_", "FFMPEG_", "CORS_", "DEFAULT_")) or _name in (
        "ANALYZE_URL",
        "AUTH_TOKEN",
        "DATABASE_URL",
        "REDIS_URL",
        "CAMERA_SOURCE",
        "RTSP_URL",
        "HTTP_URL",
        "NODE_ID",
    ):
        del os.environ[_name]
_directory = Path(tempfile.mkdtemp(prefix="roost-tests-"))
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
os.environ["NVR_DATA_DIR"] = str(_directory / "data")
os.environ["NVR_SECRET_KEY"] = "a key for tests, forty characters and more"

from nvr_project.settings import *  # noqa: E402, F403
from nvr_project.settings import (  # noqa: E402
    CAPTURES_DIR,
    CLIPS_DIR,
    DATA_DIR,
    RECORDINGS_DIR,
    RUN_DIR,
    SPOOL_DIR,
    STATIC_ROOT,
)

for _path in (DATA_DIR, RUN_DIR, SPOOL_DIR, RECORDINGS_DIR, CLIPS_DIR, CAPTURES_DIR, STATIC_ROOT):
    _path.mkdir(mode=0o700, parents=True, exist_ok=True)
(DATA_DIR / ".roost").touch()  # the marker of a directory that retention may delete in

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "roost.sqlite3",
        # As in production but for fsync: nobody pulls the plug on a test's database.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
        "TEST": {"NAME": str(DATA_DIR / "test.sqlite3")},  # a file: threads must share it
    }
}
if _url := os.environ.get("NVR_TEST_DATABASE_URL"):
    DATABASES = {"default": dict(dj_database_url.parse(_url))}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CELERY_BROKER_URL = "memory://"  # takes every task and runs none; never eager
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # Argon2 is slow by design
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
