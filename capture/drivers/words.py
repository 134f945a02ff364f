"""Why a camera gives no video, in words: what happened, and what a person can do.

One place, so that every driver says the same thing in the same words. No sentence holds a
password: paths come with `{password}` where one stands in them (devices.addresses).
"""

from __future__ import annotations

from capture.agent.protocol import SourceError

_LONGEST = 80  # of what a camera or a person wrote, when it is repeated


def _said(text: str) -> str:
    """What somebody wrote, fit to stand in a sentence; a whole one has at most 300 letters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(plain.split())[:_LONGEST]


# --- finding and reaching it --------------------------------------------------------------------


def unknown_name(host: str) -> SourceError:
    return SourceError(
        "unreachable",
        f"No machine called {_said(host)} was found. Check the name, or use the camera's IP address.",
    )


def no_answer(place: str) -> SourceError:
    return SourceError(
        "no_answer",
        f"Nothing answers at {_said(place)}. Is the camera switched on and in this network?",
    )


def nothing_listens(place: str) -> SourceError:
    host, _, port = place.rpartition(":")
    host, port = _said(host), _said(port)
    return SourceError(
        "unreachable",
        f"{host} is there, but nothing listens on port {port}. Check the port, and that the camera's"
        " video service is switched on.",
    )


def no_way(place: str, reason: str) -> SourceError:
    return SourceError("unreachable", f"There is no way to {_said(place)}: {_said(reason)}.")


def bad_address(sentence: str) -> SourceError:
    return SourceError("bad_address", sentence)


def no_tls(place: str, protocol: str) -> SourceError:
    """`protocol`: rtsps or https."""
    plain = protocol.removesuffix("s")
    return SourceError(
        "failed",
        f"What answers at {_said(place)} does not speak {protocol}. Try {plain}:// instead.",
    )


def bad_certificate(host: str) -> SourceError:
    return SourceError(
        "failed",
        f"The certificate of {_said(host)} is not valid. On the internet a camera needs one that is; in a"
        " private network any will do.",
    )


# --- talking to it ------------------------------------------------------------------------------


def refused(has_login: bool) -> SourceError:
    if has_login:
        text = "The camera refused the password. Check user name and password."
    else:
        text = "The camera wants a user name and a password."
    return SourceError("refused", text)


def unknown_login(scheme: str) -> SourceError:
    return SourceError(
        "refused",
        f"The camera wants to be logged in to by {_said(scheme)}; only Basic and Digest are known."
        " Change it in the camera's settings.",
    )


def forbidden(path: str) -> SourceError:
    return SourceError(
        "refused",
        f"The camera does not let this user see {_said(path)}. Check the user's rights there.",
    )


def not_found(path: str) -> SourceError:
    if path in ("", "/"):
        text = "The camera wants to know which stream: the address must go on behind the host."
    else:
        text = (
            f"There is no stream called {_said(path)} at this camera. Check what stands behind the"
            " host."
        )
    return SourceError("not_found", text)


def redirected(where: str) -> SourceError:
    return SourceError(
        "redirected",
        f"The camera sends us to another address ({_said(where)}), which is not followed. If that"
        " is the right one, enter it instead.",
    )


def busy() -> SourceError:
    return SourceError(
        "busy", "The camera has no room for another viewer. Close other programs that watch it."
    )


def answered_error(status: int, reason: str) -> SourceError:
    said = _said(f"{status} {reason}")
    return SourceError("failed", f"The camera answered with an error ({said}).")


def not_understood(place: str, protocol: str) -> SourceError:
    return SourceError(
        "failed", f"What answers at {_said(place)} does not speak {protocol}. Check the port."
    )


def silent(stage: str) -> SourceError:
    """`stage`: the question it left open, as in "DESCRIBE"."""
    return SourceError(
        "silent",
        f"The camera answered at first and then no more (after {stage}). Is it overloaded?",
    )


def hung_up(stage: str) -> SourceError:
    """`stage`: the question it had been asked."""
    return SourceError(
        "ended",
        f"The camera closed the connection (after {stage}). It may have too many viewers already.",
    )


def no_picture_came(question: str) -> SourceError:
    return SourceError("silent", f"It answered, but no video came after {question}.")


def stopped(seconds: float) -> SourceError:
    return SourceError("silent", f"The camera has sent nothing for {seconds:.0f} s.")


def ended() -> SourceError:
    return SourceError("ended", "The camera ended the stream.")


# --- what it sends ------------------------------------------------------------------------------


def no_video() -> SourceError:
    return SourceError("no_video", "The camera answers, but offers no video at this address.")


def unknown_codec(codec: str) -> SourceError:
    return SourceError(
        "no_video",
        f"The camera's video is {_said(codec)}; only H.264, H.265 and MJPEG can be taken. Change it"
        " in the camera's settings.",
    )


def only_udp() -> SourceError:
    return SourceError(
        "no_video", "The camera does not send its video over TCP. Allow that in its settings."
    )


def a_web_page() -> SourceError:
    return SourceError(
        "no_video",
        "It answers with a web page, not with pictures. Enter the address of the picture itself.",
    )


def a_playlist() -> SourceError:
    return SourceError(
        "no_video",
        "It answers with a playlist, which is not followed. Enter the address of the stream itself.",
    )


def no_pictures(content_type: str) -> SourceError:
    return SourceError(
        "no_video", f"It answers with {_said(content_type) or 'something'}, not with JPEG pictures."
    )


def too_large(limit_bytes: int) -> SourceError:
    return SourceError(
        "failed", f"The camera sends pictures of more than {limit_bytes >> 20} MiB each."
    )


def damaged(reason: str) -> SourceError:
    return SourceError("failed", f"The camera's pictures are damaged: {_said(reason)}.")


# --- cameras of this machine ----------------------------------------------------------------------


def no_device(name: str) -> SourceError:
    return SourceError("not_found", f"There is no camera at {_said(name)}. Is it plugged in?")


def no_camera_there(name: str) -> SourceError:
    return SourceError(
        "not_found",
        f"{_said(name)} is no camera that gives pictures. Cameras often have two files: try the other.",
    )


def unplugged(name: str) -> SourceError:
    return SourceError("ended", f"The camera at {_said(name)} was unplugged.")


def device_busy(name: str) -> SourceError:
    return SourceError("busy", f"Another program uses the camera at {_said(name)}.")


def no_permission(name: str) -> SourceError:
    return SourceError(
        "permission",
        f"The recorder may not open {_said(name)}. Add its user to the group video and start it again.",
    )


def missing_program(names: str, package: str) -> SourceError:
    return SourceError(
        "missing_program", f"{names} is not installed on this machine (package {package})."
    )


def no_pi_camera(number: int) -> SourceError:
    return SourceError(
        "not_found",
        f"No Pi camera has the number {number}. Check the ribbon cable, then restart the Pi.",
    )


def failed(what: str, detail: str) -> SourceError:
    return SourceError("failed", f"{what}: {_said(detail) or 'no reason given'}.", detail=detail)
