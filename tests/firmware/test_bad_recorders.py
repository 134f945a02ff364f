"""The firmware against recorders that are somebody else, or broken: as a process over real TLS."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.firmware import certificates
from tests.firmware.bad_recorder import KEY, BadRecorder, Peer, registered
from tests.firmware.build import Programs
from tests.firmware.certificates import DAY, Authority
from tests.firmware.host import SET_UP, HostCamera, camera, times
from tests.stack import wait_until

SHORT = times(reply=700, tls=2000, send=1000, backoff=100, longest=400, refused=200, settled=60000)


@dataclass(frozen=True)
class Place:
    """An authority that the camera trusts, one that it does not, and room for flashes."""

    folder: Path
    ours: Authority
    theirs: Authority


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("recorders")
    ours, theirs = (certificates.authority(folder, name) for name in ("ours", "theirs"))
    return Place(folder, ours, theirs)


Dial = Callable[..., AbstractContextManager[HostCamera]]


@pytest.fixture
def dial(programs: Programs, place: Place, pictures: Path, tmp_path: Path) -> Dial:
    """A camera that is set up for 127.0.0.1:port and our authority."""

    def start(
        port: int, *arguments: str, host: str = "127.0.0.1"
    ) -> AbstractContextManager[HostCamera]:
        known = [*SET_UP, "--set", "mode always", "--ca", str(place.ours.path)]
        known += ["--server", f"{host}:{port}", *SHORT, *arguments]
        return camera(programs, tmp_path / "flash", pictures, *known)

    return start


# --- who it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("other authority", "is not signed by a trusted authority"),
        ("signed by itself", "is not signed by a trusted authority"),
        ("wrong name", "is for another host"),
        ("wildcard", "is for another host"),
        ("expired", "is out of date"),
        ("not yet valid", "is out of date"),
    ],
)
def test_a_certificate_that_is_not_the_recorders_is_told_nothing(
    place: Place, dial: Dial, tmp_path: Path, what: str, words: str
) -> None:
    context = {
        "other authority": lambda: place.theirs.issue(tmp_path, "leaf"),
        "signed by itself": lambda: certificates.old_server(tmp_path, "127.0.0.1")[0],
        "wrong name": lambda: place.ours.issue(
            tmp_path, "leaf", names=("127.0.0.2", "roost.local")
        ),
        "wildcard": lambda: place.ours.issue(tmp_path, "leaf", names=("*.0.0.1",)),
        "expired": lambda: place.ours.issue(tmp_path, "leaf", starts=-2 * DAY, ends=-DAY),
        "not yet valid": lambda: place.ours.issue(tmp_path, "leaf", starts=DAY, ends=2 * DAY),
    }[what]()
    with BadRecorder(context) as recorder, dial(recorder.port) as running:
        running.wait_for(words, times=2)
        running.finish()
    assert recorder.connections >= 2, "it did look"
    assert (recorder.requests, recorder.enrolments, recorder.dials) == ([], 0, 0)


def test_a_camera_without_a_clock_checks_all_but_the_dates_and_learns_the_time(
    place: Place, dial: Dial, tmp_path: Path
) -> None:
    def welcome(peer: Peer) -> None:
        hello = json.dumps({"type": "welcome", "timestamp": "2026-11-20T13:02:03.456Z"}).encode()
        peer.upgrade(behind=bytes([0x81, len(hello)]) + hello)
        peer.socket.recv(1)  # its first word; then the connection ends

    # Valid only in a future which the recorder says is now; then it is out of date by its own word.
    context = place.ours.issue(tmp_path, "leaf", starts=300 * DAY, ends=301 * DAY)
    with BadRecorder(context, on_dial=welcome) as recorder:
        with dial(recorder.port, "--clock-unset") as running:
            running.wait_for("is out of date")
            assert "-> stream" in running.log()
            running.finish()
        with BadRecorder(place.theirs.issue(tmp_path, "other")) as stranger:
            with dial(stranger.port, "--clock-unset") as running:
                running.wait_for("is not signed by a trusted authority")
            assert stranger.requests == []


def test_the_older_servers_own_certificate_may_be_pinned(dial: Dial, tmp_path: Path) -> None:
    context, pem = certificates.old_server(tmp_path, "127.0.0.1")
    with BadRecorder(context) as recorder, dial(recorder.port, "--ca", str(pem)) as running:
        wait_until(lambda: recorder.pictures() > 2, limit_s=10, what="pictures")
        running.finish()


def test_the_second_slot_takes_over_when_the_authority_changes(
    place: Place, dial: Dial, tmp_path: Path
) -> None:
    arguments = ("--ca2", str(place.theirs.path))
    with (
        BadRecorder(place.ours.issue(tmp_path, "before")) as before,
        dial(before.port, *arguments) as running,
    ):
        wait_until(before.pictures, limit_s=10, what="a picture")
        running.finish()
    with BadRecorder(place.theirs.issue(tmp_path, "after")) as after, dial(after.port) as running:
        wait_until(after.pictures, limit_s=10, what="a picture")
        running.finish()
    assert after.enrolments == 0, "the key is as good as before"


# --- what it answers ------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CUT = registered()[:-20]
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(registered().partition(b"\r\n\r\n")[2])
    + registered().partition(b"\r\n\r\n")[2] + b"\r\n0\r\n\r\n"
)  # fmt: skip


def endless(peer: Peer) -> None:
    peer.send(OK + b"\r\n")
    for _ in range(160):
        peer.send(b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda peer: peer.send(CUT), "it was cut"),
        (lambda peer: peer.send(b"SSH-2.0-OpenSSH\r\n"), "it is not HTTP/1.1"),
        (lambda peer: peer.send(OK + b"Content-Length: 10485760\r\n\r\n"), "its body is too long"),
        (endless, "its body is too long"),
        (lambda peer: peer.drip(registered(), every_s=0.1), "the reply did not come in time"),
        (lambda peer: peer.socket.recv(1), "the reply did not come in time"),
        (lambda peer: None, "it was cut"),
        (lambda peer: peer.send(registered(b"{}")), "its answer makes no sense"),
        (lambda peer: peer.send(registered(b'{"success":true,"apiKey":"')), "makes no sense"),
        (lambda peer: peer.send(registered(head="HTTP/1.1 500 No")), "was answered 500"),
        (lambda peer: peer.send(registered(head="HTTP/1.1 403 No")), "was answered 403"),
        (lambda peer: peer.send(registered(head="HTTP/1.1 429 No")), "was answered 429"),
    ],
    ids=["cut", "not-http", "10MB", "endless", "slow", "silent", "nothing", "no-key", "torn", "500", "403", "429"],
)  # fmt: skip
def test_a_registration_that_is_no_use_is_asked_for_again_with_pauses(
    place: Place, dial: Dial, tmp_path: Path, answer: Callable[[Peer], None], words: str
) -> None:
    context = place.ours.issue(tmp_path, "leaf")
    began = time.monotonic()
    with BadRecorder(context, on_register=answer) as recorder, dial(recorder.port) as running:
        running.wait_for(words, times=2)
        running.finish()
        assert not (running.folder / "key").exists()
    assert recorder.enrolments <= 3 + (time.monotonic() - began) / 0.05
    assert recorder.dials == 0


@pytest.mark.parametrize("step", ["whole", "chunked", "dripped"])
def test_a_reply_is_understood_however_it_is_cut_into_pieces(
    place: Place, dial: Dial, tmp_path: Path, step: str
) -> None:
    answers = {
        "whole": lambda peer: peer.send(registered()),
        "chunked": lambda peer: peer.send(CHUNKED),
        "dripped": lambda peer: peer.drip(registered(), every_s=0.001),
    }
    context = place.ours.issue(tmp_path, "leaf")
    with (
        BadRecorder(context, on_register=answers[step]) as recorder,
        dial(recorder.port) as running,
    ):
        wait_until(recorder.pictures, limit_s=10, what="a picture")
        running.finish()
        assert (running.folder / "key").read_text() == KEY
    assert f"X-API-Key: {KEY}".encode() in recorder.requests[-1]


def test_a_key_that_is_always_refused_is_never_renewed_in_a_tight_loop(
    place: Place, dial: Dial, tmp_path: Path
) -> None:
    def refuse(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    context = place.ours.issue(tmp_path, "leaf")
    with (
        BadRecorder(context, on_dial=refuse) as recorder,
        dial(recorder.port, *times(refused=1000)) as running,
    ):
        running.wait_for("it does not know the key", times=3)
        running.finish()
    assert 3 <= recorder.enrolments <= 4
    assert 3 <= recorder.dials <= 4


# --- what it says afterwards ----------------------------------------------------------------------


def frame(first: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    return bytes([first, 126]) + struct.pack(">H", len(payload)) + payload


def told(message: object) -> bytes:
    return frame(0x81, json.dumps(message).encode())


HARMLESS = [
    told([]), told("text"), told({"type": 7}), told({"type": "command"}),
    told({"type": "command", "action": None}), told({"type": "unheard of", "x": "y" * 5000}),
    frame(0x81, b"\xff\xfe{"), frame(0x81, b""), frame(0x82, b"\x00" * 300),
    frame(0x81, b"[" * 2000), told({"type": "config_update", "config": {"resolution": "8K"}}),
    told({"type": "config_update", "config": 3}), frame(0x8A, b"a pong nobody asked for"),
]  # fmt: skip


def test_messages_that_make_no_sense_cost_no_picture(
    place: Place, dial: Dial, tmp_path: Path
) -> None:
    def talk(peer: Peer) -> None:
        peer.upgrade(behind=told({"type": "welcome", "timestamp": "never"}))
        for message in HARMLESS:
            for at in range(0, len(message), 700):  # over records of any size
                peer.send(message[at : at + 700])
        # In fragments, with a ping between them whose payload holds NULs.
        whole = json.dumps({"type": "config_update", "config": {"framerate": 30}}).encode()
        peer.send(frame(0x01, whole[:9]) + frame(0x89, b"\0ping\0") + frame(0x80, whole[9:]))
        peer.listen()

    context = place.ours.issue(tmp_path, "leaf")
    with BadRecorder(context, on_dial=talk) as recorder, dial(recorder.port) as running:
        running.wait_for("30 frames/s")
        wait_until(lambda: (10, b"\0ping\0") in recorder.messages, limit_s=5, what="a whole pong")
        before = recorder.pictures()
        wait_until(lambda: recorder.pictures() > before + 10, limit_s=5, what="pictures")
        report = running.finish()
    assert (report.connections, report.failed, report.unsent) == (1, 0, 0)
    assert any("outside what this camera can" in text for text in recorder.texts())


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"\x81\x82\x00\x00\x00\x00{}", 1002),
        (b"\xf1\x00", 1002),
        (b"\x83\x00", 1002),
        (b"\x80\x00", 1002),
        (b"\x89\x7e\x00\x80" + b"p" * 128, 1002),
        (b"\x81\x7f\x00\x00\x00\x00\x00\xa0\x00\x00", 1009),
        (b"\x81\x7f" + b"\xff" * 8, 1009),
    ],
    ids=["masked", "reserved", "opcode", "continues-nothing", "long-ping", "10MB", "absurd"],
)
def test_a_recorder_that_breaks_the_protocol_is_left_and_dialled_again(
    place: Place, dial: Dial, tmp_path: Path, broken: bytes, code: int
) -> None:
    def break_it(peer: Peer) -> None:
        peer.upgrade()
        peer.send(broken)
        peer.listen()

    context = place.ours.issue(tmp_path, "leaf")
    with BadRecorder(context, on_dial=break_it) as recorder, dial(recorder.port) as running:
        wait_until(lambda: recorder.dials >= 2, limit_s=10, what="a second try")
        running.finish()
    assert (8, struct.pack(">H", code)) in recorder.messages


@pytest.mark.parametrize("fault", ["no accept", "wrong accept", "200", "not an upgrade"])
def test_an_upgrade_that_proves_nothing_is_not_believed(
    place: Place, dial: Dial, tmp_path: Path, fault: str
) -> None:
    head = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    answers = {
        "no accept": head + b"\r\n",
        "wrong accept": head + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "200": registered(),
        "not an upgrade": head.replace(b"websocket", b"h2c") + b"\r\n",
    }

    def answer(peer: Peer) -> None:
        peer.send(answers[fault])
        peer.listen()

    context = place.ours.issue(tmp_path, "leaf")
    with BadRecorder(context, on_dial=answer) as recorder, dial(recorder.port) as running:
        wait_until(lambda: recorder.dials >= 2, limit_s=10, what="a second try")
        running.finish()
    assert recorder.pictures() == 0


# --- the serial line ------------------------------------------------------------------------------


def test_a_new_camera_is_set_up_over_its_serial_line_alone(
    programs: Programs, place: Place, pictures: Path, tmp_path: Path
) -> None:
    secret = "canary secret 77"
    with (
        BadRecorder(place.ours.issue(tmp_path, "leaf")) as recorder,
        camera(programs, tmp_path / "flash", pictures, *SHORT) as running,
    ):
        running.wait_for("-> set-up")
        pem = place.ours.path.read_text().splitlines()
        running.type(f'wifi "my home" "{secret}"', f"server 127.0.0.1 {recorder.port}")
        running.type("mode always", "ca <<PEM", *pem, "PEM")
        wait_until(recorder.pictures, limit_s=10, what="a picture")
        running.type("show")
        running.wait_for('wifi "my home", password set')
        running.wait_for("key stored")
        assert secret not in running.log()
        assert KEY not in running.log()
        running.type("forget")
        running.wait_for("stream -> set-up")
        wait_until(lambda: not (running.folder / "key").exists(), limit_s=5, what="forgotten")
        running.finish()
