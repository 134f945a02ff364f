"""One SOAP question by HTTP, to an address that was checked.

Not urllib: the connection must be made to the checked address, no redirect may be followed, and an
answer must end after so many bytes and seconds, however slowly it drips.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from capture.drivers import words
from capture.drivers.connection import Channel, Closed, connect
from capture.drivers.login import Login
from devices import addresses
from devices.addresses import Address

ANSWER_SECONDS = 5.0
MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 256 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r?\n")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]] = field(repr=False)  # names in small letters
    body: bytes = field(repr=False)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


async def post(
    address: Address, ips: list[addresses.IpAddress], body: bytes, login: Login
) -> Answer:
    """The answer, whatever its status but a redirect; logs in by HTTP when it is asked to.

    Raises SourceError.
    """
    answer = await _post_once(address, ips, body, login)
    if answer.status == 401 and answer.all("www-authenticate") and login.is_given:
        login.challenge(answer.all("www-authenticate"))
        answer = await _post_once(address, ips, body, login)
    if 300 <= answer.status < 400:
        raise words.redirected(next(iter(answer.all("location")), "nowhere"))
    return answer


async def _post_once(
    address: Address, ips: list[addresses.IpAddress], body: bytes, login: Login
) -> Answer:
    channel = await connect(address, ips)
    try:
        channel.write(_head(address, len(body), login) + body)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _read(channel)
    except TimeoutError as error:
        raise words.silent("an ONVIF question") from error
    except (Closed, ValueError) as error:
        raise words.not_understood(address.place, "ONVIF") from error
    finally:
        channel.close()


def _head(address: Address, length: int, login: Login) -> bytes:
    lines = [
        f"POST {address.path} HTTP/1.1",
        f"Host: {address.netloc}",
        "Content-Type: application/soap+xml; charset=utf-8",
        f"Content-Length: {length}",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    if authorization := login.authorization("POST", address.path):
        lines.append(f"Authorization: {authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(channel: Channel) -> Answer:
    """Raises Closed, and ValueError for what is no HTTP or too much."""
    while True:
        head = await channel.read_until((b"\r\n\r\n", b"\n\n"), MAX_HEAD_BYTES)
        status_line = _STATUS.match(head)
        if status_line is None:
            raise ValueError("no HTTP")
        status = int(status_line[1])
        if status != 100:  # 100: it goes on
            break
    fields = (line.partition(b":") for line in head[status_line.end() :].splitlines())
    headers = [
        (name.strip().lower().decode("latin-1"), value.strip().decode("latin-1"))
        for name, _, value in fields
    ]
    found = dict(reversed(headers))
    if found.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(channel)
    elif "content-length" in found:
        body = await channel.read_exactly(_length(found["content-length"], 10))
    else:
        body = await _to_the_end(channel)
    reason = (status_line[2] or b"").decode("latin-1")
    return Answer(status, reason, headers, body)


async def _chunks(channel: Channel) -> bytes:
    body = b""
    while True:
        line = await channel.read_until((b"\n",), 64)
        length = _length(line.partition(b";")[0].strip().decode("latin-1"), 16)
        if length == 0:
            return body
        body += await channel.read_exactly(length)
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("too long")
        await channel.read_until((b"\n",), 2)


async def _to_the_end(channel: Channel) -> bytes:
    body = b""
    try:
        while len(body) <= MAX_BODY_BYTES:
            body += await channel.read()
    except Closed:
        return body
    raise ValueError("too long")


def _length(text: str, base: int) -> int:
    if not re.fullmatch("[0-9a-fA-F]{1,8}", text):
        raise ValueError("no length")
    length = int(text, base)
    if length > MAX_BODY_BYTES:
        raise ValueError("too long")
    return length
