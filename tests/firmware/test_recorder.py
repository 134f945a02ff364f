"""The firmware as a process against the whole running recorder; one serves this module."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib import request as http
from urllib.error import HTTPError

import av
import pytest
from cryptography import x509

from system import pki
from tests.end_to_end import scene
from tests.firmware import certificates, journey
from tests.firmware.announced import announced
from tests.firmware.bad_recorder import BadRecorder
from tests.firmware.build import Programs, missing
from tests.firmware.bursts import Fleet, Pace, compare_gaps, judge
from tests.firmware.host import SET_UP, SLEPT, HostCamera, camera, times
from tests.firmware.images import NEWER, Signer
from tests.firmware.phone import PORTAL, Phone, base64url
from tests.firmware.updating import OLD
from tests.instruments import stall
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.stack
BEARER: dict[str, str] = {}  # of the module's recorder
ADMIN_TOKEN = """
from django.contrib.auth import get_user_model
from devices.models import ApiToken
user = get_user_model().objects.get(username="admin")
print(ApiToken.objects.create(user=user, name="tests")[1])
"""
SEED = 335
QUICK = times(backoff=200, longest=1000, refused=300, settled=500, browse=2000)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """It starts while the other worker of a parallel run builds the firmware."""
    if reason := missing():
        pytest.skip(reason)
    env = {"AUTH_TOKEN": scene.TOKEN, "NVR_SEGMENT_SECONDS": "2"}
    with Stack(tmp_path_factory.mktemp("recorder"), env=env) as running:
        # AUTH_TOKEN is an operator's; keys and settings are an administrator's.
        token = running.manage("shell", "--no-imports", "-c", ADMIN_TOKEN).strip()
        BEARER["Authorization"] = f"Bearer {token}"
        yield running


class Bench:
    """Camera number `place` of this module: its flash, and the recorder's view of it."""

    def __init__(self, stack: Stack, programs: Programs, pictures: Path, folder: Path) -> None:
        self.stack, self.programs, self.pictures = stack, programs, pictures
        self.folder = folder / "flash"
        self.mac = ""

    def boot(self, *arguments: str) -> AbstractContextManager[HostCamera]:
        return camera(
            self.programs, self.folder, self.pictures, "--mac", self.mac, *QUICK, *arguments
        )

    def set_up(self, mode: str, *arguments: str) -> AbstractContextManager[HostCamera]:
        at = ("--server", f"127.0.0.1:{self.stack.port}", "--ca", str(self.stack.ca_path))
        return self.boot(*SET_UP, "--set", f"mode {mode}", *at, *arguments)

    def api(self, path: str = "") -> str:
        found = self.stack.get_json(f"/api/v1/devices/?search={self.mac}", BEARER)["results"]
        return f"/api/v1/devices/{found[0]['id']}/{path}"

    def device(self) -> dict[str, Any]:
        found: dict[str, Any] = self.stack.get_json(self.api(), BEARER)
        return found

    def command(self, action: str) -> None:
        """As soon as the recorder counts the camera as connected."""

        def is_sent() -> bool:
            try:
                self.stack.post_json(self.api("command/"), {"action": action}, BEARER)
            except HTTPError as error:
                assert error.code == 409, error
                return False
            return True

        wait_until(is_sent, limit_s=15, what=f"{action} is sent")

    def configure(self, **config: object) -> None:
        request(self.stack, "PATCH", self.api(), {"config": config})

    def wait_for_presence(self, presence: str) -> None:
        wait_until(lambda: self.device()["presence"] == presence, limit_s=15, what=presence)


def request(stack: Stack, method: str, path: str, document: object = None) -> None:
    body = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json", **BEARER}
    asked = http.Request(stack.url + path, body, headers, method=method)
    with http.urlopen(asked, context=stack.tls(), timeout=20) as answer:
        answer.read()


@pytest.fixture
def bench(
    stack: Stack, programs: Programs, pictures: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Bench:
    made = Bench(stack, programs, pictures, tmp_path)
    number = sum(request.node.name.encode()) % 65536
    made.mac = f"02:F1:00:00:{number >> 8:02X}:{number & 255:02X}"
    return made


# --- the main job ---------------------------------------------------------------------------------


def test_from_power_to_pictures_to_sleep_and_back_into_the_same_hour_file(
    bench: Bench, stack: Stack, tmp_path: Path
) -> None:
    """Found by mDNS beside a rogue, registered, streamed, asleep, awake: not one frame lost."""
    rogue = certificates.authority(tmp_path, "rogue").issue(tmp_path, "leaf")
    noted = tmp_path / "taken.txt"
    set_up = [*SET_UP, "--set", "mode motion", "--ca", str(stack.ca_path), "--taken", str(noted)]
    with (
        stall.Lateness() as lateness,
        BadRecorder(rogue) as stranger,
        announced(stranger.port, stack.port),
    ):
        with bench.boot(*set_up, "--mdns", "127.0.0.1", *times(stream=2000)) as running:
            first = running.finish(SLEPT)
        assert stranger.requests == [], "the rogue was told nothing"
    assert (first.enrolments >= 1, first.connections, first.sent >= 15) == (True, 1, True)
    assert running.states()[:2] == ["wifi", "discover"]
    bench.wait_for_presence("asleep")
    # It wakes without mDNS, at the address that it remembers; motion prolongs.
    with bench.boot("--wake", "motion", "--taken", str(noted), *times(stream=1500)) as running:
        running.wait_for("-> stream")

        def is_seen_while_it_moves() -> bool:
            running.move()
            return bool(bench.device()["presence"] == "streaming")

        wait_until(is_seen_while_it_moves, limit_s=15, what="streaming")
        second = running.finish(SLEPT)
    assert (second.enrolments, second.connections, second.unsent) == (0, 1, 0)
    assert running.states() == ["wifi", "discover", "connect", "stream", "sleep"]
    assert second.taken == first.sent + second.sent
    report = scene.packaged(stack, bench.mac, last=second.taken - 1)
    assert (report.frames, report.lost, report.first) == (second.taken, 0, 0), report
    assert report.is_whole, report
    # One file, or two when the hour turned meanwhile.
    made = journey.Journey(bench.mac, journey.read_taken(noted), second.taken)
    seen = journey.kept(stack, made)
    assert seen.median_ms <= 100 + 2 * lateness.worst_ms, seen
    beat = stack.get_json(bench.api("events/"), BEARER)["results"]
    kinds = [event["kind"] for event in beat]
    assert kinds.count("asleep") == 2, kinds


def test_the_older_sketch_makes_the_same_journey(bench: Bench, stack: Stack) -> None:
    """Its deadlines are stretched here: they judge the recorder, not a busy machine."""
    with stall.Lateness() as lateness, announced(stack.port):
        made = journey.of_sketch(stack, mac=bench.mac, stream_s=1.5, patience=10)
    seen = journey.kept(stack, made)
    assert seen.frames == made.sent >= 10, seen
    assert seen.median_ms <= 100 + 2 * lateness.worst_ms, seen
    events = stack.get_json(bench.api("events/"), BEARER)["results"]
    assert [event["kind"] for event in events].count("asleep") == 2, events


def test_bursts_at_random_are_kept_whole_and_the_sleep_between_them_is_named(
    stack: Stack, programs: Programs, pictures: Path, tmp_path: Path
) -> None:
    """Two sleeps each, a short one and one that is long enough for a gap: the seed says so."""
    pace = Pace(stream_ms=(800, 2_000), asleep_s=(0.3, 9.0))
    fleet = Fleet(stack, programs, tmp_path, pictures, cameras=2, seed=SEED, pace=pace)
    fleet.run(120, most=3)
    for one in fleet.cameras:
        scene.packaged(stack, one.mac, last=one.bursts[-1].end - 1)
        kept = judge(
            one.mac,
            one.bursts,
            journey.read_taken(one.taken_file),
            scene.hour_files(stack, one.mac),
        )
        assert (len(one.bursts), kept.found, kept.whole) == (3, 3, 3), kept
        assert (kept.frames_kept, kept.is_in_order) == (kept.frames_sent, True), kept
        assert kept.sleeps, "none was long enough"
        (device,) = stack.get_json(f"/api/v1/devices/?search={one.mac}", BEARER)["results"]
        start, end = round(kept.sleeps[0][0]) - 1, round(kept.sleeps[-1][1]) + 1
        asked = f"/api/v1/gaps/?device={device['id']}&start_ms={start}&end_ms={end}"
        told = compare_gaps(kept.sleeps, stack.get_json(asked, BEARER)["gaps"])
        assert set(told.causes) == {"asleep"}, told
        assert (told.untold, told.others) == (0, ()), told


# --- obeying --------------------------------------------------------------------------------------


def sizes(stack: Stack, mac: str) -> set[tuple[int, int]]:
    found = set()
    for path in scene.hour_files(stack, mac):
        with av.open(str(path)) as container:
            found.add((container.streams.video[0].width, container.streams.video[0].height))
    return found


def test_a_camera_that_was_set_up_by_phone_joins(bench: Bench, stack: Stack) -> None:
    with bench.boot(*PORTAL, "--sleep", "wait") as running:
        running.wait_for("portal: join")
        der = ssl.PEM_cert_to_DER_cert(Path(stack.ca_path).read_text())
        at = {"server": "127.0.0.1", "port": str(stack.port), "ca": base64url(der)}
        status, page = Phone(running).fill_in(
            ssid="home", password="password1", mode="always", **at
        )
        assert status == 200, page
        running.wait_for("-> stream", limit_s=30)
        bench.wait_for_presence("streaming")
        running.finish()


def test_the_recorder_ends_a_trial_by_answering_behind_a_picture(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / "trial").write_text(f"i{OLD} 0.0.1")  # as the program before it left it
    with bench.set_up("always") as running:
        running.wait_for(f"a picture got through: {OLD} stays", limit_s=30)
        bench.wait_for_presence("streaming")
        running.finish()
    assert not (bench.folder / "trial").exists()


def test_a_version_that_is_rolled_out_runs_and_says_so(
    bench: Bench, stack: Stack, newer: Path, tmp_path: Path
) -> None:
    """Signed, uploaded by the API, told, downloaded with the camera's key, tried, and kept."""
    firmware, signer = "/api/v1/firmware/", Signer()
    pem = "\n".join(signer.lines()[1:-1])
    stack.post_json(f"{firmware}keys/", {"name": "workshop", "pem": pem}, BEARER)
    # The checked build is nearly as long as a file may be; a board's is a third of that.
    program = tmp_path / "program"
    subprocess.run(["strip", "-o", str(program), str(newer)], check=True)
    image = upload(stack, signer.image(program.read_bytes()))
    key = [word for line in signer.lines() for word in ("--set", line)]
    with bench.set_up("always", "--sleep", "wait", *key) as running:
        running.wait_for("-> stream")
        bench.wait_for_presence("streaming")
        wait_until(lambda: firmware_of(bench) == OLD, limit_s=30, what="the old version is known")
        wanted = {"image": image["id"], "stages": [{"percent": 100, "soak_minutes": 0}]}
        begun = stack.post_json(f"{firmware}rollouts/", wanted, BEARER)

        def rollout() -> dict[str, Any]:
            found: dict[str, Any] = stack.get_json(f"{firmware}rollouts/{begun['id']}/", BEARER)
            return found

        wait_until(lambda: rollout()["state"] != "running", limit_s=240, what="the roll-out ends")
        over = rollout()
        assert (over["state"], over["counts"]["updated"]) == ("finished", 1), (over, running.log())
        wait_until(lambda: firmware_of(bench) == NEWER, limit_s=30, what="the new version is known")
        assert running.count(f"firmware {NEWER}") == 1
        bench.wait_for_presence("streaming")
        running.finish()
    events = stack.get_json(bench.api("events/"), BEARER)["results"]
    told = [event["detail"] for event in events if event["kind"] == "update"]
    began = [
        f"Told to update to {NEWER}", f"Downloads {NEWER}", f"Installed {NEWER}", f"Runs {NEWER}",
    ]  # fmt: skip
    assert all(said.startswith(start) for said, start in zip(reversed(told), began, strict=True)), (
        told
    )


def firmware_of(bench: Bench) -> str:
    found = bench.stack.get_json("/api/v1/firmware/cameras/", BEARER)["results"]
    here = bench.device()["id"]
    return "".join(one["version"] for one in found if one["id"] == here)


def upload(stack: Stack, file: bytes) -> Any:
    edge = "an-edge-that-is-in-no-file"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.roost"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{edge}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}", **BEARER}
    asked = http.Request(f"{stack.url}/api/v1/firmware/images/", body, headers, method="POST")
    with http.urlopen(asked, context=stack.tls(), timeout=60) as answer:
        return json.loads(answer.read())


def test_it_does_what_the_recorder_says(bench: Bench, stack: Stack) -> None:
    with bench.set_up("always", "--sleep", "wait", *times(heartbeat=300)) as running:
        running.wait_for("-> stream")
        bench.wait_for_presence("streaming")
        bench.configure(resolution="VGA", framerate=20, quality=30, brightness=1, contrast=-1)
        running.wait_for("camera: VGA quality 30 brightness 1 contrast -1 saturation 0")
        running.wait_for("picture VGA, 20 frames/s")
        wait_until(
            lambda: 16 <= (bench.device()["received_fps"] or 0) <= 24, limit_s=15, what="20 fps"
        )
        bench.command("stop_streaming")
        bench.wait_for_presence("online")
        bench.command("start_streaming")
        bench.command("reboot")
        running.wait_for("reason software")
        running.wait_for("-> stream", times=2)
        # What it was set to is what it boots with, before the recorder says a word.
        assert running.log().rpartition("reason software")[2].index("camera: VGA quality 30") > 0
        bench.command("sleep")
        running.wait_for("-> sleep")
        bench.wait_for_presence("asleep")
        running.move()
        running.wait_for("reason motion")
        running.wait_for("-> stream", times=3)
        running.finish()
    wait_until(lambda: len(sizes(stack, bench.mac)) == 2, limit_s=20, what="both sizes recorded")
    assert sizes(stack, bench.mac) == {(320, 240), (640, 480)}


# --- trouble --------------------------------------------------------------------------------------


def test_it_comes_back_by_itself_when_the_recorder_was_killed(bench: Bench, stack: Stack) -> None:
    with bench.set_up("always") as running:
        running.wait_for("-> stream")
        bench.wait_for_presence("streaming")
        old = stack.kill("web", signal.SIGKILL)
        running.wait_for("-> pause")
        stack.wait_for_new("web", old)
        running.wait_for("-> stream", times=2, limit_s=30)
        bench.wait_for_presence("streaming")
        report = running.finish()
    assert report.enrolments == 1, "its key is still good"
    seen = scene.packaged(stack, bench.mac, last=report.taken - 2)
    assert (seen.duplicated, seen.out_of_order, seen.unreadable) == (0, 0, 0)
    # Up to two seconds that were received and not yet written, and what was on its way.
    assert seen.lost <= 25, seen


def revoke_newest(bench: Bench, stack: Stack) -> None:
    newest = stack.get_json(bench.api("keys/"), BEARER)["results"][0]
    request(stack, "DELETE", bench.api(f"keys/{newest['id']}/"))


@contextmanager
def registration(stack: Stack, mode: str) -> Iterator[None]:
    request(stack, "PATCH", "/api/v1/settings/", {"registration": {"mode": mode}})
    try:
        yield
    finally:
        request(stack, "PATCH", "/api/v1/settings/", {"registration": {"mode": "open"}})


def test_a_revoked_key_is_followed_by_a_new_registration(bench: Bench, stack: Stack) -> None:
    with bench.set_up("always") as running:
        running.wait_for("-> stream")
        bench.wait_for_presence("streaming")
        revoke_newest(bench, stack)
        running.wait_for("it does not know the key")
        running.wait_for("-> stream", times=2)
        bench.wait_for_presence("streaming")
        # By approval the new key waits, and one click lets in the very key that the camera holds.
        with registration(stack, "approve"):
            revoke_newest(bench, stack)
            running.wait_for("it refuses for now", times=2)
            enrolled = len(stack.get_json(bench.api("keys/"), BEARER)["results"])
            stack.post_json(bench.api("approve/"), {}, BEARER)
            running.wait_for("-> stream", times=3)
            assert len(stack.get_json(bench.api("keys/"), BEARER)["results"]) == enrolled
        report = running.finish()
    assert report.enrolments == 3


# --- certificates ---------------------------------------------------------------------------------


def serial_of(stack: Stack) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", stack.port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def present(stack: Stack, change: Callable[[Path], object]) -> None:
    """Changes the certificate's files and has the web process read them."""
    before = serial_of(stack)
    change(stack.data_dir / "pki")
    stack.ask(do="reload")
    wait_until(lambda: serial_of(stack) != before, limit_s=10, what="the other certificate")


def test_a_renewed_certificate_goes_unnoticed_and_another_authority_needs_the_second_slot(
    bench: Bench, stack: Stack, tmp_path: Path
) -> None:
    folder = stack.data_dir / "pki"
    kept = shutil.copytree(folder, tmp_path / "kept")
    names = pki.Names(addresses=["127.0.0.1"], host_names=["localhost"])
    now = dt.datetime.now(dt.UTC)

    def renew(where: Path) -> None:
        (where / "server.pem").unlink()
        pki.ensure(where, names=names, now=now)

    def replace_authority(where: Path) -> None:
        shutil.copytree(tmp_path / "next", where, dirs_exist_ok=True)

    (tmp_path / "next").mkdir()
    pki.ensure(tmp_path / "next", names=names, now=now)
    try:
        with bench.set_up(
            "always", "--ca2", str(tmp_path / "next" / "ca.pem"), "--sleep", "wait"
        ) as running:
            running.wait_for("-> stream")
            present(stack, renew)
            bench.command("reboot")
            running.wait_for("-> stream", times=2)
            present(stack, replace_authority)
            bench.wait_for_presence("streaming")
            bench.command("reboot")
            running.wait_for("-> stream", times=3)
            assert running.count("certificate of") == 0
            assert running.finish().enrolments == 0
        # Positive control: with the first authority alone it would have been locked out.
        with bench.boot("--set", "ca 2 none") as running:
            running.wait_for("is not signed by a trusted authority", times=2)
            running.finish()
    finally:
        present(stack, lambda where: shutil.copytree(kept, where, dirs_exist_ok=True))
    with bench.boot() as running:
        running.wait_for("-> stream")
        running.finish()
