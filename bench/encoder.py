"""What each encoder setting costs and gives: `python -m bench.encoder [--size SVGA] [--frames 200]`.

Source: counted JPEGs of the simulated camera's kind plus sensor noise, because noise is what a real
ESP32 sends and what an encoder pays for. Each line: CPU of the FFmpeg child and of Python per
frame, size against the JPEGs, and SSIM/PSNR against the decoded source by FFmpeg's own filters.
"""

# ruff: noqa: E402  Django has to be set up first
from __future__ import annotations

import argparse
import io
import os
import random
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

import django

django.setup()

from PIL import Image, ImageDraw

from recordings import encoder
from recordings.encoder import Encoder
from recordings.ffmpeg import find_ffmpeg
from recordings.media import matroska, mp4
from recordings.media.matroska import Track

PRESETS = ("ultrafast", "superfast", "veryfast", "faster")
CRFS = (20, 23, 26, 30)
STEP_MS = 100


def scene(frames: int, size: tuple[int, int]) -> list[tuple[int, bytes]]:
    """A still room with a moving object, a little noise and 4:2:2 chroma, at quality 70."""
    chance = random.Random(1)
    width, height = size
    room = Image.effect_noise((width // 8, height // 8), 60).resize(size).convert("RGB")
    room = Image.blend(room, Image.linear_gradient("L").resize(size).convert("RGB"), 0.6)
    noises = [Image.effect_noise(size, 4).convert("RGB") for _ in range(8)]
    made = []
    for number in range(frames):
        image = room.copy()
        draw = ImageDraw.Draw(image)
        x = number * 9 % width
        draw.ellipse((x, height // 3, x + width // 7, height // 3 + width // 7), fill=(200, 70, 40))
        image = Image.blend(image, chance.choice(noises), 0.06)
        data = io.BytesIO()
        image.save(data, "JPEG", quality=70, subsampling=1)
        made.append((number * STEP_MS, data.getvalue()))
    return made


def cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def quality(program: str, source: Path, video: Path) -> tuple[float, float]:
    """(SSIM, PSNR in dB) of all planes together."""
    prepare = "scale=in_range=pc:out_range=pc,format=yuvj420p"
    graph = f"[0:v]{prepare},split[a][b];[1:v]{prepare},split[c][d];[c][a]ssim[e];[d][b]psnr[f]"
    ended = subprocess.run(
        [program, "-hide_banner", "-i", source, "-i", video, "-filter_complex", graph,
         "-map", "[e]", "-map", "[f]", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ssim = re.search(r"SSIM.* All:([\d.]+)", ended.stderr)
    psnr = re.search(r"average:([\d.]+)", ended.stderr)
    assert ssim is not None
    assert psnr is not None
    return float(ssim[1]), float(psnr[1])


def measure(
    setting: Encoder, frames: list[tuple[int, bytes]], size: tuple[int, int], directory: Path
) -> dict[str, float]:
    track = Track("mjpeg", *size)
    keys = list(range(0, frames[-1][0], 2000))
    python, child, wall = (
        cpu_s(resource.RUSAGE_SELF), cpu_s(resource.RUSAGE_CHILDREN), time.monotonic(),
    )  # fmt: skip
    encoded = encoder.encode(setting, track, frames, keys)
    wall = time.monotonic() - wall
    python = cpu_s(resource.RUSAGE_SELF) - python
    child = cpu_s(resource.RUSAGE_CHILDREN) - child
    payload = [packet.payload for packet in encoded.packets]
    video = directory / "video.mp4"
    video.write_bytes(
        mp4.init_segment(Track("h264", *size, encoded.avcc), is_full_range=True)
        + mp4.fragment(
            sequence=1, media_ms=0, wall_ms=0, payload=payload,
            samples=[mp4.Sample(STEP_MS, len(data), not at) for at, data in enumerate(payload)],
            mark=mp4.Mark(0, 0, 0, len(payload), len(payload)),
        )
    )  # fmt: skip
    ssim, psnr = quality(setting.program, directory / "source.mkv", video)
    return {
        "child_ms": 1000 * child / len(frames),
        "python_ms": 1000 * python / len(frames),
        "wall_ms": 1000 * wall / len(frames),
        "bytes": sum(map(len, payload)) / len(frames),
        "ssim": ssim,
        "psnr": psnr,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="800x600")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--presets", nargs="*", default=PRESETS)
    parser.add_argument("--crf", nargs="*", type=int, default=CRFS)
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    frames = scene(options.frames, (width, height))
    source_bytes = sum(len(data) for _, data in frames) / len(frames)
    program = find_ffmpeg()
    print(f"{program}, {width}x{height}, {len(frames)} frames, JPEG {source_bytes / 1000:.1f} KB")
    print("preset      crf  FFmpeg ms  Python ms  KB/frame  of JPEG   SSIM    PSNR")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        blocks = (matroska.block_header(at, len(data)) + data for at, data in frames)
        source = matroska.head(Track("mjpeg", width, height), 0) + b"".join(blocks)
        (directory / "source.mkv").write_bytes(source)
        for preset in options.presets:
            for crf in options.crf:
                setting = Encoder(program, "libx264", preset, crf)
                found = measure(setting, frames, (width, height), directory)
                print(
                    f"{preset:11} {crf:3}  {found['child_ms']:9.2f}  {found['python_ms']:9.3f}  "
                    f"{found['bytes'] / 1000:8.2f}  {found['bytes'] / source_bytes:7.2f}  "
                    f"{found['ssim']:.4f}  {found['psnr']:5.2f}"
                )


if __name__ == "__main__":
    main()
