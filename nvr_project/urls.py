"""Every path of the product: pages, the product's API, and the older clients' own paths."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

admin.autodiscover()  # not when Django starts: only who serves pages needs it

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("devices.urls")),
    path("", include("recordings.urls")),
    path("", include("capture.urls")),
    path("", include("clips.urls")),
    path("", include("clips.contract_urls")),
    path("", include("stills.urls")),
    path("", include("stills.contract_urls")),
    path("", include("stills.node_urls")),
    path("", include("system.urls")),
    path("", include("system.page_urls")),
]

handler400 = "nvr_project.errors.bad_request"
handler404 = "nvr_project.errors.not_found"
handler500 = "nvr_project.errors.server_error"
