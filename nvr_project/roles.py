"""Which processes make a recorder, and how each is started and watched."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from nvr_project import broker, probes
from nvr_project.child import Role
from nvr_project.environment import PROJECT_DIR, Environment

MANAGE = (sys.executable, str(PROJECT_DIR / "manage.py"))
CELERY = (sys.executable, "-m", "nvr_project.celery_main")
HEARTBEAT_LIMIT_S = 20.0  # they touch their file every 5 s
CAMERAS_FILE = "simulated-cameras"


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What every child gets. The first administrator's password is for `prepare` alone."""
    env = {name: text for name, text in own.items() if name != "NVR_ADMIN_PASSWORD"}
    env["PYTHONUNBUFFERED"] = "1"
    # glibc gives each thread its own heap otherwise; a dozen threads cost 20 MB and more.
    env["MALLOC_ARENA_MAX"] = "2"
    return env


def valkey(env: Environment) -> Role:
    return Role(
        "valkey",
        broker.argv(broker.find_program(), env),
        probe=probes.valkey_ping(env.broker_socket),
        before_start=partial(broker.set_unreadable_files_aside, env.data_dir / "valkey"),
    )


def web(env: Environment) -> Role:
    return Role("web", (*MANAGE, "runweb"), probe=probes.https_health(loopback_host(env), env.port))


def worker(env: Environment) -> Role:
    queues = ("--queue", "celery", "--queue", f"camera.{env.node_id}")
    return _beating("worker", (*CELERY, "worker", *queues), env)


def beat(env: Environment) -> Role:
    settings = {"DJANGO_SETTINGS_MODULE": "nvr_project.beat_settings"}
    return _beating("beat", (*CELERY, "beat"), env, settings)


def discovery(env: Environment) -> Role:
    return _beating("discovery", (sys.executable, "-m", "nvr_project.discovery"), env)


def capture(env: Environment) -> Role:
    """Always the recorder's own, whatever NVR_SERVER says to an agent that runs alone."""
    options = ("--server", "", "--url", _loopback_url(env))
    return _beating("capture", (*MANAGE, "runcapture", *options), env)


def cameras(env: Environment, count: int) -> Role:
    options = ("--count", str(count), "--url", _loopback_url(env))
    return Role("cameras", (*MANAGE, "simulatecamera", *options))


def loopback_host(env: Environment) -> str:
    """Where this machine itself reaches the web process."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(env.bind, env.bind)  # noqa: S104


def _loopback_url(env: Environment) -> str:
    host = loopback_host(env)
    return f"https://[{host}]:{env.port}" if ":" in host else f"https://{host}:{env.port}"


def _beating(
    name: str, argv: tuple[str, ...], env: Environment, extra: Mapping[str, str] | None = None
) -> Role:
    sign_of_life = env.run_dir / f"{name}.alive"

    def forget_the_last_one(_failures: int) -> None:
        sign_of_life.unlink(missing_ok=True)

    return Role(
        name,
        argv,
        probe=probes.heartbeat(sign_of_life, HEARTBEAT_LIMIT_S),
        # validate_models would load every page and API into the worker: 25 MB and half a second.
        env={
            "CELERY_SKIP_CHECKS": "1",
            "ROOST_HEARTBEAT": str(sign_of_life),
            **(extra or {}),
        },
        before_start=forget_the_last_one,
    )


def wanted_cameras(data_dir: Path) -> int:
    """How many simulated cameras a person asked for; kept over restarts."""
    try:
        return int((data_dir / CAMERAS_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def remember_cameras(data_dir: Path, count: int) -> None:
    part = data_dir / f"{CAMERAS_FILE}.part"
    part.write_text(f"{count}\n")
    part.rename(data_dir / CAMERAS_FILE)
