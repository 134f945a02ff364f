"""Things that stop: a frozen process, a network that delays, drips, cuts or goes silent."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP, certain to have taken effect; SIGCONT at the end, whatever happens."""
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 5
        while process_state(pid) != "T":
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} did not stop")
            time.sleep(0.005)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def process_state(pid: int) -> str:
    """The letter of proc(5): R running, S sleeping, T stopped, Z gone but not waited for."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


class Lateness:
    """How late this machine lets a thread wake that only sleeps: what a busy one adds to any time."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Lateness:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(5)

    def _watch(self) -> None:
        step_s = 0.01
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(step_s)
            self.worst_ms = max(self.worst_ms, 1000 * (time.monotonic() - began - step_s))


class StallingProxy:
    """A TCP proxy on 127.0.0.1 whose faults are switched while connections are open.

    `delay_s`: every piece waits so long. `chunk_bytes`: nothing larger is sent in one piece, with
    `gap_s` between pieces. `is_silent`: nothing is read or passed on, and no connection is closed.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.delay_s = 0.0
        self.chunk_bytes = 0
        self.gap_s = 0.0
        self.passed_bytes = 0
        self.largest_piece_bytes = 0
        self.accepted = 0
        self._silent = threading.Event()
        self._over = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._were_cut: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> StallingProxy:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    @property
    def is_silent(self) -> bool:
        return self._silent.is_set()

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        if value:
            self._silent.set()
        else:
            self._silent.clear()

    def cut(self) -> None:
        """Both sides of every open connection get a reset; new ones are accepted again."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._were_cut.update(end for pair in pairs for end in pair)
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # shutdown first: it wakes the thread that is reading this socket.
                    end.shutdown(socket.SHUT_RD)
                end.close()

    def _spawn(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, 5)
            except OSError:
                near.close()
                continue
            self.accepted += 1
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((near, far))
            self._spawn(self._pump, near, far)
            self._spawn(self._pump, far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                if self._wait_while_silent():
                    continue
                data = source.recv(65536)
                if not data:
                    # An orderly end is passed on; a cut must stay a reset.
                    if source not in self._were_cut:
                        sink.shutdown(socket.SHUT_WR)
                    return
                self._wait_while_silent()
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._pass_on(data, sink)

    def _pass_on(self, data: bytes, sink: socket.socket) -> None:
        step = self.chunk_bytes or len(data)
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            sink.sendall(piece)
            self.passed_bytes += len(piece)
            self.largest_piece_bytes = max(self.largest_piece_bytes, len(piece))
            if self.gap_s:
                time.sleep(self.gap_s)

    def _wait_while_silent(self) -> bool:
        was_silent = False
        while self._silent.is_set() and not self._over.is_set():
            was_silent = True
            time.sleep(0.005)
        return was_silent
