"""Every camera of these tests is on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings


@pytest.fixture(autouse=True)
def _cameras_of_this_machine() -> Iterator[None]:
    with override_settings(NVR_ALLOW_LOOPBACK_CAMERAS=True):
        yield
