"""Clips in Django's admin: deleting goes by the services, so files go too and locks hold."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clips.models import Clip, Share
from tests.clips.clips import LIST, browser, make_clip, names_on_disk
from tests.factories import make_device, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
CLIPS = "/admin/clips/clip/"


@pytest.fixture
def admin() -> Client:
    user: User = make_user(role="admin")
    return browser(user)


def test_every_page_of_it_opens(admin: Client) -> None:
    device = make_device()
    clip = make_clip(device)
    admin.post(f"{LIST}{clip.pk}/shares/", {}, content_type="application/json")
    admin.put(
        f"/api/v1/clip-windows/{device.pk}/", {"before_seconds": 5, "after_seconds": 5},
        content_type="application/json",
    )  # fmt: skip
    share = Share.objects.get()
    for path in (
        CLIPS, f"{CLIPS}{clip.pk}/change/", "/admin/clips/share/",
        f"/admin/clips/share/{share.pk}/change/", "/admin/clips/camerawindow/",
        "/admin/clips/clippolicy/", "/admin/clips/clippolicy/1/change/",
    ):  # fmt: skip
        answer = admin.get(path)
        assert answer.status_code == 200, path
        assert share.token_hash not in answer.content.decode()
    assert admin.get(f"{CLIPS}add/").status_code == 403


def test_deleting_removes_the_files_and_a_locked_one_stays(admin: Client) -> None:
    device = make_device()
    locked, other = make_clip(device, is_locked=True), make_clip(device)
    body = {
        "action": "delete_selected",
        "_selected_action": [str(locked.pk), str(other.pk)],
        "post": "yes",
    }
    answer = admin.post(CLIPS, body, follow=True)
    assert "is locked" in answer.content.decode()
    assert [clip.pk for clip in Clip.objects.all()] == [locked.pk]
    assert len(names_on_disk()) == 3


def test_a_single_one_is_deleted_with_its_files(admin: Client) -> None:
    clip = make_clip(make_device())
    admin.post(f"{CLIPS}{clip.pk}/delete/", {"post": "yes"})
    assert not Clip.objects.exists()
    assert names_on_disk() == []


def test_its_words_are_edited_and_its_facts_are_not(admin: Client) -> None:
    clip = make_clip(make_device())
    body = {"name": "Parcel", "note": "", "is_locked": "on", "size_bytes": "7"}
    assert admin.post(f"{CLIPS}{clip.pk}/change/", body).status_code == 302
    clip.refresh_from_db()
    assert (clip.name, clip.is_locked, clip.size_bytes) == ("Parcel", True, 10)


def test_a_link_is_withdrawn(admin: Client) -> None:
    clip = make_clip(make_device())
    admin.post(f"{LIST}{clip.pk}/shares/", {}, content_type="application/json")
    share = Share.objects.get()
    admin.post("/admin/clips/share/", {"action": "withdraw", "_selected_action": [share.pk]})
    share.refresh_from_db()
    assert share.revoked_at is not None
