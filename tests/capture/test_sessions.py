"""capture.sessions: presence, deadlines and who owns a camera, with the clock in our hands."""

from __future__ import annotations

import pytest

from capture.exceptions import Refused
from tests.capture.firmware import jpeg
from tests.capture.world import PICTURE, SECOND, World


async def test_a_camera_goes_from_online_over_streaming_to_offline(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    session.take(PICTURE)
    world.registry.close(session)
    assert world.news.states() == ["online", "streaming", "offline"]
    assert world.news.kinds() == ["connected", "disconnected"]
    assert world.news.presence[0].is_new_connection
    assert not world.news.presence[1].is_new_connection


async def test_every_frame_reaches_the_spool_and_the_viewers_with_its_time(world: World) -> None:
    session = world.connect()
    for _ in range(3):
        world.clock.pass_seconds(0.1)
        session.take(PICTURE)
    (track,) = world.spool.tracks
    assert track.size == (320, 240)
    times = [mono_ns for mono_ns, _ in track.frames]
    assert times == [100 * SECOND + n * SECOND // 10 for n in (1, 2, 3)]
    newest = world.hub.newest(1)
    assert newest is not None
    assert newest.captured_ms == world.clock.wall // 1_000_000


async def test_another_size_is_another_track(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    session.take(jpeg(640, 480))
    session.take(jpeg(640, 480))
    first, second = world.spool.tracks
    assert (first.is_closed, len(first.frames)) == (True, 1)
    assert (second.size, len(second.frames)) == ((640, 480), 2)


async def test_asleep_survives_the_close(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    session.take(b'{"type":"status_update","status":"entering_sleep"}')
    world.registry.close(session)
    assert world.news.states()[-1] == "asleep"
    assert world.news.kinds()[-1] == "asleep"
    assert world.registry.last_words(1) == ("asleep", world.clock.wall // 1_000_000)


async def test_a_heartbeat_does_not_end_streaming_and_its_figures_are_kept(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    session.take(b'{"type":"heartbeat","uptime":5000,"free_heap":120000,"boot_count":3}')
    assert session.presence == "streaming"
    assert session.report.uptime_ms == 5000


@pytest.mark.parametrize("status", ["dancing", "", "ONLINE"])
async def test_an_unknown_status_changes_nothing(world: World, status: str) -> None:
    session = world.connect()
    session.take(PICTURE)
    session.take(b'{"type":"status_update","status":"%s"}' % status.encode())
    assert session.presence == "streaming"


async def test_no_picture_for_five_seconds_is_stalled_and_heals(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    world.clock.pass_seconds(4)
    session.take(b'{"type":"heartbeat"}')
    world.sweep_for(1.5)
    assert (session.presence, session.is_stalled) == ("online", True)
    assert world.news.kinds().count("stalled") == 1
    session.take(PICTURE)
    assert (session.presence, session.is_stalled) == ("streaming", False)


async def test_ten_silent_seconds_end_the_session_whatever_the_wall_clock_does(
    world: World,
) -> None:
    session = world.connect()
    session.take(PICTURE)
    world.clock.wall -= 3600 * SECOND
    world.sweep_for(9.5)
    assert not session.is_over
    world.sweep_for(0.5)
    assert session.is_over
    assert world.spool.tracks[0].is_closed
    assert world.news.states()[-1] == "offline"
    assert "websocket.close" in await world.said()
    assert world.sent[-1]["code"] == 4408


async def test_the_newest_connection_wins_and_the_old_ones_late_close_changes_nothing(
    world: World,
) -> None:
    old = world.connect()
    old.take(PICTURE)
    new = world.connect()
    assert old.is_over
    assert world.registry.live(1) is new
    new.take(PICTURE)
    states = world.news.states()
    world.registry.close(old)
    world.registry.end(old, 4408, "late")
    assert world.news.states() == states
    assert world.registry.live(1) is new
    assert not world.spool.tracks[1].is_closed
    await world.said()
    assert world.sent[0]["code"] == 4409


async def test_another_key_cannot_take_a_living_camera_over(world: World) -> None:
    session = world.connect(key_pk=10)
    session.take(PICTURE)
    world.clock.pass_seconds(1.9)
    with pytest.raises(Refused) as caught:
        world.connect(key_pk=11)
    assert caught.value.status == 403
    assert world.registry.live(1) is session
    assert "limit" in world.news.kinds()
    world.clock.pass_seconds(0.2)
    assert world.registry.live(1) is not world.connect(key_pk=11) or session.is_over


async def test_recording_is_said_only_while_synced_bytes_advance(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    (track,) = world.spool.tracks
    world.sweep_for(0.5)
    assert not session.is_recording
    assert await world.said() == []
    track.written_frames = 1
    world.sweep_for(0.5)
    assert "recording_started" in (await world.said())[0]
    assert not session.is_recording, "written is not synced"
    track.synced_ms = 5
    world.sweep_for(0.5)
    assert session.is_recording
    session.take(b'{"type":"heartbeat"}')
    world.sweep_for(9)
    session.take(b'{"type":"heartbeat"}')
    world.sweep_for(2)
    assert not session.is_recording, "nothing was synced for ten seconds"


async def test_recording_is_said_on_after_the_clock_was_set_back(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    (track,) = world.spool.tracks
    for synced_ms in (5_000_000, 1_000_000, 1_006_000, 1_012_000):
        track.synced_ms = synced_ms
        world.sweep_for(6)
        session.take(b'{"type":"heartbeat"}')
        assert session.is_recording


async def test_a_disk_that_refuses_is_told_once_and_its_return_too(world: World) -> None:
    session = world.connect()
    session.take(PICTURE)
    (track,) = world.spool.tracks
    track.error = "The disk refuses video: No space left on device."
    world.sweep_for(2)
    said = await world.said()
    assert len(said) == 1
    assert "Failed to start recording" in said[0]
    assert world.news.events[-1].detail == f"Not recording: {track.error}"
    track.error, track.written_frames = "", 1
    world.sweep_for(2)
    assert "recording_started" in (await world.said())[1]
    assert len(await world.said()) == 2


async def test_bad_frames_are_counted_and_said_once_a_minute_and_never_a_ban(world: World) -> None:
    session = world.connect()
    for _ in range(50):
        world.clock.pass_seconds(0.1)
        assert session.take(PICTURE[:-2]) == ""
        assert session.take(PICTURE) == ""
    assert (session.rejected, session.frames) == (50, 50)
    assert world.news.kinds().count("error") == 1
    world.clock.pass_seconds(61)
    session.take(PICTURE[:-2])
    assert world.news.kinds().count("error") == 2


@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00" * 100, b"\xff", b"[1]", b"{}"])
async def test_what_is_neither_picture_nor_report_is_weather(world: World, payload: bytes) -> None:
    session = world.connect()
    assert session.take(payload) == ""
    assert session.rejected == 1
    assert session.presence == "online"


async def test_ten_thousand_tiny_messages_overdraw_the_budget_early(world: World) -> None:
    session = world.connect()
    taken = next(n for n in range(10_000) if session.take(b"{}"))
    assert taken < 200


async def test_fps_and_bytes_are_measured_over_two_seconds(world: World) -> None:
    session = world.connect()
    for _ in range(41):
        session.take(PICTURE)
        world.clock.pass_seconds(0.05)
        world.registry.sweep()
    assert session.fps == pytest.approx(20, abs=0.6)
    assert session.bytes_per_second == pytest.approx(20 * len(PICTURE), rel=0.05)


async def test_telemetry_is_noted_once_a_minute(world: World) -> None:
    session = world.connect()
    for second in range(200):
        session.take(b'{"type":"heartbeat","uptime":%d}' % (second * 1000))
        world.sweep_for(1)
    assert len(world.news.telemetry) == 4
    assert world.news.telemetry[0].uptime_ms == 9000


async def test_the_facts_are_of_connected_cameras_only(world: World) -> None:
    session = world.connect()
    world.connect(pk=2)
    session.take(PICTURE)
    with world.hub.watch(1):
        facts = world.registry.facts()
    assert set(facts) == {"1", "2"}
    assert facts["1"]["presence"] == "streaming"
    assert facts["1"]["viewers"] == 1
    world.registry.close(session)
    assert set(world.registry.facts()) == {"2"}
    world.registry.end_all()
    assert world.registry.facts() == {}
