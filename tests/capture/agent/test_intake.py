"""From a muxed stream to packets: which tracks, which parameters, from where on, at what time."""

from __future__ import annotations

import pytest

from capture.agent.intake import NO_KEY_US, Intake
from capture.agent.protocol import SourceError
from recordings.media import nal
from tests.capture.agent import matroska as made
from tests.capture.agent.sinks import Kept
from tests.recordings.footage import coded

CODEC_IDS = {"h264": "V_MPEG4/ISO/AVC", "hevc": "V_MPEGH/ISO/HEVC"}
SECOND = 1_000_000
START = 100 * SECOND


class Stream:
    """An intake, fed with one block at a time."""

    def __init__(self, *tracks: bytes) -> None:
        self.kept = Kept()
        self.intake = Intake(self.kept)
        self.now_us = START
        self.intake.feed(made.head(*tracks), self.now_us)

    def give(
        self, payload: bytes, at_ms: int, *, track: int = 1, is_key: bool = True, wait_ms: int = 40
    ) -> None:
        self.now_us += 1000 * wait_ms
        block = made.simple(payload, track=track, is_key=is_key)
        self.intake.feed(made.cluster(at_ms, block), self.now_us)


def video(codec: str = "h264", config: bytes | None = None) -> bytes:
    private = coded(codec).track.config if config is None else config
    return made.video(codec=CODEC_IDS[codec], private=private)


def with_sets(codec: str, config: bytes, payload: bytes) -> bytes:
    """As most cameras send their key pictures: parameter sets in front."""
    sets = nal.sets_of(codec, config)
    return b"".join(len(one).to_bytes(4, "big") + one for one in sets) + payload


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_stream_is_described_before_its_first_packet(codec: str) -> None:
    footage = coded(codec)
    stream = Stream(video(codec))
    for block in footage.pictures[:5]:
        stream.give(block.payload, block.time_ms, is_key=block.is_key)
    assert stream.kept.tracks == [footage.track]
    assert [packet.payload for packet in stream.kept.packets] == [
        block.payload for block in footage.pictures[:5]
    ]
    assert [packet.is_key for packet in stream.kept.packets] == [True, False, False, False, False]


def test_nothing_is_taken_before_the_first_key_picture() -> None:
    footage = coded()
    stream = Stream(video(), made.sound())
    for number in (1, 2, 3):
        stream.give(footage.pictures[number].payload, 40 * number, is_key=False)
        stream.give(b"tone", 40 * number, track=2, wait_ms=0)
    stream.give(footage.pictures[0].payload, 160)
    stream.give(b"tone", 160, track=2, wait_ms=0)
    stream.give(footage.pictures[4].payload, 200, is_key=False)
    assert [packet.is_audio for packet in stream.kept.packets] == [False, True, False]
    assert stream.kept.packets[0].is_key


def test_a_stream_without_key_pictures_is_given_up() -> None:
    stream = Stream(video())
    delta = coded().pictures[1].payload
    with pytest.raises(SourceError) as caught:
        for number in range(10_000):
            stream.give(delta, 40 * number, is_key=False)
    assert caught.value.code == "no_keyframes"
    assert NO_KEY_US <= stream.now_us - START < NO_KEY_US + SECOND
    assert stream.kept.packets == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parameters_that_only_the_pictures_say_are_found(codec: str) -> None:
    footage = coded(codec)
    stream = Stream(video(codec, config=b""))
    key, delta = footage.pictures[0], footage.pictures[1]
    stream.give(key.payload, 0)
    stream.give(delta.payload, 40, is_key=False)
    assert stream.kept.packets == [], "a key picture that nobody can decode is none"
    stream.give(with_sets(codec, footage.track.config, key.payload), 80)
    stream.give(delta.payload, 120, is_key=False)
    assert stream.kept.tracks == [footage.track]
    assert len(stream.kept.packets) == 2


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_new_parameters_begin_a_new_stream_and_the_same_ones_do_not(codec: str) -> None:
    small, large = coded(codec), coded(codec, size=(320, 240))
    stream = Stream(video(codec))
    for number, footage in enumerate((small, small, large, large, small)):
        key = footage.pictures[0]
        stream.give(with_sets(codec, footage.track.config, key.payload), 40 * number)
    stream.give(small.pictures[1].payload, 200, is_key=False)
    assert stream.kept.tracks == [small.track, large.track, small.track]
    assert [track.width for track in stream.kept.track_of] == [
        small.track.width, small.track.width, 320, 320, small.track.width, small.track.width,
    ]  # fmt: skip


def test_damaged_parameters_leave_those_that_were_known() -> None:
    footage = coded()
    key = footage.pictures[0].payload
    stream = Stream(video())
    stream.give(key, 0)
    stream.give(b"\x00\x00\x00\x04\x67\xff\xff\xff" + key, 40)  # an SPS of nonsense
    stream.give(b"\xff\xff\xff\xff", 80)  # lengths that lead nowhere
    stream.give(key, 120)
    assert stream.kept.tracks == [footage.track]
    assert len(stream.kept.packets) == 4


def test_damaged_parameters_at_the_beginning_are_said() -> None:
    stream = Stream(video(config=b"\x01nonsense"))
    with pytest.raises(SourceError, match="damaged"):
        for number in range(10):
            stream.give(coded().pictures[0].payload, 40 * number)


def test_the_first_of_several_pictures_and_aac_are_taken() -> None:
    footage = coded()
    opus = made.sound(track=3).replace(b"A_AAC", b"A_OPU")
    stream = Stream(opus, video(), made.video(track=4), made.sound())
    key = footage.pictures[0].payload
    for track in (1, 2, 3, 4):
        stream.give(key, 40 * track, track=track)
    stream.give(key, 200)
    assert [packet.is_audio for packet in stream.kept.packets] == [False, True, False]
    audio = stream.kept.tracks[0].audio
    assert audio is not None
    assert audio.config == b"\x11\x90"


def test_a_burst_at_the_beginning_is_held_until_it_is_over() -> None:
    """A second of pictures at once, then the live ones: spaced evenly, the last one now."""
    footage = coded()
    stream = Stream(video())
    for number, block in enumerate(footage.pictures[:25]):
        stream.give(block.payload, 40 * number, is_key=block.is_key, wait_ms=0)
    assert stream.kept.packets == []
    stream.give(footage.pictures[25].payload, 1000, is_key=True, wait_ms=40)
    times = [packet.capture_us for packet in stream.kept.packets]
    assert times == [stream.now_us - 40_000 * (25 - number) for number in range(26)]


def test_a_burst_that_does_not_end_is_not_held_for_ever() -> None:
    stream = Stream(video())
    key = coded().pictures[0].payload
    for number in range(60):
        stream.give(key, 10 * number, wait_ms=10)
    assert len(stream.kept.packets) == 60
    assert stream.kept.packets[0].capture_us >= START


def test_a_single_picture_is_released_by_the_timer() -> None:
    stream = Stream(video())
    stream.give(coded().pictures[0].payload, 0)
    assert stream.intake.is_holding
    stream.intake.release()
    assert not stream.intake.is_holding
    assert len(stream.kept.packets) == 1
    stream.intake.release()
    assert len(stream.kept.packets) == 1


def test_empty_packets_are_left_out() -> None:
    stream = Stream(video(), made.sound())
    stream.give(coded().pictures[0].payload, 0)
    stream.give(b"", 40, track=2)
    stream.give(b"", 80, is_key=False)
    stream.give(coded().pictures[1].payload, 120, is_key=False)
    assert len(stream.kept.packets) == 2
