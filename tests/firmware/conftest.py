"""A built firmware, and what its camera sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from capture.media import counting
from tests.firmware import certificates, images
from tests.firmware.build import Programs, build, build_version, missing
from tests.firmware.certificates import Authority
from tests.firmware.host import CAMERA_NUMBER

PICTURES = 400


@pytest.fixture(scope="session")
def programs() -> Programs:
    if reason := missing():
        pytest.skip(reason)
    return build()


@pytest.fixture(scope="session")
def newer(programs: Programs) -> Path:
    """The same firmware as version `images.NEWER`."""
    return build_version(programs, images.NEWER)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return certificates.authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs with the counter 0, 1, 2 …: 320x240, and 640x480 for a camera that is set to VGA."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "VGA").mkdir()
    for place, size in ((folder, (320, 240)), (folder / "VGA", (640, 480))):
        image = Image.new("RGB", size, (90, 120, 150))
        for number in range(PICTURES):
            counting.paint(image, counting.Stamp(number, CAMERA_NUMBER, 100 * number))
            image.save(place / f"{number:06}.jpg", "JPEG", quality=80)
    return folder
