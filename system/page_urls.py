"""Addresses of the pages; each can be shared, its query string holds what is shown."""

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from system.views import CameraPage, ChangePassword, LogIn, Page

urlpatterns: list[URLPattern] = [
    path("", Page.as_view(template_name="system/live.html", section="live"), name="live"),
    path(
        "timeline",
        Page.as_view(template_name="system/timeline.html", section="timeline"),
        name="timeline",
    ),
    path(
        "cameras",
        Page.as_view(template_name="system/cameras.html", section="cameras"),
        name="cameras",
    ),
    # Not /recordings: that path belongs to the cameras (the older clients' API), with their key and their JSON.
    path(
        "library",
        Page.as_view(template_name="system/library.html", section="timeline"),
        name="library",
    ),
    path("clips", Page.as_view(template_name="system/clips.html", section="clips"), name="clips"),
    # The gallery with one clip open; what is in it, and whether it may be seen, the API says.
    path(
        "clips/<uuid:pk>",
        Page.as_view(template_name="system/clips.html", section="clips"),
        name="clip",
    ),
    # `?capture=<id>` opens one, `?view=camera` says how this machine's camera is.
    path(
        "captures",
        Page.as_view(template_name="system/captures.html", section="captures"),
        name="captures",
    ),
    path(
        "cameras/add",
        Page.as_view(template_name="system/add_camera.html", section="cameras"),
        name="add-camera",
    ),
    path("cameras/<int:pk>", CameraPage.as_view(), name="camera"),
    path(
        "system", Page.as_view(template_name="system/system.html", section="system"), name="system"
    ),
    path(
        "settings",
        Page.as_view(template_name="system/settings.html", section="system"),
        name="settings",
    ),
    path(
        "firmware",
        Page.as_view(template_name="system/firmware.html", section="system"),
        name="firmware",
    ),
    path("login/", LogIn.as_view(), name="login"),
    path("password", ChangePassword.as_view(), name="password"),
    path(
        "password/changed",
        Page.as_view(template_name="system/password_changed.html", section="system"),
        name="password-changed",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]
