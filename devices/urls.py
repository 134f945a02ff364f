from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from devices import api, enrolment_api, source_api, views
from devices.contract import contract_path

_router = SimpleRouter(use_regex_path=False)
_router.register("devices", api.DeviceViewSet, basename="device")
_router.register("enrolment", enrolment_api.EnrolmentViewSet, basename="enrolment")
_router.register("sources", source_api.SourceViewSet, basename="source")
_router.register("nodes", source_api.NodeViewSet, basename="node")

urlpatterns: list[URLPattern | URLResolver] = [
    contract_path("register", views.register),
    contract_path("device/status", views.device_status),
    contract_path("device/config", views.device_config),
    path("api/v1/", include(_router.urls)),
]
