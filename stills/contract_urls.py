"""The camera-capture server's own paths: any case, with or without a trailing slash, never a redirect.

The name of a file is taken as it is.
"""

from django.urls import URLPattern, re_path

from devices.contract import caseless, contract_path
from stills import contract_views as views

urlpatterns: list[URLPattern] = [
    contract_path("api/camera/status", views.status),
    contract_path("api/camera/capture", views.capture),
    contract_path("api/camera/capture-and-analyze", views.capture_and_analyze),
    contract_path("api/analyze", views.analyze),
    re_path(rf"^{caseless('uploads')}/(?P<name>[^/]+)$", views.upload),
]
