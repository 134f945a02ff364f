"""Taking frames in: a bounded queue per camera, one thread that writes, one that syncs.

Needs no database, broker or worker, and nothing of it runs on the event loop but
`SpoolTrack.append`. A slow disk therefore costs frames of its own queue (oldest first, counted)
and never stops the loop; a slow `fdatasync` does not even stop the writing.

Wall time is the monotonic clock plus one offset per segment. A step of the wall clock above half a
second starts a new segment with the new offset and loses nothing; slow drift is taken up at the
next segment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from queue import Empty, SimpleQueue

from django.utils import timezone

from recordings.media.matroska import CODEC_IDS, Track
from recordings.segments import Frame, SegmentWriter
from recordings.spool_packets import PacketTrack
from recordings.spool_track import QUEUE_BYTES, JpegTrack, SpoolTrack

__all__ = ["QUEUE_BYTES", "Frame", "SpoolTrack", "SpoolWriter"]

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 0.1
SYNC_SECONDS = 2.0  # what a power cut may cost


class SpoolWriter:
    """Every track of this process, and the two threads that serve them."""

    def __init__(
        self,
        directory: Path,
        segment_seconds: int,
        on_closed: Callable[[str], None],
        *,
        zone: tzinfo | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        has_threads: bool = True,
    ) -> None:
        """`on_closed(device_directory)` runs in the sync thread, once a segment has its final name.

        Without threads (tests) the caller drives `drain()` and `sync()` itself.
        """
        self.directory = directory
        self.segment_ns = segment_seconds * 1_000_000_000
        self.zone = zone or timezone.get_default_timezone()
        self.wall_ns = wall_ns
        self.mono_ns = mono_ns
        self._on_closed = on_closed
        self._tracks: set[SpoolTrack] = set()
        self._tracks_lock = threading.Lock()  # open() on the loop against the two threads
        self._ended: SimpleQueue[tuple[SpoolTrack, SegmentWriter] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_loop, name="spool-write", daemon=True),
            threading.Thread(target=self._sync_loop, name="spool-sync", daemon=True),
        ]
        if not has_threads:
            self._threads.clear()
        for thread in self._threads:
            thread.start()

    def open(self, device_directory: str, track: Track, *, run: int = 0) -> SpoolTrack:
        """New parameters are a new track: close the old one and open another.

        `run` other than 0: packets of a capture agent, which repeats what was not acknowledged
        after a restart. Nothing is on disk until the first key picture. Raises ValueError for an
        unknown codec.
        """
        if track.codec not in CODEC_IDS:
            raise ValueError(f"the spool knows {', '.join(CODEC_IDS)}, not {track.codec!r}")
        opened: SpoolTrack
        if track.codec == "mjpeg" and not run:
            opened = JpegTrack(self, device_directory, track)
        else:
            opened = PacketTrack(self, device_directory, track, run)
        with self._tracks_lock:
            self._tracks.add(opened)
        return opened

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """End every segment and both threads. False when the disk did not answer in time; what it
        has is then adopted at the next start.
        """
        with self._tracks_lock:
            tracks = list(self._tracks)
        for track in tracks:
            track.close()
        if not self._threads:
            self.drain()
            self.sync()
            return True
        self._stopping.set()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def drain(self) -> None:
        """Write what all tracks have queued; one broken track does not stop the others."""
        with self._tracks_lock:
            tracks = list(self._tracks)
        for track in tracks:
            is_open = True
            try:
                is_open = track.drain()
            except Exception as error:
                logger.exception("Spool of %s: unexpected failure", track.device_directory)
                track.error = f"Recording failed unexpectedly: {error}."
            if not is_open:
                with self._tracks_lock:
                    self._tracks.discard(track)

    def sync(self) -> None:
        """Finish the segments that ended, then sync the open ones."""
        while not self._ended.empty():
            if ended := self._ended.get():
                self._finish(*ended)
        self._sync_open()

    def _sync_open(self) -> None:
        with self._tracks_lock:
            tracks = list(self._tracks)
        for track in tracks:
            track.sync()

    def hand_over(self, track: SpoolTrack, segment: SegmentWriter) -> None:
        self._ended.put((track, segment))

    def _finish(self, track: SpoolTrack, segment: SegmentWriter) -> None:
        newest_ms = segment.last_wall_ms
        try:
            if segment.finish() is None:
                return
        except OSError as error:
            track.fault("sync", error)
            return
        track.synced_ms = max(track.synced_ms, newest_ms)
        track.recovered("sync")
        try:
            self._on_closed(track.device_directory)
        except Exception:
            # The segment is safe on disk; the beat task finds it later.
            logger.exception("Spool of %s: could not announce a segment", track.device_directory)

    def _write_loop(self) -> None:
        while True:
            is_last = self._stopping.wait(DRAIN_SECONDS)
            self.drain()
            if is_last:
                self._ended.put(None)
                return

    def _sync_loop(self) -> None:
        next_sync = time.monotonic() + SYNC_SECONDS
        while True:
            try:
                ended = self._ended.get(timeout=max(0.0, next_sync - time.monotonic()))
            except Empty:
                pass
            else:
                if ended is None:
                    return
                self._finish(*ended)
            if time.monotonic() >= next_sync:
                self._sync_open()
                next_sync = time.monotonic() + SYNC_SECONDS
