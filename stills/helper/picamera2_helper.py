#!/usr/bin/python3
"""Takes one picture or video with picamera2. Run by the system's own Python, which has that package.

    picamera2_helper.py list
    picamera2_helper.py take --kind jpg|h264|dng --width W --height H --fps N --duration-ms MS --output F

Answers in lines of JSON on stdout; the last one is the outcome: {"ok": true} or {"ok": false,
"code": ..., "sentence": ...}, the codes being those of the recorder's captures. For `list` it has
"cameras": [[number, name], ...]. `take` says {"stage": "taking"} when the camera is about to be
opened: until then it is Python that takes the time, ten seconds of it on the oldest Pis.

Stands alone: nothing of the recorder is imported, and Python 3.9 suffices.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import sys
import time
from types import ModuleType
from typing import Any

KINDS = ("jpg", "h264", "dng")
LEAST_LOOK_S = 0.5  # the camera has to find its exposure
LEAST_VIDEO_S = 1.0
LONGEST_FRAME_US = 1_000_000
PIXEL_BITS = 0.1  # a second and pixel: 6 Mbit/s for 1920x1080 at 30
SMALL = (640, 480)  # of the picture beside a raw one, which nobody sees
MISSING = "The package python3-picamera2 is not installed on this machine."
NO_CAMERA = "No camera is connected to this Pi's camera port."
BUSY = "Another program uses the camera."
PERMISSION = (
    "The recorder may not open the camera. Add its user to the group video and start it again."
)
DISK_FULL = "The disk is full: nothing was kept."
NOTHING_CAME = "The camera sent no picture. Check its ribbon cable, while the Pi is switched off."
# What exceptions of picamera2 and libcamera say, in small letters.
SAID = (
    ("resource busy", "busy", BUSY),
    ("failed to acquire camera", "busy", BUSY),
    ("unexpected code: -16", "busy", BUSY),
    ("permission denied", "permission", PERMISSION),
    ("unexpected code: -13", "permission", PERMISSION),
    ("camera(s) not found", "no_camera", NO_CAMERA),
    ("list index out of range", "no_camera", NO_CAMERA),
)


class Failure(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Sink(io.BufferedWriter):
    """A file that remembers why it could not be written: picamera2 writes from a thread of its own,
    which would end with the exception, and nobody would hear of it.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        if self.error is None:
            try:
                super().flush()
            except OSError as error:
                self.error = error


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    take = commands.add_parser("take")
    take.add_argument("--kind", choices=KINDS, required=True)
    for name in ("--width", "--height", "--fps", "--duration-ms"):
        take.add_argument(name, type=int, required=True)
    take.add_argument("--output", required=True)
    order = parser.parse_args(arguments)
    try:
        say(list_cameras() if order.command == "list" else take_one(order))
    except Failure as failure:
        say({"ok": False, "code": failure.code, "sentence": str(failure)})
        return 1
    except Exception as error:  # noqa: BLE001  whatever libcamera throws has to become words
        code, sentence = explained(error)
        say({"ok": False, "code": code, "sentence": sentence})
        return 1
    return 0


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def list_cameras() -> dict[str, Any]:
    return {"ok": True, "cameras": [[str(number), name] for number, name in found(module())]}


def found(picamera2: ModuleType) -> list[tuple[int, str]]:
    """Number and name of each. USB cameras, which libcamera lists last, are not meant here."""
    cameras = picamera2.Picamera2.global_camera_info()
    return [
        (number, camera.get("Model") or camera["Id"])
        for number, camera in enumerate(cameras)
        if "/usb" not in camera.get("Id", "")
    ]


def take_one(order: argparse.Namespace) -> dict[str, Any]:
    picamera2 = module()
    if not found(picamera2):
        raise Failure("no_camera", NO_CAMERA)
    say({"stage": "taking"})
    camera = picamera2.Picamera2(0)
    try:
        work = {"jpg": take_picture, "h264": take_video, "dng": take_raw}[order.kind]
        work(camera, order)
    finally:
        camera.close()
    return {"ok": True}


def take_picture(camera: Any, order: argparse.Namespace) -> None:
    size = (order.width // 2 * 2, order.height // 2 * 2)
    camera.configure(camera.create_still_configuration(main={"size": size}))
    camera.start()
    time.sleep(max(LEAST_LOOK_S, order.duration_ms / 1000))
    camera.capture_file(order.output, format="jpeg")
    camera.stop()


def take_raw(camera: Any, order: argparse.Namespace) -> None:
    configuration = camera.create_still_configuration(
        main={"size": SMALL}, raw={"size": camera.sensor_resolution}
    )
    camera.configure(configuration)
    camera.start()
    time.sleep(max(LEAST_LOOK_S, order.duration_ms / 1000))
    request = camera.capture_request()
    try:
        request.save_dng(order.output)
    finally:
        request.release()
    camera.stop()


def take_video(camera: Any, order: argparse.Namespace) -> None:
    """A stream without a container: the recorder puts it into one."""
    encoders = importlib.import_module("picamera2.encoders")
    outputs = importlib.import_module("picamera2.outputs")
    size = (order.width // 2 * 2, order.height // 2 * 2)
    fps = max(1, order.fps)
    frame_us = min(LONGEST_FRAME_US, round(1_000_000 / fps))
    configuration = camera.create_video_configuration(
        main={"size": size}, controls={"FrameDurationLimits": (frame_us, frame_us)}
    )
    camera.configure(configuration)
    # repeat: parameter sets before every key picture, so that any part of it can be played.
    bitrate = max(500_000, round(size[0] * size[1] * fps * PIXEL_BITS))
    encoder = encoders.H264Encoder(bitrate=bitrate, repeat=True, iperiod=2 * fps)
    sink = Sink(io.FileIO(order.output, "w"))
    camera.start_recording(encoder, outputs.FileOutput(sink))
    ends_at = time.monotonic() + max(LEAST_VIDEO_S, order.duration_ms / 1000)
    while time.monotonic() < ends_at and sink.error is None:
        time.sleep(min(0.1, max(0.0, ends_at - time.monotonic())))
    camera.stop_recording()
    sink.flush()
    size_bytes = sink.tell() if sink.error is None else 0
    sink.raw.close()
    if sink.error is not None:
        raise sink.error
    if not size_bytes:
        raise Failure("unplugged", NOTHING_CAME)


def module() -> ModuleType:
    try:
        return importlib.import_module("picamera2")
    except ModuleNotFoundError as error:
        if error.name in ("picamera2", "libcamera"):
            raise Failure("missing_program", MISSING) from error
        raise


def explained(error: BaseException | None) -> tuple[str, str]:
    """(code, sentence). picamera2 says only that it failed: why is in the exceptions behind it."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for each in chain:
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk_full", DISK_FULL
    text = "\n".join(str(each) for each in chain).lower()
    for said, code, sentence in SAID:
        if said in text:
            return code, sentence
    last = " ".join(f"{type(chain[-1]).__name__}: {chain[-1]}".split())[:120]
    return "failed", f"picamera2 took nothing: {last}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
