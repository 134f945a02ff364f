"""Django settings, composed from the environment (docs/settings.md).

Infrastructure lives here; what a person changes while the recorder runs (registration,
retention, encoder) lives in the database and is edited in the browser.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from tzlocal import get_localzone_name

from nvr_project.environment import PROJECT_DIR, read_environment
from stills import nodelog

NVR = read_environment(os.environ)
BASE_DIR = PROJECT_DIR
DATA_DIR: Path = NVR.data_dir

SPOOL_DIR = DATA_DIR / "spool"
RECORDINGS_DIR = DATA_DIR / "recordings"
CLIPS_DIR = DATA_DIR / "clips"
CAPTURES_DIR = DATA_DIR / "captures"
RUN_DIR = NVR.run_dir
PKI_DIR = DATA_DIR / "pki"
LOG_DIR = DATA_DIR / "logs"

VERSION = "0.1.0"
DEBUG = NVR.debug


def _secret_key() -> str:
    """Made once by first-run set-up (`system.datadir`), mode 0600, never in the repository.

    Before that a key of this process alone: never a known one.
    """
    if key := os.environ.get("NVR_SECRET_KEY", ""):
        return key
    path = DATA_DIR / "secret.key"
    return path.read_text().strip() if path.exists() else secrets.token_urlsafe(48)


SECRET_KEY = _secret_key()

# Cameras call by IP, some without a port in Host; the certificate and the session's own
# origin check protect the browser routes (docs/design/security.md).
ALLOWED_HOSTS = ["*"]
APPEND_SLASH = False

# Not "daphne": it is only for runserver, and would load Twisted into every process.
INSTALLED_APPS = [
    "devices",
    "recordings",
    "capture",
    "clips",
    "stills",
    "system",
    # Without its search for admin.py files, which load every page's services into the worker as
    # well; nvr_project.urls, which serves the admin, makes that search.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "axes",
    "django_celery_beat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "system.middleware.content_security",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "nvr_project.urls"
ASGI_APPLICATION = "nvr_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------------------------
# SQLite: WAL + FULL + IMMEDIATE (deferred transactions failed 350 of 400 concurrent writes,
# NORMAL lost up to 35 s of acknowledged commits on a power cut).
_sqlite_options: dict[str, Any] = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}


def _database() -> dict[str, Any]:
    if NVR.database_url:
        # Asked before it is used again: a server that was started anew has cut it off.
        parsed = dj_database_url.parse(NVR.database_url, conn_max_age=60, conn_health_checks=True)
        config: dict[str, Any] = dict(parsed)
    else:
        config = {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "roost.sqlite3"}
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {**_sqlite_options, **config.get("OPTIONS", {})}
    return config


DATABASES = {"default": _database()}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # REST framework asks for PostgreSQL's own field types, which no model here has, and would load
    # psycopg for them: 8 MB. It goes on without where they cannot be imported.
    sys.modules["django.contrib.postgres.fields"] = None  # type: ignore[assignment]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- broker and channel layer -----------------------------------------------------------------
REDIS_URL = NVR.redis_url or f"unix://{NVR.broker_socket}"
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "roost"},
    }
}

CELERY_BROKER_URL = (
    "redis+socket://" + REDIS_URL.removeprefix("unix://")
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
CELERY_TASK_IGNORE_RESULT = True
# What needs a machine's own camera goes to the worker beside that camera.
CAMERA_QUEUE = f"camera.{NVR.node_id}"
CELERY_TASK_ROUTES = {
    "stills.tasks.take_next": {"queue": CAMERA_QUEUE},
    "stills.tasks.take_overdue": {"queue": CAMERA_QUEUE},
    "stills.tasks.look_at_camera": {"queue": CAMERA_QUEUE},
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True  # work is a file or a row first, and every task is idempotent
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Threads: the work is done by FFmpeg, and a process a core would cost 60 MB each. More than there
# are cores, because one is always kept free of packaging (recordings.tasks).
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = max(4, len(os.sched_getaffinity(0)) + 2)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,  # above the longest task, or a long one starts twice
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # How often a broker that does not answer is asked again before a task is queued, whatever `retry`
    # says to the publisher: for 1.6 s instead of kombu's 6, so one that restarts is still waited for.
    "max_retries": 4,
    "interval_start": 0.2,
    "interval_step": 0.2,
    "interval_max": 0.5,
}
CELERY_BEAT_SCHEDULER = "nvr_project.beat:Scheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "package what is overdue": {
        "task": "recordings.tasks.requeue_overdue_segments",
        "schedule": 60.0,
    },
    "trim telemetry and events": {"task": "devices.tasks.trim_history", "schedule": 6 * 3600.0},
    "finish removing cameras": {"task": "recordings.tasks.finish_removals", "schedule": 60.0},
    "roll firmware out": {"task": "devices.tasks.roll_out", "schedule": 10.0},
    "guard the disk": {"task": "recordings.tasks.guard_disk", "schedule": 60.0},
    "forget tests of sources": {"task": "capture.tasks.forget_source_tests", "schedule": 600.0},
    "cut clips that are overdue": {"task": "clips.tasks.cut_overdue", "schedule": 10.0},
    "keep clips within their limits": {"task": "clips.tasks.keep_limits", "schedule": 60.0},
    "take captures that are overdue": {"task": "stills.tasks.take_overdue", "schedule": 10.0},
}  # the 02:00 clean-up is added below, it needs the local time zone
CELERY_WORKER_HIJACK_ROOT_LOGGER = False


# --- time -------------------------------------------------------------------------------------
def _local_time_zone() -> str:
    """The machine's zone: paths of hour files are in local time, rows are UTC."""
    try:
        return get_localzone_name() or "UTC"
    except (LookupError, ValueError):
        return "UTC"


TIME_ZONE = os.environ.get("TZ", "").lstrip(":") or _local_time_zone()
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE["clean up"] = {
    "task": "recordings.tasks.clean_up",
    "schedule": crontab(hour=2, minute=0),
}
CELERY_BEAT_SCHEDULE["put clips in order"] = {
    "task": "clips.tasks.clean_up",
    "schedule": crontab(hour=2, minute=10),
}
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = False

# --- people, programs and devices ---------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "system/locked.html"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "roost_session"
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 30 * 24 * 3600
SECURE_CONTENT_TYPE_NOSNIFF = True
# HSTS is sent by the contract middleware on the paths whose clients know it; a browser that
# pinned it for this host's name would also refuse the older clients' plain HTTP ports.
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS: see above
    "security.W008",  # no redirect to HTTPS: nothing here listens on plain HTTP
]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "devices.authentication.BearerAuthentication",  # first: its 401 beats the session's 403
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["devices.permissions.Deny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "devices.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
        "rest_framework.filters.SearchFilter",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "PAGE_SIZE": 50,
    "NUM_PROXIES": 0,
}
KNOX_TOKEN_MODEL = "devices.ApiToken"  # noqa: S105  a model's name
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "Roost",
    "VERSION": VERSION,
    "DESCRIPTION": "Network video recorder for ESP32-CAMs and Raspberry Pis.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "DeviceKindEnum": "devices.models.Device.Kind",
        "SourceKindEnum": "devices.models.Source.Kind",
        "SourceStateEnum": "devices.models.Source.State",
        "RolloutStateEnum": "devices.firmware_models.Rollout.State",
        "RolloutDeviceStateEnum": "devices.firmware_models.RolloutDevice.State",
        "SourceTestStateEnum": "capture.models.SourceTest.State",
        "CaptureKindEnum": "stills.models.Kind",
        "CaptureStateEnum": "stills.models.State",
        "AnalysisStateEnum": "stills.models.Analysis.State",
    },
}

# --- static files -------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
for _name, _package in (("vendor/hls", "hls.js"), ("vendor/qr", "qrcode-generator")):
    if (BASE_DIR / "node_modules" / _package / "dist").is_dir():
        STATICFILES_DIRS.append((_name, BASE_DIR / "node_modules" / _package / "dist"))  # type: ignore[arg-type]
STATIC_ROOT = DATA_DIR / "static"
SERVESTATIC_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Names carry a hash of the content, so browsers keep them for ever (manage.py prepare).
    "staticfiles": {"BACKEND": "nvr_project.storage.HashedStorage"},
}

# --- what the apps read ---------------------------------------------------------------------------
NVR_SEGMENT_SECONDS = NVR.segment_seconds
NVR_FFMPEG = NVR.ffmpeg
NVR_PORT = NVR.port
NVR_ALLOW_LOOPBACK_CAMERAS = NVR.allow_loopback_cameras
MAX_FRAME_BYTES = 2 * 1024 * 1024  # a UXGA JPEG of an ESP32 is about 300 KB
MAX_BODY_BYTES = 10 * 1024 * 1024  # the contract's JSON limit
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

ERROR_FILE = LOG_DIR / "errors.jsonl"
SUPERVISOR_SOCKET = NVR.control_socket

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "redacting": {"()": "devices.redaction.RedactingFilter"},
        # The supervisor asks every 5 s, an agent every 2 s: 60,000 lines a day that say nothing.
        "without_probes": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: (
                not any(
                    said in record.getMessage() for said in (" /health 200 ", "/agent/sync/ 200 ")
                )
            ),
        },
    },
    "formatters": {"line": {"format": nodelog.LINE}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["redacting"],
        },
        # The last warnings of every process, for the system page.
        "errors": {"class": "system.errorlog.ErrorFile", "path": ERROR_FILE},
    },
    "root": {"handlers": ["stderr", "errors"], "level": "INFO"},
    "loggers": {
        "capture.access": {"filters": ["without_probes"]},
        "django.channels.server": {"level": "WARNING"},
        # Every answer 4xx is a warning to it; capture.access has them, and no fault of the recorder's is in them.
        "django.request": {"level": "ERROR"},
        # Its words are for the journal; the system page gets ours (system.views.LogIn).
        "axes": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
    },
}
if os.environ.get("ROOST_NODE_LOG"):
    # Under systemd there is no supervisor to write this file; the worker, which takes the pictures,
    # is alone told to (nvr_project/unit.py).
    LOGGING["handlers"]["node_file"] = {
        "class": "logging.handlers.RotatingFileHandler",
        "filename": Path(os.environ["ROOST_NODE_LOG"]) / nodelog.FILE_NAME,
        "maxBytes": 10 * 1024 * 1024,
        "backupCount": 5,
        "encoding": "utf-8",
        "delay": True,
        "formatter": "line",
        "filters": ["redacting"],
    }
    LOGGING["loggers"][nodelog.LOGGER] = {"handlers": ["node_file"]}
