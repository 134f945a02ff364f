from django.urls import URLPattern, URLResolver, path

from stills import api

_captures = api.CaptureViewSet.as_view({"get": "list", "post": "create"})
_capture = api.CaptureViewSet.as_view({"get": "retrieve", "delete": "destroy"})
_cancel = api.CaptureViewSet.as_view({"post": "cancel"})
_use = api.CaptureViewSet.as_view({"post": "use_as_picture", "delete": "forget_picture"})
_analyses_of = api.CaptureViewSet.as_view({"get": "analyses", "post": "analyses"})
_pictures = api.CameraPictureViewSet.as_view({"get": "list"})
_analyses = api.AnalysisViewSet.as_view({"get": "list"})
_analysis = api.AnalysisViewSet.as_view({"get": "retrieve"})
_one = "api/v1/captures/<uuid:pk>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/captures/", _captures, name="capture-list"),
    path(f"{_one}/", _capture, name="capture-detail"),
    path(f"{_one}/cancel/", _cancel, name="capture-cancel"),
    path(f"{_one}/file", api.CaptureFileView.as_view(), name="capture-file"),
    path(f"{_one}/preview.jpg", api.PreviewView.as_view(), name="capture-preview"),
    path(f"{_one}/use-as-picture/", _use, name="capture-use-as-picture"),
    path(f"{_one}/analyses/", _analyses_of, name="capture-analyses"),
    path("api/v1/analyses/", _analyses, name="analysis-list"),
    path("api/v1/analyses/<uuid:pk>/", _analysis, name="analysis-detail"),
    path("api/v1/camera/", api.OwnCameraView.as_view(), name="own-camera"),
    path("api/v1/camera-pictures/", _pictures, name="camera-picture-list"),
    path(
        "api/v1/devices/<int:pk>/picture.jpg",
        api.DevicePictureView.as_view(),
        name="device-picture",
    ),
]
