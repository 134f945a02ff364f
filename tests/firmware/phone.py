"""A phone that joined the network of a camera's set-up portal."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import struct
from urllib.parse import urlencode

from tests.firmware.host import HostCamera

PORTAL = ("--portal-http", "0", "--portal-dns", "0")


class Phone:
    """In the camera's network."""

    def __init__(self, running: HostCamera) -> None:
        self.url = re.findall(r"open (http://[\d.]+:\d+/)", running.log())[-1]
        self.dns = int(re.findall(r"answered at port (\d+)", running.log())[-1])
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def ask(self, method: str, path: str = "/", body: str = "") -> tuple[int, str, str]:
        """Status, where it leads and the page."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        line.request(method, path, body or None, headers)
        reply = line.getresponse()
        page = reply.read().decode()
        line.close()
        return reply.status, reply.headers.get("Location", ""), page

    def fill_in(self, **fields: str) -> tuple[int, str]:
        status, _, page = self.ask("POST", body=urlencode(fields))
        return status, page

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def resolve(self, name: str) -> str:
        labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
        question = struct.pack(">6H", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\x01\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(20)
            line.sendto(question, ("127.0.0.1", self.dns))
            answer = line.recv(600)
        assert answer[:2] == question[:2]
        assert answer[12 : len(question)] == question[12:]
        return socket.inet_ntoa(answer[-4:])


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
