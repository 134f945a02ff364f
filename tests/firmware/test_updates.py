"""Updates over the air: the host build replaces the program that runs by another real one."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from devices import firmware_image
from tests.firmware.bad_recorder import KEY, BadRecorder, Peer
from tests.firmware.build import Programs, build_version
from tests.firmware.certificates import Authority
from tests.firmware.host import times
from tests.firmware.images import BOARD, HEAD_BYTES, NEWER, SIGNED_BYTES, Signer
from tests.firmware.updating import (
    OLD,
    PROGRAM,
    Place,
    announcement,
    announcing,
    heartbeats,
    said,
    sending,
    states,
    wait_for,
    whole,
)
from tests.stack import wait_until

CRASHES = b"#!/bin/sh\nkill -SEGV $$\n"


@pytest.fixture
def place(authority: Authority, programs: Programs, pictures: Path, tmp_path: Path) -> Place:
    return Place(programs, pictures, authority, tmp_path)


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


def test_the_next_update_goes_into_the_other_slot(place: Place, newer: Path) -> None:
    newest = build_version(place.programs, "99.0.2")
    programs = {NEWER: newer.read_bytes(), "99.0.2": newest.read_bytes()}
    files = {name: place.signer.image(data, version=name) for name, data in programs.items()}
    follow = {OLD: NEWER, NEWER: "99.0.2"}
    ordered: list[str] = []

    def announce_what_follows(peer: Peer) -> None:
        def on_text(text: str) -> None:
            message = json.loads(text)
            version = follow.get(message.get("firmware", ""))
            is_due = states(recorder).count("running") == len(ordered)
            if version is not None and version not in ordered and is_due:
                ordered.append(version)
                peer.send(announcement(len(files[version]), version))

        peer.upgrade()
        peer.listen(60, answers_pings=True, on_text=on_text)

    answers = {
        "on_dial": announce_what_follows,
        "on_download": lambda peer: peer.send(whole(files[ordered[-1]])),
    }
    with BadRecorder(place.context(), **answers) as recorder, place.boot(recorder) as running:
        running.wait_for("firmware 99.0.2", limit_s=60)
        wait_until(
            lambda: states(recorder).count("running") == 2, limit_s=30, what="the second one stays"
        )
        running.finish()
    assert (place.slot(0), place.slot(1)) == (programs["99.0.2"], programs[NEWER])


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
