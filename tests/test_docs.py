"""The documentation says what is so: every setting is in it, every path it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
SOURCES = (ROOT / "nvr_project" / "environment.py", ROOT / "nvr_project" / "settings.py")
_NAMES = (
    r"NVR_[A-Z_]+|FFMPEG_[A-Z]+|[A-Z]+_URL|AUTH_TOKEN|TZ|NODE_ID|CORS_[A-Z_]+|CAMERA_SOURCE"
    r"|DEFAULT_(?:WIDTH|HEIGHT|FPS|[A-Z]+_DURATION_SEC)"
)
_VARIABLE = re.compile(f'"({_NAMES})"')
# `recordings/spool.py`, `docs/settings.md`, `tests/stack.py`: a known folder, then a file.
_PATH = re.compile(
    r"`((?:bench|capture|clips|deploy|devices|docs|nvr_project|recordings|requirements|static|stills|system"
    r"|templates|tests)/[\w./-]+\.(?:py|md|png|txt|in|js|mjs|css|html|svg))`"
)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def variables() -> set[str]:
    return {name for source in SOURCES for name in _VARIABLE.findall(source.read_text())}


def test_there_is_something_to_compare() -> None:
    assert {"NVR_PORT", "NVR_DATA_DIR", "DATABASE_URL", "AUTH_TOKEN", "TZ"} <= variables()
    assert len(PAGES) > 5


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(f"`({_NAMES})`", page))
    assert documented == variables()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_it_names_exists(page: Path) -> None:
    text = page.read_text()
    named = {ROOT / name for name in _PATH.findall(text)}
    linked = {page.parent / name for name in _LINK.findall(text)}
    assert [str(path) for path in sorted(named | linked) if not path.exists()] == []


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(
            r"(?:`|^|&& |[A-Z_]+=\S+ )make ([a-z]+)", page.read_text(), re.MULTILINE
        )
    }
    assert len(named) > 3
    assert sorted((page, target) for page, target in named if target not in targets) == []
