"""The command: what it refuses, what it reports, and that two of them never share a camera."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capture import simulator
from capture import simulator_wire as wire
from capture.simulator_state import SimulatorState
from nvr_project.environment import PROJECT_DIR
from tests.instruments.certificates import Pki, make_pki
from tests.instruments.scripted_recorder import ScriptedRecorder, until


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def command(tmp_path: Path, *arguments: str) -> list[str]:
    state = tmp_path / "state.json"
    start = [sys.executable, "manage.py", "simulatecamera", "--state-file", str(state)]
    return [*start, *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "NVR_DATA_DIR": str(tmp_path / "data")}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--url", "http://127.0.0.1:3443"], "must look like https://host:3443"),
        (["--url", "https://127.0.0.1:99999"], "not a number below 65536"),
        (["--size", "huge"], "is neither WxH nor one of"),
        (["--size", "330x240"], "a multiple of 16"),
        (["--fps", "0"], "must be 0.1 to 60"),
        (["--count", "0"], "must be at least 1"),
        (["--mac-prefix", "02:52"], "must be five pairs"),
        (["--ca", "/nonexistent/ca.pem"], "start the recorder once"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = subprocess.run(
        command(tmp_path, *arguments),
        cwd=PROJECT_DIR,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_ca_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(simulator.SimulatorError, match="cannot be used as a CA"):
        simulator.endpoint("https://127.0.0.1", tmp_path / "ca.pem")


async def test_it_streams_reports_and_ends_cleanly_on_sigterm(pki: Pki, tmp_path: Path) -> None:
    async with ScriptedRecorder(pki) as recorder:
        report_file = tmp_path / "report.json"
        arguments = ["--count", "3", "--fps", "20", "--size", "QVGA", "--url", recorder.url]
        arguments += ["--ca", str(pki.ca), "--report", str(report_file)]
        process = await asyncio.create_subprocess_exec(
            *command(tmp_path, *arguments),
            cwd=PROJECT_DIR,
            env=environment(tmp_path),
            stdout=asyncio.subprocess.PIPE,
        )
        await until(lambda: len(recorder.visits) == 3, 30)
        await until(lambda: all(len(visit.frames) > 10 for visit in recorder.visits), 30)
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 10)
        await until(lambda: all(visit.is_over for visit in recorder.visits))
    assert process.returncode == 0
    report = json.loads(report_file.read_text())
    by_mac = {camera["mac"]: camera for camera in report["cameras"]}
    assert list(by_mac) == [f"02:52:4F:53:54:0{n}" for n in (1, 2, 3)]
    received = sorted(len(visit.frames) for visit in recorder.visits)
    assert sorted(camera["sent"] for camera in by_mac.values()) == received
    assert report["sent"] == sum(received)
    for camera in by_mac.values():
        (run,) = camera["runs"]
        assert run["last"] - run["first"] + 1 == camera["sent"]
    assert b"Simulated cameras 1, 2, 3 dial in to" in output
    assert all(visit.close_code == 1000 for visit in recorder.visits)


def test_two_processes_never_are_the_same_camera(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    program = (
        "import sys; from pathlib import Path; from capture.simulator_state import SimulatorState\n"
        f"s = SimulatorState(Path({str(path)!r}), b'ca', '02:52:4F:53:54')\n"
        "print(s.claim(3), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == "[1, 2, 3]\n"
        mine = SimulatorState(path, b"ca", "02:52:4F:53:54")
        assert mine.claim(2) == [4, 5]
        other.stdin.close()
        other.wait(10)
    again = SimulatorState(path, b"ca", "02:52:4F:53:54")
    try:
        assert again.claim(1) == [1]
    finally:
        again.close()
        mine.close()


def test_keys_of_two_recorders_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    one, two = (SimulatorState(path, ca, simulator.MAC_PREFIX) for ca in (b"one", b"two"))
    memory = one.recall(one.mac(1))
    memory.key, memory.boot_count = "a" * 64, 3
    one.keep(one.mac(1), memory)
    assert two.recall(two.mac(1)).key == ""
    assert one.recall(one.mac(1)) == memory
    one.close()
    two.close()


def test_a_damaged_state_file_costs_keys_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"half')
    state = SimulatorState(path, b"ca", simulator.MAC_PREFIX)
    assert state.recall(state.mac(1)).key == ""
    state.close()


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized", "refused with 401"),
        (b"HTTP/1.1 101 OK\r\nServer:", "header line without a value"),
        (b"HTTP/1.1 101 OK\r\nServer: \r\nUpgrade: websocket", "header line without a value"),
        (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade", "connection"),
        (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade", "sec-websocket-accept"),
        (b"garbage", "not HTTP"),
    ],
)
def test_an_upgrade_a_sketch_could_not_take_is_refused(head: bytes, reason: str) -> None:
    with pytest.raises(wire.Refused, match=reason):
        wire.check_upgrade(head, "nonce")


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536, 300_000])
def test_frames_of_every_length_form_are_read_back(length: int) -> None:
    payload = bytes(length)
    unmasked = bytearray(wire.frame(wire.TEXT, payload))
    unmasked[1] &= 0x7F
    header = {True: 6, False: 8 if length < 65_536 else 14}[length < 126]
    del unmasked[header - 4 : header]
    reader, found = wire.FrameReader(), []
    for at in range(0, len(unmasked), 4096):
        found += reader.feed(bytes(unmasked[at : at + 4096]))
    assert found == [(wire.TEXT, payload)]


@pytest.mark.parametrize("start", [b"\x01\x02", b"\xc1\x02", b"\x81\x82"])
def test_fragments_extensions_and_masks_from_a_server_are_refused(start: bytes) -> None:
    with pytest.raises(wire.Refused, match="cannot read"):
        wire.FrameReader().feed(start)
