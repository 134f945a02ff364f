"""A camera that takes updates, and a recorder that has one for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.firmware.bad_recorder import BadRecorder, Peer
from tests.firmware.build import Programs
from tests.firmware.certificates import Authority
from tests.firmware.host import HostCamera, camera, times
from tests.firmware.images import NEWER, Signer
from tests.stack import wait_until

PROGRAM = b"\x7fELF" + b"x" * 3000  # starts nowhere
OLD = "1.0.0"
QUICK = times(backoff=100, longest=300, refused=200, reply=2000, stall=1000)


@dataclass
class Place:
    """An authority, the key of this camera's updates, and the camera's flash."""

    programs: Programs
    pictures: Path
    ours: Authority
    folder: Path
    signer: Signer = field(default_factory=Signer)

    def context(self) -> Any:
        return self.ours.issue(self.folder, "leaf")

    def boot(self, recorder: BadRecorder, *arguments: str) -> AbstractContextManager[HostCamera]:
        lines = ("wifi test password1", "mode always", *self.signer.lines())
        set_up = [word for line in lines for word in ("--set", line)]
        at = ("--server", f"127.0.0.1:{recorder.port}", "--ca", str(self.ours.path))
        wait = ("--sleep", "wait", *QUICK, *arguments)
        return camera(self.programs, self.folder / "flash", self.pictures, *set_up, *at, *wait)

    def slot(self, number: int) -> bytes:
        file = self.folder / "flash" / f"slot{number}"
        return file.read_bytes() if file.exists() else b""


def announcement(size: int, version: str) -> bytes:
    """As a WebSocket frame."""
    order = {"type": "command", "command": "update", "version": version, "size": size}
    text = json.dumps({**order, "path": "/api/v1/firmware/download/7/"}).encode()
    return bytes([0x81, 126]) + len(text).to_bytes(2, "big") + text


def announcing(size: int, *, version: str = NEWER, times: int = 1) -> Callable[[Peer], None]:
    """A recorder that announces it behind the heartbeat of its first connections."""
    frame = announcement(size, version)

    def answer(peer: Peer) -> None:
        orders = [frame] if peer.recorder.dials <= times else []

        def announce(text: str) -> None:
            if orders and json.loads(text)["type"] == "heartbeat":
                peer.send(orders.pop())

        peer.upgrade()
        peer.listen(60, answers_pings=True, on_text=announce)

    return answer


def whole(file: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(file)}\r\n\r\n".encode() + file


def sending(file: bytes) -> Callable[[Peer], None]:
    return lambda peer: peer.send(whole(file))


def said(recorder: BadRecorder) -> list[tuple[str, str, str]]:
    """State, version and words of every `update` message so far."""
    messages = [json.loads(text) for text in recorder.texts()]
    updates = [each for each in messages if each["type"] == "update"]
    assert all(len(each["detail"].encode()) <= 120 for each in updates)
    return [(each["state"], each["version"], each["detail"]) for each in updates]


def wait_for(recorder: BadRecorder, running: HostCamera, state: str) -> str:
    """Until the camera says so; returns its words."""

    def found() -> list[str]:
        return [words for said_state, _, words in said(recorder) if said_state == state]

    try:
        wait_until(lambda: bool(found()), limit_s=60, what=f"the camera says {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{said(recorder)}\n{running.log()[-3000:]}") from None
    return found()[0]


def states(recorder: BadRecorder) -> list[str]:
    return [state for state, _, _ in said(recorder)]


def heartbeats(recorder: BadRecorder) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in recorder.texts()]
    return [each for each in messages if each["type"] == "heartbeat"]
