"""capture.packet_session: what an agent brings, with the clock and the spool in our hands."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from capture.hub import Show
from capture.media import packets
from capture.packet_session import KEYLESS, Acks, PacketSession
from recordings.media.matroska import Block, Track
from tests.capture.firmware import jpeg
from tests.capture.world import FakeTrack, World
from tests.recordings.footage import coded

FOOTAGE = coded("h264", frames=50, gop=25, has_sound=True)
PICTURES = FOOTAGE.pictures
AHEAD_US = 5_000_000  # the agent's clock, of ours


class Agent:
    """Speaks to a session as an agent's connection does."""

    def __init__(self, world: World, run: int = 7) -> None:
        self.world, self.run, self.number = world, run, 0
        self.session = world.connect(is_agent=True)

    def stream(self, track: Track = FOOTAGE.track, offset_us: int = -AHEAD_US) -> None:
        assert not self.session.take(packets.encode_stream(self.run, offset_us, track).encode())

    def send(self, block: Block, *, age_ms: int = 0, number: int = 0) -> None:
        self.number = number or self.number + 1
        capture_us = self.world.clock.mono // 1000 + AHEAD_US - 1000 * age_ms
        message = packets.encode_packet(
            self.number, capture_us, block.payload, is_key=block.is_key, is_audio=block.is_audio
        )
        assert not self.session.take(message)

    def play(self, blocks: list[Block], step_ms: int = 40) -> None:
        for block in blocks:
            self.send(block)
            self.world.clock.pass_seconds(0 if block.is_audio else step_ms / 1000)

    @property
    def track(self) -> FakeTrack:
        return self.world.spool.tracks[-1]


@pytest.fixture
def agent(world: World) -> Agent:
    agent = Agent(world)
    agent.stream()
    return agent


async def test_an_agents_packets_reach_the_spool_with_their_own_time(agent: Agent) -> None:
    now = agent.world.clock.mono
    agent.send(PICTURES[0], age_ms=200)
    sound = next(block for block in FOOTAGE.blocks if block.is_audio)
    agent.send(sound, age_ms=190)
    agent.send(PICTURES[1], age_ms=160)
    assert agent.track.run == 7
    assert agent.track.track == FOOTAGE.track
    assert [(one.mono_ns - now) // 1_000_000 for one in agent.track.appended] == [-200, -190, -160]
    assert [one.capture_us for one in agent.track.appended] == [
        now // 1000 + AHEAD_US - 1000 * age for age in (200, 190, 160)
    ]
    assert [(one.number, one.is_key, one.is_audio) for one in agent.track.appended] == [
        (1, True, False),
        (2, True, True),
        (3, False, False),
    ]
    assert agent.world.news.states() == ["online", "streaming"]


@pytest.mark.parametrize("age_ms", [-1001, -10_000_000, 90_001, 10_000_000])
async def test_a_time_that_cannot_be_is_now(agent: Agent, age_ms: int) -> None:
    agent.world.clock.pass_seconds(20_000)
    agent.send(PICTURES[0], age_ms=age_ms)
    assert agent.track.appended[0].mono_ns == agent.world.clock.mono


@pytest.mark.parametrize("age_ms", [-999, 89_999])
async def test_a_time_at_the_edge_is_believed(agent: Agent, age_ms: int) -> None:
    agent.send(PICTURES[0], age_ms=age_ms)
    assert agent.track.appended[0].mono_ns == agent.world.clock.mono - age_ms * 1_000_000


async def test_only_pictures_count_as_frames(agent: Agent) -> None:
    for _ in range(5):
        agent.play(FOOTAGE.blocks)
    agent.session.measure(agent.world.clock.mono)
    assert agent.session.fps == pytest.approx(25, abs=0.3)
    assert agent.session.received_bytes == 5 * sum(len(one.payload) for one in FOOTAGE.blocks)


async def test_sound_alone_is_a_stalled_camera(agent: Agent) -> None:
    agent.play(PICTURES[:3])
    sound = [block for block in FOOTAGE.blocks if block.is_audio]
    for number in range(12):
        agent.send(sound[number])
        agent.world.sweep_for(0.5)
    assert agent.session.is_stalled
    assert "stalled" in agent.world.news.kinds()
    agent.send(PICTURES[3])
    assert not agent.session.is_stalled


async def test_new_parameters_are_a_new_track_of_the_same_run(agent: Agent) -> None:
    agent.play(PICTURES[:3])
    other = coded("hevc", frames=5, gop=5, size=(192, 144))
    agent.stream(other.track)
    agent.play(other.pictures)
    first, second = agent.world.spool.tracks
    assert first.is_closed
    assert (len(first.appended), len(second.appended)) == (3, 5)
    assert (second.run, second.track) == (7, other.track)


async def test_comparing_clocks_again_keeps_the_track(agent: Agent) -> None:
    agent.play(PICTURES[:2])
    agent.stream(offset_us=-AHEAD_US - 4000)
    agent.send(PICTURES[2])
    assert len(agent.world.spool.tracks) == 1
    assert agent.track.appended[-1].mono_ns == agent.world.clock.mono - 4_000_000


async def test_the_size_is_what_the_parameters_say(world: World) -> None:
    agent = Agent(world)
    agent.stream(FOOTAGE.track._replace(width=4000, height=16))
    assert agent.track.size == (160, 120)


async def test_the_clock_is_told_at_once(agent: Agent) -> None:
    agent.session.take(packets.encode_clock(123).encode())
    assert json.loads((await agent.world.said())[-1]) == {
        "type": "clock",
        "t_us": 123,
        "mono_us": agent.world.clock.mono // 1000,
    }


# --- acknowledgements -----------------------------------------------------------------------------


async def acks(world: World) -> list[int]:
    said = [json.loads(text) for text in await world.said()]
    return [message["number"] for message in said if message["type"] == "ack"]


async def test_what_is_written_is_acknowledged_and_nothing_twice(agent: Agent) -> None:
    agent.play(PICTURES[:10])
    agent.world.sweep_for(1)
    assert await acks(agent.world) == []
    agent.track.written_number = 4
    agent.world.sweep_for(1)
    await agent.world.said()
    agent.track.written_number = 10
    agent.world.sweep_for(1)
    assert await acks(agent.world) == [4, 10]


def test_a_later_track_is_no_word_for_an_earlier_one() -> None:
    first, second = FakeTrack(FOOTAGE.track, 1), FakeTrack(FOOTAGE.track, 1)
    window = Acks()
    window.begin(first)
    for number in range(1, 6):
        window.note(number)
    window.begin(second)
    window.note(6)
    first.written_number, second.written_number = 3, 6
    assert window.newest() == 3, "4 and 5 are not in the file yet"
    first.written_number = 5
    assert window.newest() == 6


async def test_another_run_begins_to_be_acknowledged_anew(agent: Agent) -> None:
    agent.play(PICTURES[:10])
    agent.track.written_number = 10
    agent.world.sweep_for(1)
    await agent.world.said()
    agent.run, agent.number = 8, 0
    agent.stream()
    agent.play(PICTURES[:2])
    agent.track.written_number = 2
    agent.world.sweep_for(1)
    assert await acks(agent.world) == [10, 2]


# --- nonsense -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00\x00\x00\x05abc",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xffabcdef",
        b"ab",
        bytes(4) * 3 + b"x",
    ],
)
async def test_a_packet_that_is_not_whole_is_counted_and_said(agent: Agent, payload: bytes) -> None:
    agent.send(Block(0, payload))
    agent.send(Block(0, payload))
    assert agent.session.rejected == 2
    assert agent.track.appended == []
    assert agent.world.news.kinds() == ["connected", "error"], "said once a minute"
    agent.send(PICTURES[0])
    assert len(agent.track.appended) == 1


def _broken_stream(**changes: Any) -> bytes:
    message = json.loads(packets.encode_stream(7, 0, FOOTAGE.track))
    message["track"] |= changes
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "text",
    [
        _broken_stream(config="AAAA"),
        _broken_stream(config=""),
        _broken_stream(codec="av1"),
        _broken_stream(codec="hevc"),
        b'{"type":"stream"}',
        b'{"type":"stream","run":1}',
        b'{"type":"clock","t_us":-1}',
        b'{"type":"clock"}',
        b'{"type":"stream","run":' + b"[" * 20_000,
        b'{"type":"stream","run":"' + b"x" * 40_000 + b'"}',
    ],
)
async def test_text_that_means_nothing_is_counted(world: World, text: bytes) -> None:
    agent = Agent(world)
    assert agent.session.take(text) == ""
    agent.send(PICTURES[0])
    assert agent.session.rejected == 2, "and nobody knows what the packet is"
    assert world.spool.tracks == []
    assert "error" in world.news.kinds()


async def test_after_a_stream_that_means_nothing_packets_wait_for_a_good_one(agent: Agent) -> None:
    agent.play(PICTURES[:2])
    agent.session.take(_broken_stream(config="AAAA"))
    agent.send(PICTURES[2])
    assert len(agent.track.appended) == 2
    agent.stream()
    agent.send(PICTURES[0])
    assert len(agent.track.appended) == 1


async def test_sound_whose_parameters_mean_nothing_is_left_out(world: World) -> None:
    agent = Agent(world)
    audio = FOOTAGE.track.audio
    assert audio is not None
    agent.stream(FOOTAGE.track._replace(audio=audio._replace(config=b"\x00\x00")))
    assert agent.track.track.audio is None
    agent.play(FOOTAGE.blocks[:20])
    assert not any(one.is_audio for one in agent.track.appended)
    assert any(not one.is_audio for one in agent.track.appended)


async def test_noise_is_a_packet_or_is_counted_and_never_raises(agent: Agent) -> None:
    source = random.Random(11)
    whole = packets.encode_packet(1, AHEAD_US, PICTURES[0].payload)
    for _ in range(500):
        noise = bytearray(whole[: source.randrange(3, len(whole) + 1)])
        for _ in range(source.randrange(3)):
            noise[source.randrange(2, len(noise))] = source.randrange(256)
        agent.world.clock.pass_seconds(0.1)
        assert agent.session.take(bytes(noise)) == ""
    assert agent.session.rejected + len(agent.track.appended) == 500
    assert agent.track.appended, "some of it is whole"


async def test_an_esp32_may_not_send_packets(world: World) -> None:
    camera = world.connect()
    assert not isinstance(camera, PacketSession)
    camera.take(packets.encode_stream(7, 0, FOOTAGE.track).encode())
    camera.take(packets.encode_packet(1, 1, PICTURES[0].payload))
    assert world.spool.tracks == []
    assert camera.rejected == 1


async def test_an_agent_may_send_what_a_small_camera_would_overdraw(agent: Agent) -> None:
    for _ in range(1500):
        agent.send(PICTURES[1])
    assert len(agent.track.appended) == 1500
    message = packets.encode_packet(1, 1, b"\x00\x00\x00\x01x")
    assert any("frames a second" in agent.session.take(message) for _ in range(8000))


# --- pictures without keys ------------------------------------------------------------------------


async def test_a_camera_without_key_pictures_is_named(agent: Agent) -> None:
    for _ in range(32):
        agent.send(PICTURES[1])
        agent.world.sweep_for(0.5)
    assert agent.session.error == KEYLESS
    assert [event.detail for event in agent.world.news.events].count(KEYLESS) == 1
    agent.send(PICTURES[0])
    assert agent.session.error == ""


async def test_a_camera_whose_groups_are_long_is_not(agent: Agent) -> None:
    agent.send(PICTURES[0])
    for _ in range(80):
        agent.send(PICTURES[1])
        agent.world.sweep_for(0.5)
    assert agent.session.error == ""


# --- JPEGs as packets -----------------------------------------------------------------------------


async def test_jpegs_as_packets_are_checked_and_say_their_size(world: World) -> None:
    agent = Agent(world)
    agent.stream(Track("mjpeg", 0, 0))
    agent.send(Block(0, jpeg(320, 240)))
    agent.send(Block(0, jpeg(320, 240)))
    agent.send(Block(0, jpeg(160, 120)))
    agent.send(Block(0, jpeg(160, 120)[:-40]))
    assert [(one.size, len(one.appended)) for one in world.spool.tracks] == [
        ((320, 240), 2),
        ((160, 120), 1),
    ]
    assert agent.session.rejected == 1
    frame = world.hub.newest(1)
    assert frame is not None
    assert frame.payload == jpeg(160, 120)


async def test_a_backlog_of_jpegs_is_kept_and_not_shown(world: World) -> None:
    agent = Agent(world)
    agent.stream(Track("mjpeg", 0, 0))
    agent.send(Block(0, jpeg()), age_ms=3500)
    assert len(agent.track.appended) == 1
    assert world.hub.newest(1) is None


async def test_a_jpeg_beside_the_stream_is_refused(agent: Agent) -> None:
    agent.session.take(jpeg())
    assert agent.session.rejected == 1
    assert agent.track.appended == []


# --- what viewers get -----------------------------------------------------------------------------


async def test_a_sender_that_repeats_is_shown_once(agent: Agent) -> None:
    agent.play(PICTURES[:10])
    with agent.world.hub.watch(1, Show.VIDEO) as viewer:
        while viewer.has_media or viewer.has_picture:
            viewer.take_media() or viewer.take_piece()
        agent.world.registry.close(agent.session)
        again = Agent(agent.world)
        again.stream()
        for number in range(1, 11):
            again.send(PICTURES[number - 1], number=number, age_ms=400 - 40 * number)
        assert not viewer.has_picture
        again.send(PICTURES[10], number=11)
        assert viewer.has_picture
    assert len(again.track.appended) == 11, "the spool gets all of it; own_frames sorts it out"


@pytest.mark.parametrize("age_ms", [0, 80_000], ids=["after a pause", "of a backlog"])
async def test_a_stream_that_was_let_go_begins_again(agent: Agent, age_ms: int) -> None:
    for _ in range(2):
        agent.send(PICTURES[0], age_ms=age_ms)
        for _ in range(140):  # sound alone keeps the connection, and shows nothing
            agent.send(Block(0, b"sound", is_key=True, is_audio=True))
            agent.world.sweep_for(0.5)
    assert agent.session.rejected == 0
    with agent.world.hub.watch(1, Show.VIDEO) as viewer:
        agent.send(PICTURES[0])
        assert viewer.has_media
