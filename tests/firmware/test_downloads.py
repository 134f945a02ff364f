"""Updates that are refused or break off: why is said, and the old program goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware.bad_recorder import BadRecorder, Peer
from tests.firmware.build import Programs
from tests.firmware.certificates import Authority
from tests.firmware.host import times
from tests.firmware.images import HEAD_BYTES, NEWER, Signer
from tests.firmware.updating import (
    OLD,
    PROGRAM,
    Place,
    announcing,
    heartbeats,
    sending,
    states,
    wait_for,
    whole,
)
from tests.stack import wait_until


@pytest.fixture
def place(authority: Authority, programs: Programs, pictures: Path, tmp_path: Path) -> Place:
    return Place(programs, pictures, authority, tmp_path)


def test_a_power_cut_in_the_middle_changes_nothing(place: Place) -> None:
    file = place.signer.image(b"x" * 400_000)
    is_cut = threading.Event()

    def send_half(peer: Peer) -> None:
        peer.send(whole(file) if is_cut.is_set() else whole(file)[:200_000])
        is_cut.wait(60)

    answers = {"on_dial": announcing(len(file)), "on_download": send_half}
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder, *times(stall=60000)) as running:
            # What the C library has not written yet is lost with the power, as on a board.
            wait_until(lambda: len(place.slot(1)) > 100_000, limit_s=30, what="half of it")
            running.end()
        is_cut.set()
        shown = recorder.pictures()
        with place.boot(recorder) as running:
            wait_until(lambda: recorder.pictures() > shown, limit_s=20, what="a picture")
            assert f"firmware {OLD}" in running.log()
            running.finish()
        assert states(recorder) == ["downloading"]


def drip(file: bytes) -> Callable[[Peer], None]:
    def answer(peer: Peer) -> None:
        peer.send(whole(file)[: -len(file)])  # the head
        peer.drip(file, every_s=0.2)

    return answer


def bent(file: bytes, at: int) -> bytes:
    return file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("another's signature", "its signature is not by this camera's update key"),
        ("a bent signature", "its signature is not by this camera's update key"),
        ("another board", "it is for another board"),
        ("another version", "it is another version than announced"),
        ("an older version", "it is not newer than what runs"),
        ("no image", "it is no image of this firmware"),
        ("damage on the way", "it came damaged"),
        ("cut", "the download was cut"),
        ("slow", "the download takes too long"),
        ("still", "the download stands still"),
        ("chunked", "the download's head makes no sense or has another length"),
        ("10 MB", "the download's head makes no sense or has another length"),
        ("no HTTP", "the download's head makes no sense or has another length"),
        ("404", "the recorder refuses the download"),
        ("no answer", "the download did not begin in time"),
        ("no room", "it does not fit the slot"),
    ],
)
def test_it_says_why_and_goes_on_with_the_old_program(place: Place, what: str, words: str) -> None:
    good = place.signer.image(PROGRAM)
    version, arguments = NEWER, []
    sent: dict[str, Callable[[Peer], None]] = {
        "another's signature": sending(Signer().image(PROGRAM)),
        "a bent signature": sending(bent(good, 130)),
        "another board": sending(place.signer.image(PROGRAM, board="ai-thinker")),
        "another version": sending(place.signer.image(PROGRAM, version="99.0.2")),
        "no image": sending(bent(good, 0)),
        "damage on the way": sending(bent(good, HEAD_BYTES + 1000)),
        "cut": lambda peer: peer.send(whole(good)[:1000]),
        "slow": drip(good),
        "chunked": lambda peer: peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        ),
        "10 MB": sending(b"\0" * (10 << 20)),
        "no HTTP": lambda peer: peer.send(b"SSH-2.0-x\r\n"),
        "404": lambda peer: peer.send(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    }
    is_over = threading.Event()

    def send_some_and_wait(peer: Peer) -> None:
        peer.send(whole(good)[:1000] if what == "still" else b"HTTP")
        is_over.wait(60)

    if what == "an older version":
        version = "0.9.0"
    elif what == "no room":
        arguments = ["--slot-bytes", "3003"]
    elif what == "slow":
        arguments = times(download=1500)
    answers = {
        "on_dial": announcing(len(good), version=version),
        "on_download": sent.get(what, send_some_and_wait),
    }
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder, *arguments) as running:
            assert wait_for(recorder, running, "failed") == words
            is_over.set()
            shown = recorder.pictures()
            wait_until(lambda: recorder.pictures() > shown, limit_s=20, what="a picture")
            report = running.finish()
        assert report.state == "stream"
        assert set(states(recorder)) <= {"downloading", "failed"}
        assert running.count("firmware ") == 1, "it did not restart"
    assert not (place.folder / "flash" / "slots.bin").exists()


def test_a_camera_without_an_update_key_says_so(place: Place) -> None:
    file = place.signer.image(PROGRAM)
    with BadRecorder(place.context(), on_dial=announcing(len(file))) as recorder:
        with place.boot(recorder, "--set", "update-key none") as running:
            assert wait_for(recorder, running, "failed") == "this camera has no update key"
            wait_until(lambda: bool(heartbeats(recorder)), limit_s=20, what="a heartbeat")
            running.finish()
        assert recorder.downloads == 0
        assert "update_key" not in heartbeats(recorder)[0]


def test_the_update_key_is_set_and_shown_on_the_serial_line(place: Place) -> None:
    with BadRecorder(place.context()) as recorder, place.boot(recorder) as running:
        other = Signer()
        running.type("update-key <<PEM", *other.lines()[2:], "show")
        running.wait_for("that is not one whole public key")
        running.wait_for(f"update-key {place.signer.fingerprint()}")
        running.type(*other.lines(), "show")
        running.wait_for(f"update-key {other.fingerprint()}")
        running.type("update-key none", "show")
        running.wait_for("update-key none")
        running.finish()
