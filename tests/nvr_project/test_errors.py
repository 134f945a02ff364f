"""What no view answers is answered in the shape that the asking client can read."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from devices.contract import HEADERS
from nvr_project import errors

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
Handler = Callable[[HttpRequest], HttpResponse]
HANDLERS: list[tuple[int, Handler]] = [
    (400, lambda request: errors.bad_request(request, SuspiciousOperation("tampered"))),
    (404, lambda request: errors.not_found(request, Exception("nowhere"))),
    (500, errors.server_error),
]


@pytest.mark.parametrize(("status", "handler"), HANDLERS)
class TestShapes:
    def test_the_products_api_answers_with_a_detail(self, status: int, handler: Handler) -> None:
        response = handler(RequestFactory().get("/api/v1/x/", headers=BROWSER))
        assert response.status_code == status
        assert list(json.loads(response.content)) == ["detail"]

    def test_the_clip_buffers_clients_get_an_error(self, status: int, handler: Handler) -> None:
        response = handler(RequestFactory().get("/api/x", headers=BROWSER))
        assert response.status_code == status
        assert list(json.loads(response.content)) == ["error"]

    def test_the_camera_nodes_clients_get_a_detail(self, status: int, handler: Handler) -> None:
        headers = {**BROWSER, "Origin": "http://hub.example"}
        response = handler(RequestFactory().get("/images/a/b", headers=headers))
        assert response.status_code == status
        assert list(json.loads(response.content)) == ["detail"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"

    @pytest.mark.django_db
    def test_a_browser_gets_a_page(self, status: int, handler: Handler) -> None:
        response = handler(RequestFactory().get("/x", headers=BROWSER))
        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/html")

    def test_everyone_else_gets_what_cameras_read(self, status: int, handler: Handler) -> None:
        response = handler(RequestFactory().post("/x", headers={"Accept": "*/*"}))
        assert response.status_code == status
        assert list(json.loads(response.content)) == ["error", "message"]
        assert {name: response.headers[name] for name in HEADERS} == HEADERS

    def test_nothing_of_the_cause_is_told(self, status: int, handler: Handler) -> None:
        response = handler(RequestFactory().get("/api/v1/x/"))
        assert b"tampered" not in response.content
