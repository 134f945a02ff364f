"""How an async view waits until a capture is over: one look at the rows for all who wait."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async

from stills import services
from stills.exceptions import BadOrderError, QueueError
from stills.models import UNFINISHED, Capture, State

LOOK_EVERY_S = 0.05


class _Watch:
    """One an event loop; looks only while somebody waits."""

    def __init__(self) -> None:
        self._waiting: defaultdict[uuid.UUID, set[asyncio.Future[Capture]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def finished(self, pk: uuid.UUID) -> Capture:
        future: asyncio.Future[Capture] = asyncio.get_running_loop().create_future()
        self._waiting[pk].add(future)
        if self._task is None or self._task.done():
            # Not in the context of whoever comes first: its database thread ends with its request.
            self._task = asyncio.create_task(self._look(), context=Context())
        try:
            return await future
        finally:
            self._waiting[pk].discard(future)
            if not self._waiting[pk]:
                del self._waiting[pk]

    async def _look(self) -> None:
        while self._waiting:
            try:
                over = await _over(list(self._waiting))
            except Exception as error:  # noqa: BLE001  every waiting view raises it itself
                for future in set().union(*self._waiting.values()):
                    if not future.done():
                        future.set_exception(error)
                return
            for capture in over:
                for future in self._waiting.get(capture.pk, ()):
                    if not future.done():
                        future.set_result(capture)
            await asyncio.sleep(LOOK_EVERY_S)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


async def until_finished(pk: uuid.UUID, seconds: float | None) -> Capture:
    """The finished row, its device joined. Raises TimeoutError, and Capture.DoesNotExist for one
    that was deleted meanwhile.
    """
    watch = _watches.setdefault(asyncio.get_running_loop(), _Watch())
    async with asyncio.timeout(seconds):
        capture = await watch.finished(pk)
    if capture._state.adding:  # noqa: SLF001  stands for a row that is gone
        raise Capture.DoesNotExist
    return capture


async def until_finished_or_cancelled(
    capture: Capture, seconds: float | None, *, begin_s: float | None = None
) -> Capture:
    """The same for a client's view: when the client goes away, or time runs out, the capture is
    cancelled. `begin_s`: one that has not begun by then is not waited for; `seconds` count from
    there. Raises TimeoutError, CancelledError.
    """
    try:
        return await _until_finished_if_begun(capture.pk, seconds, begin_s)
    except (asyncio.CancelledError, TimeoutError):
        await _call_off(capture)
        raise


async def _until_finished_if_begun(
    pk: uuid.UUID, seconds: float | None, begin_s: float | None
) -> Capture:
    if begin_s is not None:
        with contextlib.suppress(TimeoutError):
            return await until_finished(pk, begin_s)
        if not await _has_begun(pk):
            raise TimeoutError
    return await until_finished(pk, seconds)


async def asked_for(wish: services.Wish, **how: Any) -> Capture:
    """`services.request` for such a view: no row is left where the client goes away while it is
    being made. Raises BadOrderError, QueueError, CancelledError.
    """
    # Closes the connection as well: a hundred who wait would otherwise keep one each.
    asking = asyncio.create_task(database_sync_to_async(services.request)(wish, **how))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        with contextlib.suppress(QueueError, BadOrderError):  # nobody is left to be told
            await _call_off(await asking)
        raise


async def _call_off(capture: Capture) -> None:
    # Shielded: what is being cancelled is the very task that calls.
    with contextlib.suppress(Capture.DoesNotExist):  # deleted meanwhile
        await asyncio.shield(database_sync_to_async(services.cancel)(capture))


@database_sync_to_async
def _has_begun(pk: uuid.UUID) -> bool:
    return Capture.objects.filter(pk=pk).exclude(state=State.WAITING).exists()


@database_sync_to_async
def _over(pks: list[uuid.UUID]) -> list[Capture]:
    """Those that are over; one that was deleted as a row that is not saved."""
    rows = {row.pk: row for row in Capture.objects.filter(pk__in=pks).select_related("device")}
    over = [row for row in rows.values() if row.state not in UNFINISHED]
    return over + [Capture(pk=pk) for pk in pks if pk not in rows]
