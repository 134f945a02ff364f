from django.urls import URLPattern, URLResolver, include, path
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import SimpleRouter

from capture import agent_api, api, firmware_views, onvif_api, views

_router = SimpleRouter(use_regex_path=False)
_router.register("source-tests", api.SourceTestViewSet, basename="source-test")

_picture = api.SourceTestViewSet.as_view(
    {"get": "picture"}, renderer_classes=[api.Jpeg, JSONRenderer]
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/agent/sync/", agent_api.AgentSyncView.as_view(), name="agent-sync"),
    path("api/v1/onvif/", onvif_api.OnvifView.as_view(), name="onvif"),
    path("api/v1/onvif/streams/", onvif_api.OnvifStreamsView.as_view(), name="onvif-streams"),
    path("api/v1/source-tests/<int:pk>/picture.jpg", _picture, name="source-test-picture"),
    path("api/v1/firmware/download/<int:image_pk>/", firmware_views.download),
    path("api/v1/source-candidates/", api.CandidatesView.as_view(), name="source-candidates"),
    path("api/v1/devices/<int:device_pk>/snapshot.jpg", views.snapshot, name="device-snapshot"),
    path("api/v1/devices/<int:device_pk>/stream.mjpeg", views.stream, name="device-stream"),
    path("api/v1/", include(_router.urls)),
]
