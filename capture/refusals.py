"""Answers given before any view runs, in the shape of the system that the path belongs to."""

from __future__ import annotations

import json
from http import HTTPStatus

from django.conf import settings

from devices.dialects import dialect_of, error_document

TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def too_large(path: str) -> bytes:
    """The JSON body of a 413; `path` without its query."""
    return refusal(path, TOO_LARGE, f"The request body may have {settings.MAX_BODY_BYTES} bytes.")


def refusal(path: str, status: HTTPStatus, text: str) -> bytes:
    return json.dumps(error_document(dialect_of(path), status, text)).encode()
