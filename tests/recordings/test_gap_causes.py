"""Why a camera that dials in has no video: its signal, its next boot, its sleep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from capture.simulator_camera import STARTED
from clips.wording import CAUSES
from devices import services
from devices.models import Device, Presence
from devices.services import RECORDER_STOPPED
from recordings.gaps import Cause, Gap, gaps
from recordings.timeline import to_ms
from tests.factories import make_device
from tests.recordings.half_hour import MINUTE, NOON_MS, recorded_camera

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _files(data_dir: Path) -> Iterator[None]:
    yield


@pytest.fixture
def camera() -> Device:
    return recorded_camera()


def happened(device: Device, minute: float, kind: str, detail: str = "", **more: Any) -> None:
    at_ms = NOON_MS + round(minute * MINUTE)
    services.record_event(device_pk=device.pk, kind=kind, detail=detail, at_ms=at_ms, **more)


def why(device: Device) -> tuple[str, str]:
    (gap,) = gaps(device.pk, NOON_MS, NOON_MS + 30 * MINUTE)
    return gap.cause, gap.sentence


@pytest.mark.parametrize(
    ("kind", "detail", "sentence"),
    [
        ("disconnected", "silent for 10 s", "Not connected (silent for 10 s)"),
        ("disconnected", "the connection ended", "Not connected"),
        ("stalled", "No picture for 5 s.", "Connected, but sent no picture"),
    ],
)
def test_a_weak_signal_is_said_with_its_value(
    camera: Device, kind: str, detail: str, sentence: str
) -> None:
    happened(camera, 0, "connected")
    happened(camera, 10.1, kind, detail, rssi_dbm=-80)
    assert why(camera) == ("weak_signal", f"{sentence}: its Wi-Fi signal was weak, -80 dBm")


@pytest.mark.parametrize("rssi_dbm", [None, -79])
def test_a_good_or_unknown_signal_is_no_cause(camera: Device, rssi_dbm: int | None) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s", rssi_dbm=rssi_dbm)
    assert why(camera) == ("offline", "Not connected (silent for 10 s)")


@pytest.mark.parametrize(
    ("kind", "detail", "cause"),
    [
        ("asleep", "", "asleep"),
        ("disconnected", RECORDER_STOPPED, "recorder"),
        ("disconnected", "The camera refused the password.", "refused"),
    ],
)
def test_a_cause_that_is_known_stays_whatever_signal_and_boot_say(
    camera: Device, kind: str, detail: str, cause: str
) -> None:
    happened(camera, 10.1, kind, detail, rssi_dbm=-91)
    happened(camera, 10.3, "booted", "brownout")
    assert why(camera)[0] == cause


RESETS = [
    ("power_on", "power", "It lost its power"),
    ("brownout", "brownout", "Its supply voltage fell too low, which restarted it"),
    ("panic", "crash", "Its firmware crashed and restarted"),
    ("watchdog", "watchdog", "Its firmware hung and was restarted"),
    ("software", "restarted", "It restarted itself"),
    ("simulator", "offline", "Its simulator was stopped"),
]


@pytest.mark.parametrize(("reason", "cause", "sentence"), RESETS)
def test_a_boot_that_follows_at_once_is_the_cause(
    camera: Device, reason: str, cause: str, sentence: str
) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s", rssi_dbm=-91)
    happened(camera, 10.2, "booted", reason)
    happened(camera, 19.9, "connected")
    assert why(camera) == (cause, sentence)


def test_a_boot_long_after_explains_what_nothing_else_does(camera: Device) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s", rssi_dbm=-60)
    happened(camera, 19, "booted", "power_on")
    said = "Not connected (silent for 10 s); when it came back it had been without power"
    assert why(camera) == ("power", said)


def test_a_simulated_camera_that_was_stopped_for_long_lost_no_power(camera: Device) -> None:
    happened(camera, 10.1, "disconnected", "the connection ended")
    happened(camera, 19, "booted", STARTED)
    said = "Not connected; when it came back its simulator had been stopped"
    assert why(camera) == ("offline", said)


def test_of_a_weak_signal_and_a_boot_long_after_the_signal_is_the_cause(camera: Device) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s", rssi_dbm=-91)
    happened(camera, 19, "booted", "power_on")
    assert why(camera)[0] == "weak_signal"


@pytest.mark.parametrize("minute", [9, 21])
def test_a_boot_before_or_after_the_gap_says_nothing_of_it(camera: Device, minute: int) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s")
    happened(camera, minute, "booted", "panic")
    assert why(camera)[0] == "offline"


def test_a_reason_that_nobody_knows_says_nothing(camera: Device) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s")
    happened(camera, 10.2, "booted", "other")
    assert why(camera)[0] == "offline"


@pytest.mark.parametrize("reason", ["motion", "timer"])
def test_a_camera_that_was_woken_had_slept_though_its_word_was_lost(
    camera: Device, reason: str
) -> None:
    happened(camera, 10.1, "disconnected", "silent for 10 s")
    happened(camera, 19.8, "booted", reason)
    assert why(camera) == ("asleep", "Asleep, though it could not say so")


# --- asleep for too long --------------------------------------------------------------------------


def asleep(hours: float) -> tuple[Device, int]:
    """Of a camera that went to sleep so long ago, and now_ms."""
    now_ms = time.time_ns() // 1_000_000
    device = make_device(presence=Presence.ASLEEP)
    slept = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(hours=hours)
    Device.objects.filter(pk=device.pk).update(created_at=slept, last_seen_at=slept)
    services.record_event(device_pk=device.pk, kind="asleep", at_ms=to_ms(slept))
    return device, now_ms


def days_of(device: Device, now_ms: int) -> list[Gap]:
    return gaps(device.pk, now_ms - 72 * 60 * MINUTE, now_ms)


def test_a_camera_that_sleeps_is_asleep_for_a_day() -> None:
    device, now_ms = asleep(23.9)
    (gap,) = days_of(device, now_ms)
    assert (gap.cause, gap.sentence) == ("asleep", "Asleep")


def test_after_a_day_it_is_missing_from_that_moment_on() -> None:
    device, now_ms = asleep(30)
    first, second = days_of(device, now_ms)
    assert (first.cause, second.cause) == ("asleep", "missing")
    assert first.end_ms == second.start_ms
    assert abs(second.start_ms - (now_ms - 6 * 60 * MINUTE)) < 2
    assert second.sentence == "Missing: it went to sleep and was not heard of for 24 h"


def test_since_when_it_is_missing_is_told_on_every_later_day() -> None:
    device, now_ms = asleep(80)
    (gap,) = gaps(device.pk, now_ms - 2 * 60 * MINUTE, now_ms - 60 * MINUTE)
    assert gap.cause == "missing"
    assert abs(gap.began_ms - (now_ms - 80 * 60 * MINUTE)) < 2
    assert gap.ended_ms is None


def test_how_long_is_a_setting(settings: Any) -> None:
    settings.NVR = type("NVR", (), {"inactive_hours": 48})()
    device, now_ms = asleep(30)
    assert [gap.cause for gap in days_of(device, now_ms)] == ["asleep"]


def test_one_that_came_back_was_asleep_all_the_time() -> None:
    device, now_ms = asleep(30)
    Device.objects.filter(pk=device.pk).update(presence=Presence.STREAMING)
    assert [gap.cause for gap in days_of(device, now_ms)] == ["asleep"]


def test_clips_have_words_for_every_cause() -> None:
    assert set(CAUSES) == {cause.value for cause in Cause} - {"unknown"}
