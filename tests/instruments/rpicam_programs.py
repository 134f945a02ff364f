"""Fakes of rpicam-hello, -still and -vid (and libcamera-*): a Pi's camera where there is no Pi.

They know the options of rpicam-apps and refuse any other in its words, take the time they are
told to take, and write real JPEGs and H.264, made by FFmpeg, and DNGs. What they cut off and
misread (long names, `%`) they do as the real ones do. How they behave stands in a file, because
programs are started with a small environment.

This file is both: imported, it puts the executables into a directory; run by them, it is the
program, with nothing but the standard library.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

PREFIXES = ("rpicam", "libcamera")
PROGRAMS = ("hello", "still", "vid")
CAMERA_ID = "/base/soc/i2c0mux/i2c@1/imx708@1a"
NAME_BYTES = {"still": 128, "vid": 256}  # of the buffers that the real ones make names in
STARTING_S = 0.1
# name: (short name, takes a value; None: may, with "=")
_COMMON: dict[str, tuple[str, bool | None]] = {
    "help": ("h", None), "version": ("", None), "list-cameras": ("", None), "camera": ("", True),
    "verbose": ("v", None), "config": ("c", None), "info-text": ("", True), "width": ("", True),
    "height": ("", True), "timeout": ("t", True), "output": ("o", True), "nopreview": ("n", None),
    "preview": ("p", True), "fullscreen": ("f", None), "hflip": ("", None), "vflip": ("", None),
    "rotation": ("", True), "roi": ("", True), "shutter": ("", True), "gain": ("", True),
    "metering": ("", True), "exposure": ("", True), "ev": ("", True), "awb": ("", True),
    "flush": ("", None), "wrap": ("", True), "brightness": ("", True), "contrast": ("", True),
    "saturation": ("", True), "sharpness": ("", True), "framerate": ("", True),
    "denoise": ("", True), "tuning-file": ("", True), "mode": ("", True), "hdr": ("", None),
    "autofocus-mode": ("", True), "metadata": ("", True), "buffer-count": ("", True),
}  # fmt: skip
OPTIONS = {
    "hello": _COMMON,
    "still": _COMMON | {
        "quality": ("q", True), "exif": ("x", True), "timelapse": ("", True),
        "datetime": ("", None), "timestamp": ("", None), "restart": ("", True),
        "thumb": ("", True), "encoding": ("e", True), "raw": ("r", None), "latest": ("", True),
        "immediate": ("", None), "autofocus-on-capture": ("", None), "zsl": ("", None),
    },
    "vid": _COMMON | {
        "bitrate": ("b", True), "profile": ("", True), "level": ("", True), "intra": ("g", True),
        "inline": ("", None), "codec": ("", True), "save-pts": ("", True), "quality": ("q", True),
        "split": ("", None), "segment": ("", True), "circular": ("", None), "frames": ("", True),
        "signal": ("s", None), "keypress": ("k", None), "low-latency": ("", None),
    },
}  # fmt: skip
_NUMBERS = ("width", "height", "camera", "framerate", "quality", "intra")
SAID_OF = {
    "no camera": "ERROR: *** no cameras available ***",
    "busy": "[0:19:06] INFO Camera camera.cpp:839 Pipeline handler in use by another process\n"
    f"ERROR: *** failed to acquire camera {CAMERA_ID} ***",
    "permission": "[0:01:02] ERROR DmaBufAllocator Could not open any dma-buf provider: "
    "Permission denied\nERROR: *** no cameras available ***",
    "odd": "ERROR: *** failed to start camera ***",
    "no Pi": "ERROR: rpicam-apps currently only supports the Raspberry Pi platforms.",
    "legacy": "ERROR: the system appears to be configured for the legacy camera stack",
}


class RpicamPrograms:
    """Those in one directory, which the test puts on PATH."""

    def __init__(
        self,
        directory: Path,
        *,
        ffmpeg: str,
        prefixes: Sequence[str] = PREFIXES,
        programs: Sequence[str] = PROGRAMS,
        dng: bytes = b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    ) -> None:
        """`dng`: what a raw picture is; without one a TIFF without a picture."""
        self.directory = directory
        (directory / "sample.dng").write_bytes(dng)
        self._ffmpeg = ffmpeg
        self.behave()
        for prefix in prefixes:
            for program in programs:
                path = directory / f"{prefix}-{program}"
                path.write_text(
                    f"#!/bin/sh\nexec '{sys.executable}' -I -S '{__file__}' {path.name}"
                    f" '{directory}' \"$@\"\n"
                )
                path.chmod(0o755)

    def behave(self, **wishes: Any) -> None:
        """Anew, forgetting earlier wishes: `cameras` (names), `fails` (of SAID_OF), `status`,
        `hangs`, `ignores_sigterm`, `leaves_child` (a process that goes on), `unplugged_after_s`,
        `writes` ("nothing", "empty", "half", "zeros"), `claims_fps` (in the H.264),
        `lists_after_s`.
        """
        usual = {"cameras": ["imx708_wide"], "ffmpeg": self._ffmpeg}
        (self.directory / "behaviour.json").write_text(json.dumps(usual | wishes))

    def asked(self) -> list[list[str]]:
        """The command lines so far, the program's name first."""
        log = self.directory / "asked.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def pids(self) -> list[int]:
        """Of the programs so far, each the leader of its group, and of what they left behind."""
        log = self.directory / "pids"
        return [int(line) for line in log.read_text().split()] if log.exists() else []


# --- the programs ---------------------------------------------------------------------------------


def _main(name: str, directory: Path, arguments: list[str]) -> None:
    behaviour = json.loads((directory / "behaviour.json").read_text())
    _note(directory / "asked.jsonl", json.dumps([name, *arguments]))
    _note(directory / "pids", str(_pid()))
    program = name.partition("-")[2]
    if behaviour.get("ignores_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    options = _parsed(program, arguments)
    if "list-cameras" in options:
        time.sleep(behaviour.get("lists_after_s", 0))
    if behaviour.get("leaves_child"):
        child = subprocess.Popen(["/bin/sleep", "1000"])
        _note(directory / "pids", str(child.pid))
    if fails := behaviour.get("fails"):
        print(SAID_OF[fails], file=sys.stderr)
        sys.exit(behaviour.get("status", 255))
    if "list-cameras" in options:
        _list(behaviour["cameras"])
        return
    if not behaviour["cameras"]:
        _fail("no cameras available")
    time.sleep(STARTING_S)
    if behaviour.get("hangs"):
        while True:
            time.sleep(1)
    if program == "still":
        _still(options, behaviour, directory)
    elif program == "vid":
        _video(options, behaviour)
    sys.exit(behaviour.get("status", 0))


def _still(options: dict[str, str], behaviour: dict[str, Any], directory: Path) -> None:
    """Even sides only; the raw picture beside the other, its last extension replaced."""
    width, height = int(options.get("width", 0)) or 640, int(options.get("height", 0)) or 480
    _look(_milliseconds(options) / 1000, behaviour)
    if width % 2 or height % 2:
        _fail("both width and height must be even")
    name = _name(options, "still")
    print("Still capture image received", file=sys.stderr)
    if _writes_oddly(name, behaviour):
        return
    picture = f"testsrc2=size={width}x{height}"
    done = subprocess.run(
        [behaviour["ffmpeg"], "-v", "quiet", "-nostdin", "-f", "lavfi", "-i", picture,
         "-frames:v", "1", "-f", "mjpeg", "pipe:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    _write(Path(name), done.stdout)
    if "raw" in options:
        raw = name[: name.rindex(".")] + ".dng" if "." in name else f"{name}.dng"
        _write(Path(raw), (directory / "sample.dng").read_bytes())


def _video(options: dict[str, str], behaviour: dict[str, Any]) -> None:
    name = _name(options, "vid")
    if name != "-" and not name.endswith(
        ".h264"
    ):  # where there is no hardware for it, libav goes by the name
        _fail("libav: cannot allocate output context, try setting with --libav-format")
    if _writes_oddly(name, behaviour):
        return
    rate = options.get("framerate", "30")
    size = f"{options.get('width') or 640}x{options.get('height') or 480}"
    unplugged_s = behaviour.get("unplugged_after_s")
    seconds = _milliseconds(options) / 1000 if unplugged_s is None else unplugged_s
    length = ["-t", str(seconds)] if seconds else []  # a time-out of 0: until it is ended
    claimed = behaviour.get("claims_fps")
    claim = ["-bsf:v", f"h264_metadata=tick_rate={2 * claimed}"] if claimed else []
    coder = subprocess.Popen(
        [behaviour["ffmpeg"], "-v", "quiet", "-nostdin", "-re", "-f", "lavfi", "-i",
         f"testsrc2=size={size}:rate={rate}", *length, "-c:v", "libx264",
         "-preset", "ultrafast", "-tune", "zerolatency", "-g", rate, *claim, "-f", "h264",
         "pipe:1"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert coder.stdout is not None
    try:
        with open(1 if name == "-" else name, "wb") as file:  # noqa: PTH123  a descriptor, too
            while data := coder.stdout.read(4096):
                file.write(data)
                if "flush" in options:
                    file.flush()
    except OSError:
        coder.kill()
        _fail("failed to write output bytes")
    _look(0, behaviour)


def _look(seconds: float, behaviour: dict[str, Any]) -> None:
    """As long as it takes; without its camera it tries again for ever, as the real ones do."""
    unplugged_s = behaviour.get("unplugged_after_s")
    if unplugged_s is None:
        time.sleep(seconds)
        return
    time.sleep(min(seconds, unplugged_s))
    while True:
        print("ERROR: Device timeout detected, attempting a restart!!!", file=sys.stderr)
        time.sleep(1)


def _writes_oddly(name: str, behaviour: dict[str, Any]) -> bool:
    if (writes := behaviour.get("writes")) == "empty":
        Path(name).touch()
    elif writes == "zeros":
        Path(name).write_bytes(b"\0\0\0\1" + bytes(4096))
    elif writes == "half":
        Path(name).write_bytes(b"\xff\xd8\xff\xe0half a picture")
    return writes is not None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError:
        _fail("failed to write file - output probably corrupt")


def _name(options: dict[str, str], program: str) -> str:
    """As snprintf(buffer, size, output, 0) makes it."""
    output = options.get("output", "")
    if not output:
        sys.exit(0)
    try:
        text = output % 0
    except TypeError:
        text = output.replace("%%", "%")
    except ValueError:
        text = ""  # what C makes of it nobody can say
    return text.encode()[: NAME_BYTES[program] - 1].decode()


def _milliseconds(options: dict[str, str]) -> int:
    return int(options.get("timeout", "5000"))


def _list(cameras: list[str]) -> None:
    if not cameras:
        print("No cameras available!")
        return
    print("Available cameras\n-----------------")
    for number, camera in enumerate(cameras):
        print(
            f"{number} : {camera} [4608x2592 10-bit RGGB] ({CAMERA_ID})\n"
            "    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]\n"
            "                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]\n"
        )


def _parsed(program: str, arguments: list[str]) -> dict[str, str]:
    """Refuses in the words of Boost.Program_options, which the real ones use."""
    known = OPTIONS[program]
    short = {entry[0]: name for name, entry in known.items() if entry[0]}
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        text = rest.pop(0)
        if text.startswith("--"):
            name, has_value, value = text[2:].partition("=")
        elif text.startswith("-") and len(text) > 1:
            name, value = short.get(text[1], ""), text[2:]
            has_value = value
        else:
            _fail("too many positional options have been specified on the command line")
        if name not in known:
            _fail(f"unrecognised option '{text}'")
        if known[name][1] and not has_value:
            if not rest or (rest[0].startswith("-") and rest[0] != "-"):
                _fail(f"the required argument for option '--{name}' is missing")
            value = rest.pop(0)
        if name in options:
            _fail(f"option '--{name}' cannot be specified more than once")
        if name in _NUMBERS and not value.removeprefix("-").replace(".", "", 1).isdigit():
            _fail(f"the argument ('{value}') for option '--{name}' is invalid")
        options[name] = value
    return options


def _fail(words: str) -> NoReturn:
    print(f"ERROR: *** {words} ***", file=sys.stderr)
    sys.exit(255)


def _note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def _pid() -> int:
    return int(Path("/proc/self").readlink().name)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
