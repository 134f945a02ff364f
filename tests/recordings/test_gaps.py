"""Every gap with its cause, in words for people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from capture.drivers import words
from capture.packet_session import KEYLESS
from devices import services
from devices.models import Device, DeviceEvent, Presence
from devices.services import RECORDER_GONE, RECORDER_STOPPED
from recordings.gaps import Gap, gaps
from recordings.models import Deletion
from recordings.segments import SegmentWriter
from tests.factories import make_device, make_recording, make_user
from tests.recordings.half_hour import MINUTE, NOON, NOON_MS, recorded_camera
from tests.recordings.spool_rig import Rig
from tests.recordings.test_spool_packets import H264, made_up

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _files(data_dir: Path) -> Iterator[None]:
    yield


@pytest.fixture
def camera() -> Device:
    return recorded_camera()


def happened(device: Device, minute: float, kind: str, detail: str = "") -> None:
    services.record_event(
        device_pk=device.pk, kind=kind, detail=detail, at_ms=NOON_MS + round(minute * MINUTE)
    )


def in_half_an_hour(device: Device) -> list[Gap]:
    return gaps(device.pk, NOON_MS, NOON_MS + 30 * MINUTE)


def why(device: Device) -> tuple[str, str]:
    (gap,) = in_half_an_hour(device)
    assert (gap.start_ms, gap.end_ms) == (NOON_MS + 10 * MINUTE, NOON_MS + 20 * MINUTE)
    return gap.cause, gap.sentence


def test_a_gap_that_nothing_explains_says_so(camera: Device) -> None:
    happened(camera, 3, "config", "quality 12")
    happened(camera, 10.1, "error", "A frame was dropped: its header is damaged.")
    assert why(camera) == ("unknown", "No video, and nothing says why")


@pytest.mark.parametrize(
    ("events", "cause", "sentence"),
    [
        pytest.param([("asleep", "")], "asleep", "Asleep", id="asleep"),
        pytest.param(
            [("stalled", "No picture for 5 s.")],
            "stalled",
            "Connected, but sent no picture",
            id="stalled",
        ),
        pytest.param(
            [("stalled", "No picture for 5 s."), ("disconnected", "silent for 10 s")],
            "offline",
            "Not connected (silent for 10 s)",
            id="silent",
        ),
        pytest.param(
            [("disconnected", "the connection ended")], "offline", "Not connected", id="hung up"
        ),
        pytest.param(
            [
                ("disconnected", "the connection ended"),
                ("disconnected", "127.0.0.1 is there, but nothing listens on port 554."),
            ],
            "offline",
            "127.0.0.1 is there, but nothing listens on port 554",
            id="a sentence that begins with its host",
        ),
        pytest.param(
            [
                ("paused", "The camera took a raw picture."),
                ("disconnected", "the connection ended"),
            ],
            "paused",
            "The camera took a raw picture",
            id="paused",
        ),
        pytest.param(
            [
                ("paused", "The camera took a raw picture."),
                ("disconnected", "The program rpicam-vid is not installed."),
            ],
            "offline",
            "The program rpicam-vid is not installed",
            id="did not come back",
        ),
        pytest.param(
            [("limit", "Disconnected: more than 24 MiB a second."), ("disconnected", "too much")],
            "refused",
            "Disconnected: more than 24 MiB a second",
            id="limit",
        ),
        pytest.param(
            [("error", "Not recording: The disk refuses video: No space left on device.")],
            "disk",
            "Not recording: The disk refuses video: No space left on device",
            id="disk",
        ),
        pytest.param([("error", KEYLESS)], "stalled", KEYLESS.rstrip("."), id="no key pictures"),
        pytest.param(
            [("disconnected", RECORDER_STOPPED)],
            "recorder",
            "The recorder was not running",
            id="stopped",
        ),
        pytest.param(
            [("disconnected", RECORDER_GONE), ("connected", "10.0.0.7")],
            "recorder",
            "The recorder was not running",
            id="killed",
        ),
    ],
)
def test_a_gap_has_the_cause_it_began_with(
    camera: Device, events: list[tuple[str, str]], cause: str, sentence: str
) -> None:
    happened(camera, 0, "connected")
    for number, (kind, detail) in enumerate(events):
        happened(camera, 10 + number / 12, kind, detail)
    happened(camera, 19.9, "connected")
    assert why(camera) == (cause, sentence)


def test_what_a_source_says_last_explains_more_than_that_it_hung_up(camera: Device) -> None:
    happened(camera, 10, "disconnected", "the connection ended")
    happened(camera, 10.1, "disconnected", "The camera ended the stream.")
    happened(camera, 11, "disconnected", "Nothing answered at 192.168.1.20:554.")
    assert why(camera) == ("offline", "Nothing answered at 192.168.1.20:554")


@pytest.mark.parametrize(
    "error",
    [words.refused(True), words.refused(False), words.forbidden("/s"), words.unknown_login("NTLM")],
    ids=["password", "none", "rights", "scheme"],
)
def test_a_camera_that_lets_nobody_in_is_known_by_its_words(camera: Device, error: Any) -> None:
    assert error.code == "refused"
    happened(camera, 10.2, "disconnected", str(error))
    assert why(camera) == ("refused", str(error).rstrip("."))


def test_a_camera_that_was_away_before_is_away_still(camera: Device) -> None:
    happened(camera, -600, "disconnected", "Nothing answered at 192.168.1.20:554.")
    sentence = "Nothing answered at 192.168.1.20:554"
    found = gaps(camera.pk, NOON_MS - 60 * MINUTE, NOON_MS + MINUTE)
    added_ms = NOON_MS - 24 * 60 * MINUTE
    assert found == [Gap(NOON_MS - 60 * MINUTE, NOON_MS, "offline", sentence, added_ms, NOON_MS)]


def test_a_camera_that_sleeps_for_days_sleeps(camera: Device) -> None:
    happened(camera, -3000, "asleep")
    (gap,) = gaps(camera.pk, NOON_MS - 60 * MINUTE, NOON_MS + MINUTE)
    assert gap.cause == "asleep"


def test_what_happens_in_the_middle_of_a_gap_does_not_begin_it(camera: Device) -> None:
    happened(camera, 10, "asleep")
    happened(camera, 15, "disconnected", RECORDER_STOPPED)
    assert why(camera) == ("asleep", "Asleep")


def test_a_gap_over_midnight_is_told_alike_on_both_days(camera: Device) -> None:
    happened(camera, 10.1, "disconnected", "the connection ended")
    happened(camera, 10.2, "booted", "power_on")
    begin, midnight, end = (NOON_MS + minute * MINUTE for minute in (10, 15, 20))
    told = ("power", "It lost its power", begin, end)
    assert gaps(camera.pk, NOON_MS, midnight) == [Gap(begin, midnight, *told)]
    assert gaps(camera.pk, midnight, NOON_MS + 30 * MINUTE) == [Gap(midnight, end, *told)]
    assert gaps(camera.pk, midnight - MINUTE, midnight + MINUTE) == [
        Gap(midnight - MINUTE, midnight + MINUTE, *told)
    ]


def test_the_last_seconds_of_a_day_may_be_the_beginning_of_a_gap(camera: Device) -> None:
    (gap,) = gaps(camera.pk, NOON_MS, NOON_MS + 10 * MINUTE + 2_000)
    assert (gap.end_ms - gap.start_ms, gap.ended_ms) == (2_000, NOON_MS + 20 * MINUTE)


def test_a_gap_that_lasts_has_no_end(camera: Device) -> None:
    (gap,) = gaps(camera.pk, NOON_MS + 40 * MINUTE, NOON_MS + 50 * MINUTE)
    assert (gap.began_ms, gap.ended_ms) == (NOON_MS + 30 * MINUTE, None)


def test_a_gap_may_end_with_video_that_waits_in_the_spool(camera: Device) -> None:
    ends_ms = NOON_MS + 55 * MINUTE
    writer = SegmentWriter(settings.SPOOL_DIR / camera.directory, ends_ms, H264)
    writer.append_blocks(made_up(4_000))
    assert writer.finish()
    (gap,) = gaps(camera.pk, NOON_MS + 40 * MINUTE, NOON_MS + 50 * MINUTE)
    assert (gap.began_ms, gap.ended_ms) == (NOON_MS + 30 * MINUTE, ends_ms)


def test_of_the_silence_around_deleted_video_each_part_has_its_own_times(camera: Device) -> None:
    first, second, end = (NOON_MS + minute * MINUTE for minute in (13, 17, 20))
    Deletion.objects.create(
        device=camera, path="gone.mp4", reason="age", size_bytes=1,
        started_at=NOON + timedelta(minutes=13), ended_at=NOON + timedelta(minutes=17),
    )  # fmt: skip
    found = gaps(camera.pk, first + MINUTE, end)
    assert [(gap.cause, gap.start_ms, gap.began_ms, gap.ended_ms) for gap in found] == [
        ("deleted", first + MINUTE, first, second),
        ("unknown", second, second, end),
    ]


def test_several_gaps_have_their_own_causes(camera: Device) -> None:
    later = NOON + timedelta(minutes=40)
    make_recording(camera, started_at=later, seconds=600, path="later.mp4")
    happened(camera, 10, "asleep")
    happened(camera, 19.9, "connected")
    happened(camera, 30.1, "disconnected", "silent for 10 s")
    found = gaps(camera.pk, NOON_MS, NOON_MS + 50 * MINUTE)
    assert [(gap.start_ms - NOON_MS, gap.cause) for gap in found] == [
        (10 * MINUTE, "asleep"),
        (30 * MINUTE, "offline"),
    ]


def test_time_before_the_camera_was_added_is_no_gap(camera: Device) -> None:
    Device.objects.filter(pk=camera.pk).update(created_at=NOON - timedelta(minutes=2))
    (gap, _) = gaps(camera.pk, NOON_MS - 60 * MINUTE, NOON_MS + 30 * MINUTE)
    assert (gap.start_ms - NOON_MS, gap.end_ms - NOON_MS) == (-2 * MINUTE, 0)


def test_footage_older_than_its_row_is_no_gap_before_it(camera: Device) -> None:
    """After `reindex` made the rows of cameras anew."""
    Device.objects.filter(pk=camera.pk).update(created_at=timezone.now())
    assert len(gaps(camera.pk, NOON_MS - 60 * MINUTE, NOON_MS + 30 * MINUTE)) == 1


def test_a_camera_that_never_recorded_is_one_gap(camera: Device) -> None:
    other = make_device()
    Device.objects.filter(pk=other.pk).update(created_at=NOON)
    (gap,) = in_half_an_hour(other)
    assert (gap.start_ms, gap.end_ms) == (NOON_MS, NOON_MS + 30 * MINUTE)


def test_the_future_is_no_gap() -> None:
    device = make_device()
    now_ms = time.time_ns() // 1_000_000
    Device.objects.filter(pk=device.pk).update(
        created_at=datetime.fromtimestamp(now_ms / 1000 - 60, UTC)
    )
    (gap,) = gaps(device.pk, now_ms - 60 * MINUTE, now_ms + 60 * MINUTE)
    assert now_ms <= gap.end_ms <= now_ms + MINUTE


def test_deleted_video_is_said_to_be_deleted(camera: Device) -> None:
    happened(camera, 10, "asleep")
    Deletion.objects.create(
        device=camera, path="x", size_bytes=1, reason=Deletion.Reason.AGE,
        started_at=NOON + timedelta(minutes=12), ended_at=NOON + timedelta(minutes=15),
    )  # fmt: skip
    parts = [
        (gap.start_ms - NOON_MS, gap.end_ms - NOON_MS, gap.cause) for gap in in_half_an_hour(camera)
    ]
    assert parts == [
        (10 * MINUTE, 12 * MINUTE, "asleep"),
        (12 * MINUTE, 15 * MINUTE, "deleted"),
        (15 * MINUTE, 20 * MINUTE, "asleep"),
    ]


def test_what_waits_in_the_spool_is_no_gap(camera: Device) -> None:
    directory = settings.SPOOL_DIR / camera.directory
    for at in range(NOON_MS + 10 * MINUTE, NOON_MS + 14 * MINUTE, 10_000):
        writer = SegmentWriter(directory, at, H264)
        writer.append_blocks(made_up(10_000))
        writer.finish()
    (gap,) = in_half_an_hour(camera)
    assert (gap.start_ms - NOON_MS, gap.end_ms - NOON_MS) == (14 * MINUTE - 40, 20 * MINUTE)


def test_sleep_between_short_segments_that_wait_in_the_spool_is_a_gap(camera: Device) -> None:
    """Bursts of 4 s, asleep for 8 s: together shorter than one segment may be."""
    directory = settings.SPOOL_DIR / camera.directory
    starts = range(NOON_MS + 10 * MINUTE, NOON_MS + 11 * MINUTE, 12_000)
    for at in starts:
        writer = SegmentWriter(directory, at, H264)
        writer.append_blocks(made_up(4_000))
        path = writer.finish()
        assert path
        os.utime(path, ns=(0, (at + 4_000) * 1_000_000))  # when its last picture was written
        happened(camera, (at + 4_000 - NOON_MS) / MINUTE, "asleep")
    found = gaps(camera.pk, NOON_MS, NOON_MS + 11 * MINUTE - 9_000)
    assert [(gap.start_ms, gap.end_ms, gap.cause) for gap in found] == [
        (at + 4_000 - 40, at + 12_000, "asleep") for at in starts[:-1]
    ]


def test_a_camera_that_is_being_recorded_has_no_gap_up_to_now() -> None:
    device = make_device()
    now_ms = time.time_ns() // 1_000_000
    Device.objects.filter(pk=device.pk).update(
        created_at=datetime.fromtimestamp(now_ms / 1000 - 8, UTC)
    )
    rig = Rig(settings.SPOOL_DIR, wall_ms=now_ms - 8_000)
    rig.directory.parent.joinpath(device.directory).mkdir()
    track = rig.writer.open(device.directory, H264)
    for block in made_up(8_000):
        rig.clock.mono = 5_000_000_000 + block.time_ms * 1_000_000
        track.append(rig.clock.mono, block.payload, is_key=block.is_key)
        rig.writer.drain()
    assert gaps(device.pk, now_ms - 60_000, now_ms + 60_000) == []


def test_a_damaged_segment_is_not_in_the_way(camera: Device) -> None:
    directory = settings.SPOOL_DIR / camera.directory
    directory.mkdir()
    (directory / f"{NOON_MS + 12 * MINUTE}.mkv").write_bytes(b"no segment")
    assert why(camera)[0] == "unknown"


# --- after the recorder was killed ---------------------------------------------------------------


def test_a_killed_recorder_leaves_word_of_when_it_was_seen_last() -> None:
    """From what it published, from telemetry, from the row: whichever is the newest."""
    first, second, third = (make_device(presence=Presence.STREAMING) for _ in range(3))
    asleep = make_device(presence=Presence.ASLEEP)
    everyone = Device.objects.all()
    everyone.update(last_seen_at=NOON)
    published = {"at_ms": NOON_MS + 5 * MINUTE, "pid": 1, "devices": {str(first.pk): {}}}
    (settings.RUN_DIR / "web.json").write_text(json.dumps(published))
    services.record_telemetry(
        [
            services.TelemetryReport(device_pk=device.pk, at_ms=NOON_MS + 4 * MINUTE)
            for device in (first, second)
        ]
    )
    services.mark_disconnected()
    said = dict(DeviceEvent.objects.values_list("device", "at"))
    assert said == {
        first.pk: NOON + timedelta(minutes=5),
        second.pk: NOON + timedelta(minutes=4),
        third.pk: NOON,
    }
    assert set(DeviceEvent.objects.values_list("kind", "detail")) == {
        ("disconnected", RECORDER_GONE)
    }
    assert everyone.get(pk=first.pk).presence_since == said[first.pk]
    assert everyone.get(pk=asleep.pk).presence == "asleep"
    services.mark_disconnected()
    assert DeviceEvent.objects.count() == 3, "nobody was connected since"


def test_a_clock_that_was_set_back_does_not_put_it_into_the_future() -> None:
    device = make_device(presence=Presence.STREAMING)
    tomorrow = timezone.now() + timedelta(days=1)
    Device.objects.update(last_seen_at=tomorrow)
    services.mark_disconnected()
    assert DeviceEvent.objects.get().at <= timezone.now()
    assert device.pk


@pytest.mark.parametrize(
    "content", ["", "{", '{"at_ms": "x", "devices": {}}', '{"at_ms": 1}', "[]"]
)
def test_a_damaged_note_is_no_note(content: str) -> None:
    make_device(presence=Presence.STREAMING, last_seen_at=NOON)
    (settings.RUN_DIR / "web.json").write_text(content)
    services.mark_disconnected()
    assert DeviceEvent.objects.get().at == NOON


def test_a_recorder_killed_a_minute_after_the_last_telemetry_is_the_cause(camera: Device) -> None:
    happened(camera, 9, "disconnected", RECORDER_GONE)
    assert why(camera)[0] == "recorder"


# --- the API -------------------------------------------------------------------------------------


def test_a_viewer_sees_the_gaps_of_the_cameras_given_to_them(camera: Device) -> None:
    happened(camera, 10, "asleep")
    client, other = Client(), make_device()
    client.force_login(make_user(cameras=[camera]))
    query = f"start_ms={NOON_MS}&end_ms={NOON_MS + 30 * MINUTE}"
    assert client.get(f"/api/v1/gaps/?device={camera.pk}&{query}").json() == {
        "gaps": [
            {
                "start_ms": NOON_MS + 10 * MINUTE,
                "end_ms": NOON_MS + 20 * MINUTE,
                "cause": "asleep",
                "sentence": "Asleep",
                "began_ms": NOON_MS + 10 * MINUTE,
                "ended_ms": NOON_MS + 20 * MINUTE,
            }
        ]
    }
    assert client.get(f"/api/v1/gaps/?device={other.pk}&{query}").status_code == 404
    assert Client().get(f"/api/v1/gaps/?device={camera.pk}&{query}").status_code in (401, 403)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "device=1",
        f"device=0&start_ms=0&end_ms={MINUTE}",
        "device=1&start_ms=5&end_ms=5",
        f"device=1&start_ms=0&end_ms={8 * 24 * 60 * MINUTE}",
    ],
)
def test_a_span_that_is_none_is_refused(query: str) -> None:
    client = Client()
    client.force_login(make_user(role="admin"))
    assert client.get(f"/api/v1/gaps/?{query}").status_code == 400


@pytest.mark.parametrize("count", [1, 40])
def test_the_number_of_gaps_costs_no_queries(count: int) -> None:
    device = make_device()
    Device.objects.filter(pk=device.pk).update(created_at=NOON - timedelta(days=1))
    for number in range(count):
        started = NOON + timedelta(minutes=10 * number)
        make_recording(device, started_at=started, seconds=300, path=f"{number}.mp4")
        happened(device, 10 * number + 5, "disconnected", "silent for 10 s")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = gaps(device.pk, NOON_MS, NOON_MS + 10 * count * MINUTE)
    assert len(found) == count
    assert len(queries) == 7
