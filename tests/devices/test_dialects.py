"""Which system a path belongs to, and how that system says no."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from devices.dialects import Dialect, dialect_of, error_document


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/api/v1/devices/", Dialect.OWN),
        ("/api/docs/", Dialect.OWN),
        ("/api/camera/status", Dialect.STILLS),
        ("/API/Camera/Capture", Dialect.STILLS),
        ("/uploads/a.jpg", Dialect.STILLS),
        ("/api/videos", Dialect.CLIPS),
        ("/api/nonsense", Dialect.CLIPS),
        ("/api", Dialect.CLIPS),
        ("/videos/clip_1.mp4", Dialect.CLIPS),
        ("/images/a.dng", Dialect.NODE),
        ("/imagesque", Dialect.CAMERA),
        ("/status", Dialect.NODE),
        ("/Capture/", Dialect.NODE),
        ("/logs/old", Dialect.NODE),
        ("/captures", Dialect.CAMERA),
        ("/register", Dialect.CAMERA),
        ("/apis", Dialect.CAMERA),
        ("/", Dialect.CAMERA),
    ],
)
def test_a_path_decides_whose_client_is_asking(path: str, dialect: Dialect) -> None:
    assert dialect_of(path) is dialect


def test_each_system_words_an_error_its_own_way() -> None:
    shapes = {dialect: error_document(dialect, HTTPStatus.NOT_FOUND, "gone") for dialect in Dialect}
    assert shapes == {
        Dialect.OWN: {"detail": "gone"},
        Dialect.NODE: {"detail": "gone"},
        Dialect.STILLS: {"ok": False, "error": "gone"},
        Dialect.CLIPS: {"error": "gone"},
        Dialect.CAMERA: {"error": "Not Found", "message": "gone"},
    }
