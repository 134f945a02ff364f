"""Captured files of every kind, good and bad, made by Pillow and FFmpeg."""

from __future__ import annotations

import io
import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image, ImageDraw

from recordings.ffmpeg import find_ffmpeg
from stills.media import bayer, dng


def painted(size: tuple[int, int] = (800, 600)) -> Image.Image:
    """A chessboard, blue on the left and yellow on the right."""
    picture = Image.new("RGB", size, (40, 60, 170))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size[0] // 2, 0, *size), fill=(210, 190, 60))
    step = max(2, size[1] // 12)
    for y in range(0, size[1], 2 * step):
        for x in range(0, size[0], 2 * step):
            draw.rectangle((x, y, x + step - 1, y + step - 1), fill=(90, 90, 90))
    return picture


def jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=92, subsampling="4:2:0")
    return data.getvalue()


def raw(*, has_preview: bool = True, size: tuple[int, int] = (800, 600)) -> bytes:
    picture = painted(size)
    described = dng.Raw(
        bayer.mosaic(picture, dng.SENSOR), *size, datetime(2026, 3, 4, tzinfo=UTC), "Roost test"
    )
    data = io.BytesIO()
    dng.write_dng(data, described, jpeg(picture) if has_preview else None)
    return data.getvalue()


def video(path: Path, source: str, *, frames: int, gop: int = 10) -> Path:
    """By the name's extension; `source` is one of FFmpeg's (lavfi), which says size and rate."""
    kind = path.suffix[1:]
    subprocess.run(
        [
            find_ffmpeg(), "-hide_banner", "-v", "error", "-y", "-f", "lavfi", "-i", source,
            "-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-g", str(gop),
            "-pix_fmt", "yuv420p", "-f", kind, str(path),
        ],
        check=True,
    )  # fmt: skip
    return path


def huge_jpeg() -> bytes:
    """A small one whose head claims 65,500 pixels each way."""
    data = bytearray(jpeg(painted((64, 48))))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (65_500).to_bytes(2, "big") * 2
    return bytes(data)


def bad_files(good: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Kind and bytes; `good`: one of each kind."""
    noise = random.Random(7).randbytes(20_000)
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    bad: list[tuple[str, bytes]] = []
    for kind, data in good.items():
        others = [good[other] for other in good if other != kind]
        bad += [(kind, one) for one in (b"", b"\0", noise, playlist, data[:40], *others)]
    return [*bad, ("jpg", huge_jpeg()), ("jpg", good["jpg"][: len(good["jpg"]) // 2])]
