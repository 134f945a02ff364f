"""Addresses of cameras: taken apart, checked, and built anew."""

from __future__ import annotations

import pytest

from devices import addresses
from devices.addresses import BadAddress, check_ip, parse, request_path


@pytest.mark.parametrize(
    ("text", "kind", "url"),
    [
        ("rtsp://192.168.1.20/live", "rtsp", "rtsp://192.168.1.20/live"),
        ("RTSP://Camera.Local:554/Live", "rtsp", "rtsp://camera.local/Live"),
        ("rtsp://192.168.1.20:8554", "rtsp", "rtsp://192.168.1.20:8554/"),
        ("rtsps://cam/x", "rtsp", "rtsps://cam/x"),
        ("http://10.0.0.5?action=stream", "http", "http://10.0.0.5/?action=stream"),
        ("https://cam:443/a b".replace(" ", "%20"), "http", "https://cam/a%20b"),
        ("http://[fd00::5]:81/stream", "http", "http://[fd00::5]:81/stream"),
        ("http://cam/täg", "http", "http://cam/t%C3%A4g"),
        ("  http://cam/x  ", "http", "http://cam/x"),
        ("usb:/dev/video0", "usb", "usb:/dev/video0"),
        ("usb:2", "usb", "usb:/dev/video2"),
        ("/dev/video3", "usb", "usb:/dev/video3"),
        ("usb:/dev/v4l/by-id/usb-046d_C270-video-index0", "usb", None),
        ("usb:0?size=640x480", "usb", "usb:/dev/video0?size=640x480"),
        ("usb:/dev/video0?format=raw&fps=5", "usb", None),
        ("picamera:", "picamera", "picamera:0"),
        ("picamera:1?fps=20&format=mjpeg", "picamera", None),
        ("picamera:1", "picamera", "picamera:1"),
        ("simulated:", "simulated", "simulated:h264?size=1280x720&fps=15&audio=0"),
        (
            "simulated:hevc?size=640x360&fps=5&audio=1",
            "simulated",
            "simulated:hevc?size=640x360&fps=5&audio=1",
        ),
    ],
)
def test_it_builds_the_address_anew(text: str, kind: str, url: str | None) -> None:
    address = parse(text)
    assert address.kind == kind
    assert address.url_without_login == (url or text)
    again = parse(address.url_without_login)
    assert again.url_without_login == address.url_without_login


def test_it_takes_the_login_out() -> None:
    address = parse("rtsp://admin:p%40ss%3Aword%2F@192.168.1.20/live?x=1")
    assert (address.username, address.password) == ("admin", "p@ss:word/")
    assert (address.host, address.port, address.path) == ("192.168.1.20", 554, "/live?x=1")
    assert address.url_without_login == "rtsp://192.168.1.20/live?x=1"
    assert "p@ss" not in repr(address)
    assert "admin" not in repr(address)


@pytest.mark.parametrize(
    ("path", "kept", "login"),
    [
        ("/snap.cgi?user=bob&pwd=s3cret", "/snap.cgi?user={username}&pwd={password}", "bob"),
        ("/snap.cgi?loginpas=s3cret&n=1", "/snap.cgi?loginpas={password}&n=1", ""),
        (
            "/user=admin_password=s3_cret_channel=1_stream=0.sdp",
            "/user={username}_password={password}_channel=1_stream=0.sdp",
            "admin",
        ),
        (
            "/user=admin&password=s3cret&channel=1",
            "/user={username}&password={password}&channel=1",
            "admin",
        ),
    ],
)
def test_it_takes_a_login_out_of_the_path_too(path: str, kept: str, login: str) -> None:
    address = parse("rtsp://192.168.1.20" + path)
    assert address.path == kept
    assert address.username == login
    assert address.password in ("s3cret", "s3_cret")
    assert "cret" not in address.url_without_login
    assert parse(address.url_without_login).path == kept
    assert request_path(address.path, address.username, address.password) == path


def test_a_user_name_alone_stays_in_the_path() -> None:
    assert parse("http://cam/x?user=bob&pwd=").path == "/x?user=bob&pwd="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.168.1.20/live",
        "-i",
        "file:///etc/passwd",
        "concat:/etc/passwd|/etc/shadow",
        "concat:rtsp://a/b",
        "ftp://192.168.1.20/x",
        "tcp://192.168.1.20:554",
        "rtsp:192.168.1.20",
        "rtsp:///live",
        "rtsp://",
        "rtsp://-i/live",
        "rtsp://cam-/live",
        "rtsp://a..b/live",
        "rtsp://cam:0/",
        "rtsp://cam:65536/",
        "rtsp://cam:5x/",
        "rtsp://cam:99999999999/",
        "rtsp://good@evil@cam/",
        "rtsp://good/x@evil/",
        "rtsp://admin:1/2@cam/live",
        "rtsp://admin:1#2@cam/live",
        "rtsp://cam\\@evil/",
        "rtsp://cam/a b",
        "rtsp://cam/a\nb",
        "rtsp://cam/a\x00b",
        "rtsp://cam/%0d%0aX-Header:%201",
        "rtsp://cam/%00",
        "rtsp://cam/%zz",
        "rtsp://cam/%c3",
        "rtsp://c%61m/",
        "rtsp://bücher/live",
        "rtsp://cam。local/",
        "rtsp://127.0.0.1%2f.cam/",
        "rtsp://a:b%0a@cam/",
        "rtsp://a%3Ab:c@cam/",
        "rtsp://2130706433/",
        "rtsp://0x7f000001/",
        "rtsp://127.1/",
        "rtsp://0177.0.0.1/",
        "rtsp://1.2.3.4.5/",
        "rtsp://[::1]/",
        "rtsp://[fe80::1%25eth0]/",
        "rtsp://[1.2.3.4]/",
        "rtsp://[::ffff:127.0.0.1]/",
        "rtsp://127.0.0.1/",
        "http://localhost/",
        "http://camera.localhost/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://cam/?pwd=a&password=b",
        "http://a:b@cam/?pwd=c",
        "http://" + "a" * 500,
        "http://" + "a" * 121 + "@cam/",
        "usb:",
        "usb:/dev/sda",
        "usb:/dev/video",
        "usb:/dev/video0/../sda",
        "usb:/dev/v4l/by-id/..",
        "usb:/dev/v4l/by-id/x/../../../sda",
        "usb:-f",
        "usb:0?format=yuyv422",
        "usb:0?audio=1",
        "usb:0?fps=-1",
        "picamera:0?size=x",
        "picamera:8",
        "picamera:-1",
        "picamera:0;id",
        "simulated:vp9",
        "simulated:h264?size=1x1",
        "simulated:h264?size=641x480",
        "simulated:h264?size=9999x9999",
        "simulated:h264?fps=0",
        "simulated:h264?fps=1e3",
        "simulated:h264?audio=2",
        "simulated:h264?file=/etc/passwd",
        "simulated:h264,movie=/etc/passwd",
    ],
)
def test_it_refuses_in_a_sentence(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse(text)
    sentence = str(caught.value)
    assert sentence[0].isupper()
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://bob:topsecret@evil@cam/",
        "rtsp://bob:topsecret/x@cam/",
        "rtsp://bob:topsecret#x@cam/",
        "rtsp://bob:topsecret@bücher/",
        "rtsp://bob:topsecret%0a@cam/",
        "http://cam/?pwd=topsecret&password=b",
        "topsecret://cam",
    ],
)
def test_no_sentence_holds_a_password(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse(text)
    if not text.startswith("topsecret"):  # a scheme is repeated, a password is not
        assert "topsecret" not in str(caught.value)


ALLOWED = """
10.0.0.5 172.20.1.1 192.168.1.20 100.64.0.9 203.0.113.7 8.8.8.8 fd00::5 2606:4700::1111
::ffff:192.168.1.20
"""
REFUSED = """
127.0.0.1 127.8.8.8 ::1 0.0.0.0 0.1.2.3 :: 169.254.1.1 fe80::1 169.254.169.254 100.100.100.200
168.63.129.16 fd00:ec2::254 224.0.0.251 ff02::fb 255.255.255.255 240.0.0.1 ::ffff:127.0.0.1
64:ff9b::7f00:1 2002:7f00:1:: ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe nonsense
"""


@pytest.mark.parametrize("ip", ALLOWED.split())
def test_cameras_may_be_on_private_networks_and_the_internet(ip: str) -> None:
    assert str(check_ip(ip))


@pytest.mark.parametrize("ip", REFUSED.split())
def test_no_camera_may_be_at_these_addresses(ip: str) -> None:
    with pytest.raises(BadAddress):
        check_ip(ip)


def test_loopback_is_allowed_only_where_it_was_asked_for() -> None:
    assert parse("rtsp://127.0.0.1:8554/x", allow_loopback=True).port == 8554
    assert parse("http://localhost:8080/", allow_loopback=True).host == "localhost"
    assert str(check_ip("::1", allow_loopback=True)) == "::1"
    with pytest.raises(BadAddress, match="NVR_ALLOW_LOOPBACK_CAMERAS"):
        check_ip("127.0.0.1")
    with pytest.raises(BadAddress):
        check_ip("169.254.169.254", allow_loopback=True)


def test_the_place_always_says_the_port() -> None:
    assert parse("rtsp://192.168.1.20/x").place == "192.168.1.20:554"
    assert parse("http://[fd00::5]/").place == "[fd00::5]:80"
    assert parse("http://[fd00::5]/").netloc == "[fd00::5]"


def test_every_scheme_has_a_usual_port() -> None:
    assert set(addresses.DEFAULT_PORTS) == {"rtsp", "rtsps", "http", "https"}
