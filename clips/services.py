"""What a person or another app may ask of clips, and the only writers of their rows besides the
worker that cuts them.

Synchronous: call from a thread, never from a running event loop.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from clips import catalog, tasks
from clips.exceptions import BadWindowError
from clips.models import (
    MAX_SHARE_HOURS,
    MAX_SIDE_SECONDS,
    MAX_SPAN_MS,
    Clip,
    ClipQuerySet,
    Share,
    State,
    moment,
)
from clips.policy import windows
from devices.models import Device
from recordings.timeline import to_ms

# A client's clock may be a little ahead of ours; a moment further away is a mistake.
MAX_AHEAD_MS = 60_000
TOKEN_BYTES = 32
MAX_NAME = 120


def trigger(
    *,
    devices: Sequence[Device],
    by: str,
    at_ms: int | None = None,
    before_seconds: int | None = None,
    after_seconds: int | None = None,
    name: str = "",
    note: str = "",
    now: datetime | None = None,
) -> list[Clip]:
    """One clip of each camera around a moment (now, if not said), in one group.

    A side that is not said is the camera's own, else the policy's. The rows are there when this
    returns; each is cut when its window is over, or at once where it lies in the past. Asking twice
    makes two clips: what is the same to a person is not ours to guess.
    Raises BadWindowError.
    """
    now_ms = to_ms(now or timezone.now())
    trigger_ms = now_ms if at_ms is None else at_ms
    if trigger_ms > now_ms + MAX_AHEAD_MS:
        raise BadWindowError("at_ms", "This moment lies in the future.")
    sides = windows([device.pk for device in devices])
    group = uuid.uuid4()
    clips = []
    for device in devices:
        before = sides[device.pk].before_seconds if before_seconds is None else before_seconds
        after = sides[device.pk].after_seconds if after_seconds is None else after_seconds
        check_window(before, after)
        clips.append(
            Clip(
                device=device,
                device_mac=device.mac,
                device_label=device.name,
                group=group,
                trigger_ms=trigger_ms,
                start_ms=trigger_ms - 1000 * before,
                end_ms=trigger_ms + 1000 * after,
                name=(name or default_name(device, trigger_ms))[:MAX_NAME],
                note=note,
                created_by=by,
            )
        )
    return _create(clips, now_ms)


def export_span(
    *,
    device: Device,
    start_ms: int,
    end_ms: int,
    by: str,
    name: str = "",
    note: str = "",
    now: datetime | None = None,
) -> Clip:
    """A span `[start_ms, end_ms)` of the past as a clip. Raises BadWindowError."""
    now_ms = to_ms(now or timezone.now())
    if end_ms <= start_ms:
        raise BadWindowError("end_ms", "The end must come after the start.")
    if end_ms - start_ms > MAX_SPAN_MS:
        raise BadWindowError("end_ms", "At most one hour at once.")
    if end_ms > now_ms + MAX_AHEAD_MS:
        raise BadWindowError("end_ms", "The span must lie in the past.")
    clip = Clip(
        device=device,
        device_mac=device.mac,
        device_label=device.name,
        kind=Clip.Kind.SPAN,
        start_ms=start_ms,
        end_ms=end_ms,
        name=(name or default_name(device, start_ms))[:MAX_NAME],
        note=note,
        created_by=by,
    )
    return _create([clip], now_ms)[0]


def check_window(before_seconds: int, after_seconds: int) -> None:
    """Raises BadWindowError."""
    for field, seconds in (("before_seconds", before_seconds), ("after_seconds", after_seconds)):
        if not 0 <= seconds <= MAX_SIDE_SECONDS:
            raise BadWindowError(
                field, f"{seconds} s is not possible: 0 to {MAX_SIDE_SECONDS} s on each side."
            )
    if before_seconds + after_seconds == 0:
        raise BadWindowError("after_seconds", "A clip needs at least one second.")


def default_name(device: Device, at_ms: int) -> str:
    """As in "Front door, 20 Nov 14:02:10", in local time."""
    at = timezone.localtime(moment(at_ms))
    return f"{device.name}, {at.day} {at:%b %H:%M:%S}"


def _create(clips: list[Clip], now_ms: int) -> list[Clip]:
    for clip in clips:
        is_over = clip.end_ms <= now_ms
        clip.state = State.PENDING if is_over else State.RECORDING
        clip.due_ms = tasks.overdue_at(max(clip.end_ms, now_ms))
    with transaction.atomic():
        Clip.objects.bulk_create(clips)
        for clip in clips:
            # Only what is committed can be found by a worker.
            rest_ms = clip.end_ms - now_ms
            wait_s = rest_ms / 1000 + tasks.SETTLE_SECONDS if rest_ms > 0 else 0.0
            transaction.on_commit(partial(tasks.queue_cut, clip.pk, wait_s))
    return clips


def retry(*, clip: Clip, now: datetime | None = None) -> None:
    """Cut a failed clip again. Raises WrongStateError for any other."""
    now_ms = to_ms(now or timezone.now())
    with transaction.atomic():
        due_ms = tasks.overdue_at(max(clip.end_ms, now_ms))
        clip.become(State.PENDING, reason="", attempts=0, due_ms=due_ms)
        transaction.on_commit(partial(tasks.queue_cut, clip.pk, 0.0))


def update(*, clip: Clip, **changes: Any) -> None:
    """`name`, `note`, `is_locked`, validated before. Raises OSError, and nothing is changed then."""
    if not changes:
        return
    with transaction.atomic():
        # Locked until the end, or two changes at once could leave the older sidecar.
        row = Clip.objects.kept().select_for_update().get(pk=clip.pk)
        for name, value in changes.items():
            setattr(row, name, value)
            setattr(clip, name, value)
        row.save(update_fields=list(changes))
        if row.is_ready:
            catalog.store(row)


def delete(*, clip: Clip) -> None:
    """Raises ClipLockedError; OSError where the disk refuses (it is out of sight all the same).

    One that is still to be cut is given up.
    """
    catalog.delete(clip.pk)


def clips_of(device_pks: Iterable[int]) -> ClipQuerySet:
    """Those that can be watched, of these cameras."""
    return Clip.objects.kept().filter(device__in=list(device_pks), state=State.READY)


# --- links ----------------------------------------------------------------------------------------


def share(*, clip: Clip, hours: int, by: str, now: datetime | None = None) -> tuple[Share, str]:
    """A link that works for so long, and its token, which is kept nowhere. Raises BadWindowError."""
    if not 1 <= hours <= MAX_SHARE_HOURS:
        raise BadWindowError("hours", f"A link may work for 1 to {MAX_SHARE_HOURS} hours.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    at = now or timezone.now()
    made = Share.objects.create(
        clip=clip,
        token_hash=token_hash(token),
        created_at=at,
        created_by=by,
        expires_at=at + timedelta(hours=hours),
    )
    return made, token


def revoke_share(*, clip: Clip, share_pk: int, now: datetime | None = None) -> bool:
    """False where the clip has no such link that still works."""
    at = now or timezone.now()
    return bool(clip.shares.filter(pk=share_pk, revoked_at=None).update(revoked_at=at))


def find_share(token: str) -> Share | None:
    """Whether it still works is for the caller to see: `expires_at`, `revoked_at`."""
    shares = Share.objects.select_related("clip", "clip__device")
    return shares.filter(token_hash=token_hash(token), clip__deleting_since=None).first()


def token_hash(token: str) -> str:
    """256 random bits need no slow hash, and are looked up by it."""
    return hashlib.sha256(token.encode()).hexdigest()
