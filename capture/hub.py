"""The newest picture of every camera, for whoever watches, in this process.

JPEG cameras: one newest-frame slot per viewer. H.264 and H.265: the group of pictures so far, and
a bounded queue per viewer. A viewer that is slow or silent never holds up a camera or another
viewer. Used on the event loop only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from capture.broadcast import Broadcast
from capture.media.packets import WirePacket
from capture.viewer import LiveFrame, Show, Viewer
from recordings.media.matroska import Track

__all__ = ["Hub", "LiveFrame", "Show", "Viewer", "hub"]

KEEP_NEWEST_MS = 60_000  # after that a still is history, and the memory is better used


class Hub:
    def __init__(self) -> None:
        self._newest: dict[int, LiveFrame] = {}
        self._broadcasts: dict[int, Broadcast] = {}
        self._viewers: dict[int, set[Viewer]] = {}

    def put(self, device_pk: int, frame: LiveFrame) -> None:
        self._newest[device_pk] = frame
        for viewer in self._viewers.get(device_pk, ()):
            viewer.offer(frame)

    def newest(self, device_pk: int) -> LiveFrame | None:
        return self._newest.get(device_pk)

    def viewer_count(self, device_pk: int) -> int:
        return len(self._viewers.get(device_pk, ()))

    def nudge(self, device_pk: int) -> None:
        """Let every viewer of a camera look at its state."""
        for viewer in self._viewers.get(device_pk, ()):
            viewer.wake.set()

    def forget_older_than(self, wall_ms: int) -> None:
        for device_pk in [pk for pk, frame in self._newest.items() if frame.captured_ms < wall_ms]:
            del self._newest[device_pk]
        for device_pk in [pk for pk, cast in self._broadcasts.items() if cast.is_over(wall_ms)]:
            del self._broadcasts[device_pk]

    # --- streams of packets -----------------------------------------------------------------------

    def open_stream(self, device_pk: int, track: Track) -> Broadcast:
        """The camera gives H.264 or H.265 from now on; the same as before goes on as before.

        Raises ValueError for parameters that mean nothing.
        """
        broadcast = self._broadcasts.get(device_pk)
        if broadcast is None or broadcast.track != track:
            broadcast = self._broadcasts[device_pk] = Broadcast(track)
            self._newest.pop(device_pk, None)
        return broadcast

    def close_stream(self, device_pk: int) -> None:
        """The camera gives JPEGs now."""
        if self._broadcasts.pop(device_pk, None) is not None:
            for viewer in self._viewers.get(device_pk, ()):
                viewer.restart(viewer.show)

    def broadcast(self, device_pk: int) -> Broadcast | None:
        return self._broadcasts.get(device_pk)

    def put_packet(
        self,
        device_pk: int,
        packet: WirePacket,
        run: int,
        times_ms: tuple[int, int],
        *,
        is_late: bool = False,
    ) -> None:
        """`times_ms`: captured (epoch), and shown by a clock that does not step.

        `is_late`: of a backlog; it is kept for those after it, but nobody watches the past live.
        What a sender repeats after a lost connection was shown before.
        """
        broadcast = self._broadcasts[device_pk]
        step = broadcast.step(run, packet.number)
        if step < 1:
            return
        if step > 1:
            self._tear(device_pk, broadcast)
        captured_ms, shown_ms = times_ms
        if packet.is_audio:
            broadcast.add_sound(shown_ms, packet.payload)
            return
        picture = broadcast.add(captured_ms, shown_ms, packet.payload, is_key=packet.is_key)
        viewers = self._viewers.get(device_pk, ())
        for viewer in viewers:
            viewer.follow(broadcast, picture, is_late=is_late)
        if packet.is_key and not is_late and broadcast.is_still_due(captured_ms):
            for viewer in viewers:
                viewer.offer_still(picture)

    def _tear(self, device_pk: int, broadcast: Broadcast) -> None:
        """Packets of the stream are missing here."""
        broadcast.tear()
        for viewer in self._viewers.get(device_pk, ()):
            viewer.lose()

    @contextmanager
    def watch(self, device_pk: int, show: Show = Show.STILLS) -> Iterator[Viewer]:
        """A viewer that begins with the newest frame there is."""
        viewer = Viewer(show)
        self.begin(device_pk, viewer)
        viewers = self._viewers.setdefault(device_pk, set())
        viewers.add(viewer)
        try:
            yield viewer
        finally:
            viewers.discard(viewer)
            if not viewers and self._viewers.get(device_pk) is viewers:
                del self._viewers[device_pk]

    def begin(self, device_pk: int, viewer: Viewer, show: Show | None = None) -> None:
        """Also begins anew, when a viewer wants to be shown something else."""
        if show is not None:
            viewer.restart(show)
        if frame := self._newest.get(device_pk):
            viewer.offer(frame)
        if broadcast := self._broadcasts.get(device_pk):
            viewer.open(broadcast)


hub = Hub()
