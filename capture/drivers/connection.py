"""A TCP or TLS connection to a camera, made to an address that was checked.

The name is looked up once, each address is checked (`devices.addresses.check_ip`), and the
connection is made to exactly that address: a name cannot point elsewhere in between.

TLS: cameras have certificates that nobody signed, so in private networks any is taken, and what
is gained is that nobody listens in passing. On the internet the certificate must be valid for the
host's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import cast

from django.conf import settings

from capture.agent.protocol import SourceError
from capture.drivers import words
from devices import addresses
from devices.addresses import Address

CONNECT_S = 4.0  # also for a name that takes long
_TLS_GOODBYE_S = 1.0  # a camera without power never says its own
_FULL_BYTES = 1 << 20  # unread input; above it the camera has to wait
_NOT_THERE = (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN)


class Closed(Exception):
    """The other side ended the connection, orderly or not."""


class Channel(asyncio.Protocol):
    """Bytes of one connection: read in pieces of a known length or end, or forwarded to another.

    asyncio's streams would do for reading, but not give up their buffer in the middle of it: after
    PLAY everything goes from one socket to the other without a task being woken.
    """

    def __init__(self) -> None:
        self.received_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._has_ended = False
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to: Channel | None = None
        self._notice: Callable[[bytes], None] | None = None
        self._from: Channel | None = None

    # --- asyncio calls these ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._to is not None:
            self._to.write(data)
            if self._notice is not None:
                self._notice(data)
            return
        self._buffer += data
        if len(self._buffer) > _FULL_BYTES:
            self._hold(True)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        self._has_ended = True
        self._wake()
        if not self._over.done():
            self._over.set_result(None)
        if self._from is not None:  # nobody takes what is forwarded to here
            self._from.stop_forwarding()

    def pause_writing(self) -> None:
        if self._from is not None:
            self._from._hold(True)  # noqa: SLF001  the same class

    def resume_writing(self) -> None:
        if self._from is not None:
            self._from._hold(False)  # noqa: SLF001  the same class

    # --- the drivers call these -------------------------------------------------------------------

    @property
    def port_of_peer(self) -> int:
        return int(self._info("peername")[1])

    @property
    def has_ended(self) -> bool:
        return self._has_ended

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._has_ended:
            self._transport.write(data)

    async def read(self, most: int = _FULL_BYTES) -> bytes:
        """Whatever came, at least one byte and at most `most`; raises Closed."""
        await self._at_least(1)
        return self._take(min(most, len(self._buffer)))

    async def read_exactly(self, count: int) -> bytes:
        """Raises Closed."""
        await self._at_least(count)
        return self._take(count)

    async def read_until(self, ends: tuple[bytes, ...], limit_bytes: int) -> bytes:
        """Up to and with the first of `ends`. Raises Closed, and ValueError beyond the limit."""
        searched = 0
        while True:
            found = [at + len(end) for end in ends if (at := self._buffer.find(end, searched)) >= 0]
            if found and min(found) <= limit_bytes:
                return self._take(min(found))
            if len(self._buffer) >= limit_bytes:
                raise ValueError(f"more than {limit_bytes} bytes without an end")
            searched = max(0, len(self._buffer) - max(map(len, ends)))
            await self._at_least(len(self._buffer) + 1)

    def forward_to(self, other: Channel, notice: Callable[[bytes], None] | None = None) -> None:
        """From now on everything that comes goes to `other`, which makes this one wait if it must.

        `notice` sees each piece afterwards.
        """
        self._to, other._from, self._notice = other, self, notice
        if self._buffer:
            other.write(self._take(len(self._buffer)))
        self._hold(False)

    def stop_forwarding(self) -> None:
        self._to = self._notice = None

    async def until_closed(self) -> None:
        await asyncio.shield(self._over)

    async def linger(self, seconds: float) -> None:
        """Until the other side closes, what it still says being thrown away.

        Closing at once on somebody who is sending makes a reset, which overtakes what was written.
        """
        self.stop_forwarding()
        # Not asyncio.timeout: in a task that is being cancelled, Python 3.11.2's ends it instead.
        reading = asyncio.create_task(self._throw_away())
        try:
            await asyncio.wait((reading,), timeout=seconds)
        finally:
            reading.cancel()

    def close(self) -> None:
        """What was written is still sent if the other side takes it at once; nothing is waited for."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    async def _throw_away(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                await self.read()

    # --- inside -----------------------------------------------------------------------------------

    def _info(self, name: str) -> tuple[str, int]:
        assert self._transport is not None  # noqa: S101  there is no channel before
        found: tuple[str, int] = self._transport.get_extra_info(name)
        return found

    async def _at_least(self, count: int) -> None:
        while len(self._buffer) < count:
            if self._has_ended:
                raise Closed
            self._hold(False)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hold(self, is_paused: bool) -> None:
        if self._transport is None or is_paused == self._is_paused or self._has_ended:
            return
        self._is_paused = is_paused
        if is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


async def resolve(address: Address) -> list[addresses.IpAddress]:
    """Where the host is, as far as a camera may be there; raises SourceError."""
    try:
        async with asyncio.timeout(CONNECT_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError) as error:
        raise words.unknown_name(address.host) from error
    allowed: list[addresses.IpAddress] = []
    objection = f"The name {address.host} leads nowhere."
    for *_, place in found:
        try:
            ip = addresses.check_ip(
                str(place[0]), allow_loopback=settings.NVR_ALLOW_LOOPBACK_CAMERAS
            )
        except addresses.BadAddress as error:
            objection = str(error)
        else:
            allowed += [ip] if ip not in allowed else []
    if not allowed:
        raise words.bad_address(objection)
    return allowed


async def connect(address: Address, ips: list[addresses.IpAddress]) -> Channel:
    """To the first of them that answers; raises SourceError."""
    worst: SourceError | None = None
    for ip in ips:
        try:
            async with asyncio.timeout(CONNECT_S):
                return await _connect_to(address, ip)
        except SourceError as error:
            worst = worst or error
        except TimeoutError:
            worst = worst or words.no_answer(address.place)
    raise worst or words.no_answer(address.place)


async def _connect_to(address: Address, ip: addresses.IpAddress) -> Channel:
    context = tls_context(ip) if address.is_tls else None
    try:
        _, channel = await asyncio.get_running_loop().create_connection(
            Channel,
            str(ip),
            address.port,
            ssl=context,
            server_hostname=address.host if context else None,
            ssl_shutdown_timeout=_TLS_GOODBYE_S if context else None,
        )
    except ssl.SSLCertVerificationError as error:
        raise words.bad_certificate(address.host) from error
    except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError) as error:
        if context is None:
            raise words.no_way(address.place, str(error)) from error
        raise words.no_tls(address.place, address.scheme) from error
    except ConnectionRefusedError as error:
        raise words.nothing_listens(address.place) from error
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise words.no_answer(address.place) from error
        raise words.no_way(address.place, error.strerror or "the connection failed") from error
    return channel


def tls_context(ip: addresses.IpAddress) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not ip.is_global:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=1")  # cameras with keys of 1024 bits
    return context
