"""USB cameras, and whatever else is a camera to Video4Linux2, by FFmpeg."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from capture.agent.protocol import SourceError
from capture.drivers import usb, v4l2
from capture.drivers.ffmpeg import command
from stills.cameras import checks, programs, troubles
from stills.cameras.protocol import Check, Found, Order
from stills.exceptions import CaptureError

_LONGEST_LOOK_S = 10.0


class V4l2Camera:
    name = "v4l2"

    def __init__(self, path: str = "") -> None:
        """`path`: of the device; "": the first that is a camera, once it was looked for."""
        self._is_given = bool(path)
        self._path = self.address = ""
        self._use(path)

    def look(self) -> Found:
        if not self._is_given:
            self._use("")
        try:
            camera = self._camera()
        except CaptureError as error:
            is_refused = error.code == "permission"
            name, advice = ("permission", checks.GROUP) if is_refused else ("camera", "")
            return Found(self.name, (), (Check(name, False, str(error), advice), _program()))
        self._use(camera.path)
        sizes = ", ".join(
            dict.fromkeys(f"{offer.width}x{offer.height}" for offer in camera.offers[:4])
        )
        check = Check("camera", True, f"{camera.name} at {camera.path} offers {sizes}.")
        number = re.sub(r"\D", "", Path(camera.path).name)
        return Found(self.name, ((number, camera.name),), (check, _program()))

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        if order.kind == "dng":
            text = "This camera gives no raw pictures: only a Pi's own camera does."
            raise CaptureError("unsupported", text)
        camera = self._camera()
        self._use(camera.path)
        offer = _choose(camera, order)
        try:
            argv = [*command(), *v4l2.input_arguments(camera.path, offer)]
        except SourceError as error:
            raise troubles.from_source(error) from error
        ended = programs.run(
            [*argv, "-map", "0:v:0", "-an", *_output(order, offer), f"file:{into.name}"],
            timeout_ms=order.timeout_ms,
            cwd=into.parent,
            lock_fd=lock_fd,
            is_wanted=is_wanted,
        )
        for said, sentence in usb.SAID:  # FFmpeg ends well when a camera is pulled out
            if said in ended.last_words:
                raise troubles.from_source(sentence(camera.path), ended)
        troubles.check(ended, into, order.kind, place=camera.path)

    def _use(self, path: str) -> None:
        self._path = path
        self.address = f"usb:{path}" if path else ""

    def _camera(self) -> v4l2.Camera:
        """Raises CaptureError."""
        if self._path:
            try:
                return v4l2.look_at(self._path)
            except SourceError as error:
                raise troubles.from_source(error) from error
        if cameras := v4l2.list_cameras():
            return cameras[0]
        for path in sorted(v4l2.DEVICES.glob("video[0-9]*")):
            if not os.access(path, os.R_OK | os.W_OK):
                raise CaptureError("permission", f"The recorder may not open {path}.")
        raise CaptureError("no_camera", "No USB camera is connected.")


def _program() -> Check:
    try:
        command()
    except SourceError as error:
        return Check("program", False, str(error), checks.install("ffmpeg"))
    return Check("program", True, "FFmpeg is installed.")


def _choose(camera: v4l2.Camera, order: Order) -> v4l2.Offer:
    """H.264 for a video where the camera codes it itself, and rather not for a picture.
    Raises CaptureError.
    """
    is_video = order.kind != "jpg"
    fitting = (offer.format for offer in camera.offers if (offer.format == "h264") == is_video)
    wanted = next(fitting, "")
    try:
        size = f"{order.width}x{order.height}" if order.width and order.height else ""
        return v4l2.choose(camera, format_name=wanted, size=size, fps=order.fps)
    except SourceError as error:
        raise troubles.from_source(error) from error


def _output(order: Order, offer: v4l2.Offer) -> list[str]:
    if order.kind == "jpg":
        # Coded anew even if the camera sends JPEGs: many leave out tables that viewers need.
        look_s = min(_LONGEST_LOOK_S, order.duration_ms / 1000)
        return [
            "-ss", f"{look_s:g}", "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "2",
            "-pix_fmt", "yuvj420p", "-f", "image2", "-update", "1",
        ]  # fmt: skip
    coded = ["-c:v", "copy"]
    if offer.format != "h264":
        coded = [
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p",
            "-g", str(2 * max(1, order.fps)),
        ]  # fmt: skip
    wrapped = ["-movflags", "+faststart", "-f", "mp4"] if order.kind == "mp4" else ["-f", "h264"]
    return ["-t", f"{order.duration_ms / 1000:g}", *coded, *wrapped]
