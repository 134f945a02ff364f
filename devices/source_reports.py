"""What capture agents say about the sources they bring, every two seconds, and what they bring.

Part of `devices.sources`, which is what other apps import. Nothing is written while nothing
changes but a file's time in run/: a poll must not cost an SD card a write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from devices.exceptions import PasswordLost
from devices.models import DeviceEvent, Node, Source
from devices.peers import peer_text
from devices.redaction import redact
from devices.sealing import unseal

logger = logging.getLogger(__name__)

ALIVE_SECONDS = 15.0
PASSWORD_LOST = "password_lost"  # noqa: S105  a code of a source, as the agent's are
IN_USE = "in_use"  # the agent's code: a picture is being taken with the camera, or it is tried out
_NOTE_CALL_EVERY = timedelta(minutes=1)
# Measured by the agent anew each time; less than this is no other stream.
_SAME_FPS = 0.1
_SAID = (Source.State.CONNECTING, Source.State.RUNNING, Source.State.RETRYING)
_FIELDS = ("state", "code", "sentence", "state_since", "attempts", "found")


@dataclass(frozen=True, slots=True)
class Report:
    """One source as its agent sees it; shapes are checked by the door. `version` is that of the
    source it speaks of, where it says so."""

    source_pk: int
    state: str
    code: str = ""
    sentence: str = ""
    since_ms: int = 0
    attempts: int = 0
    found: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A source that a node shall bring, its password in clear: for the agent's eyes only."""

    source: Source
    password: str = field(repr=False)


def wanted_by(node: Node) -> list[Wanted]:
    """Those whose password can be read; the others say so in their state."""
    return _wanted(_sources_of(node))[0]


def record_reports(
    *, node: Node, reports: Iterable[Report], cameras: dict[str, Any], address: str | None = None
) -> list[Wanted]:
    """Takes down what is new, and answers with what the node shall bring."""
    now = timezone.now()
    _note_call(node, cameras, address, now)
    sources = _sources_of(node)
    wanted, lost = _wanted(sources)
    by_pk = {source.pk: source for source in sources}
    changed: dict[int, Source] = {}
    events = []
    for report in [*reports, *lost]:
        source = by_pk.get(report.source_pk)
        if source is None or not _is_about(report, source):
            continue
        before = (source.state, source.code)
        if _apply(source, report, now):
            changed[source.pk] = source
            events.extend(_events(source, before))
    if changed:
        with transaction.atomic():
            # Not over what was changed meanwhile: by a person, which began a new version, or paused.
            current = {
                row.pk: row.version
                for row in Source.objects.select_for_update()
                .filter(pk__in=changed)
                .only("version", "paused_until")
                if not row.is_paused(now)
            }
            rows = [row for row in changed.values() if current.get(row.pk) == row.version]
            Source.objects.bulk_update(rows, _FIELDS)
            kept = {row.device_id for row in rows}
            DeviceEvent.objects.bulk_create(each for each in events if each.device_id in kept)
    return wanted


def alive_nodes(*, now: float | None = None) -> set[int]:
    """Primary keys of the nodes that called within ALIVE_SECONDS, on this machine's word."""
    moment = time.time() if now is None else now
    alive = set()
    for note in settings.RUN_DIR.glob("node-*"):
        try:
            # A clock that was set back makes it look like the future: as unsure as an old one.
            if abs(moment - note.stat().st_mtime) <= ALIVE_SECONDS:
                alive.add(int(note.name.removeprefix("node-")))
        except (OSError, ValueError):
            continue  # gone meanwhile, or no note of ours
    return alive


def _sources_of(node: Node) -> list[Source]:
    """Those it shall bring now; of the others its word is out of date."""
    now = timezone.now()
    rows = Source.objects.select_related("device").filter(node=node, is_enabled=True)
    rows = rows.filter(device__removing_since=None).order_by("pk")
    return [source for source in rows if not source.is_paused(now)]


def _wanted(sources: list[Source]) -> tuple[list[Wanted], list[Report]]:
    wanted, lost = [], []
    for source in sources:
        try:
            wanted.append(Wanted(source, unseal(source.sealed_password)))
        except PasswordLost as error:
            lost.append(Report(source.pk, Source.State.RETRYING, PASSWORD_LOST, f"{error}."))
    return wanted, lost


def _note_call(node: Node, cameras: dict[str, Any], address: str | None, now: datetime) -> None:
    try:
        (settings.RUN_DIR / f"node-{node.pk}").touch()
    except OSError as error:  # a full disk must not stop the cameras
        logger.warning("The call of node %s cannot be noted: %s", node.pk, error)
    is_due = node.last_seen_at is None or now - node.last_seen_at >= _NOTE_CALL_EVERY
    if is_due or node.cameras != cameras:
        node.cameras, node.last_seen_at, node.last_address = cameras, now, peer_text(address)
        node.save(update_fields=["cameras", "last_seen_at", "last_address"])


def _is_about(report: Report, source: Source) -> bool:
    """Not where it speaks of the source as it was before a person changed it."""
    return report.state in _SAID and report.version in (None, source.version)


def _apply(source: Source, report: Report, now: datetime) -> bool:
    """Whether anything is to be written."""
    state, code, sentence = report.state, report.code, report.sentence
    if state == Source.State.CONNECTING and source.state == Source.State.RETRYING:
        # The next attempt. The trouble is there until it succeeds; words that come and go every
        # few seconds would tell nobody anything.
        state, code, sentence = source.state, source.code, source.sentence
    sentence = redact(sentence)[:300]
    found = dict(report.found)
    if not found or _is_same_video(source.found, found):
        found = source.found
    new = (state, code, sentence, report.attempts, found)
    if new == (source.state, source.code, source.sentence, source.attempts, source.found):
        return False
    if (state, code) != (source.state, source.code):
        source.state_since = _moment(report.since_ms, source.state_since, now)
    source.state, source.code, source.sentence, source.attempts, source.found = new
    return True


def _is_same_video(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    def without_fps(found: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key not in ("fps", "sentence")}

    if not old or without_fps(old) != without_fps(new):
        return False
    old_fps, new_fps = float(old.get("fps") or 0), float(new.get("fps") or 0)
    return abs(old_fps - new_fps) <= _SAME_FPS * max(old_fps, new_fps)


def _events(source: Source, before: tuple[str, str]) -> list[DeviceEvent]:
    """For the timeline, which names a gap's cause by them: when a source fails, or fails in
    another way. That it runs, its connection at the door says."""
    if source.state != Source.State.RETRYING or before == (source.state, source.code):
        return []
    is_lent = source.code == IN_USE
    kind = DeviceEvent.Kind.PAUSED if is_lent else DeviceEvent.Kind.DISCONNECTED
    device, at = source.device_id, source.state_since
    return [DeviceEvent(device_id=device, at=at, kind=kind, detail=source.sentence)]


def _moment(since_ms: int, before: datetime, now: datetime) -> datetime:
    """The agent's word, unless it cannot be: then now, which is at most a poll late.

    `before`: when the state began that is over; a driver that runs while its packets do not get
    through says "since" of the driver.
    """
    try:
        moment = datetime.fromtimestamp(since_ms / 1000, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return now
    return moment if before < moment <= now else now
