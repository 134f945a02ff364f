from django.urls import URLPattern, URLResolver, path

from clips import api, views

_clips = api.ClipViewSet.as_view({"get": "list", "post": "create"})
_clip = api.ClipViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})
_retry = api.ClipViewSet.as_view({"post": "retry"})
_shares = api.ClipViewSet.as_view({"get": "shares", "post": "share"})
_share = api.ClipViewSet.as_view({"delete": "revoke_share"})
_one = "api/v1/clips/<uuid:pk>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/clips/", _clips, name="clip-list"),
    path(f"{_one}/", _clip, name="clip-detail"),
    path(f"{_one}/file", api.ClipFileView.as_view(), name="clip-file"),
    path(f"{_one}/file.mp4", api.ClipFileView.as_view(), name="clip-file-mp4"),
    path(f"{_one}/thumbnail.jpg", api.ThumbnailView.as_view(), name="clip-thumbnail"),
    path(f"{_one}/retry/", _retry, name="clip-retry"),
    path(f"{_one}/shares/", _shares, name="clip-shares"),
    path(f"{_one}/shares/<int:share_pk>/", _share, name="clip-share"),
    path("api/v1/clip-windows/<int:device_pk>/", api.WindowView.as_view(), name="clip-window"),
    path("shared/<str:token>/", views.shared, name="shared-clip"),
    path("shared/<str:token>/clip.mp4", views.shared_file, {"suffix": ".mp4"}, name="shared-video"),
    path(
        "shared/<str:token>/picture.jpg", views.shared_file, {"suffix": ".jpg"},
        name="shared-picture",
    ),
]  # fmt: skip
