"""Which of the older systems a path belongs to, and how that system words an error.

Clients of five systems meet on one server, and each knows only its own shape of an error. The
path alone decides, so that every part of the recorder decides alike: views, the answer to an
unknown path, and what is refused before any view runs.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import Any


class Dialect(Enum):
    OWN = "own"  # /api/v1/ and its documentation: DRF's shapes
    STILLS = "stills"  # the camera-capture server: {ok: false, error}
    CLIPS = "clips"  # the clip buffer: {error}
    NODE = "node"  # the camera node: {detail}
    CAMERA = "camera"  # the Pi Camera Server and everything else: {error: phrase, message}


_OWN = ("/api/v1/", "/api/schema", "/api/docs")
_STILLS = ("/api/camera/", "/api/analyze", "/uploads/")
_NODE = ("/capture", "/status", "/logs", "/images")


def dialect_of(path: str) -> Dialect:
    """`path` without its query, in any case."""
    path = path.lower()
    if path.startswith(_OWN):
        return Dialect.OWN
    if path.startswith(_STILLS):
        return Dialect.STILLS
    if path.startswith(("/api/", "/videos/")) or path == "/api":
        return Dialect.CLIPS
    if path in _NODE or path.startswith(tuple(f"{known}/" for known in _NODE)):
        return Dialect.NODE
    return Dialect.CAMERA


def error_document(dialect: Dialect, status: HTTPStatus, text: str) -> dict[str, Any]:
    """The JSON body of an error, ready for `json.dumps`."""
    match dialect:
        case Dialect.OWN | Dialect.NODE:
            return {"detail": text}
        case Dialect.STILLS:
            return {"ok": False, "error": text}
        case Dialect.CLIPS:
            return {"error": text}
        case Dialect.CAMERA:
            return {"error": status.phrase, "message": text}
