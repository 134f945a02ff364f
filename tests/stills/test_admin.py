"""Captures in Django's admin: deleting goes by the services, so files go too."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stills import files, services
from stills.models import Analysis, CameraPicture, Capture, NodeCamera, State
from tests.factories import make_analysis, make_capture, make_device, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
CAPTURES = "/admin/stills/capture/"


@pytest.fixture
def admin() -> Client:
    return logged_in(make_user(role="admin"))


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def delete(client: Client, *captures: Capture) -> str:
    body = {
        "action": "delete_selected",
        "_selected_action": [str(capture.pk) for capture in captures],
        "post": "yes",
    }
    return client.post(CAPTURES, body, follow=True).content.decode()


def names() -> list[str]:
    return [name for name, _ in files.listed()]


def test_every_page_of_it_opens_and_nothing_is_added_or_changed(admin: Client) -> None:
    capture = make_capture(make_device(), lease="a secret token")
    services.use_as_picture(capture)
    rows = {
        "capture": capture, "analysis": make_analysis(capture),
        "camerapicture": CameraPicture.objects.get(),
        "nodecamera": NodeCamera.objects.create(node_id="here", found={"cameras": []}),
    }  # fmt: skip
    for name, row in rows.items():
        here = f"/admin/stills/{name}/"
        for path in (here, f"{here}?q=x", f"{here}{row.pk}/change/", f"{here}{row.pk}/delete/"):
            answer = admin.get(path)
            assert answer.status_code == 200, path
            assert "a secret token" not in answer.content.decode()
        assert admin.get(f"{here}add/").status_code == 403
        assert admin.post(f"{here}{row.pk}/change/", {"filename": "x"}).status_code == 403
    assert Capture.objects.get().filename == capture.filename


def test_captures_are_found_by_name_camera_and_state(admin: Client) -> None:
    door, other = make_capture(make_device(name="Door")), make_capture(state=State.FAILED)
    for query in ({"q": str(door.filename)}, {"q": "Door"}, {"state__exact": "ready"}):
        page = admin.get(CAPTURES, query).content.decode()
        assert str(door.pk) in page
        assert str(other.pk) not in page


def test_a_list_costs_the_same_however_long_it_is(admin: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert admin.get(CAPTURES).status_code == 200
        return len(caught)

    make_capture(make_device())
    few = queries()
    for _ in range(5):
        make_capture(make_device(), content=None)
    assert queries() == few


def test_a_single_one_is_deleted_with_its_file_and_what_belongs_to_it(admin: Client) -> None:
    capture, other = make_capture(make_device()), make_capture()
    make_analysis(capture)
    services.use_as_picture(capture)
    admin.post(f"{CAPTURES}{capture.pk}/delete/", {"post": "yes"})
    assert list(Capture.objects.all()) == [other]
    assert names() == [other.filename]
    assert not files.preview_path(capture.pk).exists()
    assert not Analysis.objects.exists()
    assert not CameraPicture.objects.exists()


def test_several_are_deleted_with_their_files_after_a_question(admin: Client) -> None:
    captures = [make_capture() for _ in range(3)]
    body = {"action": "delete_selected", "_selected_action": [str(captures[0].pk)]}
    assert "Are you sure" in admin.post(CAPTURES, body).content.decode()
    assert len(names()) == 3
    assert "2 captures were deleted" in delete(admin, *captures[:2])
    assert names() == [captures[2].filename]


def test_one_that_the_disk_keeps_stays_and_that_is_said(admin: Client) -> None:
    kept, gone = make_capture(content=None), make_capture()
    (files.directory() / str(kept.filename)).mkdir()
    page = delete(admin, kept, gone)
    assert f"The disk refuses to delete {kept.filename}: " in page
    assert "1 captures were deleted" in page
    assert list(Capture.objects.all()) == [kept]
    answer = admin.post(f"{CAPTURES}{kept.pk}/delete/", {"post": "yes"}, follow=True)
    assert "The disk refuses" in answer.content.decode()
    assert "was deleted successfully" not in answer.content.decode()


def test_one_that_is_being_taken_is_given_up(admin: Client) -> None:
    delete(admin, make_capture(state=State.TAKING))
    assert not Capture.objects.exists()


def test_a_camera_that_is_deleted_leaves_its_captures(admin: Client) -> None:
    capture = make_capture(make_device(name="Door"))
    services.use_as_picture(capture)
    assert capture.device is not None
    capture.device.delete()
    assert (Capture.objects.get().device, Capture.objects.get().device_label) == (None, "Door")
    assert names() == [capture.filename]


def test_whoever_may_only_look_deletes_nothing() -> None:
    user = make_user()
    user.is_staff = True
    user.save()
    user.user_permissions.add(Permission.objects.get(codename="view_capture"))
    capture, client = make_capture(), logged_in(user)
    assert client.get(CAPTURES).status_code == 200
    assert client.post(f"{CAPTURES}{capture.pk}/delete/", {"post": "yes"}).status_code == 403
    delete(client, capture)
    assert names() == [capture.filename]
