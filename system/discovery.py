"""mDNS: how a camera finds this recorder without anybody typing an address.

The ESP32 asks one PTR question and uses the first answer's first IPv4 address; it asks nothing
further, so SRV, TXT and A have to come in the same packet (RFC 6763 §12.1, which zeroconf does).
Standard library, zeroconf and ifaddr only: a Django process would cost a Pi 60 MB for this.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Sequence

from zeroconf import IPVersion, NonUniqueNameException, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

SERVICE_TYPE = "_mycam-server._tcp.local."
INSTANCE = "Pi Camera Server"
TXT = {"version": "1.0.0", "secure": "true", "wsPath": "/ws"}
MAX_NUMBERED = 5  # recorders on one network; each name that is taken costs a quarter of a second

log = logging.getLogger(__name__)


class Announcer:
    """Announces one recorder under the addresses given last. Not thread-safe: one event loop."""

    def __init__(self, port: int, host: str) -> None:
        """`host` ends in `.local`: the firmware's resolver knows no other names."""
        self._port = port
        self._server = f"{host}."
        self._addresses: list[str] | None = None  # None: not yet told
        self._zeroconf: AsyncZeroconf | None = None

    @property
    def is_announcing(self) -> bool:
        return self._zeroconf is not None

    async def follow(self, addresses: Sequence[str]) -> bool:
        """True when something was announced anew. Without a network it waits, and says so once.

        A failure is logged and tried again with the next call: an interface that is just coming
        up refuses multicast for a moment.
        """
        if list(addresses) == self._addresses:
            return False
        await self.close()
        if not addresses:
            self._addresses = []
            log.warning("No network: cameras cannot find this recorder until there is one")
            return False
        try:
            self._zeroconf = AsyncZeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)
            name = await self._register(self._zeroconf, addresses)
        except OSError as error:
            log.warning("mDNS could not announce the recorder: %s", error)
            await self.close()
            return False
        self._addresses = list(addresses)
        log.info("Announced %s at %s port %d", name, ", ".join(addresses), self._port)
        return True

    async def close(self) -> None:
        """Says good-bye, so that cameras do not dial an address that is gone."""
        self._addresses = None
        if self._zeroconf is not None:
            zeroconf, self._zeroconf = self._zeroconf, None
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()

    async def _register(self, zeroconf: AsyncZeroconf, addresses: Sequence[str]) -> str:
        """Another recorder on the same network keeps its name; this one gets a number.

        zeroconf's own renaming never ends where somebody answers that every name is theirs. They
        cannot say so of a name which is announced without asking.
        """
        for number in range(1, MAX_NUMBERED + 1):
            info = self._service(addresses, INSTANCE if number == 1 else f"{INSTANCE}-{number}")
            try:
                await (await zeroconf.async_register_service(info))
            except NonUniqueNameException:
                continue
            return info.name
        info = self._service(addresses, f"{INSTANCE}-{secrets.token_hex(4)}")
        await (await zeroconf.async_register_service(info, cooperating_responders=True))
        return info.name

    def _service(self, addresses: Sequence[str], instance: str) -> ServiceInfo:
        return ServiceInfo(
            SERVICE_TYPE,
            f"{instance}.{SERVICE_TYPE}",
            port=self._port,
            properties=TXT,
            server=self._server,
            addresses=[socket.inet_aton(address) for address in addresses],
        )
