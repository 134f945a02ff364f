from typing import Any

from django.urls import re_path

from capture.consumers import camera, live, nowhere

# The older server ignored case and a trailing slash; so does this door. (ASGI applications
# where Django's types want views: that is how Channels routes.)
websocket_urlpatterns: list[Any] = [
    re_path(r"^(?i:ws)/?$", camera),  # type: ignore[arg-type]
    re_path(r"^ws/live/(?P<device_pk>\d{1,9})/?$", live),  # type: ignore[arg-type]
    re_path(r"", nowhere),  # type: ignore[arg-type]
]
