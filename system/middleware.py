"""The content security policy of every page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# The interactive API page and the admin write style attributes; scripts stay our own files there too,
# except for the API page, whose start-up script is inline.
_STYLES_INLINE = ("/admin/", "/api/docs")
_SCRIPTS_INLINE = ("/api/docs",)


def content_security_policy(*, path: str, host: str) -> str:
    """Own origin only: nothing on a page can reach another host.

    `blob:` is the media player's source and the frames of the live view. The WebSocket origin is
    named because `'self'` does not cover `wss:` in older Safari.
    """
    styles = " 'unsafe-inline'" if path.startswith(_STYLES_INLINE) else ""
    scripts = " 'unsafe-inline'" if path.startswith(_SCRIPTS_INLINE) else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{scripts}",
            f"style-src 'self'{styles}",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self'",
            f"connect-src 'self' wss://{host}",
            "worker-src 'self' blob:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


Answer = HttpResponseBase
Next = Callable[[HttpRequest], Answer] | Callable[[HttpRequest], Awaitable[Answer]]


@sync_and_async_middleware
def content_security(get_response: Next) -> Next:
    """Sets the policy on HTML only: a camera has no use for 300 bytes of it on each answer."""
    if iscoroutinefunction(get_response):

        async def later(request: HttpRequest) -> Answer:
            return with_policy(request, await get_response(request))

        return later

    def now(request: HttpRequest) -> Answer:
        answer = get_response(request)
        assert isinstance(answer, HttpResponseBase)  # noqa: S101  tells mypy which branch this is
        return with_policy(request, answer)

    return now


def with_policy(request: HttpRequest, response: Answer) -> Answer:
    if response.get("Content-Type", "").startswith("text/html"):
        host = _safe_host(request)
        policy = content_security_policy(path=request.path, host=host)
        response.headers.setdefault("Content-Security-Policy", policy)
    return response


def _safe_host(request: HttpRequest) -> str:
    """The Host header goes into a header of ours: only what a host name can hold."""
    host = request.headers.get("host", "")
    return (
        host if all(c.isalnum() or c in ".-:[]" for c in host) and host.isascii() else "localhost"
    )
