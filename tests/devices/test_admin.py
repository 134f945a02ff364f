"""Django's admin for this app's rows: every page opens, and nothing orphans a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices import services, sources
from devices.firmware_models import FirmwareImage, Rollout, RolloutDevice, UpdateKey
from devices.models import (
    ApiToken,
    Device,
    DeviceEvent,
    DeviceKey,
    Enrolment,
    EnrolmentPolicy,
    Node,
    Source,
    TelemetrySample,
)
from devices.sealing import seal
from tests.factories import (
    make_device,
    make_key,
    make_recording,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db
FIRMWARE = [UpdateKey, FirmwareImage, Rollout]
MODELS = [
    Device, DeviceKey, TelemetrySample, DeviceEvent, EnrolmentPolicy, ApiToken, Source, Node, *FIRMWARE,
]  # fmt: skip
WITHOUT_ADD = [one for one in MODELS if one is not EnrolmentPolicy]


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(make_user(role="admin"))
    return client


@pytest.fixture
def camera() -> Device:
    """One camera with a row of everything."""
    device = make_device(name="Door", enrolment=Enrolment.PENDING)
    make_key(device, enrolment=Enrolment.PENDING)
    TelemetrySample.objects.create(device=device, at=timezone.now())
    services.record_event(device_pk=device.pk, kind="connected")
    services.update_policy(mode="approve")
    make_token(make_user(), name="a script")
    Source.objects.create(
        device=device,
        node=sources.local_node(),
        kind="rtsp",
        url="rtsp://cam.example/live",
        sealed_password=seal("canary"),
    )
    UpdateKey.objects.create(name="workshop", short_id="0" * 16)
    image = FirmwareImage.objects.create(board="wood", version="1.3.0", size_bytes=1)
    rollout = Rollout.objects.create(image=image, board=image.board, stages=[{"percent": 100}])
    RolloutDevice.objects.create(rollout=rollout, device=device, stage=0)
    return device


def page(model: Any, name: str, *args: object) -> str:
    return reverse(f"admin:devices_{model._meta.model_name}_{name}", args=args)


def act(admin: Client, model: Any, action: str, pk: int, **more: str) -> Any:
    data = {"action": action, "_selected_action": str(pk), **more}
    return admin.post(page(model, "changelist"), data, follow=True)


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_every_row_opens(admin: Client, model: Any) -> None:
    changelist = admin.get(
        page(model, "changelist"), {"q": "o"} if site.get_model_admin(model).search_fields else {}
    )
    assert changelist.status_code == 200
    assert admin.get(page(model, "changelist")).status_code == 200
    row = model.objects.get()
    assert admin.get(page(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", WITHOUT_ADD)
def test_what_has_a_secret_or_is_written_by_cameras_is_not_added_by_hand(
    admin: Client, model: Any
) -> None:
    assert admin.get(page(model, "add")).status_code == 403


@pytest.mark.usefixtures("camera", "data_dir")
def test_a_source_is_switched_off_and_tried_again_by_an_action(admin: Client) -> None:
    source = Source.objects.get()
    act(admin, Source, "switch_off", source.pk)
    source.refresh_from_db()
    assert (source.is_enabled, source.version) == (False, 2)
    act(admin, Source, "try_again", source.pk)
    source.refresh_from_db()
    assert (source.is_enabled, source.version, source.state) == (True, 3, "connecting")
    assert admin.post(page(Source, "delete", source.pk), {"post": "yes"}).status_code == 403


def test_a_node_goes_only_without_cameras(admin: Client, camera: Device) -> None:
    node, key = sources.create_node(name="Garage")
    Source.objects.update(node=node)
    act(admin, Node, "delete_selected", node.pk, post="yes")
    assert sources.node_of(key) is not None
    Source.objects.update(node=sources.local_node())
    act(admin, Node, "delete_selected", node.pk, post="yes")
    assert sources.node_of(key) is None
    act(admin, Node, "delete_selected", sources.local_node().pk, post="yes")
    assert Node.objects.get().is_local


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("model", [DeviceKey, TelemetrySample, DeviceEvent, ApiToken, Source])
def test_history_is_not_rewritten(admin: Client, model: Any) -> None:
    row = model.objects.get()
    assert admin.post(page(model, "change", row.pk), {"enrolment": "approved"}).status_code == 403


@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("model", FIRMWARE)
def test_firmware_is_deleted_where_its_file_goes_too(admin: Client, model: Any) -> None:
    row = model.objects.get()
    assert admin.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert admin.post(page(model, "change", row.pk), {"name": "other"}).status_code == 403


@pytest.mark.usefixtures("camera")
def test_a_rollout_shows_its_cameras(admin: Client) -> None:
    html = admin.get(page(Rollout, "change", Rollout.objects.get().pk)).content.decode()
    assert "Door" in html
    assert "Waits for its turn" in html


@pytest.mark.usefixtures("camera")
def test_no_page_shows_a_secret(admin: Client) -> None:
    secrets = [
        DeviceKey.objects.get().key_hash,
        ApiToken.objects.get().digest,
        Node.objects.get().key_hash,
        Source.objects.get().sealed_password,
        "canary",
    ]
    for model in (DeviceKey, ApiToken, Node, Source):
        for path in (page(model, "changelist"), page(model, "change", model.objects.get().pk)):
            html = admin.get(path).content.decode()
            assert not any(secret in html for secret in secrets)


def test_the_list_of_cameras_costs_the_same_for_one_and_for_many(
    admin: Client, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(20):
        make_key(make_device())
    with django_assert_max_num_queries(7):
        assert admin.get(page(Device, "changelist")).status_code == 200


@pytest.mark.parametrize(("answer", "count"), [("yes", 1), ("no", 1), ("", 2)])
def test_the_inactive_can_be_picked_out(admin: Client, answer: str, count: int) -> None:
    make_device()
    make_device(last_seen_at=timezone.now() - timedelta(days=2))
    changelist = admin.get(page(Device, "changelist"), {"inactive": answer} if answer else {})
    assert changelist.context["cl"].result_count == count


@pytest.mark.parametrize("model", [Device, DeviceKey])
def test_a_camera_is_approved_by_an_action(admin: Client, camera: Device, model: Any) -> None:
    act(admin, model, "approve", model.objects.get().pk)
    camera.refresh_from_db()
    assert camera.enrolment == Enrolment.APPROVED
    assert DeviceKey.objects.get().enrolment == Enrolment.APPROVED


def test_a_key_is_revoked_by_an_action_and_never_deleted(admin: Client, camera: Device) -> None:
    key = make_key(camera)
    newest = DeviceKey.objects.order_by("-pk")[0]
    act(admin, DeviceKey, "delete_selected", newest.pk, post="yes")
    assert services.identify(key) is not None
    act(admin, DeviceKey, "revoke", newest.pk)
    assert services.identify(key) is None
    assert DeviceKey.objects.filter(pk=newest.pk).exists()
    assert admin.post(page(DeviceKey, "delete", newest.pk), {"post": "yes"}).status_code == 403


def test_a_camera_with_recordings_is_not_deleted(admin: Client, camera: Device) -> None:
    make_recording(camera)
    admin.post(page(Device, "delete", camera.pk), {"post": "yes"})
    act(admin, Device, "delete_selected", camera.pk, post="yes")
    assert Device.objects.exists()


def test_a_camera_without_recordings_is_deleted(admin: Client, camera: Device) -> None:
    admin.post(page(Device, "delete", camera.pk), {"post": "yes"})
    assert not Device.objects.exists()
    other = make_device()
    make_key(other)
    act(admin, Device, "delete_selected", other.pk, post="yes")
    assert not Device.objects.exists()
