"""A real RTSP camera for tests: GStreamer's RTSP server, which nobody here wrote.

Two halves in one file. `RtspServer` belongs to the test and starts this file as a child under
Debian's own Python, which has GStreamer's bindings; the venv has not. `_serve` is that child.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"
START_SECONDS = 20.0
PACKAGES = "gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-base/-good/-bad/-ugly, python3-gi"


@dataclass(frozen=True)
class Stream:
    """What the camera sends and whom it lets in. `pattern`: ball, or snow, which fills the bit rate.

    `codec`: h264, h265 or jpeg. `audio`: "", aac, pcmu, pcma or opus. `auth`: basic or digest,
    used when there is a `username`. `small_after_s`: from then on the pictures have a quarter of
    the size, with new parameter sets in the stream.
    """

    codec: str = "h264"
    pattern: str = "ball"
    width: int = 640
    height: int = 360
    fps: int = 15
    gop: int = 15
    b_frames: int = 0
    kbit_per_s: int = 1000
    audio: str = ""
    username: str = ""
    password: str = ""
    auth: str = "digest"
    small_after_s: float = 0.0
    path: str = "/live"
    port: int = 0  # 0: any free one
    certificate: str = ""  # PEM file with key and certificate: rtsps instead of rtsp


@functools.cache
def missing() -> str:
    """Why there is no GStreamer RTSP server here, or "": the reason of a skipped test."""
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0')\n"
    )
    check += "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
    check += "import sys; names = ('x264enc', 'x265enc', 'voaacenc', 'rtph264pay', 'h265parse')\n"
    check += "sys.exit(any(Gst.ElementFactory.find(n) is None for n in names))"
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", check], check=False, capture_output=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{SYSTEM_PYTHON} cannot be asked for GStreamer: {error}"
    return f"GStreamer's RTSP server is not installed ({PACKAGES})" if done.returncode else ""


class RtspServer:
    """The camera while the `with` lasts; `kill` and `start` switch it off and on at its port."""

    def __init__(self, stream: Stream | None = None, **changes: Any) -> None:
        self.stream = stream or Stream(**changes)
        self.port = self.stream.port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        scheme = "rtsps" if self.stream.certificate else "rtsp"
        return f"{scheme}://127.0.0.1:{self.port}{self.stream.path}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        spec = json.dumps({**asdict(self.stream), "port": self.port})
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "GST_DEBUG_NO_COLOR": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(spec + "\n")
        self._process.stdin.flush()
        timer = threading.Timer(START_SECONDS, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready "):
            _, errors = self._process.communicate()
            raise RuntimeError(f"the RTSP server did not start: {line}{errors}")
        self.port = int(line.split()[1])

    def kill(self) -> None:
        """As a camera that loses power: nothing is said to its viewers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


# --- the child, under Debian's Python -----------------------------------------------------------


def _serve() -> None:
    import gi  # type: ignore[import-not-found]

    for name in ("Gst", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    stream = Stream(**json.loads(sys.stdin.readline()))
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(stream.port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(_pipeline(stream))
    factory.set_shared(True)
    if stream.username or stream.certificate:
        _guard(server, factory, stream)
    if stream.small_after_s:
        factory.connect("media-configure", functools.partial(_shrink_later, stream))
    server.get_mount_points().add_factory(stream.path, factory)
    if not server.attach(None):
        sys.exit("no port")
    sys.stdout.write(f"ready {server.get_bound_port()}\n")
    sys.stdout.flush()
    # The test's end of stdin closes when the test dies, however it dies.
    loop = GLib.MainLoop()
    GLib.io_add_watch(
        sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP, lambda *_: loop.quit()
    )
    loop.run()


def _pipeline(stream: Stream) -> str:
    x264 = (
        f"x264enc speed-preset=ultrafast bitrate={stream.kbit_per_s} key-int-max={stream.gop}"
        f" bframes={stream.b_frames} b-adapt=false "
        + ("rc-lookahead=5 sync-lookahead=0" if stream.b_frames else "tune=zerolatency threads=1")
        + f" ! video/x-h264,profile={'main' if stream.b_frames else 'baseline'}"
    )
    x265 = (
        f"x265enc speed-preset=ultrafast tune=zerolatency bitrate={stream.kbit_per_s}"
        f" key-int-max={stream.gop} log-level=none"
    )
    encode = {
        "h264": f"{x264} ! rtph264pay name=pay0 pt=96 config-interval=-1",
        "h265": f"{x265} ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1",
        "jpeg": "video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26",
    }[stream.codec]
    tone = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,channels=1,rate="
    sound = {
        "": "",
        "aac": tone + "16000 ! voaacenc bitrate=32000 ! rtpmp4gpay name=pay1 pt=97",
        "pcmu": tone + "8000 ! mulawenc ! rtppcmupay name=pay1 pt=0",
        "pcma": tone + "8000 ! alawenc ! rtppcmapay name=pay1 pt=8",
        "opus": tone + "48000 ! opusenc ! rtpopuspay name=pay1 pt=97",
    }[stream.audio]
    return (
        f"( videotestsrc is-live=true pattern={stream.pattern} ! capsfilter name=size caps={_size(stream)}"
        f" ! {encode} {sound} )"
    )


def _size(stream: Stream, divisor: int = 1) -> str:
    return (
        f"video/x-raw,format=I420,width={stream.width // divisor},"
        f"height={stream.height // divisor},framerate={stream.fps}/1"
    )


def _guard(server: Any, factory: Any, stream: Stream) -> None:
    from gi.repository import Gio, GstRtsp, GstRtspServer

    auth = GstRtspServer.RTSPAuth()
    if stream.username:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if stream.auth == "basic":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            login = GstRtspServer.RTSPAuth.make_basic(stream.username, stream.password)
            auth.add_basic(login, token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(stream.username, stream.password, token)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_role("viewer")
        for right in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", right, True)
        factory.set_permissions(permissions)
    if stream.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(stream.certificate))
    server.set_auth(auth)


def _shrink_later(stream: Stream, factory: Any, media: Any) -> None:
    """Counted in pictures, which begin to flow with PLAY, however busy the machine is."""
    from gi.repository import GLib, Gst

    size = media.get_element().get_by_name("size")
    seen = 0

    def shrink() -> bool:
        size.set_property("caps", Gst.Caps.from_string(_size(stream, 2)))
        return False

    def count(pad: Any, info: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == round(stream.small_after_s * stream.fps):
            GLib.idle_add(shrink)
        return Gst.PadProbeReturn.OK

    size.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, count)


if __name__ == "__main__":
    _serve()
