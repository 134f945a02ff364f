"""Cameras that say on the network that they are there, and what streams they offer (ONVIF).

The search asks by WS-Discovery on every interface and believes only what a camera says of itself:
an address of another machine is left out. So is a stream's. No redirect is followed, and every
answer has limits of time and size.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import ifaddr
from django.conf import settings

from capture import soap
from capture.agent.protocol import SourceError
from capture.drivers import words
from capture.drivers.connection import resolve
from capture.drivers.login import Login
from capture.onvif_http import Answer, post
from devices import addresses
from devices.addresses import Address

SEARCH_SECONDS = 4.0
ASKED_SECONDS = 12.0  # all questions to one camera together
MAX_CAMERAS = 64
MAX_DATAGRAMS = 512
MAX_DATAGRAM_BYTES = 16_384
SERVICE_PATH = "/onvif/device_service"
# Where a camera's device service is, for a person who knows only its name or number.
USUAL_PORTS = (80, 8080, 8000, 2020, 8899)
_GROUP = ("239.255.255.250", 3702)
_ASK_AGAIN_SECONDS = 1.0  # datagrams get lost, above all on Wi-Fi


@dataclass(frozen=True, slots=True)
class Camera:
    """One that answered; `address` is its host, with the port where that is not 80, `url` its
    device service."""

    name: str
    model: str
    address: str
    url: str


@dataclass(frozen=True, slots=True)
class Stream:
    """`url` without log-in; `codec` h264, hevc, mjpeg or "" where the camera does not say."""

    name: str
    url: str
    codec: str
    width: int
    height: int
    fps: float


# --- the search ---------------------------------------------------------------------------------


def interfaces() -> list[str]:
    """Our own IPv4 addresses, one a network that a camera may be in."""
    found = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4)
    return [str(ip) for ip in found if not ip_address(str(ip)).is_loopback]


async def search(
    on_found: Callable[[list[Camera]], None],
    *,
    own_addresses: Iterable[str] | None = None,
    group: tuple[str, int] = _GROUP,
    seconds: float = SEARCH_SECONDS,
) -> list[Camera]:
    """All that answered, each once; `on_found` gets the list whenever it has grown.

    An interface that cannot be used is left out; without any the list is empty.
    """
    listener = _Listener(on_found)
    loop = asyncio.get_running_loop()
    transports = []
    try:
        for own in interfaces() if own_addresses is None else own_addresses:
            with contextlib.suppress(OSError):
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: listener, sock=_socket(own)
                )
                transports.append(transport)
        until = time.monotonic() + seconds
        for _ in range(2):
            for transport in transports:
                for question in listener.questions:
                    transport.sendto(question, group)
            await asyncio.sleep(min(_ASK_AGAIN_SECONDS, seconds / 2))
        await asyncio.sleep(max(0.0, until - time.monotonic()))
    finally:
        for transport in transports:
            transport.close()
    return listener.cameras


def _socket(own: str) -> socket.socket:
    """Sends to the group from this interface, and no further than its network."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("b", 1))
        opened.setblocking(False)
        opened.bind((own, 0))
    except OSError:
        opened.close()
        raise
    return opened


class _Listener(asyncio.DatagramProtocol):
    """Takes the answers of all interfaces down."""

    def __init__(self, on_found: Callable[[list[Camera]], None]) -> None:
        ids = [str(uuid.uuid4()) for _ in soap.PROBED_TYPES]
        pairs = zip(ids, soap.PROBED_TYPES, strict=True)
        self.questions = [soap.probe(message_id, types) for message_id, types in pairs]
        self._ids = set(ids)
        self._on_found = on_found
        self._found: dict[str, Camera] = {}  # by IP address: the name of the service may vary
        self._datagrams = 0

    @property
    def cameras(self) -> list[Camera]:
        return sorted(self._found.values(), key=lambda each: (each.name.lower(), each.address))

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._datagrams += 1
        is_too_much = self._datagrams > MAX_DATAGRAMS or len(data) > MAX_DATAGRAM_BYTES
        host = str(addr[0])
        if is_too_much or host in self._found or len(self._found) >= MAX_CAMERAS:
            return
        try:
            matches = soap.matches(data)
        except soap.BadAnswer:
            return  # whoever it is, it is no camera
        for match in matches:
            service = _own_service(match.services, host) if match.relates_to in self._ids else None
            if service is not None:
                name = match.name or match.model or service.netloc
                camera = Camera(name, match.model, service.netloc, service.url_without_login)
                self._found[host] = camera
                self._on_found(self.cameras)
                return

    def error_received(self, exc: Exception) -> None:
        """Somebody answered that nothing listens there: no news in a search."""


def _own_service(services: Iterable[str], host: str) -> Address | None:
    """Of the addresses it names, the one on the machine that the answer came from."""
    for service in services:
        with contextlib.suppress(addresses.BadAddress):
            address = _parse(service)
            if address.kind == "http" and address.host == host:
                return address
    return None


def _parse(text: str) -> Address:
    return addresses.parse(text, allow_loopback=settings.NVR_ALLOW_LOOPBACK_CAMERAS)


# --- one camera's streams -----------------------------------------------------------------------


async def streams(place: str, username: str, password: str) -> list[Stream]:
    """What the camera offers, the largest picture first. Raises SourceError.

    `place`: the address of its device service, or a host with or without port as a person types it.
    """
    try:
        addresses.check_login(username, password)
        candidates = _services_at(place)
    except addresses.BadAddress as error:
        raise words.bad_address(str(error)) from error
    try:
        async with asyncio.timeout(ASKED_SECONDS):
            ips = await resolve(candidates[0])
            device = await _Device.reach(candidates, ips, username, password)
            return await device.streams()
    except TimeoutError as error:
        text = f"The camera did not answer within {ASKED_SECONDS:.0f} seconds."
        raise SourceError("no_answer", text) from error
    except soap.BadAnswer as error:
        raise SourceError("failed", f"What the camera answers is no ONVIF: {error}.") from error


def _services_at(place: str) -> list[Address]:
    """Raises BadAddress."""
    if "://" in place:
        address = _parse(place)
        if address.kind != "http":
            raise addresses.BadAddress("A camera is asked for its streams at http:// or https://.")
        return [address]
    typed = _parse(f"http://{place.strip()}")
    is_open = typed.port == 80 and typed.path == "/"
    ports = USUAL_PORTS if is_open else (typed.port,)
    path = SERVICE_PATH if typed.path == "/" else typed.path
    return [_parse(_url(typed, port, path)) for port in ports]


def _url(address: Address, port: int, path: str) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.scheme}://{host}:{port}{path}"


class _Device:
    """The conversation with one camera: all of it with the host that was reached."""

    def __init__(
        self, service: Address, ips: list[addresses.IpAddress], username: str, password: str
    ) -> None:
        self._service = service
        self._ips = ips
        self._login = Login(username, password)  # by HTTP, besides the token in each question
        self._token = partial(soap.user_token, username, password)
        self._ahead = timedelta()  # the camera's clock before ours

    @classmethod
    async def reach(
        cls,
        candidates: list[Address],
        ips: list[addresses.IpAddress],
        username: str,
        password: str,
    ) -> _Device:
        """Where the time of day is told, which needs no log-in. Raises SourceError."""
        worst: SourceError | None = None
        for service in candidates:
            device = cls(service, ips, username, password)
            try:
                await device._read_clock()
            except SourceError as error:
                if error.code not in ("unreachable", "not_found", "failed"):
                    raise
                worst = worst or error
            except soap.BadAnswer:
                worst = worst or words.not_understood(service.place, "ONVIF")
            else:
                return device
        if len(candidates) > 1 and worst is not None:
            raise SourceError(
                worst.code,
                f"No ONVIF service was found at {candidates[0].host}. Switch ONVIF on in the"
                " camera's own settings, or put in the full address of its stream.",
            )
        raise worst or words.no_answer(candidates[0].place)

    async def streams(self) -> list[Stream]:
        """Raises SourceError and BadAnswer."""
        offered: list[tuple[str, Address, soap.Profile]] = []
        refusal: SourceError | None = None
        for space, service in (await self._media()).items():
            try:
                root = await self._ask(service, soap.ask_profiles(space))
            except SourceError as error:
                if error.code == "refused":
                    raise
                refusal = error  # some announce the newer service and do not have it
                continue
            offered = [(space, service, profile) for profile in soap.profiles_of(root)]
            if offered:
                break
        if not offered:
            raise refusal or SourceError("no_video", "The camera names no stream.")
        found, elsewhere = [], ""
        for space, service, profile in offered:
            uri = soap.stream_of(await self._ask(service, soap.ask_stream(space, profile.token)))
            try:
                found.append(self._stream(uri, profile))
            except addresses.BadAddress:
                elsewhere = uri
        if not found:
            host = urlsplit(elsewhere).hostname or "none at all"
            raise SourceError(
                "redirected",
                f"The camera gives an address that is not its own ({host}), which is not used. If"
                " that is the right one, enter it by hand.",
            )
        return sorted(found, key=lambda each: -each.width * each.height)

    def _stream(self, uri: str, profile: soap.Profile) -> Stream:
        """Raises BadAddress, also for one on another host."""
        address = _parse(uri)
        own = {self._service.host, *map(str, self._ips)}
        if address.host not in own or address.kind not in ("rtsp", "http"):
            raise addresses.BadAddress("The stream is not on this camera.")
        return Stream(
            name=profile.name,
            url=address.url_without_login,
            codec=profile.codec,
            width=profile.width,
            height=profile.height,
            fps=profile.fps,
        )

    async def _media(self) -> dict[str, Address]:
        """The media services, the newer first, on this host whatever host the camera says."""
        try:
            found = soap.media_of(await self._ask(self._service, soap.ask_services()))
        except SourceError as error:
            if error.code == "refused":
                raise
            found = {}
        if not found:
            answer = await self._ask(self._service, soap.ask_capabilities())
            found = soap.media_of(answer)
        services = {}
        for space, url in found.items():
            with contextlib.suppress(addresses.BadAddress):
                named = _parse(url)
                services[space] = _parse(_url(self._service, self._service.port, named.path))
        return services or {soap.MEDIA: self._service}

    async def _read_clock(self) -> None:
        """Raises SourceError and BadAnswer."""
        question = soap.question(soap.ask_time())
        answer = await post(self._service, self._ips, question, self._login)
        try:
            _refuse_errors(answer, self._service, self._login)
        except SourceError as error:
            if error.code == "refused" and self._login.is_given:
                return  # some want a token even for this; then ours has to be about right
            raise
        camera_time = soap.time_of(soap.parse(answer.body))
        if camera_time is not None:
            self._ahead = camera_time - datetime.now(tz=UTC)

    async def _ask(self, service: Address, body: str) -> Any:
        """Raises SourceError and BadAnswer."""
        header = ""
        if self._login.is_given:
            header = self._token(datetime.now(tz=UTC) + self._ahead)
        answer = await post(service, self._ips, soap.question(body, header), self._login)
        _refuse_errors(answer, service, self._login)
        return soap.parse(answer.body)


def _refuse_errors(answer: Answer, service: Address, login: Login) -> None:
    """Raises SourceError for what is no answer to the question."""
    if answer.status in (401, 403):
        raise words.refused(login.is_given)
    fault = ""
    with contextlib.suppress(soap.BadAnswer):
        fault = soap.fault_of(soap.parse(answer.body))
    if fault and soap.is_refusal(fault):
        raise words.refused(login.is_given)
    if answer.status == 404:
        raise words.not_found(service.path)
    if fault or answer.status != 200:
        raise words.answered_error(answer.status, fault or answer.reason)
