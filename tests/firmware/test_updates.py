"""Updates over the air: the host build replaces the program that runs by another real one."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from devices import firmware_image
from tests.firmware import certificates
from tests.firmware.bad_recorder import KEY, BadRecorder, Peer
from tests.firmware.build import Programs
from tests.firmware.certificates import Authority
from tests.firmware.host import HostCamera, camera, times
from tests.firmware.images import BOARD, HEAD_BYTES, NEWER, SIGNED_BYTES, Signer
from tests.stack import wait_until

PROGRAM = b"\x7fELF" + b"x" * 3000  # starts nowhere
CRASHES = b"#!/bin/sh\nkill -SEGV $$\n"
QUICK = times(backoff=100, longest=300, refused=200, reply=2000, stall=1000)
OLD = "1.0.0"


@dataclass
class Place:
    """An authority, the key of this camera's updates, and the camera's flash."""

    programs: Programs
    pictures: Path
    ours: Authority
    folder: Path
    signer: Signer = field(default_factory=Signer)

    def context(self) -> Any:
        return self.ours.issue(self.folder, "leaf")

    def boot(self, recorder: BadRecorder, *arguments: str) -> AbstractContextManager[HostCamera]:
        lines = ("wifi test password1", "mode always", *self.signer.lines())
        set_up = [word for line in lines for word in ("--set", line)]
        at = ("--server", f"127.0.0.1:{recorder.port}", "--ca", str(self.ours.path))
        wait = ("--sleep", "wait", *QUICK, *arguments)
        return camera(self.programs, self.folder / "flash", self.pictures, *set_up, *at, *wait)

    def slot(self, number: int) -> bytes:
        file = self.folder / "flash" / f"slot{number}"
        return file.read_bytes() if file.exists() else b""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return certificates.authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def place(authority: Authority, programs: Programs, pictures: Path, tmp_path: Path) -> Place:
    return Place(programs, pictures, authority, tmp_path)


def announcing(size: int, *, version: str = NEWER, times: int = 1) -> Callable[[Peer], None]:
    """A recorder that announces it behind the heartbeat of its first connections."""
    order = {"type": "command", "command": "update", "version": version, "size": size}
    text = json.dumps({**order, "path": "/api/v1/firmware/download/7/"}).encode()
    frame = bytes([0x81, 126]) + len(text).to_bytes(2, "big") + text

    def answer(peer: Peer) -> None:
        orders = [frame] if peer.recorder.dials <= times else []

        def announce(text: str) -> None:
            if orders and json.loads(text)["type"] == "heartbeat":
                peer.send(orders.pop())

        peer.upgrade()
        peer.listen(60, answers_pings=True, on_text=announce)

    return answer


def sending(file: bytes) -> Callable[[Peer], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(file)}\r\n\r\n".encode()
    return lambda peer: peer.send(head + file)


def said(recorder: BadRecorder) -> list[tuple[str, str, str]]:
    """State, version and words of every `update` message so far."""
    messages = [json.loads(text) for text in recorder.texts()]
    updates = [each for each in messages if each["type"] == "update"]
    assert all(len(each["detail"].encode()) <= 120 for each in updates)
    return [(each["state"], each["version"], each["detail"]) for each in updates]


def wait_for(recorder: BadRecorder, running: HostCamera, state: str) -> str:
    """Until the camera says so; returns its words."""

    def found() -> list[str]:
        return [words for said_state, _, words in said(recorder) if said_state == state]

    try:
        wait_until(lambda: bool(found()), limit_s=60, what=f"the camera says {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{said(recorder)}\n{running.log()[-3000:]}") from None
    return found()[0]


def states(recorder: BadRecorder) -> list[str]:
    return [state for state, _, _ in said(recorder)]


def heartbeats(recorder: BadRecorder) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in recorder.texts()]
    return [each for each in messages if each["type"] == "heartbeat"]


def test_the_recorders_own_signer_makes_the_same_files() -> None:
    signer, key = Signer(), firmware_image.new_private_key()
    header = firmware_image.read(signer.image(PROGRAM, version="1.3.0"))
    assert (header.board, header.version, header.image_bytes) == (BOARD, "1.3.0", len(PROGRAM))
    public = load_der_public_key(signer.der())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert firmware_image.signer_of(header, [key.public_key(), public]) is public
    assert firmware_image.short_id(public) == signer.fingerprint()
    theirs = firmware_image.write(PROGRAM, board=BOARD, version="1.3.0", key=key)
    ours = signer.image(PROGRAM, version="1.3.0")
    assert theirs[:SIGNED_BYTES] == ours[:SIGNED_BYTES]
    assert theirs[HEAD_BYTES:] == ours[HEAD_BYTES:] == PROGRAM


# --- the main job ---------------------------------------------------------------------------------


def test_the_new_program_runs_and_stays(place: Place, newer: Path) -> None:
    program = newer.read_bytes()
    file = place.signer.image(program)
    answers = {"on_dial": announcing(len(file)), "on_download": sending(file)}
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder) as running:
            wait_for(recorder, running, "running")
            running.wait_for(f"firmware {NEWER}")
            wait_until(
                lambda: heartbeats(recorder)[-1]["firmware"] == NEWER,
                limit_s=20, what="a heartbeat of the new program",
            )  # fmt: skip
            running.finish()
        assert states(recorder) == ["downloading", "installed", "running"]
        assert {version for _, version, _ in said(recorder)} == {NEWER}
        asked = next(request for request in recorder.requests if b"/download/" in request)
        assert asked.startswith(b"GET /api/v1/firmware/download/7/ HTTP/1.1\r\n")
        assert f"X-API-Key: {KEY}\r\n".encode() in asked
        assert place.slot(1) == program
        first = heartbeats(recorder)[0]
        assert (first["firmware"], first["board"]) == (OLD, BOARD)
        assert first["update_key"] == place.signer.fingerprint()
        # The power comes back: it is the new one for good, and announced again it is not newer.
        recorder.messages.clear()
        recorder.dials = 0
        with place.boot(recorder) as running:
            assert "not newer" in wait_for(recorder, running, "failed")
            running.wait_for(f"firmware {NEWER}")
            running.finish()
        assert states(recorder) == ["failed"]


# --- trials that fail -----------------------------------------------------------------------------


def test_a_program_that_crashes_at_its_start_is_left_for_the_old_one(place: Place) -> None:
    file = place.signer.image(CRASHES)
    answers = {"on_dial": announcing(len(file)), "on_download": sending(file)}
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder) as running:
            wait_for(recorder, running, "installed")
            assert running.process.wait(20) == -signal.SIGSEGV
        with place.boot(recorder) as running:  # as a board's watchdog would have it
            assert wait_for(recorder, running, "rolled_back") == "it did not start"
            assert f"firmware {OLD}" in running.log()
            shown = recorder.pictures()
            wait_until(lambda: recorder.pictures() > shown, limit_s=20, what="a picture")
            running.finish()
        assert states(recorder) == ["downloading", "installed", "rolled_back"]
        with place.boot(recorder) as running:
            shown = recorder.pictures()
            wait_until(lambda: recorder.pictures() > shown, limit_s=20, what="a picture")
            running.finish()
        assert states(recorder).count("rolled_back") == 1


def test_what_is_no_program_at_all_is_never_started(place: Place) -> None:
    file = place.signer.image(b"\0" * 5000)
    answers = {"on_dial": announcing(len(file)), "on_download": sending(file)}
    with BadRecorder(place.context(), **answers) as recorder, place.boot(recorder) as running:
        assert wait_for(recorder, running, "rolled_back") == "it did not start"
        assert running.count(f"firmware {OLD}") == 2
        running.finish()


def test_a_program_whose_pictures_do_not_get_through_is_left(place: Place, newer: Path) -> None:
    file = place.signer.image(newer.read_bytes())
    is_old_back = threading.Event()
    accept = announcing(len(file))

    def refuse_the_new_one(peer: Peer) -> None:
        if "installed" in states(peer.recorder) and not is_old_back.is_set():
            peer.send(b"HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n")
        else:
            accept(peer)

    answers = {"on_dial": refuse_the_new_one, "on_download": sending(file)}
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder, *times(trial=3000)) as running:
            running.wait_for("the old program comes back", limit_s=60)
            is_old_back.set()
            words = wait_for(recorder, running, "rolled_back")
            assert words == "none of its pictures reached the recorder in time"
            assert running.count(f"firmware {NEWER}") == 1
            assert running.count(f"firmware {OLD}") == 2
            running.finish()
        assert states(recorder) == ["downloading", "installed", "rolled_back"]


def test_a_power_cut_on_trial_brings_the_old_program_back(place: Place, newer: Path) -> None:
    file = place.signer.image(newer.read_bytes())
    accept = announcing(len(file))
    is_cut = threading.Event()

    def hold_the_new_one(peer: Peer) -> None:
        if "installed" in states(peer.recorder):
            is_cut.wait(60)
        accept(peer)

    answers = {"on_dial": hold_the_new_one, "on_download": sending(file)}
    with BadRecorder(place.context(), **answers) as recorder:
        with place.boot(recorder) as running:
            running.wait_for(f"firmware {NEWER}", limit_s=60)
            running.end()
        is_cut.set()
        with place.boot(recorder) as running:
            words = wait_for(recorder, running, "rolled_back")
            assert words == "it ended before a picture reached the recorder"
            assert f"firmware {OLD}" in running.log()
            running.finish()


# --- downloads that fail --------------------------------------------------------------------------


def test_a_power_cut_in_the_middle_changes_nothing(place: Place) -> None:
    file = place.signer.image(b"x" * 400_000)
    is_cut = threading.Event()

    def send_half(peer: Peer) -> None:
        sending(file)(peer) if is_cut.is_set() else peer.send(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(file)}\r\n\r\n".encode() + file[:200_000]
        )
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
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(file)}\r\n\r\n".encode())
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
        "cut": lambda peer: peer.send(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(good)}\r\n\r\n".encode() + good[:1000]
        ),
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
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(good)}\r\n\r\n".encode()
        peer.send(head + good[:1000] if what == "still" else b"HTTP")
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
