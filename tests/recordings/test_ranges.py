"""Files over HTTP: the range view against its RFC."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.utils.http import http_date

from recordings.ranges import (
    CHUNK_BYTES,
    ByteSpan,
    UnsatisfiableRangeError,
    attachment,
    parse_range,
    serve_file,
)

# Django tells the database when an answer is closed.
pytestmark = pytest.mark.django_db
DATA = bytes(range(256)) * 4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "12.mp4"
    path.write_bytes(DATA)
    os.utime(path, (1_790_000_000, 1_790_000_000))
    return path


def answer(path: Path, *, method: str = "get", size: int = len(DATA), **kwargs: Any) -> Any:
    headers = kwargs.pop("headers", {})
    request = getattr(RequestFactory(), method)("/x", headers=headers)
    return serve_file(request, path, size_bytes=size, content_type="video/mp4", **kwargs)


async def body(response: Any) -> bytes:
    assert isinstance(response, StreamingHttpResponse)
    content = b"".join([chunk async for chunk in response])
    response.close()
    return content


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-99", ByteSpan(0, 100)),
        ("bytes=100-", ByteSpan(100, 1000)),
        ("bytes=-100", ByteSpan(900, 1000)),
        ("bytes=-5000", ByteSpan(0, 1000)),
        ("bytes=990-5000", ByteSpan(990, 1000)),
        ("Bytes = 0-0", ByteSpan(0, 1)),
        ("bytes=5-9, 20-29", ByteSpan(5, 10)),
        ("bytes=2000-, -10", ByteSpan(990, 1000)),
        ("bytes=9-5", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1-2,,3-4", None),
        ("bytes=٣-٤", None),
        ("bytes=+1-2", None),
        ("bytes=0-" + "9" * 200, None),
        ("items=0-5", None),
        ("nonsense", None),
    ],
)
def test_it_reads_ranges(header: str, expected: ByteSpan | None) -> None:
    assert parse_range(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=-0", "bytes=1000-2000,3000-"])
def test_it_tells_what_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 1000)


def test_an_empty_file_satisfies_no_range() -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range("bytes=0-", 0)


async def test_it_sends_the_whole_file_without_a_range(file: Path) -> None:
    response = answer(file)
    assert response.status_code == 200
    assert response["Content-Length"] == str(len(DATA))
    assert response["Accept-Ranges"] == "bytes"
    assert response["Last-Modified"] == http_date(1_790_000_000)
    assert response["Content-Type"] == "video/mp4"
    assert await body(response) == DATA


async def test_it_sends_the_part_asked_for(file: Path) -> None:
    response = answer(file, headers={"Range": "bytes=10-19"})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes 10-19/{len(DATA)}"
    assert response["Content-Length"] == "10"
    assert await body(response) == DATA[10:20]


async def test_it_sends_no_more_than_the_row_says(file: Path) -> None:
    response = answer(file, size=100, headers={"Range": "bytes=90-"})
    assert response["Content-Range"] == "bytes 90-99/100"
    assert await body(response) == DATA[90:100]


def test_it_answers_416_with_the_size(file: Path) -> None:
    response = answer(file, headers={"Range": "bytes=99999-"})
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{len(DATA)}"


async def test_it_ignores_a_malformed_range(file: Path) -> None:
    response = answer(file, headers={"Range": "bytes=x"})
    assert response.status_code == 200
    assert await body(response) == DATA


def test_head_tells_the_size_and_sends_nothing(file: Path) -> None:
    response = answer(file, method="head", headers={"Range": "bytes=0-9"})
    assert (response.status_code, response["Content-Length"]) == (200, str(len(DATA)))
    assert isinstance(response, HttpResponse)
    assert response.content == b""


@pytest.mark.parametrize("name", ["If-None-Match", "If-Modified-Since"])
def test_it_answers_304_to_who_has_it_already(file: Path, name: str) -> None:
    first = answer(file, method="head")
    validator = first["ETag"] if name == "If-None-Match" else first["Last-Modified"]
    response = answer(file, headers={name: validator})
    assert response.status_code == 304
    assert response["ETag"] == first["ETag"]


async def test_if_range_with_another_tag_sends_the_whole(file: Path) -> None:
    same = answer(file, method="head")["ETag"]
    hit = answer(file, headers={"Range": "bytes=0-9", "If-Range": same})
    miss = answer(file, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    weak = answer(file, headers={"Range": "bytes=0-9", "If-Range": f"W/{same}"})
    assert [r.status_code for r in (hit, miss, weak)] == [206, 200, 200]
    for response in (hit, miss, weak):
        response.close()


async def test_if_range_with_a_date_needs_that_very_date(file: Path) -> None:
    same = answer(file, method="head")["Last-Modified"]
    hit = answer(file, headers={"Range": "bytes=0-9", "If-Range": same})
    miss = answer(file, headers={"Range": "bytes=0-9", "If-Range": http_date(1_790_000_001)})
    assert [hit.status_code, miss.status_code] == [206, 200]
    hit.close()
    miss.close()


def test_the_tag_changes_as_the_file_grows(file: Path) -> None:
    before = answer(file, method="head", size=500)["ETag"]
    after = answer(file, method="head", size=600)["ETag"]
    assert before != after


def test_nothing_follows_the_quoted_name(file: Path) -> None:
    response = answer(file, method="head", download_name='Front "door" Käfer;\r\nX: 1.mp4')
    assert response["Content-Disposition"] == attachment('Front "door" Käfer;\r\nX: 1.mp4')
    assert response["Content-Disposition"] == 'attachment; filename="Front _door_ K_fer_X_ 1.mp4"'


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):
        answer(link)


THROUGH_NGINX = {"X-Sendfile-Type": "X-Accel-Redirect"}


@pytest.fixture
def behind_nginx(settings: Any, tmp_path: Path) -> Path:
    """A recording below NVR_X_ACCEL=/protected."""
    settings.NVR = replace(settings.NVR, x_accel="/protected")
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    path = tmp_path / "recordings" / "AA-BB" / "12 b.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return path


def test_nginx_is_told_the_path_unless_the_file_has_a_tail(behind_nginx: Path) -> None:
    whole = answer(behind_nginx, headers=THROUGH_NGINX)
    assert whole["X-Accel-Redirect"] == "/protected/recordings/AA-BB/12%20b.mp4"
    assert whole.content == b""
    growing = answer(behind_nginx, size=len(DATA) - 1, headers=THROUGH_NGINX)
    assert "X-Accel-Redirect" not in growing
    growing.close()


async def test_who_comes_past_nginx_gets_the_file_from_us(behind_nginx: Path) -> None:
    response = answer(behind_nginx)
    assert "X-Accel-Redirect" not in response
    assert await body(response) == DATA


def test_nginx_is_told_of_no_file_outside_what_it_may_serve(behind_nginx: Path, file: Path) -> None:
    response = answer(file, headers=THROUGH_NGINX)
    assert "X-Accel-Redirect" not in response
    response.close()


def test_without_the_setting_the_header_means_nothing(file: Path) -> None:
    response = answer(file, headers=THROUGH_NGINX)
    assert "X-Accel-Redirect" not in response
    response.close()


async def test_a_chunk_is_read_only_when_the_one_before_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as large:
        large.truncate(100 * CHUNK_BYTES)
    response = answer(path, size=100 * CHUNK_BYTES)
    chunks = aiter(response)
    first = await anext(chunks)
    await asyncio.sleep(0)  # a reader running ahead would get its turn here
    assert len(first) == CHUNK_BYTES
    response.close()
    with pytest.raises(ValueError, match="closed"):  # so nothing more had been read
        await anext(chunks)


async def test_a_file_cut_while_it_is_sent_breaks_the_answer(file: Path) -> None:
    response = answer(file)
    with file.open("r+b") as shorter:
        shorter.truncate(10)
    with pytest.raises(OSError, match="ended 1014 bytes early"):
        await body(response)
    response.close()


def test_no_descriptor_is_left_open(file: Path) -> None:
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9999-"}, {"If-None-Match": "*"}):
        answer(file, headers=headers).close()
        answer(file, method="head", headers=headers).close()
    assert file not in open_files()
    response = answer(file)
    assert file in open_files()  # so it would have been seen
    response.close()


def open_files() -> list[Path]:
    return [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
