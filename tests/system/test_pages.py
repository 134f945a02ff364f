"""Pages without a browser: who gets in, what the headers say, what is said when something fails."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views.defaults import server_error

from devices.models import Device
from system.middleware import content_security_policy

pytestmark = pytest.mark.django_db

NAMES = (
    "live",
    "timeline",
    "clips",
    "captures",
    "library",
    "cameras",
    "add-camera",
    "system",
    "settings",
    "firmware",
)


@pytest.fixture
def viewer() -> User:
    return User.objects.create_user("viewer", password="a viewer's password")


def _device(number: int) -> Device:
    mac = f"AA:BB:CC:00:00:{number:02X}"
    return Device.objects.create(mac=mac, registered_as=mac, name=f"Camera {number}")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_sends_strangers_to_the_log_in_and_back(client: Client, name: str) -> None:
    answer = client.get(reverse(name))
    assert answer.status_code == 302
    assert answer["Location"] == f"/login/?next={reverse(name)}"


def test_after_a_wrong_password_the_name_stays_and_the_password_has_the_focus(
    client: Client, viewer: User
) -> None:
    def focused(text: str) -> list[str]:
        return [tag for tag in text.split("<input")[1:] if "autofocus" in tag.split(">")[0]]

    (first,) = focused(client.get("/login/").text)
    assert 'name="username"' in first
    answer = client.post("/login/", {"username": viewer.get_username(), "password": "wrong"})
    (second,) = focused(answer.text)
    assert 'name="password"' in second
    assert f'value="{viewer.get_username()}"' in answer.text


def test_only_who_asked_for_some_page_is_told_so_before_the_log_in(client: Client) -> None:
    told = "Log in to go on"
    assert told in client.get("/login/?next=/clips").text
    assert told not in client.get("/login/?next=/").text


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_one_shell_for_everyone_who_is_logged_in(
    client: Client, viewer: User, name: str
) -> None:
    client.force_login(viewer)
    answer = client.get(reverse(name))
    assert answer.status_code == 200
    assert 'aria-current="page"' in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert "csrftoken" in answer.cookies


def test_the_address_of_a_clip_is_the_gallery_and_asks_who_is_there(
    client: Client, viewer: User
) -> None:
    """Whether there is such a clip the API says, to the page: a stale link leads to the others."""
    path = reverse("clip", args=["3f1c9a52-6f1e-4a55-9b7e-0e6d1f0a2b3c"])
    assert client.get(path)["Location"] == f"/login/?next={path}"
    client.force_login(viewer)
    assert 'id="clips"' in client.get(path).text


def test_a_camera_of_others_is_not_found(client: Client, viewer: User) -> None:
    own, foreign = _device(1), _device(2)
    own.people.add(viewer)
    client.force_login(viewer)
    assert client.get(f"/cameras/{own.pk}").status_code == 200
    assert client.get(f"/cameras/{foreign.pk}", headers={"accept": "text/html"}).status_code == 404


def test_a_name_with_markup_is_shown_as_text(client: Client, admin_user: User) -> None:
    device = _device(1)
    device.name = "<script>alert(1)</script>"
    device.save()
    client.force_login(admin_user)
    answer = client.get(f"/cameras/{device.pk}")
    assert device.name not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_pages_write_no_script_and_no_style_into_their_html(
    client: Client, admin_user: User
) -> None:
    client.force_login(admin_user)
    for name in NAMES:
        text = client.get(reverse(name)).text
        assert "<style" not in text
        assert " style=" not in text
        assert " on" + "click=" not in text
        assert all("src=" in part.split(">")[0] for part in text.split("<script")[1:])


def test_every_page_carries_a_policy_that_allows_only_its_own_host(client: Client) -> None:
    policy = client.get("/login/", headers={"host": "roost.local:3443"})["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "wss://roost.local:3443" in policy
    assert "unsafe" not in policy


def test_a_host_header_cannot_write_into_the_policy(client: Client) -> None:
    answer = client.get("/login/", headers={"host": "evil; script-src *"})
    policy = answer.get("Content-Security-Policy", "script-src 'self'")
    assert "script-src *" not in policy


def test_answers_to_cameras_carry_no_policy(client: Client) -> None:
    assert "Content-Security-Policy" not in client.get("/health")


def test_only_the_admin_and_the_api_page_may_write_styles() -> None:
    def policy(path: str) -> str:
        return content_security_policy(path=path, host="h")

    assert "'unsafe-inline'" not in policy("/")
    assert "style-src 'self' 'unsafe-inline'" in policy("/admin/")
    assert "script-src 'self';" in policy("/admin/")
    assert "script-src 'self' 'unsafe-inline'" in policy("/api/docs/")


def test_a_form_without_its_token_is_refused_in_words(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/login/", {"username": "admin", "password": "password"})
    assert answer.status_code == 403
    assert "Please send that again" in answer.text


def test_the_error_page_needs_nothing_that_could_be_broken() -> None:
    answer = server_error(RequestFactory().get("/"))  # no session, no user
    assert answer.status_code == 500
    assert "Recording is a separate path and goes on" in answer.content.decode()


def test_a_logged_in_person_is_not_asked_again(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert client.get("/login/")["Location"] == "/"


def test_logging_out_leads_to_the_log_in(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_the_api_page_sends_strangers_to_the_log_in(client: Client, viewer: User) -> None:
    assert client.get("/api/docs/")["Location"] == "/login/?next=/api/docs/"
    client.force_login(viewer)
    assert client.get("/api/docs/").status_code == 200


@pytest.mark.parametrize("is_staff", [False, True])
def test_only_administrators_are_led_to_the_settings(
    client: Client, viewer: User, is_staff: bool
) -> None:
    User.objects.update(is_staff=is_staff)
    client.force_login(viewer)
    assert ('href="/settings"' in client.get("/system").text) is is_staff
    assert ('id="people"' in client.get("/settings").text) is is_staff


def test_everybody_can_log_out_and_change_the_password_where_there_is_no_rail(
    client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    card = client.get("/system").text.partition('aria-labelledby="account"')[2]
    assert 'action="/logout/"' in card
    assert f'href="{reverse("password")}"' in card


def test_a_person_changes_the_own_password_and_other_browsers_are_logged_out(
    client: Client, viewer: User
) -> None:
    elsewhere = Client()
    elsewhere.force_login(viewer)
    client.force_login(viewer)
    new = {"new_password1": "seven herons wade", "new_password2": "seven herons wade"}
    wrong = client.post("/password", {"old_password": "a guess", **new})
    assert "That is not your present password." in wrong.text
    right = {"old_password": "a viewer's password", **new}
    unlike = client.post("/password", {**right, "new_password2": "seven herons"})
    assert "These two are not the same." in unlike.text
    done = client.post("/password", right, follow=True)
    assert "Your password is changed" in done.text
    assert client.get("/system").status_code == 200
    assert elsewhere.get("/system").status_code == 302
    viewer.refresh_from_db()
    assert viewer.check_password("seven herons wade")


def test_a_failed_log_in_is_logged_in_words_without_what_was_typed(
    client: Client, viewer: User, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/login/", {"username": "my secret by mistake", "password": "x"})
    told = [record.getMessage() for record in caplog.records if record.name == "system.views"]
    assert told == ["Somebody failed to log in from 127.0.0.1."]
