"""Files over HTTP with ranges (RFC 9110 §14), for ASGI.

Django's own FileResponse ignores `Range` and, under ASGI, reads the whole file into memory. Here
the body is read in chunks, in a thread, and each chunk waits until the server took the one before:
memory per answer is one chunk plus what the server itself buffers.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

CHUNK_BYTES = 256 * 1024  # a thread hop a chunk: 0.1 ms against 1-2 ms on the wire at 1 Gbit/s
_SPEC = re.compile(r"([0-9]{0,19})-([0-9]{0,19})")
_UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9._ -]+")


class UnsatisfiableRangeError(Exception):
    """No byte of the file lies in any of the ranges asked for: 416."""


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """Half-open `[start, end)` within the file."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def parse_range(header: str, size_bytes: int) -> ByteSpan | None:
    """The part to send, or None where the header is to be ignored and the whole file sent.

    Malformed headers and other units are ignored (RFC 9110 §14.2). Of several ranges the first one
    that can be served is: the RFC lets a server send a subset (§15.3.7, clients must look at
    Content-Range), no player asks for more than one, and neither a multipart body nor the whole
    file can then be forced out of us by a long header. Raises UnsatisfiableRangeError.
    """
    unit, equals, specs = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    spans: list[ByteSpan | None] = []
    for spec in specs.split(","):
        match = _SPEC.fullmatch(spec.strip(" \t"))
        if match is None:
            return None
        first, last = match.groups()
        if not first and not last:
            return None
        if first and last and int(last) < int(first):
            return None
        spans.append(_clamp(first, last, size_bytes))
    for span in spans:
        if span is not None:
            return span
    raise UnsatisfiableRangeError


def _clamp(first: str, last: str, size_bytes: int) -> ByteSpan | None:
    """None where the range holds no byte of the file."""
    if not first:
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    return ByteSpan(start, end) if start < end else None


def serve_file(
    request: HttpRequest,
    path: Path,
    *,
    size_bytes: int,
    content_type: str,
    download_name: str = "",
) -> HttpResponseBase:
    """Answer GET or HEAD for the first `size_bytes` of a file (it may be longer, while it grows).

    Behind nginx (`NVR_X_ACCEL`) it is told to send the file instead of us, as long as that is
    exactly `size_bytes` long: it cannot be told where to stop.
    Blocks for a stat and an open: call it from a thread. Raises OSError where the file cannot be
    opened; the answer can be streamed by an ASGI server only.
    """
    # O_NOFOLLOW: the caller resolved the path; a link put there since then is not followed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    file = io.FileIO(descriptor, "r")
    is_handed_over = False
    try:
        stat = os.fstat(descriptor)
        size_bytes = min(size_bytes, stat.st_size)
        etag = f'"{stat.st_mtime_ns:x}-{size_bytes:x}"'
        response: HttpResponseBase | None = get_conditional_response(
            request, etag=etag, last_modified=int(stat.st_mtime)
        )
        if response is None and stat.st_size == size_bytes:
            response = _answer_for_nginx(request, path)
        if response is None:
            response = _answer(request, file, size_bytes, etag, stat.st_mtime)
            is_handed_over = response.streaming
    finally:
        if not is_handed_over:
            file.close()
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = etag
    response.headers["Last-Modified"] = http_date(int(stat.st_mtime))
    # Video of a home: kept by the browser that asked only, and asked about again every time.
    response.headers["Cache-Control"] = "private, no-cache"
    if response.status_code in (200, 206):
        response.headers["Content-Type"] = content_type
        if download_name:
            response.headers["Content-Disposition"] = attachment(download_name)
    return response


def _answer_for_nginx(request: HttpRequest, path: Path) -> HttpResponse | None:
    """None where we send the file ourselves.

    Only where the proxy said that it understands: cameras and people may reach the recorder's own
    port as well, and would get an empty file. Who sends the header without being nginx gets just
    that, of a file that was theirs to fetch.
    """
    prefix: str = settings.NVR.x_accel
    if not prefix or request.headers.get("X-Sendfile-Type") != "X-Accel-Redirect":
        return None
    resolved = path.resolve()
    for directory in (settings.RECORDINGS_DIR, settings.CLIPS_DIR, settings.CAPTURES_DIR):
        root = Path(directory).resolve()
        if resolved.is_relative_to(root):
            place = quote(f"{prefix}/{Path(directory).name}/{resolved.relative_to(root)}")
            return HttpResponse(headers={"X-Accel-Redirect": place})
    return None


def attachment(name: str) -> str:
    """Older clients take all that follows `filename=` for the name: nothing may come after it."""
    safe = _UNSAFE_IN_NAMES.sub("_", name).strip(" .") or "download"
    return f'attachment; filename="{safe}"'


def _answer(
    request: HttpRequest, file: io.FileIO, size_bytes: int, etag: str, modified_at: float
) -> HttpResponseBase:
    span: ByteSpan | None = None
    header = request.headers.get("Range", "")
    # Ranges are defined for GET alone; HEAD tells the size of the whole (RFC 9110 §14.2).
    if header and request.method == "GET" and _if_range_holds(request, etag, modified_at):
        try:
            span = parse_range(header, size_bytes)
        except UnsatisfiableRangeError:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    headers = {"Content-Length": str(span.length if span else size_bytes)}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size_bytes}"
    body = _Body(file, span or ByteSpan(0, size_bytes))
    return StreamingHttpResponse(body, status=206 if span else 200, headers=headers)


def _if_range_holds(request: HttpRequest, etag: str, modified_at: float) -> bool:
    """RFC 9110 §13.1.5: else the whole file is sent, as the client's half is of another one."""
    validator = request.headers.get("If-Range", "").strip()
    if not validator:
        return True
    if validator.startswith(('"', "W/")):
        return validator == etag  # ours is strong, a weak one never matches
    # A date is a strong validator only once the second it names is over (§8.8.2.2).
    is_settled = time.time() - modified_at >= 2
    return is_settled and parse_http_date_safe(validator) == int(modified_at)


class _Body:
    """Asynchronous chunks of an open file; Django calls `close` when the answer ends or breaks."""

    def __init__(self, file: io.FileIO, span: ByteSpan) -> None:
        self._file = file
        self._span = span

    def close(self) -> None:
        self._file.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position = self._span.start
        while position < self._span.end:
            wanted = min(CHUNK_BYTES, self._span.end - position)
            chunk = await asyncio.to_thread(os.pread, self._file.fileno(), wanted, position)
            if not chunk:
                # Ending quietly would leave the client waiting for the rest for ever.
                raise OSError(f"the file ended {self._span.end - position} bytes early")
            position += len(chunk)
            yield chunk
