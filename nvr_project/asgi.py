"""The ASGI application, the same for Daphne and uvicorn."""

import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

_http = get_asgi_application()

import nvr_project.celery  # noqa: E402, F401
from capture.bodies import BodyLimit  # noqa: E402
from capture.lifecycle import lifespan  # noqa: E402
from capture.plain import PlainPorts  # noqa: E402
from capture.routing import websocket_urlpatterns  # noqa: E402
from system.programs import ProgramsHandler, TwoChains  # noqa: E402

_websocket: Any = URLRouter(websocket_urlpatterns)  # typed for other frameworks' messages

application = ProtocolTypeRouter(
    {
        "http": PlainPorts(BodyLimit(TwoChains(programs=ProgramsHandler(), everyone=_http))),
        "websocket": PlainPorts(_websocket),
        "lifespan": lifespan,
    }
)
