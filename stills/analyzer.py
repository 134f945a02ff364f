"""Who is told of a file that was just taken: the analyses here, or the program at ANALYZE_URL."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import logging
import socket
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from devices.peers import peer_address
from devices.redaction import redact
from stills import services
from stills.exceptions import BadOrderError
from stills.models import Capture

logger = logging.getLogger(__name__)

CONNECT_S = 5.0
TOTAL_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024
_CHUNK_BYTES = 16 * 1024


class AnalyzerError(Exception):
    """Nobody was told of the file, as far as can be known; `str()` says why."""


async def hand_over(capture: Capture) -> str | int | None:
    """The name or number of the job that came of it, None where the analyser names none.

    Raises AnalyzerError. The event loop waits for nothing here, and half a minute is the end of it.
    """
    if not settings.NVR.analyze_url:
        return await _hand_over_here(capture)
    document = {"filename": capture.filename, "path": f"/uploads/{capture.filename}"}
    question = _Question(settings.NVR.analyze_url, json.dumps(document).encode())
    try:
        async with asyncio.timeout(TOTAL_S):
            return _job_of(await asyncio.to_thread(question.ask))
    except TimeoutError as error:
        raise AnalyzerError("it did not answer in time") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AnalyzerError(_words(error)) from error
    finally:
        question.give_up()


async def _hand_over_here(capture: Capture) -> str:
    try:
        return str((await database_sync_to_async(services.request_analysis)(capture)).pk)
    except (BadOrderError, Capture.DoesNotExist) as error:
        raise AnalyzerError(str(error)) from error
    except DatabaseError as error:
        logger.exception("No analysis of %s", capture)
        raise AnalyzerError("the database does not answer") from error


class _Question:
    """One POST; asked in a thread, which `give_up` ends from another one."""

    def __init__(self, url: str, body: bytes) -> None:
        self._url = url
        self._body = body
        self._socket: socket.socket | None = None
        self._is_given_up = False

    def ask(self) -> bytes:
        """The body of a 2xx. Redirects are not followed: they could lead anywhere.

        Raises AnalyzerError, OSError, ValueError, HTTPException.
        """
        parts = urlsplit(self._url)
        with contextlib.closing(_connection(parts)) as connection:
            connection.connect()
            self._socket = connection.sock
            if self._is_given_up:
                raise AnalyzerError("nobody waits for it any more")
            self._socket.settimeout(TOTAL_S)
            headers = {
                "Content-Type": "application/json",
                "Connection": "close",
                **_credentials(parts, self._socket),
            }
            connection.request("POST", _target(parts), self._body, headers)
            with contextlib.closing(connection.getresponse()) as response:
                return _body_of(response)

    def give_up(self) -> None:
        """Whoever still waits on the socket wakes up. Nothing once everything is over."""
        self._is_given_up = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # The plain socket's: under TLS nothing of the other thread's is to be touched.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S)
    return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _credentials(parts: SplitResult, connected: socket.socket) -> dict[str, str]:
    """Those of the address; else AUTH_TOKEN, which is nobody's outside this machine.

    Judged by the connection itself: what a name leads to may change between two looks.
    """
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    peer = peer_address(connected.getpeername()[0])
    own = peer_address(connected.getsockname()[0])
    if settings.NVR.auth_token and peer is not None and (peer.is_loopback or peer == own):
        return {"Authorization": f"Bearer {settings.NVR.auth_token}"}
    return {}


def _body_of(response: http.client.HTTPResponse) -> bytes:
    """Raises AnalyzerError, OSError, HTTPException."""
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        said = f"{response.status} {response.reason}".strip()
        raise AnalyzerError(f"it answered {redact(said)[:100]}")
    answer = b""
    while chunk := response.read1(_CHUNK_BYTES):
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise AnalyzerError(f"its answer has more than {MAX_ANSWER_BYTES // 1024} KB")
    if response.length:
        raise AnalyzerError("its answer was cut off")
    return answer


def _job_of(answer: bytes) -> str | int | None:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    fields = document if isinstance(document, dict) else {}
    for name in ("jobId", "id"):
        job = fields.get(name)
        if job and isinstance(job, (str, int)) and not isinstance(job, bool):
            return job
    return None


def _words(error: Exception) -> str:
    """Without the address: it may hold a log-in."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return redact(said or type(error).__name__)[:200]
