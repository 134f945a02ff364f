"""What drivers take apart: parts of streams, descriptions, demands for a log-in. Pure."""

from __future__ import annotations

import hashlib
import random
import time

import pytest

from capture.agent.protocol import SourceError
from capture.drivers import messages, mixed, sdp, v4l2
from capture.drivers.login import Login, challenges
from tests.recordings.footage import jpeg

PICTURES = [jpeg(number, number) for number in range(3)]


def test_pictures_come_out_whole_however_the_bytes_are_cut() -> None:
    stream = b"".join(b"--x\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n" % each for each in PICTURES)
    chance = random.Random(1)
    for _ in range(50):
        found, at, taken = mixed.Mixed(), 0, []
        while at < len(stream):
            step = chance.choice((1, 2, 7, 100, 5000))
            taken += found.feed(stream[at : at + step])
            at += step
        assert taken == PICTURES


def test_a_thumbnail_inside_a_picture_does_not_end_it() -> None:
    thumbnail = b"\xff\xe1" + (2 + len(PICTURES[1])).to_bytes(2, "big") + PICTURES[1]
    picture = PICTURES[0][:2] + thumbnail + PICTURES[0][2:]
    assert mixed.Mixed().feed(b"--x\r\n\r\n" + picture + b"\r\n") == [picture]


def test_bare_pictures_one_after_the_other_are_taken() -> None:
    assert mixed.Mixed().feed(b"".join(PICTURES)) == PICTURES


def test_nonsense_ends_within_bounds() -> None:
    chance = random.Random(2)
    for _ in range(200):
        parser, fed = mixed.Mixed(), 0
        with pytest.raises(ValueError):
            while fed < 3 * mixed.MAX_PICTURE_BYTES:
                piece = chance.randbytes(chance.choice((10, 1000, 300_000)))
                fed += len(piece)
                parser.feed(piece + chance.choice((b"\r\n\r\n", b"\xff\xd8", b"--x")))
            raise ValueError
        assert len(parser._buffer) <= mixed.MAX_PICTURE_BYTES + 400_000


def test_only_what_unpacking_needs_gets_into_the_new_description() -> None:
    offer = sdp.parse(
        b"v=0\no=- 1 1 IN IP4 10.0.0.1\nc=IN IP4 10.0.0.1\na=control:rtsp://10.0.0.1/all\n"
        b"m=application 0 RTP/AVP 107\na=control:meta\n"
        b"m=audio 0 RTP/AVP 8\na=control:sound\n"
        b"m=video 0 RTP/AVP 96 97\na=rtpmap:97 VP8/90000\na=rtpmap:96 H264/90000\n"
        b"a=fmtp:96 packetization-mode=1\na=control:rtsp://10.0.0.1/video\na=x-secret:1\n"
        b"m=video 0 RTP/AVP 26\na=control:second\n"
    )
    video, sound = offer.video, offer.sound
    assert video is not None
    assert sound is not None
    assert (video.codec, video.control) == ("H264", "rtsp://10.0.0.1/video")
    assert (sound.codec, sound.rate_hz, sound.control) == ("PCMA", 8000, "sound")
    built = sdp.build((video, sound)).decode()
    assert "10.0.0.1" not in built
    assert "x-secret" not in built
    assert sdp.parse(built.encode()).video == sdp.Medium(
        "video", 96, "H264/90000", "packetization-mode=1", "track0"
    )


def test_the_first_video_that_can_be_taken_is_taken() -> None:
    offer = sdp.parse(
        b"m=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\n"
        b"m=video 0 RTP/AVP 97\na=rtpmap:97 H265/90000\n"
    )
    assert offer.video is not None
    assert offer.video.codec == "H265"


def test_descriptions_of_any_bytes_are_read() -> None:
    chance = random.Random(3)
    whole = sdp.build((sdp.Medium("video", 96, "H264/90000", "a=b", "x"),))
    for _ in range(300):
        data = bytearray(whole * 3)
        for _ in range(20):
            data[chance.randrange(len(data))] = chance.randrange(256)
        sdp.parse(bytes(data))


def test_heads_are_read_however_they_are_written() -> None:
    head = messages.parse_head(b"RTSP/1.0 401 No entry\nWWW-AUTHENTICATE : Basic\n x=1\nCSeq:2\n\n")
    assert (head.status, head.reason) == (401, "No entry")
    assert head.get("www-authenticate") == "Basic x=1"
    assert head.get("cseq") == "2"
    assert messages.parse_head(b"GET / HTTP/1.1\r\n\r\n").status == 0


def test_the_examples_of_the_standards_are_answered_as_they_say() -> None:
    """RFC 7616 §3.9.1 fixes the client's nonce; RFC 2069's way has none."""
    login = Login("Mufasa", "Circle Of Life")
    login.challenge(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    first = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life").hexdigest()
    second = hashlib.md5(b"GET:/dir/index.html").hexdigest()
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    expected = hashlib.md5(f"{first}:{nonce}:{second}".encode()).hexdigest()
    said = login.authorization("GET", "/dir/index.html")
    assert f'response="{expected}"' in said
    assert "qop" not in said
    assert "Circle" not in said


def test_the_strongest_way_that_is_known_is_chosen() -> None:
    login = Login("a", "b")
    login.challenge(
        [
            'Basic realm="x", Digest realm="x", nonce="1", algorithm=MD5, qop="auth,auth-int"',
            'Digest realm="x", nonce="2", algorithm=SHA-256, qop="auth"',
            "Negotiate",
        ]
    )
    said = login.authorization("DESCRIBE", "rtsp://x/")
    assert said.startswith("Digest ")
    assert "algorithm=SHA-256" in said
    assert "nc=00000001" in said
    assert "nc=00000002" in login.authorization("SETUP", "rtsp://x/1")


@pytest.mark.parametrize(
    "header",
    [
        'Digest realm="x", nonce="1", algorithm=SHA-512-256',
        'Digest realm="x", qop="auth-int"',
        *("NTLM", "", "Bearer realm=x", '"'),
    ],
)
def test_a_way_that_is_not_known_is_an_error(header: str) -> None:
    with pytest.raises(SourceError) as caught:
        Login("a", "b").challenge([header])
    assert caught.value.code == "refused"


def test_a_log_in_cannot_begin_a_header_of_its_own() -> None:
    login = Login('a"b\r\nX-Evil: 1', "c")
    login.challenge(['Digest realm="r\r\nX: 2", nonce="n"'])
    said = login.authorization("GET", "/")
    assert "\r" not in said
    assert "\n" not in said
    assert 'username="a\\"b' in said


@pytest.mark.parametrize(
    "header", ["Digest realm=x, " + "a" * 32_000 + "!", "Digest " + "a" * 32_000 + " b"]
)
def test_a_challenge_costs_by_its_length_alone(header: str) -> None:
    began_s = time.process_time()
    challenges(header)
    assert time.process_time() - began_s < 1  # 4 s where each letter may begin a name


def test_challenges_are_told_apart() -> None:
    found = challenges('Digest realm="a, Basic b", nonce="x=y", stale=true, Basic realm="z"')
    assert [each["scheme"] for each in found] == ["digest", "basic"]
    assert (found[0]["realm"], found[0]["stale"], found[1]["realm"]) == ("a, Basic b", "true", "z")


CAMERA = v4l2.Camera(
    "/dev/video0",
    "Webcam",
    (
        v4l2.Offer("mjpeg", 1920, 1080, (30.0, 15.0, 5.0)),
        v4l2.Offer("mjpeg", 1280, 720, (30.0, 10.0)),
        v4l2.Offer("mjpeg", 640, 480, (30.0,)),
        v4l2.Offer("yuyv422", 640, 480, (30.0, 15.0)),
    ),
)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, ("mjpeg", 1280, 720, (10.0,))),
        ({"size": "1920x1080"}, ("mjpeg", 1920, 1080, (15.0,))),
        ({"size": "1920x1080", "fps": 30}, ("mjpeg", 1920, 1080, (30.0,))),
        ({"size": "800x600"}, ("mjpeg", 640, 480, (30.0,))),
        ({"size": "320x240"}, ("mjpeg", 640, 480, (30.0,))),
        ({"format_name": "raw"}, ("yuyv422", 640, 480, (15.0,))),
    ],
)
def test_the_nearest_offer_of_a_usb_camera_is_chosen(
    wish: dict[str, object], expected: tuple[object, ...]
) -> None:
    assert tuple(v4l2.choose(CAMERA, **wish)) == expected  # type: ignore[arg-type]


def test_a_format_that_a_camera_has_not_is_an_error() -> None:
    with pytest.raises(SourceError, match="no such format: h264"):
        v4l2.choose(CAMERA, format_name="h264")
