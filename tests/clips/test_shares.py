"""Links that show one clip to whoever has them."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from clips.models import Clip, Share
from devices.models import Device
from devices.redaction import RedactingFilter, redact
from tests.clips.clips import LIST, browser, get, make_clip
from tests.factories import make_device, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def device() -> Device:
    return make_device(name="Front door")


@pytest.fixture
def operator(device: Device) -> Client:
    return browser(make_user(role="operator", cameras=[device]))


def share(operator: Client, clip: Clip, **body: Any) -> str:
    """The path of a new link."""
    answer = operator.post(f"{LIST}{clip.pk}/shares/", body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    url: str = answer.json()["url"]
    return urlsplit(url).path


def test_whoever_has_the_link_sees_that_clip_and_nothing_else(
    operator: Client, device: Device
) -> None:
    clip, other = make_clip(device, name="Parcel <b>"), make_clip(device, name="Something else")
    path = share(operator, clip)
    stranger = Client()
    page = stranger.get(path)
    assert page.status_code == 200
    text = page.content.decode()
    assert "Parcel &lt;b&gt;" in text
    assert "Something else" not in text
    assert str(clip.pk) not in text
    assert f"{path}clip.mp4" in text
    answer = get(stranger, f"{path}clip.mp4", Range="bytes=0-3")
    assert (answer.status_code, answer["Content-Range"]) == (206, "bytes 0-3/10")
    assert get(stranger, f"{path}picture.jpg").status_code == 200
    assert stranger.get(f"{LIST}{other.pk}/").status_code in (401, 403)
    assert not stranger.cookies


def test_the_page_tells_nobody_and_is_found_by_nobody(operator: Client, device: Device) -> None:
    path = share(operator, make_clip(device))
    for answer in (Client().get(path), get(Client(), f"{path}clip.mp4")):
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer["X-Robots-Tag"]
        assert "no-store" in answer["Cache-Control"] or "no-cache" in answer["Cache-Control"]
    policy = Client().get(path)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "connect-src" not in policy


def test_a_link_is_kept_as_a_hash_and_shown_once(operator: Client, device: Device) -> None:
    clip = make_clip(device)
    path = share(operator, clip)
    token = path.split("/")[2]
    assert len(token) >= 43  # 256 bits
    assert token not in str(Share.objects.values().get())
    listed = operator.get(f"{LIST}{clip.pk}/shares/").json()["results"]
    assert token not in str(listed)
    assert set(listed[0]) == {"id", "created_at", "created_by", "expires_at"}


@pytest.mark.parametrize(
    ("hours", "is_possible"), [(1, True), (720, True), (0, False), (721, False)]
)
def test_a_link_works_for_an_hour_to_thirty_days(
    operator: Client, device: Device, hours: int, is_possible: bool
) -> None:
    clip = make_clip(device)
    answer = operator.post(
        f"{LIST}{clip.pk}/shares/", {"hours": hours}, content_type="application/json"
    )
    assert answer.status_code == (201 if is_possible else 400)
    if is_possible:
        made = Share.objects.get()
        assert made.expires_at - made.created_at == timedelta(hours=hours)
    else:
        assert "1 to 720 hours" in answer.json()["hours"][0]


def test_a_link_that_has_expired_says_so(operator: Client, device: Device) -> None:
    clip = make_clip(device)
    path = share(operator, clip, hours=1)
    Share.objects.update(expires_at=timezone.now())
    page = Client().get(path)
    assert page.status_code == 410
    assert clip.name not in page.content.decode()
    assert Client().get(f"{path}clip.mp4").status_code == 404
    assert Client().get(f"{path}picture.jpg").status_code == 404
    assert operator.get(f"{LIST}{clip.pk}/shares/").json()["count"] == 0


def test_a_link_can_be_withdrawn(operator: Client, device: Device) -> None:
    clip = make_clip(device)
    path = share(operator, clip)
    other = share(operator, clip)
    pk = operator.get(f"{LIST}{clip.pk}/shares/").json()["results"][1]["id"]
    one = f"{LIST}{clip.pk}/shares/{pk}/"
    assert operator.delete(one).status_code == 204
    assert operator.delete(one).status_code == 404
    assert Client().get(path).status_code == 410
    assert Client().get(other).status_code == 200


def test_the_links_of_another_clip_are_not_withdrawn(operator: Client, device: Device) -> None:
    clip, other = make_clip(device), make_clip(device)
    path = share(operator, clip)
    pk = Share.objects.get().pk
    assert operator.delete(f"{LIST}{other.pk}/shares/{pk}/").status_code == 404
    assert Client().get(path).status_code == 200


def test_a_link_ends_with_its_clip(operator: Client, device: Device) -> None:
    clip = make_clip(device)
    path = share(operator, clip)
    operator.delete(f"{LIST}{clip.pk}/")
    assert Client().get(path).status_code == 404
    assert not Share.objects.exists()


@pytest.mark.parametrize("token", ["x", "x" * 43, "%00", "..%2f..", "ü"])
def test_a_link_that_never_was_is_not_found(device: Device, token: str) -> None:
    make_clip(device)
    assert Client().get(f"/shared/{token}/").status_code == 404
    assert Client().get(f"/shared/{token}/clip.mp4").status_code == 404


def test_only_a_ready_clip_can_be_shared(operator: Client, device: Device) -> None:
    clip = make_clip(device, state="recording")
    answer = operator.post(f"{LIST}{clip.pk}/shares/", {}, content_type="application/json")
    assert answer.status_code == 409


def test_a_link_changes_nothing(operator: Client, device: Device) -> None:
    path = share(operator, make_clip(device))
    assert Client().post(path).status_code == 405
    assert Client().delete(f"{path}clip.mp4").status_code == 405


def test_the_token_is_in_no_log(operator: Client, device: Device) -> None:
    path = share(operator, make_clip(device))
    token = path.split("/")[2]
    for line in (f'"GET {path} HTTP/1.1" 200', f"Gone: {path}", f"10.0.0.7 GET {path}clip.mp4 206"):
        record = logging.LogRecord("capture.access", 20, "", 0, "%s", (line,), None)
        assert RedactingFilter().filter(record)
        assert token not in record.getMessage()
        assert "/shared/[hidden]" in record.getMessage()
    assert redact("/shared/css") == "/shared/css"
    assert re.search(r"^[\w-]+$", token)
