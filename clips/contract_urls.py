"""The clip buffer's own paths: any case, with or without a trailing slash, never a redirect."""

from django.urls import URLPattern, re_path

from clips import contract_views as views
from devices.contract import caseless, contract_path

_VIDEOS = caseless("api/videos")

urlpatterns: list[URLPattern] = [
    contract_path("api/health", views.health),
    contract_path("api/videos", views.videos),
    contract_path("api/store", views.store),
    re_path(rf"^{_VIDEOS}/(?P<clip_id>[^/]+)/?$", views.video),
    re_path(rf"^{_VIDEOS}/(?P<clip_id>[^/]+)/{caseless('stream')}/?$", views.stream),
    re_path(rf"^{caseless('videos')}/(?P<name>[^/]+)$", views.static),
]
