from django.urls import URLPattern, URLResolver, path

from devices.contract import contract_path
from recordings import api

_list = api.RecordingViewSet.as_view({"get": "list"})
_one = api.RecordingViewSet.as_view(
    {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}
)

urlpatterns: list[URLPattern | URLResolver] = [
    contract_path("recordings", api.device_recordings),
    path("api/v1/recordings/", _list, name="recording-list"),
    path("api/v1/recordings/<int:pk>/", _one, name="recording-detail"),
    path("api/v1/recordings/<int:pk>/file", api.RecordingFileView.as_view(), name="recording-file"),
    # What playlists name: FFmpeg's HLS reader refuses segments without a known extension.
    path("api/v1/recordings/<int:pk>/file.mp4", api.RecordingFileView.as_view(), name="segment"),
    path("api/v1/devices/<int:pk>/playlist.m3u8", api.PlaylistView.as_view(), name="playlist"),
    path("api/v1/timeline/", api.TimelineView.as_view(), name="timeline"),
    path("api/v1/gaps/", api.GapsView.as_view(), name="gaps"),
    path("api/v1/calendar/", api.CalendarView.as_view(), name="calendar"),
]
