"""RTSP cameras that misbehave: each ends in a code and in words a person can act on."""

from __future__ import annotations

import socket

import imageio_ffmpeg
import pytest
from django.test import override_settings

from capture.agent import intake
from capture.drivers import rtsp_relay
from tests.capture.drivers.rig import Bucket, failure, take, until
from tests.instruments.bad_cameras import Request, RtspScript, http_answer, rtsp_camera, sdp_of
from tests.recordings.footage import coded

IMPATIENCE_S = 1.6


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For cameras that fall silent; the others may take their time on a busy machine."""
    for name in ("ANSWER_S", "FIRST_BYTES_S", "QUIET_S"):
        monkeypatch.setattr(rtsp_relay, name, IMPATIENCE_S)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP"])
async def test_it_says_after_which_question_the_camera_fell_silent(method: str) -> None:
    async with rtsp_camera(RtspScript(hang_at=method)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
        assert error.code == "silent"
        assert str(error) == (
            f"The camera answered at first and then no more (after {method}). Is it overloaded?"
        )
        assert camera.methods()[-1] == method


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "PLAY"])
async def test_it_says_after_which_question_the_camera_hung_up(method: str) -> None:
    async with rtsp_camera(RtspScript(close_at=method)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == "ended"
    assert str(error).startswith(f"The camera closed the connection (after {method}).")


@pytest.mark.usefixtures("impatient")
async def test_it_says_that_a_camera_hangs_at_play() -> None:
    async with rtsp_camera(RtspScript(hang_at="PLAY")) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
        assert (error.code, "after PLAY" in str(error)) == ("silent", True)


@pytest.mark.usefixtures("impatient")
async def test_it_says_that_no_video_came_after_play() -> None:
    async with rtsp_camera(RtspScript(pictures=coded(), stop_after=0)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
        assert error.code == "silent"
        assert str(error) == "It answered, but no video came after PLAY."


@pytest.mark.parametrize("is_bundled", [False, True])
async def test_it_says_that_no_key_picture_ever_comes(
    is_bundled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "NO_KEY_US", 1_500_000)
    bundled = imageio_ffmpeg.get_ffmpeg_exe()
    with override_settings(NVR_FFMPEG=bundled if is_bundled else ""):
        script = RtspScript(pictures=coded(frames=150, gop=500), skip_keys=True)
        async with rtsp_camera(script) as camera:
            error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == "no_keyframes"
    assert str(error).startswith("The camera sends no key pictures")


async def test_a_stream_that_is_joined_in_the_middle_begins_with_its_next_key_picture() -> None:
    footage = coded(frames=75)
    late = footage._replace(blocks=footage.blocks[10:])
    async with rtsp_camera(RtspScript(pictures=late)) as camera:
        bucket = await take(f"rtsp://127.0.0.1:{camera.port}/live")
    assert bucket.pictures[0].is_key
    assert bucket.pictures[0].payload.endswith(footage.pictures[25].payload[-100:])


async def test_every_picture_comes_once_in_order_and_whole() -> None:
    footage = coded(frames=75)
    async with rtsp_camera(RtspScript(pictures=footage)) as camera:
        bucket = await take(
            f"rtsp://127.0.0.1:{camera.port}/live", lambda bucket: len(bucket.pictures) >= 70
        )
    sent = [block.payload[-60:] for block in footage.pictures]
    assert [packet.payload[-60:] for packet in bucket.pictures] == sent[: len(bucket.pictures)]


@pytest.mark.usefixtures("impatient")
async def test_it_says_that_the_camera_stopped_in_the_middle() -> None:
    bucket = Bucket()
    async with rtsp_camera(RtspScript(pictures=coded(), stop_after=30)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live", bucket)
    assert (error.code, str(error)) == ("silent", "The camera has sent nothing for 2 s.")
    assert len(bucket.pictures) >= 25


async def test_it_says_that_the_camera_ended_the_stream() -> None:
    bucket = Bucket()
    async with rtsp_camera(RtspScript(pictures=coded(), cut_after=30)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live", bucket)
    assert (error.code, str(error)) == ("ended", "The camera ended the stream.")
    assert len(bucket.pictures) >= 25


@pytest.mark.parametrize(
    ("method", "status", "code", "sentence"),
    [
        ("DESCRIBE", 404, "not_found", "There is no stream called /live at this camera."),
        ("DESCRIBE", 403, "refused", "does not let this user see /live"),
        ("DESCRIBE", 453, "busy", "no room for another viewer"),
        ("DESCRIBE", 500, "failed", "answered with an error (500 Said)"),
        ("SETUP", 461, "no_video", "does not send its video over TCP"),
        ("SETUP", 453, "busy", "no room for another viewer"),
        ("PLAY", 404, "not_found", "There is no stream called /live"),
        ("PLAY", 500, "failed", "answered with an error (500 Said)"),
    ],
)
async def test_it_puts_each_refusal_into_words(
    method: str, status: int, code: str, sentence: str
) -> None:
    async with rtsp_camera(RtspScript(answers={method: (status, {}, b"")})) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == code
    assert sentence in str(error)


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY"])
async def test_it_follows_no_redirect_to_anywhere(method: str) -> None:
    async with rtsp_camera() as elsewhere:
        location = f"rtsp://bob:hunter2@127.0.0.1:{elsewhere.port}/other"
        script = RtspScript(answers={method: (302, {"Location": location}, b"")})
        async with rtsp_camera(script) as camera:
            error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
        assert error.code == "redirected"
        assert f"127.0.0.1:{elsewhere.port}/other" in str(error)
        assert "hunter2" not in str(error)
        assert elsewhere.connections == 0


async def test_it_says_when_a_redirect_leads_nowhere_sensible() -> None:
    script = RtspScript(answers={"DESCRIBE": (301, {"Location": "file:///etc/passwd"}, b"")})
    async with rtsp_camera(script) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == "redirected"
    assert "elsewhere" in str(error)


async def test_controls_that_name_another_host_are_asked_for_at_the_camera() -> None:
    """The description points at an inner service: only words of a request, never a connection."""
    async with rtsp_camera() as inner:
        footage = coded()
        sdp = b"a=control:rtsp://127.0.0.1:%d/steal" % inner.port
        script = RtspScript(pictures=footage)
        script.sdp = sdp_of(footage).replace(b"a=control:stream=0", sdp)
        async with rtsp_camera(script) as camera:
            await take(f"rtsp://127.0.0.1:{camera.port}/live")
            asked = [each.uri for each in camera.requests if each.method == "SETUP"]
            assert asked == [f"rtsp://127.0.0.1:{inner.port}/steal"]
        assert inner.connections == 0


@pytest.mark.parametrize(
    "noise",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 ftp ready\r\n\r\n",
        b"\x00" * 50_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0\r\n\r\nnonsense\r\n\r\n",
        http_answer(200, b"<html>"),
    ],
)
async def test_it_says_that_what_answers_is_no_camera(noise: bytes) -> None:
    async with rtsp_camera(RtspScript(noise=noise)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == "failed"
    assert str(error) == (
        f"What answers at 127.0.0.1:{camera.port} does not speak RTSP. Check the port."
    )


@pytest.mark.parametrize(
    ("sdp", "code", "sentence"),
    [
        (b"v=0\r\n", "no_video", "offers no video at this address"),
        (b"m=audio 0 RTP/AVP 0\r\n", "no_video", "offers no video"),
        (b"m=video 0 RTP/AVP 32\r\n", "no_video", "The camera's video is MPV; only H.264"),
        (b"\xff\xfe" * 1000, "no_video", "offers no video"),
        (b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", "no_video", "video is VP8"),
    ],
)
async def test_it_says_what_is_wrong_with_the_offer(sdp: bytes, code: str, sentence: str) -> None:
    async with rtsp_camera(RtspScript(sdp=sdp)) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live")
    assert error.code == code
    assert sentence in str(error)


async def test_it_says_when_a_wanted_log_in_is_of_an_unknown_kind() -> None:
    headers = {"WWW-Authenticate": 'NTLM realm="x"'}
    async with rtsp_camera(RtspScript(answers={"OPTIONS": (401, headers, b"")})) as camera:
        error = await failure(f"rtsp://127.0.0.1:{camera.port}/live", username="a", password="b")
    assert error.code == "refused"
    assert "ntlm" in str(error)


async def test_a_sign_of_life_is_said_again_when_its_nonce_has_expired() -> None:
    """Some cameras give a new one every minute, and end a session whose viewer seems gone."""

    def challenge(nonce: str) -> tuple[int, dict[str, str], bytes]:
        return 401, {"WWW-Authenticate": f'Digest realm="r", nonce="{nonce}", stale=true'}, b""

    def nonce_of(request: Request) -> str:
        return request.headers.get("authorization", "").partition('nonce="')[2].partition('"')[0]

    def at_first(request: Request) -> tuple[int, dict[str, str], bytes]:
        is_known = nonce_of(request) == "first"
        return (200, {"Public": "GET_PARAMETER"}, b"") if is_known else challenge("first")

    def later(request: Request) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b"") if nonce_of(request) == "second" else challenge("second")

    script = RtspScript(
        pictures=coded(frames=150),
        answers={"OPTIONS": at_first, "GET_PARAMETER": later},
        session="4711;timeout=2",
    )
    async with rtsp_camera(script) as camera:
        url = f"rtsp://127.0.0.1:{camera.port}/live"
        await take(
            url,
            lambda _: any(nonce_of(each) == "second" for each in camera.requests),
            username="a",
            password="b",
        )
        alive = [each for each in camera.requests if each.method == "GET_PARAMETER"]
    assert [nonce_of(each) for each in alive[:2]] == ["first", "second"]
    assert all(each.headers["session"] == "4711" for each in alive)


async def test_it_says_that_nothing_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await failure(f"rtsp://127.0.0.1:{port}/live")
    assert error.code == "unreachable"
    assert str(error).startswith(f"127.0.0.1 is there, but nothing listens on port {port}.")


async def test_it_says_that_a_plain_camera_was_asked_for_tls() -> None:
    async with rtsp_camera(RtspScript(noise=b"RTSP/1.0 400 Bad\r\n\r\n")) as camera:
        error = await failure(f"rtsps://127.0.0.1:{camera.port}/live")
    assert error.code in ("failed", "no_answer")


async def test_time_stamps_that_jump_and_run_backwards_do_not_end_it() -> None:
    footage = coded(frames=75)
    times = [block.time_ms for block in footage.pictures]
    times[25:50] = [time - 20_000 for time in times[25:50]]
    times[50:] = [time + 3_600_000 for time in times[50:]]
    script = RtspScript(pictures=footage, times_ms=[time + 30_000 for time in times])
    async with rtsp_camera(script) as camera:
        bucket = await take(
            f"rtsp://127.0.0.1:{camera.port}/live", lambda bucket: len(bucket.pictures) >= 70
        )
    captured = [packet.capture_us for packet in bucket.pictures]
    assert captured == sorted(captured)
    assert captured[-1] - captured[0] < 6_000_000


async def test_nothing_is_left_behind_when_it_is_cancelled() -> None:
    async with rtsp_camera() as camera:
        await take(f"rtsp://127.0.0.1:{camera.port}/live")
        await until(lambda: not camera.open_connections)
        assert camera.methods()[-1] == "TEARDOWN"
