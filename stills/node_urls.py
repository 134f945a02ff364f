"""The camera node's own paths: any case, with or without a trailing slash, never a redirect."""

from django.urls import URLPattern, re_path

from devices.contract import caseless, contract_path
from stills import node_views as views

urlpatterns: list[URLPattern] = [
    contract_path("capture", views.capture),
    contract_path("images", views.images),
    contract_path("status", views.status),
    contract_path("logs", views.logs),
    re_path(rf"^{caseless('images')}/(?P<name>[^/]+)/?$", views.image),
]
