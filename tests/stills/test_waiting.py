"""How views wait for captures: one look at the rows for all, and what ends the waiting."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import OperationalError

from stills import services, waiting
from stills.models import Capture, State
from tests.factories import make_capture, make_device

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]

make = sync_to_async(make_capture)


@sync_to_async
def become(capture: Capture, *states: State) -> None:
    for state in states:
        capture.become(state)


async def waiting_for(count: int) -> waiting._Watch:
    """Once so many wait."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while True:
            watch = waiting._watches.get(loop)
            if watch and sum(map(len, watch._waiting.values())) == count:
                return watch
            await asyncio.sleep(0.005)


async def test_all_who_wait_for_one_get_it_when_it_is_over() -> None:
    capture = await make(await sync_to_async(make_device)(name="Door"), state=State.WAITING)
    tasks = [asyncio.create_task(waiting.until_finished(capture.pk, 10)) for _ in range(5)]
    await waiting_for(5)
    await become(capture, State.TAKING)
    await asyncio.sleep(2 * waiting.LOOK_EVERY_S)
    assert not any(task.done() for task in tasks)
    await become(capture, State.READY)
    for found in await asyncio.gather(*tasks):
        assert (found.pk, found.state) == (capture.pk, State.READY)
        assert found.device is not None
        assert found.device.name == "Door"  # joined: no query in the event loop


@pytest.mark.parametrize("state", [State.READY, State.FAILED, State.CANCELLED])
async def test_one_that_is_over_is_not_waited_for(state: State) -> None:
    capture = await make(state=state)
    assert (await waiting.until_finished(capture.pk, 10)).state == state


async def test_time_runs_out_for_one_and_not_for_the_others() -> None:
    capture = await make(state=State.WAITING)
    patient = asyncio.create_task(waiting.until_finished(capture.pk, None))
    with pytest.raises(TimeoutError):
        await waiting.until_finished(capture.pk, 0.1)
    assert not patient.done()
    await become(capture, State.FAILED)
    assert (await patient).state == State.FAILED


async def test_one_who_gives_up_takes_nobody_along() -> None:
    capture = await make(state=State.WAITING)
    tasks = [asyncio.create_task(waiting.until_finished(capture.pk, 10)) for _ in range(3)]
    await waiting_for(3)
    tasks[0].cancel()
    await waiting_for(2)
    await become(capture, State.FAILED)
    assert [task.state for task in await asyncio.gather(*tasks[1:])] == [State.FAILED] * 2
    assert tasks[0].cancelled()


async def test_one_that_is_deleted_meanwhile_is_said() -> None:
    capture = await make(state=State.WAITING)
    task = asyncio.create_task(waiting.until_finished(capture.pk, 10))
    await waiting_for(1)
    await sync_to_async(services.delete)(capture)
    with pytest.raises(Capture.DoesNotExist):
        await task
    with pytest.raises(Capture.DoesNotExist):
        await waiting.until_finished(uuid.uuid4(), 10)


async def test_nobody_is_left_waiting_when_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captures = [await make(state=State.WAITING) for _ in range(2)]
    tasks = [asyncio.create_task(waiting.until_finished(each.pk, 10)) for each in captures]
    await waiting_for(2)

    async def broken(pks: list[uuid.UUID]) -> list[Capture]:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(waiting, "_over", broken)
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [OperationalError] * 2
    await become(captures[0], State.FAILED)  # and the next one is served again
    assert (await waiting.until_finished(captures[0].pk, 10)).state == State.FAILED


async def test_hundred_who_wait_cost_one_look_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    captures = [await make(state=State.WAITING, content=None) for _ in range(20)]
    at_once, most = 0, 0
    original: Callable[[list[uuid.UUID]], Any] = waiting._over

    async def counted(pks: list[uuid.UUID]) -> list[Capture]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            found: list[Capture] = await original(pks)
        finally:
            at_once -= 1
        return found

    monkeypatch.setattr(waiting, "_over", counted)
    tasks = [
        asyncio.create_task(waiting.until_finished(capture.pk, 30))
        for capture in captures
        for _ in range(5)
    ]
    watch = await waiting_for(100)
    for capture in captures:
        await become(capture, State.FAILED)
    await asyncio.gather(*tasks)
    assert most == 1
    assert watch._task is not None
    await watch._task  # with nobody left it ends by itself


async def test_it_does_not_look_in_the_database_thread_of_whoever_came_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That thread ends with its request, and others may still wait."""
    first, second = [await make(state=State.WAITING) for _ in range(2)]
    seen: list[Any] = []
    original: Callable[[list[uuid.UUID]], Any] = waiting._over

    async def noted(pks: list[uuid.UUID]) -> list[Capture]:
        seen.append(SyncToAsync.thread_sensitive_context.get(None))
        found: list[Capture] = await original(pks)
        return found

    monkeypatch.setattr(waiting, "_over", noted)

    async def request() -> Capture:
        async with ThreadSensitiveContext():
            assert SyncToAsync.thread_sensitive_context.get(None) is not None
            return await waiting.until_finished(first.pk, 10)

    ending = asyncio.create_task(request())
    await waiting_for(1)
    staying = asyncio.create_task(waiting.until_finished(second.pk, 10))
    await waiting_for(2)
    await become(first, State.FAILED)
    await ending
    await become(second, State.FAILED)
    assert (await staying).state == State.FAILED
    assert set(seen) == {None}


# --- a client that waits --------------------------------------------------------------------------


async def test_a_client_that_goes_away_cancels_its_capture() -> None:
    capture = await make(state=State.WAITING)
    await become(capture, State.TAKING)
    task = asyncio.create_task(waiting.until_finished_or_cancelled(capture, 10))
    await waiting_for(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await Capture.objects.aget(pk=capture.pk)
    assert (row.state, row.code) == (State.CANCELLED, "cancelled")


async def test_time_that_runs_out_cancels_it_too() -> None:
    capture = await make(state=State.WAITING)
    with pytest.raises(TimeoutError):
        await waiting.until_finished_or_cancelled(capture, 0.05)
    assert (await Capture.objects.aget(pk=capture.pk)).state == State.CANCELLED


async def test_one_that_ended_in_that_moment_stays_as_it_is() -> None:
    capture = await make(state=State.WAITING)
    task = asyncio.create_task(waiting.until_finished_or_cancelled(capture, 10))
    await waiting_for(1)
    await Capture.objects.filter(pk=capture.pk).aupdate(state=State.READY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await Capture.objects.aget(pk=capture.pk)).state == State.READY


async def test_a_deleted_one_does_not_hide_that_the_client_has_gone() -> None:
    capture = await make(state=State.WAITING)
    task = asyncio.create_task(waiting.until_finished_or_cancelled(capture, 10))
    await waiting_for(1)
    await Capture.objects.filter(pk=capture.pk).adelete()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_finished_one_is_given_to_the_client() -> None:
    capture = await make(state=State.READY)
    found = await waiting.until_finished_or_cancelled(capture, 10)
    assert found.state == State.READY
