"""A source is tried before it is saved: what it gives, a picture of it, or why it gives none.

The same drivers as the capture agent's, for 15 s at most; nothing is recorded. A test is a row
(`capture.services.begin_test`); a worker carries it out, and the page that asked looks at the row.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from capture import drivers
from capture.agent import locks
from capture.agent.found import found, fps_of
from capture.agent.protocol import Driver, Packet, SourceError, SourceSpec
from capture.media.jpeg import BadFrame, size_of
from capture.models import SourceTest
from devices import addresses
from devices.exceptions import PasswordLost
from devices.redaction import redact
from devices.sealing import unseal
from devices.source_reports import PASSWORD_LOST
from recordings import stills
from recordings.exceptions import RecordingError
from recordings.media.matroska import Track

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 15.0
STAGE_SECONDS = 0.1
MEASURE_SECONDS = 2.0  # how long pictures are counted after the first one
ENOUGH_PICTURES = 60
MAX_PICTURE_SIZE = (16_384, 16_384)  # of a camera's JPEG, before it is decoded
ELSEWHERE = "elsewhere"


def picture_of(test: SourceTest) -> Path:
    """Where its picture lies while `has_picture`; gone an hour later, and at a reboot."""
    return Path(settings.RUN_DIR) / "source-tests" / f"{test.pk}.jpg"


def forget_outdated(*, now: datetime) -> None:
    """Rows and pictures; also pictures whose rows went with the person who had asked."""
    SourceTest.objects.outdated(now).delete()
    kept = set(SourceTest.objects.values_list("pk", flat=True))
    for picture in (Path(settings.RUN_DIR) / "source-tests").glob("*"):
        if picture.stem not in map(str, kept):
            picture.unlink(missing_ok=True)


# --- in the worker ------------------------------------------------------------------------------


def start(test_pk: int) -> None:
    """In a thread of its own. A test mostly waits, and the worker has a thread a core: two tests
    would hold up every clip and every recording for 15 s.
    """
    threading.Thread(
        target=_run_to_the_end, args=(test_pk,), name="source-test", daemon=True
    ).start()


def _run_to_the_end(test_pk: int) -> None:
    try:
        run(test_pk)
    except Exception:
        logger.exception("The test %d of a source broke off", test_pk)
    finally:
        close_old_connections()


def run(test_pk: int) -> None:
    """Does nothing for a test that is over, too old, or gone: a task may come twice."""
    test = SourceTest.objects.filter(pk=test_pk, state=SourceTest.State.RUNNING).first()
    if test is None or test.is_overdue(timezone.now()):
        return
    try:
        outcome = _carry_out(test)
    except SourceError as error:
        fail(test, error.code, str(error))
        return
    except Exception:
        fail(test, "failed", "The test broke off for a reason of the recorder's own; see its log.")
        raise
    _succeed(test, outcome)


def _succeed(test: SourceTest, outcome: _Outcome) -> None:
    test.has_picture = _keep_picture(test, outcome)
    test.found = outcome.found
    test.state, test.stage, test.sealed_password = SourceTest.State.OK, "", ""
    test.sentence = outcome.found["sentence"]
    _save(test)


def fail(test: SourceTest, code: str, sentence: str) -> None:
    test.state, test.stage, test.sealed_password = SourceTest.State.FAILED, "", ""
    test.code, test.sentence = code, redact(sentence)[:300]
    _save(test)


def _save(test: SourceTest) -> None:
    fields = (
        "state", "stage", "code", "sentence", "found", "has_picture", "sealed_password",
    )  # fmt: skip
    values = {name: getattr(test, name) for name in fields}
    if not SourceTest.objects.filter(pk=test.pk).update(**values):  # the person is gone
        picture_of(test).unlink(missing_ok=True)


def _keep_picture(test: SourceTest, outcome: _Outcome) -> bool:
    """False where it cannot be decoded or written: what was found is worth saying all the same."""
    path = picture_of(test)
    part = path.with_suffix(".part")
    try:
        jpeg = stills.jpeg_of(outcome.track, outcome.picture)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part.write_bytes(jpeg)
        part.rename(path)
    except (RecordingError, OSError, ValueError) as error:
        logger.warning("The test %d has no picture: %s", test.pk, error)
        part.unlink(missing_ok=True)
        return False
    return True


# --- the try itself -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outcome:
    track: Track
    picture: bytes = field(repr=False)  # the first key picture
    found: dict[str, Any]


def _carry_out(test: SourceTest) -> _Outcome:
    """Raises SourceError. The drivers run in a loop of another thread, this one writes down how
    far they have come: no database call waits on their loop, and none is made in it.
    """
    if not test.is_local:
        raise SourceError(
            ELSEWHERE,
            "This camera hangs on another machine, and only that one can try it: save it, and"
            " within seconds its state says whether it works.",
        )
    try:
        spec = _spec(test)
    except PasswordLost as error:
        raise SourceError(PASSWORD_LOST, f"{error}.") from error
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    lock = Path(settings.RUN_DIR) / f"source-test-{test.pk}.lock"
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="source-test-driver") as pool:
        attempt = pool.submit(lambda: asyncio.run(_attempt(spec, said, lock)))
        attempt.add_done_callback(lambda _: said.put(None))
        while (stage := said.get()) is not None:
            on_stage(test.pk, stage)
    lock.unlink(missing_ok=True)
    return attempt.result()


def on_stage(test_pk: int, words: str) -> None:
    SourceTest.objects.filter(pk=test_pk).update(stage=words[:120])


def _spec(test: SourceTest) -> SourceSpec:
    return SourceSpec(
        id=0,
        mac="",
        name="",
        kind=test.kind,
        url=test.url,
        username=test.username,
        password=unseal(test.sealed_password),
        rate_fps=test.rate_fps,
        transport=test.transport,
        wants_audio=test.wants_audio,
    )


async def _attempt(spec: SourceSpec, said: queue.SimpleQueue[str | None], lock: Path) -> _Outcome:
    """Leaves no process behind."""
    sink = _FirstPictures()
    async with locks.held_with_camera(lock, spec.url, locks.Use.TRIAL) as lock_fd:
        driver = drivers.open_driver(spec, lock_fd=lock_fd)
        saying = asyncio.ensure_future(_say_stages(driver, spec, sink, said))
        running = asyncio.ensure_future(driver.run(sink))
        try:
            await _watch(sink, running)
        finally:
            saying.cancel()
            running.cancel()
            # Its own end is no news any more, whatever it was.
            with contextlib.suppress(asyncio.CancelledError, SourceError):
                await running
    return sink.outcome(spec.rate_fps)


async def _say_stages(
    driver: Driver, spec: SourceSpec, sink: _FirstPictures, said: queue.SimpleQueue[str | None]
) -> None:
    """A driver keeps its stage in a plain attribute, so it is looked at."""
    address = addresses.parse(spec.url, allow_loopback=True)
    connecting = f"Connecting to {address.place if address.host else spec.url}"
    words = {
        "resolving": connecting if _is_ip(address.host) else f"Looking up {address.host}",
        "connecting": connecting,
        "asking": "Logging in and asking what there is",
        "waiting": "Waiting for the first picture",
    }
    last = ""
    while True:
        now = "Counting pictures" if sink.first.is_set() else words.get(driver.stage, "")
        if now not in ("", last):
            said.put(now)
            last = now
        await asyncio.sleep(STAGE_SECONDS)


def _is_ip(host: str) -> bool:
    """Then there is nothing to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _watch(sink: _FirstPictures, running: asyncio.Future[None]) -> None:
    """Until enough was seen. Raises SourceError where nothing was."""
    enough = asyncio.ensure_future(sink.enough.wait())
    first = asyncio.ensure_future(sink.first.wait())
    try:
        await asyncio.wait(
            (running, first), timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if sink.first.is_set():
            await asyncio.wait(
                (running, enough), timeout=MEASURE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        elif running.done():
            running.result()  # raises what the driver says
            raise SourceError("ended", "The stream ended before its first picture.")
        else:
            raise sink.too_slow()
    finally:
        enough.cancel()
        first.cancel()


class _FirstPictures:
    """A sink that keeps the first key picture and counts those that follow."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.enough = asyncio.Event()
        self._track: Track | None = None
        self._picture = b""
        self._times_us: list[int] = []

    def stream(self, track: Track) -> None:
        if not self.first.is_set():
            self._track = track

    def packet(self, packet: Packet) -> None:
        if packet.is_audio or self.enough.is_set():
            return
        if not self.first.is_set():
            if not packet.is_key:
                return
            self._picture = packet.payload
            self.first.set()
        self._times_us.append(packet.capture_us)
        if len(self._times_us) >= ENOUGH_PICTURES:
            self.enough.set()

    def too_slow(self) -> SourceError:
        if self._track is None:
            text = f"Nothing came from the camera within {LIMIT_SECONDS:.0f} seconds."
            return SourceError("no_answer", text)
        text = f"The camera answered, but sent no picture within {LIMIT_SECONDS:.0f} seconds."
        return SourceError("silent", text)

    def outcome(self, rate_fps: float) -> _Outcome:
        """`rate_fps`: of pictures that are asked for one by one, where two take too long."""
        if self._track is None or not self._picture:
            raise SourceError("no_video", "The camera sent no picture.")
        size = (0, 0)
        if self._track.codec == "mjpeg":
            try:
                size = size_of(self._picture, *MAX_PICTURE_SIZE)
            except BadFrame as error:
                text = f"What the camera sends is no picture: {error}."
                raise SourceError("no_video", text) from error
        fps = fps_of(self._times_us) or rate_fps
        return _Outcome(self._track, self._picture, found(self._track, fps, size))
