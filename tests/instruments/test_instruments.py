"""Every instrument is shown a fault it must find, or its silence would mean nothing."""

from __future__ import annotations

import base64
import io
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import av
import pytest
from PIL import Image

from capture import simulator_wire as wire
from capture.media import counting as painter
from tests.instruments import canary, counting, stall
from tests.instruments.certificates import make_pki
from tests.instruments.firmware import FirmwareClient

START_MS = time.time_ns() // 1_000_000
SECRET = "correct-horse/battery+staple"


def stream(*counters: int, camera: int = 1) -> list[counting.Sighting]:
    """At 10 frames/s, both clocks in step."""
    return [
        counting.Sighting(painter.Stamp(n, camera, START_MS + 100 * n), 100.0 * n) for n in counters
    ]


# --- counting reader --------------------------------------------------------------------------


def test_a_whole_stream_is_whole() -> None:
    report = counting.judge(stream(*range(50)))
    assert report.is_whole
    assert (report.frames, report.first, report.last) == (50, 0, 49)
    assert (report.longest_gap_ms, report.time_error_ms, report.span_ms) == (100, 0, 4_900)


def test_lost_frames_are_counted_and_named() -> None:
    report = counting.judge(stream(0, 1, 2, 5, 6))
    assert (report.lost, report.missing, report.longest_gap_ms) == (2, (3, 4), 300)
    assert not report.is_whole


def test_a_loss_at_either_end_is_found_when_the_ends_are_known() -> None:
    assert counting.judge(stream(2, 3, 4)).lost == 0
    assert counting.judge(stream(2, 3, 4), first=0, last=5).missing == (0, 1, 5)


def test_duplicates_are_counted() -> None:
    report = counting.judge(stream(0, 1, 1, 2, 0))
    assert (report.duplicated, report.out_of_order, report.lost) == (2, 0, 0)


def test_frames_out_of_order_are_counted() -> None:
    report = counting.judge(stream(0, 2, 1, 3))
    assert (report.duplicated, report.out_of_order, report.lost) == (0, 1, 0)


def test_a_strange_camera_in_the_stream_is_seen() -> None:
    report = counting.judge([*stream(0, 1), *stream(2, camera=7)])
    assert report.cameras == {1, 7}


def test_media_time_that_strays_from_the_cameras_clock_is_measured() -> None:
    slow = [replace(seen, media_ms=seen.media_ms * 0.56) for seen in stream(*range(101))]
    assert counting.judge(slow).time_error_ms == pytest.approx(4_400)


def test_gapless_media_time_after_a_long_silence_is_no_error() -> None:
    seen = [*stream(0, 1, 2), *(replace(s, media_ms=s.media_ms - 9_700) for s in stream(100, 101))]
    report = counting.judge(seen)
    assert (report.time_error_ms, report.longest_gap_ms) == (0, 9_800)


def test_an_unreadable_frame_is_not_overlooked() -> None:
    report = counting.judge([*stream(0, 1), counting.Sighting(None, 200), *stream(3)])
    assert (report.unreadable, report.lost, report.is_whole) == (1, 1, False)


def test_a_stream_without_any_counter_is_an_error_and_not_a_success() -> None:
    with pytest.raises(ValueError, match="no readable counter"):
        counting.judge([counting.Sighting(None, 0)])


def film(path: Path, numbers: Iterable[int], container: str = "mp4") -> None:
    """One frame a number, 100 ms each in the file; the camera's clock follows the number."""
    with av.open(str(path), "w", format=container) as out:
        track = out.add_stream("libx264", rate=10, options={"crf": "35", "preset": "ultrafast"})
        track.width, track.height, track.pix_fmt = 320, 240, "yuv420p"
        for number in numbers:
            picture = Image.new("RGB", (320, 240), "teal")
            painter.paint(picture, painter.Stamp(number, 3, START_MS + 100 * number))
            out.mux(track.encode(av.VideoFrame.from_image(picture)))  # type: ignore[no-untyped-call]
        out.mux(track.encode(None))


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_real_file_is_examined_frame_by_frame(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"video.{container}"
    film(path, (0, 1, 2, 4, 5), container)
    report = counting.examine(path)
    assert (report.frames, report.missing) == (5, (3,))
    assert report.cameras == {3}
    assert report.time_error_ms == pytest.approx(100, abs=1)


def test_media_time_goes_on_from_file_to_file(tmp_path: Path) -> None:
    """As it does when the hour turns."""
    film(tmp_path / "14.mp4", range(5))
    film(tmp_path / "15.mp4", range(5, 30))
    report = counting.examine(tmp_path / "14.mp4", tmp_path / "15.mp4")
    assert (report.frames, report.lost) == (30, 0)
    assert report.time_error_ms == pytest.approx(0, abs=1)


def test_jpegs_are_examined_too() -> None:
    jpegs = []
    for number in range(3):
        picture, out = Image.new("RGB", (320, 240)), io.BytesIO()
        painter.paint(picture, painter.Stamp(number, 1, START_MS))
        picture.save(out, "JPEG")
        jpegs.append((out.getvalue(), 0.0))
    assert counting.judge(counting.of_jpegs(jpegs)).is_whole


# --- stall kit --------------------------------------------------------------------------------


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    """Sends back what it gets, and notes nothing."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(peer,), daemon=True).start()

    def echo(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def read_exactly(peer: socket.socket, length: int) -> list[bytes]:
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < length:
        data = peer.recv(65536)
        assert data
        pieces.append(data)
    return pieces


def test_the_proxy_passes_everything_on_unchanged() -> None:
    data = os.urandom(200_000)
    with echo_server() as target, stall.StallingProxy(target) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as peer:
            threading.Thread(target=peer.sendall, args=(data,), daemon=True).start()
            assert b"".join(read_exactly(peer, len(data))) == data
        assert proxy.accepted == 1


def test_the_proxy_drips_pieces_of_a_packets_size() -> None:
    with echo_server() as target, stall.StallingProxy(target) as proxy:
        proxy.chunk_bytes, proxy.gap_s = 1_436, 0.002
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as peer:
            started = time.monotonic()
            peer.sendall(bytes(14_360))
            read_exactly(peer, 14_360)
            assert time.monotonic() - started >= 9 * 0.002  # between ten pieces
        assert 0 < proxy.largest_piece_bytes <= 1_436


def test_the_proxy_delays() -> None:
    with echo_server() as target, stall.StallingProxy(target) as proxy:
        proxy.delay_s = 0.1
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as peer:
            started = time.monotonic()
            peer.sendall(b"x")
            assert peer.recv(1) == b"x"
            assert time.monotonic() - started >= 0.2


def test_the_proxy_goes_silent_and_comes_back_without_losing_a_byte() -> None:
    with (
        echo_server() as target,
        stall.StallingProxy(target) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as peer,
    ):
        peer.sendall(b"a")
        assert peer.recv(1) == b"a"
        proxy.is_silent = True
        peer.sendall(b"b")
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.recv(1)
        proxy.is_silent = False
        peer.settimeout(5)
        assert peer.recv(1) == b"b"


def test_the_proxy_cuts_with_a_reset_and_takes_the_next_connection() -> None:
    with echo_server() as target, stall.StallingProxy(target) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as peer:
            peer.sendall(b"a")
            assert peer.recv(1) == b"a"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as peer:
            peer.sendall(b"c")
            assert peer.recv(1) == b"c"


def test_a_frozen_process_is_stopped_inside_the_block_and_runs_after_it() -> None:
    program = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout
        with stall.frozen(child.pid):
            assert stall.process_state(child.pid) == "T"
            child.stdin.write(b"hello\n")
            child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
        child.stdin.close()
        child.wait(10)


def test_lateness_sees_a_machine_that_does_not_let_it_run() -> None:
    usual = sys.getswitchinterval()
    with stall.Lateness() as lateness:
        sys.setswitchinterval(5)  # this thread keeps the interpreter to itself
        try:
            until = time.monotonic() + 0.15
            while time.monotonic() < until:
                pass
        finally:
            sys.setswitchinterval(usual)
        deadline = time.monotonic() + 5
        while lateness.worst_ms < 80 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lateness.worst_ms >= 80


# --- canary -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        *(base64.b64encode(b"u" * n + SECRET.encode() + b"tail").decode() for n in range(3)),
    ],
)
def test_the_canary_is_found_in_every_spelling(leak: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "web.log").write_text(f"GET /?t={leak} 200\n")
    (tmp_path / "clean.log").write_text("nothing here\n")
    search = canary.find(SECRET, tmp_path)
    assert (search.files, len(search.hits)) == (2, 1)
    assert "web.log at " in search.hits[0]


def test_the_canary_search_is_silent_about_clean_files_and_allowed_ones(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(SECRET)
    (tmp_path / "web.log").write_text("GET / 200\n")
    assert canary.find(SECRET, tmp_path, allowed=[".json"]).hits == []
    assert len(canary.find(SECRET, tmp_path).hits) == 1


def test_a_canary_search_that_read_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="proves nothing"):
        canary.find(SECRET, tmp_path)


def test_a_secret_in_a_command_line_is_found() -> None:
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == b"up\n"
        assert canary.find_in_processes(SECRET, [child.pid]).hits == [f"argv of {child.pid}"]
        assert canary.find_in_processes(SECRET, [os.getpid()]).hits == []
        child.stdin.close()
        child.wait(10)


# --- firmware client --------------------------------------------------------------------------


def test_the_firmware_client_sends_what_was_asked_in_the_pieces_asked_for(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    data = os.urandom(5_000)
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with pki.server_context().wrap_socket(listener.accept()[0], server_side=True) as peer:
            while chunk := peer.recv(65536):
                heard.append(chunk)
            peer.unwrap()  # answers the goodbye, for which the client waits

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        client = FirmwareClient("127.0.0.1", listener.getsockname()[1], pki.ca)
        client._socket = client.open()
        client.send_jpeg(data, chunk_bytes=1_436)
        whole = wire.frame(wire.BINARY, data)
        client.send_jpeg(data, fragment_bytes=1_024)
        client.socket.unwrap()
        client.close()
        thread.join(10)
    sent = b"".join(heard)
    assert sent.startswith(whole)
    assert max(map(len, heard[:3])) <= 1_436
    fragments = sent[len(whole) :]
    assert fragments[0] == 0x02
    assert fragments.count(b"\x00\xfe\x04\x00") >= 3  # continuation, 1,024 bytes, not the last
    assert len(fragments) == 5_000 + 5 * 8


def test_the_firmware_client_refuses_a_stranger(tmp_path: Path) -> None:
    pki, stranger = make_pki(tmp_path / "a"), make_pki(tmp_path / "b")

    def serve(listener: socket.socket) -> None:
        try:
            pki.server_context().wrap_socket(listener.accept()[0], server_side=True).close()
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with pytest.raises(ssl.SSLCertVerificationError):
            FirmwareClient("127.0.0.1", listener.getsockname()[1], stranger.ca).register("x")
        thread.join(10)
