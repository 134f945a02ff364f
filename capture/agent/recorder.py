"""The agent's conversation with the recorder: how the sources are, which are wanted."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from capture.agent.protocol import SourceSpec

PATH = "/api/v1/agent/sync/"
PATIENCE_S = 8.0  # of each step: a recorder on a slow card may be busy
MAX_REPLY_BYTES = 1024 * 1024
_CUT = (http.client.HTTPException, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)
_SPEC_FIELDS = frozenset(field.name for field in fields(SourceSpec))


class RecorderError(Exception):
    """No answer that can be used; the text is for people. `is_unknown_key`: 401 or 403."""

    def __init__(self, sentence: str, *, is_unknown_key: bool = False) -> None:
        super().__init__(sentence)
        self.is_unknown_key = is_unknown_key


@dataclass(frozen=True)
class Reply:
    sources: list[SourceSpec]
    door: str  # path of the WebSocket


class Recorder:
    """`url`: https://host:port. The connection is kept: a TLS handshake every two seconds would be
    the dearest thing an idle agent does. A thread, because there is one request at a time.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._tls = tls
        self._headers = {"Content-Type": "application/json", **headers}
        self._connection: http.client.HTTPConnection | None = None
        self._is_closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sync")

    async def sync(self, said: Mapping[str, Any]) -> Reply:
        """Raises RecorderError."""
        body = json.dumps(said, separators=(",", ":")).encode()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._ask, body)

    def close(self) -> None:
        """Waits for nothing: a request that hangs ends with the process."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()

    def _ask(self, body: bytes) -> Reply:
        try:
            try:
                status, answer = self._post(body)
            except _CUT:
                # The recorder closes idle connections, and restarts: once more, on a new one.
                status, answer = self._post(body)
        except ssl.SSLCertVerificationError as error:
            text = f"The recorder's certificate is not to be trusted: {error.verify_message}."
            raise RecorderError(text) from error
        except (http.client.HTTPException, OSError) as error:
            why = "the connection was cut" if isinstance(error, _CUT) else _reason(error)
            text = f"The recorder at {self._host}:{self._port} does not answer: {why}."
            raise RecorderError(text) from error
        if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise RecorderError("The recorder does not know this node's key.", is_unknown_key=True)
        if status != http.HTTPStatus.OK:
            raise RecorderError(f"The recorder answered {status} when it was asked for sources.")
        return _read(answer)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = self._connection
        self._connection = None  # put back when it has proved itself
        if connection is None:
            connection = self._open()
        try:
            connection.request("POST", PATH, body, self._headers)
            answer = connection.getresponse()
            content = answer.read(MAX_REPLY_BYTES + 1)
        except BaseException:
            connection.close()
            raise
        if len(content) > MAX_REPLY_BYTES or answer.will_close or self._is_closed:
            connection.close()
        else:
            self._connection = connection
        return answer.status, content

    def _open(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=PATIENCE_S, context=self._tls
        )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {PATIENCE_S:.0f} s"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _read(answer: bytes) -> Reply:
    """Raises RecorderError; fields of a newer recorder are left out."""
    try:
        said = json.loads(answer)
        door = said["door"]
        specs = [
            SourceSpec(**{name: value for name, value in each.items() if name in _SPEC_FIELDS})
            for each in said["sources"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecorderError("The recorder's list of sources cannot be read.") from error
    if not isinstance(door, str) or not door.startswith("/"):
        raise RecorderError("The recorder does not say where packets go.")
    return Reply(specs, door)
