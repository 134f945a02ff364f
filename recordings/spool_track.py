"""One camera's way into the spool: a bounded queue, and the segment that is open.

`append` runs on the event loop, `drain` in the writer thread, `sync` in the sync thread.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from recordings.media.matroska import Track
from recordings.segments import GAP_MS, LocalHour, SegmentWriter, local_hour

if TYPE_CHECKING:
    from recordings.spool import SpoolWriter

logger = logging.getLogger(__name__)

QUEUE_NS = 2_000_000_000
# Nothing came for so long: this process may have stood still, and its writer thread with it. What
# waits is then old and would be shed in the moment that both go on.
STANDSTILL_NS = 1_000_000_000
QUEUE_BYTES = 8 * 1024 * 1024
CLOCK_STEP_NS = 500_000_000
FIRST_RETRY_NS = 500_000_000
LAST_RETRY_NS = 5_000_000_000


class SpoolTrack(ABC):
    """Made by `SpoolWriter.open`.

    The counters are plain attributes for anyone to read; `synced_ms` is the wall time of the
    newest frame that survives a power cut (0 before the first), `written_number` the number of
    the newest packet that is in the file or was dropped, `error` a sentence or "".
    """

    queue_bytes = QUEUE_BYTES
    idle_ns = GAP_MS * 1_000_000  # without a frame for so long the segment ends
    ends_on_failure = True

    def __init__(self, writer: SpoolWriter, device_directory: str, track: Track) -> None:
        self.device_directory = device_directory
        self.synced_ms = 0
        self.appended_frames = 0
        self.written_frames = 0
        self.written_number = 0
        self.dropped_frames = 0
        self.error = ""
        self.is_closed = False
        self.segment: SegmentWriter | None = None
        self._writer = writer
        self._track = track
        self._lock = threading.Lock()  # the queue: the loop's appends against the writer's drain
        self._queue: deque[Any] = deque()  # tuples that begin with monotonic arrival and payload
        self._queued_bytes = 0
        self._arrived_ns = 0  # when the newest one came
        self._patient_until_ns = 0  # until then nothing is shed for its age
        self._offset_ns: int | None = None  # wall minus monotonic, of the open segment
        self._last_ns = 0  # monotonic arrival of the newest picture in the file
        self._last_wall_ms = 0
        self._hour: LocalHour | None = None
        self._retry_at_ns = 0
        self._retry_ns = FIRST_RETRY_NS
        self._failed_step = ""

    @abstractmethod
    def append(
        self,
        mono_ns: int,
        payload: bytes,
        *,
        is_key: bool = True,
        is_audio: bool = False,
        capture_us: int = 0,
        number: int = 0,
    ) -> bool:
        """Queue one whole frame; never blocks on disk. `mono_ns`: when it was taken, in this
        host's `time.monotonic_ns()`.

        False when the track is closed or when older frames had to go to make room.
        """

    @abstractmethod
    def _write(self, taken: list[Any]) -> None:
        """What the queue held. Raises OSError; `taken` then holds only what is still to do."""

    def close(self) -> None:
        """No more frames; the writer thread ends the segment within one drain."""
        self.is_closed = True

    def _enqueue(self, frame: Any, now_ns: int) -> bool:
        """False when older ones had to go to make room."""
        with self._lock:
            queue = self._queue
            if now_ns - self._arrived_ns > STANDSTILL_NS and not self.error:
                self._patient_until_ns = now_ns + QUEUE_NS
            self._arrived_ns = now_ns
            queue.append(frame)
            self.appended_frames += 1
            self._queued_bytes += len(frame[1])
            if self._queued_bytes <= self.queue_bytes and now_ns - queue[0][0] <= QUEUE_NS:
                return True
            return self._shed(now_ns)

    def _shed(self, now_ns: int) -> bool:
        """Drop the oldest frames until the bounds hold again (the lock is held); True where nothing
        had to go.
        """
        queue, before = self._queue, self.dropped_frames
        oldest_ns = now_ns - QUEUE_NS if now_ns > self._patient_until_ns else 0
        while len(queue) > 1 and (self._queued_bytes > self.queue_bytes or queue[0][0] < oldest_ns):
            self._drop(queue.popleft())
        return self.dropped_frames == before

    def _drop(self, frame: Any) -> None:
        """Of the queue's front (the lock is held)."""
        self._queued_bytes -= len(frame[1])
        self.dropped_frames += 1

    def drain(self) -> bool:
        """Writer thread: put what is queued on disk. False once the track is closed and done."""
        is_last = self.is_closed  # read first: frames appended before close() are in the queue
        now_ns = self._writer.mono_ns()
        if now_ns >= self._retry_at_ns:
            taken = self._take()
            before = self.written_frames
            try:
                self._write(taken)
                if self.written_frames > before:
                    self._retry_ns = FIRST_RETRY_NS
                    self.recovered("write")
            except OSError as error:
                self._fail(error, now_ns, taken)
        if is_last or now_ns - self._last_ns > self.idle_ns:
            self._end_segment()
        if is_last:
            with self._lock:  # only what a failing disk refused is still here
                self.dropped_frames += len(self._queue)
                self._queue.clear()
        return not is_last

    def sync(self) -> None:
        """Sync thread: make everything written so far survive a power cut."""
        segment = self.segment
        if segment is None or not segment.frames:
            return
        newest_ms = segment.last_wall_ms
        try:
            segment.sync()
        except OSError as error:
            # After a failed sync the kernel may have thrown the pages away: start a new file.
            self.fault("sync", error)
            self._offset_ns = None
        else:
            self.synced_ms = newest_ms  # also back, with a clock that was set back
            self.recovered("sync")

    def fault(self, step: str, error: OSError) -> None:
        """`step`: "write" or "sync"; only the same step's success takes the error back, because a
        full disk still syncs and a dying one still takes writes into the cache.
        """
        self.complain(step, f"The disk refuses video: {error.strerror or error}.")

    def complain(self, step: str, text: str) -> None:
        if text != self.error:
            logger.error("Spool of %s: %s", self.device_directory, text)
        self.error, self._failed_step = text, step

    def recovered(self, step: str) -> None:
        if self.error and self._failed_step == step:
            logger.info("Spool of %s: video is kept again", self.device_directory)
            self.error = ""

    def _take(self) -> list[Any]:
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        return taken

    def _end_segment(self) -> None:
        if self.segment is not None:
            self._writer.hand_over(self, self.segment)
            self.segment = None

    def _fail(self, error: OSError, now_ns: int, unwritten: list[Any]) -> None:
        """Keep the frames within the queue's bounds and try again after a pause."""
        self.fault("write", error)
        if self.ends_on_failure:
            self._end_segment()
        self._retry_at_ns = now_ns + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, LAST_RETRY_NS)
        with self._lock:
            self._queue.extendleft(reversed(unwritten))
            self._queued_bytes += sum(len(frame[1]) for frame in unwritten)
            if self._queue:
                self._shed(now_ns)


class JpegTrack(SpoolTrack):
    """JPEGs of a camera that dials in, stamped when they arrive: times rise, any frame may begin a
    segment.
    """

    def __init__(self, writer: SpoolWriter, device_directory: str, track: Track) -> None:
        super().__init__(writer, device_directory, track)
        self._first_ns = 0  # monotonic time of the segment's first frame

    def append(
        self,
        mono_ns: int,
        payload: bytes,
        *,
        is_key: bool = True,  # noqa: ARG002  every JPEG is one
        is_audio: bool = False,  # noqa: ARG002
        capture_us: int = 0,  # noqa: ARG002
        number: int = 0,  # noqa: ARG002
    ) -> bool:
        """`mono_ns` is the time of arrival."""
        if self.is_closed:
            return False
        return self._enqueue((mono_ns, payload), mono_ns)

    def _write(self, taken: list[tuple[int, bytes]]) -> None:
        if not taken:
            return
        now_offset_ns = self._writer.wall_ns() - self._writer.mono_ns()
        while taken:
            if self._needs_new_segment(taken[0][0], now_offset_ns):
                self._begin_segment(taken[0][0], now_offset_ns)
            count = 1
            while count < len(taken) and not self._needs_new_segment(
                taken[count][0], now_offset_ns
            ):
                count += 1
            self._write_to_segment(taken, count)

    def _write_to_segment(self, taken: list[tuple[int, bytes]], count: int) -> None:
        segment = self.segment
        assert segment is not None  # noqa: S101  _needs_new_segment saw to it
        frames: list[tuple[int, bytes]] = []
        time_ms = segment.last_ms
        for mono_ns, payload in taken[:count]:
            # Frames of a burst share a millisecond; times must rise.
            time_ms = max((mono_ns - self._first_ns) // 1_000_000, time_ms + 1)
            frames.append((time_ms, payload))
        before = segment.frames
        try:
            segment.append(frames)
        finally:
            written = segment.frames - before
            self.written_frames += written
            if written:
                self._last_ns = taken[written - 1][0]
                self._last_wall_ms = segment.last_wall_ms
            del taken[:written]

    def _needs_new_segment(self, mono_ns: int, now_offset_ns: int) -> bool:
        if self.segment is None or self._offset_ns is None:
            return True
        return (
            abs(now_offset_ns - self._offset_ns) > CLOCK_STEP_NS
            or mono_ns - self._first_ns >= self._writer.segment_ns
            or mono_ns - self._last_ns > GAP_MS * 1_000_000
            or local_hour(
                self.segment.start_ms + (mono_ns - self._first_ns) // 1_000_000, self._writer.zone
            )
            != self._hour
        )

    def _begin_segment(self, mono_ns: int, now_offset_ns: int) -> None:
        """The new file is there before the old one ends: the packager then knows how long the
        old one's last frame lasts.
        """
        is_step = self._offset_ns is None or abs(now_offset_ns - self._offset_ns) > CLOCK_STEP_NS
        start_ms = (mono_ns + now_offset_ns) // 1_000_000
        if not is_step:
            start_ms = max(start_ms, self._last_wall_ms + 1)  # drift must not turn frames round
        directory = self._writer.directory / self.device_directory
        segment = SegmentWriter(directory, start_ms, self._track)
        self._end_segment()
        self.segment = segment
        self._offset_ns = now_offset_ns
        self._first_ns = self._last_ns = mono_ns
        self._hour = local_hour(segment.start_ms, self._writer.zone)
