from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from devices import api, enrolment_api, firmware_api, source_api, views
from devices.contract import contract_path

_router = SimpleRouter(use_regex_path=False)
_router.register("devices", api.DeviceViewSet, basename="device")
_router.register("enrolment", enrolment_api.EnrolmentViewSet, basename="enrolment")
_router.register("sources", source_api.SourceViewSet, basename="source")
_router.register("nodes", source_api.NodeViewSet, basename="node")
_router.register("firmware/images", firmware_api.FirmwareImageViewSet, basename="firmware-image")
_router.register("firmware/keys", firmware_api.UpdateKeyViewSet, basename="update-key")
_router.register("firmware/cameras", firmware_api.FirmwareCameraViewSet, basename="firmware-camera")
_router.register("firmware/rollouts", firmware_api.RolloutViewSet, basename="rollout")

urlpatterns: list[URLPattern | URLResolver] = [
    contract_path("register", views.register),
    contract_path("device/status", views.device_status),
    contract_path("device/config", views.device_config),
    path("api/v1/", include(_router.urls)),
]
