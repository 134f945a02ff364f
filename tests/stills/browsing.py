"""How tests ask the API of captures."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

import nvr_project.celery  # noqa: F401  the app of the settings, whose broker takes every task
from stills import services
from stills.models import Capture
from tests.factories import make_analysis

LIST = "/api/v1/captures/"
CAMERA = "/api/v1/camera/"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def post(client: Client, path: str = LIST, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def get(client: Client, path: str, **headers: str) -> Any:
    """The answer with its file closed, as the server does when it has sent it."""
    answer = client.get(path, headers=headers)
    answer.close()
    return answer


def one(capture: Capture) -> str:
    return f"{LIST}{capture.pk}/"


def make_seen(capture: Capture) -> None:
    """With an analysis and, of a camera, as that camera's picture."""
    make_analysis(capture)
    if capture.device:
        services.use_as_picture(capture)
