"""The older ESP32 sketch as a whole board: what it does from a boot to deep sleep, within its limits.

The bytes are those of `FirmwareClient`; here are the buffers, the deadlines and the order of things.
One thing is not reproduced: its TLS library names the server's address in the SNI, which Python's
does not do for addresses (the host build of Roost's own firmware does).
"""

from __future__ import annotations

import io
import json
import secrets
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from zeroconf._dns import DNSAddress, DNSPointer, DNSService
from zeroconf._protocol.incoming import DNSIncoming

from capture import simulator_wire as wire
from capture.media import counting
from devices.sensor import RESOLUTIONS
from tests.instruments.firmware import FirmwareClient

SERVICE = "_mycam-server._tcp.local."
STREAM_S, FRAME_S, HEARTBEAT_S = 30.0, 0.1, 5.0
MDNS_S, REPLY_S, SILENCE_S, LINE_S = 10.0, 10.0, 1.0, 1.0
ADDRESS_BYTES, REPLY_BYTES, MESSAGE_BYTES = 16, 500, 300
GOODBYE_S = 0.1


class Panic(Exception):
    """The board crashes and boots anew."""


class GaveUp(Exception):
    """Any failure is deep sleep until the next motion."""


@dataclass
class Memory:
    """RTC memory: survives deep sleep, not a power cut."""

    address: str = ""
    port: int = 0
    key: str = ""
    boots: int = 0


@dataclass
class Life:
    """From a boot to deep sleep. `taken`: counter and epoch ms of each picture that was sent;
    `unread`: messages that did not fit its memory; `failure`: why it went to sleep early."""

    taken: dict[int, int] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    unread: int = 0
    failure: str = ""


def arduino_json_bytes(document: object) -> int:
    """Memory of ArduinoJson 6 on 32 bits: 16 bytes a member, and every string with its NUL."""
    if isinstance(document, dict):
        members = document.items()
        return sum(16 + len(name) + 1 + arduino_json_bytes(value) for name, value in members)
    return len(document) + 1 if isinstance(document, str) else 0


class Sketch:
    """`network_port`: the only recorder of its network; other recorders of this machine are not
    heard. `patience` stretches its deadlines, for machines that are busy with something else."""

    def __init__(
        self, mac: str, ca: Path, *, network_port: int, stream_s: float = STREAM_S, patience: float = 1
    ) -> None:  # fmt: skip
        self.mac, self.ca, self.stream_s, self.patience = mac, ca, stream_s, patience
        self.memory = Memory()
        self.counter = 0
        self._network_port = network_port
        self._scene = _scene("SVGA")
        self._life = Life()

    def power_on(self) -> Life:
        self.memory = Memory()
        return self._boot()

    def wake(self) -> Life:
        return self._boot()

    def _boot(self) -> Life:
        self.memory.boots += 1
        self._life = Life()
        try:
            if not self.memory.key:
                self._discover()
                self._register()
            self._stream()
        except (GaveUp, wire.Refused, OSError) as error:
            self._life.failure = f"{type(error).__name__}: {error}"
        return self._life

    # --- before the stream ------------------------------------------------------------------------

    def _discover(self) -> None:
        """One PTR question; the first answer's first IPv4 address, which must be in that packet."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            local = socket.inet_aton("127.0.0.1")
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, local)
            asking.bind(("127.0.0.1", 0))
            asking.sendto(_question(), ("224.0.0.251", 5353))
            deadline = time.monotonic() + MDNS_S * self.patience
            while True:
                asking.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    found = _endpoint(asking.recv(9000))
                except TimeoutError:
                    raise GaveUp("no recorder answered") from None
                if found and found[1] == self._network_port:
                    self.memory.address, self.memory.port = found
                    return

    def _client(self) -> FirmwareClient:
        memory = self.memory
        return FirmwareClient(memory.address, memory.port, self.ca, timeout=10 * self.patience)

    def _register(self) -> None:
        client = self._client()
        with client.open() as link:
            _check_names(link, self.memory.address)
            link.sendall(wire.register_request(client.host, client.port, self.mac))
            link.settimeout(REPLY_S * self.patience)
            reply = link.recv(4096)
            link.settimeout(SILENCE_S * self.patience)
            try:
                while chunk := link.recv(4096):
                    reply += chunk
            except TimeoutError:
                pass  # a second of silence is the end, whatever was announced
        key = wire.parse_register(reply)
        used = arduino_json_bytes(json.loads(reply.partition(b"\r\n\r\n")[2]))
        if used > REPLY_BYTES:
            raise GaveUp(f"the reply needs {used} bytes of {REPLY_BYTES}")
        self.memory.key = key

    # --- the stream -------------------------------------------------------------------------------

    def _stream(self) -> None:
        with self._client() as client:
            client.connect(self.memory.key, line_s=LINE_S * self.patience)
            _check_names(client.socket, self.memory.address)
            client.send_text({"type": "status_update", "status": "online"})
            began = time.monotonic()
            is_streaming = True
            frame_at = beat_at = began
            while (now := time.monotonic()) - began < self.stream_s:
                for opcode, payload in client.poll():
                    if opcode == wire.PING:
                        client.socket.sendall(wire.pong(payload))
                    elif opcode == wire.CLOSE:
                        raise GaveUp("the recorder closed the connection")
                    elif opcode == wire.TEXT and (told := self._read(payload)):
                        if told in ("reboot", "sleep"):
                            client.fall_asleep()
                            return
                        is_streaming = told == "start_streaming"
                if now >= beat_at:
                    beat_at = now + HEARTBEAT_S
                    client.send_text(self._heartbeat(now - began))
                if is_streaming and now >= frame_at:
                    frame_at = now + FRAME_S
                    client.send_jpeg(self._picture())
                time.sleep(0.01)
            client.send_text({"type": "status_update", "status": "entering_sleep"})
            time.sleep(GOODBYE_S)
            client.socket.sendall(wire.closing(1000))
            client.close()  # no closing handshake

    def _read(self, payload: bytes) -> str:
        """The action of a command, or "". Raises Panic for what its C strings do not survive."""
        message = json.loads(payload)
        if not isinstance(message, dict) or arduino_json_bytes(message) > MESSAGE_BYTES:
            self._life.unread += 1
            return ""
        kind = message.get("type")
        if not isinstance(kind, str):
            raise Panic("a message without a type")
        self._life.heard.append(kind)
        if kind == "config_update" and "resolution" in message.get("config", {}):
            self._scene = _scene(message["config"]["resolution"])
        if kind != "command":
            return ""
        action = message.get("action")
        if not isinstance(action, str):
            raise Panic("a command without an action")
        known = ("start_streaming", "stop_streaming", "reboot", "sleep")
        return action if action in known else ""

    def _heartbeat(self, up_s: float) -> dict[str, Any]:
        return {
            "type": "heartbeat",
            "uptime": round(1000 * up_s),
            "free_heap": 148_000,
            "boot_count": self.memory.boots,
            "rssi": -60,
        }

    def _picture(self) -> bytes:
        """With its counter and the time painted in."""
        now_ms = time.time_ns() // 1_000_000
        counting.paint(self._scene, counting.Stamp(self.counter, 0, now_ms))
        data = io.BytesIO()
        self._scene.save(data, "JPEG", quality=80)
        self._life.taken[self.counter] = now_ms
        self.counter += 1
        return data.getvalue()


def _scene(resolution: str) -> Image.Image:
    return Image.effect_noise(RESOLUTIONS[resolution], 12).convert("RGB")


def _check_names(link: ssl.SSLSocket, address: str) -> None:
    """mbedTLS 2.28 compares the address with dNSName entries alone, when there are any names."""
    certificate = link.getpeercert() or {}
    names: Any = certificate.get("subjectAltName", ())
    if names and ("DNS", address) not in names:
        raise GaveUp(f"the certificate has no DNS entry {address}")


def _question() -> bytes:
    """Numbered: responders ignore a packet that equals one of the last second."""
    labels = SERVICE.rstrip(".").split(".")
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    number = secrets.randbelow(65535) + 1
    return struct.pack(">6H", number, 0, 1, 0, 0, 0) + name + struct.pack(">2H", 12, 1)


def _endpoint(packet: bytes) -> tuple[str, int] | None:
    """Of the first instance that is named; None for a packet that does not say it all."""
    records = DNSIncoming(packet).answers()
    pointer = next((r for r in records if isinstance(r, DNSPointer) and r.name == SERVICE), None)
    if pointer is None:
        return None
    service = next(
        (r for r in records if isinstance(r, DNSService) and r.name == pointer.alias), None
    )
    if service is None:
        return None
    found = [
        socket.inet_ntoa(r.address)
        for r in records
        if isinstance(r, DNSAddress) and r.name == service.server and len(r.address) == 4
    ]
    if not found or len(found[0]) >= ADDRESS_BYTES:
        return None
    return found[0], service.port
