from __future__ import annotations

from capture.hub import Hub, LiveFrame


def frame(number: int) -> LiveFrame:
    return LiveFrame(captured_ms=number, payload=b"%d" % number)


async def test_a_slow_viewer_holds_one_frame_and_it_is_the_newest() -> None:
    hub = Hub()
    with hub.watch(1) as viewer:
        for number in range(100):
            hub.put(1, frame(number))
        assert viewer.take() == frame(99)
        assert viewer.take() is None
        assert viewer.skipped_frames == 99


async def test_a_viewer_begins_with_the_newest_frame_and_is_woken_by_the_next() -> None:
    hub = Hub()
    hub.put(1, frame(5))
    with hub.watch(1) as viewer:
        assert viewer.wake.is_set()
        assert viewer.take() == frame(5)
        viewer.wake.clear()
        hub.put(2, frame(6))
        assert not viewer.wake.is_set(), "another camera's frame is nothing to this viewer"
        hub.put(1, frame(7))
        assert viewer.wake.is_set()


async def test_it_counts_viewers_and_forgets_them() -> None:
    hub = Hub()
    with hub.watch(1), hub.watch(1):
        assert hub.viewer_count(1) == 2
    assert hub.viewer_count(1) == 0


async def test_old_stills_are_let_go() -> None:
    hub = Hub()
    hub.put(1, frame(10))
    hub.put(2, frame(20))
    hub.forget_older_than(15)
    assert hub.newest(1) is None
    assert hub.newest(2) == frame(20)
