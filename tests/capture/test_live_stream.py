"""capture.hub, broadcast and viewer: what those who watch a stream of packets are given, and that a
decoder makes of it what was sent.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

import av
import pytest

from capture import viewer as viewer_module
from capture.broadcast import MAX_GOP_BYTES, Media, Piece
from capture.hub import Hub, LiveFrame, Show, Viewer
from capture.media import counting, livemedia
from capture.media.packets import WirePacket
from recordings.media.matroska import Block
from tests.recordings.footage import Coded, coded

NOW_MS = 1_800_000_000_000
PK = 1
PLAIN = coded("h264", frames=75, gop=25)


class Sender:
    """Puts footage into a hub as a session does; its clock is the footage's."""

    def __init__(self, hub: Hub, footage: Coded, run: int = 1) -> None:
        self.hub, self.footage, self.run, self.number = hub, footage, run, 0
        self.broadcast = hub.open_stream(PK, footage.track)

    def put(self, block: Block, *, is_late: bool = False, shift_ms: int = 0) -> None:
        self.number += 1
        packet = WirePacket(self.number, 0, block.payload, block.is_key, block.is_audio)
        times_ms = (NOW_MS + block.time_ms + shift_ms, 500 + block.time_ms + shift_ms)
        self.hub.put_packet(PK, packet, self.run, times_ms, is_late=is_late)

    def put_all(self, blocks: list[Block], **how: int) -> None:
        for block in blocks:
            self.put(block, **how)  # type: ignore[arg-type]


def taken(viewer: Viewer) -> Iterator[Media | Piece]:
    """All that waits for a viewer."""
    while True:
        item = viewer.take_media() or viewer.take_piece()
        if item is None:
            return
        yield item


def pieces(viewer: Viewer) -> list[Piece]:
    return [item for item in taken(viewer) if isinstance(item, Piece)]


def decoded(data: bytes) -> list[tuple[int, int]]:
    """(counter, presentation time in ms) of every picture that a decoder finds."""
    found = []
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        for frame in container.decode(video=0):
            luma = frame.planes[0]
            stamp = counting.read_luma(memoryview(luma), stride=luma.line_size, width=frame.width)
            assert stamp is not None
            assert frame.pts is not None and frame.time_base is not None
            found.append((stamp.counter, round(frame.pts * frame.time_base * 1000)))
    return found


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_decoder_shows_every_picture_at_its_time(codec: str, b_frames: int) -> None:
    footage = coded(codec, frames=50, gop=25, b_frames=b_frames)
    hub = Hub()
    sender = Sender(hub, footage)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(footage.blocks)
        data = b"".join(piece.payload for piece in pieces(viewer))
    shown = decoded(data)
    first_ms = shown[0][1]  # FFmpeg moves all of them by the largest negative offset
    assert 0 <= first_ms - livemedia.FIRST_MS < (200 if b_frames else 1)
    assert shown == [(number, first_ms + 40 * number) for number in range(50)]


def test_a_viewer_is_told_what_it_is_then_gets_the_init_segment_then_the_group_so_far() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    sender.put_all(PLAIN.blocks[:40])
    with hub.watch(PK, Show.VIDEO) as viewer:
        assert viewer.wake.is_set(), "nothing has to come first"
        media, init, opening = taken(viewer)
    assert isinstance(media, Media)
    assert media.mime.startswith('video/mp4; codecs="avc1.')
    assert (media.codec, media.has_sound) == ("h264", False)
    assert isinstance(init, Piece)
    assert isinstance(opening, Piece)
    assert init.is_init
    assert init.payload[4:8] == b"ftyp"
    assert opening.captured_ms == NOW_MS + PLAIN.blocks[39].time_ms
    shown = decoded(init.payload + opening.payload)
    assert [counter for counter, _ in shown] == list(range(25, 40)), "from the newest key picture"
    assert media.origin_ms + shown[-1][1] == opening.captured_ms, "the age can be told"


def test_each_fragment_is_made_once_for_all_and_only_when_somebody_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    really = livemedia.picture_fragment

    def counted(number: int, *args: object, **how: object) -> bytes:
        made.append(number)
        return really(number, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(livemedia, "picture_fragment", counted)
    hub = Hub()
    sender = Sender(hub, PLAIN)
    sender.put_all(PLAIN.blocks[:10])
    assert made == []
    with hub.watch(PK, Show.VIDEO) as one, hub.watch(PK, Show.VIDEO) as other:
        sender.put_all(PLAIN.blocks[10:20])
        assert [p.payload for p in pieces(one)] == [p.payload for p in pieces(other)]
    assert sorted(made) == list(range(1, 21))


def test_sound_rides_along_for_who_wants_it() -> None:
    footage = coded("h264", frames=50, gop=25, has_sound=True)
    hub = Hub()
    sender = Sender(hub, footage)
    with hub.watch(PK, Show.SOUND) as hearing, hub.watch(PK, Show.VIDEO) as seeing:
        sender.put_all(footage.blocks)
        loud, silent = list(taken(hearing)), list(taken(seeing))
    assert isinstance(loud[0], Media)
    assert isinstance(silent[0], Media)
    assert loud[0].mime.endswith(',mp4a.40.2"')
    assert "mp4a" not in silent[0].mime
    assert loud[0].has_sound and silent[0].has_sound, "the camera has some"
    data = b"".join(item.payload for item in loud if isinstance(item, Piece))
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        times: dict[str, list[int]] = {"audio": [], "video": []}
        for packet in container.demux():
            if packet.pts is not None:
                times[packet.stream.type].append(packet.pts)
    offered = sum(block.is_audio for block in footage.blocks)
    assert offered - 3 <= len(times["audio"]) <= offered, "but what no picture came after"
    assert {after - before for before, after in itertools.pairwise(times["audio"])} <= {21, 22}
    assert abs(times["audio"][0] - times["video"][0]) < 60, "in step with the picture"
    assert len(decoded(data)) == 50


def test_a_pause_of_the_camera_is_left_out_of_media_time_and_told() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(PLAIN.blocks[:30])
        list(taken(viewer))
        sender.put_all(PLAIN.blocks[30:50], shift_ms=6000)
        media, after = taken(viewer)
    assert isinstance(media, Media)
    assert isinstance(after, Piece)
    # A step of more than twice a picture's length would cost everything up to the next key.
    assert media.origin_ms == NOW_MS - livemedia.FIRST_MS + 6000
    assert after.captured_ms == NOW_MS + 6000 + PLAIN.blocks[49].time_ms


@pytest.mark.parametrize("jump_ms", [-3_600_000, -5_000, 5_000, 3_600_000])
def test_clocks_that_jump_make_no_hole(jump_ms: int) -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(PLAIN.blocks[:30])
        sender.put_all(PLAIN.blocks[30:60], shift_ms=jump_ms)
        data = b"".join(piece.payload for piece in pieces(viewer))
    times = [time_ms for _, time_ms in decoded(data)]
    assert len(times) == 60
    assert {after - before for before, after in itertools.pairwise(times)} == {40}


def test_decode_times_rise_and_their_steps_are_short() -> None:
    timeline = livemedia.Timeline()
    shown = [0, 160, 80, 40, 120, 320, 240, 200, 280, 300, 300, 1100, 4000, 0, 40]
    placed = [timeline.place(one) for one in shown]
    decode = [decode_ms for _, decode_ms in placed]
    steps = [after - before for before, after in itertools.pairwise(decode)]
    assert all(0 < step <= 2 * livemedia.TAIL_MS for step in steps)
    assert [media_ms - livemedia.FIRST_MS for media_ms, _ in placed[:9]] == shown[:9]


def test_new_parameters_begin_anew() -> None:
    hub = Hub()
    Sender(hub, PLAIN).put_all(PLAIN.blocks[:30])
    other = coded("h264", frames=50, gop=25, size=(192, 144))
    with hub.watch(PK, Show.VIDEO) as viewer:
        list(taken(viewer))
        Sender(hub, other).put_all(other.blocks[:5])
        media, init, _ = taken(viewer)
    assert isinstance(media, Media)
    assert isinstance(init, Piece)
    assert init.is_init


def test_the_same_parameters_after_a_reconnect_go_on() -> None:
    hub = Hub()
    Sender(hub, PLAIN, run=1).put_all(PLAIN.blocks[:30])
    with hub.watch(PK, Show.VIDEO) as viewer:
        list(taken(viewer))
        Sender(hub, PLAIN, run=2).put_all(PLAIN.blocks[25:40], shift_ms=200)
        (piece,) = taken(viewer)
    assert isinstance(piece, Piece)
    assert not piece.is_init


def test_missing_packets_are_bridged_by_the_next_key_picture() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(PLAIN.blocks[:30])
        before = b"".join(piece.payload for piece in pieces(viewer))
        sender.number += 4
        sender.put_all(PLAIN.blocks[34:50])
        assert not viewer.has_picture, "what refers to lost pictures is not shown"
        with hub.watch(PK, Show.VIDEO) as newcomer:
            shown = decoded(b"".join(piece.payload for piece in pieces(newcomer)))
            assert [counter for counter, _ in shown] == [25], "the key picture, at once"
        sender.put_all(PLAIN.blocks[50:60])
        data = before + b"".join(piece.payload for piece in pieces(viewer))
    assert [counter for counter, _ in decoded(data)] == [*range(30), *range(50, 60)]


def test_a_viewer_that_falls_behind_goes_on_at_the_next_key_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(PLAIN.blocks[:20])
        data = b"".join(piece.payload for piece in pieces(viewer))
        monkeypatch.setattr(viewer_module, "MAX_QUEUE_MS", 300)
        sender.put_all(PLAIN.blocks[20:45])
        assert not viewer.has_picture
        monkeypatch.setattr(viewer_module, "MAX_QUEUE_MS", 10_000)
        sender.put_all(PLAIN.blocks[45:60])
        data += b"".join(piece.payload for piece in pieces(viewer))
    assert [counter for counter, _ in decoded(data)] == [*range(20), *range(50, 60)]


def test_one_that_never_heard_the_beginning_is_told_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(viewer_module, "MAX_QUEUE_MS", 300)
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(PLAIN.blocks[:52])
        kinds = [type(item).__name__ for item in taken(viewer)]
    assert kinds == ["Media", "Piece", "Piece"]


def test_a_viewer_that_takes_nothing_costs_a_bounded_queue() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    big = [
        block._replace(payload=(200_000).to_bytes(4, "big") + bytes(200_000))
        for block in PLAIN.blocks
    ]
    with hub.watch(PK, Show.VIDEO) as viewer:
        for turn in range(4):
            sender.put_all(big, shift_ms=3000 * turn)
            assert sum(len(piece.payload) for piece in pieces_of(viewer)) <= MAX_GOP_BYTES * 1.05


def pieces_of(viewer: Viewer) -> list[Piece]:
    """What waits, left where it is."""
    return [item for item in viewer._queue if isinstance(item, Piece)]


def test_a_group_too_large_keeps_only_its_key_picture() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    big = [
        block._replace(payload=(500_000).to_bytes(4, "big") + bytes(500_000))
        for block in PLAIN.blocks
    ]
    sender.put(big[0])
    with hub.watch(PK, Show.VIDEO) as early:
        for block in big[1:20]:
            sender.put(block)
            pieces(early)
        assert len(sender.broadcast.gop) == 1
        sender.put(big[20])
        assert early.has_picture, "who was there from the key picture on goes on"


def test_a_backlog_is_not_shown_and_what_follows_is() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO) as viewer:
        for block in PLAIN.blocks[:30]:
            sender.put(block, is_late=True)
        assert not viewer.has_picture
        assert not viewer.has_media
        sender.put(PLAIN.blocks[30])
        data = b"".join(piece.payload for piece in pieces(viewer))
    assert [counter for counter, _ in decoded(data)] == list(range(25, 31)), "all it refers to"


def test_who_wants_stills_gets_key_pictures_now_and_then() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK) as viewer:
        sender.put_all(PLAIN.blocks[:25])
        assert viewer.still is sender.broadcast.key
        viewer.still = None
        sender.put_all(PLAIN.blocks[25:50])
        assert viewer.still is None, "a second later is too soon"
        sender.put_all(PLAIN.blocks[50:55])
        assert viewer.still is not None
        assert viewer.still.payload == PLAIN.blocks[50].payload
        assert not viewer.has_media


def test_a_key_picture_is_still_whole_after_it_became_a_fragment() -> None:
    hub = Hub()
    sender = Sender(hub, PLAIN)
    with hub.watch(PK, Show.VIDEO):
        sender.put(PLAIN.blocks[0])
    assert sender.broadcast.key is not None
    assert sender.broadcast.key.payload == PLAIN.blocks[0].payload


def test_a_viewer_may_change_its_mind() -> None:
    footage = coded("h264", frames=50, gop=25, has_sound=True)
    hub = Hub()
    sender = Sender(hub, footage)
    with hub.watch(PK, Show.VIDEO) as viewer:
        sender.put_all(footage.blocks[:40])
        list(taken(viewer))
        hub.begin(PK, viewer, Show.SOUND)
        media, init, opening = taken(viewer)
        assert isinstance(media, Media)
        assert "mp4a" in media.mime
        assert isinstance(init, Piece)
        assert isinstance(opening, Piece)
        assert decoded(init.payload + opening.payload)
        hub.begin(PK, viewer, Show.STILLS)
        assert viewer.still is sender.broadcast.key
        assert not viewer.has_media


def test_a_camera_that_gives_jpegs_now_ends_its_stream() -> None:
    hub = Hub()
    Sender(hub, PLAIN).put_all(PLAIN.blocks[:5])
    hub.close_stream(PK)
    hub.put(PK, LiveFrame(NOW_MS, b"jpeg"))
    with hub.watch(PK, Show.VIDEO) as viewer:
        assert viewer.take() == LiveFrame(NOW_MS, b"jpeg")
        assert not viewer.has_picture


def test_old_streams_are_let_go() -> None:
    hub = Hub()
    Sender(hub, PLAIN).put_all(PLAIN.blocks[:5])
    hub.forget_older_than(NOW_MS)
    assert hub.broadcast(PK) is not None
    hub.forget_older_than(NOW_MS + 1000)
    assert hub.broadcast(PK) is None
