"""The recorder's infrastructure settings, read once from the environment.

Standard library only, as devices.addresses is: the supervisor reads them before Django is loaded.
Every variable here is documented in docs/settings.md (a test compares the two).
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from devices import addresses

PROJECT_DIR = Path(__file__).resolve().parent.parent

RegistrationMode = str  # "open" | "approve" | "closed"
REGISTRATION_MODES = ("open", "approve", "closed")
ASGI_SERVERS = ("daphne", "uvicorn")
ENCODER_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium",
)  # fmt: skip
CAMERA_BACKENDS = ("auto", "none", "picamera2", "rpicam", "libcamera", "simulated")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSetting(Exception):
    """A setting cannot be used; the message is one sentence for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`None` where the product settings edited in the browser decide."""

    data_dir: Path
    bind: str
    port: int
    auth_token: str
    http_ports: tuple[int, ...]
    trusted_networks: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    registration: RegistrationMode | None
    inactive_hours: int
    segment_seconds: int
    retention_days: int | None
    asgi_server: str
    ffmpeg: str
    ffmpeg_preset: str | None
    ffmpeg_crf: int | None
    database_url: str
    redis_url: str
    admin_username: str
    admin_password: str
    tls_cert: str
    tls_key: str
    host_names: tuple[str, ...]
    x_accel: str
    allow_loopback_cameras: bool
    # Cameras that are asked for here: an address each, which may hold a log-in.
    camera_source: str = field(repr=False)
    rtsp_url: str = field(repr=False)
    http_url: str = field(repr=False)
    # This machine's own camera, and the older systems that had one.
    camera: str
    camera_lock: str
    node_id: str
    node_logs: str
    node_storage_mb: int
    captures_mb: int
    cors_allow_all: bool
    cors_origin: tuple[str, ...]
    analyze_url: str = field(repr=False)
    default_width: int
    default_height: int
    default_fps: int
    default_still_seconds: float
    default_video_seconds: float
    server: str
    node_key_file: str
    ca_file: str
    debug: bool

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def is_redis_private(self) -> bool:
        """True where the supervisor starts its own Valkey."""
        return not self.redis_url

    @property
    def socket_dir(self) -> Path:
        """Where the private Unix sockets lie: run/, unless that path is too long for a socket.

        Linux takes at most 107 bytes; the longest name here is "supervisor.sock".
        """
        if len(os.fsencode(self.run_dir)) <= 107 - len("/supervisor.sock"):
            return self.run_dir
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"roost-{os.getuid()}-{name}"

    @property
    def broker_socket(self) -> Path:
        return self.socket_dir / "valkey.sock"

    @property
    def control_socket(self) -> Path:
        return self.socket_dir / "supervisor.sock"


def read_environment(env: Mapping[str, str]) -> Environment:
    """Raises BadSetting with a sentence that names the variable, its value and what is allowed."""
    data_dir = Path(env.get("NVR_DATA_DIR") or PROJECT_DIR / "data").expanduser().resolve()
    port = _int(env, "NVR_PORT", 3443, 1, 65535)
    loopback = _choice(env, "NVR_ALLOW_LOOPBACK_CAMERAS", ("0", "1"), "0") == "1"
    return Environment(
        data_dir=data_dir,
        bind=_address(env, "NVR_BIND", "0.0.0.0"),  # noqa: S104  cameras dial in from the network
        port=port,
        http_ports=_ports(env, "NVR_HTTP_PORTS", taken=port),
        auth_token=_token(env, "AUTH_TOKEN"),
        trusted_networks=_networks(env, "NVR_TRUSTED_NETWORKS"),
        cors_origins=_origins(
            env, "CORS_ORIGINS", default="http://localhost:8080,http://localhost:3000"
        ),
        registration=_choice(env, "NVR_REGISTRATION", REGISTRATION_MODES, None),
        inactive_hours=_int(env, "NVR_INACTIVE_HOURS", 24, 1, 24 * 365),
        segment_seconds=_int(env, "NVR_SEGMENT_SECONDS", 30, 2, 300),
        retention_days=_optional_int(env, "NVR_RETENTION_DAYS", 1, 3650),
        asgi_server=_choice(env, "NVR_ASGI_SERVER", ASGI_SERVERS, "daphne") or "daphne",
        ffmpeg=env.get("NVR_FFMPEG", ""),
        ffmpeg_preset=_choice(env, "FFMPEG_PRESET", ENCODER_PRESETS, None),
        ffmpeg_crf=_optional_int(env, "FFMPEG_CRF", 0, 51),
        database_url=_url(env, "DATABASE_URL", ("sqlite", "postgres", "postgresql")),
        redis_url=_url(env, "REDIS_URL", ("redis", "rediss", "unix")),
        admin_username=env.get("NVR_ADMIN_USERNAME") or "admin",
        admin_password=env.get("NVR_ADMIN_PASSWORD", ""),
        tls_cert=env.get("NVR_TLS_CERT", ""),
        tls_key=env.get("NVR_TLS_KEY", ""),
        host_names=tuple(n.strip() for n in env.get("NVR_HOST_NAMES", "").split(",") if n.strip()),
        x_accel=_path_prefix(env, "NVR_X_ACCEL"),
        allow_loopback_cameras=loopback,
        camera_source=_camera(env, "CAMERA_SOURCE", (), allow_loopback=loopback),
        rtsp_url=_camera(env, "RTSP_URL", ("rtsp", "rtsps"), allow_loopback=loopback),
        http_url=_camera(env, "HTTP_URL", ("http", "https"), allow_loopback=loopback),
        camera=_camera_backend(env, "NVR_CAMERA"),
        camera_lock=env.get("NVR_CAMERA_LOCK", ""),
        node_id=_name(env, "NODE_ID", _usual_node_id()),
        node_logs=_choice(env, "NVR_NODE_LOGS", ("array", "object"), "array") or "array",
        node_storage_mb=_int(env, "NVR_NODE_STORAGE_MB", 1000, 1, 10_000_000),
        captures_mb=_int(env, "NVR_CAPTURES_MB", 5000, 1, 10_000_000),
        cors_allow_all=_choice(env, "CORS_ALLOW_ALL", ("0", "1", "true", "false"), "0")
        in ("1", "true"),
        cors_origin=_origins(env, "CORS_ORIGIN", default=""),
        analyze_url=_url(env, "ANALYZE_URL", ("http", "https")),
        default_width=_int(env, "DEFAULT_WIDTH", 1920, 16, 16_384),
        default_height=_int(env, "DEFAULT_HEIGHT", 1080, 16, 16_384),
        default_fps=_int(env, "DEFAULT_FPS", 30, 1, 240),
        default_still_seconds=_seconds(env, "DEFAULT_STILL_DURATION_SEC", 1.0, 60),
        default_video_seconds=_seconds(env, "DEFAULT_VIDEO_DURATION_SEC", 3.0, 3600),
        server=_url(env, "NVR_SERVER", ("https",)),
        node_key_file=env.get("NVR_NODE_KEY_FILE", ""),
        ca_file=env.get("NVR_CA_FILE", ""),
        debug=_choice(env, "NVR_DEBUG", ("0", "1"), "0") == "1",
    )


def _bad(name: str, value: str, allowed: str) -> BadSetting:
    return BadSetting(f"{name} is {value!r}, but it must be {allowed}.")


def _optional_int(env: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    allowed = f"a whole number from {low} to {high}"
    try:
        value = int(text)
    except ValueError as error:
        raise _bad(name, text, allowed) from error
    if not low <= value <= high:
        raise _bad(name, text, allowed)
    return value


def _camera_backend(env: Mapping[str, str], name: str) -> str:
    """One of CAMERA_BACKENDS, or the path of a V4L2 device."""
    text = env.get(name, "").strip() or "auto"
    if text not in CAMERA_BACKENDS and re.fullmatch(r"/dev/video[0-9]{1,3}", text) is None:
        raise _bad(name, text, ", ".join(CAMERA_BACKENDS) + " or a device such as /dev/video0")
    return text


def _usual_node_id() -> str:
    """The same after every start, and in every process of this machine."""
    return "camera_node_" + re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())[:48]


def _name(env: Mapping[str, str], name: str, default: str) -> str:
    """It is part of the name of a queue."""
    text = env.get(name, "").strip() or default
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) is None:
        raise _bad(name, text, "1 to 64 letters, digits, dots, dashes and underscores")
    return text


def _seconds(env: Mapping[str, str], name: str, default: float, high: int) -> float:
    text = env.get(name, "").strip()
    allowed = f"a number of seconds between 0.1 and {high}"
    try:
        value = float(text) if text else default
    except ValueError as error:
        raise _bad(name, text, allowed) from error
    if not 0.1 <= value <= high:
        raise _bad(name, text, allowed)
    return value


def _int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = _optional_int(env, name, low, high)
    return default if value is None else value


def _choice(
    env: Mapping[str, str], name: str, choices: tuple[str, ...], default: str | None
) -> str | None:
    text = env.get(name, "").strip().lower()
    if not text:
        return default
    if text not in choices:
        raise _bad(name, text, "one of " + ", ".join(choices))
    return text


def _address(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name, "").strip() or default
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise _bad(name, text, "an IP address such as 0.0.0.0 or 127.0.0.1") from error
    return text


def _path_prefix(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "").strip().rstrip("/")
    if text and (not text.startswith("/") or not text.isascii() or not text.isprintable()):
        raise _bad(name, text, "a path such as /protected (an internal location of nginx)")
    return text


def _ports(env: Mapping[str, str], name: str, *, taken: int) -> tuple[int, ...]:
    text = env.get(name, "").strip()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    allowed = f"a comma-separated list of ports such as 3001, each once and none of them {taken}"
    if not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        raise _bad(name, text, allowed)
    ports = tuple(int(part) for part in parts)
    is_usable = all(1 <= port <= 65535 and port != taken for port in ports)
    if not is_usable or len(set(ports)) < len(ports):
        raise _bad(name, text, allowed)
    return ports


def _networks(env: Mapping[str, str], name: str) -> tuple[Network, ...]:
    parts = [part.strip() for part in env.get(name, "").split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError as error:
        allowed = "a comma-separated list of networks such as 192.168.1.0/24"
        raise _bad(name, env[name], allowed) from error


def _origins(env: Mapping[str, str], name: str, *, default: str) -> tuple[str, ...]:
    """Scheme, host and port of web pages; `default`: those of the older system."""
    text = env.get(name, "").strip() or default
    origins = tuple(part.strip().rstrip("/").lower() for part in text.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            allowed = "a comma-separated list of origins such as http://localhost:8080"
            raise _bad(name, text, allowed)
    return origins


def _token(env: Mapping[str, str], name: str) -> str:
    """What fits an Authorization header (RFC 6750); the value stays out of the message."""
    text = env.get(name, "")
    if not all("!" <= letter <= "~" for letter in text):
        raise BadSetting(f"{name} must be of letters, digits and signs only, without blanks.")
    return text


def _camera(
    env: Mapping[str, str], name: str, schemes: tuple[str, ...], *, allow_loopback: bool
) -> str:
    """An address that a source may have, log-in included; the value stays out of the message.

    A bare number is that of a USB camera, as programs for one camera have it.
    """
    text = env.get(name, "").strip()
    if not text:
        return ""
    address = f"usb:{text}" if text.isdecimal() and not schemes else text
    try:
        parsed = addresses.parse(address, allow_loopback=allow_loopback)
    except addresses.BadAddress as error:
        raise BadSetting(f"{name} cannot be used. {error}") from error
    if schemes and parsed.scheme not in schemes:
        raise BadSetting(f"{name} must start with {schemes[0]}:// or {schemes[1]}://.")
    return address


def _url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    """The value itself is left out of the message: it may hold a password."""
    text = env.get(name, "").strip()
    try:
        scheme = urlsplit(text).scheme
    except ValueError:  # brackets that are no IPv6 address
        scheme = ""
    if text and scheme not in schemes:
        raise BadSetting(
            f"{name} must be an address that starts with one of "
            + ", ".join(f"{s}:" for s in schemes)
        )
    return text
