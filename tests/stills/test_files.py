"""Where captures lie: names, publishing, and what is a file of ours."""

from __future__ import annotations

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from stills import files
from stills.exceptions import FileMissingError

pytestmark = pytest.mark.usefixtures("data_dir")
AT = datetime(2026, 11, 20, 13, 2, 10, tzinfo=UTC)


def written(text: bytes = b"picture") -> Path:
    part = files.part_path(uuid.uuid4())
    part.write_bytes(text)
    return part


def names() -> list[str]:
    return sorted(path.name for path in settings.CAPTURES_DIR.iterdir())


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("door", "door.jpg"),
        ("door.jpg", "door.jpg"),
        ("door.png", "door.jpg"),
        ("door.tar.gz", "door.tar.jpg"),
        ("door.", "door.jpg"),
        (".hidden", "hidden.jpg"),
        ("..door", "door.jpg"),
        ("../../etc/passwd", "passwd.jpg"),
        ("/etc/cron.d/x", "x.jpg"),
        ("C:\\Windows\\system.ini", "system.jpg"),
        ("a/b\\c", "c.jpg"),
        ("two words", "two_words.jpg"),
        ("nul\0byte", "nul_byte.jpg"),
        ("line\nbreak\r", "line_break_.jpg"),
        ("Tür 1", "T_r_1.jpg"),
        ("日本7", "__7.jpg"),
        ("\ud800x", "_x.jpg"),
        ("<b>&'\"", "_b____.jpg"),
        ("%2e%2e%2fx", "_2e_2e_2fx.jpg"),
        ("x" * 300, "x" * 100 + ".jpg"),
        ("x" * 300 + ".jpg", "x" * 100 + ".jpg"),
        ("-rf", "-rf.jpg"),
    ],
)
def test_a_name_becomes_one_that_nothing_can_misread(text: str, name: str) -> None:
    assert files.safe_name(text, "jpg") == name


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "/", "///", "a/..", "\\", "日本", "   ", "-._", "\0", "\n.jpg"]
)
def test_of_some_names_nothing_can_be_used(text: str) -> None:
    assert files.safe_name(text, "jpg") == ""


@pytest.mark.parametrize("kind", list(files.CONTENT_TYPES))
def test_a_usual_name_is_safe_and_says_the_local_time(kind: str) -> None:
    name = files.default_name(kind, width=640, height=480, fps=30, duration_ms=1500, at=AT)
    local = f"{timezone.localtime(AT):%Y%m%d_%H%M%S}"
    expected = f"capture_{local}.dng" if kind == "dng" else f"{local}_640x480_30fps_1.5s.{kind}"
    assert name == expected == files.safe_name(name, kind)


def test_whole_seconds_have_no_fraction_in_names() -> None:
    names = [
        files.default_name("mp4", width=1, height=1, fps=1, duration_ms=ms, at=AT)
        for ms in (3_000, 250, 3_600_000)
    ]
    assert [name.rpartition("_")[2] for name in names] == ["3s.mp4", "0.25s.mp4", "3600s.mp4"]


# --- publishing -----------------------------------------------------------------------------------


def test_a_published_file_has_its_name_and_no_other() -> None:
    part = written(b"whole")
    assert files.publish(part, "door.jpg") == "door.jpg"
    assert names() == ["door.jpg"]
    assert files.existing("door.jpg").read_bytes() == b"whole"


def test_a_taken_name_is_never_taken_again() -> None:
    (files.directory() / "door.jpg").write_bytes(b"somebody's")
    (files.directory() / "door-2.jpg").mkdir()
    (files.directory() / "door-3.jpg").symlink_to("/nowhere")
    assert files.publish(written(), "door.jpg") == "door-4.jpg"
    assert (files.directory() / "door.jpg").read_bytes() == b"somebody's"


def test_a_hundred_of_one_name_at_once_are_a_hundred_files() -> None:
    parts = [written(f"{number}".encode()) for number in range(100)]
    start = threading.Barrier(10)

    def publish(some: list[Path]) -> list[str]:
        start.wait(10)
        return [files.publish(part, "door.jpg") for part in some]

    with ThreadPoolExecutor(10) as pool:
        shares = list(pool.map(publish, [parts[n::10] for n in range(10)]))
    made = [name for share in shares for name in share]
    assert len(set(made)) == 100
    assert names() == sorted(made)
    texts = {(files.directory() / name).read_bytes() for name in made}
    assert texts == {f"{number}".encode() for number in range(100)}


def test_the_longest_name_has_room_for_what_tells_two_apart() -> None:
    wanted = files.safe_name("x" * 300, "h264")
    made = [files.publish(written(), wanted) for _ in range(3)]
    assert made[1:] == [f"{'x' * 100}-2.h264", f"{'x' * 100}-3.h264"]


def test_a_file_that_is_not_there_cannot_be_published() -> None:
    with pytest.raises(FileNotFoundError):
        files.publish(files.part_path(uuid.uuid4()), "door.jpg")
    assert names() == []


def test_the_directory_is_made_and_private() -> None:
    settings.CAPTURES_DIR.rmdir()
    assert files.directory().stat().st_mode & 0o777 == 0o700


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "missing.jpg", "../secret.jpg", "sub/../door.jpg", "./door.jpg",
        "/etc/passwd", ".hidden.jpg", "link.jpg", "dangling.jpg", "directory.jpg", "pipe.jpg",
        "door.jpg\0", "door.jpg/", "x" * 300 + ".jpg", "\ud800.jpg", "sub/door.jpg",
    ],
)  # fmt: skip
def test_only_plain_files_of_the_directory_itself_are_found(name: str, tmp_path: Path) -> None:
    here = files.directory()
    for each in ("door.jpg", ".hidden.jpg"):
        (here / each).write_bytes(b"x")
    (here.parent / "secret.jpg").write_bytes(b"secret")
    (here / "sub").mkdir()
    (here / "sub" / "door.jpg").write_bytes(b"x")
    (here / "directory.jpg").mkdir()
    (here / "link.jpg").symlink_to(here / "door.jpg")
    (here / "dangling.jpg").symlink_to("/nowhere")
    os.mkfifo(here / "pipe.jpg")
    assert files.existing("door.jpg").read_bytes() == b"x"
    try:
        with pytest.raises(FileMissingError):
            files.existing(name)
    finally:
        (here.parent / "secret.jpg").unlink()


def test_the_list_holds_what_can_be_found_and_its_size() -> None:
    here = files.directory()
    for name in ("a.jpg", "b.dng", "c.mp4", "d.h264"):
        (here / name).write_bytes(b"12345")
    for name in (".e.jpg", "notes.txt", "f.jpg.part", "g.JPG", "h"):
        (here / name).write_bytes(b"1")
    (here / "link.jpg").symlink_to(here / "a.jpg")
    (here / "directory.jpg").mkdir()
    found = {name: facts.st_size for name, facts in files.listed()}
    assert found == {"a.jpg": 5, "b.dng": 5, "c.mp4": 5, "d.h264": 5}


def test_without_a_directory_nothing_is_listed() -> None:
    settings.CAPTURES_DIR.rmdir()
    assert list(files.listed()) == []


# --- removing -------------------------------------------------------------------------------------


def test_a_file_goes_with_its_preview_and_twice_is_no_error() -> None:
    pk = uuid.uuid4()
    name = files.publish(written(), "door.jpg")
    other = files.publish(written(), "door.jpg")
    files.preview_path(pk).parent.mkdir()
    files.preview_path(pk).write_bytes(b"small")
    for _ in range(2):
        files.remove(pk, name)
        assert names() == [".previews", other]
        assert not files.preview_path(pk).exists()


def test_a_file_that_the_disk_keeps_keeps_its_preview() -> None:
    pk = uuid.uuid4()
    (files.directory() / "door.jpg").mkdir()  # root may delete any file, but no directory this way
    files.preview_path(pk).parent.mkdir()
    files.preview_path(pk).write_bytes(b"small")
    with pytest.raises(OSError, match=r"door\.jpg"):
        files.remove(pk, "door.jpg")
    assert files.preview_path(pk).exists()


def test_what_a_capture_left_unfinished_goes_and_nothing_else() -> None:
    pk, other = uuid.uuid4(), uuid.uuid4()
    for name in (f".{pk}.part", f".{pk}.part.h264", f".{other}.part", f"{pk}.jpg"):
        (files.directory() / name).write_bytes(b"x")
    files.remove_parts(pk)
    assert names() == sorted([f".{other}.part", f"{pk}.jpg"])
