"""Django's handler a second time, for programs: what the older systems' clients ask for.

Behind `settings.MIDDLEWARE` a request changes threads sixteen times, and that costs several times
what the server and the view cost together. Most of that chain is about a browser's cookies. A
request that brings none, for a path whose views look at none, is answered here instead: the same
Host check, the same headers, the same views, and no thread unless a view asks for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.core.signals import request_finished
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch, get_resolver, set_script_prefix, set_urlconf
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.log import log_response

from capture.plain import is_for_older_clients
from system.middleware import with_policy

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Endpoint = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class TwoChains:
    """An ASGI application: requests of programs to one, everything else to the other.

    A browser's own request for such a path brings its cookies, and so goes the long way.
    """

    def __init__(self, *, programs: Application, everyone: Application) -> None:
        self._programs, self._everyone = programs, everyone

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        chain = self._programs if is_of_a_program(scope) else self._everyone
        await chain(scope, receive, send)


def is_of_a_program(scope: Message) -> bool:
    """Every view of these paths is exempt from Django's CSRF check and judges the Origin itself."""
    has_cookie = any(name == b"cookie" for name, _ in scope["headers"])
    return not has_cookie and is_for_older_clients(scope["path"])


class _Nobody:
    """Whoever asks without a cookie; knows whether a view wanted to know."""

    is_asked_for = False

    def __call__(self) -> AnonymousUser:
        self.is_asked_for = True
        return AnonymousUser()

    async def later(self) -> AnonymousUser:
        return self()


class _Use:
    """What one request has opened that somebody must close."""

    has_connection = False


_use: ContextVar[_Use] = ContextVar("roost_programs_use")


def _note_connection(**_: Any) -> None:
    """Called in the thread that connected, which has a copy of the request's context."""
    if use := _use.get(None):
        use.has_connection = True


connection_created.connect(_note_connection, dispatch_uid="system.programs")


class ProgramsHandler(ASGIHandler):
    """Answers in the event loop, except where a view is no coroutine function or asks the database.

    Leaves out what belongs to cookies (sessions, log-ins, CSRF, messages) and static files.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Django's own classes, called directly: none of these waits for anything."""
        del is_async
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        # Types: Django's stubs leave out what its own subclasses build on.
        view: Endpoint = self._get_response_async  # type: ignore[attr-defined]
        self._view = view
        self._common = CommonMiddleware(view)
        self._security = SecurityMiddleware(view)
        self._frames = XFrameOptionsMiddleware(view)
        self._answer = cast("Endpoint", convert_exception_to_response(self._checked_answer))

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Never raises: what a view raises becomes an answer, as in Django's own chain."""
        set_urlconf(settings.ROOT_URLCONF)
        nobody = _Nobody()
        request.user = SimpleLazyObject(nobody)  # type: ignore[assignment]
        request.auser = nobody.later
        response = await self._answer(request)
        # Typed for answers in memory; they set headers and nothing else.
        response = self._frames.process_response(request, cast("HttpResponse", response))
        response = self._common.process_response(request, response)
        if nobody.is_asked_for:  # with a session's cookie the answer may be another
            patch_vary_headers(response, ("Cookie",))
        response = with_policy(request, response)
        response = self._security.process_response(request, cast("HttpResponse", response))
        response._resource_closers.append(request.close)  # type: ignore[attr-defined]  # noqa: SLF001
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            what = (response.reason_phrase, request.path)
            log_response("%s: %s", *what, response=response, request=request)
        return response

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        request.resolver_match = _resolved(settings.ROOT_URLCONF, request.path_info)
        return request.resolver_match

    async def _checked_answer(self, request: HttpRequest) -> HttpResponseBase:
        response = self._security.process_request(request)
        response = response or self._common.process_request(request)  # a bad Host raises: 400
        return response or await self._view(request)

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """As Django's, without its signals for a thread that was never started.

        They give back the database connections of the request's own thread. `request_started`
        finds none: the thread is new for each request.
        """
        use = _Use()
        _use.set(use)
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with contextlib.closing(body):
            set_script_prefix(get_script_prefix(scope))
            request, refusal = self.create_request(scope, body)
            if request is None:
                await self.send_response(cast("HttpResponse", refusal), send)
                return
            response: HttpResponseBase | None = None
            try:
                with _until_gone(receive):
                    response = await self.run_get_response(request)
                    await self.send_response(response, send)
            finally:
                await self._close(request, response, use)

    async def _close(
        self, request: ASGIRequest, response: HttpResponseBase | None, use: _Use
    ) -> None:
        """In the request's thread where that has a connection, or where a file may be open."""
        if use.has_connection or (response is not None and response.streaming):
            if response is not None:
                await sync_to_async(response.close)()
                return
            await request_finished.asend(sender=type(self))  # the client went away before
        request.close()  # an answer in memory has nothing else to close


@lru_cache(maxsize=128)
def _resolved(urlconf: str, path: str) -> ResolverMatch:
    """Programs ask for the same few paths; a hundred patterns are tried for each. Raises Http404."""
    return get_resolver(urlconf).resolve(path)


@contextlib.contextmanager
def _until_gone(receive: Receive) -> Iterator[None]:
    """Ends the block, without an error, when the client goes away. For a block in a coroutine."""
    asking = asyncio.current_task()
    assert asking is not None  # noqa: S101  for mypy: a coroutine runs in a task
    loop = asyncio.get_running_loop()
    listening: asyncio.Task[None] | None = None
    is_gone = False

    async def listen() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass  # an empty end of the body
        is_gone = True
        asking.cancel()

    def begin() -> None:
        nonlocal listening
        listening = loop.create_task(listen())

    beginning = loop.call_soon(begin)  # never happens if the answer is there at once
    try:
        yield
    except asyncio.CancelledError:
        if not is_gone:
            raise
        asking.uncancel()
    finally:
        beginning.cancel()
        if listening is not None:
            listening.cancel()
