"""The one process that starts, watches and stops all others (docs/design/processes.md).

No Django here: it lives as long as the recorder and has to stay small and unbreakable.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from nvr_project import roles
from nvr_project.child import Child, Role
from nvr_project.control import BadRequest, ControlSocket
from nvr_project.environment import Environment
from nvr_project.output import Output
from system import addresses
from system.exceptions import SetupFailed

READY_LIMIT_S = 120.0
STOP_LIMIT_S = 9.0  # everything; ten are promised
SAME_WISH_S = 1.0  # one SIGTERM to the whole group comes twice: make passes its own on as well
MOST_CAMERAS = 16
PREPARE_LIMIT_S = 600.0  # migrating a large database on a slow card


class Supervisor:
    def __init__(self, env: Environment, inherited_lock: int, began: float) -> None:
        self._env = env
        self._began = began
        self._lock = inherited_lock
        self._child_env = roles.child_environment(os.environ)
        self._output = Output(
            env.data_dir / "logs" / "roost.log", env.data_dir / "logs" / "errors.jsonl"
        )
        self._children: dict[str, Child] = {}
        self._cameras = 0
        self._changing_cameras = asyncio.Lock()
        self._stop = asyncio.Event()
        self._stopping_since: float | None = None  # monotonic

    async def run(self) -> int:
        """The exit code. Raises SetupFailed where the recorder cannot start at all."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._reload_web)
        control = ControlSocket(self._env.control_socket, self._answer)
        try:
            announcement = await self._unless_stopped(self._prepare())
            if announcement is not None:
                await control.start()
                await self._start_all()
                if await self._unless_stopped(self._all_ready()) is not None:
                    self._announce(announcement)
                    self._change_cameras_to(roles.wanted_cameras(self._env.data_dir))
                    await self._stop.wait()
        finally:
            await control.close()
            await self._stop_all()
            self._output.close()
        return 0

    # --- starting -------------------------------------------------------------------------------

    async def _prepare(self) -> str:
        """What `manage.py prepare` has to tell the person at the terminal; its stdout is not logged."""
        process = await asyncio.create_subprocess_exec(
            *roles.MANAGE,
            "prepare",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self._child_env, **_only("NVR_ADMIN_PASSWORD")},
            pass_fds=(self._lock,),
            start_new_session=True,
        )
        try:
            told, complaints = await asyncio.wait_for(process.communicate(), PREPARE_LIMIT_S)
        except TimeoutError as error:
            raise SetupFailed("First-run set-up did not end: is the database locked?") from error
        finally:
            if process.returncode is None:
                process.kill()
        lines = complaints.decode(errors="replace").strip().splitlines()
        if process.returncode:
            raise SetupFailed(
                lines[-1].removeprefix("CommandError: ") if lines else "First-run set-up failed."
            )
        for line in lines:
            self._output.line("prepare", line)
        return told.decode(errors="replace")

    async def _start_all(self) -> None:
        """The web process first: cameras knock again at once after a restart."""
        if self._env.is_redis_private:
            self._add(roles.valkey(self._env)).start()
        for role in (roles.web, roles.worker, roles.beat, roles.discovery, roles.capture):
            self._add(role(self._env)).start()

    def _add(self, role: Role) -> Child:
        child = Child(role, self._output, self._child_env, self._lock)
        self._children[role.name] = child
        return child

    async def _all_ready(self) -> bool:
        """Raises SetupFailed when a process says that it can never start."""
        children = list(self._children.values())
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline and not any(c.gave_up.is_set() for c in children):
            if all(child.ready.is_set() for child in children):
                return True
            await asyncio.sleep(0.05)
        for child in children:
            if child.gave_up.is_set():
                raise SetupFailed(f"The {child.role.name} process cannot start: {child.last_error}")
            if not child.ready.is_set():
                self._output.complain(f"{child.role.name} is not ready yet: {child.last_error}")
        return True

    async def _unless_stopped(self, work: Any) -> Any:
        """The result of the work, None when a signal came first."""
        working, stopping = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        return None

    def _announce(self, announcement: str) -> None:
        """Straight to the terminal: the first password must be in no log."""
        port = self._env.port
        hosts = addresses.lan_addresses() if self._env.bind == "0.0.0.0" else [self._env.bind]  # noqa: S104
        urls = [f"https://{host}:{port}/" for host in hosts or ["127.0.0.1"]]
        self._output.say(f"ready after {time.monotonic() - self._began:.1f} s: {' '.join(urls)}")
        lines = [
            "",
            f"  Roost is ready:  {'  '.join(urls)}",
            f"  Certificate:     {urls[0]}ca.pem  (trust it once, or accept the browser's warning)",
            f"  Data:            {self._env.data_dir}",
            *(f"  {line}" for line in announcement.strip().splitlines()),
            "  Stop with Ctrl-C.",
            "",
        ]
        try:
            print("\n".join(lines), flush=True)  # noqa: T201  the one thing meant for a person
        except OSError:
            self._output.say("nobody reads the terminal")

    # --- while it runs --------------------------------------------------------------------------

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request on the control socket; raises BadRequest."""
        match request:
            case {"do": "status"}:
                return {"processes": [child.status() for child in self._children.values()]}
            case {"do": "simulate", "count": int(count)} if 0 <= count <= MOST_CAMERAS:
                roles.remember_cameras(self._env.data_dir, count)
                async with self._changing_cameras:
                    await self._set_cameras(count)
                return {"count": count}
            case {"do": "simulate"}:
                raise BadRequest(f"count must be a whole number from 0 to {MOST_CAMERAS}")
            case {"do": "simulated"}:
                child = self._children.get("cameras")
                return {"count": self._cameras, "running": self._cameras if child else 0}
            case {"do": "reload"}:
                self._reload_web()
                return {}
            case {"do": "restart", "name": str(name)} if name in self._children:
                self._output.say(f"{name} is restarted on request")
                await self._children[name].restart()
                return {}
        raise BadRequest("unknown request")

    def _change_cameras_to(self, count: int) -> None:
        if count:
            self._camera_task = asyncio.create_task(self._set_cameras(min(count, MOST_CAMERAS)))

    async def _set_cameras(self, count: int) -> None:
        if old := self._children.pop("cameras", None):
            await old.stop(grace_s=3)
        self._cameras = count
        if count and not self._stop.is_set():
            self._add(roles.cameras(self._env, count)).start()

    def _reload_web(self) -> None:
        if web := self._children.get("web"):
            self._output.say("web loads its certificate again")
            web.send(signal.SIGHUP)

    def _on_signal(self) -> None:
        now = time.monotonic()
        self._stop.set()
        if self._stopping_since is None:
            self._stopping_since = now
        elif now - self._stopping_since > SAME_WISH_S:
            self._output.say("second signal: everything is killed")
            for child in self._children.values():
                child.kill()

    # --- stopping -------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """What brings video, then what takes it, then what they all need: within STOP_LIMIT_S."""
        if not self._children:
            return
        began = time.monotonic()
        self._output.say("stopping")
        await self._stop_these({"cameras", "capture"}, 3.0)
        await self._stop_these(
            set(self._children) - {"valkey"}, began + STOP_LIMIT_S - 1.0 - time.monotonic()
        )
        await self._stop_these({"valkey"}, 1.0)
        self._output.say(f"stopped after {time.monotonic() - began:.1f} s")

    async def _stop_these(self, names: set[str], grace_s: float) -> None:
        stopping = [child.stop(grace_s) for name, child in self._children.items() if name in names]
        await asyncio.gather(*stopping)


def _only(name: str) -> dict[str, str]:
    return {name: os.environ[name]} if name in os.environ else {}
