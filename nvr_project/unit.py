"""`python -m nvr_project.unit NAME`: one process of the recorder, for systemd (deploy/systemd/).

It becomes exactly what the supervisor would start under that name (nvr_project/roles.py). Besides
the processes: `prepare`, what has to be there before them; `manage …`, Django's command line with
the settings of an installed recorder.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from nvr_project import roles
from nvr_project.__main__ import EXIT_SETUP, PATIENCE_S, check_ffmpeg
from nvr_project.child import Role
from nvr_project.environment import PROJECT_DIR, BadSetting, Environment, read_environment
from system import datadir
from system.exceptions import SetupFailed

QUICK_S = 60.0  # a start this soon after the one before says that that one came to nothing
_LINE = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^"'].*|)\Z""")


def control(env: Environment) -> Role:
    """What the supervisor does besides starting and watching, where systemd does that."""
    return Role(
        "control",
        (sys.executable, "-m", "nvr_project.foreman"),
        env={"ROOST_HEARTBEAT": str(env.run_dir / "control.alive")},
    )


ROLES: dict[str, Callable[[Environment], Role]] = {
    "valkey": roles.valkey,
    "web": roles.web,
    "worker": roles.worker,
    "beat": roles.beat,
    "discovery": roles.discovery,
    "capture": roles.capture,
    "control": control,
}


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    try:
        own = {**os.environ, **(read_env_file(options.env_file) if options.env_file else {})}
        if options.data_dir:
            own["NVR_DATA_DIR"] = str(options.data_dir)
        env = read_environment(own)
        own["NVR_DATA_DIR"] = str(env.data_dir)
        if options.name == "manage":
            _become((*roles.MANAGE, *options.rest), own)
        datadir.prepare(env.data_dir, env.socket_dir)
        datadir.share(env.run_dir, PATIENCE_S)
        if options.name == "prepare":
            check_ffmpeg(env)
            _become((*roles.MANAGE, "prepare"), own)
        role = ROLES[options.name](env)
        if role.before_start:
            role.before_start(failed_starts(env.run_dir / f"{role.name}.starts", time.time()))
        _become(role.argv, {**roles.child_environment(own), **_for_files(env, role), **role.env})
    except (BadSetting, SetupFailed) as error:
        print(f"roost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_SETUP


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nvr_project.unit")
    parser.add_argument("--env-file", type=Path, help="settings, as systemd's EnvironmentFile")
    parser.add_argument("--data-dir", type=Path, help="instead of what the settings say")
    parser.add_argument("name", choices=("prepare", "manage", *ROLES))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="what `manage` is to do")
    options = parser.parse_args(arguments)
    if options.rest and options.name != "manage":
        parser.error(f"{options.name} takes no arguments")
    return options


def _become(argv: tuple[str, ...], env: Mapping[str, str]) -> NoReturn:
    """The same process: systemd watches the one that it started."""
    os.chdir(PROJECT_DIR)  # where the modules are found
    os.execve(argv[0], argv, dict(env))  # noqa: S606  no shell is wanted


def _for_files(env: Environment, role: Role) -> dict[str, str]:
    """Without a supervisor the one process that takes pictures writes the camera node's log."""
    return {"ROOST_NODE_LOG": str(env.data_dir / "logs")} if role.name == "worker" else {}


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines as systemd reads them, without its escapes. Raises BadSetting."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"The settings {path} cannot be read: {error}.") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        match = _LINE.match(text)
        if match is None:  # the line itself may hold a password
            raise BadSetting(f"{path}, line {number}: it must look like NAME=value.")
        name, value = match.groups()
        found[name] = value[1:-1] if value[:1] in ('"', "'") else value
    return found


def failed_starts(path: Path, now: float) -> int:
    """How many starts in a row came to nothing; notes this one. `now` in epoch seconds.

    systemd counts restarts since boot, which says nothing about the last minute.
    """
    try:
        count, last = path.read_text().split()
        failures = int(count) + 1 if 0 <= now - float(last) < QUICK_S else 0
    except (OSError, ValueError):
        failures = 0
    try:
        path.write_text(f"{failures} {now:.0f}\n")
    except OSError:
        return 0  # a full disk must not throw the queues away as well
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
