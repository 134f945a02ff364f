"""The Pi's camera by picamera2, which only the system's own Python has.

A stand-alone program (stills/helper) is run by that Python; what it answers is one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stills.cameras import checks, programs, troubles, wrapping
from stills.cameras.programs import Ended
from stills.cameras.protocol import Check, Found, Order
from stills.exceptions import CaptureError

HELPER = Path(__file__).resolve().parent.parent / "helper" / "picamera2_helper.py"
PACKAGE = "python3-picamera2"
PYTHON_PATH = "/usr/bin:/usr/local/bin"  # never the recorder's own, which has other packages
LIST_MS = 10_000
START_MS = 15_000  # of Python and picamera2 themselves, on a Pi Zero
_BEGINS = '{"stage": "taking"}'


class Picamera2Camera:
    name = "picamera2"
    address = "picamera:0"

    def look(self) -> Found:
        try:
            argv = [_python(), "-B", str(HELPER), "list"]
        except CaptureError as error:
            check = Check("helper", False, str(error), checks.install("python3"))
            return Found(self.name, (), (check,))
        try:
            ended = programs.run(argv, timeout_ms=LIST_MS)
        except CaptureError as error:
            return Found(self.name, (), (checks.no_answer(error),))
        answer = _answer(ended)
        if answer.get("code") == "missing_program":
            check = Check("helper", False, str(answer.get("sentence")), checks.install(PACKAGE))
            return Found(self.name, (), (check,))
        if not answer.get("ok"):
            sentence = str(answer.get("sentence") or "picamera2 does not run on this machine.")
            advice = "Update Raspberry Pi OS: sudo apt full-upgrade."
            return Found(self.name, (), (Check("helper", False, sentence, advice),))
        found = [Check("helper", True, "picamera2 is installed."), checks.permission()]
        cameras = [(str(number), str(name)) for number, name in answer["cameras"]]
        if cameras:
            found.append(Check("camera", True, f"A camera is connected: {cameras[0][1]}."))
        else:
            found.append(checks.no_pi_camera(ended))
        return Found(self.name, cameras, found)

    def take(
        self, order: Order, into: Path, *, lock_fd: int, is_wanted: Callable[[], bool]
    ) -> None:
        kind = "h264" if order.kind == "mp4" else order.kind
        written = into.with_name(f"{into.name}.{kind}")
        try:
            ended = programs.run(
                [
                    _python(), "-B", str(HELPER), "take", "--kind", kind,
                    f"--width={order.width}", f"--height={order.height}", f"--fps={order.fps}",
                    f"--duration-ms={order.duration_ms}", f"--output={written.name}",
                ],
                timeout_ms=order.timeout_ms,
                cwd=into.parent,
                lock_fd=lock_fd,
                is_wanted=is_wanted,
                start_ms=START_MS,
                begins=_BEGINS,
                hopeless=troubles.STOPPED,
            )  # fmt: skip
            _raise_what_it_said(ended, written, self.address)
            troubles.check(ended, written, kind, place=self.address)
            if order.kind == "mp4":
                wrapping.wrap(written, into, order, is_wanted=is_wanted)
            else:
                written.rename(into)
        finally:
            with contextlib.suppress(OSError):  # the caller tidies up as well
                written.unlink()


def _python() -> str:
    """Raises CaptureError("missing_program")."""
    if path := shutil.which("python3", path=PYTHON_PATH):
        return path
    raise programs.missing("python3")


def _answer(ended: Ended) -> dict[str, Any]:
    """The last line of JSON; {} where it said none."""
    for line in reversed(ended.stdout.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(line)
            if isinstance(answer, dict) and "ok" in answer:
                return answer
    return {}


def _raise_what_it_said(ended: Ended, written: Path, place: str) -> None:
    """The libraries below it may have said more on stderr than reached it as an exception."""
    answer = _answer(ended)
    if answer.get("ok"):
        return
    code = str(answer.get("code") or "failed")
    better = troubles.explained(ended, written, place=place)
    if code == "failed" and (better.code != "failed" or not answer.get("sentence")):
        raise better
    raise CaptureError(
        code,
        str(answer.get("sentence")),
        contract=troubles.contract(ended),
        detail=ended.last_words,
    )
