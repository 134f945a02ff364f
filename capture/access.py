"""What the live view asks the database, off the event loop: who may watch, and what is stored."""

from __future__ import annotations

from typing import Any, cast

from channels.db import database_sync_to_async
from django.contrib.auth.models import AnonymousUser

from capture.sessions import registry
from devices.authentication import Person, user_of_scope
from devices.framerates import FrameRates
from devices.models import Device

NOT_LOGGED_IN, NO_SUCH_CAMERA = 4401, 4404


async def why_not(scope: dict[str, Any], device_pk: int) -> int | None:
    """The close code for somebody who may not watch this camera (any more); None: they may."""
    person = await user_of_scope(scope)
    if not person.is_authenticated or not person.is_active:
        return NOT_LOGGED_IN
    return None if await may_watch(person, device_pk) else NO_SUCH_CAMERA


@database_sync_to_async
def may_watch(person: Person, device_pk: int) -> bool:
    # The environment's token is no row, but answers what `for_user` asks.
    who = cast("AnonymousUser", person)
    return Device.objects.for_user(who).filter(pk=device_pk).exists()


@database_sync_to_async
def stored_config(device_pk: int) -> tuple[dict[str, Any], FrameRates | None]:
    """The six values, and the frame rates by situation where there are any."""
    row = Device.objects.only("config", "frame_rates").get(pk=device_pk)
    return row.config, row.frame_rates


@database_sync_to_async
def stored_presence(device_pk: int) -> tuple[str, int]:
    """(presence, since in epoch ms) of a camera that this process has not seen."""
    row = Device.objects.only("presence", "presence_since").get(pk=device_pk)
    return row.presence, int(row.presence_since.timestamp() * 1000)


async def state_of(device_pk: int) -> dict[str, object]:
    """The state message of a live view (docs/design/interfaces.md)."""
    session = registry.live(device_pk)
    if session is not None:
        presence, since_ms, fps = session.presence, session.since_ms, round(session.fps, 1)
        is_recording, is_stalled = session.is_recording, session.is_stalled
    else:
        presence, since_ms = registry.last_words(device_pk) or await stored_presence(device_pk)
        fps, is_recording, is_stalled = 0.0, False, False
    return {
        "type": "state",
        "presence": presence,
        "recording": is_recording,
        "stalled": is_stalled,
        "fps": fps,
        "since_ms": since_ms,
    }
