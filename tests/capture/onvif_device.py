"""A stand-in for an ONVIF camera, written for these tests: discovery by UDP, SOAP by HTTP.

It checks log-ins as cameras do, and misbehaves when told to.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVICE = "/onvif/device_service"
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
    ' xmlns:trt="http://www.onvif.org/ver10/media/wsdl"'
    ' xmlns:tr2="http://www.onvif.org/ver20/media/wsdl"'
    ' xmlns:tt="http://www.onvif.org/ver10/schema">'
    "<SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
)
REFUSAL = (
    "<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value>"
    "<SOAP-ENV:Subcode><SOAP-ENV:Value>ter:NotAuthorized</SOAP-ENV:Value></SOAP-ENV:Subcode>"
    "</SOAP-ENV:Code></SOAP-ENV:Fault>"
)


@dataclass
class Device:
    """`password` empty: it wants no log-in. `streams` by profile token; `says` replaces an answer
    by the name of the question: (status, headers, body), or a callable that gets the handler.
    """

    host: str = "127.0.0.1"
    port: int = 0
    username: str = "admin"
    password: str = ""
    way: str = "token"  # or "digest", the HTTP way
    has_media_2: bool = True
    year: int = 2026
    streams: dict[str, str] = field(default_factory=dict)
    says: dict[str, Any] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}{SERVICE}"

    def answer(self, question: str, body: str) -> str:
        match question:
            case "GetSystemDateAndTime":
                return self._time()
            case "GetServices":
                return self._services()
            case "GetCapabilities":
                media = f"http://{self.host}:{self.port}/onvif/media"
                return f"<tds:Capabilities><tt:Media><tt:XAddr>{media}</tt:XAddr></tt:Media></tds:Capabilities>"
            case "GetProfiles":
                return self._profiles(is_new="ver20/media" in body)
            case "GetStreamUri":
                token = re.search("<ProfileToken>(.*?)</ProfileToken>", body)
                uri = self.streams[token[1] if token else ""]
                return (
                    f"<trt:GetStreamUriResponse><tt:Uri>{uri}</tt:Uri></trt:GetStreamUriResponse>"
                )
        raise AssertionError(f"nobody asks {question}")

    def _time(self) -> str:
        return (
            "<tds:GetSystemDateAndTimeResponse><tt:UTCDateTime><tt:Time><tt:Hour>3</tt:Hour>"
            "<tt:Minute>4</tt:Minute><tt:Second>5</tt:Second></tt:Time><tt:Date>"
            f"<tt:Year>{self.year}</tt:Year><tt:Month>1</tt:Month><tt:Day>2</tt:Day></tt:Date>"
            "</tt:UTCDateTime></tds:GetSystemDateAndTimeResponse>"
        )

    def _services(self) -> str:
        names = ["ver10/device", "ver10/media", *(["ver20/media"] if self.has_media_2 else [])]
        # As cameras behind a router do: their own idea of their address.
        return "".join(
            f"<tds:Service><tds:Namespace>http://www.onvif.org/{name}/wsdl</tds:Namespace>"
            f"<tds:XAddr>http://10.9.8.7/onvif/{name[3:5]}</tds:XAddr></tds:Service>"
            for name in names
        )

    def _profiles(self, *, is_new: bool) -> str:
        found = []
        for number, token in enumerate(self.streams):
            size = f"<tt:Width>{640 << number}</tt:Width><tt:Height>{360 << number}</tt:Height>"
            encoding = ("H264", "H265")[number % 2] if is_new else "H264"
            rate = "<tt:RateControl><tt:FrameRateLimit>15</tt:FrameRateLimit></tt:RateControl>"
            inner = (
                f"<tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>{size}</tt:Resolution>{rate}"
            )
            encoder = "tr2:VideoEncoder" if is_new else "tt:VideoEncoderConfiguration"
            name = f"<tt:Name>Stream {number + 1}</tt:Name>"
            found.append(
                f'<trt:Profiles token="{token}">{name}<{encoder}>{inner}</{encoder}></trt:Profiles>'
            )
        return "".join(found)

    def lets_in(self, question: str, body: str, authorization: str) -> bool:
        if not self.password or question == "GetSystemDateAndTime":
            return True
        return self._is_token_right(body) if self.way == "token" else self._is_digest(authorization)

    def _is_token_right(self, body: str) -> bool:
        fields = dict(re.findall(r"<s:(Username|Password|Nonce)(?: [^>]*)?>([^<]*)<", body))
        created = re.search("<u:Created>([^<]*)<", body)
        if not fields or created is None or not created[1].startswith(str(self.year)):
            return False
        nonce = base64.b64decode(fields["Nonce"])
        mixed = nonce + created[1].encode() + self.password.encode()
        digest = base64.b64encode(hashlib.sha1(mixed).digest()).decode()
        return (fields["Username"], fields["Password"]) == (self.username, digest)

    def _is_digest(self, authorization: str) -> bool:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        if not fields:
            return False

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        first = md5(f"{self.username}:camera:{self.password}")
        second = md5(f"POST:{fields['uri']}")
        middle = f"n0:{re.search('nc=([0-9a-f]+)', authorization)[1]}:{fields['cnonce']}:auth"  # type: ignore[index]
        return str(fields["response"]) == md5(f"{first}:{middle}:{second}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    device: Device

    def do_POST(self) -> None:
        device = self.device
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        found = re.search(r"<e:Body><(\w+)", body)
        question = found[1] if found else ""
        device.questions.append(question)
        device.bodies.append(body)
        override = device.says.get(question)
        if callable(override):
            override(self)
        elif override is not None:
            self.send(*override)
        elif not device.lets_in(question, body, self.headers.get("Authorization", "")):
            self._refuse()
        else:
            self.send(200, {}, ENVELOPE.format(body=device.answer(question, body)))

    def _refuse(self) -> None:
        if self.device.way == "digest":
            asks = 'Digest realm="camera", nonce="n0", qop="auth"'
            self.send(401, {"WWW-Authenticate": asks}, "")
        else:
            self.send(400, {}, ENVELOPE.format(body=REFUSAL))

    def send(self, status: int, headers: dict[str, str], text: str | bytes) -> None:
        body = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):  # who asked may have had enough
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked hung up; the test looks at what it got."""


@contextmanager
def served(device: Device) -> Iterator[Device]:
    handler = type("Handler", (_Handler,), {"device": device})
    server = _Server((device.host, device.port), handler)
    device.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield device
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def match(device: Device, probe: bytes, *, services: str = "") -> bytes:
    """What the device answers to a probe."""
    message_id = re.search(rb"uuid:([0-9a-f-]+)", probe)
    assert message_id
    return (
        '<?xml version="1.0"?><S:Envelope xmlns:S="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:A="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:D="http://schemas.xmlsoap.org/ws/2005/04/discovery"><S:Header>'
        f"<A:RelatesTo>urn:uuid:{message_id[1].decode()}</A:RelatesTo></S:Header><S:Body>"
        "<D:ProbeMatches><D:ProbeMatch><D:Types>dn:NetworkVideoTransmitter</D:Types><D:Scopes>"
        " onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Front%20door"
        " onvif://www.onvif.org/hardware/IPC_12 </D:Scopes>"
        f"<D:XAddrs>{services or device.url}</D:XAddrs></D:ProbeMatch></D:ProbeMatches>"
        "</S:Body></S:Envelope>"
    ).encode()


@contextmanager
def listening(
    answers: Callable[[bytes], list[bytes]], host: str, *, group: str = ""
) -> Iterator[tuple[str, int]]:
    """Answers every datagram with those that `answers` gives; yields where it listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("" if group else host, 0))
        if group:
            membership = socket.inet_aton(group) + socket.inet_aton(host)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        opened.settimeout(0.05)
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                with suppress(TimeoutError):
                    probe, asker = opened.recvfrom(65_535)
                    for answer in answers(probe):
                        opened.sendto(answer, asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield opened.getsockname()
        finally:
            is_over.set()
            thread.join()
