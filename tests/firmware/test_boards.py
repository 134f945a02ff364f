"""The ESP32's own files: names and types against declarations, since no Xtensa compiler is here.

This proves neither that they link nor that they work on a board.
"""

from __future__ import annotations

import configparser
import itertools
import re
from pathlib import Path

import pytest

from tests.firmware.build import FIRMWARE, make, missing


def test_their_syntax_and_types_are_right() -> None:
    if reason := missing():
        pytest.skip(reason)
    done = make("boards")
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_wrong_name_and_a_wrong_type_would_have_been_found(tmp_path: Path) -> None:
    """Positive control of the check above."""
    if reason := missing():
        pytest.skip(reason)
    for wrong in ("esp_camera_begin(nullptr)", "esp_camera_init(42)"):
        file = tmp_path / "wrong.cpp"
        file.write_text(f"#include <esp_camera.h>\nint wrong() {{ return {wrong}; }}\n")
        done = make("boards", f"BOARD_FILES={file}")
        assert done.returncode != 0
        assert "esp_camera_" in done.stdout


def test_the_core_knows_no_board() -> None:
    sources = [*(FIRMWARE / "core").glob("*.cpp"), *(FIRMWARE / "core").glob("*.h")]
    assert len(sources) > 20
    for source in sources:
        included = re.findall(r"#include ([<\"].+[>\"])", source.read_text())
        own = {f'"{other.name}"' for other in sources}
        system = {name for name in included if name not in own}
        assert all(re.fullmatch(r"<(c[a-z]+|strings\.h)>", name) for name in system), source


def test_the_flash_has_two_equal_places_for_programs() -> None:
    rows = [
        [cell.strip() for cell in line.split(",")]
        for line in (FIRMWARE / "partitions.csv").read_text().splitlines()
        if not line.startswith("#")
    ]
    spans = sorted((int(row[3], 16), int(row[4], 16), row[2]) for row in rows)
    for (start, size, _), (following, _, _) in itertools.pairwise(spans):
        assert start + size <= following
    assert sum(spans[-1][:2]) <= 4 << 20
    slots = {kind: (start, size) for start, size, kind in spans if kind.startswith("ota_")}
    assert slots["ota_0"][1] == slots["ota_1"][1] > 1_800_000
    assert all(start % 0x10000 == 0 for start, _ in slots.values()), "what the flash's cache maps"
    project = (FIRMWARE / "platformio.ini").read_text()
    assert "board_build.partitions = partitions.csv" in project


def test_platformio_builds_core_and_boards_and_nothing_else() -> None:
    project = configparser.ConfigParser(inline_comment_prefixes=(";",))
    project.read(FIRMWARE / "platformio.ini")
    (environment,) = [name for name in project.sections() if name.startswith("env:")]
    filters = project[environment]["build_src_filter"].split()
    assert filters == ["-<*>", "+<core/*.cpp>", "+<boards/*.cpp>"]
    assert "gnu++17" in project[environment]["build_flags"]
