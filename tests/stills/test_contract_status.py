"""`/api/camera/status` as the camera-capture server's clients ask it, and answers in trouble."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.test import AsyncClient, Client
from django.utils import timezone

from stills import contract_views, services, tasks
from stills.models import NodeCamera
from tests.stills.asking import assert_error, make_seen

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("data_dir", "trusted_clients"),
]
transactional = pytest.mark.django_db(transaction=True)
STATUS = "/api/camera/status"


def test_the_status_tells_what_was_seen(client: Client) -> None:
    make_seen()
    response = client.get(STATUS)
    assert response.json() == {
        "ok": True, "cameraDetected": True, "busy": False, "lastCaptureAt": None, "lastError": None,
    }  # fmt: skip
    assert "ETag" not in response.headers
    NodeCamera.objects.update(is_there=False)
    assert client.get(STATUS).json()["cameraDetected"] is False


@transactional
async def test_the_first_status_waits_for_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def queue_look() -> bool:
        asked.append(time.monotonic())
        threading.Thread(target=tasks.look_at_camera).start()
        return True

    monkeypatch.setattr(tasks, "queue_look", queue_look)
    answers = await asyncio.gather(*(AsyncClient().get(STATUS) for _ in range(5)))
    assert [answer.json()["cameraDetected"] for answer in answers] == [True] * 5
    assert len(asked) == 1


@transactional
@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(days=-1)])
async def test_a_look_of_long_ago_is_not_told_as_if_it_were_now(
    monkeypatch: pytest.MonkeyPatch, age: timedelta
) -> None:
    def queue_look() -> bool:
        threading.Thread(target=tasks.look_at_camera).start()
        return True

    monkeypatch.setattr(tasks, "queue_look", queue_look)
    await database_sync_to_async(make_seen)(is_there=False, looked_at=timezone.now() - age)
    assert (await AsyncClient().get(STATUS)).json()["cameraDetected"] is True


@transactional
async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_views, "LOOK_S", 0.2)
    for is_queued in (False, True):
        monkeypatch.setattr(tasks, "queue_look", lambda said=is_queued: said)
        response = await AsyncClient().get(STATUS)
        assert (response.status_code, response.json()["cameraDetected"]) == (200, False)


@transactional
async def test_an_old_look_is_renewed_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def queue_look() -> bool:
        asked.set()
        return go_on.wait(10)

    monkeypatch.setattr(tasks, "queue_look", queue_look)
    await database_sync_to_async(make_seen)(looked_at=timezone.now() - timedelta(seconds=30))
    await AsyncClient().get(STATUS)
    assert not asked.is_set()
    await NodeCamera.objects.aupdate(looked_at=timezone.now() - timedelta(seconds=61))
    response = await AsyncClient().get(STATUS)
    assert response.json()["cameraDetected"] is True
    assert await asyncio.to_thread(asked.wait, 10)
    go_on.set()


def test_a_database_that_does_not_answer_is_a_500_in_shape(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise DatabaseError("the disk is on fire")

    monkeypatch.setattr(services, "node_camera", away)
    text = "The recorder's database or disk does not answer; its log says more"
    assert_error(client.get(STATUS), 500, text)


def test_a_mistake_of_ours_is_a_500_in_shape(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LookupError("a secret of ours")

    monkeypatch.setattr(services, "node_camera", broken)
    client.raise_request_exception = False
    assert_error(client.get(STATUS), 500, "An unexpected error occurred")
