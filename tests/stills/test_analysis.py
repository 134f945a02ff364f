"""What an analysis says of files whose content is known, and of files that are none."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from PIL import Image, ImageFilter

from stills import analysis, decoding
from stills.models import Analysis, Capture, State
from tests.stills import captured

SOURCE = "testsrc2=size=320x240:rate=20"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good file of each kind, named `good.<kind>`."""
    directory = tmp_path_factory.mktemp("good")
    (directory / "good.jpg").write_bytes(captured.jpeg(captured.painted()))
    (directory / "good.dng").write_bytes(captured.raw())
    captured.video(directory / "good.mp4", SOURCE, frames=40)
    captured.video(directory / "good.h264", SOURCE, frames=40)
    return directory


@pytest.fixture
def captures() -> Iterator[Path]:
    directory = Path(settings.CAPTURES_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    before = set(directory.iterdir())
    yield directory
    for path in set(directory.iterdir()) - before:
        path.unlink()


def analysed(path: Path) -> dict[str, Any]:
    found = analysis.analyse(path, path.suffix[1:])
    json.dumps(found, allow_nan=False)  # a row takes nothing else
    return found


def of_picture(tmp_path: Path, picture: Image.Image) -> dict[str, Any]:
    path = tmp_path / "picture.jpg"
    path.write_bytes(captured.jpeg(picture))
    return analysed(path)


# --- what it finds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("jpg", ("jpeg", 800, 600, 0, 0, 1)),
        ("dng", ("raw", 800, 600, 0, 0, 1)),
        ("mp4", ("h264", 320, 240, 2_000, 20.0, 40)),
        ("h264", ("h264", 320, 240, 2_000, 20.0, 40)),
    ],
)
def test_every_kind_is_described(kind: str, media: tuple[Any, ...], place: Path) -> None:
    path = place / f"good.{kind}"
    found = analysed(path)
    names = ("codec", "width", "height", "duration_ms", "fps", "frames")
    assert found["file"] == {"kind": kind, "size_bytes": path.stat().st_size}
    assert found["media"] == dict(zip(names, media, strict=True))
    assert found["brightness"]["sentence"].endswith(" is well lit.")
    assert found["sharpness"]["sentence"].endswith(" is sharp.")
    assert ("motion" in found) == (kind in ("mp4", "h264"))


@pytest.mark.parametrize(
    ("level", "sentence"),
    [(12, "is dark"), (128, "is well lit"), (250, "is very bright")],
)
def test_it_says_how_bright_a_picture_is(level: int, sentence: str, tmp_path: Path) -> None:
    found = of_picture(tmp_path, Image.new("RGB", (320, 240), (level,) * 3))["brightness"]
    assert found["mean"] == pytest.approx(level, abs=1)
    assert found["dark_percent"] == (100 if level == 12 else 0)
    assert found["bright_percent"] == (100 if level == 250 else 0)
    assert found["sentence"] == f"The picture {sentence}."


@pytest.mark.parametrize(
    ("radius", "sentence"),
    [(0, "is sharp"), (6, "is blurred, or shows hardly any edges")],
)
def test_it_says_how_sharp_a_picture_is(radius: int, sentence: str, tmp_path: Path) -> None:
    picture = captured.painted().filter(ImageFilter.GaussianBlur(radius))
    assert of_picture(tmp_path, picture)["sharpness"]["sentence"] == f"The picture {sentence}."


def test_it_says_whether_anything_moves(place: Path, tmp_path: Path) -> None:
    still = captured.video(tmp_path / "still.mp4", "smptebars=size=320x240:rate=20", frames=20)
    found = analysed(still)["motion"]
    assert found["sentence"] == "Nothing moves."
    assert found["frames_compared"] == 10
    found = analysed(place / "good.mp4")["motion"]
    assert found["max"] >= found["mean"] > 1
    assert found["sentence"] in ("Something moves.", "Much of the picture moves or changes.")


@pytest.mark.parametrize("most", [300, 6])
def test_the_figures_of_a_video_are_those_of_all_of_it(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dark at first, then bright; also where only a few of its pictures are looked at."""
    monkeypatch.setattr(analysis, "MAX_PICTURES", most)
    source = "color=black:size=320x240:rate=20,fade=in:start_frame=10:nb_frames=10:color=white"
    video = captured.video(tmp_path / "fading.mp4", source, frames=40)
    found = analysed(video)["brightness"]
    assert 40 < found["mean"] < 215
    assert found["dark_percent"] > 20
    assert found["bright_percent"] > 20


def test_of_a_long_video_a_few_pictures_are_compared(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "MAX_PICTURES", 7)
    assert analysed(place / "good.mp4")["motion"]["frames_compared"] == 7
    monkeypatch.setattr(analysis, "MAX_DECODED", 39)  # from here on those that need no other
    assert analysed(place / "good.mp4")["motion"]["frames_compared"] == 4


def test_the_work_is_bounded_in_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "DECODING_S", 0.001)
    monkeypatch.setattr(decoding, "PICTURE_S", 0.001)
    found = analysed(place / "good.mp4")
    assert "error" in found["motion"]
    assert found["sharpness"] == {"error": "No picture came out within 0.001 s."}
    assert found["media"]["frames"] == 40


# --- what goes wrong ------------------------------------------------------------------------------


def test_one_detector_that_fails_does_not_stop_the_others(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: analysis.Subject) -> dict[str, Any]:
        raise RuntimeError("a mistake")

    added = analysis.Detector("faces", ("jpg",), broken)
    monkeypatch.setattr(analysis, "DETECTORS", (added, *analysis.DETECTORS))
    with caplog.at_level(logging.ERROR):
        found = analysed(place / "good.jpg")
    assert found["faces"] == {"error": "This detector failed here; the log says how."}
    assert "a mistake" in caplog.text
    assert "error" not in found["sharpness"]


def test_bad_files_end_in_words(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {kind: (place / f"good.{kind}").read_bytes() for kind in ("jpg", "dng", "mp4", "h264")}
    for kind, data in captured.bad_files(good):
        path = tmp_path / f"bad.{kind}"
        path.write_bytes(data)
        found = analysed(path)
        errors = [one["error"] for one in found.values() if "error" in one]
        assert all(error.endswith(".") and "\n" not in error for error in errors)
        assert not any(str(tmp_path) in error for error in errors), "a path of this machine"
        if data in good.values():
            assert "but what is in it is" in found["file"]["sentence"]
        if (kind, data) != ("h264", good["mp4"]):  # start codes are sought anywhere
            assert "error" in found["sharpness"], (kind, data[:20])
    assert "Traceback" not in caplog.text, "each of these is foreseen"


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert analysed(path)["file"] == {"error": "The file is empty."}


def test_a_picture_that_claims_a_huge_size_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    path.write_bytes(captured.huge_jpeg())
    began_s = time.monotonic()
    found = analysed(path)
    assert found["sharpness"] == {"error": "A picture of 65500x65500 is too large."}
    assert time.monotonic() - began_s < 2


def test_a_video_that_is_cut_off_is_looked_at_as_far_as_it_goes(
    place: Path, tmp_path: Path
) -> None:
    data = (place / "good.h264").read_bytes()
    path = tmp_path / "cut.h264"
    path.write_bytes(data[: len(data) // 2])
    found = analysed(path)
    assert 5 < found["media"]["frames"] < 40
    assert found["motion"]["frames_compared"] > 2


# --- rows -----------------------------------------------------------------------------------------


def make_analysis(name: str, *, kind: str = "") -> Analysis:
    """Of a capture, where a kind is given."""
    capture = None
    if kind:
        capture = Capture.objects.create(
            kind=kind, state=State.READY, wanted_name=name, filename=name,
            width=1, height=1, fps=1, duration_ms=1,
        )  # fmt: skip
    return Analysis.objects.create(filename=name, capture=capture)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["jpg", ""], ids=["of a capture", "of a file alone"])
def test_a_row_goes_from_queued_to_done(kind: str, captures: Path, place: Path) -> None:
    (captures / "one.jpg").write_bytes((place / "good.jpg").read_bytes())
    row = make_analysis("one.jpg", kind=kind)
    analysis.run(row.pk)
    row.refresh_from_db()
    assert (row.state, row.reason) == (Analysis.State.DONE, "")
    assert row.result["media"]["width"] == 800
    assert row.finished_at is not None


@pytest.mark.django_db
def test_a_task_that_comes_twice_changes_nothing(captures: Path, place: Path) -> None:
    (captures / "one.jpg").write_bytes((place / "good.jpg").read_bytes())
    row = make_analysis("one.jpg")
    analysis.run(row.pk)
    row.refresh_from_db()
    first = (row.state, row.finished_at)
    (captures / "one.jpg").unlink()
    analysis.run(row.pk)
    analysis.run(uuid.uuid4())
    row.refresh_from_db()
    assert (row.state, row.finished_at) == first


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("gone.jpg", None, "The file of this capture is missing on disk."),
        ("../../etc/passwd", None, "The file of this capture is missing on disk."),
        ("empty.mp4", b"", "The file is empty."),
        ("notes.txt", b"words", "Files of this kind are not looked at."),
    ],
)
def test_what_cannot_be_looked_at_fails_in_words(
    name: str, data: bytes | None, reason: str, captures: Path
) -> None:
    if data is not None:
        (captures / name).write_bytes(data)
    row = make_analysis(name)
    analysis.run(row.pk)
    row.refresh_from_db()
    assert (row.state, row.reason) == (Analysis.State.FAILED, reason)
    assert row.finished_at is not None


@pytest.mark.django_db
def test_a_mistake_here_does_not_leave_the_row_running(
    captures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (captures / "one.jpg").write_bytes(b"x")

    def broken(*_: object) -> dict[str, Any]:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(analysis, "analyse", broken)
    row = make_analysis("one.jpg")
    analysis.run(row.pk)
    row.refresh_from_db()
    assert row.state == Analysis.State.FAILED
    assert "a mistake" in caplog.text


@pytest.mark.django_db
def test_one_whose_worker_was_stopped_is_given_up() -> None:
    now = timezone.now()
    long_ago = now - timedelta(hours=1)
    states = Analysis.State
    rows = [
        Analysis.objects.create(filename="a.jpg", state=state, created_at=at)
        for state, at in (
            (states.RUNNING, long_ago), (states.RUNNING, now), (states.QUEUED, long_ago)
        )
    ]  # fmt: skip
    analysis.put_in_order(now)
    for row in rows:
        row.refresh_from_db()
    assert [row.state for row in rows] == [states.FAILED, states.RUNNING, states.QUEUED]
    assert "Ask for it again" in rows[0].reason
