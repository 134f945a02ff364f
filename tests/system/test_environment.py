import pytest

from nvr_project.environment import BadSetting, read_environment


def test_it_needs_no_variable_at_all() -> None:
    env = read_environment({})
    assert (env.port, env.bind, env.asgi_server) == (3443, "0.0.0.0", "daphne")
    assert env.registration is None, "the switch in the browser decides"
    assert env.is_redis_private


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NVR_PORT", "70000"),
        ("NVR_PORT", "https"),
        ("NVR_BIND", "everywhere"),
        ("NVR_REGISTRATION", "maybe"),
        ("NVR_SEGMENT_SECONDS", "0"),
        ("NVR_RETENTION_DAYS", "-1"),
        ("NVR_ASGI_SERVER", "gunicorn"),
        ("NVR_TRUSTED_NETWORKS", "192.168.1.0/24, home"),
        ("FFMPEG_CRF", "52"),
    ],
)
def test_it_names_the_variable_its_value_and_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_environment({name: value})
    sentence = str(caught.value)
    assert sentence.startswith(name)
    assert value in sentence
    assert sentence.endswith(".")


def test_it_keeps_a_password_out_of_its_complaint() -> None:
    with pytest.raises(BadSetting) as caught:
        read_environment({"DATABASE_URL": "mysql://roost:hunter2@db/roost"})
    assert "hunter2" not in str(caught.value)
    assert "postgres:" in str(caught.value)


@pytest.mark.parametrize("token", ["two words", "tokén", "line\n"])
def test_it_refuses_a_token_that_no_header_can_carry_without_showing_it(token: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_environment({"AUTH_TOKEN": token})
    assert token not in str(caught.value)
    assert read_environment({"AUTH_TOKEN": "a-Token_1.2~3"}).auth_token == "a-Token_1.2~3"


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("CAMERA_SOURCE", "0", "usb:0"),
        ("CAMERA_SOURCE", "/dev/video2", "/dev/video2"),
        ("CAMERA_SOURCE", "picamera:0", "picamera:0"),
        ("CAMERA_SOURCE", "", ""),
        ("RTSP_URL", " rtsp://u:p@192.168.1.20/live ", "rtsp://u:p@192.168.1.20/live"),
        ("HTTP_URL", "http://192.168.1.30:81/stream", "http://192.168.1.30:81/stream"),
    ],
)
def test_cameras_are_asked_for_by_their_address(name: str, value: str, address: str) -> None:
    assert getattr(read_environment({name: value}), name.lower()) == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAMERA_SOURCE", "webcam"),
        ("CAMERA_SOURCE", "/dev/sda"),
        ("RTSP_URL", "http://192.168.1.20/"),
        ("RTSP_URL", "rtsp://u:hunter2@127.0.0.1/live"),
        ("HTTP_URL", "file:///etc/passwd"),
        ("HTTP_URL", "http://u:hunter2@camera.local@evil.example/"),
    ],
)
def test_an_address_that_no_camera_has_is_refused_without_showing_it(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_environment({name: value})
    assert str(caught.value).startswith(name)
    assert "hunter2" not in str(caught.value)


def test_what_is_read_shows_no_log_in_of_a_camera() -> None:
    assert "hunter2" not in repr(read_environment({"RTSP_URL": "rtsp://u:hunter2@cam.local/"}))
    local = {"RTSP_URL": "rtsp://localhost:8554/a", "NVR_ALLOW_LOOPBACK_CAMERAS": "1"}
    assert read_environment(local).rtsp_url == "rtsp://localhost:8554/a"


def test_an_address_that_is_none_is_one_sentence() -> None:
    with pytest.raises(BadSetting, match="ANALYZE_URL must be an address"):
        read_environment({"ANALYZE_URL": "http://[12"})
