"""What a camera that encodes itself costs the packager, against reading and writing the same bytes.

The pictures are noise of the right sizes: nothing that copies them looks inside.
"""

from __future__ import annotations

import random
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
from django.conf import settings
from django.core.management import call_command

from bench.pipeline import PACKAGE, camera, cpu_s, last_minute
from bench.table import Row
from devices.models import Device
from recordings.media import nal
from recordings.media.matroska import Audio, Block, Track
from recordings.segments import SegmentWriter

SECONDS, FPS, GOP, BITS = 60, 30, 60, 8_000_000
SEGMENT_SECONDS = 30
ROUNDS = 3
SOUND = Audio("aac", 48_000, 1, b"\x11\x88")
# As much as the packager has in memory: a fragment of two seconds.
COPY = (
    "import django; django.setup(); from recordings import services\n"
    "import os, sys\n"
    "services.package_segments(int(sys.argv[3]))\n"
    "with open(sys.argv[2], 'wb') as target:\n"
    "    for name in sorted(os.listdir(sys.argv[1])):\n"
    "        with open(os.path.join(sys.argv[1], name), 'rb') as source:\n"
    "            while data := source.read(2_000_000): target.write(data)\n"
    "    os.fdatasync(target.fileno())\n"
)


def run() -> list[Row]:
    call_command("migrate", verbosity=0)
    track = Track("h264", 1920, 1080, _parameters(), SOUND)
    empty = camera("AA:00:00:00:02:00")
    bare, whole, nothing = [], [], []
    for number in range(ROUNDS):
        device = camera(f"AA:00:00:00:02:{number + 1:02X}")
        spool = _spool(device, track)
        target = settings.DATA_DIR / "copy"
        bare.append(cpu_s([sys.executable, "-c", COPY, str(spool), str(target), str(empty.pk)]))
        target.unlink()
        nothing.append(cpu_s([sys.executable, "-c", PACKAGE.format(empty.pk)]))
        whole.append(cpu_s([sys.executable, "-c", PACKAGE.format(device.pk)]))
        folder = settings.RECORDINGS_DIR / device.directory
        if sum(path.stat().st_size for path in folder.glob("*/*.mp4")) < SECONDS * BITS // 8:
            raise RuntimeError("the packager did not copy everything: its CPU time means nothing")
        shutil.rmtree(folder)
    # Starting Python and finding nothing to do is in all three, and is paid once by the worker.
    packaging, copying = min(whole) - min(nothing), max(0.001, min(bare) - min(nothing))
    return [
        Row(
            "packager's CPU for a minute copied, 1080p30, 8 Mbit/s, with sound",
            "< 3 % of a core",
            f"{1000 * packaging:.0f} ms, {100 * packaging / SECONDS:.2f} % of a core",
            f"{1000 * copying:.0f} ms",
            f"{packaging / copying:.1f}",
        )
    ]


def _parameters() -> bytes:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1920, 1080, "yuv420p"
    encoder.time_base = Fraction(1, FPS)
    encoder.options = {"preset": "ultrafast"}
    packets = encoder.encode(av.VideoFrame(1920, 1080, "yuv420p")) + encoder.encode(None)
    return nal.config_of("h264", nal.parameter_sets("h264", nal.from_annexb(bytes(packets[0]))))


def _spool(device: Device, track: Track) -> Path:
    """A minute in segments as the spool writes them: keys five times as large as the others."""
    directory: Path = settings.SPOOL_DIR / device.directory
    noise = random.Random(1).randbytes(BITS // 4)
    usual = BITS // 8 // FPS * GOP // (GOP + 4)
    for first in range(0, SECONDS, SEGMENT_SECONDS):
        blocks = [
            Block(1000 * n // FPS, noise[n : n + usual * (5 if n % GOP == 0 else 1)], n % GOP == 0)
            for n in range(SEGMENT_SECONDS * FPS)
        ]
        units = SEGMENT_SECONDS * SOUND.rate_hz // 1024
        blocks += [
            Block(1024 * 1000 * n // SOUND.rate_hz, noise[:340], True, True) for n in range(units)
        ]
        writer = SegmentWriter(directory, last_minute() + 1000 * first, track)
        writer.append_blocks(sorted(blocks, key=lambda block: block.time_ms))
        writer.finish()
    return directory
