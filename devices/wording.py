"""The state of a camera as one short sentence; what to do about it, pages say next to it."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from django.utils import timezone

from devices.livestate import LiveDevice
from devices.models import CONNECTED, Device, Node, Presence, Source


def since(at: datetime, now: datetime) -> str:
    """As people say it, in local time: `14:02` today, `19 Nov, 14:02` before."""
    local, today = timezone.localtime(at), timezone.localtime(now).date()
    return f"{local:%H:%M}" if local.date() == today else f"{local.day} {local:%b, %H:%M}"


def sentence(
    device: Device,
    live: LiveDevice | None,
    *,
    is_waiting: bool,
    now: datetime,
    alive_nodes: Container[int] = (),
) -> str:
    """No full stop: it stands on the picture, and other text may follow.

    A pulled camera comes with its `source` and that with its `node`; `alive_nodes` as
    `sources.alive_nodes` gives it.
    """
    if is_waiting:
        return f"Waits for approval since {since(device.last_seen_at, now)}"
    if live is not None:
        return _connected(live, now)
    source: Source | None = getattr(device, "source", None)
    if source is not None:
        return source_sentence(source, alive_nodes, now)
    return _away(device, now)


def _away(device: Device, now: datetime) -> str:
    when = since(device.presence_since, now)
    if device.presence == Presence.ASLEEP and device.is_inactive(now):
        return f"Missing: asleep since {when} and not heard of"
    if device.presence == Presence.ASLEEP:
        return f"Asleep since {when}, wakes on motion"
    if device.presence == Presence.REGISTERED:
        return f"Registered at {when}, has not connected yet"
    if device.is_inactive(now) or device.presence in CONNECTED:
        # In the second case nobody saw it leave: the recorder itself was down.
        return f"Offline, last seen {since(device.last_seen_at, now)}"
    return f"Offline since {when}"


def source_sentence(source: Source, alive_nodes: Container[int], now: datetime) -> str:
    """What is wrong with it, in the words of whoever tried; no full stop."""
    state, when = source.state_now(alive_nodes), since(source.state_since, now)
    if state == Source.State.OFF:
        return f"Switched off since {when}"
    if source.is_paused(now):
        return f"Paused at {when}: {source.pause_reason.rstrip('.')}"
    if state == Source.State.WAITING:
        return _silent_node(source.node, now)
    if state == Source.State.RETRYING:
        return f"Since {when}: {source.sentence.rstrip('.') or 'it failed'}"
    if state == Source.State.CONNECTING:
        return "Connecting"
    return source.sentence.rstrip(".") or f"Running since {when}"


def _silent_node(node: Node, now: datetime) -> str:
    if node.is_local:
        return "Waits for the recorder's capture agent, which does not answer"
    if node.last_seen_at is None:
        return f"Waits for {node.name}, which has not called yet"
    return f"Waits for {node.name}, which last called {since(node.last_seen_at, now)}"


def _connected(live: LiveDevice, now: datetime) -> str:
    when = since(datetime.fromtimestamp(live.since_ms / 1000, tz=now.tzinfo), now)
    if live.error:
        return f"Not recording: {live.error.rstrip('.')}"
    if live.is_stalled:
        return f"Connected, but no picture since {when}"
    if live.presence != Presence.STREAMING:
        return f"Connected since {when}, sends no picture"
    if not live.is_recording:
        return "Live, not recorded yet"
    if live.fps < 0.5:  # not measured yet, or less than one in two seconds
        return "Live and recorded"
    return f"Live and recorded, {live.fps:.0f} frames a second"
